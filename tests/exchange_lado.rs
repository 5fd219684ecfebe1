//! An allegation about an adult who works with children: the person who sent it and the authority's
//! designated officers see it, and nobody else sees even that it is there. Real sockets, certificates
//! and stores; only the clock is the test's.

mod exchange_support;

use std::path::PathBuf;
use std::process::Output;

use bytes::Bytes;
use ecaf::domain::case::EventKind;
use ecaf::domain::ids::ReferralId;
use ecaf::domain::time::{DAY, HOUR, Timestamp};
use ecaf::gateway::remind::{self, Stumbled};
use ecaf::http::Line;
use ecaf::party::begin::begin;
use ecaf::party::look::{Contact, NotSeen, State, look};
use ecaf::party::member::Member;
use ecaf::party::say::{NotSaid, Said, Saying, say};
use ecaf::protocol::directory::{ContactDoc, Overlay};
use ecaf::school::follow::follow;
use exchange_support::inside;
use exchange_support::stage::{A_PERSON, MARSH_LANE, Stage, get, rules};
use exchange_support::{
    Document, HACKNEY, HARINGEY, Proof, Sent, eventually, example, post, problem,
};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

/// A Monday morning.
const NOW: &str = "2026-11-23T09:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Certificates for one more person, by the scheme's own program, and the machine they work at.
async fn person(stage: &Stage, party: &str, school: bool) -> Member {
    inside::member_of(&machine(stage, party, school), &stage.clock).await
}

/// The same, as the configuration of that machine.
fn machine(stage: &Stage, party: &str, school: bool) -> PathBuf {
    let name = party.replace('/', "-");
    let out = format!("{name}/own");
    let folder = stage.scene.world.folder();
    std::fs::create_dir_all(folder.join(&name)).unwrap();
    let issued = stage.clock.now().to_string();
    let arguments = ["pki", "issue", party, "--out", &out, "--at", &issued];
    let done = stage.scene.run(&arguments);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let like = match school {
        true => stage.scene.world.school_config(A_PERSON),
        false => stage.scene.world.worker_config(HARINGEY),
    };
    let text = std::fs::read_to_string(&like).unwrap();
    let text = ["tls", "signing"].iter().fold(text, |text, kind| {
        text.replace(&format!("\"{kind}.crt\""), &format!("\"own-{kind}.crt\""))
            .replace(&format!("\"{kind}.key\""), &format!("\"own-{kind}.key\""))
    });
    let file = folder.join(&name).join(if school { "school.toml" } else { "worker.toml" });
    std::fs::write(&file, text).unwrap();
    file
}

fn lado_desk(overlay: &mut Overlay) {
    let haringey = overlay.authorities.iter_mut().find(|a| a.code == "309").unwrap();
    haringey.contacts.push(ContactDoc {
        kind: "lado".into(),
        label: "Designated officer".into(),
        phone: Some("020 7946 0555".into()),
        email: None,
        hours: None,
        verified_at: Some("2026-11-01".into()),
        verified_by: Some("sandbox".into()),
    });
}

/// A published example as it is sent this morning; `role` is the adult's.
fn allegation(role: &str) -> Document {
    let document = Document::of(example("a15a-allegation-about-a-teacher"), A_PERSON, HARINGEY);
    document.changed(|value| {
        value["request"]["lado"]["role"] = json!(role);
        value["request"]["lado"]["known_to_school_at"] = json!("2026-11-23T08:30:00+00:00");
    })
}

async fn ok(member: &Member, id: ReferralId, saying: &Saying) -> Said {
    say(member, id, saying).await.unwrap_or_else(|not| panic!("{:?}: {not:?}", saying.kind))
}

fn acknowledgement() -> Saying {
    let worker =
        json!({"name": "Di Example", "role": "Designated officer", "phone": "01632 960124"});
    Saying::with(EventKind::Acknowledged, json!({"worker": worker, "reference": "HGY-LADO-0001"}))
}

/// About the matter where the allegation names no child, else about its children.
fn decision(code: &str, state: &State) -> Saying {
    let document = json!({
        "disclosure": "outcome", "reason": "The harm threshold may be met.",
        "school_should": "Do not investigate; keep the adult's duties under review with us.",
        "how_to_challenge": "Ring the designated officer's manager.",
        "referrer_spoken_to": true, "child_seen": false,
        "what_would_change": "A new account.", "other_support": "The school's own adviser."
    });
    let children = match state.about_no_child {
        true => Vec::new(),
        false => (1..=state.children.len() as u32).collect(),
    };
    Saying { code: Some(code.into()), children, ..Saying::with(EventKind::Decided, document) }
}

