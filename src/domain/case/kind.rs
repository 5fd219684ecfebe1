//! The kinds of events: what each is called, who may say it, about whom, and with what.

/// One kind of event. The codes E1-E20 of the domain notes stand beside each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// E7: a person at the authority has opened it.
    Opened,
    /// E8: a named social worker has taken note of it: the statutory acknowledgement.
    Acknowledged,
    /// E9: the authority needs to know more. Its own clocks run on.
    InformationRequested,
    /// E9: the school's answer.
    InformationSupplied,
    /// E10: what a named worker asks the school to do today.
    Interim,
    /// E10: whether the school can.
    InterimAnswered,
    /// E11: what the authority will do, child by child.
    Decided,
    /// E12: who works with the child.
    Allocated,
    /// E12: somebody else does now.
    WorkerChanged,
    /// E13: a step on the way: strategy discussion, enquiry, conference, plan.
    Progress,
    /// E14: the holder asks another authority to take it over.
    TransferProposed,
    /// E14: the holder takes the proposal back.
    TransferWithdrawn,
    /// E14: the other authority is the holder from here on.
    TransferAccepted,
    /// E14: the other authority says no, and why.
    TransferDeclined,
    /// E15: two authorities do not agree which of them is responsible. The holder acts meanwhile.
    ResponsibilityDisputed,
    /// E15: they agree again.
    DisputeResolved,
    /// E6: the school takes the referral back; the holder has to confirm.
    WithdrawalRequested,
    /// E6: it is taken back.
    WithdrawalConfirmed,
    /// E6: it is not, because an enquiry has begun.
    WithdrawalRefused,
    /// E6: the wrong child or the wrong recipient. Needs nobody's permission; hides everything at once.
    Misidentified,
    /// E16: the case of a child is closed.
    Closed,
    /// The referral stands in the authority's own case system.
    Filed,
    /// E18: somebody at the school has read an event.
    Read,
    /// The school rang somebody.
    CallRecorded,
    /// E19: the school disagrees, at a stage.
    DisagreementRaised,
    /// E19: the authority's answer at that stage.
    DisagreementResponded,
    /// E19: the school takes it to a higher stage.
    DisagreementStepped,
    /// E19: the disagreement is over.
    DisagreementResolved,
    /// Contacts of the school or an authority are others now.
    ContactsChanged,
    /// The other side has taken note.
    ContactsConfirmed,
    /// E20: a limit comes near.
    ClockWarning,
    /// E20: a limit has passed.
    ClockBreached,
    /// E4: an authority still has not stored what is for it, and the school is to ring.
    DeliveryDelayed,
    /// E4: the exchange has given up bringing it.
    DeliveryFailed,
    /// E17: an authority tells a school about its pupil, whom the school did not refer. Begins a thread.
    PupilNotice,
    /// A school asks a front door for advice, before there is a referral. Begins a thread.
    Consultation,
    /// The advice.
    ConsultationAnswered,
    /// A school has handed something over by telephone or secure e-mail. Begins a thread, which nobody
    /// else sees.
    HandedOver,
    /// What came of it since.
    HandOverNoted,
    /// Nothing more is to be recorded of it.
    HandOverClosed,
}

/// What a thread began with: which events belong in it depends on that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Opening {
    /// A school's referral, accepted by the exchange.
    Referral,
    /// An authority's notice to one school: the authority is the holder, the school the other side.
    Notice,
    /// A school's question to a front door: that authority is the holder.
    Consultation,
    /// A school's record of what it handed over outside of the exchange: nobody else has a part in it.
    HandOver,
}

impl Opening {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Referral, Self::Notice, Self::Consultation, Self::HandOver];

    /// The event that begins such a thread; a referral begins with its acceptance.
    pub const fn event(self) -> Option<EventKind> {
        match self {
            Opening::Referral => None,
            Opening::Notice => Some(EventKind::PupilNotice),
            Opening::Consultation => Some(EventKind::Consultation),
            Opening::HandOver => Some(EventKind::HandedOver),
        }
    }

    /// As written in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Opening::Referral => "referral",
            Opening::Notice => "notice",
            Opening::Consultation => "consultation",
            Opening::HandOver => "hand_over",
        }
    }
}

