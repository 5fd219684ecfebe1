//! What can be told of referrals afterwards: chronologies, archives and figures, of threads that real
//! parties made over real mutual TLS. Only the clock is the test's.

mod exchange_support;

use std::fs;
use std::path::{Path, PathBuf};

use ecaf::domain::case::EventKind;
use ecaf::domain::clocks::Setting;
use ecaf::domain::ids::ReferralId;
use ecaf::domain::statistics::{Outcome, Passing, Quarter, Record};
use ecaf::domain::time::{DAY, HOUR, MINUTE};
use ecaf::party::look::look;
use ecaf::party::member::Member;
use ecaf::party::say::{Said, Saying, say};
use ecaf::report::archive::{Archive, is_whole};
use ecaf::report::chronology::Chronology;
use ecaf::report::figures;
use ecaf::report::gather::Gathered;
use ecaf::report::many;
use ecaf::report::statistics::{LeftOut, Report, Scope};
use exchange_support::stage::{LEA_BRIDGE, MARSH_LANE, Stage};
use exchange_support::{HACKNEY, HARINGEY, NEWHAM, Scene, Sent, eventually};
use serde_json::{Value, json};

fn worker() -> Value {
    json!({"name": "Ada Example", "role": "Social worker", "phone": "01632 960123"})
}

fn coded(kind: EventKind, code: &str, document: Value) -> Saying {
    Saying { code: Some(code.into()), children: vec![1], ..Saying::with(kind, document) }
}

fn acknowledgement() -> Saying {
    Saying::with(
        EventKind::Acknowledged,
        json!({"worker": worker(), "reference": "HGY-2026-000001"}),
    )
}

fn decision(code: &str) -> Saying {
    let document = json!({
        "disclosure": "outcome", "reason": "Two earlier referrals and a clear account.",
        "school_should": "Keep a chronology.", "how_to_challenge": "Ring the team manager.",
        "referrer_spoken_to": true, "child_seen": false,
        "what_would_change": "A new account.", "other_support": "The family centre."
    });
    coded(EventKind::Decided, code, document)
}

async fn ok(member: &Member, id: ReferralId, saying: &Saying) -> Said {
    say(member, id, saying).await.unwrap_or_else(|not| panic!("{:?}: {not:?}", saying.kind))
}

async fn gathered(member: &Member, id: ReferralId) -> Gathered {
    let got = Gathered::from_gateway(member, id).await;
    got.unwrap_or_else(|not| panic!("{id}: {not:?}"))
}

/// Haringey after a few days: five referrals of Marsh Lane, each in another state, and one that is
/// none of its business.
struct Days {
    stage: Stage,
    haringey: Member,
    inbox: exchange_support::inside::Authority,
    closed: Sent,
    silent: Sent,
    passed_on: Sent,
    wrong: Sent,
    erased: Sent,
    unrelated: Sent,
}

/// A name found nowhere else.
fn planted(number: usize) -> String {
    format!("Zzplanted{number}name")
}

