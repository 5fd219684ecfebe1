//! Every invariant, re-checked from what lies on the disks when a run is over: the schools' folders,
//! the gateway's store, the authorities' stores. Nothing that a process said is believed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ecaf::cli::sandbox::AUTHORITIES;
use ecaf::domain::delivery::State;
use ecaf::domain::ids::{Digest, ReferralId};
use ecaf::domain::party::Organisation;
use ecaf::domain::time::Timestamp;
use ecaf::effects::FixedClock;
use ecaf::protocol::evidence::{Bundle, Says, unverified_claims};
use ecaf::protocol::hash::sha256;
use ecaf::protocol::jws::Unverified;
use ecaf::protocol::tokens::{Event, Recorded};
use ecaf::protocol::trust::{Chain, TrustStore};
use ecaf::school::state::VersionFolder;
use ecaf::store::*;

use super::documents::Document;
use super::erasing::Erasing;
use super::run::{Tally, World};
use super::scheduler::to_its_end;
use super::scheme::{BEGINNING, DOMAIN, SCHOOL_COUNT, scheme, school_party};
use super::schools::{Job, School};
use super::stores::alias;
use super::threads::{self, Told};

/// Why a referral is where somebody was asked to take it over.
const TRANSFER: &str = "transfer";

/// Everything that does not hold.
pub fn of(world: &World, tally: &mut Tally) -> Vec<String> {
    // Whoever has the stores open dies, and what is left is opened and read.
    world.gateway_store.crash();
    for store in &world.authority_stores {
        store.crash();
    }
    let mut proof = Proof {
        gateway: world.gateway_store.current(),
        erasing: &world.erasing,
        inboxes: Vec::new(),
        trust: scheme().trust(Arc::new(FixedClock::at(BEGINNING))).store(),
        feeds: BTreeMap::new(),
        tokens: Vec::new(),
        told: BTreeMap::new(),
        problems: Vec::new(),
    };
    proof.inboxes(world);
    proof.sound("gateway", to_its_end(proof.gateway.check()));
    let mut jobs: BTreeMap<ReferralId, Vec<(&School, &Job)>> = BTreeMap::new();
    for school in &world.schools {
        for job in &school.jobs {
            jobs.entry(job.document.id).or_default().push((school, job));
        }
    }
    for (id, jobs) in &jobs {
        proof.referral(*id, jobs, (world, tally));
    }
    proof.problems.extend(threads::people(world, &proof.told));
    proof.problems.extend(threads::pushes(world, &proof.told));
    proof.nothing_else(&jobs);
    proof.problems.extend(world.erasing.problems());
    proof.order();
    proof.problems
}

/// What lies at one authority.
struct Inbox {
    place: usize,
    items: Vec<InboxItem>,
}

struct Proof<'w> {
    erasing: &'w Erasing,
    gateway: Arc<dyn GatewayStore>,
    inboxes: Vec<Inbox>,
    trust: Arc<TrustStore>,
    /// What each party's feed must hold.
    feeds: BTreeMap<Organisation, BTreeSet<Digest>>,
    /// Every token of every referral.
    tokens: Vec<Digest>,
    /// What was said, by referral.
    told: BTreeMap<ReferralId, Told>,
    problems: Vec<String>,
}

/// Whether the receipt that an authority keeps is the one that was recorded: the same bytes, or the
/// same facts signed anew because the certificate of the first had expired.
fn is_same_receipt(kept: &str, recorded: &str) -> bool {
    let read = |jws: &str| unverified_claims(jws).unwrap_or_default()["events"].clone();
    let x5t = Unverified::parse(kept).unwrap().x5t();
    kept == recorded || scheme().expires(x5t) && read(kept) == read(recorded)
}

fn note_of(item: &InboxItem) -> Option<Digest> {
    let note = item.tokens.iter().find(|t| t.token.kind == TokenKind::DispatchNote);
    note.map(|t| t.token.sha256)
}

