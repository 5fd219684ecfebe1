//! `submissions.json`, `dispatches.json`, `receipts.json`: every kind of statement once as it should
//! be, and once for each fact that is stated twice and disagrees.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use ecaf::authority::receive as incoming;
use ecaf::authority::station::Station;
use ecaf::authority::verify as dispatch;
use ecaf::domain::directory::Directory;
use ecaf::domain::ids::{Digest, ReferralId};
use ecaf::domain::party::Organisation;
use ecaf::domain::refusal::Refusal;
use ecaf::domain::time::{DAY, MINUTE};
use ecaf::effects::{FixedClock, SeededEntropy};
use ecaf::gateway::acknowledge::Acknowledged;
use ecaf::gateway::authenticate::Authentic;
use ecaf::gateway::authorise::Authorised;
use ecaf::gateway::receive::Received;
use ecaf::gateway::trouble::Trouble;
use ecaf::gateway::validate::Validated;
use ecaf::http::{Alpn, Peer, Request, RequestId, Trust};
use ecaf::protocol::directory::{self, DirectoryHolder};
use ecaf::protocol::hash::sha256;
use ecaf::protocol::message::{ACCEPTED, CERTIFICATES, SUBMISSION, SUBMISSION_CERTIFICATES, TOKEN};
use ecaf::protocol::signing::SigningIdentity;
use ecaf::protocol::trust::{Chain, Purpose, TrustStore, VerifiedCache};
use ecaf::store::sqlite::{Settings, SqliteAuthority};
use ecaf::store::{DeliveryId, Head, Lease, LeasedDelivery, StoredToken, Token, TokenKind};
use http::Method;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::file::{self, File, words};
use crate::store_support::vault;
use crate::thread::{Plan, Thread, event, events};
use crate::world::{
    Actor, REFERRAL, World, altered, b64url, directory_document, made, noon, party, read_chain,
    read_scheme, time,
};

pub const SUBMISSIONS: &str = "tokens/submissions.json";
pub const DISPATCHES: &str = "tokens/dispatches.json";
pub const RECEIPTS: &str = "tokens/receipts.json";

/// A request as it comes from the edge, from the holder of a TLS certificate.
pub fn request(
    trust: &TrustStore,
    (peer, path): (&Chain, &str),
    fields: &[(HeaderName, &str)],
    body: &[u8],
) -> Request {
    let chain = trust.verify(peer, Purpose::TlsClient, noon()).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in fields {
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    Request {
        method: Method::POST,
        path: path.into(),
        query: None,
        headers,
        body: Bytes::copy_from_slice(body),
        peer: Arc::new(Peer {
            chain,
            certificates: peer.clone(),
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            alpn: Alpn::H2,
            resumed: false,
            key_exchange: "X25519MLKEM768",
        }),
        request_id: RequestId([7; 16]),
        traceparent: None,
    }
}

pub fn identity(actor: &Actor, trust: &TrustStore) -> SigningIdentity {
    let verified = trust.verify(&actor.chain, Purpose::Signing, noon()).unwrap();
    SigningIdentity::new(Arc::clone(&actor.key), actor.chain.clone(), &verified).unwrap()
}

fn directory_of(file: &Value) -> Arc<Directory> {
    let bytes = serde_json::to_vec(&file["directory"]).unwrap();
    Arc::new(directory::read_json(&bytes).unwrap())
}

/// Cases under construction, with the documents that they name.
struct Cases<'a> {
    world: &'a World,
    documents: serde_json::Map<String, Value>,
    cases: Vec<Value>,
}

impl<'a> Cases<'a> {
    fn new(world: &'a World) -> Self {
        Self { world, documents: serde_json::Map::new(), cases: Vec::new() }
    }

    /// The name under which a document stands in the file.
    fn document(&mut self, bytes: &[u8]) -> String {
        let text: Value = b64url(bytes).into();
        if let Some((name, _)) = self.documents.iter().find(|(_, known)| **known == text) {
            return name.clone();
        }
        let name = format!("document-{}", self.documents.len() + 1);
        self.documents.insert(name.clone(), text);
        name
    }

    fn add(&mut self, id: &str, shows: &str, mut case: Value, expect: &str) {
        let (case_map, head) = (case.as_object_mut().unwrap(), json!({"id": id, "shows": shows}));
        case_map.extend(head.as_object().unwrap().clone());
        let expect = match expect {
            "ok" => json!({ "ok": true }),
            _ => match expect.split_once(": ") {
                None => json!({ "rule": expect }),
                Some((rule, fact)) => json!({ "rule": rule, "fact": fact }),
            },
        };
        case_map.insert("expect".into(), expect);
        self.cases.push(case);
    }

