//! Which authority held a referral from when to when, so that none wears another's delay.

use super::fact::What;
use super::view::View;
use super::{Setting, Thread};
use crate::domain::party::{DfeCode, Organisation};
use crate::domain::time::Timestamp;

/// A stretch of time with one accountable authority. They follow each other without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The accountable authority.
    pub authority: DfeCode,
    /// Whether the exchange still held the referral, on its way to that authority.
    pub in_transit: bool,
    /// The first instant.
    pub from: Timestamp,
    /// The end, which is the first instant of the next one.
    pub to: Timestamp,
}

/// How long an authority held a referral within some span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub authority: DfeCode,
    /// Whether it was still on its way there.
    pub in_transit: bool,
    /// For how long, in milliseconds.
    pub millis: i64,
}

/// From acceptance to the end of the thread, or to `now`. A referral that was closed and opened again
/// by a new version stays with its holder between.
pub fn segments(thread: &Thread, setting: &Setting, now: Timestamp) -> Vec<Segment> {
    View::new(thread, setting, now).segments
}

pub(super) fn of(view: &View<'_>) -> Vec<Segment> {
    let Some((accepted, first)) = view.accepted() else { return Vec::new() };
    let stop = view.is_over().map_or(view.now, |mark| mark.at);
    let stored = |code: DfeCode, by: Timestamp| {
        view.facts.iter().any(|f| match f.what {
            What::Delivered { to, .. } | What::HandedOver { to, .. } => to == code && f.at <= by,
            _ => false,
        })
    };
    let mut found: Vec<Segment> = Vec::new();
    let mut current =
        Segment { authority: first, in_transit: true, from: accepted.at, to: accepted.at };
    let changes = view.facts.iter().filter(|f| f.at >= accepted.at && f.at <= stop);
    for fact in changes {
        let next = match (&fact.what, &fact.by) {
            (What::Delivered { to, .. } | What::HandedOver { to, .. }, _)
                if *to == current.authority && current.in_transit =>
            {
                Segment { in_transit: false, from: fact.at, ..current }
            }
            (What::TransferAccepted { .. }, Organisation::Authority(code))
                if *code != current.authority =>
            {
                let in_transit = !stored(*code, fact.at);
                Segment { authority: *code, in_transit, from: fact.at, to: fact.at }
            }
            _ => continue,
        };
        found.push(Segment { to: fact.at, ..current });
        current = next;
    }
    found.push(Segment { to: stop, ..current });
    found.retain(|segment| segment.from < segment.to);
    found
}

/// How long each authority held it between two instants, in the order in which they first did.
pub fn held_between(segments: &[Segment], from: Timestamp, to: Timestamp) -> Vec<Held> {
    let mut found: Vec<Held> = Vec::new();
    for segment in segments {
        let millis = segment.to.min(to).since(segment.from.max(from));
        if millis <= 0 {
            continue;
        }
        let (authority, in_transit) = (segment.authority, segment.in_transit);
        match found.iter_mut().find(|h| h.authority == authority && h.in_transit == in_transit) {
            Some(held) => held.millis += millis,
            None => found.push(Held { authority, in_transit, millis }),
        }
    }
    found
}
