//! `jws.json`: form, header, algorithm, certificate and signature of a token.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use ecaf::domain::refusal::Rule;
use ecaf::protocol::jws::{self, LARGEST_TOKEN, Unverified};
use ecaf::protocol::tokens::{self, SUBMISSION_TYPE, Submission};
use ecaf::protocol::trust::{Purpose, rules};
use serde_json::{Value, json};

use crate::file::{self, File};
use crate::thread::Plan;
use crate::world::{Actor, World, b64url, noon, read_chain, read_scheme, time};

pub const FILE: &str = "tokens/jws.json";

const ABOUT: &str = "Compact JWS of the kind ecaf-submission+jwt with the chain that came beside \
    each, and what a verifier says who trusts `scheme` at the time `at`: `party` is the signer of a \
    token that verifies. `chain` names one of `chains` (base64 of DER, the leaf first). Every key \
    is of no use anywhere else.";

/// A header or payload as bytes, whatever they are.
fn token(header: &[u8], payload: &[u8], actor: &Actor) -> String {
    let input = format!("{}.{}", b64url(header), b64url(payload));
    let signature = actor.key.sign(input.as_bytes()).unwrap();
    format!("{input}.{}", b64url(signature))
}

struct Cases<'a> {
    world: &'a World,
    good: String,
    cases: Vec<Value>,
}

impl Cases<'_> {
    fn add(&mut self, id: &str, shows: &str, token: String, chain: &str, expect: Value) {
        let at = noon().to_string();
        self.cases.push(json!({
            "id": id, "shows": shows, "at": at, "token": token, "chain": chain, "expect": expect,
        }));
    }

    fn ok(&mut self, id: &str, shows: &str, signer: &str) {
        let mut plan = Plan::new();
        plan.submission.signer = self.world.name_of(&self.world.actor(signer).chain);
        let token = plan.sign(self.world).submission;
        let party = self.world.actor(signer).party.to_string();
        self.add(id, shows, token, signer, json!({ "ok": true, "party": party }));
    }

    fn bad(&mut self, id: &str, shows: &str, token: String, chain: &str, rule: Rule) {
        self.add(id, shows, token, chain, json!({ "rule": rule.id }));
    }

    /// The good token with other header bytes, correctly signed by the school.
    fn header(&mut self, id: &str, shows: &str, header: String, rule: Rule) {
        let payload = self.part(1);
        let token = token(header.as_bytes(), &payload, self.world.actor("school"));
        self.bad(id, shows, token, "school", rule);
    }

    /// The good token with other claims, correctly signed by the school.
    fn payload(&mut self, id: &str, shows: &str, payload: String, rule: Rule) {
        let token = token(&self.part(0), payload.as_bytes(), self.world.actor("school"));
        self.bad(id, shows, token, "school", rule);
    }

    fn part(&self, index: usize) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(self.good.split('.').nth(index).unwrap()).unwrap()
    }

    fn text(&self, index: usize) -> String {
        String::from_utf8(self.part(index)).unwrap()
    }

    /// The good token with one of its three parts replaced.
    fn replaced(&self, index: usize, part: &str) -> String {
        let mut parts: Vec<_> = self.good.split('.').collect();
        parts[index] = part;
        parts.join(".")
    }
}

