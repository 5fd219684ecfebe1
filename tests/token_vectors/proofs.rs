//! `evidence.json`: bundles, whole and with everything wrong that can be.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ecaf::protocol::evidence::{Bundle, Statement, Withheld};
use ecaf::protocol::hash::sha256;
use ecaf::protocol::trust::Revocation;
use serde_json::{Value, json};

use crate::file::{File, words};
use crate::thread::{Plan, Thread};
use crate::world::{
    DOMAIN, REFERRAL, World, altered, b64url, document, made, noon, party, read_scheme,
};

pub const FILE: &str = "tokens/evidence.json";

const ABOUT: &str = "Evidence bundles, and what a verifier says who trusts `scheme` alone, years \
    later, without a network. The reader takes revocation lists and issuing certificates from the \
    bundle and checks them under the roots. `statements` is how many statements a good bundle \
    proves, `doubted` how many of them are signed by a key that may have been in other hands, \
    `unrecorded` how many stand at their signer's own word, `withheld` how many places are not shown.";

/// A whole bundle of a thread.
pub fn bundle(world: &World, thread: &Thread) -> Bundle {
    bundle_with(world, thread, &world.crls(noon(), Vec::new()))
}

fn bundle_with(world: &World, thread: &Thread, crls: &[Vec<u8>]) -> Bundle {
    let mut bundle = Bundle::new(REFERRAL.parse().unwrap());
    bundle.tokens =
        [&thread.submission, &thread.accepted, &thread.note, &thread.delivered, &thread.recorded]
            .map(Clone::clone)
            .to_vec();
    bundle.crls = crls.iter().map(|c| STANDARD.encode(c)).collect();
    thread.signers.iter().for_each(|name| bundle.push_chain(&world.actor(name).chain));
    bundle
}

