//! What can be told of referrals afterwards: chronologies, archives and figures, of threads that real
//! parties made over real mutual TLS. Only the clock is the test's.

mod exchange_support;

use std::fs;
use std::path::{Path, PathBuf};

use ecaf::domain::case::{Decision, EventKind};
use ecaf::domain::clocks::Setting;
use ecaf::domain::ids::ReferralId;
use ecaf::domain::retention::Period;
use ecaf::domain::statistics::{Beside, Kind, Means, Outcome, Passing, Quarter, Record};
use ecaf::domain::time::{DAY, HOUR, MINUTE};
use ecaf::effects::{Clock, SystemClock};
use ecaf::party::begin::begin;
use ecaf::party::look::look;
use ecaf::party::member::Member;
use ecaf::party::say::{NotSaid, Said, Saying, say};
use ecaf::party::threads;
use ecaf::report::archive::{Archive, is_whole};
use ecaf::report::chronology::Chronology;
use ecaf::report::figures;
use ecaf::report::gather::Gathered;
use ecaf::report::many;
use ecaf::report::statistics::{Counted, LeftOut, Report, Scope};
use exchange_support::stage::{A_PERSON, LEA_BRIDGE, MARSH_LANE, Stage};
use exchange_support::{HACKNEY, HARINGEY, NEWHAM, QUICK, Scene, Sent, eventually};
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

/// A primary need in the census's code.
fn need(code: &str, version: &str) -> Value {
    json!({
        "code": code, "code_system": "https://ecaf.example/codes/dfe-cin/primary_need",
        "code_version": version
    })
}

