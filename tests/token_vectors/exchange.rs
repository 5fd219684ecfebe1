//! A whole gateway in this process, with a store on disk, asked as the edge asks it.
//! `problems/problems.json` and `idempotency/submissions.json`.

use std::sync::Arc;

use arc_swap::ArcSwap;
use ecaf::domain::ids::ReferralId;
use ecaf::domain::retention::{Erasure, ErasureReason};
use ecaf::effects::{Clock, FixedClock, SeededEntropy};
use ecaf::gateway::api::{Api, LARGEST_DOCUMENT};
use ecaf::gateway::exchange::Exchange;
use ecaf::http::{EdgeRefusal, Handler, Response, Trust, default_problem};
use ecaf::protocol::directory::DirectoryHolder;
use ecaf::protocol::hash::sha256;
use ecaf::protocol::jws::Unverified;
use ecaf::protocol::message::{CERTIFICATES, TOKEN};
use ecaf::protocol::routing_data::RoutingTables;
use ecaf::protocol::tokens::{Refused, SET_TYPE, SecurityEvent};
use ecaf::protocol::trust::{Purpose, VerifiedCache};
use ecaf::store::RetentionStore;
use ecaf::store::sqlite::{Settings, SqliteGateway};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use crate::file::{self, File};
use crate::statements::{identity, request};
use crate::store_support::vault;
use crate::thread::Plan;
use crate::world::{World, altered, b64url, directory_document, document, noon, time, trust_of};

pub const PROBLEMS: &str = "problems/problems.json";
pub const IDEMPOTENCY: &str = "idempotency/submissions.json";

/// A gateway of its own for each case.
pub struct Gateway<'a> {
    world: &'a World,
    pub exchange: Arc<Exchange>,
    api: Api,
    clock: FixedClock,
    store: Arc<SqliteGateway>,
    _folder: tempfile::TempDir,
}

impl<'a> Gateway<'a> {
    pub fn new(world: &'a World) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = FixedClock::at(noon());
        let entropy = Arc::new(SeededEntropy::new(3));
        let settings = Settings::owner(folder.path().join("gateway.db")).or_create();
        let holder = DirectoryHolder::new(None);
        holder.offer(|_| Ok(world.directory.clone())).unwrap();
        let trust = world.trust();
        let store = SqliteGateway::open(&settings, vault(), entropy.clone()).unwrap();
        let store = Arc::new(store);
        let exchange = Arc::new(Exchange {
            name: "london-1".parse().unwrap(),
            signing: ArcSwap::from_pointee(identity(world.actor("gateway"), &trust)),
            trust: Trust::new(trust, Arc::new(clock.clone())),
            cache: VerifiedCache::new(64),
            directory: Arc::new(holder),
            tables: ArcSwap::from_pointee(RoutingTables::embedded().unwrap()),
            recent: Default::default(),
            store: store.clone(),
            clock: Arc::new(clock.clone()),
            entropy,
            new_deliveries: Notify::new(),
            new_tokens: Notify::new(),
            waiting: Default::default(),
            broken: Notify::new(),
        });
        let api = Api::new(Arc::clone(&exchange), LARGEST_DOCUMENT);
        Self { world, exchange, api, clock, store, _folder: folder }
    }