pub fn make(world: &World) -> File {
    let mut cases = Vec::new();
    let mut add = |id: &str, shows: &str, bundle: Value, expect: Value| {
        cases.push(json!({ "id": id, "shows": shows, "bundle": bundle, "expect": expect }));
    };
    let whole = |plan: Plan| bundle(world, &plan.sign(world));
    let good = whole(Plan::new());
    let value = |bundle: &Bundle| serde_json::to_value(bundle).unwrap();
    let ok = |statements: usize, doubted: usize| json!({ "ok": true, "statements": statements, "doubted": doubted });
    let rule = |expect: &str| match expect.split_once(": ") {
        None => json!({ "rule": expect }),
        Some((rule, fact)) => json!({ "rule": rule, "fact": fact }),
    };

    // Whole ones.
    add("whole", "submission, accepted, note, delivered, recorded", value(&good), ok(5, 0));
    add(
        "attested",
        "the same for a school for which the gateway attests",
        value(&whole(Plan::attested(world))),
        ok(5, 0),
    );
    let with = |alter: &dyn Fn(&mut Bundle)| {
        let mut bundle = good.clone();
        alter(&mut bundle);
        value(&bundle)
    };
    let documented = with(&|b| b.documents.push(b64url(document())));
    add("with-document", "with the document itself", documented, ok(5, 0));
    add(
        "receipt-only",
        "what a school has at once: submission and accepted",
        with(&|b| b.tokens.truncate(2)),
        ok(2, 0),
    );
    add(
        "another-order",
        "the order of the tokens carries nothing",
        with(&|b| b.tokens.reverse()),
        ok(5, 0),
    );
    add(
        "unused-certificate",
        "a chain that no token names",
        with(&|b| b.push_chain(&world.actor("other-school").chain)),
        ok(5, 0),
    );

    for (id, shows, bundle, expect) in crate::openings::cases(world) {
        let expect = expect.map_or_else(rule, |statements| ok(statements, 0));
        add(&id, &shows, bundle, expect);
    }

    // Something missing.
    let incomplete = "evidence.incomplete";
    for (index, id, shows) in [
        (0, "no-submission", "accepted and note name a submission that is not there"),
        (1, "no-accepted", "nothing says when the submission was recorded"),
        (2, "no-note", "delivered answers a note that is not there"),
        (3, "no-delivered", "recorded gives a place to something that is not there"),
    ] {
        add(id, shows, with(&|b| drop(b.tokens.remove(index))), rule(incomplete));
    }
    add(
        "no-recorded",
        "an authority's own export: its receipt is not recorded yet, and its time is its own word",
        with(&|b| drop(b.tokens.remove(4))),
        json!({ "ok": true, "statements": 4, "doubted": 0, "unrecorded": 1 }),
    );
    add("nothing", "a bundle without any token", with(&|b| b.tokens.clear()), rule(incomplete));
    let accepted_only = with(&|b| drop(b.tokens.drain(1..)));
    add("submission-alone", "no gateway has accepted it", accepted_only, rule(incomplete));
    // Tokens that the reader may not see leave their place and their digest.
    let withhold = |position: u64, digest: ecaf::domain::ids::Digest| {
        with(&|b| {
            b.tokens.drain(3..);
            b.withheld.push(Withheld { position, sha256: digest });
        })
    };
    let recorded = sha256(good.tokens[4].as_bytes());
    let expect = json!({ "ok": true, "statements": 3, "doubted": 0, "withheld": 1 });
    add("withheld", "position 2 concerns another party", withhold(2, recorded), expect);
    add("withheld-gap", "and position 2 is missing", withhold(3, recorded), rule(incomplete));
    add("withheld-first", "position 1 is there already", withhold(1, recorded), rule(incomplete));
    let mut third = Plan::new();
    third.recorded.event("position", json!(3));
    let third = whole(third);
    let behind = |digest| {
        let mut bundle = third.clone();
        bundle.withheld.push(Withheld { position: 2, sha256: digest });
        value(&bundle)
    };
    add(
        "withheld-broken-chain",
        "the next one names another token than the one withheld",
        behind(recorded),
        rule(incomplete),
    );
    for index in 0..3 {
        let shows = "the certificate of a signer is not there";
        let bundle = with(&|b| drop(b.certificates.remove(index)));
        add(&format!("no-certificate-{}", index + 1), shows, bundle, rule(incomplete));
    }
    for (index, id, shows) in [
        (0, "no-root-list", "the root's revocation list is not there"),
        (1, "no-issuing-list", "the issuing CA's revocation list is not there"),
    ] {
        let bundle = with(&|b| drop(b.crls.remove(index)));
        add(id, shows, bundle, rule("certificate.revocation-unknown"));
    }
    add(
        "no-tokens-but-a-document",
        "a document that nothing names",
        with(&|b| {
            b.tokens.clear();
            b.documents.push(b64url(document()));
        }),
        rule(incomplete),
    );

    // Not what it says.
    let other = altered(|d| d["referrer"]["name"] = "Somebody Else".into());
    add(
        "another-document",
        "a document that is not the one that was sent",
        with(&|b| b.documents.push(b64url(&other))),
        rule("token.mismatch: a document and payload_sha256"),
    );
    let spaced = [document(), b" ".to_vec()].concat();
    add(
        "document-with-a-blank",
        "the same document with one blank more",
        with(&|b| b.documents.push(b64url(&spaced))),
        rule("token.mismatch: a document and payload_sha256"),
    );
    add(
        "another-referral-id",
        "the bundle is labelled with another referral",
        with(&|b| {
            b.referral_id = "c0ee7722-8a3a-4522-8d71-e54f66ff1118".parse().unwrap();
        }),
        rule("token.mismatch: sub_id"),
    );

    // Two referrals mixed.
    let second = || {
        let mut plan = Plan::new();
        let id = "c0ee7722-8a3a-4522-8d71-e54f66ff1118";
        let subject = json!({"format": "uri", "uri": format!("urn:uuid:{id}")});
        plan.document = altered(|d| d["referral_id"] = id.into());
        for part in [
            &mut plan.submission,
            &mut plan.accepted,
            &mut plan.note,
            &mut plan.delivered,
            &mut plan.recorded,
        ] {
            part.claim("sub_id", subject.clone());
        }
        plan.sign(world)
    };
    let foreign = bundle(world, &second());
    for (index, expect, name) in [
        (0, incomplete, "submission"),
        (1, incomplete, "accepted"),
        (2, "token.mismatch: sub_id", "note"),
        (3, "token.mismatch: sub_id", "delivered"),
        (4, "token.mismatch: sub_id", "recorded"),
    ] {
        let shows = format!("{name} comes from another referral");
        let bundle = with(&|b| b.tokens[index] = foreign.tokens[index].clone());
        add(&format!("swapped-{name}"), &shows, bundle, rule(expect));
    }
    add(
        "swapped-delivered-and-recorded",
        "the authority's receipt of another referral, properly \
        recorded there",
        with(&|b| b.tokens[3..].clone_from_slice(&foreign.tokens[3..])),
        rule("token.mismatch: sub_id"),
    );
    add(
        "two-referrals",
        "two whole referrals in one bundle",
        with(&|b| b.tokens.extend(foreign.tokens.iter().cloned())),
        rule("token.mismatch: sub_id"),
    );

    // The gateway's chain of positions.
    let recorded = |name: &'static str, value: Value| {
        let mut plan = Plan::new();
        plan.recorded.event(name, value);
        value_of(&whole(plan))
    };
    let digest = json!(sha256(b"other").to_string());
    add(
        "chain-previous",
        "recorded names another token before it",
        recorded("previous_sha256", digest.clone()),
        rule(incomplete),
    );
    add("chain-gap", "a position is left out", recorded("position", json!(3)), rule(incomplete));
    add(
        "chain-same-position",
        "a position is given twice",
        recorded("position", json!(1)),
        rule(incomplete),
    );
    add(
        "chain-from-zero",
        "positions start at 1",
        recorded("position", json!(0)),
        rule(incomplete),
    );
    add(
        "recorded-of-another-event",
        "recorded names a token that is not there",
        recorded("event_sha256", digest.clone()),
        rule(incomplete),
    );
    let mut late = Plan::new();
    late.accepted.event("position", json!(2));
    add(
        "first-position",
        "accepted stands at position 2 and nothing before it",
        value_of(&whole(late)),
        rule(incomplete),
    );

    // A fact that is stated twice.
    type Choose = fn(&mut Plan) -> &mut crate::thread::Part;
    let accepted: Choose = |p| &mut p.accepted;
    let note: Choose = |p| &mut p.note;
    let delivered: Choose = |p| &mut p.delivered;
    let another = json!(party("school/900002").to_string());
    for (part, word, name, value) in [
        (accepted, "accepted", "payload_sha256", digest.clone()),
        (accepted, "accepted", "version", json!(2)),
        (accepted, "accepted", "sender", another.clone()),
        (note, "note", "payload_sha256", digest.clone()),
        (note, "note", "version", json!(2)),
        (note, "note", "sender", another.clone()),
        (note, "note", "sender_kind", json!("attested")),
        (note, "note", "recorded_at", json!(noon().plus(-1).to_string())),
        (note, "note", "routing_rule", json!("routing.lives")),
        (note, "note", "directory_version", json!(8)),
        (note, "note", "postcode_table", json!("vectors-2")),
        (delivered, "delivered", "payload_sha256", digest.clone()),
        (delivered, "delivered", "version", json!(2)),
    ] {
        let mut plan = Plan::new();
        part(&mut plan).event(name, value);
        let shows = format!("{word} and the token that it refers to differ in {name}");
        let id = format!("{word}-{name}").replace('_', "-");
        add(&id, &shows, value_of(&whole(plan)), rule(&format!("token.mismatch: {name}")));
    }
    for (id, shows, accountable, purpose) in [
        ("note-purpose", "the accountable authority's note says linked", "309", "linked"),
        (
            "accepted-authority",
            "another authority is accountable than the note says",
            "204",
            "accountable",
        ),
    ] {
        let mut plan = Plan::new();
        plan.accepted.event("authority", json!(accountable));
        plan.note.event("purpose", json!(purpose));
        add(id, shows, value_of(&whole(plan)), rule("token.mismatch: authority and purpose"));
    }
    let mut linked = Plan::new();
    linked.accepted.event("authority", json!("204"));
    linked.note.event("purpose", json!("linked"));
    add("linked", "a linked delivery", value_of(&whole(linked)), ok(5, 0));

    // Who may say what.
    let wrong_role = "evidence.wrong-role";
    for (part, word, signer) in [
        (accepted, "accepted", "authority"),
        (accepted, "accepted", "school"),
        (accepted, "accepted", "operator"),
        (note, "note", "authority"),
        (delivered, "delivered", "gateway"),
        (delivered, "delivered", "other-authority"),
        (delivered, "delivered", "school"),
        ((|p| &mut p.recorded) as Choose, "recorded", "authority"),
    ] {
        let mut plan = Plan::new();
        part(&mut plan).by(signer);
        let shows = format!("{word} signed by: {signer}");
        add(&format!("{word}-by-{signer}"), &shows, value_of(&whole(plan)), rule(wrong_role));
    }
    let mut self_signed = Plan::new();
    self_signed.submission.by("authority");
    add(
        "submission-by-an-authority",
        "an authority signs a submission",
        value_of(&whole(self_signed)),
        rule("token.claims"),
    );
    let mut tls = Plan::new();
    tls.submission.by("school-tls");
    add(
        "submission-by-a-tls-certificate",
        "a certificate for TLS signs a submission",
        value_of(&whole(tls)),
        rule("certificate.wrong-key-usage"),
    );

    // Revocation, judged at the time at which the gateway recorded it.
    let revoked = |name: &str, at: &str, invalid_from: Option<&str>| {
        let thread = Plan::new().sign(world);
        let entries = vec![world.revoke(name, at, invalid_from)];
        value_of(&bundle_with(world, &thread, &world.crls(noon().plus(2 * 86_400_000), entries)))
    };
    add(
        "revoked-before",
        "the school's certificate was revoked before it signed",
        revoked("school", "2026-11-04T11:00:00Z", None),
        rule("certificate.revoked"),
    );
    add(
        "revoked-after",
        "the school's certificate was revoked afterwards",
        revoked("school", "2026-11-04T12:30:00Z", None),
        ok(5, 0),
    );
    add(
        "doubted",
        "revoked afterwards, and the key may have been in other hands before",
        revoked("school", "2026-11-04T12:30:00Z", Some("2026-11-03T00:00:00Z")),
        ok(5, 1),
    );
    add(
        "doubted-gateway",
        "the same of the gateway's key: all three of its statements",
        revoked("gateway", "2026-11-04T12:30:00Z", Some("2026-11-03T00:00:00Z")),
        ok(5, 3),
    );
    let early = made().plus(-86_400_000).to_string();
    let mut before = Plan::new();
    before.accepted.event("recorded_at", json!(early));
    before.note.event("recorded_at", json!(early));
    add(
        "recorded-before-the-certificate",
        "recorded before there was a certificate",
        value_of(&whole(before)),
        rule("certificate.not-yet-valid"),
    );

    // Bytes.
    let unreadable = "evidence.unreadable";
    let raw = |alter: &dyn Fn(&mut Value)| {
        let mut bundle = value(&good);
        alter(&mut bundle);
        bundle
    };
    for (id, shows, bundle) in [
        ("not-an-object", "a list of tokens", json!([good.tokens[0]])),
        (
            "fields-in-a-list",
            "the members' values in a list",
            json!([REFERRAL, good.tokens, good.certificates, good.crls, []]),
        ),
        ("unknown-member", "a member that bundles do not have", raw(&|b| b["note"] = "x".into())),
        (
            "no-referral",
            "no referral id",
            raw(&|b| {
                b.as_object_mut().unwrap().remove("referral_id");
            }),
        ),
        (
            "certificate-not-base64",
            "a certificate in another alphabet",
            raw(&|b| b["certificates"][0][0] = "-_".into()),
        ),
        (
            "certificate-empty-chain",
            "a chain of no certificates",
            raw(&|b| b["certificates"][0] = json!([])),
        ),
        (
            "certificate-long-chain",
            "a chain of four",
            raw(&|b| {
                let one = b["certificates"][0][0].clone();
                b["certificates"][0] = json!([one, one, one, one]);
            }),
        ),
        (
            "list-not-base64",
            "a revocation list that is not base64",
            raw(&|b| b["crls"][0] = "*".into()),
        ),
        (
            "document-not-base64",
            "a document that is not base64url",
            raw(&|b| b["documents"] = json!(["+/"])),
        ),
    ] {
        add(id, shows, bundle, rule(unreadable));
    }
    add(
        "certificate-garbage",
        "bytes that are no certificate",
        raw(&|b| b["certificates"][0][0] = "AAAA".into()),
        rule(incomplete),
    );
    add(
        "list-garbage",
        "bytes that are no revocation list",
        raw(&|b| b["crls"][1] = "AAAA".into()),
        rule("crl.malformed"),
    );
    add(
        "token-garbage",
        "a text that is no token",
        raw(&|b| b["tokens"][0] = "a.b.c".into()),
        rule("jws.malformed"),
    );
    add(
        "token-of-another-kind",
        "a statement that evidence does not know",
        {
            let mut plan = Plan::new();
            plan.recorded.with(|c| {
                let body = crate::thread::event(c).take();
                c["events"] = json!({ "https://ecaf.example/events/other": body });
            });
            value_of(&whole(plan))
        },
        rule(unreadable),
    );
    add(
        "token-twice",
        "the same token twice",
        raw(&|b| {
            let twice = b["tokens"][1].clone();
            b["tokens"].as_array_mut().unwrap().push(twice);
        }),
        rule(incomplete),
    );

    File::new(ABOUT, world.scheme(&[])).cases(cases)
}

