//! What schools live through: an authority that is down over the weekend, a reply that is lost, a
//! form with mistakes in it, and every refusal with its way out. Real sockets, certificates, stores
//! and delivery; only the clock is the test's.

mod exchange_support;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use ecaf::domain::time::{DAY, HOUR, MINUTE, SECOND, Timestamp};
use ecaf::effects::{Clock, SystemClock};
use ecaf::http::{ClientResponse, Line};
use ecaf::party::member::Member;
use ecaf::protocol::evidence::{Bundle, Says};
use ecaf::protocol::hash::sha256;
use ecaf::protocol::schema::Schema;
use ecaf::protocol::tokens::Attested;
use ecaf::protocol::trust::Chain;
use ecaf::store::InboxFilter;
use exchange_support::inside::{self, Gateway, eager};
use exchange_support::stage::{
    A_PERSON, LEA_BRIDGE, MARSH_LANE, ST_BRANNOCKS, Stage, get, good, rules, text,
};
use exchange_support::{
    Arrived, Document, HACKNEY, HARINGEY, NEWHAM, Proof, Sent, eventually, example, json_fields,
    post, problem, receipt_of, sign, signed_fields, vault, wire,
};
use http::HeaderValue;
use serde_json::{Value, json};

/// Scenario A9: the authority's endpoint is down on Friday at 16:30 and comes back on Monday.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a9_the_endpoint_is_down_from_friday_to_monday() {
    let friday: Timestamp = "2026-11-20T16:30:00Z".parse().unwrap();
    let mut stage = Stage::at(friday).await;
    let document = stage.stream.document(MARSH_LANE, NEWHAM);
    let sent = stage.accepted(document).await;
    stage.attempts(&sent, 1).await;

    let state = stage.state(&sent).await;
    assert_eq!(state["deliveries"][0]["state"], "held");
    assert!(text(&state["authority"]["help"]).contains("020 7946 0316"), "{state}");
    stage.hand.set(friday.plus(5 * MINUTE - 1));
    assert_eq!(stage.state(&sent).await["deliveries"][0]["state"], "held");
    stage.hand.set(friday.plus(5 * MINUTE));
    let state = stage.state(&sent).await;
    assert_eq!(state["deliveries"][0]["state"], "delayed");
    let words = text(&state["deliveries"][0]["words"]);
    assert!(words.contains("020 7946 0316"), "still office hours: {words}");

    // The office closes at 17:00; the gateway is restarted in the evening and forgets nothing.
    stage.hand.set(friday.plus(31 * MINUTE));
    let Stage { scene, hand, clock, gateway, schools, stream } = stage;
    gateway.stop().await;
    let gateway = Gateway::open(&scene, &clock, eager()).await;
    let stage = Stage { scene, hand, clock, gateway, schools, stream };
    for later in [31 * MINUTE, 20 * HOUR, 45 * HOUR] {
        stage.hand.set(friday.plus(later));
        let state = stage.state(&sent).await;
        assert_eq!(state["deliveries"][0]["state"], "delayed");
        let words = text(&state["deliveries"][0]["words"]);
        assert!(words.contains("020 7946 0916"), "out of hours: {words}");
    }

    // Monday, 09:10.
    let monday = friday.plus(2 * DAY + 16 * HOUR + 40 * MINUTE);
    stage.hand.set(monday);
    let newham = stage.authority(NEWHAM).await;
    // What was put off until a little after now falls due.
    stage.hand.set(monday.plus(SECOND));
    let state = stage.until(&sent, "stored").await;
    assert_eq!(text(&state["recorded_at"]).parse(), Ok(friday), "the time of Friday counts");
    let stored_at: Timestamp = text(&state["deliveries"][0]["stored_at"]).parse().unwrap();
    assert!(stored_at >= monday);
    let entry = newham.station.store.inbox(InboxFilter::default()).await.unwrap().remove(0);
    assert_eq!((entry.recorded_at, entry.received_at >= monday), (friday, true));
    let proof = Proof::of(&stage.schools[MARSH_LANE]);
    let proven = proof.evidence(&*stage.gateway.exchange.store, &sent).await;
    assert_eq!(proven.statements[0].at, friday, "the submission is judged at its recorded time");
    newham.stop().await;
    Arrived::read(&[HACKNEY, HARINGEY, NEWHAM].map(|i| stage.inbox(i))).await.once(&sent.document);
}