/// Who may say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Author {
    /// The school that sent the referral.
    Sender,
    /// The accountable authority.
    Holder,
    /// The accountable authority, or one with a delivery of its own (child in area, case holding).
    AnyRecipient,
    /// The authority that a transfer is proposed to.
    Proposed,
    /// The sender or the accountable authority.
    SenderOrHolder,
    /// The accountable authority, or the one that a transfer is or was proposed to.
    HolderOrProposed,
    /// A gateway.
    Gateway,
}

/// About whom it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// The referral as a whole: names no child.
    Referral,
    /// Names every child that it is about; none only where the referral is about none.
    Children,
}

/// Whether it comes with a document of its own, for what is personal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Detail {
    /// Codes say it all.
    None,
    /// Words may come with it.
    Optional,
    /// Codes alone would say too little.
    Required,
}

/// One row of the table of events.
pub(super) struct Row {
    pub kind: EventKind,
    pub name: &'static str,
    pub author: Author,
    /// Only a person's own certificate may sign it: no machine says that a person has read.
    pub by_a_person: bool,
    pub scope: Scope,
    pub detail: Detail,
    /// In which threads it may stand.
    pub within: &'static [Opening],
    /// Whether it answers an earlier event, whose digest it names.
    pub answers: &'static [EventKind],
    /// What must be so before, in words; `judge` has the rule.
    pub needs: &'static str,
    /// What is so afterwards, in words.
    pub effect: &'static str,
}

macro_rules! rows {
    ($($kind:ident $name:literal $author:ident $person:ident $scope:ident $detail:ident
       $within:ident [$($answers:ident)*] $needs:literal => $effect:literal;)*) => {
        &[$(Row {
            kind: EventKind::$kind,
            name: $name,
            author: Author::$author,
            by_a_person: rows!(@ $person),
            scope: Scope::$scope,
            detail: Detail::$detail,
            within: $within,
            answers: &[$(EventKind::$answers),*],
            needs: $needs,
            effect: $effect,
        }),*]
    };
    (@ person) => { true };
    (@ anybody) => { false };
}