fn value_of(bundle: &Bundle) -> Value {
    serde_json::to_value(bundle).unwrap()
}

pub fn outcome(file: &Value, case: &Value) -> String {
    let judge = || {
        let bundle = Bundle::parse(&serde_json::to_vec(&case["bundle"]).unwrap())
            .map_err(|refusal| words(&refusal))?;
        let lists = bundle.crls().map_err(|refusal| words(&refusal))?;
        let issuing = bundle.issuing().map_err(|refusal| words(&refusal))?;
        let scheme = read_scheme(&file["scheme"]);
        let roots = crate::world::bytes_of(&file["scheme"]["roots"]);
        let trust = ecaf::protocol::trust::TrustStore::new(
            scheme.trust_domain().clone(),
            scheme.scope(),
            roots.into_iter().map(Into::into).collect(),
            issuing,
            lists,
        );
        let trust = trust.map_err(|faults| faults[0].rule.id.to_owned())?;
        let domain = DOMAIN.parse().unwrap();
        let proven = bundle.verify(&trust, &domain).map_err(|refusal| words(&refusal))?;
        let count = |what: fn(&Statement) -> bool| {
            proven.statements.iter().filter(|statement| what(statement)).count()
        };
        let doubted = count(|s| s.revocation == Revocation::Doubted);
        let unrecorded = count(|s| !s.recorded);
        let (statements, withheld) = (proven.statements.len(), proven.withheld);
        Ok::<_, String>(format!("ok:{statements}:{doubted}:{unrecorded}:{withheld}"))
    };
    judge().unwrap_or_else(|words| words)
}