/// The kinds of the tokens that a poll with this certificate gives, all of them at once.
async fn polled(client: &dyn Line, stream: &str) -> Vec<String> {
    let headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    let body = json!({"stream": stream, "returnImmediately": true}).to_string();
    let answer = client.post("/v1/events/poll", headers, Bytes::from(body)).await.unwrap();
    assert_eq!(answer.status, 200);
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer["moreAvailable"], false);
    let claims =
        |jws: &Value| ecaf::protocol::evidence::unverified_claims(jws.as_str().unwrap()).unwrap();
    let sets = answer["sets"].as_object().unwrap().values().map(claims);
    sets.map(|claims| claims["events"].as_object().unwrap().keys().next().unwrap().clone())
        .collect()
}

/// What somebody is answered who may not see it: as for an id that was never used.
async fn nothing(sent: &Sent, client: &dyn Line) {
    let never = ReferralId::from_bytes([7; 16]);
    let (id, document) = (sent.document.id, sent.document.sha256);
    for part in [String::new(), "/evidence".into(), format!("/documents/{document}")] {
        let theirs = get(client, &format!("/v1/referrals/{id}{part}")).await;
        let unused = get(client, &format!("/v1/referrals/{never}{part}")).await;
        assert_eq!(
            (theirs.status, unused.status),
            (404.try_into().unwrap(), 404.try_into().unwrap())
        );
        assert_eq!(blind(&theirs.body), blind(&unused.body));
    }
}

fn blind(body: &[u8]) -> Value {
    let mut value: Value = serde_json::from_slice(body).unwrap();
    for name in ["refusal", "instance"] {
        value.as_object_mut().unwrap().remove(name).expect(name);
    }
    value
}

/// Scenario A15: an allegation about a teacher of the sending school, to a decision. The teacher, who
/// has certificates too, the school's, the authority's and a social worker's see nothing of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a15_an_allegation_is_between_its_sender_and_the_designated_officer() {
    let stage = Stage::with_overlay(at(NOW), lado_desk).await;
    let authority = stage.authority(HARINGEY).await;
    let officer = person(&stage, "authority/309/person/lado-1", false).await;
    let teacher = person(&stage, "school/900001/person/teacher-1", true).await;
    let sender = &stage.schools[A_PERSON];
    let sent = stage.accepted(allegation("teacher")).await;
    let id = sent.document.id;
    stage.until(&sent, "stored").await;
    let (worker, caller) = (
        stage.worker(HARINGEY).await,
        inside::authority_caller(&stage.scene, HARINGEY, &stage.clock).await,
    );
    let elsewhere = stage.worker(HACKNEY).await;
    let blind_ones: [&dyn Line; 5] = [
        &*stage.schools[MARSH_LANE].client,
        &*teacher.client,
        &*caller,
        &*worker.client,
        &*elsewhere.client,
    ];
    for client in blind_ones {
        nothing(&sent, client).await;
    }

    // Nobody else may speak about it either: the answer is that there is nothing.
    for other in [&worker, &teacher] {
        let said = say(other, id, &Saying::of(EventKind::Opened)).await;
        assert!(matches!(said, Err(NotSaid::NotSeen(NotSeen::Refused(_)))), "{said:?}");
    }

    // C13: passed on in time, and due by the end of the next working day.
    let state = look(sender, id).await.unwrap();
    let c13 = |state: &State, about: &str| {
        state.clocks.iter().find(|c| c.clock == "C13" && c.about == about).unwrap().clone()
    };
    assert_eq!(c13(&state, "report").state, "in time");
    assert_eq!(c13(&state, "referral").due_at, "2026-11-24T17:00:00.000Z");
    assert!(!state.clocks.iter().any(|c| c.clock == "C5"), "no clock of a child's case");

    // The limit passes; it is recorded once, and the manager is whom to ask, not the head.
    stage.hand.set(at(NOW).plus(DAY + 9 * HOUR));
    remind::look(&stage.gateway.exchange, "test", &mut Stumbled::default()).await.unwrap();
    let state = eventually("the breach", async || {
        let state = look(&officer, id).await.unwrap();
        state.events.iter().any(|e| e.event == "clock_breached").then_some(state)
    })
    .await;
    let late = c13(&state, "referral");
    assert_eq!(late.state, "overdue");
    let phone = |c: &Contact| c.way.as_ref().and_then(|way| way.phone.clone());
    let asked: Vec<_> = late.ask.iter().map(|c| (c.role.as_str(), phone(c))).collect();
    assert_eq!(asked, [("LADO manager", Some("020 7946 0555".into()))]);

    ok(&officer, id, &Saying::of(EventKind::Opened)).await;
    ok(&officer, id, &acknowledgement()).await;
    let of_a_child = say(&officer, id, &decision("assessment", &state)).await;
    let Err(NotSaid::Refused(refused)) = of_a_child else { panic!("{of_a_child:?}") };
    assert_eq!(rules(&refused), ["event.form"], "not a decision on an allegation");
    let decided = ok(&officer, id, &decision("allegation_meeting", &state)).await;
    let read = Saying { answers: Some(decided.position), ..Saying::of(EventKind::Read) };
    ok(sender, id, &read).await;
    let state = look(sender, id).await.unwrap();
    let told: Vec<_> = state.events.iter().map(|e| e.event.as_str()).collect();
    for kind in ["opened", "acknowledged", "decided", "read"] {
        assert!(told.contains(&kind), "{told:?}");
    }

    // The streams of persons have it; those of organisations and of other persons not even a count.
    for (line, stream) in [(&*sender.client, "own"), (&*officer.client, "own")] {
        let kinds = eventually("the decision", async || {
            let kinds = polled(line, stream).await;
            kinds.iter().any(|k| k.ends_with("/read")).then_some(kinds)
        })
        .await;
        assert!(kinds.iter().any(|k| k.ends_with("/decided")), "{kinds:?}");
    }
    for client in blind_ones {
        assert_eq!(polled(client, "all").await, Vec::<String>::new());
        nothing(&sent, client).await;
    }

    // What the sender and the officer hold proves it.
    for member in [sender, &officer] {
        Proof::of(member).evidence(&*stage.gateway.exchange.store, &sent).await;
    }
    authority.stop().await;
}

