//! What was said of a referral, re-checked from the stored threads: who may have said it, who reads it, who
//! holds the referral, which limits are recorded, and what was pushed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;

use ecaf::domain::case::{Author, Case, EventKind};
use ecaf::domain::clocks::{ClockId, State, read};
use ecaf::domain::ids::{Digest, ReferralId};
use ecaf::domain::party::{DfeCode, Organisation, Party};
use ecaf::domain::referral::RequestType;
use ecaf::domain::time::MINUTE;
use ecaf::domain::visibility::{Involved, Spoken, may_see_event};
use ecaf::protocol::evidence::Bundle;
use ecaf::protocol::jws::Unverified;
use ecaf::protocol::tokens::CaseEvent;
use ecaf::protocol::trust::TrustStore;
use ecaf::report::gather::Gathered;
use ecaf::store::*;

use super::documents::Document as Sent;
use super::run::World;
use super::scheduler::to_its_end;
use super::scheme::{BEGINNING, DOMAIN, authority_party, scheme};
use super::stores::alias;

/// A limit that passed so long ago has been recorded: a gateway was up, and looks every two seconds.
const LONG_ENOUGH: i64 = MINUTE;

/// What a thread comes to.
#[derive(Default)]
pub struct Told {
    /// Who has each event, and its record, in their feed.
    pub readers: BTreeMap<Digest, Vec<Organisation>>,
    /// The authorities that a transfer was proposed to, in their order.
    pub proposed: Vec<DfeCode>,
    /// What each party said, in its order.
    pub by: BTreeMap<Party, Vec<(u64, Digest)>>,
    pub problems: Vec<String>,
}

struct Event {
    digest: Digest,
    position: u32,
    said: CaseEvent,
    stored: StoredEvent,
}

/// Reads the thread of a referral from its beginning.
pub fn told(store: &dyn GatewayStore, timeline: &Timeline, document: &Sent) -> Told {
    let id = timeline.referral_id;
    let thread = to_its_end(store.thread(id)).unwrap().unwrap();
    let (mut told, name) = (Told::default(), alias(id));
    let events: Vec<Event> = thread
        .events
        .into_iter()
        .map(|stored| Event {
            digest: stored.event.token.sha256,
            position: stored.position,
            said: Unverified::parse(&stored.event.token.jws).unwrap().peek().unwrap(),
            stored,
        })
        .collect();
    let Organisation::School(school) = timeline.sender.clone() else { panic!("no school") };
    let children = document.value["children"].as_array().map_or(0, Vec::len);
    let mut case = Case::begin(school, timeline.versions[0].authority, children);
    for delivery in timeline.deliveries.iter().filter(|d| d.called_by.is_none()) {
        case.sent_to(delivery.authority);
    }
    // Held apart from what the rules make of it.
    let mut holder = timeline.versions[0].authority;
    let mut open: Option<(Digest, DfeCode)> = None;
    let (mut last, mut limits) = (1, BTreeSet::new());
    for event in &events {
        let (said, kind, body) = (&event.said, event.said.kind(), event.said.body());
        let author = said.author();
        let mut wrong = |what: &str| told.problems.push(format!("{name}: {}: {what}", kind.name()));
        if event.position <= last || u64::from(event.position) != body.seen + 1 {
            wrong("not on top of what its author has seen");
        }
        last = event.position;
        let code = match author.organisation {
            Organisation::Authority(code) => Some(code),
            _ => None,
        };
        if kind.author() == Author::Holder && code != Some(holder) {
            wrong("said by another than the holder");
        }
        match kind {
            EventKind::TransferProposed => {
                if open.is_some() {
                    wrong("another proposal is open");
                }
                open = body.to.map(|to| (event.digest, to));
                told.proposed.extend(body.to);
            }
            EventKind::TransferWithdrawn | EventKind::TransferDeclined => open = None,
            EventKind::TransferAccepted => {
                if open.map(|(event, to)| (Some(event), Some(to))) != Some((body.answers, code)) {
                    wrong("no such proposal is open");
                }
                (holder, open) = (code.unwrap_or(holder), None);
            }
            EventKind::WithdrawalConfirmed => open = None,
            EventKind::ClockWarning
            | EventKind::ClockBreached
            | EventKind::DeliveryDelayed
            | EventKind::DeliveryFailed
                if !limits.insert((kind, body.code.clone(), body.about.clone())) =>
            {
                wrong("recorded twice");
            }
            _ => {}
        }
        let accepted = (kind == EventKind::TransferAccepted).then_some(holder);
        if event.stored.holder != accepted {
            wrong("another holder is stored with it");
        }
        let mut readers = readers(&case, timeline, said);
        if kind == EventKind::TransferProposed {
            readers.extend(body.to.map(Organisation::Authority));
        }
        told.readers.insert(event.stored.recorded.token.sha256, readers.clone());
        told.readers.insert(event.digest, readers);
        let place = (u64::from(event.position), event.digest);
        told.by.entry(author.clone()).or_default().push(place);
        let answered = events.iter().find(|e| Some(e.digest) == body.answers);
        let answered = answered.map(|e| e.said.kind());
        case.apply(&said.statement(event.digest, event.position, answered));
    }
    if timeline.holder != holder {
        told.problems.push(format!("{name}: another holder than its transfers have made"));
    }
    told
}

