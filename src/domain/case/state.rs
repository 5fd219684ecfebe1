//! What the events of a thread have made of it.

use std::collections::{BTreeMap, BTreeSet};

use super::judge::Statement;
use super::kind::{EventKind, Opening};
use crate::domain::ids::Digest;
use crate::domain::party::{DfeCode, Organisation, SchoolId};

/// Where the case of one child stands with the holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChildState {
    /// No decision yet.
    Undecided,
    /// The school was told about the child; there is nothing to be decided for it.
    Told,
    /// The holder has said what it will do.
    Decided,
    /// Somebody works with the child.
    Allocated,
    /// The case is closed.
    Closed,
}

impl ChildState {
    /// As written in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            ChildState::Undecided => "undecided",
            ChildState::Told => "told",
            ChildState::Decided => "decided",
            ChildState::Allocated => "allocated",
            ChildState::Closed => "closed",
        }
    }
}

/// How far one authority has come with its delivery.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Desk {
    /// Its signed receipt is recorded.
    pub delivered: bool,
    /// A person there has opened it.
    pub opened: bool,
    /// A named social worker has acknowledged it.
    pub acknowledged: bool,
    /// It stands in the authority's own case system.
    pub filed: bool,
    /// It gets the referral only because a transfer is proposed to it: with a "no" that ends.
    pub only_asked: bool,
    /// The position of the thread that called for its delivery: an older one does not count.
    pub since: u32,
}

/// A transfer that is proposed and not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proposal {
    /// The event that proposes it.
    pub event: Digest,
    /// To whom.
    pub to: DfeCode,
}

/// A disagreement that is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disagreement {
    /// The event that brought it to its present stage.
    pub event: Digest,
    /// 1 to 5.
    pub stage: u8,
    /// Whether the authority has responded at this stage.
    pub responded: bool,
}

/// A thread as its events have made it. A pure fold: the same events in the same order give the same
/// case, wherever it is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    pub(super) opening: Opening,
    /// Whether the event that begins the thread is in it; a referral's acceptance always is.
    pub(super) begun: bool,
    pub(super) sender: SchoolId,
    pub(super) holder: DfeCode,
    pub(super) former: BTreeSet<DfeCode>,
    pub(super) desks: BTreeMap<DfeCode, Desk>,
    /// One for each child of the newest version; a referral about no child has one for its matter.
    pub(super) children: Vec<ChildState>,
    /// Whether the entry in `children` is the matter of a referral about no child.
    pub(super) no_child: bool,
    /// Whether it is an allegation about an adult, with decisions of its own.
    pub(super) allegation: bool,
    pub(super) proposal: Option<Proposal>,
    /// Who a transfer was proposed to, ever: they may speak about who is responsible.
    pub(super) asked: BTreeSet<DfeCode>,
    pub(super) declines: u32,
    pub(super) disputed: bool,
    pub(super) withdrawal: Option<Digest>,
    pub(super) misidentified: bool,
    pub(super) disagreement: Option<Disagreement>,
    /// Questions, requests for today and changed contacts without their answer, and by whom.
    pub(super) unanswered: BTreeMap<Digest, (EventKind, Organisation)>,
    /// Events that the school may say it has read, and has not.
    pub(super) unread: BTreeMap<Digest, EventKind>,
    /// How much each has said.
    pub(super) statements: BTreeMap<Organisation, u32>,
}

impl Case {
    /// A referral that was just accepted: `children` is how many it is about.
    pub fn begin(sender: SchoolId, holder: DfeCode, children: usize) -> Self {
        Self {
            opening: Opening::Referral,
            begun: true,
            sender,
            holder,
            former: BTreeSet::new(),
            desks: BTreeMap::from([(holder, Desk::default())]),
            children: vec![ChildState::Undecided; children.max(1)],
            no_child: children == 0,
            allegation: false,
            proposal: None,
            asked: BTreeSet::new(),
            declines: 0,
            disputed: false,
            withdrawal: None,
            misidentified: false,
            disagreement: None,
            unanswered: BTreeMap::new(),
            unread: BTreeMap::new(),
            statements: BTreeMap::new(),
        }
    }

    /// It is an allegation about an adult who works with children (LADO).
    pub fn of_allegation(mut self) -> Self {
        self.allegation = true;
        self
    }

    /// A thread between `school` and `authority` that an event begins, before that event. Nothing is
    /// delivered in it: each side has what it said, or was told.
    pub fn opened(opening: Opening, school: SchoolId, authority: DfeCode) -> Self {
        let mut case = Self::begin(school, authority, usize::from(opening == Opening::Notice));
        let desk = Desk { delivered: true, opened: true, acknowledged: true, ..Desk::default() };
        case.desks.insert(authority, desk);
        if opening == Opening::Notice {
            case.children.fill(ChildState::Told);
        }
        Self { opening, begun: false, ..case }
    }

