//! A chronology as blocks for people: what is proved first, then what happened, limits, holders, and the
//! documents.

use super::chronology::{Chronology, ClockLine, Held, Line, party};
use super::moment::{length, moment};
use crate::domain::party::Party;
use crate::domain::time::{SECOND, Timestamp};
use crate::protocol::document::{self, Block, Readable, Section};
use crate::protocol::schema::label;

/// How many characters of a digest stand in the table; the whole ones follow at the end.
const SHORT: usize = 16;

pub(super) fn readable(chronology: &Chronology) -> Readable {
    let made = local(&chronology.made_at);
    let source = match &chronology.made_for {
        Some(reader) => {
            let whom = reader.parse::<Party>().map_or_else(|_| reader.clone(), |p| party(&p));
            format!("from the exchange's evidence for {whom}")
        }
        None => "from an evidence file, without asking anybody".to_owned(),
    };
    let mut warnings: Vec<String> =
        chronology.not_proved.iter().map(|why| format!("NOT PROVED. {why}")).collect();
    if chronology.taken_out_of_use {
        warnings.push(
            "TAKEN OUT OF USE: the wrong child or the wrong recipient. Nothing else of it is shown."
                .to_owned(),
        );
    }
    Readable {
        title: match (&chronology.summary, chronology.taken_out_of_use) {
            (None, false) => format!("Chronology of thread {}", chronology.referral_id),
            _ => format!("Chronology of referral {}", chronology.referral_id),
        },
        provenance: format!(
            "Made {made} {source}. Times are England's, with the distance from UTC."
        ),
        warnings,
        sections: sections(chronology),
    }
}

fn sections(chronology: &Chronology) -> Vec<Section> {
    let mut all = vec![
        section("What is proved", vec![Block::Fields(proved(chronology))]),
        section("What happened", vec![happened(&chronology.lines)]),
    ];
    if let Some(summary) = &chronology.summary {
        let word = |list: &str, code: &str| label(list, code).unwrap_or(code).to_owned();
        let mut fields = vec![
            ("Sent by".to_owned(), summary.sender.clone()),
            ("First with".to_owned(), format!("authority {}", summary.first_authority)),
            ("Now with".to_owned(), format!("authority {}", summary.holder)),
            (
                "Urgency".to_owned(),
                format!("{}: {}", summary.urgency, word("urgency", &summary.urgency)),
            ),
            ("Asked for".to_owned(), word("request_type", &summary.request_type)),
            ("Versions".to_owned(), summary.versions.to_string()),
        ];
        let children = match summary.children {
            Some(count) => count.to_string(),
            None => "not known here: the document cannot be read".to_owned(),
        };
        fields.push(("Children".to_owned(), children));
        if let Some(by) = &summary.attested_by {
            fields.push(("Attested by".to_owned(), by.clone()));
        }
        all.insert(1, section("The referral", vec![Block::Fields(fields)]));
    }
    match &chronology.clocks {
        Some(clocks) if !clocks.is_empty() => {
            all.push(section("Limits and whether they were kept", vec![limits(clocks)]));
        }
        None if !chronology.taken_out_of_use => all.push(section(
            "Limits and whether they were kept",
            vec![Block::Text(
                "Not shown: parts of the thread are not for this reader, so they cannot be counted here."
                    .to_owned(),
            )],
        )),
        _ => {}
    }
    if !chronology.held.is_empty() {
        all.push(section("Who held it, and for how long", vec![holders(&chronology.held)]));
    }
    all.extend(documents(chronology));
    all.push(section("Whole digests (SHA-256, base64url)", vec![digests(chronology)]));
    all
}

fn section(heading: &str, blocks: Vec<Block>) -> Section {
    Section { heading: heading.to_owned(), blocks }
}

fn proved(chronology: &Chronology) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let mut add = |name: &str, value: String| fields.push((name.to_owned(), value));
    let count = chronology.lines.len();
    match chronology.proved {
        true => add(
            "Proved",
            format!(
                "Each of the {count} lines below was signed by whom it names; what was recorded stands at its \
                 place without a gap; each document that is shown is the one that was signed. \
                 Every signature was judged at the time at which the exchange recorded it."
            ),
        ),
        false => {
            add("NOT proved", chronology.not_proved.join(". "));
            add("What that means", "No line below may be relied on as proved.".to_owned());
        }
    }
    if chronology.withheld > 0 {
        let places = chronology.withheld;
        add("Not shown", format!("{places} places of the thread concern other parties"));
    }
    add(
        "Not proved by it",
        "That what a person wrote is true; that nothing was left out before it reached the exchange; \
         times that are called somebody's own word. Limits are computed from the lines by the scheme's published rules."
            .to_owned(),
    );
    for document in chronology.documents.iter().filter(|d| d.state != "shown") {
        add(&format!("Document of line {}", document.line), document.words.clone());
    }
    fields
}

