//! What happened to a referral, line by line as a person reads it.

use serde_json::Value;

use crate::domain::hours::england_text;
use crate::domain::ids::ReferralId;
use crate::domain::time::Timestamp;
use crate::party::look::{NotSeen, State, detail};
use crate::party::member::Member;
use crate::party::words::{first_line, members};

/// Who holds it, who is waited for, and whom to ring next.
pub(super) fn standing(state: &State) -> Vec<String> {
    let mut lines = vec![format!("With {}", state.authority.name)];
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
        let turn = |role: &str, of: &str| format!("{} ({of})", role.replace('_', " "));
        let ring: Vec<_> = waiting.ring.iter().map(|c| turn(&c.role, &c.of)).collect();
        if !ring.is_empty() {
            lines.push(format!("Now: {}", ring.join(", ")));
        }
        if let Some(next) = &waiting.next {
            let whom = turn(&next.role, &next.of);
            lines.push(format!("From {}: {whom}", local(&next.from)));
        }
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

/// Everything that happened, oldest first, with what the documents of events say.
pub(super) async fn timeline(member: &Member, state: &State) -> Result<Vec<String>, NotSeen> {
    let Ok(id) = state.referral_id.parse::<ReferralId>() else { return Err(NotSeen::Unreadable) };
    let mut entries = vec![(state.recorded_at.clone(), vec!["Held by the exchange".to_owned()])];
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
            line.push_str("; term dates are not known");
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
