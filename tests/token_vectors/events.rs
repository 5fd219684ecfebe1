//! `events.json`: what is said about a referral, as a token, and everything wrong that it can be.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ecaf::domain::ids::ReferralId;
use ecaf::protocol::hash::sha256;
use ecaf::protocol::jws::{self, Unverified};
use ecaf::protocol::tokens::{CaseEvent, SET_TYPE};
use ecaf::protocol::trust::Purpose;
use serde_json::{Value, json};

use crate::file::{self, File, words};
use crate::world::{DOMAIN, REFERRAL, World, b64url, noon, party, read_chain, read_scheme, time};

pub const FILE: &str = "tokens/events.json";

const ABOUT: &str = "An event about the referral `referral`, with the chain that came beside it and, \
    where there is one, its document (base64url of the exact bytes), and what a reader says who trusts \
    `scheme` at the time `at`: the name of the event and its author (for an attested one the school). \
    Whether it may follow what was recorded before is for the gateway to say: see schemas/EVENTS.md.";

const DOCUMENT: &[u8] = br#"{"event":"decided","words":"invented"}"#;

/// A token to be, and what it is about.
struct Plan {
    signer: &'static str,
    typ: &'static str,
    claims: Value,
    document: Option<&'static [u8]>,
}

impl Plan {
    fn of(signer: &'static str, event: &str, body: Value) -> Self {
        let claims = json!({
            "aud": format!("spiffe://{DOMAIN}"),
            "iat": noon().seconds() - 30,
            "jti": "00000000-0000-4000-8000-000000000006",
            "sub_id": { "format": "uri", "uri": format!("urn:uuid:{REFERRAL}") },
            "events": { format!("https://ecaf.example/events/{event}"): body },
        });
        Self { signer, typ: SET_TYPE, claims, document: None }
    }

    /// A decision with its document.
    fn decision() -> Self {
        let digest = sha256(DOCUMENT).to_string();
        let body =
            json!({"seen": 3, "children": [1], "code": "assessment", "detail_sha256": digest});
        Self { document: Some(DOCUMENT), ..Self::of("authority", "decided", body) }
    }

    /// What a gateway says for a school without a key.
    fn attested(world: &World) -> Self {
        let mut plan =
            Self::of("gateway", "interim_answered", json!({"seen": 4, "code": "understood"}));
        plan.claims["attested"] = json!({
            "sender": party("school/900003").to_string(),
            "certificate_sha256": world.actor("nursery-tls").chain.x5t().to_string(),
            "channel": "api",
            "statement_sha256": sha256(b"the statement").to_string(),
        });
        plan
    }

    fn with(mut self, alter: impl FnOnce(&mut Value)) -> Self {
        alter(&mut self.claims);
        self
    }

    /// With the body of the event altered.
    fn body(self, alter: impl FnOnce(&mut Value)) -> Self {
        self.with(|claims| {
            let events = claims["events"].as_object_mut().unwrap();
            alter(events.values_mut().next().unwrap());
        })
    }

    fn sign(&self, world: &World) -> String {
        let (signer, mut claims) = (world.actor(self.signer), self.claims.clone());
        if claims.get("iss").is_none() {
            claims["iss"] = signer.party.to_string().into();
        }
        jws::sign(&*signer.key, self.typ, signer.chain.x5t(), &claims).unwrap()
    }
}

