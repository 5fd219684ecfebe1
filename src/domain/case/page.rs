//! The table of events as a page for people: `schemas/EVENTS.md`.

use std::fmt::Write as _;

use super::codes_of;
use super::kind::{Author, Detail, EventKind, Opening, ROWS, Scope};

/// The page, in Markdown.
pub fn page() -> String {
    let mut page = String::from(HEAD);
    for row in ROWS {
        let mut says = author_words(row.author).to_owned();
        if row.by_a_person {
            says.push_str("; a person's own certificate");
        }
        let about = match row.scope {
            Scope::Referral => "the referral",
            Scope::Children => "each child named",
        };
        let detail = match row.detail {
            Detail::None => "-",
            Detail::Optional => "optional",
            Detail::Required => "required",
        };
        let (name, needs, effect) = (row.name, row.needs, row.effect);
        let within = if row.within.len() == Opening::ALL.len() {
            "all".to_owned()
        } else {
            row.within.iter().map(|o| letter(*o)).collect::<Vec<_>>().join(" ")
        };
        let _ = writeln!(
            page,
            "| `{name}` | {says} | {about} | {detail} | {within} | {needs} | {effect} |"
        );
    }
    page.push_str("\n## What answers what\n| event | answers |\n|---|---|\n");
    for row in ROWS.iter().filter(|row| !row.answers.is_empty()) {
        let answered: Vec<_> = row.answers.iter().map(|k| format!("`{}`", k.name())).collect();
        let _ = writeln!(page, "| `{}` | {} |", row.name, answered.join(", "));
    }
    page.push_str("\n## Codes\n");
    for kind in EventKind::all().filter(|kind| !codes_of(*kind).is_empty()) {
        let _ = write!(page, "\n### `{}`\n| code | words |\n|---|---|\n", kind.name());
        for (code, words) in codes_of(kind) {
            let _ = writeln!(page, "| `{code}` | {words} |");
        }
    }
    page
}

const HEAD: &str = "\
# Events

What parties say about a referral after it was accepted. Each is a signed token without personal data (`events` holds
exactly one member, `https://ecaf.example/events/<name>`) and, where it has one, a document of its own for everything
personal. The gateway records it at the next position of the referral's thread; an author states the position that
they have seen, and an event that was signed on top of another one is refused, to be looked at again and signed anew.
What the columns say is a pure function (`src/domain/case`), and this page is made from its table
(`ecaf referral events > schemas/EVENTS.md`).

Who is a *recipient*: the accountable authority (the *holder*), authorities with a delivery of their own (child in the
area, open case), and one that a transfer is proposed to, until it declines. A decision needs the holder's own
acknowledgement; a transfer makes every child that is not closed the new holder's to decide. A new version of the
referral opens closed cases again. After `misidentified` nothing follows.

About an allegation against an adult who works with children (LADO) only its sender and the designated officers that the
directory lists may speak, each with a certificate of their own; decided is `allegation_meeting`, `employer_investigates`,
`low_level_concern`, `advice` or `other_authority`, and the first three of nothing else.

Most threads begin with a referral (R). Three kinds of event begin one themselves, under an id that nobody has used
and with `seen` 0: a notice (N) of an authority, which is its holder, to one school (`school`); a consultation (C) of
a school with an authority (`to`), which is its holder; a hand-over (H), which a school alone records and sees.
Their one child, or their matter, is `told` or `undecided` until it is closed.

What a gateway says of a clock names the clock (`code`), what it is about (`about`) and its limit (`due_at`). What it
says of a delivery names the authority (`to`), the delivery (`about`), since when the exchange has it (`since`) and the
next attempt, if there is one (`next_attempt_at`). It says so when the school is to ring, not before: `delivery_delayed`
at the school's turn on the ladder of C2 (U0, U1: 5 min; others: 1 h), `delivery_failed` when it gives up. The number to
ring is not in the token, which is for ever, but in the state of the referral, as the directory has it then. Of a
delivery know the school, the holder, who is asked to take it over, and the authority that it is for.

| event | who says it | about | document | threads | needs | afterwards |
|---|---|---|---|---|---|---|
";

fn letter(opening: Opening) -> &'static str {
    match opening {
        Opening::Referral => "R",
        Opening::Notice => "N",
        Opening::Consultation => "C",
        Opening::HandOver => "H",
    }
}

fn author_words(author: Author) -> &'static str {
    match author {
        Author::Sender => "the school",
        Author::Holder => "the holder",
        Author::AnyRecipient => "any recipient",
        Author::Proposed => "the authority it is proposed to",
        Author::SenderOrHolder => "the school or the holder",
        Author::HolderOrProposed => "the holder, or an authority that it was proposed to",
        Author::Gateway => "a gateway",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_the_table_says() {
        let committed = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/EVENTS.md"));
        assert!(committed == page(), "run: ecaf referral events > schemas/EVENTS.md");
    }
}
