//! What is recorded of a referral, as the rules see it: the case that its events have made, and who
//! has which part in it.

use std::collections::BTreeMap;

use super::exchange::Exchange;
use super::trouble::{Fault, Trouble};
use crate::domain::case::{Case, EventKind};
use crate::domain::delivery::State;
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::{DfeCode, Organisation, Party};
use crate::domain::referral::RequestType;
use crate::domain::visibility::{Involved, Part, Spoken, may_see, may_see_event};
use crate::protocol::evidence::unverified_claims;
use crate::protocol::json;
use crate::protocol::jws::Unverified;
use crate::protocol::tokens::CaseEvent;
use crate::store::{DeliveryRow, Document, StoreFault, StoredEvent, Thread};

/// An event as it was recorded, with what it says.
pub(super) struct Event {
    pub stored: StoredEvent,
    pub said: CaseEvent,
}

impl Event {
    /// SHA-256 of its token.
    pub fn digest(&self) -> Digest {
        self.stored.event.token.sha256
    }
}

/// A referral as it stands.
pub(super) struct Known {
    pub thread: Thread,
    pub case: Case,
    pub events: Vec<Event>,
    /// The verified sender, with the person if one signed.
    pub sender: Party,
    /// What was asked for, or what a consultation or hand-over is about.
    pub request_type: RequestType,
    /// The position of each version; none in a thread that an event began.
    pub versions: Vec<u32>,
    recipients: Vec<DfeCode>,
    former: Vec<DfeCode>,
    /// Who may see an allegation about staff.
    named: Vec<Party>,
}

impl Known {
    fn involved(&self) -> Involved<'_> {
        Involved {
            opening: self.case.opening(),
            sender: &self.sender,
            holder: self.case.holder(),
            recipients: &self.recipients,
            proposed: self.case.proposal().map(|open| open.to),
            former: &self.former,
            misidentified: self.case.is_misidentified(),
            request_type: self.request_type,
            named: &self.named,
        }
    }

    /// Whether `viewer` may see `part` of it.
    pub fn allows(&self, viewer: &Party, part: Part) -> bool {
        may_see(viewer, part, self.involved())
    }

    fn shows(&self, viewer: &Party, said: Spoken<'_>) -> bool {
        may_see_event(viewer, said, self.involved())
    }

    /// The events that `viewer` may see.
    pub fn shown_to<'a>(&'a self, viewer: &'a Party) -> impl Iterator<Item = &'a Event> {
        let shows = |event: &&Event| self.shows(viewer, spoken(&event.said));
        self.events.iter().filter(shows)
    }

    /// The organisations that have a part in it and may see what is said.
    pub fn readers(&self, said: &CaseEvent) -> Vec<Organisation> {
        let involved = self.involved();
        let authorities = [Some(involved.holder), involved.proposed];
        let authorities = authorities.into_iter().flatten();
        let others = self.recipients.iter().chain(&self.former).copied();
        let mut readers: Vec<Organisation> =
            authorities.chain(others).map(Organisation::Authority).collect();
        readers.push(self.sender.organisation.clone());
        readers.sort_unstable();
        readers.dedup();
        let scheme = &self.sender.trust_domain;
        // Into the feed of an organisation goes also what only named persons of it may see; whoever
        // polls is given what that certificate may see.
        readers.retain(|reader| {
            let whole = Party::organisation(scheme.clone(), reader.clone());
            let persons = self.named.iter().filter(|person| person.organisation == *reader);
            persons.chain([&whole]).any(|reader| self.shows(reader, spoken(said)))
        });
        readers
    }

    /// The place of what called for a delivery: with the authority, its name for good.
    pub fn called_at(&self, delivery: &DeliveryRow) -> u32 {
        let version = (delivery.version as usize).saturating_sub(1);
        let accepted = self.versions.get(version).copied().unwrap_or(1);
        delivery.called_by.unwrap_or(accepted)
    }

    /// Whether it is about an allegation, and nobody at the holder may see it.
    pub fn has_no_reader_there(&self) -> bool {
        let holder = Organisation::Authority(self.case.holder());
        self.request_type == RequestType::Lado
            && !self.named.iter().any(|person| person.organisation == holder)
    }

    /// The kind of the event with this digest, if the thread has it.
    pub fn kind_of(&self, event: Digest) -> Option<EventKind> {
        let found = self.events.iter().find(|e| e.digest() == event);
        found.map(|e| e.said.kind())
    }
}