    /// What the thread began with.
    pub fn opening(&self) -> Opening {
        self.opening
    }

    /// An acceptance sends the referral to `authority`, for whatever purpose.
    pub fn sent_to(&mut self, authority: DfeCode) {
        self.desks.entry(authority).or_default().only_asked = false;
    }

    /// The receipt of `authority` is recorded, for a delivery that was called for at `position`. One
    /// that has declined meanwhile has no part in it any more.
    pub fn delivered(&mut self, authority: DfeCode, position: u32) {
        let desk = self.desks.get_mut(&authority).filter(|desk| position >= desk.since);
        if let Some(desk) = desk {
            desk.delivered = true;
        }
    }

    /// A new version is accepted, about `children` children, the old ones first. Cases that were
    /// closed are open again, because somebody has to read it.
    pub fn supplemented(&mut self, children: usize) {
        for child in &mut self.children {
            if *child == ChildState::Closed {
                *child = ChildState::Undecided;
            }
        }
        let children = children.max(self.children.len());
        self.children.resize(children, ChildState::Undecided);
    }

    /// The school that sent it; of a thread that an event began, the school in it.
    pub fn sender(&self) -> &SchoolId {
        &self.sender
    }

    /// The one accountable authority; of a thread that an event began, the authority in it.
    pub fn holder(&self) -> DfeCode {
        self.holder
    }

