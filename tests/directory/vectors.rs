//! The cases, made anew from fixed keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ecaf::protocol::directory::DIRECTORY_TYPE;
use ecaf::protocol::hash::sha256;
use ecaf::protocol::trust::issue::LeafKind;
use serde::Serialize;
use serde_json::{Value, json};

use crate::world::{Signer, World, claims, document, file, noon, time, token};

/// All cases with what a reader must know about them.
#[derive(Serialize)]
pub struct Vectors {
    about: &'static str,
    cases: Vec<Case>,
}

#[derive(Serialize)]
struct Case {
    id: &'static str,
    shows: &'static str,
    trust_domain: String,
    at: String,
    in_use: Option<Value>,
    file: String,
    roots: Vec<String>,
    issuing: Vec<String>,
    crls: Vec<String>,
    expect: Value,
}

struct Maker {
    world: World,
    operator: Signer,
    cases: Vec<Case>,
}

fn bytes(document: &Value) -> Vec<u8> {
    serde_json::to_vec(document).unwrap()
}

fn altered(path: &str, value: Value) -> Value {
    let mut document = document();
    *document.pointer_mut(path).unwrap() = value;
    document
}

impl Maker {
    /// A file signed by the operator over these bytes with these claims.
    fn signed(&self, bytes: &[u8], claims: &Value) -> Value {
        file(bytes, &token(&self.operator, DIRECTORY_TYPE, claims), &self.operator.chain)
    }

    /// A document signed as it should be.
    fn proper(&self, document: &Value) -> Value {
        let bytes = bytes(document);
        self.signed(&bytes, &claims(document, &bytes))
    }

    /// A good file by another signer.
    fn by(&self, signer: &Signer) -> Value {
        let document = document();
        let bytes = bytes(&document);
        file(&bytes, &token(signer, DIRECTORY_TYPE, &claims(&document, &bytes)), &signer.chain)
    }

    /// A good document whose token has one claim changed.
    fn claim(&self, claim: &str, value: Value) -> Value {
        let document = document();
        let bytes = bytes(&document);
        let mut claims = claims(&document, &bytes);
        claims[claim] = value;
        self.signed(&bytes, &claims)
    }

    fn add(
        &mut self,
        id: &'static str,
        shows: &'static str,
        file: Value,
        expect: Value,
    ) -> &mut Case {
        let text = file.as_str().map_or_else(|| file.to_string(), str::to_owned);
        let base64 = |der: &[u8]| STANDARD.encode(der);
        self.cases.push(Case {
            id,
            shows,
            trust_domain: crate::world::DOMAIN.to_owned(),
            at: noon().to_string(),
            in_use: None,
            file: text,
            roots: vec![base64(self.world.root.certificate())],
            issuing: vec![base64(self.world.issuing.certificate())],
            crls: self.world.crls(noon(), None).iter().map(|crl| base64(crl)).collect(),
            expect,
        });
        self.cases.last_mut().unwrap()
    }

    fn refused(
        &mut self,
        id: &'static str,
        shows: &'static str,
        file: Value,
        rule: &str,
    ) -> &mut Case {
        self.add(id, shows, file, json!({ "refused": rule }))
    }
}

fn accepted(freshness: &str) -> Value {
    json!({ "accepted": 7, "freshness": freshness })
}

fn held(version: u64, bytes: &[u8]) -> Option<Value> {
    Some(json!({ "version": version, "document_sha256": sha256(bytes).to_string() }))
}

pub fn all() -> Vectors {
    let world = World::new(40);
    let operator = world.signer("operator/scheme", LeafKind::Signing, 42);
    let mut m = Maker { world, operator, cases: Vec::new() };
    let good = m.proper(&document());
    let good_bytes = bytes(&document());

    m.add("good", "signed by the operator, within its dates", good.clone(), accepted("fresh"));
    dates_and_order(&mut m, &good, &good_bytes);
    signers(&mut m, &good);
    tokens(&mut m, &good, &good_bytes);
    documents(&mut m);
    settings(&mut m);
    Vectors {
        about: "Signed directories and what a party of the scheme must say about each at the time \
                `at`. `file` is the exact text of the file. `roots`, `issuing` and `crls` (base64 \
                of DER) are all that is trusted. `in_use` is the directory held before, if any. \
                Of several broken rules the first is expected. Every key is of no use anywhere \
                else.",
        cases: m.cases,
    }
}