pub fn make(world: &World) -> File {
    let good = Plan::new().sign(world).submission;
    let mut c = Cases { world, good: good.clone(), cases: Vec::new() };
    let school = world.actor("school");
    let x5t = school.chain.x5t().to_string();
    let typ = SUBMISSION_TYPE;

    c.ok("ed25519", "Ed25519, by its RFC 9864 name", "school");
    c.ok("es256", "ES256, the usual one", "school-es256");
    c.ok("es384", "ES384", "school-es384");
    c.ok("ps256", "PS256 with a key of 3072 bits", "school-ps256");

    // Algorithms.
    let alg = |alg: &str| format!(r#"{{"alg":"{alg}","typ":"{typ}","x5t#S256":"{x5t}"}}"#);
    for (id, name, shows) in [
        ("alg-none", "none", "no signature at all"),
        ("alg-none-capital", "None", "the same in another spelling"),
        ("alg-eddsa", "EdDSA", "the older name, which does not say which curve"),
        ("alg-hs256", "HS256", "an HMAC algorithm"),
        ("alg-rs256", "RS256", "RSA with PKCS #1 v1.5 padding"),
        ("alg-es512", "ES512", "a curve that the scheme does not use"),
        ("alg-lower", "es256", "names are exact"),
        ("alg-empty", "", "no name"),
    ] {
        c.header(id, shows, alg(name), jws::ALGORITHM);
    }
    let none = format!("{}.{}.", b64url(alg("none")), good.split('.').nth(1).unwrap());
    c.bad(
        "alg-none-unsigned",
        "the classic: none, and an empty signature",
        none,
        "school",
        jws::ALGORITHM,
    );
    let input = format!("{}.{}", b64url(alg("HS256")), good.split('.').nth(1).unwrap());
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &public_key(world, "school"));
    let mac = ring::hmac::sign(&key, input.as_bytes());
    c.bad(
        "hmac-with-the-public-key",
        "an HMAC whose key is the certificate's public key",
        format!("{input}.{}", b64url(mac)),
        "school",
        jws::ALGORITHM,
    );
    c.header(
        "alg-of-another-key",
        "ES256 said of a token signed with an Ed25519 key",
        alg("ES256"),
        jws::ALGORITHM,
    );

    // The header.
    c.header(
        "typ-accepted",
        "a token of another kind",
        alg("Ed25519").replace(typ, "secevent+jwt"),
        jws::TYPE,
    );
    c.header(
        "typ-attested",
        "a school may not call it attested",
        alg("Ed25519").replace(typ, "ecaf-attested+jwt"),
        jws::TYPE,
    );
    c.header(
        "typ-case",
        "typ is compared exactly",
        alg("Ed25519").replace("ecaf-s", "ECAF-S"),
        jws::TYPE,
    );
    c.header(
        "typ-application",
        "the media type is given without application/",
        alg("Ed25519").replace("ecaf-s", "application/ecaf-s"),
        jws::TYPE,
    );
    let header = c.text(0);
    let with = |member: &str| header.replacen('{', &format!("{{{member},"), 1);
    for (id, member, shows) in [
        ("header-alg-twice", r#""alg":"none""#, "alg twice, the first none"),
        ("header-typ-twice", r#""typ":"secevent+jwt""#, "typ twice"),
        ("header-alg-escaped-twice", r#""\u0061lg":"none""#, "alg twice, once in an escape"),
        ("header-crit", r#""crit":["exp"],"exp":1"#, "crit: nothing is critical here"),
        ("header-b64", r#""b64":false"#, "an unencoded payload (RFC 7797)"),
        ("header-jwk", r#""jwk":{"kty":"OKP","crv":"Ed25519","x":"AA"}"#, "a key of its own"),
        ("header-jku", r#""jku":"https://evil.example/jwks""#, "a place to get a key from"),
        ("header-x5u", r#""x5u":"https://evil.example/cert""#, "a place to get a chain from"),
        ("header-x5c", r#""x5c":["MAA="]"#, "a chain inside the token"),
        ("header-kid", r#""kid":"1""#, "a name of a key"),
        ("header-zip", r#""zip":"DEF""#, "a compressed payload"),
        ("header-cty", r#""cty":"json""#, "even a harmless member"),
        ("header-alg-null", r#""alg":null"#, "null for a name, and then a name"),
    ] {
        c.header(id, shows, with(member), jws::MALFORMED);
    }
    for (id, header, shows) in [
        ("header-no-typ", format!(r#"{{"alg":"Ed25519","x5t#S256":"{x5t}"}}"#), "no typ"),
        ("header-no-alg", format!(r#"{{"typ":"{typ}","x5t#S256":"{x5t}"}}"#), "no alg"),
        ("header-no-x5t", format!(r#"{{"alg":"Ed25519","typ":"{typ}"}}"#), "no certificate named"),
        ("header-array", format!(r#"["Ed25519","{typ}","{x5t}"]"#), "an array of the three values"),
        ("header-string", r#""Ed25519""#.into(), "a string"),
        ("header-empty", String::new(), "nothing"),
        ("header-not-json", "alg=Ed25519".into(), "not JSON"),
        ("header-trailing", format!("{header}{{}}"), "something behind the object"),
        ("header-bom", format!("\u{feff}{header}"), "a byte order mark"),
        ("header-x5t-hex", header.replace(&x5t, &"ab".repeat(32)), "the digest in hexadecimal"),
        ("header-x5t-padded", header.replace(&x5t, &format!("{x5t}=")), "a padded digest"),
        (
            "header-x5t-second-spelling",
            header.replace(&x5t, &second_spelling(&x5t)),
            "a digest with bits set behind its end",
        ),
    ] {
        c.header(id, shows, header, jws::MALFORMED);
    }

    // Encoding.
    let [head, body, signature] = [0, 1, 2].map(|i| good.split('.').nth(i).unwrap().to_owned());
    for (id, token, shows) in [
        ("empty", String::new(), "nothing"),
        ("one-part", head.clone(), "a header alone"),
        ("two-parts", format!("{head}.{body}"), "no signature"),
        ("four-parts", format!("{good}.{signature}"), "four parts"),
        ("five-parts", format!("{good}.."), "the shape of a JWE"),
        (
            "padded-header",
            c.replaced(0, &URL_SAFE.encode(format!("{} ", c.text(0)))),
            "padding behind the header",
        ),
        ("padded-signature", format!("{good}=="), "padding behind the signature"),
        (
            "standard-alphabet",
            c.replaced(2, &STANDARD.encode(c.part(2))),
            "the alphabet of plain base64",
        ),
        ("space-inside", c.replaced(1, &body.replacen('J', " J", 1)), "a space inside"),
        ("space-behind", format!("{good} "), "a space behind"),
        ("newline-behind", format!("{good}\n"), "a line feed behind"),
        (
            "signature-second-spelling",
            c.replaced(2, &second_spelling(&signature)),
            "bits set behind the end of the signature",
        ),
        (
            "header-second-spelling",
            c.replaced(0, &spelt_again(&head)),
            "bits set behind the end of the header",
        ),
        (
            "flattened-json",
            json!({"protected": head, "payload": body, "signature": signature}).to_string(),
            "the JSON form of a JWS",
        ),
    ] {
        c.bad(id, shows, token, "school", jws::MALFORMED);
    }
    let long = c.text(1).replacen('{', &format!("{{{}", " ".repeat(LARGEST_TOKEN)), 1);
    c.payload("too-large", "more than 8 KiB, correctly signed", long, jws::TOO_LARGE);
    c.bad(
        "far-too-large",
        "no part of a long text is decoded",
        "A".repeat(LARGEST_TOKEN + 1),
        "school",
        jws::TOO_LARGE,
    );

    // Signatures.
    let tampered = |index: usize, from: &str, to: &str| {
        let text = c.text(index).replacen(from, to, 1);
        assert_ne!(text, c.text(index));
        c.replaced(index, &b64url(text))
    };
    let [payload, header] =
        [tampered(1, r#""urgency":"U0""#, r#""urgency":"U3""#), tampered(0, ":", ": ")];
    c.bad("tampered-payload", "a claim changed after signing", payload, "school", jws::SIGNATURE);
    c.bad("tampered-header", "the same header in other bytes", header, "school", jws::SIGNATURE);
    c.bad(
        "signature-of-zeros",
        "all zeros",
        c.replaced(2, &b64url([0; 64])),
        "school",
        jws::SIGNATURE,
    );
    c.bad("signature-empty", "an empty signature", c.replaced(2, ""), "school", jws::SIGNATURE);
    c.bad(
        "signature-longer",
        "one byte more",
        c.replaced(2, &b64url([c.part(2), vec![0]].concat())),
        "school",
        jws::SIGNATURE,
    );
    let other = world.actor("other-school").key.sign(format!("{head}.{body}").as_bytes()).unwrap();
    c.bad(
        "key-of-another-party",
        "signed with another school's key under this certificate's name",
        c.replaced(2, &b64url(other)),
        "school",
        jws::SIGNATURE,
    );
    let mut plan = Plan::new();
    plan.submission.signer = "school-es256";
    let es256 = plan.sign(world).submission;
    let fixed = URL_SAFE_NO_PAD.decode(es256.rsplit('.').next().unwrap()).unwrap();
    let signed = |signature: &[u8]| {
        let (input, _) = es256.rsplit_once('.').unwrap();
        format!("{input}.{}", b64url(signature))
    };
    let half = |zeroed: usize| {
        let mut signature = fixed.clone();
        signature[zeroed * 32..][..32].fill(0);
        signature
    };
    let order: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    for (id, signature, shows) in [
        ("es256-r-zero", half(0), "r is zero (CVE-2022-21449)"),
        ("es256-s-zero", half(1), "s is zero"),
        ("es256-both-zero", vec![0; 64], "both are zero"),
        (
            "es256-r-is-the-order",
            [&order[..], &fixed[32..]].concat(),
            "r is the order of the group",
        ),
        ("es256-der", der(&fixed), "the DER form instead of r and s"),
        ("es256-short", fixed[..63].to_vec(), "a byte missing"),
        ("es256-long", [&fixed[..], &[0]].concat(), "a byte too many"),
        ("es256-swapped", [&fixed[32..], &fixed[..32]].concat(), "s before r"),
        ("es256-96-bytes", [&fixed[..], &[0; 32]].concat(), "the length of ES384"),
    ] {
        c.bad(id, shows, signed(&signature), "school-es256", jws::SIGNATURE);
    }

    // Certificates.
    c.bad(
        "chain-of-another",
        "the chain beside it is not the one that it names",
        good.clone(),
        "other-school",
        jws::CERTIFICATE_MISMATCH,
    );
    c.bad(
        "chain-of-the-same-party",
        "another certificate of the same school",
        good.clone(),
        "school-es256",
        jws::CERTIFICATE_MISMATCH,
    );
    let mut plan = Plan::new();
    plan.submission.by("school-tls");
    let tls = plan.sign(world).submission;
    c.bad(
        "tls-leaf",
        "signed with a certificate for TLS",
        tls,
        "school-tls",
        rules::WRONG_KEY_USAGE,
    );
    let at = ["2026-10-01T00:00:00.000Z", "2028-01-01T00:00:00.000Z"];
    for (id, shows, at, rule) in [
        ("not-yet-valid", "before the certificate", at[0], rules::NOT_YET_VALID),
        ("expired", "after the certificate", at[1], rules::EXPIRED),
    ] {
        c.bad(id, shows, good.clone(), "school", rule);
        c.cases.last_mut().unwrap()["at"] = at.into();
    }

    // Claims.
    let body = c.text(1);
    let claim = |member: &str| body.replacen('{', &format!("{{{member},"), 1);
    for (id, payload, shows) in [
        ("claim-twice", claim(r#""urgency":"U3""#), "a claim twice, with two values"),
        ("claim-twice-equal", claim(r#""urgency":"U0""#), "a claim twice, with one value"),
        ("claim-unknown", claim(r#""exp":1"#), "a claim that this kind does not have"),
        ("claim-name-of-a-child", claim(r#""child":"x""#), "no room for anything else"),
        ("claim-attested-null", claim(r#""attested":null"#), "null for a claim that is absent"),
        ("claim-previous-null", claim(r#""previous_sha256":null"#), "the same"),
        (
            "claim-missing",
            body.replacen(r#""version":1"#, r#""previous_sha256":"x""#, 1),
            "a claim is missing",
        ),
        (
            "claim-number-as-text",
            body.replacen(r#""version":1"#, r#""version":"1""#, 1),
            "a number in quotes",
        ),
        (
            "claim-fraction",
            body.replacen(r#""version":1"#, r#""version":1.0"#, 1),
            "a number with a point",
        ),
        ("claim-negative", body.replacen(r#""version":1"#, r#""version":-1"#, 1), "below zero"),
        (
            "claim-version-zero",
            body.replacen(r#""version":1"#, r#""version":0"#, 1),
            "versions start at 1",
        ),
        (
            "claim-version-2-without-previous",
            body.replacen(r#""version":1"#, r#""version":2"#, 1),
            "a later version names the one before",
        ),
        (
            "claim-huge",
            body.replacen(r#""version":1"#, r#""version":4294967297"#, 1),
            "more than 32 bits",
        ),
        (
            "claim-subject-array",
            subject(&body, |s| json!([s["format"], s["uri"]])),
            "an array where an object stands",
        ),
        (
            "claim-subject-format",
            subject(&body, |s| json!({"format": "opaque", "uri": s["uri"]})),
            "another format of subject",
        ),
        (
            "claim-subject-upper",
            subject(
                &body,
                |s| json!({"format": "uri", "uri": s["uri"].as_str().unwrap().replace("c0ee", "C0EE")}),
            ),
            "another spelling of the id",
        ),
        (
            "claim-audience-list",
            body.replacen(r#""aud":"#, r#""aud":["#, 1).replacen(".example\"", ".example\"]", 1),
            "a list for the one audience",
        ),
        ("claims-array", array(&body), "an array of the values"),
        ("claims-two-objects", format!("{body}{body}"), "two objects"),
        ("claims-invalid-utf8-escape", claim(r#""\ud800":1"#), "a lone surrogate"),
        ("claims-deep", claim(&format!(r#""x":{}{}"#, "[".repeat(900), "]".repeat(900))), "depth"),
        ("claims-empty", String::new(), "nothing"),
    ] {
        c.payload(id, shows, payload, tokens::CLAIMS);
    }
    let other = body.replacen("school/900001", "school/900002", 1);
    c.payload(
        "issuer-another-school",
        "iss is not the party of the certificate",
        other,
        tokens::ISSUER,
    );
    let other = body.replacen("school/900001", "school/900001/person/dsl-1", 1);
    c.payload(
        "issuer-a-person",
        "iss names a person, the certificate does not",
        other,
        tokens::ISSUER,
    );
    let other = body.replacen(r#""spiffe://demo.ecaf.example""#, r#""spiffe://other.example""#, 1);
    c.payload("audience-another-scheme", "meant for another scheme", other, tokens::AUDIENCE);
    let gateway = r#""spiffe://demo.ecaf.example/gateway/london-1""#;
    let other = body.replacen(r#""spiffe://demo.ecaf.example""#, gateway, 1);
    c.payload("audience-one-gateway", "meant for one gateway", other, tokens::AUDIENCE);

    let crls = world.crls(noon(), Vec::new());
    File::new(ABOUT, world.scheme(&crls)).chains(world.chains()).cases(c.cases)
}

fn subject(body: &str, alter: impl Fn(&Value) -> Value) -> String {
    let mut claims: Value = serde_json::from_str(body).unwrap();
    claims["sub_id"] = alter(&claims["sub_id"]);
    claims.to_string()
}

/// The values of the claims in the order in which the protocol names them.
fn array(body: &str) -> String {
    let claims: Value = serde_json::from_str(body).unwrap();
    let names = [
        "iss",
        "aud",
        "iat",
        "jti",
        "sub_id",
        "schema",
        "version",
        "urgency",
        "request_type",
        "payload_sha256",
    ];
    json!(names.map(|name| claims[name].clone())).to_string()
}

/// The same value with a bit set that carries nothing.
fn second_spelling(text: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    assert_ne!(text.len() % 4, 0, "every bit of it counts");
    let last = text.bytes().last().unwrap();
    let value = ALPHABET.iter().position(|c| *c == last).unwrap();
    format!("{}{}", &text[..text.len() - 1], ALPHABET[value | 1] as char)
}

/// The same where padding with blanks is needed first to have such a bit.
fn spelt_again(text: &str) -> String {
    let mut bytes = URL_SAFE_NO_PAD.decode(text).unwrap();
    while bytes.len().is_multiple_of(3) {
        bytes.push(b' ');
    }
    second_spelling(&b64url(bytes))
}

fn public_key(world: &World, name: &str) -> Vec<u8> {
    let chain = &world.actor(name).chain;
    world.trust().verify(chain, Purpose::Signing, noon()).unwrap().public_key().bytes.clone()
}

/// r and s as an ASN.1 sequence of two integers.
pub fn der(fixed: &[u8]) -> Vec<u8> {
    let integer = |half: &[u8]| {
        let half: Vec<u8> = half.iter().copied().skip_while(|b| *b == 0).collect();
        let sign = half.first().is_none_or(|b| *b >= 0x80);
        let mut out = vec![2, (half.len() + usize::from(sign)) as u8];
        out.extend(sign.then_some(0));
        out.extend(half);
        out
    };
    let (r, s) = fixed.split_at(fixed.len() / 2);
    let both = [integer(r), integer(s)].concat();
    let mut out = vec![0x30];
    // P-384 signatures stay below 128 bytes too.
    out.push(both.len() as u8);
    out.extend(both);
    out
}

/// What our verifier says of a case: the way that every reader of a token goes.
pub fn outcome(file: &Value, case: &Value) -> String {
    let trust = read_scheme(&file["scheme"]);
    let chain = read_chain(&file["chains"][case["chain"].as_str().unwrap()]);
    let at = time(case["at"].as_str().unwrap());
    let verify = || {
        let token = Unverified::parse(case["token"].as_str().unwrap())?;
        if token.x5t() != chain.x5t() {
            return Err(file::refused(jws::CERTIFICATE_MISMATCH));
        }
        let signer = trust.verify(&chain, Purpose::Signing, at);
        let signer = signer.map_err(|refusal| file::refused(refusal.0))?;
        let token = token.verify(SUBMISSION_TYPE, &signer)?;
        Submission::read(&token, trust.trust_domain())
    };
    match verify() {
        Ok(claims) => format!("ok:{}", claims.iss),
        Err(refusal) => refusal.rule().unwrap().id.to_owned(),
    }
}

pub fn expected(case: &Value) -> String {
    match case["expect"]["rule"].as_str() {
        Some(rule) => rule.to_owned(),
        None => format!("ok:{}", case["expect"]["party"].as_str().unwrap()),
    }
}