impl Stage {
    /// The inbox of an authority; an empty one if it never ran.
    fn inbox(&self, index: usize) -> std::path::PathBuf {
        use ecaf::store::sqlite::{Settings, SqliteAuthority};
        let path = self.scene.inbox_store(index);
        let settings = Settings::owner(&path).or_create();
        drop(SqliteAuthority::open(&settings, vault(&path)).unwrap());
        path
    }
}

/// Scenario A10: the same submission three times, signed anew each time, and one whose reply is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a10_sent_again_and_again_it_is_one_case_with_one_receipt() {
    let mut stage = Stage::now().await;
    let hackney = stage.authority(HACKNEY).await;
    for school in [LEA_BRIDGE, ST_BRANNOCKS] {
        let document = stage.stream.document(school, HACKNEY);
        let sent = stage.accepted(document).await;
        for _ in 0..2 {
            let again = post(&stage.schools[school], &sent.document).await.unwrap();
            let again = receipt_of(&again);
            assert!(!again.new);
            assert_eq!(again.accepted, sent.receipt.accepted);
        }
        stage.until(&sent, "stored").await;
        let again = receipt_of(&post(&stage.schools[school], &sent.document).await.unwrap());
        assert_eq!(again.accepted, sent.receipt.accepted, "also once it is delivered");

        let lost = stage.stream.document(school, HACKNEY);
        let sender = &stage.schools[school];
        let fields = signed_fields(sender, &lost);
        let connection = wire::send(&stage.scene, school, &fields, &lost.bytes).await;
        let path = format!("/v1/referrals/{}", lost.id);
        eventually("it was taken all the same", async || {
            (get(&*sender.client, &path).await.status == 200).then_some(())
        })
        .await;
        drop(connection);
        let receipt = receipt_of(&post(sender, &lost).await.unwrap());
        assert!(!receipt.new, "the first request had been taken");
        Proof::of(sender).receipt(&receipt, &lost, stage.clock.now());
        stage.until(&Sent { document: lost, receipt }, "stored").await;

        // Cut off at once: whether it was taken or not, sending it again is right.
        let lost = stage.stream.document(school, HACKNEY);
        let sender = &stage.schools[school];
        let fields = signed_fields(sender, &lost);
        drop(wire::send(&stage.scene, school, &fields, &lost.bytes).await);
        let receipt = receipt_of(&post(sender, &lost).await.unwrap());
        let again = receipt_of(&post(sender, &lost).await.unwrap());
        assert_eq!((again.new, &again.accepted), (false, &receipt.accepted));
        stage.until(&Sent { document: lost, receipt }, "stored").await;
    }
    let entries = hackney.station.store.inbox(InboxFilter::default()).await.unwrap();
    assert_eq!(entries.len(), 6, "one case each");
}

/// Scenario A19: a wrong check letter in the UPN and no postcode are told, and stop nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a19_a_wrong_upn_and_no_postcode_are_warnings() {
    let stage = Stage::now().await;
    let hackney = stage.authority(HACKNEY).await;
    let document = Document::of(example("a19-wrong-upn-no-postcode"), LEA_BRIDGE, HACKNEY);
    let checked = stage.schools[LEA_BRIDGE]
        .client
        .post("/v1/referrals/check", json_fields(), document.bytes.clone())
        .await
        .unwrap();
    let checked: Value = serde_json::from_slice(&checked.body).unwrap();
    assert_eq!(checked["acceptable"], true, "{checked}");
    let sent = stage.accepted(document).await;
    for advice in [&checked["advice"], &sent.receipt.answer["advice"]] {
        let advice = advice.as_array().unwrap();
        let upn = advice.iter().find(|a| text(&a["rule"]).contains("upn")).expect("UPN");
        assert_eq!(upn["pointer"], "/children/0/upn");
        let has = |rule: &str| advice.iter().any(|a| a["rule"] == rule);
        assert!(has("advice.postcode-missing"), "{advice:?}");
        assert!(!json!(advice).to_string().contains("A001900217088"), "never a value");
    }
    assert_eq!(stage.state(&sent).await["authority"]["code"], "204", "where he is found");
    stage.until(&sent, "stored").await;
    drop(hackney);
}

