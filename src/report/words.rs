//! What happened, in plain words that promise no more than was signed.

use std::fmt::Write as _;

use super::tokens::Entry;
use crate::domain::case::{EventKind, words_of};
use crate::domain::party::Organisation;
use crate::domain::referral::Urgency;
use crate::protocol::evidence::Says;
use crate::protocol::schema::label;
use crate::protocol::tokens::{CaseEvent, Purpose};

use super::moment::moment;

/// An organisation: `authority 309`, `school 900001`, `gateway sandbox`.
pub fn organisation(organisation: &Organisation) -> String {
    organisation.to_string().replacen('/', " ", 1)
}

/// One statement; `all` has those that it answers.
pub fn told(entry: &Entry, all: &[Entry]) -> String {
    match &entry.says {
        Says::Submitted(s) => {
            let urgency = Urgency::from_code(&s.urgency).and_then(|u| label("urgency", u.as_str()));
            let asked = label("request_type", &s.request_type).unwrap_or(&s.request_type);
            let what = match s.version {
                1 => "the referral".to_owned(),
                version => format!("version {version} of the referral"),
            };
            let urgency = urgency.unwrap_or_default();
            let what = format!("{what}: {}, {urgency}. {asked}", s.urgency);
            match &s.attested {
                None => format!("The school signed {what}"),
                Some(by) => format!(
                    "The gateway attests that {} sent {what}",
                    organisation(&by.sender.organisation)
                ),
            }
        }
        Says::Accepted(a) => {
            let mut text = format!(
                "The exchange recorded version {} for authority {} (routing rule {})",
                a.version, a.authority, a.routing_rule
            );
            if !a.also_ring.is_empty() {
                let codes: Vec<_> = a.also_ring.iter().map(ToString::to_string).collect();
                let _ = write!(text, "; not reached, to be rung: authority {}", codes.join(", "));
            }
            text
        }
        Says::Dispatched(note, to) => {
            let why = match note.purpose {
                Purpose::Accountable => "as the accountable authority",
                Purpose::Linked => "because the child is in its area now",
                Purpose::CaseHolding => "because it has an open case",
                Purpose::Transfer => "because it is asked to take the referral over",
            };
            let (version, to) = (note.version, organisation(&to.organisation));
            format!("Version {version} addressed to {to} {why}")
        }
        Says::Delivered(d) => format!(
            "Version {} stored by {} under its reference {}",
            d.version,
            organisation(&entry.by.organisation),
            d.reference
        ),
        Says::Recorded(_) => "Recorded".to_owned(),
        Says::Said(event) => said(event, all),
    }
}

/// What a clock is about, from the name that its event carries; nothing for the referral as a whole.
fn clock_about(name: &str) -> String {
    match name.split('-').collect::<Vec<_>>()[..] {
        ["referral" | "report"] => String::new(),
        ["child", child] | ["child", child, _] => format!(" (child {child})"),
        ["delivery", authority, _] => format!(" (authority {authority})"),
        ["event", position] | ["told", position, ..] => format!(" (to position {position})"),
        ["stage", _, stage] => format!(" (stage {stage})"),
        ["note", child, _] => format!(" (child {child}, progress note)"),
        _ => format!(" ({name})"),
    }
}

fn said(event: &CaseEvent, all: &[Entry]) -> String {
    let (kind, body) = (event.kind(), event.body());
    let name = kind.name().replace('_', " ");
    let mut text = format!("{}{}", name[..1].to_uppercase(), &name[1..]);
    if let Some(by) = &event.attested {
        let _ =
            write!(text, ", by {}, attested by the gateway", organisation(&by.sender.organisation));
    }
    let answered = all.iter().find(|entry| Some(entry.digest) == body.answers);
    if let Some(answered) = answered {
        if let (EventKind::Read, Says::Said(read)) = (kind, &answered.says) {
            let _ = write!(text, " by the school: {}", read.kind().name().replace('_', " "));
        }
        if let Some(position) = answered.position() {
            let _ = write!(text, " (answers position {position})");
        }
    }
    if let Some(code) = &body.code {
        let words = words_of(kind, code).unwrap_or("a code of a later version");
        let _ = write!(text, ": {words}");
    }
    if let Some(to) = body.to {
        let _ = write!(text, ", to authority {to}");
    }
    if let Some(school) = &body.school {
        let _ = write!(text, ", to school {school}");
    }
    if let Some(stage) = body.stage {
        let _ = write!(text, ", stage {stage}");
    }
    match &body.children[..] {
        [] => {}
        [child] => {
            let _ = write!(text, " (child {child})");
        }
        children => {
            let children: Vec<_> = children.iter().map(ToString::to_string).collect();
            let _ = write!(text, " (children {})", children.join(", "));
        }
    }
    // What a delivery is about, its authority has told.
    if let Some(about) = body.about.as_ref().filter(|_| body.to.is_none()) {
        let _ = write!(text, "{}", clock_about(about));
    }
    if let Some(since) = body.since {
        let _ = write!(text, ", which the exchange has had since {}", moment(since));
    }
    if let Some(next) = body.next_attempt_at {
        let _ = write!(text, "; the next attempt was due {}", moment(next));
    }
    if let Some(due) = body.due_at {
        let _ = write!(text, "; the limit is {}", moment(due));
    }
    text
}