    /// Answers a request as a file describes it.
    fn ask(&self, file: &Value, asked: &Value) -> Response {
        let text = |name: &str| asked[name].as_str();
        if let Some(at) = text("at") {
            // The gateway has the lists of that day.
            let (at, world) = (time(at), self.world);
            let crls = world.crls(at, Vec::new());
            self.clock.set(at);
            self.exchange.trust.publish(trust_of(&world.root, &world.issuing, crls));
        }
        let chain = text("chain").map(|name| self.world.actor(name).chain.to_header());
        let mut fields = Vec::new();
        fields.extend(text("token").map(|token| (TOKEN, token)));
        fields.extend(text("second_token").map(|token| (TOKEN, token)));
        fields.extend(chain.as_deref().map(|chain| (CERTIFICATES, chain)));
        let body = text("document").map(|name| {
            use base64::Engine as _;
            let text = file["documents"][name].as_str().unwrap();
            base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
        });
        let peer = &self.world.actor(text("peer").unwrap()).chain;
        let path = text("path").unwrap_or("/v1/referrals");
        let body = body.unwrap_or_default();
        let mut request = request(&self.world.trust(), (peer, path), &fields, &body);
        if let Some(method) = text("method") {
            request.method = Method::from_bytes(method.as_bytes()).unwrap();
        }
        if let Some(kind) = text("content_type") {
            request.headers.insert(CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        if let Some(id) = text("erase") {
            runtime.block_on(self.erase(id.parse().unwrap()));
        }
        runtime.block_on(self.api.handle(request))
    }

    /// What is left once an operator has erased a referral that named the wrong child.
    async fn erase(&self, id: ReferralId) {
        let documents = self.store.wrapped_of(id).await.unwrap();
        let documents = documents.into_iter().map(|d| (d.id, d.wrapped)).collect();
        let (at, why) = (self.clock.now(), ErasureReason::Misidentified);
        let erased = self.store.purge(documents, Erasure { at, why }, at).await;
        assert_eq!(erased, Ok(1), "there is nothing to erase");
    }
}

/// Cases with the documents that they name.
#[derive(Default)]
struct Made {
    documents: Map<String, Value>,
    cases: Vec<Value>,
}

impl Made {
    fn document(&mut self, bytes: &[u8]) -> String {
        let text: Value = b64url(bytes).into();
        if let Some((name, _)) = self.documents.iter().find(|(_, known)| **known == text) {
            return name.clone();
        }
        let name = format!("document-{}", self.documents.len() + 1);
        self.documents.insert(name.clone(), text);
        name
    }

    /// A document that a school signs and sends.
    fn signed(&mut self, world: &World, plan: Plan, peer: &str) -> Value {
        let thread = plan.sign(world);
        let document = self.document(&thread.document);
        let chain = thread.signers[0];
        json!({ "peer": peer, "document": document, "token": thread.submission, "chain": chain })
    }

    /// A document alone.
    fn alone(&mut self, document: &[u8], peer: &str) -> Value {
        json!({ "peer": peer, "document": self.document(document) })
    }

    fn into_file(self, world: &World, about: &str) -> File {
        File::new(about, world.scheme(&world.crls(noon(), Vec::new())))
            .with("directory", directory_document())
            .with("documents", self.documents.into())
            .chains(world.chains())
            .cases(self.cases)
    }
}

fn plan(alter: impl FnOnce(&mut Plan)) -> Plan {
    let mut plan = Plan::new();
    alter(&mut plan);
    plan
}

fn attested() -> Vec<u8> {
    altered(|d| d["referrer"]["school"]["id"] = "900003".into())
}

// --- problem documents ---

const ABOUT_PROBLEMS: &str = "Refusals of gateway london-1 at 2026-11-04T12:00:00Z (or `at`), one \
    or more of each class, exactly as they stand on the wire. `requests` are sent one after the \
    other; the last is refused, with `status` and the body `problem`. `peer` names the TLS \
    certificate, `document` the body, `token` and `chain` the fields Ecaf-Token and \
    Ecaf-Certificates. The ids of signed refusals come from a fixed stream of bytes; compare all \
    but the members `instance` and `refusal`, and of the latter its claims. A case with `edge` is refused before its \
    body is read. Before a request with `erase`, the operator has erased the referral of that id as misidentified.";

pub fn problems(world: &World) -> File {
    let mut made = Made::default();
    let mut cases: Vec<(&str, &str, Vec<Value>)> = Vec::new();
    let same = "school-tls";
    let good = made.signed(world, Plan::new(), same);
    let raw = |made: &mut Made, bytes: &[u8]| {
        let bytes = bytes.to_vec();
        made.signed(world, plan(|p| p.document = bytes), same)
    };
    let with = |request: &Value, name: &str, value: Value| {
        let mut request = request.clone();
        request[name] = value;
        request
    };

    let twice = raw(&mut made, b"{\"a\": 1, \"a\": 2}");
    cases.push(("400-json", "not strict JSON: a member twice", vec![twice]));
    let again = with(&good, "second_token", good["token"].clone());
    cases.push(("400-token-twice", "the token stands twice", vec![again]));
    let no_chain = with(&good, "chain", Value::Null);
    cases.push(("400-no-chain", "a token without the chain of its signer", vec![no_chain]));
    let stranger = made.signed(
        world,
        plan(|p| p.submission.signer = "unlisted-school"),
        "unlisted-school-tls",
    );
    cases.push(("403-not-enrolled", "a school that the directory does not list", vec![stranger]));
    let gateway = with(&good, "peer", json!("gateway-tls"));
    cases.push(("403-not-a-school", "a gateway sends a referral", vec![gateway]));
    let broken = good["token"].as_str().unwrap();
    let broken = with(&good, "token", json!(format!("{}AA", &broken[..broken.len() - 2])));
    cases.push(("403-signature", "a signature that does not verify", vec![broken]));
    let other = made.signed(world, plan(|p| p.submission.signer = "other-school"), same);
    cases.push(("403-not-the-peer", "another school signs", vec![other]));
    let differs = plan(|p| {
        p.submission.claim("urgency", json!("U3"));
    });
    let differs = made.signed(world, differs, same);
    cases.push(("403-mismatch", "token and document differ", vec![differs]));
    let unsigned = made.alone(&document(), same);
    cases.push(("403-must-sign", "a school that signs sends the document alone", vec![unsigned]));
    let path = "/v1/referrals/c0ee7722-8a3a-4522-8d71-e54f66ff1117";
    let ask = json!({ "peer": same, "method": "GET", "path": path });
    cases.push(("404-unknown", "a referral that is not there", vec![ask]));
    let ask = json!({ "peer": "other-school-tls", "method": "GET", "path": path });
    cases.push((
        "404-not-yours",
        "another school's referral: the very same answer",
        vec![good.clone(), ask],
    ));
    let changed = altered(|d| d["referrer"]["job_title"] = "Headteacher".into());
    let changed = made.signed(world, plan(|p| p.document = changed), same);
    cases.push((
        "409-other-bytes",
        "the same id and version with another document",
        vec![good.clone(), changed],
    ));
    let theirs = altered(|d| d["referrer"]["school"]["id"] = "900002".into());
    let theirs = made.signed(
        world,
        plan(|p| {
            p.document = theirs;
            p.submission.signer = "other-school";
        }),
        "other-school-tls",
    );
    cases.push((
        "409-foreign-id",
        "an id that another school has used",
        vec![good.clone(), theirs],
    ));
    let about = "c0ee7722-8a3a-4522-8d71-e54f66ff1117";
    let path = format!("/v1/referrals/{about}/documents/{}", sha256(&document()));
    let ask = json!({ "peer": same, "method": "GET", "path": path, "erase": about });
    cases.push((
        "410-erased",
        "a document that was there and is erased: when and why",
        vec![good.clone(), ask],
    ));
    let form = with(&good, "content_type", json!("application/x-www-form-urlencoded"));
    cases.push(("415-media-type", "not JSON by its media type", vec![form]));
    let latin = with(&good, "content_type", json!("application/json; charset=iso-8859-1"));
    cases.push(("415-charset", "JSON in another charset", vec![latin]));
    let bad = altered(|d| {
        d.as_object_mut().unwrap().remove("safe_now");
        d["children"][0]["surname"] = "x".into();
        d["concerns"][0]["narrative"]["basis"] = "hearsay".into();
    });
    let bad = raw(&mut made, &bad);
    cases.push((
        "422-schema-urgent",
        "several rules at once, and a document that can go at once \
        because it is urgent",
        vec![bad],
    ));
    let bad = plan(|p| {
        p.document = altered(|d| {
            d["urgency"] = "U3".into();
            d["request_type"] = "family_help".into();
        });
        p.submission.claim("urgency", json!("U3")).claim("request_type", json!("family_help"));
    });
    let bad = made.signed(world, bad, same);
    cases.push(("422-schema", "several rules at once", vec![bad]));
    let version = plan(|p| {
        p.document = altered(|d| d["version"] = json!(2));
        p.submission.claim("version", json!(2));
        p.submission.claim("previous_sha256", json!(sha256(b"before").to_string()));
    });
    let version = made.signed(world, version, same);
    cases.push(("422-version", "a new referral starts with version 1", vec![version]));
    let newham = altered(|d| d["routing_choice"]["authority"] = "316".into());
    let newham = raw(&mut made, &newham);
    cases.push((
        "422-not-connected",
        "an authority that is not connected: its number, and the \
        referral as text",
        vec![newham],
    ));
    let no_id = made.alone(b"{}", "nursery-tls");
    cases.push(("422-no-id", "a document without an id", vec![no_id]));
    let body = made.document(b"{\"postcode\": 7}");
    let route = json!({ "peer": same, "path": "/v1/routes", "document": body });
    cases.push(("422-routes", "a question that is not one", vec![route]));
    let mut late = made.alone(&attested(), "nursery-tls");
    late["at"] = "2026-12-02T12:00:00.000Z".into();
    cases.push(("503-directory-expired", "the gateway's directory has expired", vec![late]));

    for (id, shows, requests) in cases {
        let case = json!({ "id": id, "shows": shows, "requests": requests });
        made.cases.push(case);
    }
    for (id, shows, edge) in EDGE {
        made.cases.push(json!({ "id": id, "shows": shows, "edge": true }));
        let response = edge.response(default_problem);
        answer(made.cases.last_mut().unwrap(), &response);
    }
    // What is answered is what the code answers; that it is right, people and the checks below see.
    let file = json!({ "documents": made.documents });
    for case in &mut made.cases {
        if let Some(requests) = case["requests"].as_array() {
            let gateway = Gateway::new(world);
            let answers: Vec<_> = requests.iter().map(|r| gateway.ask(&file, r)).collect();
            let last = answers.last().unwrap().clone();
            assert!(answers[..answers.len() - 1].iter().all(|a| a.status.is_success()));
            answer(case, &last);
        }
    }
    made.into_file(world, ABOUT_PROBLEMS)
}

const EDGE: [(&str, &str, EdgeRefusal); 4] = [
    ("404-no-such-path", "nothing at this path", EdgeRefusal::NoSuchPath),
    ("405-method", "another method than the path takes", EdgeRefusal::MethodNotAllowed("POST")),
    ("413-too-large", "a body above the limit", EdgeRefusal::BodyTooLarge),
    ("429-too-often", "more requests than one organisation may send", EdgeRefusal::TooOften(7)),
];

fn answer(case: &mut Value, response: &Response) {
    assert_eq!(response.content_type, Some("application/problem+json"));
    case["status"] = response.status.as_u16().into();
    case["problem"] = serde_json::from_slice(&response.body).unwrap();
}

/// What every problem document must be, whatever the case; and that nothing personal stands in it.
pub fn check_problems(world: &World) {
    let file = file::read(PROBLEMS);
    let trust = world.trust();
    let mut statuses = std::collections::BTreeSet::new();
    for case in file::cases(&file) {
        let (id, problem) = (&case["id"], &case["problem"]);
        statuses.insert(case["status"].as_u64().unwrap());
        assert!(id.as_str().unwrap().starts_with(&case["status"].to_string()), "{id}");
        assert_eq!(problem["status"], case["status"], "{id}");
        let violations = problem["violations"].as_array().unwrap();
        let first = violations[0]["rule"].as_str().unwrap();
        assert_eq!(problem["type"], format!("https://ecaf.example/problems/{first}"), "{id}");
        for violation in violations {
            for member in ["title", "action"] {
                assert!(!violation[member].as_str().unwrap().is_empty(), "{id} {member}");
            }
        }
        let help = problem["help"].as_str().unwrap_or_default();
        assert!(help.contains("999"), "{id}: a refusal says whom to ring: {help}");
        // Two answers carry the sender's own words back to the sender, and nothing else does.
        let mut told = problem.clone();
        for own in ["minimal_document", "readable"] {
            told.as_object_mut().unwrap().remove(own);
        }
        let told = told.to_string();
        for personal in ["Mimi", "Osei", "07700", "hearsay", "surname", "Uncle"] {
            assert!(!told.contains(personal), "{id} tells {personal}");
        }
        if case["edge"] == true {
            continue;
        }
        // The signed form says the same, to the peer, about this very body.
        let asked = case["requests"].as_array().unwrap().last().unwrap();
        let peer = &world.actor(asked["peer"].as_str().unwrap()).party;
        let token = Unverified::parse(problem["refusal"].as_str().unwrap()).unwrap();
        let chain = &world.actor("gateway").chain;
        let signer = trust.verify(chain, Purpose::Signing, noon()).unwrap();
        let token = token.verify(SET_TYPE, &signer).unwrap();
        let said = SecurityEvent::<Refused>::read(&token, Some(peer)).unwrap().event;
        let body = asked["document"].as_str().map_or(Vec::new(), |name| {
            use base64::Engine as _;
            let text = file["documents"][name].as_str().unwrap();
            base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
        });
        assert_eq!(said.request_sha256, sha256(&body), "{id}");
        assert_eq!(said.culprit, problem["culprit"].as_str().unwrap(), "{id}");
        let pairs = |v: &Value| {
            let text = |name: &str| v[name].as_str().unwrap().to_owned();
            (text("rule"), text("pointer"))
        };
        let told: Vec<_> = violations.iter().map(pairs).collect();
        let signed: Vec<_> =
            said.rules.iter().map(|r| (r.rule.clone(), r.pointer.clone())).collect();
        assert_eq!(signed, told, "{id}");
        // A refusal is of no use to anybody else.
        let stranger = crate::world::party("school/900008");
        assert!(SecurityEvent::<Refused>::read(&token, Some(&stranger)).is_err(), "{id}");
    }
    let expected = [400, 403, 404, 405, 409, 410, 413, 415, 422, 429, 503];
    assert_eq!(statuses.into_iter().collect::<Vec<_>>(), expected);
    // What may not be seen is answered like what never was.
    let named = |id: &str| {
        let case = file::cases(&file).iter().find(|c| c["id"] == id).unwrap();
        let mut problem = case["problem"].clone();
        problem.as_object_mut().unwrap().remove("refusal");
        problem
    };
    assert_eq!(named("404-unknown"), named("404-not-yours"));
    assert!(named("422-schema-urgent")["minimal_document"].is_string());
    assert!(named("422-schema")["violations"].as_array().unwrap().len() > 1);
    assert!(named("422-schema")["minimal_document"].is_null());
    assert!(named("422-not-connected")["readable"].as_str().unwrap().contains("Uncle"));
    assert!(named("422-not-connected")["help"].as_str().unwrap().contains("020 7946 0316"));
}

// --- idempotency ---

const ABOUT_IDEMPOTENCY: &str = "Requests to gateway london-1, one after the other, and the answer \
    to each: 201 with a new receipt, 200 with a stored one, or a refusal with its rule. Answers with \
    the same name under `receipt` carry the same `accepted`, byte for byte; with different names, \
    different ones. The key is organisation, referral and version; equal means equal bytes of the \
    document. `at` sets the gateway's clock.";

pub fn idempotency(world: &World) -> File {
    let mut made = Made::default();
    let same = "school-tls";
    let good = made.signed(world, Plan::new(), same);
    let anew = plan(|p| {
        p.submission.claim("jti", json!("00000000-0000-4000-8000-0000000000aa"));
        p.submission.claim("iat", json!(noon().seconds()));
    });
    let anew = made.signed(world, anew, same);
    let renewed = made.signed(world, plan(|p| p.submission.signer = "school-es256"), same);
    let person = made.signed(world, plan(|p| p.submission.signer = "school-person"), same);
    let changed = altered(|d| d["referrer"]["job_title"] = "Headteacher".into());
    let changed = made.signed(world, plan(|p| p.document = changed), same);
    let blank = [document(), b" ".to_vec()].concat();
    let blank = made.signed(world, plan(|p| p.document = blank), same);
    let theirs = |made: &mut Made, signer, peer| {
        let document = altered(|d| d["referrer"]["school"]["id"] = "900002".into());
        let plan = plan(|p| {
            p.document = document;
            p.submission.signer = signer;
        });
        made.signed(world, plan, peer)
    };
    let foreign = theirs(&mut made, "other-school", "other-school-tls");
    let second = plan(|p| {
        let previous = sha256(&document()).to_string();
        p.document = altered(|d| {
            d["version"] = json!(2);
            d["previous"] = json!(previous);
        });
        p.submission.claim("version", json!(2)).claim("previous_sha256", json!(previous));
    });
    let second = made.signed(world, second, same);
    let invalid = altered(|d| drop(d.as_object_mut().unwrap().remove("concerns")));
    let invalid = made.signed(world, plan(|p| p.document = invalid), same);
    let nursery = made.alone(&attested(), "nursery-tls");
    let other = altered(|d| {
        d["referrer"]["school"]["id"] = "900003".into();
        d["referrer"]["job_title"] = "Headteacher".into();
    });
    let nursery_other = made.alone(&other, "nursery-tls");
    let nursery_foreign = made.alone(&document(), "nursery-tls");
    let mut later = good.clone();
    later["at"] = "2026-11-10T12:00:00.000Z".into();

    let new = |name: &str| json!({ "status": 201, "receipt": name });
    let stored = |name: &str| json!({ "status": 200, "receipt": name });
    let refused = |status: u16, rule: &str| json!({ "status": status, "rule": rule });
    let other_bytes = || refused(409, "submission.other-bytes");
    let unusable = || refused(409, "submission.id-unusable");
    let version = || refused(422, "submission.version");
    let g = &good;
    type Case<'a> = (&'a str, &'a str, Vec<(&'a Value, Value)>);
    let cases: Vec<Case> = vec![
        (
            "same-bytes",
            "the very same request again, and again",
            vec![(g, new("a")), (g, stored("a")), (g, stored("a"))],
        ),
        (
            "signed-anew",
            "the same document under a new token",
            vec![(g, new("a")), (&anew, stored("a")), (g, stored("a"))],
        ),
        (
            "certificate-renewed",
            "the same document signed with another certificate and algorithm",
            vec![(g, new("a")), (&renewed, stored("a"))],
        ),
        (
            "another-person",
            "the same document signed by a person of the school",
            vec![(g, new("a")), (&person, stored("a"))],
        ),
        (
            "days-later",
            "the same request six days later",
            vec![(g, new("a")), (&later, stored("a"))],
        ),
        (
            "other-bytes",
            "another document under the same id and version, and the first again",
            vec![(g, new("a")), (&changed, other_bytes()), (g, stored("a"))],
        ),
        (
            "one-blank",
            "a blank more is another document",
            vec![(g, new("a")), (&blank, other_bytes())],
        ),
        (
            "foreign-id",
            "another school's id: nothing is told of it, and nothing changed",
            vec![(g, new("a")), (&foreign, unusable()), (g, stored("a"))],
        ),
        (
            "foreign-first",
            "whoever is first has the id",
            vec![(&foreign, new("a")), (g, unusable())],
        ),
        (
            "foreign-id-attested",
            "the same for a school that is attested",
            vec![(g, new("a")), (&nursery, unusable())],
        ),
        (
            "foreign-document",
            "an attested school sends another school's document",
            vec![(&nursery_foreign, refused(403, "token.mismatch"))],
        ),
        (
            "version-2-first",
            "a referral starts with version 1; the refusal uses nothing up",
            vec![(&second, version()), (g, new("a"))],
        ),
        (
            "version-2-later",
            "a later version does not come this way",
            vec![(g, new("a")), (&second, version()), (g, stored("a"))],
        ),
        (
            "refused-then-mended",
            "a refusal uses nothing up: the mended document takes the id",
            vec![
                (&invalid, refused(422, "schema.required")),
                (g, new("a")),
                (&invalid, other_bytes()),
            ],
        ),
        (
            "attested-same",
            "an attested school sends the same again: the same attestation",
            vec![(&nursery, new("a")), (&nursery, stored("a"))],
        ),
        (
            "attested-other-bytes",
            "and another document",
            vec![(&nursery, new("a")), (&nursery_other, other_bytes()), (&nursery, stored("a"))],
        ),
    ];
    for (id, shows, steps) in cases {
        let steps: Vec<Value> = steps
            .into_iter()
            .map(|(request, expect)| json!({ "request": request, "expect": expect }))
            .collect();
        made.cases.push(json!({ "id": id, "shows": shows, "steps": steps }));
    }
    made.into_file(world, ABOUT_IDEMPOTENCY)
}