fn happened(lines: &[Line]) -> Block {
    let head = ["Line", "When", "What happened", "Signed by", "Recorded and proof"];
    Block::Table { head: head.map(str::to_owned).to_vec(), rows: lines.iter().map(row).collect() }
}

fn row(line: &Line) -> Vec<String> {
    let mut when = line.at_in_england.clone();
    if !line.time_is_recorded {
        when.push_str("\n(the signer's own word)");
    }
    let mut what = line.words.clone();
    if let Some(claimed) = &line.claimed_at {
        what.push_str(&format!("\nBy its author's clock: {}", local(claimed)));
    }
    for (title, said) in &line.document {
        what.push_str(&format!("\n{title}: {said}"));
    }
    let mut proof = Vec::new();
    match (line.position, &line.recorded_by) {
        (Some(position), Some(by)) => proof.push(format!("Position {position}, by {by}")),
        (Some(position), None) => proof.push(format!("Position {position}")),
        (None, _) => {}
    }
    proof.push(format!("Token {}", short(&line.sha256)));
    proof.push(if line.verified { "Verified".to_owned() } else { "NOT VERIFIED".to_owned() });
    proof.extend(line.caution.map(str::to_owned));
    let signed = format!("{}\nCertificate {}", line.signed_by, short(&line.certificate_sha256));
    vec![line.line.to_string(), when, what, signed, proof.join("\n")]
}

fn limits(clocks: &[ClockLine]) -> Block {
    let head = ["Clock", "What had to happen", "From", "Limit", "Outcome"];
    let rows = clocks.iter().map(|clock| {
        let mut name = clock.name.to_owned();
        if let Some(about) = &clock.about_words {
            name.push_str(&format!(" ({about})"));
        }
        let mut outcome = clock.words.clone();
        if let Some(at) = &clock.stopped_at {
            outcome.push_str(&format!("\n{}", local(at)));
        }
        if let Some(until) = &clock.paused_until {
            outcome.push_str(&format!("\nStands still until {}", local(until)));
        }
        for held in &clock.held {
            let way = if held.in_transit { " (on its way there)" } else { "" };
            let time = length(held.seconds * SECOND);
            outcome.push_str(&format!("\nWith authority {}{way}: {time}", held.authority));
        }
        if clock.assumed {
            outcome.push_str("\nCounted by assumed days");
        }
        let code = format!("{}\n{}", clock.clock, clock.class);
        vec![code, name, local(&clock.started_at), local(&clock.due_at), outcome]
    });
    Block::Table { head: head.map(str::to_owned).to_vec(), rows: rows.collect() }
}

fn holders(held: &[Held]) -> Block {
    let head = ["Authority", "From", "To", "Time"];
    let rows = held.iter().map(|held| {
        let way = if held.in_transit { " (on its way there)" } else { "" };
        let time = length(held.seconds * SECOND);
        vec![format!("{}{way}", held.authority), local(&held.from), local(&held.to), time]
    });
    Block::Table { head: head.map(str::to_owned).to_vec(), rows: rows.collect() }
}

/// The referral's own documents, each version whole.
fn documents(chronology: &Chronology) -> Vec<Section> {
    let mut all = Vec::new();
    for document in &chronology.documents {
        let line = chronology.lines.get(document.line - 1).filter(|l| l.kind == "submitted");
        let (Some(line), Some(content)) = (line, &document.content) else { continue };
        let version = content["version"].as_u64().unwrap_or(1);
        let about = format!("Line {}; document {}", line.line, document.sha256);
        let page = document::readable(content, &about);
        let heading = format!("Document of line {}: version {version}", line.line);
        let mut blocks = vec![Block::Text(format!("{}. {about}", page.title))];
        blocks.extend(page.warnings.into_iter().map(Block::Text));
        all.push(Section { heading, blocks });
        for part in page.sections {
            let heading = format!("Version {version}: {}", part.heading);
            all.push(Section { heading, blocks: part.blocks });
        }
    }
    all
}

fn digests(chronology: &Chronology) -> Block {
    let mut fields = Vec::new();
    for line in &chronology.lines {
        let mut text = format!("token {}", line.sha256);
        if let Some(record) = &line.record_sha256 {
            text.push_str(&format!("\nrecord {record}"));
        }
        if let Some(document) = &line.document_sha256 {
            text.push_str(&format!("\ndocument {document}"));
        }
        fields.push((format!("Line {}", line.line), text));
    }
    for certificate in &chronology.certificates {
        fields.push((format!("Certificate of {}", certificate.party), certificate.sha256.clone()));
    }
    Block::Fields(fields)
}

fn short(digest: &str) -> &str {
    digest.get(..SHORT).unwrap_or(digest)
}

fn local(at: &str) -> String {
    at.parse::<Timestamp>().map_or_else(|_| at.to_owned(), moment)
}