    fn into_file(self, about: &str) -> File {
        let crls = self.world.crls(noon(), Vec::new());
        File::new(about, self.world.scheme(&crls))
            .with("directory", directory_document())
            .with("documents", self.documents.into())
            .chains(self.world.chains())
            .cases(self.cases)
    }
}

pub fn expected(case: &Value) -> String {
    let expect = &case["expect"];
    match (expect["rule"].as_str(), expect["fact"].as_str()) {
        (Some(rule), Some(fact)) => format!("{rule}: {fact}"),
        (Some(rule), None) => rule.to_owned(),
        _ => "ok".into(),
    }
}

fn document_of(file: &Value, case: &Value) -> Vec<u8> {
    use base64::Engine as _;
    let text = file["documents"][case["document"].as_str().unwrap()].as_str().unwrap();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn chain_of(file: &Value, case: &Value, name: &str) -> Chain {
    read_chain(&file["chains"][case[name].as_str().unwrap()])
}

// --- submissions ---

const ABOUT_SUBMISSIONS: &str = "What a gateway named london-1 says of a document (base64url, by \
    name) that the holder of the TLS certificate `peer` sends at the time `at` with `token` and \
    `chain` beside it, or with neither: the token, its signer, the directory and the document must \
    agree. `fact` names what is stated twice and differs.";

pub fn submissions(world: &World) -> File {
    let mut c = Cases::new(world);
    let mut add = |id: &str, shows: &str, plan: Plan, peer: &str, expect: &str| {
        let thread = plan.sign(world);
        submission_case(&mut c, id, shows, &thread, peer, expect);
    };
    let plan = |alter: &dyn Fn(&mut Plan)| {
        let mut plan = Plan::new();
        alter(&mut plan);
        plan
    };
    let same = "school-tls";
    add("signed", "a school signs its own referral", Plan::new(), same, "ok");
    let person = plan(&|p| p.submission.signer = "school-person");
    add("signed-by-a-person", "a person of the school signs", person, same, "ok");
    let late = plan(&|p| {
        p.submission.claim("iat", json!(noon().seconds() + 300));
    });
    add("clock-5-minutes-ahead", "a clock may be five minutes ahead", late, same, "ok");
    let late = plan(&|p| {
        p.submission.claim("iat", json!(noon().seconds() + 301));
    });
    add("clock-further-ahead", "and no more", late, same, "token.from-the-future");
    let long_ago = plan(&|p| {
        p.submission.claim("iat", json!(made().seconds()));
    });
    add("signed-days-ago", "a referral may be signed long before it is sent", long_ago, same, "ok");

    let body = "token.mismatch: payload_sha256 and the body";
    let other = sha256(b"other").to_string();
    let digest = plan(&|p| {
        p.submission.claim("payload_sha256", json!(other));
    });
    add("digest-of-another-body", "payload_sha256 is not that of the body", digest, same, body);
    for (id, shows, name, value) in [
        (
            "document-other-id",
            "referral_id in the document",
            "referral_id",
            json!("c0ee7722-8a3a-4522-8d71-e54f66ff1118"),
        ),
        ("document-other-urgency", "urgency in the document", "urgency", json!("U1")),
    ] {
        let plan = plan(&|p| p.document = altered(|d| d[name] = value.clone()));
        add(id, shows, plan, same, &format!("token.mismatch: {name}"));
    }
    for (id, shows, name, value) in [
        (
            "token-other-id",
            "sub_id is not the document's referral_id",
            "sub_id",
            json!({"format": "uri", "uri": "urn:uuid:c0ee7722-8a3a-4522-8d71-e54f66ff1118"}),
        ),
        ("token-other-urgency", "urgency", "urgency", json!("U3")),
        ("token-other-request-type", "request_type", "request_type", json!("family_help")),
        ("token-other-schema", "schema", "schema", json!("https://ecaf.example/schemas/other")),
    ] {
        let plan = plan(&|p| {
            p.submission.claim(name, value.clone());
        });
        let fact = if name == "sub_id" { "referral_id" } else { name };
        add(id, shows, plan, same, &format!("token.mismatch: {fact}"));
    }
    let version = plan(&|p| {
        p.submission.claim("version", json!(2)).claim("previous_sha256", json!(other));
    });
    add(
        "token-other-version",
        "version and previous_sha256",
        version,
        same,
        "token.mismatch: version",
    );
    let school = plan(&|p| {
        p.document = altered(|d| d["referrer"]["school"]["id"] = "900002".into());
    });
    add(
        "document-of-another-school",
        "the document names another school than the one that signs",
        school,
        same,
        "token.mismatch: /referrer/school/id",
    );
    let peer = "submission.signer-is-not-the-peer";
    add(
        "peer-another-school",
        "another school's connection brings a signed referral",
        Plan::new(),
        "other-school-tls",
        peer,
    );
    let both = plan(&|p| p.submission.signer = "other-school");
    add(
        "signer-another-school",
        "another school signs, over this school's connection",
        both,
        same,
        peer,
    );
    let person = plan(&|p| p.submission.signer = "school-person");
    add(
        "peer-another-person",
        "one person of the school signs, another is connected",
        person,
        "school-other-person-tls",
        peer,
    );
    let authority = plan(&|p| p.submission.signer = "authority");
    add("signer-an-authority", "an authority may not submit", authority, same, "token.claims");
    let gateway = plan(&|p| p.submission.signer = "gateway");
    add("signer-a-gateway", "nor a gateway for itself", gateway, same, "token.claims");
    add(
        "attested-by-a-stranger",
        "a school may not send a token that a gateway signed",
        Plan::attested(world),
        "nursery-tls",
        "jws.type",
    );
    let unlisted = plan(&|p| p.submission.signer = "unlisted-school");
    add(
        "school-not-enrolled",
        "the directory does not list the school",
        unlisted,
        "unlisted-school-tls",
        "directory.unknown-school",
    );
    let nursery = plan(&|p| {
        p.submission.signer = "nursery";
        p.document = altered(|d| d["referrer"]["school"]["id"] = "900003".into());
    });
    add(
        "signed-where-attested",
        "the directory says attested, and a signature comes",
        nursery,
        "nursery-tls",
        "directory.not-attested-here",
    );
    add(
        "peer-a-gateway",
        "a gateway's connection brings it",
        Plan::new(),
        "gateway-tls",
        "peer.not-a-school",
    );
    let mut unsigned = |id, shows, plan: Plan, peer, expect: &str| {
        let mut thread = plan.sign(world);
        thread.submission.clear();
        submission_case(&mut c, id, shows, &thread, peer, expect);
    };
    unsigned(
        "connection-only",
        "an attested school sends the document alone",
        Plan::attested(world),
        "nursery-tls",
        "ok",
    );
    unsigned(
        "connection-only-must-sign",
        "a school that signs sends the document alone",
        Plan::new(),
        same,
        "directory.must-sign",
    );
    unsigned(
        "connection-only-another-school",
        "the document names another school than the one \
        connected",
        Plan::new(),
        "nursery-tls",
        "token.mismatch: /referrer/school/id",
    );
    c.into_file(ABOUT_SUBMISSIONS)
}

fn submission_case(
    c: &mut Cases,
    id: &str,
    shows: &str,
    thread: &Thread,
    peer: &str,
    expect: &str,
) {
    let document = c.document(&thread.document);
    let mut case = json!({ "at": noon().to_string(), "document": document, "peer": peer });
    if !thread.submission.is_empty() {
        case["token"] = thread.submission.as_str().into();
        case["chain"] = thread.signers[0].into();
    }
    c.add(id, shows, case, expect);
}

pub fn submission_outcome(file: &Value, case: &Value) -> String {
    let trust = read_scheme(&file["scheme"]);
    let at = time(case["at"].as_str().unwrap());
    let header = case["token"].as_str().map(|_| chain_of(file, case, "chain").to_header());
    let mut fields = Vec::new();
    if let Some(token) = case["token"].as_str() {
        fields.push((TOKEN, token));
        fields.push((CERTIFICATES, header.as_deref().unwrap()));
    }
    let peer = chain_of(file, case, "peer");
    let request = request(&trust, (&peer, "/v1/referrals"), &fields, &document_of(file, case));
    let judge = || -> Result<(), Trouble> {
        let cache = VerifiedCache::new(8);
        let received = Received::take(&request, &cache)?;
        let authentic = Authentic::verify(received, &trust, &cache, at)?;
        let gateway = "london-1".parse().unwrap();
        let authorised = Authorised::check(authentic, directory_of(file), &gateway, at)?;
        Validated::check(authorised, &SeededEntropy::new(1), at)?;
        Ok(())
    };
    match judge() {
        Ok(()) => "ok".into(),
        Err(Trouble::Refused(refused)) => words(&refused.refusal),
        Err(Trouble::Fault(fault)) => panic!("{fault}"),
    }
}

// --- dispatches ---

const ABOUT_DISPATCHES: &str = "What authority 309 says at its own time `at` of a dispatch: the \
    document (base64url, by name) with submission, accepted and note; `chain` is of the signer of \
    note and accepted, `submission_chain` of the submission's. `fact` names what is stated twice \
    and differs. Signatures are judged at the note's recorded_at.";

pub fn dispatches(world: &World) -> File {
    let mut c = Cases::new(world);
    let mut add = |id: &str, shows: &str, plan: Plan, expect: &str| {
        let thread = plan.sign(world);
        dispatch_case(&mut c, (id, shows, expect), &thread, noon().plus(MINUTE).to_string());
    };
    let plan = |alter: &dyn Fn(&mut Plan)| {
        let mut plan = Plan::new();
        alter(&mut plan);
        plan
    };
    let mismatch = |fact: &str| format!("token.mismatch: {fact}");
    add("signed", "a referral that the school signed", Plan::new(), "ok");
    add("attested", "a referral that the gateway attests", Plan::attested(world), "ok");
    let mut linked = Plan::new();
    linked.accepted.event("authority", json!("204"));
    linked.note.event("purpose", json!("linked"));
    add("linked", "a linked delivery: another authority is accountable", linked, "ok");
    let mut with_person = Plan::new();
    with_person.submission.signer = "school-person";
    let person = json!(party("school/900001/person/dsl-1").to_string());
    with_person.accepted.event("sender", person.clone());
    with_person.note.event("sender", person.clone());
    add("signed-by-a-person", "a person of the school signed", with_person, "ok");

    // The note against what it refers to.
    let other = json!(sha256(b"other").to_string());
    for (name, fact, shows) in [
        ("payload_sha256", "payload_sha256 and the body", "the note's digest of the document"),
        ("submission_sha256", "submission_sha256", "the note's digest of the submission"),
        ("accepted_sha256", "accepted_sha256", "the note's digest of accepted"),
    ] {
        let plan = plan(&|p| {
            p.note.event(name, other.clone());
        });
        add(&format!("note-{name}"), shows, plan, &mismatch(fact));
    }
    let uri = |id: &str| json!({"format": "uri", "uri": format!("urn:uuid:{id}")});
    let another_id = uri("c0ee7722-8a3a-4522-8d71-e54f66ff1118");
    let note = |name: &'static str, value: Value| {
        let mut plan = Plan::new();
        plan.note.event(name, value);
        plan
    };
    let accepted = |name: &'static str, value: Value| {
        let mut plan = Plan::new();
        plan.accepted.event(name, value);
        plan
    };
    let another = json!(party("school/900002").to_string());
    add(
        "note-sub-id",
        "note and submission are about different referrals",
        plan(&|p| {
            p.note.claim("sub_id", another_id.clone());
        }),
        &mismatch("sub_id"),
    );
    add(
        "note-version",
        "note and submission name different versions",
        note("version", json!(2)),
        &mismatch("version"),
    );
    add(
        "note-sender",
        "note and submission name different senders",
        note("sender", another.clone()),
        &mismatch("sender"),
    );
    add(
        "note-sender-organisation-only",
        "the note leaves out the person who signed",
        plan(&|p| {
            p.submission.signer = "school-person";
            p.accepted.event("sender", person.clone());
        }),
        &mismatch("sender"),
    );
    add(
        "note-kind-attested",
        "the note says attested, the school signed",
        note("sender_kind", json!("attested")),
        "jws.type",
    );
    let mut signed = Plan::attested(world);
    signed.note.event("sender_kind", json!("signed"));
    add("note-kind-signed", "the note says signed, the gateway attested", signed, "jws.type");

    // `accepted` against the note.
    add(
        "accepted-sub-id",
        "accepted is about another referral",
        plan(&|p| {
            p.accepted.claim("sub_id", another_id.clone());
        }),
        &mismatch("sub_id"),
    );
    for (name, value) in [
        ("version", json!(2)),
        ("recorded_at", json!(noon().plus(-1).to_string())),
        ("submission_sha256", other.clone()),
        ("payload_sha256", other.clone()),
        ("sender", another.clone()),
        ("routing_rule", json!("routing.lives")),
        ("directory_version", json!(8)),
        ("postcode_table", json!("vectors-2")),
    ] {
        let shows = format!("accepted and note differ in {name}");
        let id = format!("accepted-{name}").replace('_', "-");
        add(&id, &shows, accepted(name, value), &mismatch(name));
    }
    let accountable = "authority and purpose";
    add(
        "accepted-authority",
        "another authority is accountable, and the note says this one is",
        accepted("authority", json!("204")),
        &mismatch(accountable),
    );
    add(
        "note-purpose",
        "this authority is accountable, and the note calls it a linked delivery",
        note("purpose", json!("linked")),
        &mismatch(accountable),
    );

    // The submission against note and document.
    let digest = plan(&|p| {
        p.submission.claim("payload_sha256", other.clone());
    });
    add(
        "submission-payload-sha256",
        "the submission is of another document",
        digest,
        &mismatch("payload_sha256"),
    );
    for (name, value) in [
        ("urgency", json!("U2")),
        ("request_type", json!("family_help")),
        ("schema", json!("https://ecaf.example/schemas/other")),
    ] {
        let plan = plan(&|p| {
            p.submission.claim(name, value.clone());
        });
        let shows = format!("submission and document differ in {name}");
        add(&format!("submission-{name}").replace('_', "-"), &shows, plan, &mismatch(name));
    }
    let mut document = Plan::new();
    document.document =
        altered(|d| d["referral_id"] = "c0ee7722-8a3a-4522-8d71-e54f66ff1118".into());
    add(
        "document-referral-id",
        "the document has another id than all its tokens",
        document,
        &mismatch("referral_id"),
    );
    let mut document = Plan::new();
    document.document = altered(|d| d["referrer"]["school"]["id"] = "900002".into());
    add(
        "document-school",
        "the document is of another school than the one that signed",
        document,
        &mismatch("/referrer/school/id"),
    );
    let mut second = Plan::new();
    second.submission.claim("version", json!(2)).claim("previous_sha256", other.clone());
    second.accepted.event("version", json!(2));
    second.note.event("version", json!(2));
    add(
        "document-version",
        "all tokens say version 2, the document version 1",
        second,
        &mismatch("version"),
    );
    let mut broken = Plan::new();
    broken.document = altered(|d| drop(d.as_object_mut().unwrap().remove("concerns")));
    add(
        "document-schema",
        "the gateway let a document pass that breaks the schema",
        broken,
        "schema.required",
    );
    let mut broken = Plan::new();
    broken.document = b"{\"a\":1,\"a\":2}".to_vec();
    add("document-json", "or that is not strict JSON", broken, "json.duplicate-member");

    // Envelope.
    type Choose = fn(&mut Plan) -> &mut crate::thread::Part;
    let parts: [(&str, Choose); 2] = [("note", |p| &mut p.note), ("accepted", |p| &mut p.accepted)];
    for (name, part) in parts {
        let mut with = |id: &str, shows: &str, alter: &dyn Fn(&mut crate::thread::Part), rule| {
            let mut plan = Plan::new();
            alter(part(&mut plan));
            add(&format!("{name}-{id}"), &format!("{name}: {shows}"), plan, rule);
        };
        let foreign = json!(party("gateway/london-2").to_string());
        with(
            "issuer",
            "iss is not the party of the certificate",
            &|p| {
                p.claim("iss", foreign.clone());
            },
            "token.issuer",
        );
        with(
            "two-events",
            "a second event",
            &|p| {
                p.with(|c| drop(events(c).insert("https://zzz.example/".into(), json!({}))));
            },
            "token.claims",
        );
        with(
            "another-event",
            "another event with the same members",
            &|p| {
                p.with(|c| {
                    let body = event(c).take();
                    c["events"] = json!({ "https://ecaf.example/events/other": body });
                });
            },
            "token.claims",
        );
        with(
            "unknown-member",
            "a member that the event does not have",
            &|p| {
                p.event("note", json!("x"));
            },
            "token.claims",
        );
        with(
            "exp",
            "an expiry, which statements of fact do not have",
            &|p| {
                p.claim("exp", json!(noon().seconds()));
            },
            "token.claims",
        );
        with("typ", "another typ", &|p| p.typ = "jwt", "jws.type");
    }
    let none = |p: &mut Plan| {
        p.note.with(|c| c["events"] = json!({}));
    };
    add("note-no-event", "note: no event", plan(&none), "token.claims");
    let none = |p: &mut Plan| {
        p.accepted.with(|c| c["events"] = json!({}));
    };
    add("accepted-no-event", "accepted: no event", plan(&none), "token.claims");
    let about_nothing = |p: &mut Plan| {
        p.note.with(|c| drop(c.as_object_mut().unwrap().remove("sub_id")));
    };
    add("note-no-subject", "a note about no referral", plan(&about_nothing), "token.claims");
    let [this, that] = ["authority/309", "authority/204"].map(|p| party(p).to_string());
    for (id, aud, shows) in [
        ("note-for-another", json!([that]), "the note is for another authority"),
        ("note-for-two", json!([this, that]), "the note is for two authorities"),
        ("note-for-itself-twice", json!([this, this]), "the note names this authority twice"),
        ("note-for-the-scheme", json!(["spiffe://demo.ecaf.example"]), "the note is for everybody"),
        ("note-for-nobody", json!([]), "the note is for nobody"),
    ] {
        let plan = plan(&|p| {
            p.note.claim("aud", aud.clone());
        });
        add(id, shows, plan, "token.audience");
    }

    // Who may say it.
    for (id, signer, shows, expect) in [
        (
            "unlisted-gateway",
            "unlisted-gateway",
            "a gateway that the directory does not list",
            "dispatch.signer",
        ),
        ("note-by-an-authority", "other-authority", "an authority", "dispatch.signer"),
        ("note-by-a-school", "school", "the school itself", "dispatch.signer"),
        ("note-by-the-operator", "operator", "the operator", "dispatch.signer"),
        (
            "note-by-a-tls-certificate",
            "gateway-tls",
            "the gateway's TLS certificate",
            "certificate.wrong-key-usage",
        ),
        (
            "another-listed-gateway",
            "other-gateway",
            "another gateway that the directory lists",
            "ok",
        ),
    ] {
        let plan = plan(&|p| {
            p.note.by(signer);
            p.accepted.by(signer);
        });
        add(id, &format!("note and accepted signed by: {shows}"), plan, expect);
    }
    add(
        "accepted-by-another-gateway",
        "note and accepted are of different gateways",
        plan(&|p| {
            p.accepted.by("other-gateway");
        }),
        "jws.certificate-mismatch",
    );
    let mut other = Plan::attested(world);
    other.note.by("other-gateway");
    other.accepted.by("other-gateway");
    add(
        "attested-by-another-gateway",
        "a gateway brings what another attested",
        other,
        "dispatch.sender-not-allowed",
    );
    let mut other = Plan::attested(world);
    other.submission.by("other-gateway");
    other.note.by("other-gateway");
    other.accepted.by("other-gateway");
    add(
        "attested-by-a-gateway-not-named",
        "a listed gateway attests for a school that it may not \
        attest for",
        other,
        "dispatch.sender-not-allowed",
    );
    let mut signs = Plan::new();
    signs.document = altered(|d| d["referrer"]["school"]["id"] = "900003".into());
    signs.submission.by("nursery");
    let nursery = json!(party("school/900003").to_string());
    signs.accepted.event("sender", nursery.clone());
    signs.note.event("sender", nursery);
    add(
        "signed-where-attested",
        "the directory says that this school is attested",
        signs,
        "dispatch.sender-not-allowed",
    );
    let mut attested = Plan::attested(world);
    let school = party("school/900001").to_string();
    attested.document = crate::world::document();
    attested.submission.with(move |c| c["attested"]["sender"] = school.clone().into());
    let school = json!(party("school/900001").to_string());
    attested.accepted.event("sender", school.clone());
    attested.note.event("sender", school);
    add(
        "attested-where-signed",
        "the directory says that this school signs",
        attested,
        "dispatch.sender-not-allowed",
    );
    let mut unlisted = Plan::new();
    unlisted.submission.by("unlisted-school");
    let stranger = json!(party("school/900009").to_string());
    unlisted.accepted.event("sender", stranger.clone());
    unlisted.note.event("sender", stranger);
    add(
        "school-not-enrolled",
        "the directory does not list the school",
        unlisted,
        "dispatch.sender-not-allowed",
    );
    let future = |minutes: i64| {
        let at = json!(noon().plus(minutes * MINUTE).to_string());
        plan(&|p| {
            p.accepted.event("recorded_at", at.clone());
            p.note.event("recorded_at", at.clone());
        })
    };
    add(
        "recorded-6-minutes-ahead",
        "the gateway's clock is five minutes ahead at most",
        future(7),
        "dispatch.from-the-future",
    );
    add("recorded-5-minutes-ahead", "and then it is taken", future(6), "ok");
    add(
        "recorded-before-the-certificates",
        "recorded before there was a certificate",
        future(-60 * 24 * 10),
        "certificate.not-yet-valid",
    );

    // A weekend in a queue does no harm.
    let thread = Plan::new().sign(world);
    let late = noon().plus(800 * DAY).to_string();
    dispatch_case(
        &mut c,
        ("years-later", "every certificate has expired since: still good", "ok"),
        &thread,
        late,
    );
    c.into_file(ABOUT_DISPATCHES)
}