/// Other bytes under an id that was used get a signed "no", with the number to ring.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_bytes_under_the_same_id_are_a_signed_conflict() {
    let mut stage = Stage::now().await;
    for school in [MARSH_LANE, ST_BRANNOCKS] {
        let document = stage.stream.document(school, NEWHAM);
        let sent = stage.accepted(document).await;
        let sender = &stage.schools[school];
        let other = sent.document.changed(|v| v["children"][0]["year_group"] = "Year 4".into());
        let refused = problem(&post(sender, &other).await.unwrap(), 409);
        assert_eq!(rules(&refused), ["submission.other-bytes"]);
        assert!(refused.help.as_ref().unwrap().contains("020 7946 0"), "{refused:?}");
        stage.signed_refusal(&refused, sender, &other.bytes);
        // Even white space counts: what is signed is bytes.
        let mut bytes = sent.document.bytes.to_vec();
        bytes.push(b'\n');
        let spaced =
            Document { sha256: sha256(&bytes), bytes: bytes.into(), ..sent.document.clone() };
        problem(&post(sender, &spaced).await.unwrap(), 409);
        let again = receipt_of(&post(sender, &sent.document).await.unwrap());
        assert_eq!(again.accepted, sent.receipt.accepted, "the first one stands");
    }
}

/// The id of another school's referral is refused in general words, and its sender keeps it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_id_of_another_school_says_nothing_about_it() {
    let mut stage = Stage::now().await;
    let document = stage.stream.document(MARSH_LANE, NEWHAM);
    let sent = stage.accepted(document).await;
    for school in [LEA_BRIDGE, ST_BRANNOCKS] {
        let id = sent.document.id.to_string();
        let theirs = stage.stream.document(school, HACKNEY);
        let theirs = theirs.changed(|v| v["referral_id"] = id.into());
        let sender = &stage.schools[school];
        let refused = problem(&post(sender, &theirs).await.unwrap(), 409);
        assert_eq!(rules(&refused), ["submission.id-unusable"]);
        let said = serde_json::to_string(&refused).unwrap();
        for secret in ["900001", "Marsh", "Newham", "316", "020 7946"] {
            assert!(!said.contains(secret), "{said}");
        }
        stage.signed_refusal(&refused, sender, &theirs.bytes);
    }
}

/// A school without a key: the gateway attests, and evidence and inbox say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attested_school_is_never_said_to_have_signed() {
    let mut stage = Stage::now().await;
    let hackney = stage.authority(HACKNEY).await;
    let document = stage.stream.document(ST_BRANNOCKS, HACKNEY);
    let sent = stage.accepted(document).await;
    stage.until(&sent, "stored").await;
    let proof = Proof::of(&stage.schools[ST_BRANNOCKS]);
    let proven = proof.evidence(&*stage.gateway.exchange.store, &sent).await;
    let Says::Submitted(said) = &proven.statements[0].says else { panic!("{proven:?}") };
    assert_eq!(said.backing(), Attested::By("sandbox".parse().unwrap()));
    assert_eq!(said.sender(), &stage.schools[ST_BRANNOCKS].party);
    let entry = hackney.station.store.inbox(InboxFilter::default()).await.unwrap().remove(0);
    let item = hackney.station.store.item(entry.entry).await.unwrap().unwrap();
    let shown = ecaf::authority::inbox::readable(&item).unwrap().to_text();
    assert!(shown.contains("Attested by gateway sandbox for"), "{shown}");
    assert!(!shown.contains("Signed by"), "{shown}");

    // A school that signs cannot leave its signature out, nor the attested one borrow a key.
    let unsigned = stage.stream.document(MARSH_LANE, HACKNEY);
    let client = &stage.schools[MARSH_LANE].client;
    let sent = client.post("/v1/referrals", json_fields(), unsigned.bytes.clone()).await.unwrap();
    assert_eq!(rules(&problem(&sent, 403)), ["directory.must-sign"]);
    let borrowed = stage.stream.document(ST_BRANNOCKS, HACKNEY);
    let fields = borrowed_fields(&stage.schools[MARSH_LANE], &borrowed);
    let client = &stage.schools[ST_BRANNOCKS].client;
    let sent = client.post("/v1/referrals", fields, borrowed.bytes.clone()).await.unwrap();
    assert_eq!(rules(&problem(&sent, 403)), ["submission.signer-is-not-the-peer"]);
}