fn dates_and_order(m: &mut Maker, good: &Value, good_bytes: &[u8]) {
    let crls = |at: &str| {
        let crls = m.world.crls(time(at), None);
        (at.to_owned(), crls.iter().map(|crl| STANDARD.encode(crl)).collect::<Vec<_>>())
    };
    let days = [
        "2026-11-30T23:59:59.000Z",
        "2026-12-01T00:00:00.001Z",
        "2026-11-03T23:56:00.000Z",
        "2026-11-03T23:54:00.000Z",
    ];
    let [last_moment, too_late, skewed, too_early] = days.map(crls);
    let at = |case: &mut Case, (at, crls): (String, Vec<String>)| {
        case.at = at;
        case.crls = crls;
    };
    let late = m.add("stale", "within a day after its end", good.clone(), accepted("stale"));
    at(late, last_moment);
    let late =
        m.refused("expired", "more than a day after its end", good.clone(), "directory.expired");
    at(late, too_late);
    let skew = m.add("clock-skew", "issued four minutes ahead", good.clone(), accepted("fresh"));
    at(skew, skewed);
    let early = m.refused(
        "not-yet-issued",
        "issued six minutes ahead",
        good.clone(),
        "directory.not-yet-issued",
    );
    at(early, too_early);
    m.add("same-again", "the very file in use", good.clone(), accepted("fresh")).in_use =
        held(7, good_bytes);
    m.add("newer", "a higher version than the one in use", good.clone(), accepted("fresh"))
        .in_use = held(6, b"the one before");
    m.refused("older", "a lower version than the one in use", good.clone(), "directory.older")
        .in_use = held(8, b"the one after");
    m.refused(
        "same-version-other-content",
        "the version in use with other content",
        good.clone(),
        "directory.changed",
    )
    .in_use = held(7, b"something else");
}

fn signers(m: &mut Maker, good: &Value) {
    let gateway = m.world.signer("gateway/london-1", LeafKind::Signing, 43);
    let by_gateway = m.by(&gateway);
    m.refused("by-a-gateway", "a gateway signs no directory", by_gateway, "directory.signer");
    let authority = m.world.signer("authority/316", LeafKind::Signing, 44);
    let by_authority = m.by(&authority);
    m.refused("by-an-authority", "nor does an authority", by_authority, "directory.signer");
    let tls = m.world.signer("operator/scheme", LeafKind::Tls { dns: Vec::new() }, 45);
    let by_tls = m.by(&tls);
    m.refused("by-a-tls-leaf", "the operator's other certificate", by_tls, "directory.certificate");
    let other = World::new(60).signer("operator/scheme", LeafKind::Signing, 62);
    let by_other = m.by(&other);
    m.refused("by-another-scheme", "a root of somebody else", by_other, "directory.certificate");
    let leaf = m.operator.chain.leaf().clone();
    let crls = m.world.crls(noon(), Some(&leaf));
    m.refused(
        "by-a-revoked-key",
        "revoked two days before",
        good.clone(),
        "directory.certificate",
    )
    .crls = crls.iter().map(|crl| STANDARD.encode(crl)).collect();
    m.refused(
        "without-revocation-lists",
        "nothing is known",
        good.clone(),
        "directory.certificate",
    )
    .crls = Vec::new();
    let claims_gateway = m.claim("iss", json!("spiffe://scheme.example.org/operator/other"));
    m.refused("other-issuer", "iss names another operator", claims_gateway, "directory.signer");
}