fn dispatch_case(c: &mut Cases, (id, shows, expect): (&str, &str, &str), t: &Thread, at: String) {
    let document = c.document(&t.document);
    let case = json!({
        "at": at,
        "document": document,
        "submission": t.submission,
        "submission_chain": t.signers[0],
        "accepted": t.accepted,
        "note": t.note,
        "chain": t.signers[2],
    });
    c.add(id, shows, case, expect);
}

/// An authority's station at its own time; its store is real and stays empty.
pub fn station(
    world: &World,
    trust: TrustStore,
    clock: FixedClock,
    folder: &std::path::Path,
) -> Station {
    let store = Settings::owner(folder.join("inbox.db")).or_create();
    let holder = DirectoryHolder::new(None);
    holder.offer(|_| Ok(world.directory.clone())).unwrap();
    Station {
        code: "309".parse().unwrap(),
        reference_prefix: "HGY".into(),
        signing: ArcSwap::from_pointee(identity(world.actor("authority"), &trust)),
        trust: Trust::new(trust, Arc::new(clock.clone())),
        cache: VerifiedCache::new(64),
        directory: Arc::new(holder),
        store: Arc::new(SqliteAuthority::open(&store, vault()).unwrap()),
        clock: Arc::new(clock),
        entropy: Arc::new(SeededEntropy::new(2)),
        recent: Default::default(),
        broken: tokio::sync::Notify::new(),
    }
}