/// A submission of `document` signed with the key of `owner`.
fn borrowed_fields(owner: &Member, document: &Document) -> ecaf::http::Fields {
    let identity = owner.signing.as_ref().unwrap();
    let value = |text: String| HeaderValue::from_str(&text).unwrap();
    let mut fields = json_fields();
    fields.push((ecaf::protocol::message::TOKEN, value(sign(owner, identity, document))));
    let chain = value(identity.chain().to_header());
    fields.push((ecaf::protocol::message::CERTIFICATES, chain));
    fields
}

/// Signer, connection and document must name one school, whichever of them lies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sends_in_the_name_of_another_school() {
    let mut stage = Stage::now().await;
    // The document names another school than the one that signed and is connected.
    for (sender, named) in [(MARSH_LANE, LEA_BRIDGE), (ST_BRANNOCKS, MARSH_LANE)] {
        let document = stage.stream.document(named, HACKNEY);
        let refused = post(&stage.schools[sender], &document).await.unwrap();
        let refused = problem(&refused, 403);
        assert_eq!(rules(&refused), ["token.mismatch"], "{sender}");
        stage.signed_refusal(&refused, &stage.schools[sender], &document.bytes);
        // Asking whether it would be accepted tells the same.
        let client = &stage.schools[sender].client;
        let body = document.bytes.clone();
        let checked = client.post("/v1/referrals/check", json_fields(), body).await.unwrap();
        let checked: Value = serde_json::from_slice(&checked.body).unwrap();
        assert_eq!(checked["acceptable"], false);
        assert_eq!(checked["violations"][0]["rule"], "token.mismatch");
    }
    // The signature of another school on this school's connection.
    let document = stage.stream.document(LEA_BRIDGE, HACKNEY);
    let fields = borrowed_fields(&stage.schools[LEA_BRIDGE], &document);
    let client = &stage.schools[MARSH_LANE].client;
    let sent = client.post("/v1/referrals", fields, document.bytes.clone()).await.unwrap();
    assert_eq!(rules(&problem(&sent, 403)), ["submission.signer-is-not-the-peer"]);
    // An authority does not send referrals at all.
    let authority = inside::authority_caller(&stage.scene, HACKNEY, &stage.clock).await;
    let fields = borrowed_fields(&stage.schools[LEA_BRIDGE], &document);
    let sent = authority.post("/v1/referrals", fields, document.bytes.clone()).await.unwrap();
    assert_eq!(rules(&problem(&sent, 403)), ["peer.not-a-school"]);
    // And nothing of all that was kept: its owner can use the id.
    stage.accepted(document).await;
}

