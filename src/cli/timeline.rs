//! What happened to a referral, line by line as a person reads it.

use serde_json::Value;

use crate::domain::hours::england_text;
use crate::domain::ids::ReferralId;
use crate::domain::time::Timestamp;
use crate::party::look::{Contact, NotSeen, State, Way, detail};
use crate::party::member::Member;
use crate::party::words::{first_line, members, said};

/// Who holds it, who is waited for, and whom to ring next.
pub(super) fn standing(state: &State) -> Vec<String> {
    let mut lines = vec![holder(state)];
    if state.misidentified {
        return vec!["Taken out of use: wrong child or wrong recipient".into()];
    }
    if let Some(asked) = &state.transfer_proposed_to {
        lines.push(format!("{} is asked to take it over", asked.name));
    }
    if state.disputed {
        let holder = &state.authority.name;
        lines.push(format!("Authorities do not agree who is responsible; {holder} acts meanwhile"));
    }
    if let Some(waiting) = &state.waiting {
        lines.push(waiting.words.clone());
        let ring: Vec<_> = waiting.ring.iter().map(whom).collect();
        if !ring.is_empty() {
            lines.push(format!("Now: {}", ring.join("; ")));
        }
        if let Some(next) = &waiting.next {
            lines.push(format!("From {}: {}", local(&next.from), whom(next)));
        }
    }
    lines.extend(state.unattended.clone());
    for change in state.changed_contacts.iter().filter(|change| !change.confirmed) {
        let (by, at) = (&change.by, change.position);
        lines.push(format!("Contacts of {by} have changed (position {at}) and are not confirmed"));
    }
    if let Some(stage) = state.offered_stage {
        lines
            .push(format!("You may raise a disagreement at stage {stage} (ecaf school challenge)"));
    }
    let unread = state.events.iter().filter(|event| event.unread).count();
    if unread > 0 {
        lines.push(format!("{unread} not read by the school (ecaf school read)"));
    }
    lines
}

/// A contact of a ladder, with how to reach them as of now.
fn whom(contact: &Contact) -> String {
    let Contact { role, of, way, .. } = contact;
    let mut whom = format!("{} ({of})", role.replace('_', " "));
    match (contact.tell.as_deref(), &contact.digest_at) {
        (Some("page"), _) => whom.push_str(", to be paged"),
        (Some("digest"), Some(at)) => {
            whom.push_str(&format!(", in the digest of {}", local(at)));
        }
        _ => {}
    }
    let parts = way.iter().flat_map(parts).filter(|part| part != role);
    let parts: Vec<_> = parts.collect();
    if !parts.is_empty() {
        whom.push_str(&format!(": {}", parts.join(", ")));
    }
    whom
}

/// Who answers, and how to reach them.
fn parts(way: &Way) -> impl Iterator<Item = &str> {
    let parts = [Some(&way.label), way.phone.as_ref(), way.email.as_ref(), way.hours.as_ref()];
    parts.into_iter().flatten().map(String::as_str)
}

/// What it is.
pub(super) fn heading(state: &State) -> String {
    let id = &state.referral_id;
    match (&state.version, &state.urgency) {
        (Some(version), Some(urgency)) => format!("Referral {id} version {version}, {urgency}"),
        _ => {
            let what = state.began_with.replace('_', "-");
            format!("{}{} {id}", what[..1].to_uppercase(), &what[1..])
        }
    }
}

/// On whose desk it is.
fn holder(state: &State) -> String {
    let (authority, school) = (&state.authority.name, state.school.replace('/', " "));
    let is_closed = state.children.iter().all(|child| child == "closed");
    match (state.began_with.as_str(), is_closed) {
        ("notice", _) => format!("From {authority}, about a pupil of {school}"),
        ("consultation", false) => format!("Asked of {authority} by {school}; not answered yet"),
        ("consultation", true) => format!("Asked of {authority} by {school}, and answered"),
        ("hand_over", false) => format!(
            "Handed over to {authority} by hand: the exchange brings it nowhere, and shows it to nobody else"
        ),
        ("hand_over", true) => format!("Handed over to {authority} by hand; closed by {school}"),
        _ => format!("With {authority}"),
    }
}

/// Everything that happened, oldest first, with what the documents of events say.
pub(super) async fn timeline(member: &Member, state: &State) -> Result<Vec<String>, NotSeen> {
    let Ok(id) = state.referral_id.parse::<ReferralId>() else { return Err(NotSeen::Unreadable) };
    let mut entries = Vec::new();
    if state.version.is_some() {
        entries.push((state.recorded_at.clone(), vec!["Held by the exchange".to_owned()]));
    }
    for delivery in &state.deliveries {
        if let Some(at) = &delivery.stored_at {
            let name = &delivery.authority.name;
            entries.push((at.clone(), vec![format!("Stored at {name}")]));
        }
    }
    for event in &state.events {
        let mut lines = vec![first_line(event, &state.events)];
        if let Some(named) = &event.detail_sha256 {
            match detail(member, id, named).await? {
                Some(document) => lines.extend(answers(&event.event, &document)),
                None => lines.push("(what it said is erased)".into()),
            }
        }
        entries.push((event.recorded_at.clone(), lines));
    }
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut all = Vec::new();
    for (at, lines) in entries {
        let mut time = local(&at);
        for line in lines {
            all.push(format!("{time:<17} {line}"));
            time = String::new();
        }
    }
    Ok(all)
}