/// The request that brings a dispatch.
pub fn dispatch_request(trust: &TrustStore, peer: &Chain, t: &Dispatched) -> Request {
    let fields = [
        (TOKEN, t.note.as_str()),
        (CERTIFICATES, &t.chain.to_header()),
        (SUBMISSION, &t.submission),
        (SUBMISSION_CERTIFICATES, &t.submission_chain.to_header()),
        (ACCEPTED, &t.accepted),
    ];
    request(trust, (peer, "/dispatches"), &fields, &t.document)
}

pub struct Dispatched {
    pub document: Vec<u8>,
    pub submission: String,
    pub submission_chain: Chain,
    pub accepted: String,
    pub note: String,
    pub chain: Chain,
}

pub fn dispatch_outcomes(world: &World) -> impl Fn(&Value, &Value) -> String {
    let folder = tempfile::tempdir().unwrap();
    let clock = FixedClock::at(noon());
    let station = station(world, world.trust(), clock.clone(), folder.path());
    let peer = world.actor("gateway-tls").chain.clone();
    move |file, case| {
        let _kept = &folder;
        station.trust.publish(read_scheme(&file["scheme"]));
        clock.set(time(case["at"].as_str().unwrap()));
        let text = |name: &str| case[name].as_str().unwrap().to_owned();
        let dispatched = Dispatched {
            document: document_of(file, case),
            submission: text("submission"),
            submission_chain: chain_of(file, case, "submission_chain"),
            accepted: text("accepted"),
            note: text("note"),
            chain: chain_of(file, case, "chain"),
        };
        let request = dispatch_request(&station.trust.store(), &peer, &dispatched);
        let judge = || -> Result<(), Refusal> {
            let directory = directory_of(file);
            let received = incoming::Received::take(&request, directory, &station.cache)?;
            let noted = dispatch::Noted::verify(received, &station)?;
            dispatch::Verified::check(&noted, &station).map(drop)
        };
        judge().map_or_else(|refusal| words(&refusal), |()| "ok".into())
    }
}

