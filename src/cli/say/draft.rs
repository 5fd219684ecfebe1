//! The document of an event as a draft for a text editor, and read again when it is filled in.

use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::cli::failure::Failure;
use crate::domain::case::EventKind;
use crate::protocol::json;
use crate::protocol::schema::{DETAIL_COMMON, LARGEST_DETAIL, Shape};

/// A draft that is filled in: JSON with `//` comments.
pub(super) fn read(file: &Path) -> Result<Map<String, Value>, Failure> {
    let mut bytes = Vec::new();
    let here = |e: std::io::Error| Failure::usage(format_args!("{}: {e}", file.display()));
    if file == Path::new("-") {
        std::io::stdin().take(LARGEST_DETAIL as u64 + 1).read_to_end(&mut bytes).map_err(here)?;
    } else {
        bytes = std::fs::read(file).map_err(here)?;
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::usage(format_args!("{}: is not UTF-8", file.display())))?;
    let value = json::parse(json::strip_comments(&text).as_bytes(), LARGEST_DETAIL);
    match value.map_err(Failure::usage)? {
        Value::Object(members) => Ok(members),
        _ => Err(Failure::usage(format_args!("{}: is not an object", file.display()))),
    }
}

/// The document of an event as a draft with notes.
pub(super) fn draft(kind: EventKind) -> String {
    let Some(shape) = Shape::event(kind.name()) else { return String::new() };
    let required = shape.keyword("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut text =
        format!("// {}: {}\n{{\n", shape.title(), shape.text("description").unwrap_or_default());
    let members = shape.members().into_iter().filter(|name| !DETAIL_COMMON.contains(name));
    // What is optional comes last, each line with its own comma, so that any of them can be switched on.
    let (needed, optional): (Vec<_>, Vec<_>) = members.partition(|m| required.contains(&json!(m)));
    for (place, name) in needed.iter().chain(&optional).enumerate() {
        let Some(member) = shape.member(name) else { continue };
        let _ = writeln!(
            text,
            "  // {}. {} {}",
            member.title(),
            member.text("description").unwrap_or_default(),
            member.text("x-required").unwrap_or_default()
        );
        if let Some(list) = member.open_list() {
            for (code, label) in &list.codes {
                let _ = writeln!(text, "  //   {code:<4}{label}");
            }
        }
        if let Some(codes) = member.target().and_then(|t| t.keyword("enum")) {
            let _ = writeln!(text, "  // One of {codes}");
        }
        let before = match place {
            place if place < needed.len() => "",
            0 => "// ",
            _ => "// , ",
        };
        let comma = if place + 1 < needed.len() { "," } else { "" };
        let _ = writeln!(text, "  {before}\"{name}\": {}{comma}", blank(&member));
    }
    text.push_str("}\n");
    text
}

/// What stands where an answer goes.
fn blank(member: &Shape) -> String {
    if let Some(list) = member.open_list() {
        return format!(
            "{{\"code\": \"\", \"code_system\": \"{}\", \"code_version\": \"{}\"}}",
            list.system, list.version
        );
    }
    let worker = r#"{"name": "", "role": "", "phone": ""}"#;
    let target = member.target();
    let is_worker = |shape: &Shape| shape.path().ends_with("/worker.json");
    if target.as_ref().is_some_and(|t| t.path().starts_with("schemas/event") && is_worker(t)) {
        return worker.to_owned();
    }
    match member.text("type") {
        Some("array") => format!("[{worker}]"),
        // Refused until somebody says which.
        Some("boolean") => "\"true or false\"".to_owned(),
        _ => "\"\"".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::case::{Detail, codes_of};
    use crate::domain::ids::ReferralId;
    use crate::protocol::schema::check_detail;

    #[test]
    fn a_draft_is_json_with_every_answer_that_is_needed_and_is_refused_until_filled_in() {
        for kind in EventKind::all().filter(|k| k.detail() != Detail::None) {
            let text = draft(kind);
            let value = json::parse(json::strip_comments(&text).as_bytes(), LARGEST_DETAIL);
            let Value::Object(mut members) = value.unwrap_or_else(|v| panic!("{v}\n{text}")) else {
                panic!("{text}")
            };
            let id = ReferralId::from_bytes([7; 16]);
            members.insert("event".into(), kind.name().into());
            members.insert("referral_id".into(), id.to_string().into());
            members.insert("salt".into(), "AAAAAAAAAAAAAAAAAAAAAA".into());
            let code = codes_of(kind).first().map(|(code, _)| *code);
            members.extend(code.map(|code| ("code".to_owned(), json!(code))));
            let refusal =
                check_detail(Value::Object(members).to_string().as_bytes(), kind, code, id);
            let missing = refusal.err().map(|r| r.violations).unwrap_or_default();
            let absent = missing.iter().filter(|v| v.rule.id == "schema.required").count();
            let conditional = matches!(kind, EventKind::Decided | EventKind::PupilNotice);
            assert!(absent == 0 || conditional, "{}: {missing:?}", kind.name());
            assert!(missing.len() > absent || kind.detail() == Detail::Optional, "{}", kind.name());
        }
    }
}