impl Days {
    async fn passed() -> Self {
        let mut stage = Stage::at("2026-11-23T14:20:00Z".parse().unwrap()).await;
        let inbox = stage.authority(HARINGEY).await;
        let newham_inbox = stage.authority(NEWHAM).await;
        let _hackney_inbox = stage.authority(HACKNEY).await;
        let places = [
            (MARSH_LANE, HARINGEY),
            (MARSH_LANE, HARINGEY),
            (MARSH_LANE, HARINGEY),
            (MARSH_LANE, HARINGEY),
            (MARSH_LANE, HARINGEY),
            (LEA_BRIDGE, HACKNEY),
        ];
        let mut sent = Vec::new();
        for (number, (school, authority)) in places.into_iter().enumerate() {
            let document = stage.stream.document(school, authority);
            let document = document.changed(|v| {
                v["children"][0]["name"] = json!({"given": planted(number), "family": "Example"});
            });
            let one = stage.accepted(document).await;
            stage.until(&one, "stored").await;
            sent.push(one);
            stage.hand.advance(MINUTE);
        }
        let [closed, silent, passed_on, wrong, erased, unrelated] =
            <[Sent; 6]>::try_from(sent).ok().unwrap();
        let haringey = stage.worker(HARINGEY).await;
        let newham = stage.worker(NEWHAM).await;

        let id = closed.document.id;
        ok(&haringey, id, &acknowledgement()).await;
        stage.hand.advance(HOUR);
        ok(&haringey, id, &decision("advice")).await;
        let reason = json!({"reason": "Advice given, nothing more."});
        ok(&haringey, id, &coded(EventKind::Closed, "RC8", reason)).await;

        let school = &stage.schools[MARSH_LANE];
        for event in look(school, id).await.unwrap().events {
            let read = Saying { answers: Some(event.position), ..Saying::of(EventKind::Read) };
            ok(school, id, &read).await;
        }

        let id = passed_on.document.id;
        ok(&haringey, id, &acknowledgement()).await;
        let moved = json!({"worker": worker(), "reason": "The family moved there last week."});
        let proposal = Saying::with(EventKind::TransferProposed, moved);
        let proposed =
            ok(&haringey, id, &Saying { to: Some("316".parse().unwrap()), ..proposal }).await;
        eventually("the transfer", async || {
            let state = look(&newham, id).await.ok()?;
            let stored =
                |d: &ecaf::party::look::Delivery| d.purpose == "transfer" && d.state == "stored";
            state.deliveries.iter().any(stored).then_some(())
        })
        .await;
        let accepted = Saying::with(EventKind::TransferAccepted, json!({"worker": worker()}));
        ok(&newham, id, &Saying { answers: Some(proposed.position), ..accepted }).await;

        let wrong_child =
            Saying { code: Some("wrong_child".into()), ..Saying::of(EventKind::Misidentified) };
        ok(&stage.schools[MARSH_LANE], wrong.document.id, &wrong_child).await;

        stage.hand.advance(4 * DAY);
        eventually("the breach", async || {
            let state = look(&haringey, silent.document.id).await.ok()?;
            let breach = |e: &ecaf::party::look::Event| e.event == "clock_breached";
            state.events.iter().any(breach).then_some(())
        })
        .await;
        // By the operator, with the program itself, beside the running gateway.
        let id = erased.document.id.to_string();
        let config = stage.scene.world.gateway_config();
        let which = ["store", "erase", "--referral", &id, "--why", "misidentified", "--yes"];
        let gone = stage.scene.run(&[&which[..], &["--config", config.to_str().unwrap()]].concat());
        assert!(gone.status.success(), "{}", String::from_utf8_lossy(&gone.stderr));
        drop(newham_inbox);
        Self { stage, haringey, inbox, closed, silent, passed_on, wrong, erased, unrelated }
    }