/// Who has a part in it before the event, and may see such a one.
fn readers(case: &Case, timeline: &Timeline, said: &CaseEvent) -> Vec<Organisation> {
    let domain = &said.author().trust_domain;
    let whole = |organisation| Party::organisation(domain.clone(), organisation);
    let sender = whole(timeline.sender.clone());
    let codes: Vec<DfeCode> = (0..3).map(|place| code_of(&authority_party(place))).collect();
    let desks = codes.iter().copied();
    let recipients: Vec<_> =
        desks.filter(|code| case.desk(*code).is_some() && *code != case.holder()).collect();
    let former: Vec<_> = case.former_holders().collect();
    let involved = Involved {
        opening: case.opening(),
        sender: &sender,
        holder: case.holder(),
        recipients: &recipients,
        proposed: case.proposal().map(|open| open.to),
        former: &former,
        misidentified: case.is_misidentified(),
        request_type: RequestType::Protection,
        named: &[],
    };
    let all = codes.into_iter().map(Organisation::Authority).chain([timeline.sender.clone()]);
    let author = &said.author().organisation;
    let spoken = Spoken { kind: said.kind(), author, to: said.body().to };
    all.filter(|reader| may_see_event(&whole(reader.clone()), spoken, involved)).collect()
}

fn code_of(party: &Party) -> DfeCode {
    match party.organisation {
        Organisation::Authority(code) => code,
        _ => panic!("{party} is no authority"),
    }
}

/// Each person's words stand in the threads exactly as they were told: once each, and no others.
pub fn people(world: &World, told: &BTreeMap<ReferralId, Told>) -> Vec<String> {
    let mut problems = Vec::new();
    for person in &world.people {
        let (memory, party) = (person.memory(), person.machine.node.party());
        let who = person.machine.node;
        problems.extend(memory.wrong.iter().map(|wrong| format!("{who}: {wrong}")));
        for (id, told) in told {
            let said = memory.said.get(id).cloned().unwrap_or_default();
            let stored = told.by.get(&party).cloned().unwrap_or_default();
            if said != stored {
                let (said, stored) = (said.len(), stored.len());
                problems.push(format!(
                    "{}: {who} was told of {said} words, and {stored} are stored, or others",
                    alias(*id)
                ));
            }
        }
    }
    problems
}