fn tokens(m: &mut Maker, good: &Value, good_bytes: &[u8]) {
    let with = |member: &str, value: Value| {
        let mut file = good.clone();
        file[member] = value;
        file
    };
    let original = good["token"].as_str().unwrap();
    let forged = {
        let other = World::new(60).signer("operator/scheme", LeafKind::Signing, 62);
        let forger = Signer { chain: m.operator.chain.clone(), key: other.key };
        token(&forger, DIRECTORY_TYPE, &claims(&document(), good_bytes))
    };
    m.refused(
        "forged-signature",
        "another key",
        with("token", json!(forged)),
        "directory.signature",
    );
    let other_kind = token(&m.operator, "secevent+jwt", &claims(&document(), good_bytes));
    m.refused(
        "other-kind",
        "typ of another token",
        with("token", json!(other_kind)),
        "directory.signature",
    );
    let none = original.split_once('.').unwrap().1;
    let none = format!("eyJhbGciOiJub25lIn0.{none}");
    m.refused("algorithm-none", "unsigned", with("token", json!(none)), "directory.signature");
    let more = m.claim("note", json!("x"));
    m.refused("unknown-claim", "a claim too many", more, "directory.signature");
    for (id, claim, value) in [
        ("other-version-in-token", "version", json!(8)),
        ("other-issue-in-token", "issued_at", json!("2026-11-04T00:00:01.000Z")),
        ("other-end-in-token", "expires_at", json!("2026-12-30T00:00:00.000Z")),
    ] {
        let file = m.claim(claim, value);
        m.refused(id, "stated twice and not equal", file, "directory.contradiction");
    }
    let altered = bytes(&altered("/authorities/0/endpoint", json!("https://evil.example.org")));
    let altered = file(&altered, original, &m.operator.chain);
    m.refused("altered-document", "the endpoint was changed", altered, "directory.digest");
    m.refused(
        "no-certificates",
        "no chain",
        with("certificates", json!([])),
        "directory.unreadable",
    );
    m.refused(
        "unknown-member",
        "a member too many",
        with("more", json!(1)),
        "directory.unreadable",
    );
    m.refused("unsigned", "the document alone", document(), "directory.unreadable");
    let cut = good.to_string();
    let cut = &cut[..cut.len() / 2];
    m.refused("cut-off", "half of the file", json!(cut), "directory.unreadable");
}

fn documents(m: &mut Maker) {
    let other_domain = m.proper(&altered("/trust_domain", json!("other.example.org")));
    m.refused("other-trust-domain", "of another scheme", other_domain, "directory.trust-domain");
    for (id, shows, path, value, rule) in [
        ("hours", "no such hours", "/authorities/0/staffed_hours", json!("9 to 5"), "value"),
        (
            "plain-http",
            "not https",
            "/authorities/0/endpoint",
            json!("http://x.example.org"),
            "value",
        ),
        (
            "push-without-endpoint",
            "pull with an endpoint",
            "/authorities/0/connection",
            json!("pull"),
            "value",
        ),
        (
            "too-long-a-life",
            "more than 92 days",
            "/expires_at",
            json!("2027-11-04T00:00:00.000Z"),
            "value",
        ),
        (
            "unknown-authority",
            "a school's authority is not listed",
            "/schools/0/authority",
            json!("204"),
            "contradiction",
        ),
        (
            "unknown-gateway",
            "attested by one that is not listed",
            "/schools/0/attested_by/0",
            json!("north-1"),
            "contradiction",
        ),
        ("no-such-member-type", "a number for a name", "/gateways/0/name", json!(1), "document"),
    ] {
        let file = m.proper(&altered(path, value));
        m.refused(id, shows, file, &format!("directory.{rule}"));
    }
    let mut twice = document();
    let school = twice["schools"][0].clone();
    twice["schools"].as_array_mut().unwrap().push(school);
    let twice = m.proper(&twice);
    m.refused("duplicate-school", "the same school twice", twice, "directory.duplicate");
    let repeated =
        document().to_string().replacen("\"version\":7", "\"version\":7,\"version\":7", 1);
    let file = m.signed(repeated.as_bytes(), &claims(&document(), repeated.as_bytes()));
    m.refused("duplicate-member", "a member twice", file, "directory.document");
}