/// If the head is concerned the chair is asked; if the lead is, nobody at the school.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_accused_is_on_no_ladder() {
    let stage = Stage::with_overlay(at(NOW), lado_desk).await;
    let _authority = stage.authority(HARINGEY).await;
    let officer = person(&stage, "authority/309/person/lado-1", false).await;
    let (deputy, head) = ("deputy safeguarding lead", "head teacher");
    let officer_s = "LADO manager";
    for (role, also, first, then) in [
        ("teacher", None, deputy, head),
        ("teacher", Some("deputy_safeguarding_lead"), officer_s, head),
        ("head", None, deputy, "chair of governors or proprietor"),
        ("head", Some("designated_safeguarding_lead"), officer_s, officer_s),
        ("designated_safeguarding_lead", None, officer_s, officer_s),
        ("governor", None, officer_s, officer_s),
    ] {
        stage.hand.set(at(NOW));
        let document = allegation(role).changed(|value| {
            value["referral_id"] = json!(fresh(&format!("{role}{also:?}")));
            if let Some(also) = also {
                value["request"]["lado"]["also_roles"] = json!([also]);
            }
        });
        let sent = stage.accepted(document).await;
        let id = sent.document.id;
        stage.until(&sent, "stored").await;
        ok(&officer, id, &Saying::of(EventKind::Opened)).await;
        ok(&officer, id, &acknowledgement()).await;
        let state = look(&officer, id).await.unwrap();
        ok(&officer, id, &decision("advice", &state)).await;
        // Nobody has read it the next afternoon, nor on the day after.
        for (later, whom) in [(DAY + 7 * HOUR, first), (2 * DAY + 7 * HOUR, then)] {
            stage.hand.set(at(NOW).plus(later));
            let state = look(&officer, id).await.unwrap();
            let c12 = state.clocks.iter().find(|c| c.clock == "C12").unwrap();
            let asked: Vec<_> = c12.ask.iter().map(|c| c.role.as_str()).collect();
            assert_eq!(asked, [whom], "{role}, {also:?}, {later}");
        }
    }
}

/// An id of its own for each.
fn fresh(role: &str) -> String {
    let byte = role.bytes().fold(0u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    ReferralId::from_bytes([byte; 16]).to_string()
}

/// Where an authority has named no officer nobody could open it: the school rings.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_designated_officer_it_is_refused_with_the_number_to_ring() {
    let stage = Stage::with_overlay(at(NOW), |overlay| {
        lado_desk(overlay);
        for authority in &mut overlay.authorities {
            authority.designated_officers.clear();
        }
    })
    .await;
    let refused = post(&stage.schools[A_PERSON], &allegation("teacher")).await.unwrap();
    let refused = problem(&refused, 422);
    assert_eq!(rules(&refused), ["lado.no-officer"]);
    assert!(refused.violations[0].detail.contains("020 7946 0555"));
    assert!(refused.readable.is_some(), "to be read out");
}