// --- receipts ---

const ABOUT_RECEIPTS: &str = "What gateway london-1 says at the time `at` of an authority's answer \
    `delivered` with `chain` to the dispatch `note` (for authority 309) of the document (base64url, \
    by name).";

pub fn receipts(world: &World) -> File {
    let mut c = Cases::new(world);
    let mut add =
        |id: &str, shows: &str, alter: &dyn Fn(&mut Plan), chain: Option<&str>, expect: &str| {
            let mut plan = Plan::new();
            alter(&mut plan);
            let thread = plan.sign(world);
            let document = c.document(&thread.document);
            let case = json!({
                "at": noon().plus(MINUTE).to_string(),
                "document": document,
                "accepted": thread.accepted,
                "note": thread.note,
                "delivered": thread.delivered,
                "chain": chain.unwrap_or(thread.signers[3]),
            });
            c.add(id, shows, case, expect);
        };
    add("delivered", "the authority's receipt", &|_| {}, None, "ok");
    let other = json!(sha256(b"other").to_string());
    for (name, value) in
        [("version", json!(2)), ("note_sha256", other.clone()), ("payload_sha256", other.clone())]
    {
        let shows = format!("{name} is not that of the dispatch");
        let alter = |p: &mut Plan| {
            p.delivered.event(name, value.clone());
        };
        add(&name.replace('_', "-"), &shows, &alter, None, &format!("token.mismatch: {name}"));
    }
    let another = "urn:uuid:c0ee7722-8a3a-4522-8d71-e54f66ff1118";
    let subject = json!({"format": "uri", "uri": another});
    add(
        "sub-id",
        "about another referral",
        &|p| {
            p.delivered.claim("sub_id", subject.clone());
        },
        None,
        "token.mismatch: sub_id",
    );
    add(
        "no-subject",
        "about no referral",
        &|p| {
            p.delivered.with(|c| drop(c.as_object_mut().unwrap().remove("sub_id")));
        },
        None,
        "token.mismatch: sub_id",
    );
    let addressee = "delivered.not-the-addressee";
    for (id, signer, shows) in [
        ("another-authority", "other-authority", "signed by another authority"),
        ("by-a-gateway", "gateway", "signed by the gateway itself"),
        ("by-the-school", "school", "signed by the school"),
    ] {
        add(
            id,
            shows,
            &|p| {
                p.delivered.by(signer);
            },
            None,
            addressee,
        );
    }
    add(
        "tls-certificate",
        "signed with the authority's TLS certificate",
        &|p| {
            p.delivered.by("authority-tls");
        },
        None,
        "certificate.wrong-key-usage",
    );
    add(
        "chain-of-another",
        "another chain beside it",
        &|_| {},
        Some("other-authority"),
        "jws.certificate-mismatch",
    );
    let other = json!(party("authority/204").to_string());
    add(
        "issuer",
        "iss is not the party of the certificate",
        &|p| {
            p.delivered.claim("iss", other.clone());
        },
        None,
        "token.issuer",
    );
    let school = json!([party("school/900001").to_string()]);
    add(
        "not-for-the-gateway",
        "not meant for the gateway that asked",
        &|p| {
            p.delivered.claim("aud", school.clone());
        },
        None,
        "token.audience",
    );
    let gateway = json!([party("gateway/london-1").to_string()]);
    add(
        "not-for-the-sender",
        "not meant for the sender, who could not rely on it",
        &|p| {
            p.delivered.claim("aud", gateway.clone());
        },
        None,
        "token.audience",
    );
    let text = json!(party("gateway/london-1").to_string());
    add(
        "audience-text",
        "one text where a list of readers stands",
        &|p| {
            p.delivered.claim("aud", text.clone());
        },
        None,
        "token.claims",
    );
    for (id, shows, value) in [
        ("reference-empty", "no reference to quote on the phone", String::new()),
        ("reference-long", "more than anybody can read out", "A".repeat(65)),
        ("reference-control", "characters that a terminal obeys", "HGY\u{1b}[2J".into()),
        ("reference-lines", "more than one line", "HGY\n1".into()),
    ] {
        let alter = |p: &mut Plan| {
            p.delivered.event("reference", json!(value));
        };
        add(id, shows, &alter, None, "token.claims");
    }
    add(
        "two-events",
        "a second event",
        &|p| {
            p.delivered.with(|c| {
                events(c).insert("https://zzz.example/".into(), json!({}));
            });
        },
        None,
        "token.claims",
    );
    add(
        "another-event",
        "another event with the same members",
        &|p| {
            p.delivered.with(|c| {
                let body = event(c).take();
                c["events"] = json!({ "https://ecaf.example/events/accepted": body });
            });
        },
        None,
        "token.claims",
    );
    add("typ", "another typ", &|p| p.delivered.typ = "jwt", None, "jws.type");
    c.into_file(ABOUT_RECEIPTS)
}