/// In the order of [`EventKind`].
pub(super) static ROWS: &[Row] = rows! {
    Opened "opened" AnyRecipient person Referral None REFERRALS []
        "its delivery is recorded, and this authority has not opened it yet" => "opened by a person there";
    Acknowledged "acknowledged" AnyRecipient person Referral Required REFERRALS []
        "its delivery is recorded" => "acknowledged there; opened too";
    InformationRequested "information_requested" Holder anybody Referral Required SHARED []
        "acknowledged" => "a question is open";
    InformationSupplied "information_supplied" Sender anybody Referral Required SHARED [InformationRequested]
        "that question is open" => "that question is answered";
    Interim "interim" AnyRecipient anybody Referral Required CASES []
        "opened there" => "the school is asked to do something today";
    InterimAnswered "interim_answered" Sender anybody Referral Optional CASES [Interim]
        "that request is not answered yet" => "that request is answered";
    Decided "decided" Holder anybody Children Required REFERRALS []
        "acknowledged; those children are not closed" => "those children are decided";
    Allocated "allocated" Holder anybody Children Required CASES []
        "those children are decided and have no worker" => "those children have a worker";
    WorkerChanged "worker_changed" Holder anybody Children Required CASES []
        "those children have a worker" => "they have another";
    Progress "progress" Holder anybody Children Optional CASES []
        "those children are decided" => "nothing but the step itself";
    TransferProposed "transfer_proposed" Holder anybody Referral Required REFERRALS []
        "no other proposal is open; not every child is closed" => "a proposal is open; the other authority gets the referral";
    TransferWithdrawn "transfer_withdrawn" Holder anybody Referral Optional REFERRALS [TransferProposed]
        "that proposal is open" => "no proposal is open";
    TransferAccepted "transfer_accepted" Proposed anybody Referral Optional REFERRALS [TransferProposed]
        "that proposal is open, and delivered there" => "that authority is the holder; a dispute is over";
    TransferDeclined "transfer_declined" Proposed anybody Referral Required REFERRALS [TransferProposed]
        "that proposal is open" => "no proposal is open; the second decline opens a dispute";
    ResponsibilityDisputed "responsibility_disputed" HolderOrProposed anybody Referral Required REFERRALS []
        "no dispute is open" => "a dispute is open";
    DisputeResolved "dispute_resolved" HolderOrProposed anybody Referral Required REFERRALS []
        "a dispute is open" => "no dispute is open";
    WithdrawalRequested "withdrawal_requested" Sender anybody Referral Required REFERRALS []
        "no request to withdraw is open; not every child is closed" => "a request to withdraw is open";
    WithdrawalConfirmed "withdrawal_confirmed" Holder anybody Referral Optional REFERRALS [WithdrawalRequested]
        "that request is open" => "withdrawn: every child is closed";
    WithdrawalRefused "withdrawal_refused" Holder anybody Referral Required REFERRALS [WithdrawalRequested]
        "that request is open" => "no request is open; the case goes on";
    Misidentified "misidentified" SenderOrHolder anybody Referral None EVERYWHERE []
        "nothing" => "nobody sees anything of it any more";
    Closed "closed" Holder anybody Children Required CASES []
        "those children are decided" => "those children are closed";
    Filed "filed" Holder anybody Referral None SHARED []
        "acknowledged" => "may be erased here once nothing else is open";
    Read "read" Sender anybody Referral None SHARED
        [Opened Acknowledged InformationRequested Interim Decided Allocated WorkerChanged Progress
         TransferProposed TransferWithdrawn TransferAccepted TransferDeclined ResponsibilityDisputed
         DisputeResolved WithdrawalConfirmed WithdrawalRefused Closed DisagreementResponded
         ContactsChanged ClockWarning ClockBreached DeliveryDelayed DeliveryFailed PupilNotice
         ConsultationAnswered]
        "that event is not read yet" => "that event is read";
    CallRecorded "call_recorded" SenderOrHolder anybody Referral Optional EVERYWHERE []
        "nothing" => "nothing but the call itself";
    DisagreementRaised "disagreement_raised" Sender anybody Referral Required REFERRALS []
        "no disagreement is open" => "a disagreement is open at that stage";
    DisagreementResponded "disagreement_responded" Holder anybody Referral Required REFERRALS
        [DisagreementRaised DisagreementStepped]
        "that is the present stage, and has no response" => "that stage has its response";
    DisagreementStepped "disagreement_stepped" Sender anybody Referral Required REFERRALS []
        "a disagreement is open at a lower stage" => "it is at that stage";
    DisagreementResolved "disagreement_resolved" Sender anybody Referral Optional REFERRALS []
        "a disagreement is open" => "no disagreement is open";
    ContactsChanged "contacts_changed" SenderOrHolder anybody Referral Required CASES []
        "nothing" => "to be confirmed by the other side";
    ContactsConfirmed "contacts_confirmed" SenderOrHolder anybody Referral None CASES [ContactsChanged]
        "that change is the other side's, and not confirmed" => "that change is confirmed";
    ClockWarning "clock_warning" Gateway anybody Referral None EVERYWHERE []
        "this clock has no warning for this limit" => "nothing but the warning itself";
    ClockBreached "clock_breached" Gateway anybody Referral None EVERYWHERE []
        "this clock has no breach for this limit" => "nothing but the breach itself";
    DeliveryDelayed "delivery_delayed" Gateway anybody Referral None REFERRALS []
        "that authority has a part in it; nothing of the kind was said of this delivery" => "nothing but the word itself";
    DeliveryFailed "delivery_failed" Gateway anybody Referral None REFERRALS []
        "that authority has a part in it; this was not said of this delivery" => "nothing but the word itself";
    PupilNotice "pupil_notice" Holder anybody Referral Required NOTICES []
        "nobody has used the id; the school is enrolled" => "a thread of this authority and that school";
    Consultation "consultation" Sender anybody Referral Required CONSULTATIONS []
        "nobody has used the id; that authority answers through the exchange" => "a thread of this school and that authority";
    ConsultationAnswered "consultation_answered" Holder anybody Referral Required CONSULTATIONS []
        "nothing" => "answered: closed";
    HandedOver "handed_over" Sender anybody Referral Required HAND_OVERS []
        "nobody has used the id; the directory lists that authority" => "a thread of this school alone";
    HandOverNoted "hand_over_noted" Sender anybody Referral Required HAND_OVERS []
        "not closed" => "nothing but the note itself";
    HandOverClosed "hand_over_closed" Sender anybody Referral Optional HAND_OVERS []
        "not closed" => "closed: may be erased here";
};