    fn school(&self) -> &Member {
        &self.stage.schools[MARSH_LANE]
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// Scenario A17: an inspector asks for all referrals and outcomes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a17_an_inspector_gets_all_referrals_with_clocks_events_and_breaches() {
    let days = Days::passed().await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("inspection");
    let ids = many::of_inbox(days.inbox.station.store.as_ref()).await.unwrap();
    assert_eq!(ids.len(), 5, "and not the other school's");
    let mut archive = Archive::begin(&out).unwrap();
    for id in &ids {
        let one = gathered(&days.haringey, *id).await;
        archive.add(&one, &Setting::default()).unwrap();
    }
    let day = |text: &str| text.parse().unwrap();
    let period = (day("2026-11-01"), day("2026-11-30"));
    let whose = days.haringey.party.to_string();
    let manifest = archive.finish(whose, period, days.stage.clock.now()).unwrap();
    assert_eq!((manifest.referrals, manifest.not_proved), (5, 0));
    assert!(is_whole(&out).unwrap());
    assert!(Archive::begin(&out).is_err(), "never on top of another");

    let of = |sent: &Sent, name: &str| {
        let path = out.join(sent.document.id.to_string()).join(name);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let index = fs::read_to_string(out.join("index.csv")).unwrap();
    let line = |sent: &Sent| {
        let id = sent.document.id.to_string();
        index.lines().find(|l| l.starts_with(&id)).unwrap().to_owned()
    };
    // Everything that happened, who signed it, the limits, and what came of it.
    let told = of(&days.closed, "chronology.txt");
    for part in [
        "Acknowledged",
        "Decided: Advice to the school (child 1)",
        "Two earlier referrals",
        "Closed: Closed after assessment",
        "authority 309, person worker-1",
        "Verified",
        "Met in time",
        "C5\n",
        &planted(0),
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(line(&days.closed).contains(",advice,closed,"), "{}", line(&days.closed));
    let silent = of(&days.silent, "chronology.txt");
    assert!(
        silent.contains("BREACHED: not met so far") && silent.contains("Clock breached"),
        "{silent}"
    );
    assert!(line(&days.silent).contains("C5 statutory"), "{}", line(&days.silent));
    // Passed on: what the first authority may still see, and no document any more.
    let passed = of(&days.passed_on, "chronology.txt");
    assert!(
        passed.contains("Transfer proposed, to authority 316") && passed.contains("Not shown"),
        "{passed}"
    );
    assert!(passed.contains("Withheld") && !passed.contains(&planted(2)), "{passed}");
    assert!(line(&days.passed_on).contains(",passed_on,"), "{}", line(&days.passed_on));
    // Taken out of use: a tombstone and nothing else.
    let gone = of(&days.wrong, "chronology.txt");
    assert!(gone.contains("TAKEN OUT OF USE") && !gone.contains("signed the referral"), "{gone}");
    let erased = of(&days.erased, "chronology.txt");
    assert!(
        erased.contains("erased because it named the wrong child or recipient")
            && !erased.contains(&planted(4))
    );
    assert!(erased.contains("stored by authority 309"), "what was signed is told all the same");
    assert!(line(&days.erased).ends_with(",0,1,0,yes"), "{}", line(&days.erased));

    // Whoever has the folder and the scheme's root can prove it again, with the program itself.
    let evidence = out.join(days.closed.document.id.to_string()).join("evidence.json");
    let root = days.stage.scene.world.root();
    let (evidence, root) = (evidence.to_str().unwrap(), root.to_str().unwrap());
    let arguments = ["export", "chronology", "--bundle", evidence, "--root", root, "--demo"];
    let again = days.stage.scene.run(&arguments);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    let again = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(
        again.contains("Decided: Advice to the school")
            && again.contains("Not given with the evidence")
    );

    // Nothing of anybody else: not of another school's pupil, not of one whose referral was not theirs.
    let other = days.unrelated.document.id.to_string();
    let nothing = [planted(5), planted(3), planted(2), planted(4), other];
    for path in files(&out) {
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        for value in &nothing {
            assert!(!text.contains(value.as_str()), "{value} in {}", path.display());
        }
        assert!(!path.to_str().unwrap().contains(&nothing[4]));
    }
}

/// What a court gets: the same from both sides, offline too, and a clear "no" where something is wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chronology_is_the_same_from_both_sides_and_says_what_is_not_proved() {
    let days = Days::passed().await;
    let id = days.closed.document.id;
    let setting = Setting::default();
    let here = gathered(&days.haringey, id).await;
    let (ours, theirs) = (
        Chronology::of(&here, &setting),
        Chronology::of(&gathered(days.school(), id).await, &setting),
    );
    let lines = |c: &Chronology| {
        c.lines
            .iter()
            .map(|l| (l.at.clone(), l.words.clone(), l.sha256.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(lines(&ours), lines(&theirs));
    assert!(ours.proved && ours.lines.iter().all(|line| line.verified));
    let kinds: Vec<&str> = ours.lines.iter().map(|line| line.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "submitted",
            "accepted",
            "dispatched",
            "delivered",
            "acknowledged",
            "decided",
            "closed",
            "read",
            "read",
            "read"
        ]
    );
    assert_eq!(ours.lines[4].at_in_england, "Mon 23 Nov 2026 14:26:00 GMT (UTC+00:00)");
    assert!(ours.lines[5].document.iter().any(|(title, _)| title == "Reason"));
    // The clocks are those that the gateway tells.
    let state = look(&days.haringey, id).await.unwrap();
    let told: Vec<_> =
        state.clocks.iter().map(|c| (c.clock.clone(), c.about.clone(), c.state.clone())).collect();
    let counted: Vec<_> = ours.clocks.iter().flatten().collect();
    let counted: Vec<_> =
        counted.iter().map(|c| (c.clock.to_owned(), c.about.clone(), c.state.to_owned())).collect();
    assert_eq!(counted, told);
    // Machine form: one member after another, the same each time.
    let json = serde_json::to_string(&ours).unwrap();
    assert_eq!(json, serde_json::to_string(&Chronology::of(&here, &setting)).unwrap());
    assert!(json.starts_with(r#"{"format":"ecaf-chronology/1.0","referral_id":""#), "{json}");

    // A changed token: nothing counts as proved, and the program says no.
    let folder = tempfile::tempdir().unwrap();
    let mut bundle = here.bundle.clone();
    let signature = bundle.tokens[0].rsplit('.').next().unwrap().len();
    let at = bundle.tokens[0].len() - signature / 2;
    let letter = if bundle.tokens[0].as_bytes()[at] == b'A' { "B" } else { "A" };
    bundle.tokens[0].replace_range(at..=at, letter);
    let file = folder.path().join("changed.json");
    fs::write(&file, serde_json::to_vec(&bundle).unwrap()).unwrap();
    let no = offline(&days.stage.scene, &file, &[]);
    assert_eq!(no.status.code(), Some(1));
    let told = String::from_utf8_lossy(&no.stdout).into_owned();
    assert!(told.contains("NOT PROVED") && told.contains("NOT VERIFIED"), "{told}");
    assert!(!told.contains("\n                      Verified"), "{told}");

    // A document that nobody signed is not shown beside the evidence.
    fs::write(&file, serde_json::to_vec(&here.bundle).unwrap()).unwrap();
    let other = folder.path().join("other.json");
    fs::write(&other, &days.silent.document.bytes).unwrap();
    assert_eq!(offline(&days.stage.scene, &file, &[&other]).status.code(), Some(1));
    fs::write(&other, &days.closed.document.bytes).unwrap();
    let yes = offline(&days.stage.scene, &file, &[&other]);
    assert_eq!(yes.status.code(), Some(0), "{}", String::from_utf8_lossy(&yes.stderr));
    assert!(String::from_utf8_lossy(&yes.stdout).contains(&planted(0)));
}

fn offline(scene: &Scene, bundle: &Path, documents: &[&Path]) -> std::process::Output {
    let root = scene.world.root();
    let mut arguments = vec!["export", "chronology", "--bundle", bundle.to_str().unwrap()];
    arguments.extend(["--root", root.to_str().unwrap(), "--demo"]);
    for document in documents {
        arguments.extend(["--document", document.to_str().unwrap()]);
    }
    scene.run(&arguments)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_count_what_happened_and_publish_nothing_small() {
    let days = Days::passed().await;
    let now = days.stage.clock.now();
    let setting = Setting::default();
    let ids = many::of_inbox(days.inbox.station.store.as_ref()).await.unwrap();
    let mut records: Vec<(ReferralId, Record)> = Vec::new();
    for id in ids {
        let record = figures::record(&gathered(&days.haringey, id).await, &setting, now);
        records.extend(record.map(|record| (id, record)));
    }
    let of = |sent: &Sent| records.iter().find(|(id, _)| *id == sent.document.id).map(|(_, r)| r);
    assert!(of(&days.wrong).is_none(), "taken out of use");
    let closed = of(&days.closed).unwrap();
    assert_eq!(closed.acknowledged_after.map(|m| m / MINUTE), Some(6));
    assert_eq!(closed.decided_after.map(|m| m / MINUTE), Some(66));
    assert!(closed.clocks.iter().all(|clock| clock.outcome != Outcome::Breached));
    let silent = of(&days.silent).unwrap();
    assert!(silent.clocks.iter().any(|c| c.id.as_str() == "C5" && c.outcome == Outcome::Breached));
    let passed_on = of(&days.passed_on).unwrap();
    assert_eq!(
        (passed_on.passing, passed_on.holder.to_string().as_str()),
        (Passing::PassedOn, "316")
    );
    // Nothing of what the other authority has been doing since is held against this one.
    assert!(passed_on.clocks.iter().all(|clock| clock.stopped));
    // As it stood in the beginning, nothing had been breached.
    let early = gathered(&days.haringey, days.silent.document.id).await;
    let early = figures::record(&early, &setting, silent.recorded_at.plus(2 * MINUTE)).unwrap();
    assert!(early.clocks.iter().all(|clock| clock.outcome != Outcome::Breached));

    let scope = Scope {
        of: "Referrals that authority 309 received".into(),
        from: "2026-10-01".parse().unwrap(),
        to: "2026-12-31".parse().unwrap(),
        now,
        documents: true,
        population: Some(vec![("WBRI".into(), 1_000)]),
        left_out: LeftOut::default(),
    };
    let records: Vec<Record> = records.into_iter().map(|(_, record)| record).collect();
    let internal = Report::internal(&scope, &records);
    let text = internal.to_text();
    assert!(text.contains("INTERNAL, NOT FOR PUBLICATION"));
    assert!(text.contains("Referrals from schools (census source 2A)       4"), "{text}");
    let quarter = Quarter::of("2026-11-23".parse().unwrap());
    let public = Report::public(&scope, &[(quarter, records)]);
    for sheet in &public.sheets {
        for row in &sheet.rows {
            let shown =
                row.cells.iter().filter(|cell| !matches!(cell.as_str(), "c" | "-" | "1000"));
            assert_eq!(shown.count(), 0, "{}: {row:?}", sheet.title);
        }
    }
    let forms = [
        public.to_text(),
        public.to_csv(),
        public.to_html(),
        internal.to_html(),
        internal.to_csv(),
    ];
    for form in forms {
        for number in 0..6 {
            assert!(!form.contains(&planted(number)), "children are counted and never named");
        }
        assert!(!form.contains("<script") && !form.contains("http://localhost"));
    }
}