/// Passed on to the authority where the adult really works: its officers have it then, those who had it act
/// no more, and nobody else learns that there is anything, on either side.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_allegation_that_is_passed_on_goes_from_officers_to_officers() {
    let stage = Stage::with_overlay(at(NOW), |overlay| {
        lado_desk(overlay);
        let newham = overlay.authorities.iter_mut().find(|a| a.code == "316").unwrap();
        newham.designated_officers.clear();
    })
    .await;
    let _haringey = stage.authority(HARINGEY).await;
    let _hackney = stage.authority(HACKNEY).await;
    // With the certificates that the sandbox has for them.
    let world = &stage.scene.world;
    let officer = inside::member_of(&world.officer_config(HARINGEY), &stage.clock).await;
    let theirs = inside::member_of(&world.officer_config(HACKNEY), &stage.clock).await;
    let (worker, their_worker) = (stage.worker(HARINGEY).await, stage.worker(HACKNEY).await);
    let their_desk = inside::authority_caller(&stage.scene, HACKNEY, &stage.clock).await;
    let others: [&dyn Line; 4] =
        [&*stage.schools[MARSH_LANE].client, &*worker.client, &*their_worker.client, &*their_desk];
    let sender = &stage.schools[A_PERSON];
    let sent = stage.accepted(allegation("teacher")).await;
    let id = sent.document.id;
    stage.until(&sent, "stored").await;
    nothing(&sent, &*theirs.client).await;
    ok(&officer, id, &Saying::of(EventKind::Opened)).await;
    ok(&officer, id, &acknowledgement()).await;

    let proposal = |to: &str| {
        let worker = json!({"name": "Di Example", "role": "Officer", "phone": "01632 960124"});
        let because = json!({"worker": worker, "reason": "The adult works there."});
        let proposed = Saying::with(EventKind::TransferProposed, because);
        Saying { to: Some(to.parse().unwrap()), ..proposed }
    };
    // Nobody there could open it.
    let refused = say(&officer, id, &proposal("316")).await;
    let Err(NotSaid::Refused(refused)) = refused else { panic!("{refused:?}") };
    assert_eq!(rules(&refused), ["transfer.no-officer"]);
    assert!(
        !refused.violations[0].detail.is_empty() && refused.violations[0].action.contains("Ring")
    );

    let proposed = ok(&officer, id, &proposal("204")).await;
    eventually("it is stored there", async || {
        let state = look(&theirs, id).await.ok()?;
        let there =
            |d: &ecaf::party::look::Delivery| d.purpose == "transfer" && d.state == "stored";
        state.deliveries.iter().any(there).then_some(())
    })
    .await;
    let worker_of = json!({"name": "Dan Example", "role": "Officer", "phone": "01632 960126"});
    let accepted = Saying::with(EventKind::TransferAccepted, json!({"worker": worker_of}));
    ok(&theirs, id, &Saying { answers: Some(proposed.position), ..accepted }).await;

    // The new ones read it, and decide.
    let state = look(&theirs, id).await.unwrap();
    assert_eq!(state.authority.code, "204");
    let document = sent.document.sha256;
    let read = get(&*theirs.client, &format!("/v1/referrals/{id}/documents/{document}")).await;
    assert_eq!((read.status.as_u16(), &read.body), (200, &sent.document.bytes));
    ok(&theirs, id, &Saying::of(EventKind::Opened)).await;
    ok(&theirs, id, &acknowledgement()).await;
    ok(&theirs, id, &decision("allegation_meeting", &state)).await;
    let told = look(sender, id).await.unwrap();
    assert_eq!(told.authority.code, "204");
    assert!(told.events.iter().any(|e| e.event == "decided"));

    // Those who had it see what they did themselves, and neither read the document nor act.
    let before = look(&officer, id).await.unwrap();
    assert!(before.events.iter().all(|e| e.event != "decided"), "{:?}", before.events);
    let read = get(&*officer.client, &format!("/v1/referrals/{id}/documents/{document}")).await;
    assert_eq!(read.status, 404);
    for saying in [decision("advice", &state), proposal("204"), acknowledgement()] {
        let said = say(&officer, id, &saying).await;
        let Err(NotSaid::Refused(refused)) = said else { panic!("{said:?}") };
        assert!(["event.not-yours", "event.not-now"].contains(&rules(&refused)[0]), "{refused:?}");
    }
    for client in others {
        nothing(&sent, client).await;
        assert_eq!(polled(client, "all").await, Vec::<String>::new());
    }
    for member in [sender, &theirs, &officer] {
        follow(member, id).await.unwrap().proven.unwrap();
    }
}