fn decision(code: &str) -> Saying {
    let document = json!({
        "primary_need": need("N4", "2025-26"),
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
        // A code that its list does not have is refused; one of another version of the list is not.
        let unlisted = json!({"reason": "Advice.", "primary_need": need("N12", "2025-26")});
        let said = say(&haringey, id, &coded(EventKind::Closed, "RC8", unlisted)).await;
        assert!(matches!(said, Err(NotSaid::Malformed(_))), "{said:?}");
        let reason = json!({"reason": reason["reason"], "primary_need": need("N1", "2025-26")});
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
        "Primary need: N4, Family in acute stress",
        "Primary need: N1, Abuse or neglect",
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

/// Scenario A17 again, more than a year later: documents whose time is over are erased with the month's key. The
/// inspector still gets every referral with its outcome, from what was signed; what is open is carried on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a17_what_retention_erased_is_still_told_from_what_was_signed() {
    // Judged by the program's own clock: longer ago than a month and the twelve that it is kept.
    let long_ago = SystemClock.now().plus(-430 * DAY);
    let mut stage = Stage::at(long_ago).await;
    let inbox = stage.authority(HARINGEY).await;
    let mut sent = Vec::new();
    for number in 0..2 {
        let document = stage.stream.document(MARSH_LANE, HARINGEY).changed(|v| {
            v["children"][0]["name"] = json!({"given": planted(number), "family": "Example"});
        });
        let one = stage.accepted(document).await;
        stage.until(&one, "stored").await;
        sent.push(one);
    }
    let [over, open] = <[Sent; 2]>::try_from(sent).ok().unwrap();
    let haringey = stage.worker(HARINGEY).await;
    let id = over.document.id;
    ok(&haringey, id, &acknowledgement()).await;
    ok(&haringey, id, &decision("advice")).await;
    let reason = json!({"reason": format!("Advice given about {}.", planted(0))});
    ok(&haringey, id, &coded(EventKind::Closed, "RC8", reason)).await;
    ok(&haringey, id, &Saying::of(EventKind::Filed)).await;

    let month = Period::of(long_ago).to_string();
    let config = stage.scene.world.gateway_config();
    let erase =
        ["store", "erase", "--period", &month, "--yes", "--config", config.to_str().unwrap()];
    let erased = stage.scene.run(&erase);
    let said = String::from_utf8_lossy(&erased.stdout).into_owned();
    assert!(erased.status.success(), "{said} {}", String::from_utf8_lossy(&erased.stderr));
    assert!(said.contains("keys destroyed, 4 documents erased, 1 carried forward"), "{said}");

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("inspection");
    let mut archive = Archive::begin(&out).unwrap();
    for id in many::of_inbox(inbox.station.store.as_ref()).await.unwrap() {
        archive.add(&gathered(&haringey, id).await, &Setting::default()).unwrap();
    }
    let day = long_ago.in_england().0;
    let manifest = archive.finish(String::new(), (day, day), stage.clock.now()).unwrap();
    assert_eq!((manifest.referrals, manifest.not_proved), (2, 0));
    let index = fs::read_to_string(out.join("index.csv")).unwrap();
    let line = index.lines().find(|line| line.starts_with(&id.to_string())).unwrap();
    assert!(line.contains(",advice,closed,"), "{line}");
    let chronology = |sent: &Sent| {
        let path = out.join(sent.document.id.to_string()).join("chronology.txt");
        fs::read_to_string(path).unwrap()
    };
    let told = chronology(&over);
    for part in [
        "Decided: Advice to the school (child 1)",
        "Closed: Closed after assessment",
        "Met in time",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(
        told.contains("erased at the end of its retention") && !told.contains(&planted(0)),
        "{told}"
    );
    assert!(chronology(&open).contains(&planted(1)), "an open case is not erased");
    for path in files(&out) {
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        assert!(!text.contains(&planted(0)), "{}", path.display());
    }
    // It counts with what codes say, and with nothing that stood in its documents.
    let record =
        figures::record(&gathered(&haringey, id).await, &Setting::default(), stage.clock.now());
    let record = record.unwrap();
    assert!(!record.readable && !record.answers_readable);
    let child = &record.children[0];
    assert_eq!((child.decision, child.need.as_str()), (Some(Decision::Advice), ""));
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
    // The authority's last word on the need, said on closing; and nothing said is nothing recorded.
    assert_eq!((closed.children[0].need.as_str(), closed.answers_readable), ("N1", true));
    let silent = of(&days.silent).unwrap();
    assert_eq!(silent.children[0].need, "");
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
    let closed = closed.clone();
    let records: Vec<Record> = records.into_iter().map(|(_, record)| record).collect();
    let counted = |records: &[Record]| Counted { records: records.to_vec(), beside: Vec::new() };
    let internal = Report::internal(&scope, &counted(&records));
    let text = internal.to_text();
    assert!(text.contains("INTERNAL, NOT FOR PUBLICATION"));
    assert!(text.contains("Referrals from schools (census source 2A)       4"), "{text}");
    for row in ["Abuse or neglect        1", "Not yet recorded"] {
        assert!(text.contains(row), "{row}: {text}");
    }
    let mut unread = closed.clone();
    (unread.answers_readable, unread.children[0].need) = (false, String::new());
    let quarter = Quarter::of("2026-11-23".parse().unwrap());
    let public = Report::public(&scope, &[(quarter, counted(&records))]);
    let has_needs = |report: &Report| report.sheets.iter().any(|sheet| sheet.id == "needs");
    assert!(has_needs(&public) && public.to_csv().contains(",needs,children,N1,"));
    let erased = Report::public(&scope, &[(quarter, counted(&[records, vec![unread]].concat()))]);
    assert!(!has_needs(&erased), "as documents are erased a settled count would shrink");
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

/// Notices, consultations and hand-overs are in tables of their own, an allegation in none, and the
/// operator's report counts nothing that its own store does not prove.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_referral_is_counted_by_itself() {
    let mut stage = Stage::at("2026-11-23T14:20:00Z".parse().unwrap()).await;
    let _haringey = stage.authority(HARINGEY).await;
    let document = stage.stream.document(MARSH_LANE, HARINGEY);
    let sent = stage.accepted(document).await;
    stage.until(&sent, "stored").await;
    let worker_there = stage.worker(HARINGEY).await;
    let (school, person) = (&stage.schools[MARSH_LANE], &stage.schools[A_PERSON]);

    let notice = json!({
        "child_name": planted(0), "child_born": "2017-05-03", "told": "Police came to the house last night.",
        "school_should": "Keep an eye on him.", "do_not_act": false, "family_may_know": true,
        "disclosure": "outcome", "worker": worker()
    });
    let notice = Saying {
        school: Some("900001".parse().unwrap()),
        ..coded_thread(EventKind::PupilNotice, "police_attendance", notice)
    };
    begin(&worker_there, &notice).await.unwrap();
    let question = |code: &str| {
        let document = json!({
            "question": "Is this a referral?", "situation": "Tired and hungry.", "asked_by": worker(),
            "family_knows": false
        });
        let asked = coded_thread(EventKind::Consultation, code, document);
        Saying { to: Some("309".parse().unwrap()), ..asked }
    };
    let (asked, _) = begin(school, &question("not_sure")).await.unwrap();
    begin(person, &question("lado")).await.unwrap();
    stage.hand.advance(2 * HOUR);
    let advice = json!({"advice": "Send it.", "spoken": true, "worker": worker()});
    ok(&worker_there, asked, &coded_thread(EventKind::ConsultationAnswered, "refer_now", advice))
        .await;
    let told = json!({
        "by": "phone", "at": "2026-11-23T14:10:00Z", "to_whom": "Duty worker", "contact": "0113 496 0383",
        "said": "Everything.", "by_whom": "Dan Example"
    });
    let told = coded_thread(EventKind::HandedOver, "protection", told);
    begin(school, &Saying { to: Some("383".parse().unwrap()), ..told }).await.unwrap();

    // Each side learns of its threads from its feed, once and again, and of nobody else's.
    let count = async |member: &Member| {
        let (ids, not_proved) = threads::learn(member).await.unwrap();
        assert_eq!(not_proved, 0);
        let now = stage.clock.now();
        let mut found = Vec::new();
        for id in ids {
            let one = gathered(member, id).await;
            assert!(figures::record(&one, &Setting::default(), now).is_none(), "no referral");
            found.extend(figures::beside(&one.entries, |digest| one.document(digest), now));
        }
        found
    };
    let kinds = |all: &[Beside]| {
        let mut kinds: Vec<_> = all.iter().map(|one| one.kind).collect();
        kinds.sort_unstable();
        kinds
    };
    let at_school = eventually("the school's threads", async || {
        let all = count(school).await;
        (all.len() == 3).then_some(all)
    })
    .await;
    assert_eq!(kinds(&at_school), [Kind::Notice, Kind::Consultation, Kind::HandOver]);
    let of = |kind: Kind| at_school.iter().find(|one| one.kind == kind).unwrap();
    assert_eq!(of(Kind::Consultation).answered_after, Some(2 * HOUR));
    assert_eq!(of(Kind::HandOver).means, Some(Means::Phone));
    assert_eq!(of(Kind::HandOver).authority.to_string(), "383");
    assert_eq!(kinds(&count(&worker_there).await), [Kind::Notice, Kind::Consultation]);
    assert_eq!(count(school).await.len(), 3, "also when the feed has nothing new");
    let yet = figures::beside(
        &gathered(school, asked).await.entries,
        |_| None,
        of(Kind::Consultation).recorded_at,
    );
    assert_eq!(yet.unwrap().answered_after, None, "as it stood then");

    let now = stage.clock.now();
    let scope = Scope {
        of: "Referrals that school 900001 sent".into(),
        from: "2026-10-01".parse().unwrap(),
        to: "2026-12-31".parse().unwrap(),
        now,
        documents: true,
        population: None,
        left_out: LeftOut::default(),
    };
    let counted = Counted { records: Vec::new(), beside: at_school.clone() };
    let text = Report::internal(&scope, &counted).to_text();
    for row in ["Hand-overs, by how (hand-overs)\n  By telephone      1", "Consultation answered"] {
        assert!(text.contains(row), "{row}: {text}");
    }
    let quarter = Quarter::of("2026-11-23".parse().unwrap());
    let public = Report::public(&scope, &[(quarter, counted)]);
    for row in public.sheets.iter().flat_map(|sheet| &sheet.rows) {
        assert!(row.cells.iter().all(|cell| cell == "c"), "{row:?}");
    }

    // The operator's, with the program itself: each thread proved, the allegation in nothing.
    let config = stage.scene.world.gateway_config();
    let report = |config: &Path| {
        let when = ["report", "--from", "2026-11-01", "--to", "2026-11-30", "--internal", "--csv"];
        stage.scene.run(&[&when[..], &["--store", config.to_str().unwrap()]].concat())
    };
    let output = report(&config);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (row, number) in [("referrals", 1), ("notices", 1), ("consultations", 1), ("hand_overs", 1)]
    {
        let line = text.lines().find(|l| l.contains(",totals,") && l.contains(&format!(",{row},")));
        assert!(
            line.is_some_and(|l| l.trim_end().ends_with(&format!(",{number}"))),
            "{row}: {text}"
        );
    }
    assert!(!text.contains(&planted(0)));
    // Under the root of another scheme nothing of it is proved, and nothing is counted.
    let other = Scene::at(now, QUICK);
    let theirs = other.world.folder().join("scheme");
    let mine = fs::read_to_string(&config).unwrap();
    let changed = mine.replace("\"../scheme/", &format!("\"{}/", theirs.display()));
    assert_ne!(changed, mine);
    let elsewhere = config.with_file_name("elsewhere.toml");
    fs::write(&elsewhere, changed).unwrap();
    let output = report(&elsewhere);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("not counted: 5 threads"), "{said}");
}

/// About no child by number.
fn coded_thread(kind: EventKind, code: &str, document: Value) -> Saying {
    Saying { code: Some(code.into()), ..Saying::with(kind, document) }
}
