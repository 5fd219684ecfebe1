//! Which verb says what.

use crate::domain::case::EventKind;

/// Whose verbs they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Side {
    School,
    Authority,
}

/// A verb and what it says.
pub(super) type Verb = (&'static str, EventKind, &'static str);

const OF_AUTHORITIES: &[Verb] = &[
    ("notice", EventKind::PupilNotice, "Tell a school about its pupil, whom it did not refer"),
    ("advise", EventKind::ConsultationAnswered, "Answer a school that asks for advice"),
    ("open", EventKind::Opened, "Say that you, a person, have opened a referral"),
    (
        "acknowledge",
        EventKind::Acknowledged,
        "Acknowledge a referral, by name and with your number",
    ),
    ("ask", EventKind::InformationRequested, "Ask the school a question"),
    ("interim", EventKind::Interim, "Ask the school to do something today"),
    ("decide", EventKind::Decided, "Say what will be done for each child, and why"),
    ("allocate", EventKind::Allocated, "Say who works with the children"),
    ("change-worker", EventKind::WorkerChanged, "Say who works with the children from now on"),
    ("progress", EventKind::Progress, "Tell the school of a step on the way"),
    ("transfer", EventKind::TransferProposed, "Ask another authority to take a referral over"),
    ("transfer-withdraw", EventKind::TransferWithdrawn, "Take a proposed transfer back"),
    ("transfer-accept", EventKind::TransferAccepted, "Take a referral over"),
    ("transfer-decline", EventKind::TransferDeclined, "Say why a referral is not for you"),
    (
        "dispute",
        EventKind::ResponsibilityDisputed,
        "Say that authorities do not agree who is responsible",
    ),
    ("settle", EventKind::DisputeResolved, "Say that authorities agree again"),
    (
        "withdrawal-confirm",
        EventKind::WithdrawalConfirmed,
        "Confirm that the school takes a referral back",
    ),
    ("withdrawal-refuse", EventKind::WithdrawalRefused, "Say why the case goes on"),
    ("respond", EventKind::DisagreementResponded, "Respond to a disagreement"),
    ("close", EventKind::Closed, "Close the case of the children, and say why"),
    ("file", EventKind::Filed, "Say that a referral stands in your case system"),
    ("call", EventKind::CallRecorded, "Record a telephone call"),
    ("contacts", EventKind::ContactsChanged, "Tell the school whom to ask for from now on"),
    ("confirm-contacts", EventKind::ContactsConfirmed, "Confirm the school's changed contacts"),
    (
        "misidentified",
        EventKind::Misidentified,
        "Take a referral about the wrong child out of use, at once",
    ),
];

const OF_SCHOOLS: &[Verb] = &[
    ("consult", EventKind::Consultation, "Ask an authority for advice before a referral"),
    (
        "handed-over",
        EventKind::HandedOver,
        "Record what you handed over by phone, secure e-mail or in person",
    ),
    ("note", EventKind::HandOverNoted, "Add to a hand-over what came of it"),
    ("end-hand-over", EventKind::HandOverClosed, "Say that nothing more is to be recorded of it"),
    ("read", EventKind::Read, "Say that you have read what the authority said"),
    ("answer", EventKind::InformationSupplied, "Answer the authority's question"),
    ("reply", EventKind::InterimAnswered, "Say whether the school can do what it is asked today"),
    ("call", EventKind::CallRecorded, "Record a telephone call"),
    ("challenge", EventKind::DisagreementRaised, "Disagree: with a decision, or with silence"),
    ("step-up", EventKind::DisagreementStepped, "Take a disagreement to a higher stage"),
    ("end-disagreement", EventKind::DisagreementResolved, "Say that a disagreement is over"),
    (
        "withdraw",
        EventKind::WithdrawalRequested,
        "Take a referral back; the authority has to confirm",
    ),
    ("contacts", EventKind::ContactsChanged, "Tell the authority whom to ask for from now on"),
    ("confirm-contacts", EventKind::ContactsConfirmed, "Confirm the authority's changed contacts"),
    (
        "misidentified",
        EventKind::Misidentified,
        "Take a referral about the wrong child out of use, at once",
    ),
];

impl Side {
    pub const fn verbs(self) -> &'static [Verb] {
        match self {
            Side::School => OF_SCHOOLS,
            Side::Authority => OF_AUTHORITIES,
        }
    }

    pub const fn word(self) -> &'static str {
        match self {
            Side::School => "school",
            Side::Authority => "authority",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::case::Author;

    #[test]
    fn every_event_has_its_verb_on_the_side_that_may_say_it() {
        let said = |side: Side, kind| side.verbs().iter().any(|(_, k, _)| *k == kind);
        for kind in EventKind::all() {
            let (school, authority) = match kind.author() {
                Author::Sender => (true, false),
                Author::SenderOrHolder => (true, true),
                Author::Gateway => (false, false),
                _ => (false, true),
            };
            assert_eq!(said(Side::School, kind), school, "{}", kind.name());
            assert_eq!(said(Side::Authority, kind), authority, "{}", kind.name());
        }
    }
}