    /// Authorities that held it before.
    pub fn former_holders(&self) -> impl Iterator<Item = DfeCode> + '_ {
        self.former.iter().copied()
    }

    /// How far `authority` has come; `None` if it never was to get the referral.
    pub fn desk(&self, authority: DfeCode) -> Option<Desk> {
        self.desks.get(&authority).copied()
    }

    /// The case of each child, in the order of the newest version.
    pub fn children(&self) -> &[ChildState] {
        &self.children
    }

    /// Whether it is about no child; its one entry in `children` then stands for its matter.
    pub fn is_about_no_child(&self) -> bool {
        self.no_child
    }

    /// The transfer that waits for an answer.
    pub fn proposal(&self) -> Option<Proposal> {
        self.proposal
    }

    /// Whether authorities disagree about who is responsible.
    pub fn is_disputed(&self) -> bool {
        self.disputed
    }

    /// The disagreement between school and authority that is not over.
    pub fn disagreement(&self) -> Option<Disagreement> {
        self.disagreement
    }

    /// Whether it was said to be about the wrong child, or to the wrong recipient.
    pub fn is_misidentified(&self) -> bool {
        self.misidentified
    }

    /// Whether the school has asked to take it back and has no answer.
    pub fn withdrawal_is_open(&self) -> bool {
        self.withdrawal.is_some()
    }

    /// Whether the case of every child is closed.
    pub fn is_closed(&self) -> bool {
        self.children.iter().all(|child| *child == ChildState::Closed)
    }

    /// Events that wait for an answer, by digest.
    pub fn unanswered(&self) -> impl Iterator<Item = (Digest, EventKind)> + '_ {
        self.unanswered.iter().map(|(digest, (kind, _))| (*digest, *kind))
    }

    /// Events that nobody at the school has read, by digest.
    pub fn unread(&self) -> impl Iterator<Item = (Digest, EventKind)> + '_ {
        self.unread.iter().map(|(digest, kind)| (*digest, *kind))
    }

    /// Whether the exchange may erase the documents, as far as the case is concerned: every child
    /// closed, filed by the holder, and no transfer, dispute, disagreement or withdrawal open. What was
    /// handed over by hand has no holder who could file it here.
    pub fn may_be_erased(&self) -> bool {
        let filed = self.desks.get(&self.holder).is_some_and(|desk| desk.filed);
        self.is_closed()
            && (filed || self.opening == Opening::HandOver)
            && self.proposal.is_none()
            && !self.disputed
            && self.disagreement.is_none()
            && self.withdrawal.is_none()
    }

    /// What the event changes. It is taken as it stands: whether it was allowed was judged when it
    /// was recorded, by [`Case::judge`].
    pub fn apply(&mut self, event: &Statement<'_>) {
        use EventKind as K;
        let authority = match event.author.organisation {
            Organisation::Authority(code) => Some(code),
            _ => None,
        };
        *self.statements.entry(event.author.organisation.clone()).or_default() += 1;
        if K::Read.answers().contains(&event.kind) {
            self.unread.insert(event.digest, event.kind);
        }
        // To have read it is not to have answered it.
        if let Some(answered) = event.answers.filter(|_| event.kind != K::Read) {
            self.unanswered.remove(&answered);
        }
        match event.kind {
            K::Opened => self.at_desk(authority, |desk| desk.opened = true),
            K::Acknowledged => self.at_desk(authority, |desk| {
                desk.opened = true;
                desk.acknowledged = true;
            }),
            K::Filed => self.at_desk(authority, |desk| desk.filed = true),
            K::InformationRequested | K::Interim | K::ContactsChanged => {
                let by = event.author.organisation.clone();
                self.unanswered.insert(event.digest, (event.kind, by));
            }
            K::Decided => self.set_children(event.children, ChildState::Decided),
            K::Allocated => self.set_children(event.children, ChildState::Allocated),
            K::Closed => self.set_children(event.children, ChildState::Closed),
            K::TransferProposed => {
                self.proposal = event.to.map(|to| Proposal { event: event.digest, to });
                if let Some(to) = event.to {
                    self.asked.insert(to);
                    let since = event.position;
                    let asked = Desk { only_asked: true, since, ..Desk::default() };
                    self.desks.entry(to).or_insert(asked);
                }
            }
            K::TransferWithdrawn => self.end_proposal(),
            K::TransferAccepted => self.hand_over(),
            K::TransferDeclined => {
                self.end_proposal();
                self.declines += 1;
                self.disputed |= self.declines >= 2;
            }
            K::ResponsibilityDisputed => self.disputed = true,
            K::DisputeResolved => {
                self.disputed = false;
                self.declines = 0;
            }
            K::WithdrawalRequested => self.withdrawal = Some(event.digest),
            K::WithdrawalRefused => self.withdrawal = None,
            K::WithdrawalConfirmed => {
                self.withdrawal = None;
                self.end_proposal();
                self.children.fill(ChildState::Closed);
            }
            K::Misidentified => self.misidentified = true,
            K::PupilNotice | K::Consultation | K::HandedOver => self.begun = true,
            K::ConsultationAnswered | K::HandOverClosed => {
                self.children.fill(ChildState::Closed);
            }
            K::Read => {
                if let Some(read) = event.answers {
                    self.unread.remove(&read);
                }
            }
            K::DisagreementRaised | K::DisagreementStepped => {
                let stage = event.stage.unwrap_or(1);
                self.disagreement =
                    Some(Disagreement { event: event.digest, stage, responded: false });
            }
            K::DisagreementResponded => {
                if let Some(open) = &mut self.disagreement {
                    open.responded = true;
                }
            }
            K::DisagreementResolved => self.disagreement = None,
            K::InformationSupplied
            | K::InterimAnswered
            | K::WorkerChanged
            | K::Progress
            | K::CallRecorded
            | K::ContactsConfirmed
            | K::HandOverNoted
            | K::ClockWarning
            | K::ClockBreached
            | K::DeliveryDelayed
            | K::DeliveryFailed => {}
        }
    }

    /// Who was only asked has no part in it any more.
    fn end_proposal(&mut self) {
        if let Some(ended) = self.proposal.take()
            && self.desks.get(&ended.to).is_some_and(|desk| desk.only_asked)
        {
            self.desks.remove(&ended.to);
        }
    }

    /// The authority that was asked is the holder now. What is not closed is for it to decide.
    fn hand_over(&mut self) {
        let Some(accepted) = self.proposal.take() else { return };
        self.desks.remove(&self.holder);
        self.former.insert(self.holder);
        self.former.remove(&accepted.to);
        self.holder = accepted.to;
        self.desks.entry(accepted.to).or_default().only_asked = false;
        self.declines = 0;
        self.disputed = false;
        for child in self.children.iter_mut().filter(|c| **c != ChildState::Closed) {
            *child = ChildState::Undecided;
        }
    }

    fn at_desk(&mut self, authority: Option<DfeCode>, change: impl FnOnce(&mut Desk)) {
        if let Some(desk) = authority.and_then(|code| self.desks.get_mut(&code)) {
            change(desk);
        }
    }

    /// The children that a statement names; the matter itself where there is no child.
    pub(super) fn named<'a>(&'a self, named: &'a [u32]) -> impl Iterator<Item = usize> + 'a {
        let matter = self.no_child && named.is_empty();
        let children = named.iter().filter_map(|n| usize::try_from(*n).ok()?.checked_sub(1));
        children.chain(matter.then_some(0))
    }

    fn set_children(&mut self, named: &[u32], state: ChildState) {
        let named: Vec<usize> = self.named(named).collect();
        for at in named {
            if let Some(child) = self.children.get_mut(at) {
                *child = state;
            }
        }
    }
}