/// What lies at the authority is listed, shown and exported for a designated officer alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_inbox_of_the_authority_hides_it_from_everybody_but_its_officers() {
    let mut stage = Stage::now().await;
    let authority = stage.authority(HARINGEY).await;
    let usual = stage.stream.document(MARSH_LANE, HARINGEY);
    let usual = stage.accepted(usual).await;
    let sent = stage.accepted(allegation("teacher")).await;
    for sent in [&usual, &sent] {
        stage.until(sent, "stored").await;
    }
    let (officer, clerk) = (
        machine(&stage, "authority/309/person/lado-1", false),
        machine(&stage, "authority/309/person/clerk-1", false),
    );
    let elsewhere = machine(&stage, "authority/204/person/lado-1", false);
    let (id, config) = (sent.document.id.to_string(), stage.scene.world.authority_config(HARINGEY));
    let out = stage.scene.world.folder().join("exported");
    let run = |command: &[&str], reader: Option<&PathBuf>| -> Output {
        let mut arguments = vec!["authority", "inbox"];
        arguments.extend(command);
        arguments.extend(["--config", config.to_str().unwrap()]);
        arguments.extend(reader.iter().flat_map(|file| ["--as", file.to_str().unwrap()]));
        stage.scene.run(&arguments)
    };
    let listed = |reader: Option<&PathBuf>| -> Vec<String> {
        let output = run(&["list", "--json"], reader);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let list: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        list.iter().map(|entry| entry["referral_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(listed(None), [usual.document.id.to_string()]);
    assert_eq!(listed(Some(&officer)).len(), 2);
    let export = ["export", &id, "--out", out.to_str().unwrap()];
    for command in [&["show", &id][..], &export[..]] {
        let hidden = run(command, None);
        assert_eq!(hidden.status.code(), Some(1));
        let unused = run(&["show", &ReferralId::from_bytes([7; 16]).to_string()], None);
        assert_eq!(hidden.stderr, unused.stderr, "as for one that is not there");
        assert!(!out.exists());
    }
    for reader in [&clerk, &elsewhere] {
        let refused = run(&["list"], Some(reader));
        assert_eq!(refused.status.code(), Some(1), "{}", String::from_utf8_lossy(&refused.stderr));
        assert!(refused.stdout.is_empty());
    }
    let shown = run(&["show", &id], Some(&officer));
    assert!(String::from_utf8_lossy(&shown.stdout).contains("allegation"), "{shown:?}");
    authority.stop().await;
}

/// Advice about an allegation: asked by one person, answered by a designated officer, seen by nobody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn advice_about_an_allegation_is_between_the_same_two() {
    let stage = Stage::with_overlay(at(NOW), |overlay| {
        for authority in overlay.authorities.iter_mut().filter(|a| a.code == "204") {
            authority.designated_officers.clear();
        }
    })
    .await;
    let officer = person(&stage, "authority/309/person/lado-1", false).await;
    let sender = &stage.schools[A_PERSON];
    let question = |to: &str| Saying {
        code: Some("lado".into()),
        to: Some(to.parse().unwrap()),
        ..Saying::with(
            EventKind::Consultation,
            json!({
                "question": "Does this meet the threshold?", "situation": "A teacher was heard to...",
                "asked_by": {"name": "Dee Example", "role": "Head", "phone": "01632 960125"},
                "family_knows": false
            }),
        )
    };
    let Err(NotSaid::Refused(problem)) = begin(sender, &question("204")).await else {
        panic!("nobody there could read it")
    };
    assert_eq!(rules(&problem), ["lado.no-officer"]);
    let (id, _) = begin(sender, &question("309")).await.unwrap();
    let worker = stage.worker(HARINGEY).await;
    for other in [&worker, &stage.schools[MARSH_LANE]] {
        assert!(matches!(look(other, id).await, Err(NotSeen::Refused(p)) if p.status == 404));
    }
    eventually("it is in the officer's feed", async || {
        let kinds = polled(&*officer.client, "advice").await;
        (kinds.len() == 2).then_some(())
    })
    .await;
    assert!(polled(&*worker.client, "advice").await.is_empty());
    let advice = json!({
        "advice": "It may: send it as an allegation.", "spoken": true,
        "worker": {"name": "Di Example", "role": "Designated officer", "phone": "01632 960124"}
    });
    let advice = Saying {
        code: Some("refer_now".into()),
        ..Saying::with(EventKind::ConsultationAnswered, advice)
    };
    ok(&officer, id, &advice).await;
    assert_eq!(look(sender, id).await.unwrap().events.len(), 2);
}