impl Known {
    /// A thread that `first` begins, as it stands before that event: the school's side and the
    /// authority's, as the event names them. `None` if it begins none.
    fn begun_by(first: &CaseEvent, thread: Thread) -> Option<Self> {
        let case = first.statement(Digest::from_bytes([0; 32]), 1, None).begins()?;
        let school = Organisation::School(case.sender().clone());
        let author = first.author();
        let is_author = author.organisation == school;
        let sender = match is_author {
            true => author.clone(),
            false => Party::organisation(author.trust_domain.clone(), school),
        };
        // Codes of notices, and "not sure", are no request types: nothing follows from them.
        let code = first.body().code.as_deref().filter(|_| is_author);
        let request_type = code.and_then(RequestType::from_code);
        Some(Self {
            thread,
            case,
            events: Vec::new(),
            named: Vec::new(),
            sender,
            request_type: request_type.unwrap_or(RequestType::InformationOnly),
            versions: Vec::new(),
            recipients: Vec::new(),
            former: Vec::new(),
        })
    }
}

impl Exchange {
    /// The thread that `first` begins, before that event is in it, with those who may see it.
    pub(super) fn begun_by(&self, first: &CaseEvent, thread: Thread) -> Option<Known> {
        let mut known = Known::begun_by(first, thread)?;
        known.named = self.named(&known);
        Some(known)
    }

    /// Everything about a referral; `None` if nobody has used the id.
    pub(super) async fn known(&self, id: ReferralId) -> Result<Option<Known>, Trouble> {
        let Some(thread) = self.store.thread(id).await? else { return Ok(None) };
        let corrupt = || Trouble::from(StoreFault::Corrupt);
        let mut events = Vec::with_capacity(thread.events.len());
        for stored in &thread.events {
            let said = said(stored).ok_or_else(corrupt)?;
            events.push(Event { stored: stored.clone(), said });
        }
        let mut known = match (thread.versions.is_empty(), events.first()) {
            (false, _) => self.referral(thread, &events).await?,
            (true, Some(first)) => Known::begun_by(&first.said, thread).ok_or_else(corrupt)?,
            (true, None) => return Err(corrupt()),
        };
        let children = known.case.children().len();
        let case = &mut known.case;
        let mut reopened = known.versions.iter().skip(1).copied().peekable();
        let kinds: BTreeMap<Digest, EventKind> =
            events.iter().map(|e| (e.digest(), e.said.kind())).collect();
        for event in &events {
            let (digest, position) = (event.digest(), event.stored.position);
            while reopened.next_if(|at| *at < position).is_some() {
                case.supplemented(children);
            }
            let answered = event.said.body().answers.and_then(|a| kinds.get(&a).copied());
            case.apply(&event.said.statement(digest, position, answered));
        }
        if reopened.next().is_some() {
            case.supplemented(children);
        }
        let deliveries = &known.thread.deliveries;
        for delivery in deliveries.iter().filter(|d| d.state == State::Delivered) {
            case.delivered(delivery.authority, delivery.called_by.unwrap_or(0));
        }
        let with_desk = deliveries.iter().map(|d| d.authority);
        known.recipients =
            with_desk.filter(|code| case.desk(*code).is_some() && *code != case.holder()).collect();
        known.former = case.former_holders().collect();
        known.events = events;
        known.named = self.named(&known);
        Ok(Some(known))
    }

    /// Who may see an allegation about staff: the person who sent it, and the designated officers that the
    /// directory in use lists for the authorities that have or had a part in it.
    fn named(&self, known: &Known) -> Vec<Party> {
        if known.request_type != RequestType::Lado {
            return Vec::new();
        }
        let mut named: Vec<Party> =
            known.sender.person.iter().map(|_| known.sender.clone()).collect();
        let directory = self.directory.last_good();
        let Some(directory) = directory.as_ref().map(|held| held.directory()) else { return named };
        let involved = known.involved();
        let one = [Some(involved.holder), involved.proposed].into_iter().flatten();
        for code in one.chain(known.recipients.iter().chain(&known.former).copied()) {
            let entry = directory.authority(code, self.now());
            for officer in entry.into_iter().flat_map(|entry| &entry.settings.officers) {
                let organisation = Organisation::Authority(code);
                let whole = Party::organisation(known.sender.trust_domain.clone(), organisation);
                named.push(Party { person: Some(officer.clone()), ..whole });
            }
        }
        named
    }