impl Proof<'_> {
    fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    fn expect(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.problem(problem());
        }
    }

    fn sound(&mut self, what: &str, report: Result<CheckReport, StoreFault>) {
        match report {
            Ok(report) => {
                for problem in report.problems {
                    self.problem(format!("{what} store: {problem}"));
                }
            }
            Err(fault) => self.problem(format!("{what} store: {}", fault.label())),
        }
    }

    fn inboxes(&mut self, world: &World) {
        for (place, database) in world.authority_stores.iter().enumerate() {
            let store = database.current();
            self.sound(&format!("authority {place}"), to_its_end(store.check()));
            let entries = to_its_end(store.inbox(InboxFilter::default())).unwrap();
            let items = entries.iter().map(|e| to_its_end(store.item(e.entry)).unwrap().unwrap());
            let items = items.collect();
            self.inboxes.push(Inbox { place, items });
        }
    }

    /// One id: at most one document of one sender stands under it, exactly that one has receipts, and
    /// it lies exactly where it belongs.
    fn referral(
        &mut self,
        id: ReferralId,
        jobs: &[(&School, &Job)],
        (world, tally): (&World, &mut Tally),
    ) {
        let name = alias(id);
        for (_, job) in jobs {
            for wrong in job.progress().wrong {
                self.problem(format!("{name}: {wrong}"));
            }
        }
        let Some(timeline) = to_its_end(self.gateway.timeline(id)).unwrap() else {
            self.problem(format!("{name}: the gateway has nothing"));
            return;
        };
        let [version] = &timeline.versions[..] else {
            self.problem(format!("{name}: {} versions", timeline.versions.len()));
            return;
        };
        let winner = jobs.iter().find(|(_, job)| {
            let school = school_party(job.document.school).organisation;
            job.document.sha256 == version.payload_sha256 && school == timeline.sender
        });
        let Some(document) = winner.map(|(_, job)| &job.document) else {
            self.problem(format!("{name}: the gateway has a document that nobody sent"));
            return;
        };
        let kept = to_its_end(self.gateway.document(id, version.payload_sha256)).unwrap();
        match &kept {
            Some(kept) => self.kept(&name, 0, (id, version.recorded_at), kept, &document.bytes),
            None => self.problem(format!("{name}: the gateway has no document")),
        }
        let bundle = self.evidence(id, &timeline);
        self.proved(&name, &bundle, &timeline, document);
        let mut told = threads::told(&*self.gateway, &timeline, document);
        self.problems.append(&mut told.problems);
        self.told.insert(id, told);
        self.problems.extend(threads::limits(world, &bundle, &timeline, &self.trust));
        let jobs_of = |document: &Document| {
            jobs.iter().map(|(_, job)| job).find(move |job| std::ptr::eq(&job.document, document))
        };
        if let Some(job) = jobs_of(document).filter(|_| world.people.is_empty()) {
            self.words(&name, job);
        }
        let mut receipts = 0;
        for (school, job) in jobs {
            let won = std::ptr::eq(&job.document, document)
                || (job.document.sha256 == document.sha256
                    && job.document.school == document.school);
            receipts += self.receipts(&name, school, job, won, version, &bundle);
        }
        self.expect(receipts > 0, || format!("{name}: accepted, and nobody has a receipt"));
        tally.receipts += receipts;
        self.deliveries(&name, &timeline, document, tally);
        self.expected_in_feeds(&timeline, &bundle);
    }

    /// What was said stands in the thread once each, in its order, in the very words.
    fn words(&mut self, name: &str, job: &Job) {
        let thread = to_its_end(self.gateway.thread(job.document.id)).unwrap().unwrap();
        let said = job.progress().said;
        self.expect(said.len() == job.words.len(), || format!("{name}: not all is said"));
        // Gateways speak of limits meanwhile.
        let mut words = thread.events;
        words.retain(|event| event.detail.is_some());
        let stored: Vec<_> =
            words.iter().map(|e| (u64::from(e.position), e.event.token.sha256)).collect();
        self.expect(stored == said, || format!("{name}: another thread than what was said"));
        for (event, word) in words.iter().zip(&job.words) {
            let detail = event.detail.as_ref().expect("a document").sha256;
            let kept = to_its_end(self.gateway.document(job.document.id, detail)).unwrap();
            if let Some(ecaf::store::Document::Kept(bytes)) = kept {
                let document: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                self.expect(document["words"] == **word, || format!("{name}: other words"));
            }
        }
    }

    /// A document lies at a store as it was sent, or is erased as it must and may be.
    fn kept(
        &mut self,
        name: &str,
        keeper: usize,
        (id, at): (ReferralId, Timestamp),
        kept: &ecaf::store::Document,
        expected: &Bytes,
    ) {
        let at_store = &self.erasing.keepers[keeper].name;
        let problem = match kept {
            ecaf::store::Document::Kept(bytes) if bytes != expected => "other bytes",
            ecaf::store::Document::Kept(_) if self.erasing.must_be_erased(keeper, id) => {
                "not erased"
            }
            ecaf::store::Document::Erased(erasure)
                if !self.erasing.may_be_erased(keeper, id, *erasure, at) =>
            {
                "erased, and should be kept"
            }
            _ => return,
        };
        let problem = format!("{name}: {problem} at {at_store}");
        self.problem(problem);
    }

    /// The whole evidence of a referral as it lies in the gateway's store.
    fn evidence(&mut self, id: ReferralId, timeline: &Timeline) -> Bundle {
        let mut bundle = Bundle::new(id);
        let (mut position, mut accepted) = (0, 0);
        for row in &timeline.tokens {
            let stored = to_its_end(self.gateway.token(id, row.sha256)).unwrap();
            let Some(stored) = stored.filter(|s| sha256(s.token.jws.as_bytes()) == row.sha256)
            else {
                self.problem(format!("{}: a token is missing or altered", alias(id)));
                continue;
            };
            let chain = to_its_end(self.gateway.chain(stored.token.x5t)).unwrap();
            if let Some(chain) = chain.and_then(Chain::new) {
                bundle.push_chain(&chain);
            }
            for digest in &stored.token.crl_digests {
                let list = to_its_end(self.gateway.crl(*digest)).unwrap().unwrap_or_default();
                let list = STANDARD.encode(list);
                if !bundle.crls.contains(&list) {
                    bundle.crls.push(list);
                }
            }
            if let Some(own) = stored.position {
                position += 1;
                self.expect(own == position, || format!("{}: positions have gaps", alias(id)));
            }
            accepted += u32::from(row.kind == TokenKind::Accepted);
            self.tokens.push(row.sha256);
            bundle.tokens.push(stored.token.jws);
        }
        self.expect(accepted == 1, || format!("{}: accepted {accepted} times", alias(id)));
        self.expect(timeline.head.position == position, || {
            format!("{}: the head is not the last position", alias(id))
        });
        bundle
    }

    /// The evidence verifies, and says that each authority has exactly this document.
    fn proved(&mut self, name: &str, bundle: &Bundle, timeline: &Timeline, document: &Document) {
        let proven = match bundle.verify(&self.trust, &DOMAIN.parse().unwrap()) {
            Ok(proven) => proven,
            Err(refusal) => {
                let rule = refusal.rule().map_or("", |r| r.id);
                return self.problem(format!("{name}: the evidence does not verify: {rule}"));
            }
        };
        let digests = proven.statements.iter().filter_map(|s| match &s.says {
            Says::Delivered(said) => Some(said.payload_sha256),
            _ => None,
        });
        let digests: Vec<_> = digests.collect();
        let delivered = timeline.deliveries.iter().filter(|d| d.state == State::Delivered).count();
        self.expect(digests.len() == delivered, || {
            format!("{name}: {} receipts of authorities for {delivered}", digests.len())
        });
        self.expect(digests.iter().all(|digest| *digest == document.sha256), || {
            format!("{name}: an authority's receipt is for other bytes")
        });
    }

    /// What the machines of a sender keep. How many receipts.
    fn receipts(
        &mut self,
        name: &str,
        school: &School,
        job: &Job,
        won: bool,
        version: &VersionRow,
        stored: &Bundle,
    ) -> u64 {
        let progress = job.progress();
        let state = school.state(job);
        let folder = VersionFolder::new(&state, job.document.id, 1);
        let kept = folder.receipt().unwrap();
        self.expect(won || (kept.is_none() && progress.receipts.is_empty()), || {
            format!("{name}: a receipt for a document that was not accepted")
        });
        self.expect(!won || progress.refused.is_none(), || {
            format!("{name}: refused for good, and accepted")
        });
        self.expect(progress.receipts.iter().all(|d| *d == version.accepted_sha256), || {
            format!("{name}: two receipts for one submission")
        });
        let Some(kept) = kept else {
            self.expect(!won, || format!("{name}: its sender has no receipt"));
            self.expect(progress.receipts.is_empty(), || format!("{name}: a receipt is lost"));
            return 0;
        };
        let Ok(bundle) = Bundle::parse(&kept) else {
            self.problem(format!("{name}: the receipt cannot be read"));
            return 0;
        };
        match bundle.verify(&self.trust, &DOMAIN.parse().unwrap()) {
            Ok(proven) => {
                let accepted = proven.statements.iter().any(|s| {
                    matches!(s.by.organisation, Organisation::Gateway(_))
                        && matches!(&s.says, Says::Accepted(a)
                            if a.payload_sha256 == job.document.sha256 && a.version == 1)
                });
                self.expect(accepted, || format!("{name}: the receipt is for something else"));
            }
            Err(refusal) => {
                let rule = refusal.rule().map_or("", |r| r.id);
                self.problem(format!("{name}: the receipt does not verify: {rule}"));
            }
        }
        self.expect(bundle.tokens.iter().all(|token| stored.tokens.contains(token)), || {
            format!("{name}: the receipt is not in the gateway's store")
        });
        1
    }

    /// Each delivery that the document calls for exists once, is settled, and what is delivered lies
    /// there, once, byte for byte.
    fn deliveries(
        &mut self,
        name: &str,
        timeline: &Timeline,
        document: &Document,
        tally: &mut Tally,
    ) {
        let mut called: Vec<_> = timeline
            .deliveries
            .iter()
            .map(|d| (d.authority.as_str().to_owned(), d.purpose.clone()))
            .collect();
        let mut expected: Vec<_> = document
            .deliveries()
            .into_iter()
            .map(|(place, purpose)| (AUTHORITIES[place].code.to_owned(), purpose.to_owned()))
            .collect();
        let proposed = &self.told[&timeline.referral_id].proposed;
        expected.extend(proposed.iter().map(|to| (to.to_string(), TRANSFER.to_owned())));
        called.sort();
        expected.sort();
        self.expect(called == expected, || format!("{name}: deliveries to others than it needs"));
        for row in &timeline.deliveries {
            let place = AUTHORITIES.iter().position(|a| a.code == row.authority.as_str()).unwrap();
            let found: Vec<_> = self.inboxes[place]
                .items
                .iter()
                .filter(|item| {
                    // After a decline there may be another proposal: each is a dispatch of its own.
                    let purpose = &item.entry.key.purpose;
                    let same = match row.purpose.as_str() {
                        TRANSFER => note_of(item) == Some(row.note_sha256),
                        first => purpose == first,
                    };
                    item.entry.key.referral_id == timeline.referral_id && same
                })
                .cloned()
                .collect();
            match row.state {
                State::Delivered => {
                    tally.delivered += 1;
                    let receipt = found.first().and_then(ecaf::authority::inbox::receipt);
                    let recorded = row.delivered_sha256.and_then(|digest| {
                        to_its_end(self.gateway.token(timeline.referral_id, digest)).unwrap()
                    });
                    let same = receipt
                        .zip(recorded)
                        .is_some_and(|(kept, recorded)| is_same_receipt(kept, &recorded.token.jws));
                    self.expect(same, || {
                        format!("{name}: said to be delivered to {}, and is not", row.authority)
                    });
                }
                State::Undeliverable | State::ByHand => tally.not_delivered += 1,
                State::Held | State::Leased => {
                    self.problem(format!("{name}: still open for {}", row.authority));
                }
            }
            self.expect(found.len() <= 1, || format!("{name}: {} times there", found.len()));
            for item in &found {
                let of = (timeline.referral_id, item.entry.received_at);
                self.kept(name, 1 + place, of, &item.document, &document.bytes);
                self.expect(note_of(item) == Some(row.note_sha256), || {
                    format!("{name}: another note at {}", row.authority)
                });
            }
        }
    }

    /// Nothing lies at an authority that was not meant for it, and nothing in the gateway's store that
    /// nobody sent.
    fn nothing_else(&mut self, jobs: &BTreeMap<ReferralId, Vec<(&School, &Job)>>) {
        let mut wrong = Vec::new();
        for inbox in &self.inboxes {
            for item in &inbox.items {
                let (id, purpose) = (item.entry.key.referral_id, &item.entry.key.purpose);
                let code = AUTHORITIES[inbox.place].code;
                let transfer = purpose.starts_with(TRANSFER)
                    && self
                        .told
                        .get(&id)
                        .is_some_and(|told| told.proposed.iter().any(|to| to.as_str() == code));
                let meant = jobs.get(&id).into_iter().flatten().any(|(_, job)| {
                    let called = job.document.deliveries();
                    job.document.sha256 == item.entry.payload_sha256
                        && (transfer || called.contains(&(inbox.place, purpose.as_str())))
                });
                if !meant {
                    wrong.push(format!("{}: at authority {} by mistake", alias(id), inbox.place));
                }
            }
        }
        self.problems.extend(wrong);
        let rows = to_its_end(self.gateway.deliveries(DeliveryFilter::default())).unwrap();
        for row in rows.iter().filter(|row| !jobs.contains_key(&row.referral_id)) {
            self.problem(format!("{}: a referral that nobody sent", alias(row.referral_id)));
        }
    }

    fn expected_in_feeds(&mut self, timeline: &Timeline, bundle: &Bundle) {
        let text: HashMap<Digest, &String> =
            bundle.tokens.iter().map(|jws| (sha256(jws.as_bytes()), jws)).collect();
        let of_delivery = |digest: Digest| {
            let row = timeline.deliveries.iter().find(|d| d.delivered_sha256 == Some(digest));
            row.map(|row| Organisation::Authority(row.authority))
        };
        let told = &self.told[&timeline.referral_id];
        for row in &timeline.tokens {
            let mut readers = vec![timeline.sender.clone()];
            match row.kind {
                TokenKind::Submission | TokenKind::Attested | TokenKind::Accepted => {}
                TokenKind::DispatchNote => {
                    let to = timeline.deliveries.iter().find(|d| d.note_sha256 == row.sha256);
                    readers =
                        to.map(|d| Organisation::Authority(d.authority)).into_iter().collect();
                }
                TokenKind::Delivered => readers.extend(of_delivery(row.sha256)),
                TokenKind::Recorded if told.readers.contains_key(&row.sha256) => {
                    readers = told.readers[&row.sha256].clone();
                }
                TokenKind::Recorded => {
                    let claims = text.get(&row.sha256).and_then(|jws| unverified_claims(jws));
                    let claims = claims.unwrap_or_default();
                    let event = claims["events"][Recorded::URI]["event_sha256"].as_str();
                    let event: Option<Digest> = event.and_then(|e| e.parse().ok());
                    readers.extend(event.and_then(of_delivery));
                }
                TokenKind::Event => readers = told.readers[&row.sha256].clone(),
            }
            for reader in readers {
                self.feeds.entry(reader).or_default().insert(row.sha256);
            }
        }
    }

    /// The log holds every token once, without a gap; each feed holds exactly what it must, without a
    /// gap, in the order of the log.
    fn order(&mut self) {
        let log = to_its_end(self.gateway.log(0, u32::MAX)).unwrap();
        let mut places = HashMap::new();
        for (expected, entry) in log.iter().enumerate() {
            self.expect(entry.index == expected as u64, || "the log has a gap".into());
            let before = places.insert(entry.token_sha256, entry.index);
            self.expect(before.is_none(), || "a token stands twice in the log".into());
        }
        let tokens: BTreeSet<Digest> = self.tokens.iter().copied().collect();
        self.expect(tokens.len() == self.tokens.len(), || "a token belongs to two".into());
        let logged: BTreeSet<Digest> = places.keys().copied().collect();
        self.expect(tokens == logged, || "the log is not all tokens, and only those".into());
        let schools = (0..SCHOOL_COUNT).map(|place| school_party(place).organisation);
        let authorities =
            AUTHORITIES.iter().map(|a| Organisation::Authority(a.code.parse().unwrap()));
        for party in schools.chain(authorities) {
            let feed = to_its_end(self.gateway.feed(&party, 0, u32::MAX)).unwrap();
            let mut last = None;
            let mut found = BTreeSet::new();
            for (expected, entry) in feed.iter().enumerate() {
                self.expect(entry.position == expected as u64 + 1, || {
                    format!("the feed of {party} has a gap")
                });
                let place = places.get(&entry.token.token.sha256).copied();
                self.expect(place > last, || format!("the feed of {party} is out of order"));
                last = place;
                let new = found.insert(entry.token.token.sha256);
                self.expect(new, || format!("a token stands twice in the feed of {party}"));
            }
            let expected = self.feeds.remove(&party).unwrap_or_default();
            self.expect(found == expected, || {
                format!("the feed of {party} is not what concerns it, and only that")
            });
        }
    }
}