/// An authority that is not connected: the number, and the text to read out on the phone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_is_not_connected_is_rung() {
    let more = "[[authorities]]\ncode = \"383\"\nconnection = \"not_connected\"\n\
                staffed_hours = \"mon-fri 00:00-24:00\"\nout_of_hours = \"phone_only\"\n\
                [[authorities.contacts]]\nkind = \"daytime\"\nlabel = \"Duty and Advice\"\n\
                phone = \"0113 496 0383\"\nverified_at = \"2026-11-01\"\nverified_by = \"test\"";
    let monday: Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
    let mut stage = Stage::with_directory(monday, more).await;
    for school in [MARSH_LANE, ST_BRANNOCKS] {
        let document = stage.stream.document(school, HACKNEY);
        let leeds = document.changed(|v| v["addresses"][0]["postcode"] = "LS1 1UR".into());
        let sender = &stage.schools[school];
        let refused = problem(&post(sender, &leeds).await.unwrap(), 422);
        assert_eq!(rules(&refused), ["routing.not-connected"]);
        assert_eq!(refused.culprit, "operator", "nothing is wrong with the referral");
        let help = refused.help.as_ref().unwrap();
        assert!(help.contains("0113 496 0383") && help.contains("Leeds"), "{help}");
        // Beside the number, how to record what is done by telephone.
        let told = &refused.violations[0];
        assert_eq!(told.detail, "Leeds, 383");
        assert!(told.action.contains("ecaf school handed-over"), "{told:?}");
        let readable = refused.readable.as_ref().unwrap();
        let narrative = text(&leeds.value["concerns"][0]["narrative"]["text"]);
        assert!(readable.contains("Quillfeather") && readable.contains("Word"), "{readable}");
        assert!(narrative.split(' ').all(|word| readable.contains(word)), "{readable}");
        stage.signed_refusal(&refused, sender, &leeds.bytes);
        let body = leeds.bytes.clone();
        let checked = sender.client.post("/v1/referrals/check", json_fields(), body).await.unwrap();
        let checked: Value = serde_json::from_slice(&checked.body).unwrap();
        assert_eq!(checked["acceptable"], false);
        assert!(text(&checked["help"]["help"]).contains("0113 496 0383"), "{checked}");
    }
}

/// An urgent referral that the schema refuses comes back as a document that goes at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_urgent_referral_with_mistakes_has_a_way_out() {
    let mut stage = Stage::now().await;
    let hackney = stage.authority(HACKNEY).await;
    for school in [MARSH_LANE, ST_BRANNOCKS] {
        let document = stage.stream.document(school, HACKNEY);
        let wrong = document.changed(|v| {
            v["children"][0]["sex"] = "perhaps".into();
            v["favourite_colour"] = "blue".into();
        });
        let sender = &stage.schools[school];
        let refused = problem(&post(sender, &wrong).await.unwrap(), 422);
        assert!(refused.violations.len() >= 2, "all mistakes at once: {refused:?}");
        assert!(refused.violations.iter().any(|v| v.pointer == "/children/0/sex"), "{refused:?}");
        stage.signed_refusal(&refused, sender, &wrong.bytes);
        let minimal = refused.minimal_document.as_ref().expect("a way out");
        let minimal = URL_SAFE_NO_PAD.decode(minimal).unwrap();
        let value: Value = serde_json::from_slice(&minimal).unwrap();
        let said = value.to_string();
        for kept in ["perhaps", "blue", "Quillfeather"] {
            assert!(said.contains(kept), "nothing that was written is lost: {kept}");
        }
        let way_out =
            Document { sha256: sha256(&minimal), bytes: minimal.into(), value, ..wrong.clone() };
        let sent = stage.accepted(way_out).await;
        assert_eq!(sent.document.id, wrong.id, "the refused one consumed nothing");
        stage.until(&sent, "stored").await;
    }
    // One that can wait is told its mistakes, and no more.
    let calm = stage.stream.document(MARSH_LANE, HACKNEY).changed(|v| v["urgency"] = "U2".into());
    let refused = problem(&post(&stage.schools[MARSH_LANE], &calm).await.unwrap(), 422);
    assert_eq!(refused.minimal_document, None);
    drop(hackney);
}