/// Every limit that has come near or passed is recorded, by what the evidence itself says of the clocks.
pub fn limits(
    world: &World,
    bundle: &Bundle,
    timeline: &Timeline,
    trust: &TrustStore,
) -> Vec<String> {
    let clocks = world.plan.way_back.as_ref().is_some_and(|way| way.clocks);
    let store = world.gateway_store.current();
    let by_hand =
        timeline.deliveries.iter().any(|d| d.state == ecaf::domain::delivery::State::ByHand);
    if !clocks || by_hand {
        return Vec::new();
    }
    let id = timeline.referral_id;
    let thread = to_its_end(store.thread(id)).unwrap().unwrap();
    let details = thread.events.iter().filter_map(|event| Some(event.detail.as_ref()?.sha256));
    let mut documents = Vec::new();
    for digest in details.chain([timeline.versions[0].payload_sha256]) {
        match to_its_end(store.document(id, digest)).unwrap() {
            Some(Document::Kept(bytes)) => documents.push(bytes.to_vec()),
            // Of what is erased the evidence knows less than the gateway knew.
            _ => return Vec::new(),
        }
    }
    let now = BEGINNING.plus(world.rested_at.load(Ordering::SeqCst));
    let domain = DOMAIN.parse().unwrap();
    let gathered = Gathered::offline(bundle.clone(), trust, &domain, &documents, now);
    let gathered = gathered.unwrap_or_else(|index| panic!("document {index} is not named"));
    let Some(facts) = gathered.thread() else { return vec![format!("{}: no facts", alias(id))] };
    let directory = scheme().directory(&world.gateways[0].machine.trust(), BEGINNING);
    let directory = directory.last_good().unwrap();
    let reading = read(&facts, directory.calendars(), now);
    let recorded = |kind: EventKind, id: ClockId, about: &str| {
        thread.events.iter().any(|event| {
            let said: CaseEvent =
                Unverified::parse(&event.event.token.jws).unwrap().peek().unwrap();
            let body = said.body();
            (said.kind(), body.code.as_deref(), body.about.as_deref())
                == (kind, Some(id.as_str()), Some(about))
        })
    };
    let mut missing = Vec::new();
    for clock in reading.clocks.iter().filter(|clock| clock.id != ClockId::C1) {
        let (kind, since) = match clock.state {
            State::Breached { .. } => (EventKind::ClockBreached, clock.due_at),
            State::Warned => (EventKind::ClockWarning, clock.warn_at.unwrap_or(clock.due_at)),
            _ => continue,
        };
        if since.plus(LONG_ENOUGH) < now && !recorded(kind, clock.id, &clock.about.to_string()) {
            let (clock, kind) = (clock.id.as_str(), kind.name());
            missing.push(format!("{}: no {kind} of {clock}", alias(id)));
        }
    }
    missing
}

/// What was pushed to each authority is of its feed, in its order; where it is pushed to at the end, nothing
/// is missing of what it could always see.
pub fn pushes(world: &World, told: &BTreeMap<ReferralId, Told>) -> Vec<String> {
    let (Some(posted), gateway) = (&world.posted, world.gateway_store.current()) else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    for (place, database) in world.authority_stores.iter().enumerate() {
        let party = authority_party(place).organisation;
        let feed = to_its_end(gateway.feed(&party, 0, u32::MAX)).unwrap();
        let places: HashMap<Digest, u64> =
            feed.iter().map(|entry| (entry.token.token.sha256, entry.position)).collect();
        let store = database.current();
        let mut pushed = BTreeSet::new();
        for id in told.keys() {
            let tokens = to_its_end(store.pushed(*id)).unwrap();
            let order: Vec<_> = tokens.iter().map(|t| places.get(&t.token.sha256)).collect();
            if order.iter().any(Option::is_none) {
                problems.push(format!("{}: pushed to authority {place} by mistake", alias(*id)));
            }
            // Stores give them by the time of the authority's clock.
            if world.plan.clock_steps.is_none() && !order.is_sorted() {
                problems.push(format!("{}: pushed to authority {place} out of order", alias(*id)));
            }
            pushed.extend(tokens.iter().map(|t| t.token.sha256));
        }
        let always = |id: &ReferralId| told.get(id).is_some_and(|told| told.proposed.is_empty());
        for entry in feed.iter().filter(|_| posted.ways().events[place]) {
            let token = &entry.token.token;
            let is_event = !matches!(token.kind, TokenKind::Submission | TokenKind::Attested);
            if is_event && always(&entry.referral_id) && !pushed.contains(&token.sha256) {
                problems.push(format!(
                    "{}: position {} was not pushed to authority {place}",
                    alias(entry.referral_id),
                    entry.position
                ));
            }
        }
    }
    problems
}