pub fn make(world: &World) -> File {
    let mut cases = Vec::new();
    let mut add = |id: &str, shows: &str, plan: Plan, expect: Value| {
        let mut case = json!({
            "id": id, "shows": shows, "at": noon().to_string(), "referral": REFERRAL,
            "token": plan.sign(world), "chain": plan.signer, "expect": expect,
        });
        if let Some(document) = plan.document {
            case["document"] = b64url(document).into();
        }
        cases.push(case);
    };
    let ok = |event: &str, author: &str| json!({ "ok": true, "event": event, "author": party(author).to_string() });
    let of = Plan::of;
    add(
        "decision",
        "an authority's decision with its document",
        Plan::decision(),
        ok("decided", "authority/309"),
    );
    let answer = json!({"seen": 5, "answers": sha256(b"a question").to_string()});
    add(
        "answer",
        "a school's event that answers another one",
        of("school", "read", answer),
        ok("read", "school/900001"),
    );
    add(
        "without-anything",
        "an event with nothing but what its author has seen",
        of("authority", "opened", json!({"seen": 2})),
        ok("opened", "authority/309"),
    );
    let transfer = json!({"seen": 3, "to": "204"});
    add(
        "transfer",
        "a proposal to another authority",
        of("authority", "transfer_proposed", transfer),
        ok("transfer_proposed", "authority/309"),
    );
    let clock =
        json!({"seen": 3, "code": "C5", "about": "child-1", "due_at": "2026-11-05T17:00:00.000Z"});
    add(
        "clock",
        "a gateway about a clock",
        of("gateway", "clock_breached", clock),
        ok("clock_breached", "gateway/london-1"),
    );
    let held = "2026-11-05T10:00:00.000Z";
    let delayed = json!({"seen": 3, "to": "309", "about": "delivery-309-1", "since": held,
                         "next_attempt_at": "2026-11-05T10:06:00.000Z"});
    add(
        "delivery-delayed",
        "a gateway about a delivery that it still tries",
        of("gateway", "delivery_delayed", delayed),
        ok("delivery_delayed", "gateway/london-1"),
    );
    let failed = json!({"seen": 4, "to": "309", "about": "delivery-309-1", "since": held});
    add(
        "delivery-failed",
        "a gateway about a delivery that it has given up",
        of("gateway", "delivery_failed", failed),
        ok("delivery_failed", "gateway/london-1"),
    );
    add(
        "attested",
        "a gateway for a school without a key: the author is the school",
        Plan::attested(world),
        ok("interim_answered", "school/900003"),
    );
    let toe = Plan::decision().with(|c| c["toe"] = (noon().seconds() - 600).into());
    add(
        "happened-before",
        "with its author's claim of when it happened",
        toe,
        ok("decided", "authority/309"),
    );

    let rule = |expect: &str| match expect.split_once(": ") {
        None => json!({ "rule": expect }),
        Some((rule, fact)) => json!({ "rule": rule, "fact": fact }),
    };
    let mut bad =
        |id: &str, shows: &str, plan: Plan, expect: &str| add(id, shows, plan, rule(expect));
    let good = Plan::decision;
    // Facts that are stated twice.
    bad(
        "another-referral",
        "about another referral than the one that it was sent for",
        good()
            .with(|c| c["sub_id"]["uri"] = "urn:uuid:00000000-0000-4000-8000-000000000000".into()),
        "token.mismatch: sub_id",
    );
    bad(
        "another-document",
        "its document is not the one that it names",
        Plan { document: Some(br#"{"event":"decided","words":"another"}"#), ..good() },
        "token.mismatch: detail_sha256",
    );
    bad(
        "no-document",
        "the document that it names is missing",
        Plan { document: None, ..good() },
        "token.mismatch: detail_sha256",
    );
    bad(
        "a-document-too-many",
        "a document came that it does not name",
        Plan { document: Some(DOCUMENT), ..of("authority", "opened", json!({"seen": 2})) },
        "token.mismatch: detail_sha256",
    );
    // Who says it, to whom.
    bad(
        "issuer-is-not-signer",
        "signed by an authority in the name of the school",
        good().with(|c| c["iss"] = party("school/900001").to_string().into()),
        "token.issuer",
    );
    bad(
        "another-scheme",
        "meant for another scheme",
        good().with(|c| c["aud"] = "spiffe://other.example".into()),
        "token.audience",
    );
    bad(
        "to-one-party",
        "meant for one party",
        good().with(|c| c["aud"] = party("school/900001").to_string().into()),
        "token.audience",
    );
    bad(
        "typ-of-a-submission",
        "a signature made for a submission",
        Plan { typ: "ecaf-submission+jwt", ..good() },
        "jws.type",
    );
    // A gateway speaks for schools alone, and says how it knows.
    let attested =
        |alter: &dyn Fn(&mut Value)| Plan::attested(world).with(|c| alter(&mut c["attested"]));
    bad(
        "attested-without-statement",
        "it does not name what the school stated",
        attested(&|a| drop(a.as_object_mut().unwrap().remove("statement_sha256"))),
        "token.claims",
    );
    bad(
        "attested-for-an-authority",
        "a gateway that speaks for an authority",
        attested(&|a| a["sender"] = party("authority/309").to_string().into()),
        "token.claims",
    );
    bad(
        "attested-in-another-scheme",
        "a gateway that speaks for a school of another scheme",
        attested(&|a| a["sender"] = "spiffe://other.example/school/900003".into()),
        "token.claims",
    );
    bad(
        "attested-by-a-school",
        "a school that speaks for another",
        Plan { signer: "school", ..Plan::attested(world) },
        "token.claims",
    );
    // The form.
    let uri = "https://ecaf.example/events/decided";
    bad(
        "two-events",
        "two events in one token",
        good().with(|c| c["events"]["https://ecaf.example/events/filed"] = json!({"seen": 3})),
        "token.claims",
    );
    bad("no-event", "no event", good().with(|c| c["events"] = json!({})), "token.claims");
    bad(
        "unknown-event",
        "an event that nobody knows",
        of("authority", "rejected", json!({"seen": 3})),
        "token.claims",
    );
    bad(
        "event-of-another-kind",
        "a record where an event is expected",
        of("authority", "recorded", json!({"seen": 3})),
        "token.claims",
    );
    bad(
        "event-is-no-object",
        "a text in the place of the event",
        good().with(|c| c["events"][uri] = "assessment".into()),
        "token.claims",
    );
    bad(
        "expires",
        "a claim that these tokens do not have",
        good().with(|c| c["exp"] = (noon().seconds() + 60).into()),
        "token.claims",
    );
    bad(
        "unknown-member",
        "a member that events do not have",
        good().body(|b| b["name"] = "x".into()),
        "token.claims",
    );
    bad(
        "delivery-since-when-is-no-time",
        "since when a delivery is held is no time",
        of("gateway", "delivery_failed", json!({"seen": 4, "to": "309", "since": "today"})),
        "token.claims",
    );
    bad(
        "nothing-seen",
        "it does not say what its author has seen",
        good().body(|b| drop(b.as_object_mut().unwrap().remove("seen"))),
        "token.claims",
    );
    bad(
        "seen-below-nothing",
        "a position below 0",
        good().body(|b| b["seen"] = (-1).into()),
        "token.claims",
    );
    bad(
        "children-by-name",
        "children by local id in place of their numbers",
        good().body(|b| b["children"] = json!(["c1"])),
        "token.claims",
    );
    bad(
        "too-many-children",
        "more than 64 children",
        good().body(|b| b["children"] = (1..=65).collect::<Vec<_>>().into()),
        "token.claims",
    );
    bad(
        "no-authority",
        "a proposal to a code that no authority has the form of",
        of("authority", "transfer_proposed", json!({"seen": 3, "to": "20"})),
        "token.claims",
    );
    bad(
        "no-time",
        "a limit that is no time",
        of("gateway", "clock_warning", json!({"seen": 3, "code": "C5", "due_at": "soon"})),
        "token.claims",
    );

    File::new(ABOUT, world.scheme(&world.crls(noon(), Vec::new())))
        .chains(world.chains())
        .cases(cases)
}

pub fn outcome(file: &Value, case: &Value) -> String {
    let trust = read_scheme(&file["scheme"]);
    let chain = read_chain(&file["chains"][case["chain"].as_str().unwrap()]);
    let at = time(case["at"].as_str().unwrap());
    let referral: ReferralId = case["referral"].as_str().unwrap().parse().unwrap();
    let document = case["document"].as_str().map(|text| URL_SAFE_NO_PAD.decode(text).unwrap());
    let read = || {
        let token = Unverified::parse(case["token"].as_str().unwrap())?;
        let signer = trust.verify(&chain, Purpose::Signing, at);
        let signer = signer.map_err(|refusal| file::refused(refusal.0))?;
        let token = token.verify(SET_TYPE, &signer)?;
        let said = CaseEvent::read(&token, trust.trust_domain(), referral)?;
        said.agrees_with(document.as_deref().map(sha256))?;
        Ok(said)
    };
    match read() {
        Ok(said) => format!("ok: {} by {}", said.kind().name(), said.author()),
        Err(refusal) => words(&refusal),
    }
}

pub fn expected(case: &Value) -> String {
    let expect = &case["expect"];
    match (expect["rule"].as_str(), expect["fact"].as_str()) {
        (Some(rule), None) => rule.to_owned(),
        (Some(rule), Some(fact)) => format!("{rule}: {fact}"),
        (None, _) => {
            let text = |name: &str| expect[name].as_str().unwrap();
            format!("ok: {} by {}", text("event"), text("author"))
        }
    }
}