/// School days, holiday contacts and promises: members that older directories do not have.
fn settings(m: &mut Maker) {
    let told = told();
    let file = m.proper(&told);
    m.add("settings", "with school days, promises and officers", file, accepted("fresh"));
    let mut pushed = document();
    pushed["schools"][0]["events_endpoint"] = json!("https://events.school.example/ecaf");
    pushed["authorities"][0]["events_endpoint"] = json!("https://events.example.org");
    let file = m.proper(&pushed);
    m.add(
        "events-endpoints",
        "a school and an authority that events are pushed to",
        file,
        accepted("fresh"),
    );
    pushed["schools"][0]["events_endpoint"] = json!("http://events.school.example");
    let file = m.proper(&pushed);
    m.refused(
        "events-endpoint-in-the-clear",
        "events to a school without TLS",
        file,
        "directory.value",
    );
    let calendar = "/schools/0/calendar";
    for (id, shows, path, value, rule) in [
        (
            "terms-overlap",
            "one term begins before another ends",
            format!("{calendar}/terms/1/first"),
            json!("2026-10-23"),
            "calendar.terms-overlap",
        ),
        (
            "term-without-days",
            "a term of a weekend",
            format!("{calendar}/terms/0"),
            json!({ "first": "2026-09-05", "last": "2026-09-06" }),
            "calendar.term-without-days",
        ),
        (
            "inset-outside-term",
            "an INSET day in the holidays",
            format!("{calendar}/inset_days/0"),
            json!("2026-10-28"),
            "calendar.day-outside-term",
        ),
        (
            "half-day-at-a-weekend",
            "a half day on a Saturday",
            format!("{calendar}/half_days/0/day"),
            json!("2026-12-12"),
            "calendar.day-outside-term",
        ),
        (
            "half-day-too-late",
            "a half day that ends after home time",
            format!("{calendar}/half_days/0/ends"),
            json!("15:30"),
            "contradiction",
        ),
        ("home-time", "no time of day", format!("{calendar}/home_time"), json!("3:15 pm"), "value"),
        (
            "holiday-contact-with-a-name",
            "a name for a role",
            "/schools/0/holiday_contact/role".to_owned(),
            json!("Ada Example"),
            "value",
        ),
        (
            "slower-than-the-scheme",
            "two working days where the guidance says one",
            "/authorities/0/profile/limits/C5".to_owned(),
            json!("2 working days"),
            "profile.slower",
        ),
        (
            "early-cut-off",
            "a cut-off at noon",
            "/authorities/0/cut_off".to_owned(),
            json!("12:00"),
            "profile.cut-off",
        ),
        (
            "officer-twice",
            "the same designated officer twice",
            "/authorities/0/designated_officers/1".to_owned(),
            json!("officer-1"),
            "duplicate",
        ),
    ] {
        let mut document = told.clone();
        *document.pointer_mut(&path).unwrap() = value;
        let file = m.proper(&document);
        m.refused(id, shows, file, &format!("directory.{rule}"));
    }
}

fn told() -> Value {
    let mut document = document();
    let authority = &mut document["authorities"][0];
    authority["cut_off"] = json!("16:30");
    authority["designated_officers"] = json!(["officer-1", "officer-2"]);
    authority["profile"] = json!({ "limits": { "C5": "4 h of business", "C9": "40 working days" },
                "head_of_service": true });
    authority["calendar"] =
        json!({ "terms": [{ "first": "2026-09-01", "last": "2026-10-23" }], "home_time": "15:10" });
    let school = &mut document["schools"][0];
    school["calendar"] = json!({
        "terms": [
            { "first": "2026-09-03", "last": "2026-10-23" },
            { "first": "2026-11-02", "last": "2026-12-18" },
        ],
        "inset_days": ["2026-11-27"],
        "half_days": [{ "day": "2026-12-18", "ends": "12:30" }],
        "closures": [{ "first": "2026-11-30", "last": "2026-12-01" }],
        "opens": "08:40",
        "home_time": "15:15",
    });
    school["holiday_contact"] = json!({
        "role": "head_teacher",
        "phone": "01632 960777",
        "hours": "mon-fri 10:00-16:00",
        "verified_at": "2026-11-02",
        "verified_by": "operator-desk",
    });
    document
}
