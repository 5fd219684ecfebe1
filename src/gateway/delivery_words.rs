//! Where each delivery of a referral stands, in words that promise no more than is proved.

use serde::Serialize;

use super::exchange::Exchange;
use super::respond::AuthorityName;
use crate::domain::case::Desk;
use crate::domain::delivery::State;
use crate::domain::directory::Connection;
use crate::domain::party::DfeCode;
use crate::domain::referral::Urgency;
use crate::domain::time::Timestamp;
use crate::store::DeliveryRow;

/// One delivery, in words that promise no more than is proved.
#[derive(Debug, Clone, Serialize)]
pub struct DeliveryAnswer {
    /// To whom, and whom to ring there now.
    pub authority: AuthorityName,
    /// `accountable`, `linked` or `case_holding`.
    pub purpose: String,
    /// `held`, `delayed`, `stored`, `undeliverable` or `by_hand`.
    pub state: &'static str,
    /// The same for a person.
    pub words: String,
    /// Attempts so far.
    pub attempts: u32,
    /// Code of the reason for which the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it will be tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<String>,
    /// When the exchange recorded the authority's receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored_at: Option<String>,
}

impl Exchange {
    /// A delivery as its readers are told of it. `desk` is how far the authority has come; `rung` whether
    /// somebody is known to have rung about it.
    pub(super) fn delivery_answer(
        &self,
        row: &DeliveryRow,
        desk: Option<Desk>,
        rung: bool,
        now: Timestamp,
    ) -> DeliveryAnswer {
        let authority = self.authority_name(row.authority);
        let name = &authority.name;
        let late = row.state.is_delayed(row.recorded_at, now);
        let lacks = match self.collects(row.authority) {
            true => "has not collected it",
            false => "does not have it",
        };
        let (state, words) = match row.state {
            State::Delivered => ("stored", self.stored_words(row, desk, rung, now)),
            State::Undeliverable if row.reason.as_deref() == Some("misidentified") => {
                ("undeliverable", format!("Not brought to {name}: taken out of use before"))
            }
            State::Undeliverable => (
                "undeliverable",
                format!(
                    "The exchange could not bring it to {name}: ring them now. {}",
                    authority.help
                ),
            ),
            State::ByHand => ("by_hand", format!("Handed over to {name} outside the exchange")),
            State::Held | State::Leased if late => (
                "delayed",
                format!("Held by the exchange; {name} still {lacks}. {}", authority.help),
            ),
            State::Held | State::Leased => {
                ("held", format!("Held by the exchange; {name} {lacks} yet"))
            }
        };
        let delivered = row.state == State::Delivered;
        DeliveryAnswer {
            purpose: row.purpose.clone(),
            state,
            words,
            attempts: row.attempts,
            reason: row.reason.clone().filter(|_| !delivered),
            next_attempt_at: row.due_at.map(|t| t.to_string()),
            stored_at: row.settled_at.filter(|_| delivered).map(|t| t.to_string()),
            authority,
        }
    }

    /// Whether this authority collects its referrals, so that nobody brings them.
    fn collects(&self, code: DfeCode) -> bool {
        let directory = self.directory.last_good();
        let entry = directory.as_ref().and_then(|d| d.directory().authorities.get(&code));
        entry.is_some_and(|entry| entry.connection == Connection::Pull)
    }

    /// What is known of it there. Stored at an inbox that nobody reads now: for an urgent referral
    /// the school is told so at once, with the number to ring, until it says that it rang.
    fn stored_words(
        &self,
        row: &DeliveryRow,
        desk: Option<Desk>,
        rung: bool,
        now: Timestamp,
    ) -> String {
        let name = self.authority_name(row.authority).name;
        let Some(desk) = desk else {
            return format!("{name} has no part in it any more");
        };
        if desk.acknowledged {
            return format!("Acknowledged by a named person at {name}");
        }
        if desk.opened {
            return format!("Opened by a person at {name}");
        }
        let urgent = Urgency::ALL.get(usize::from(row.urgency)).is_some_and(|u| u.is_urgent());
        let unattended = self.unattended(row.authority, now).filter(|_| urgent && !rung);
        match unattended {
            Some(words) => format!("Stored at {name}. {words}"),
            None => format!("Stored at {name}; nobody there need have opened it yet"),
        }
    }
}