pub fn check_idempotency(world: &World) {
    let file = file::read(IDEMPOTENCY);
    for case in file::cases(&file) {
        let gateway = Gateway::new(world);
        let mut receipts: Vec<(String, String)> = Vec::new();
        for (number, step) in case["steps"].as_array().unwrap().iter().enumerate() {
            let place = format!("{} step {}", case["id"], number + 1);
            let response = gateway.ask(&file, &step["request"]);
            let body: Value = serde_json::from_slice(&response.body).unwrap();
            let expect = &step["expect"];
            assert_eq!(json!(response.status.as_u16()), expect["status"], "{place}: {body}");
            match expect["receipt"].as_str() {
                None => assert_eq!(body["violations"][0]["rule"], expect["rule"], "{place}"),
                Some(name) => {
                    let token = body["accepted"].as_str().unwrap().to_owned();
                    for (other, known) in &receipts {
                        assert_eq!(*known == token, other == name, "{place}");
                    }
                    receipts.push((name.to_owned(), token));
                }
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let store = &gateway.exchange.store;
        let (counts, report) = runtime.block_on(async {
            (store.counts(gateway.clock.now()).await.unwrap(), store.check().await.unwrap())
        });
        assert!(report.is_sound(), "{}: {:?}", case["id"], report.problems);
        let accepted =
            receipts.iter().map(|(name, _)| name).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(report.referrals as usize, accepted.len(), "{}", case["id"]);
        assert_eq!(counts.held as usize, accepted.len(), "{}: one delivery each", case["id"]);
    }
}