const REFERRALS: &[Opening] = &[Opening::Referral];
const NOTICES: &[Opening] = &[Opening::Notice];
const CONSULTATIONS: &[Opening] = &[Opening::Consultation];
const HAND_OVERS: &[Opening] = &[Opening::HandOver];
/// Where an authority works with a child.
const CASES: &[Opening] = &[Opening::Referral, Opening::Notice];
/// Where there is another side.
const SHARED: &[Opening] = &[Opening::Referral, Opening::Notice, Opening::Consultation];
const EVERYWHERE: &[Opening] = &Opening::ALL;

impl EventKind {
    /// Every kind, in the order of the table.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        ROWS.iter().map(|row| row.kind)
    }

    /// Its name in URIs, on the command line and in listings.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// By its name.
    pub fn from_name(name: &str) -> Option<Self> {
        ROWS.iter().find(|row| row.name == name).map(|row| row.kind)
    }

    /// Who may say it.
    pub fn author(self) -> Author {
        self.row().author
    }

    /// Whether only a person's own certificate may sign it.
    pub fn by_a_person(self) -> bool {
        self.row().by_a_person
    }

    /// About whom it is.
    pub fn scope(self) -> Scope {
        self.row().scope
    }

    /// Whether it comes with a document of its own.
    pub fn detail(self) -> Detail {
        self.row().detail
    }

    /// The kinds of event that it may answer; empty if it answers none.
    pub fn answers(self) -> &'static [EventKind] {
        self.row().answers
    }

    /// In which threads it may stand.
    pub fn within(self) -> &'static [Opening] {
        self.row().within
    }

    /// The kind of thread that it begins, if it begins one.
    pub fn opens(self) -> Option<Opening> {
        Opening::ALL.into_iter().find(|opening| opening.event() == Some(self))
    }

    /// Whether it names the authority that it is for, or whose delivery it is about.
    pub fn names_authority(self) -> bool {
        let opens = matches!(self.opens(), Some(Opening::Consultation | Opening::HandOver));
        opens || self == Self::TransferProposed || self.is_of_a_delivery()
    }

    /// Whether it is the exchange's word about a delivery to one authority.
    pub const fn is_of_a_delivery(self) -> bool {
        matches!(self, Self::DeliveryDelayed | Self::DeliveryFailed)
    }

    pub(super) fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_each_kind_at_its_place_under_one_name() {
        for (at, row) in ROWS.iter().enumerate() {
            assert_eq!(row.kind as usize, at, "{}", row.name);
            assert_eq!(row.kind.row().name, row.name);
            assert_eq!(EventKind::from_name(row.name), Some(row.kind));
            assert!(row.name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_'), "{}", row.name);
        }
        assert_eq!(EventKind::all().len(), EventKind::HandOverClosed as usize + 1);
        assert_eq!(EventKind::from_name("accepted"), None, "means something else to schools");
    }

    #[test]
    fn every_thread_begins_with_an_event_of_its_own() {
        let opening: Vec<_> = EventKind::all().filter(|kind| kind.opens().is_some()).collect();
        assert_eq!(
            opening,
            [EventKind::PupilNotice, EventKind::Consultation, EventKind::HandedOver]
        );
        for kind in opening {
            assert_eq!(kind.within(), [kind.opens().unwrap()]);
            assert_eq!((kind.scope(), kind.detail()), (Scope::Referral, Detail::Required));
        }
    }

    #[test]
    fn no_machine_says_that_a_person_has_read() {
        let by_persons: Vec<_> = EventKind::all().filter(|k| k.by_a_person()).collect();
        assert_eq!(by_persons, [EventKind::Opened, EventKind::Acknowledged]);
    }
}