pub fn receipt_outcome(file: &Value, case: &Value) -> String {
    let trust = read_scheme(&file["scheme"]);
    let at = time(case["at"].as_str().unwrap());
    let chain = chain_of(file, case, "chain");
    let document = document_of(file, case);
    let gateway = read_chain(&file["chains"]["gateway"]);
    let stored = |kind, name: &str| StoredToken {
        token: Token {
            kind,
            sha256: sha256(case[name].as_str().unwrap_or_default().as_bytes()),
            jws: case[name].as_str().unwrap_or_default().into(),
            issuer: party("gateway/london-1"),
            x5t: gateway.x5t(),
            crl_digests: Vec::new(),
        },
        position: None,
        recorded_at: noon(),
    };
    let delivery = LeasedDelivery {
        lease: Lease { delivery: DeliveryId(1), token: [1; 16], attempt: 1, expires_at: at },
        authority: "309".parse().unwrap(),
        purpose: "accountable".into(),
        urgency: 0,
        sender: Organisation::School("900001".parse().unwrap()),
        referral_id: REFERRAL.parse::<ReferralId>().unwrap(),
        version: 1,
        head: Head { position: 1, digest: Digest::from_bytes([0; 32]) },
        payload_sha256: sha256(&document),
        document: Bytes::from(document),
        submission: stored(TokenKind::Submission, "submission"),
        accepted: stored(TokenKind::Accepted, "accepted"),
        note: stored(TokenKind::DispatchNote, "note"),
        chains: Vec::new(),
        cause: None,
        first_tried_at: noon(),
        recorded_at: noon(),
    };
    let cache = VerifiedCache::new(8);
    let judged = Acknowledged::verify(
        &delivery,
        case["delivered"].as_str().unwrap(),
        &chain,
        &trust,
        &cache,
        at,
    );
    judged.map_or_else(|refusal| words(&refusal), |_| "ok".into())
}

/// Everything that must hold for all three files.
pub fn settle_all(world: &World) {
    file::settle(SUBMISSIONS, &submissions(world));
    file::settle(DISPATCHES, &dispatches(world));
    file::settle(RECEIPTS, &receipts(world));
}