    /// A referral as it was accepted, about as many children as its newest version.
    async fn referral(&self, thread: Thread, events: &[Event]) -> Result<Known, Trouble> {
        let corrupt = || Trouble::from(StoreFault::Corrupt);
        let id = thread.referral_id;
        let newest = thread.versions.last().ok_or_else(corrupt)?;
        // What was an allegation once is never shown as anything else.
        let allegation =
            thread.versions.iter().any(|v| v.request_type == RequestType::Lado.as_str());
        let request_type = match allegation {
            true => RequestType::Lado,
            false => RequestType::from_code(&newest.request_type).ok_or_else(corrupt)?,
        };
        let first = thread.versions.first().ok_or_else(corrupt)?;
        let sender = self.sender(id, newest.submission_sha256, &thread.sender).await?;
        let children = self.children_of(id, newest.payload_sha256, events).await?;
        let Organisation::School(school) = thread.sender.clone() else { return Err(corrupt()) };
        let mut case = Case::begin(school, first.authority, children);
        if allegation {
            case = case.of_allegation();
        }
        for delivery in thread.deliveries.iter().filter(|d| d.called_by.is_none()) {
            case.sent_to(delivery.authority);
        }
        let versions = self.positions_of_versions(&thread).await?;
        Ok(Known {
            named: Vec::new(),
            thread,
            case,
            events: Vec::new(),
            sender,
            request_type,
            versions,
            recipients: Vec::new(),
            former: Vec::new(),
        })
    }

    /// The position of each version, oldest first.
    async fn positions_of_versions(&self, thread: &Thread) -> Result<Vec<u32>, Trouble> {
        let mut positions = vec![1];
        for version in thread.versions.iter().skip(1) {
            let accepted = self.store.token(thread.referral_id, version.accepted_sha256).await?;
            positions.push(accepted.and_then(|a| a.position).ok_or(StoreFault::Corrupt)?);
        }
        Ok(positions)
    }

    /// How many children the newest document is about. After its erasure no more is known than what
    /// the events name.
    async fn children_of(
        &self,
        id: ReferralId,
        document: Digest,
        events: &[Event],
    ) -> Result<usize, Trouble> {
        match self.store.document(id, document).await? {
            Some(Document::Kept(bytes)) => {
                let document = json::read(&bytes, bytes.len()).map_err(|_| StoreFault::Corrupt)?;
                Ok(document.root().at("children").items().count())
            }
            _ => {
                let named = events.iter().flat_map(|e| e.said.body().children.iter().copied());
                Ok(named.max().unwrap_or(0) as usize)
            }
        }
    }

    /// The verified sender, with the person if one signed.
    async fn sender(
        &self,
        id: ReferralId,
        submission: Digest,
        organisation: &Organisation,
    ) -> Result<Party, Fault> {
        let token = self.store.token(id, submission).await?;
        let issuer = token.map(|t| {
            // Stored only after verification, so its claims may be believed.
            let claims = unverified_claims(&t.token.jws).unwrap_or_default();
            let attested = claims["attested"]["sender"].as_str().and_then(|s| s.parse().ok());
            attested.unwrap_or(t.token.issuer)
        });
        let by_organisation = || self.party(organisation.clone());
        Ok(issuer
            .filter(|p: &Party| p.organisation == *organisation)
            .unwrap_or_else(by_organisation))
    }
}

/// As far as it decides who may see it.
fn spoken(said: &CaseEvent) -> Spoken<'_> {
    Spoken { kind: said.kind(), author: &said.author().organisation, to: said.body().to }
}

/// What a stored event says: stored only after verification, so its claims may be believed.
fn said(stored: &StoredEvent) -> Option<CaseEvent> {
    Unverified::parse(&stored.event.token.jws).ok()?.peek()
}