/// What may not be seen is answered like what never was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_cannot_tell_a_referral_from_none() {
    let mut stage = Stage::now().await;
    let document = stage.stream.unsafe_at_home(MARSH_LANE, HACKNEY);
    let sent = stage.accepted(document).await;
    let id = sent.document.id.to_string();
    let never = stage.stream.id().to_string();
    let digest = sent.document.sha256;
    let caller = async |index| inside::authority_caller(&stage.scene, index, &stage.clock).await;
    let (hackney, haringey, newham) =
        (caller(HACKNEY).await, caller(HARINGEY).await, caller(NEWHAM).await);
    for stranger in [&stage.schools[LEA_BRIDGE].client, &newham] {
        for path in ["", &format!("/documents/{digest}"), "/evidence"] {
            let theirs = get(&**stranger, &format!("/v1/referrals/{id}{path}")).await;
            let none = get(&**stranger, &format!("/v1/referrals/{never}{path}")).await;
            assert_eq!(theirs.status, 404);
            assert_eq!(blind(&theirs), blind(&none), "{path}");
            let names = |r: &ClientResponse| r.headers.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(&theirs), names(&none));
            assert_eq!(theirs.body.len(), none.body.len(), "{path}");
        }
    }
    // The holder sees everything; the authority where the child is sees its own delivery only.
    let path = format!("/v1/referrals/{id}");
    let purposes = async |client: &dyn Line| {
        let state = good(client, &path).await;
        let rows = state["deliveries"].as_array().unwrap().clone();
        rows.iter().map(|d| text(&d["purpose"]).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(purposes(&*stage.schools[MARSH_LANE].client).await, ["accountable", "linked"]);
    assert_eq!(purposes(&*hackney).await, ["accountable", "linked"]);
    assert_eq!(purposes(&*haringey).await, ["linked"]);
    for (client, notes) in [(&hackney, 2), (&haringey, 1)] {
        let evidence = good(&**client, &format!("{path}/evidence")).await;
        let bundle: Bundle = serde_json::from_value(evidence).unwrap();
        let sender = &stage.schools[MARSH_LANE];
        let proven = bundle.verify(&sender.trust.store(), sender.scheme()).unwrap();
        let dispatched = |s: &&_| matches!(s, Says::Dispatched(..));
        let found = proven.statements.iter().map(|s| &s.says).filter(dispatched).count();
        assert_eq!(found, notes);
    }
    // Another document than its own is not to be had under its id, nor anything by a bad name.
    for odd in [format!("{path}/documents/{}", sha256(b"x")), "/v1/referrals/1".into()] {
        assert_eq!(get(&*stage.schools[MARSH_LANE].client, &odd).await.status, 404);
    }

    // An allegation about a member of staff: an organisation's certificate sees not even that.
    let lado = Document::of(example("a15a-allegation-about-a-teacher"), A_PERSON, HARINGEY);
    let refused = post(&stage.schools[MARSH_LANE], &lado).await.unwrap();
    assert_eq!(rules(&problem(&refused, 403)), ["lado.person-needed"]);
    let sent = stage.accepted(lado).await;
    assert_eq!(stage.state(&sent).await["authority"]["code"], "309", "she sees it");
    for client in [&stage.schools[MARSH_LANE].client, &haringey, &newham] {
        let theirs = get(&**client, &format!("/v1/referrals/{}", sent.document.id)).await;
        assert_eq!(theirs.status, 404);
        assert_eq!(blind(&theirs), blind(&get(&**client, &format!("/v1/referrals/{never}")).await));
    }
}

/// A problem without its signed form and the request's number, which are others each time.
fn blind(response: &ClientResponse) -> Value {
    let mut value: Value = serde_json::from_slice(&response.body).unwrap();
    for name in ["refusal", "instance"] {
        value.as_object_mut().unwrap().remove(name).expect(name);
    }
    value
}

/// Everything that can be asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_evidence_certificates_and_schemas_can_be_read() {
    let mut stage = Stage::now().await;
    let document = stage.stream.document(MARSH_LANE, HACKNEY);
    let sent = stage.accepted(document).await;
    let sender = &stage.schools[MARSH_LANE];
    let path = format!("/v1/referrals/{}", sent.document.id);
    let state = stage.state(&sent).await;
    assert_eq!(state["documents"], json!([sent.document.sha256.to_string()]));
    assert_eq!(state["sender"], "school/900001");
    let document =
        get(&*sender.client, &format!("{path}/documents/{}", sent.document.sha256)).await;
    assert_eq!(document.body, sent.document.bytes);
    assert_eq!(document.headers["cache-control"], "no-store");
    let evidence = good(&*sender.client, &format!("{path}/evidence")).await;
    let bundle: Bundle = serde_json::from_value(evidence).unwrap();
    let proven = bundle.verify(&sender.trust.store(), sender.scheme()).unwrap();
    assert_eq!(proven.statements.len(), 3, "submission, accepted, note");

    let own = sender.signing.as_ref().unwrap();
    for chain in [&sent.receipt.chain, own.chain()] {
        let answer = good(&*sender.client, &format!("/v1/certificates/{}", chain.x5t())).await;
        let found = Chain::from_header(text(&answer["certificates"])).unwrap();
        assert_eq!(found.certificates(), chain.certificates());
    }
    let unknown = format!("/v1/certificates/{}", sha256(b"unknown"));
    assert_eq!(get(&*sender.client, &unknown).await.status, 404);

    let speaks = good(&*sender.client, "/.well-known/ecaf").await;
    assert_eq!(speaks["protocol"], "1.0");
    assert_eq!(speaks["gateway"], "spiffe://demo.ecaf.example/gateway/sandbox");
    assert_eq!(speaks["directory_version"], 1);
    assert_eq!(speaks["schemas"], json!([Schema::referral_v1_id()]));
    let path = Schema::referral_v1_id().strip_prefix("https://ecaf.example").unwrap();
    let schema = good(&*sender.client, path).await;
    assert_eq!(schema["$id"], Schema::referral_v1_id());
    assert_eq!(get(&*sender.client, "/schemas/none.json").await.status, 404);

    let asked = Bytes::from_static(b"{\"postcode\":\"E13 0JN\"}");
    let route = sender.client.post("/v1/routes", json_fields(), asked).await.unwrap();
    let route: Value = serde_json::from_slice(&route.body).unwrap();
    assert_eq!(
        (&route["answer"], &route["authorities"][0]["code"]),
        (&"one".into(), &"316".into())
    );
}

