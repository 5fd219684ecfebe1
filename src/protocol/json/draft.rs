//! Drafts: JSON with `//` comments, for people who fill in a referral with a text editor.

use std::borrow::Cow;

/// The exact JSON of a draft: comments gone, lines that held nothing else gone with them, no blanks
/// at the end of a line that held one. A text without comments comes back as it is, byte for byte,
/// so that what another program wrote keeps its digest.
pub fn strip_comments(text: &str) -> Cow<'_, str> {
    without_comments(text, false)
}

/// The same with every line kept, so that lines and columns are those of the draft.
pub fn blank_comments(text: &str) -> Cow<'_, str> {
    without_comments(text, true)
}

fn without_comments(text: &str, keep_lines: bool) -> Cow<'_, str> {
    if !text.split_inclusive('\n').any(|line| comment_start(line).is_some()) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let Some(start) = comment_start(line) else {
            out.push_str(line);
            continue;
        };
        let code = line[..start].trim_end();
        out.push_str(code);
        if (keep_lines || !code.is_empty()) && line.ends_with('\n') {
            out.push('\n');
        }
    }
    Cow::Owned(out)
}

/// Where a comment starts in one line. A JSON string cannot span lines, so each line stands alone.
fn comment_start(line: &str) -> Option<usize> {
    let raw = line.as_bytes();
    let (mut at, mut in_string) = (0, false);
    while at < raw.len() {
        match raw[at] {
            b'"' => in_string = !in_string,
            b'\\' if in_string => at += 1,
            b'/' if !in_string && raw.get(at + 1) == Some(&b'/') => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_go_and_strings_stay() {
        let draft = "// top\n{\n  // the school\n  \"a\": \"https://x\\\" // y\",  // note\n\n  \"b\": 1\n}\n// end";
        assert_eq!(strip_comments(draft), "{\n  \"a\": \"https://x\\\" // y\",\n\n  \"b\": 1\n}\n");
        assert_eq!(blank_comments(draft).lines().count(), 7);
        assert_eq!(blank_comments(draft).lines().nth(3), Some("  \"a\": \"https://x\\\" // y\","));
    }

    #[test]
    fn a_text_without_comments_is_untouched() {
        let text = "{ \"a\" : \"//\"  }  \r\n\n";
        assert!(matches!(strip_comments(text), Cow::Borrowed(same) if same == text));
    }

    #[test]
    fn stripping_twice_is_stripping_once() {
        let draft = "{ // a\n\"b\": 1 // c\n}";
        let once = strip_comments(draft).into_owned();
        assert_eq!(strip_comments(&once), once);
    }
}
