//! How a contact is told: a page only for what cannot wait, and only who is on duty.

use super::clock::Clock;
use super::fact::Setting;
use super::ladder::Rung;
use crate::domain::party::Organisation;
use crate::domain::time::Timestamp;

/// How somebody on a ladder is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tell {
    /// At once, on the telephone of whoever is on duty.
    Page,
    /// In the digest of the next duty shift; `None` if it is not known when that is.
    Digest(Option<Timestamp>),
    /// In the school's list, feed and messages, at once: schools have no duty desk to page.
    Listed,
}

/// How the contact of a clock is told at `now`. Nobody who is off duty is ever paged: the school then
/// has the out-of-hours number on its screen instead.
pub fn tell(clock: &Clock, rung: &Rung, setting: &Setting, now: Timestamp) -> Tell {
    let Organisation::Authority(code) = rung.of else { return Tell::Listed };
    let calendars = &setting.calendars;
    let hours = calendars.authority(code);
    let on_duty = hours.on_duty(now, &calendars.bank_holidays);
    if clock.pages && on_duty {
        return Tell::Page;
    }
    // A shift that has begun has had its digest: the next one begins after a time without duty.
    let shift_ends = match &hours.staffed {
        Some(staffed) => staffed.open_until(now, calendars.bank_holidays.days()).unwrap_or(now),
        None => return Tell::Digest(None),
    };
    let next = hours
        .staffed
        .as_ref()
        .and_then(|staffed| staffed.next_open(shift_ends, calendars.bank_holidays.days()));
    Tell::Digest(next)
}