/// Whom to reach as of now: what the directory says, then what school and authority said themselves.
pub(super) async fn contacts(member: &Member, state: &State) -> Result<Vec<String>, NotSeen> {
    let mut lines = Vec::new();
    for way in &state.contacts {
        let kind = way.kind.replace('_', " ");
        let parts: Vec<_> = parts(way).collect();
        lines.push(format!("{kind:<13} {}", parts.join(", ")));
    }
    let Ok(id) = state.referral_id.parse::<ReferralId>() else { return Err(NotSeen::Unreadable) };
    for change in &state.changed_contacts {
        let word = if change.confirmed { "confirmed" } else { "NOT CONFIRMED" };
        let Some(named) = &change.detail_sha256 else { continue };
        let Some(document) = detail(member, id, named).await? else { continue };
        let said = said(&document["contacts"]);
        lines.push(format!("{:<13} {said} ({word})", change.by));
    }
    Ok(lines)
}

/// The clocks that are open or were late.
pub(super) fn clocks(state: &State) -> Vec<String> {
    let shown = |state: &str| !matches!(state, "in time" | "ended");
    let open = state.clocks.iter().filter(|clock| shown(&clock.state));
    open.map(|clock| {
        let mut line = format!(
            "{:<4} {:<17} {:<18} {}",
            clock.clock,
            local(&clock.due_at),
            clock.state,
            clock.name
        );
        if let Some(about) = &clock.about_words {
            line.push_str(&format!(" ({about})"));
        }
        if clock.short_notice {
            line.push_str("; short notice");
        }
        if clock.assumed {
            line.push_str("; its days are assumed");
        }
        let ask: Vec<_> = clock.ask.iter().map(whom).collect();
        if !ask.is_empty() {
            line.push_str(&format!("; ask {}", ask.join("; ")));
        }
        line
    })
    .collect()
}

fn answers(event: &str, document: &Value) -> impl Iterator<Item = String> {
    members(event, document).into_iter().map(|(title, said)| format!("  {title}: {said}"))
}

fn local(at: &str) -> String {
    at.parse::<Timestamp>().map_or_else(|_| at.to_owned(), england_text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whom_to_ask_stands_with_the_number_of_today() {
        let contact = json!({
            "role": "holiday contact", "of": "school/900001", "from": "2027-08-10T10:00:00Z",
            "kind": "escalation", "label": "deputy safeguarding lead", "phone": "020 7946 0777",
            "hours": "mon-fri 10:00-16:00",
        });
        let state: State = serde_json::from_value(json!({
            "referral_id": "018f3d5e-7c1a-4b7e-9a55-0c2f4d6e8a10", "urgency": "U1", "version": 1,
            "authority": {"code": "309", "name": "Haringey", "help": "Ring Haringey"},
            "recorded_at": "2027-08-09T09:00:00Z", "began_with": "referral", "school": "school/900001",
            "deliveries": [], "position": 5, "children": [],
            "unattended": "At Haringey nobody is reading it before Mon 16 Aug 09:00: ring now.",
            "changed_contacts": [{"by": "authority/309", "position": 4, "confirmed": false}],
            "waiting": {
                "clock": "C12", "name": "Outcome read by the school",
                "until": "2027-09-03T14:00:00Z", "words": "Due by Fri 3 Sep 15:00", "ring": [contact],
            },
            "clocks": [{
                "clock": "C12", "name": "Outcome read by the school", "about": "event-4",
                "class": "scheme", "state": "running", "started_at": "2027-08-10T10:00:00Z",
                "due_at": "2027-09-03T14:00:00Z", "assumed": true, "ask": [contact],
            }],
        }))
        .unwrap();
        let whom = "holiday contact (school/900001): deputy safeguarding lead, 020 7946 0777, \
                    mon-fri 10:00-16:00";
        assert_eq!(
            standing(&state),
            [
                "With Haringey".to_owned(),
                "Due by Fri 3 Sep 15:00".to_owned(),
                format!("Now: {whom}"),
                "At Haringey nobody is reading it before Mon 16 Aug 09:00: ring now.".to_owned(),
                "Contacts of authority/309 have changed (position 4) and are not confirmed"
                    .to_owned(),
            ]
        );
        let lines = clocks(&state);
        assert!(lines[0].starts_with("C12  Fri 3 Sep 15:00"), "{lines:?}");
        assert!(lines[0].ends_with(&format!("; its days are assumed; ask {whom}")), "{lines:?}");
    }
}