pub fn expected(case: &Value) -> String {
    let expect = &case["expect"];
    match (expect["rule"].as_str(), expect["fact"].as_str()) {
        (Some(rule), Some(fact)) => format!("{rule}: {fact}"),
        (Some(rule), None) => rule.to_owned(),
        _ => {
            let count = |name: &str| expect[name].as_u64().unwrap_or(0);
            let [a, b, c, d] = ["statements", "doubted", "unrecorded", "withheld"].map(count);
            format!("ok:{a}:{b}:{c}:{d}")
        }
    }
}

/// `ecaf receipt verify` says the same as the library, offline.
pub fn the_command_says_the_same(world: &World) {
    let file = crate::file::read(FILE);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let root = ecaf::protocol::trust::pem::to_pem([world.root.certificate()]);
    std::fs::write(path("root.crt"), root).unwrap();
    std::fs::write(path("document.json"), document()).unwrap();
    std::fs::write(path("other.json"), b"{}").unwrap();
    let verify = |id: &str, more: &[&str]| {
        let case = crate::file::cases(&file).iter().find(|c| c["id"] == id).unwrap();
        std::fs::write(path("bundle.json"), case["bundle"].to_string()).unwrap();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_ecaf"))
            .current_dir(folder.path())
            .args(["receipt", "verify", "bundle.json", "--root", "root.crt"])
            .args(more)
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let (code, said, _) = verify("whole", &["--document", "document.json"]);
    assert_eq!(code, 0);
    for words in [
        "Verified: referral c0ee7722-8a3a-4522-8d71-e54f66ff1117",
        "signed by school/900001: version 1, U0 protection",
        "accepted by gateway/london-1 at position 1 for authority 309",
        "addressed by gateway/london-1 to authority/309 as accountable",
        "stored by authority/309 under HGY-2026-000001",
        "recorded by gateway/london-1 at position 2",
        "byte for byte",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    assert!(verify("doubted", &[]).1.contains("DOUBTED"));
    assert!(verify("attested", &[]).1.contains("attested by gateway london-1 for school/900003"));
    for (id, code, words) in [
        ("chain-previous", 1, "evidence.incomplete"),
        ("accepted-by-authority", 1, "evidence.wrong-role"),
        ("list-garbage", 1, "crl."),
        ("not-an-object", 2, "evidence.unreadable"),
    ] {
        let (found, said, errors) = verify(id, &[]);
        assert_eq!((found, said.as_str()), (code, ""), "{id}: {errors}");
        assert!(errors.contains(words), "{id}: {errors}");
    }
    let (code, _, errors) = verify("whole", &["--document", "other.json"]);
    assert_eq!(code, 1);
    assert!(errors.contains("token.mismatch"), "{errors}");
    // Under another root nothing verifies.
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/certs-example/scheme/root.crt");
    let (code, _, errors) = verify("whole", &["--demo", "--root", example]);
    assert_eq!((code, errors.is_empty()), (2, false), "the root is given twice");
    std::fs::copy(example, path("root.crt")).unwrap();
    let (code, said, errors) = verify("whole", &["--demo"]);
    assert_eq!((code, said.as_str()), (1, ""), "{errors}");
}