/// Given up after three days, told so, and brought all the same once an operator says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undeliverable_referral_is_replayed_by_its_operator() {
    // Before the machine's own time, by which the operator's command works.
    let mut stage = Stage::at(SystemClock.now().plus(-4 * DAY)).await;
    let document = stage.stream.document(LEA_BRIDGE, NEWHAM);
    let sent = stage.accepted(document).await;
    stage.attempts(&sent, 1).await;
    stage.hand.advance(3 * DAY);
    let state = stage.until(&sent, "undeliverable").await;
    let words = text(&state["deliveries"][0]["words"]);
    assert!(words.contains("ring them now") && words.contains("020 7946 0"), "{words}");
    assert!(state["deliveries"][0]["next_attempt_at"].is_null());

    let config = stage.scene.world.gateway_config();
    let config = config.to_str().unwrap();
    let listed = stage.scene.run(&[
        "gateway",
        "deliveries",
        "--config",
        config,
        "--json",
        "--state",
        "undeliverable",
    ]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed[0]["referral_id"], sent.document.id.to_string());
    assert_eq!(listed[0]["reason"], "unreachable");
    let none = stage.scene.run(&["gateway", "replay", "--config", config, "--authority", "204"]);
    assert_eq!(none.status.code(), Some(1), "nothing of Hackney's is stuck");
    let newham = stage.authority(NEWHAM).await;
    let replayed =
        stage.scene.run(&["gateway", "replay", "--config", config, "--authority", "316"]);
    assert_eq!(replayed.status.code(), Some(0), "{replayed:?}");
    assert_eq!(String::from_utf8_lossy(&replayed.stdout), "1 to be tried again now\n");
    stage.hand.set(SystemClock.now().plus(MINUTE));
    stage.until(&sent, "stored").await;
    let proof = Proof::of(&stage.schools[LEA_BRIDGE]);
    proof.evidence(&*stage.gateway.exchange.store, &sent).await;
    assert!(stage.gateway.exchange.store.check().await.unwrap().is_sound());
    drop(newham);
}
