//! Several children, several authorities, and what must not become known: each over real sockets, with
//! real certificates, stores and delivery; only the clock is the test's.

mod exchange_support;

use bytes::Bytes;
use ecaf::domain::case::EventKind;
use ecaf::domain::ids::ReferralId;
use ecaf::party::look::{NotSeen, look};
use ecaf::party::member::Member;
use ecaf::party::say::Saying;
use ecaf::protocol::document::copy::family_copy;
use ecaf::protocol::routing_data::RoutingTables;
use ecaf::protocol::schema;
use ecaf::school::split::split;
use ecaf::store::InboxFilter;
use exchange_support::inside::Authority;
use exchange_support::stage::{LEA_BRIDGE, MARSH_LANE, ST_BRANNOCKS, Stage, good, rules};
use exchange_support::story::{acknowledgement, decision, ok, worker_of};
use exchange_support::{Document, HACKNEY, HARINGEY, NEWHAM, example, post, problem};
use serde_json::{Value, json};

/// A published example as a school sends it, with members changed.
fn written(
    stage: &mut Stage,
    name: &str,
    (school, authority): (usize, usize),
    change: impl FnOnce(&mut Value),
) -> Document {
    let mut value = example(name);
    change(&mut value);
    stage.stream.renew(&mut value);
    Document::of(value, school, authority)
}

async fn is_stranger(member: &Member, id: ReferralId) {
    match look(member, id).await {
        Err(NotSeen::Refused(problem)) => assert_eq!(problem.status, 404),
        other => panic!("{other:?}"),
    }
}

/// The exact documents in an authority's inbox.
async fn held(authority: &Authority) -> Vec<Bytes> {
    let store = &authority.station.store;
    let mut documents = Vec::new();
    for entry in store.inbox(InboxFilter::default()).await.unwrap() {
        match store.item(entry.entry).await.unwrap().unwrap().document {
            ecaf::store::Document::Kept(bytes) => documents.push(bytes),
            other => panic!("{other:?}"),
        }
    }
    documents
}

/// Scenario A4: one sibling harms another. Each child has a role and concerns of their own; two areas
/// are two signed referrals of one group, and neither authority sees the other's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a4_two_siblings_in_two_areas_are_two_referrals_of_one_group() {
    let mut stage = Stage::at("2026-06-18T11:20:00Z".parse().unwrap()).await;
    let (hackney, newham) = (stage.authority(HACKNEY).await, stage.authority(NEWHAM).await);
    let whole = written(&mut stage, "a04a-harmed-by-a-sibling", (LEA_BRIDGE, HACKNEY), |value| {
        value.as_object_mut().unwrap().remove("group_id");
        value["addresses"].as_array_mut().unwrap().push(json!({
            "id": "a2", "kind": "usual", "lines": ["9 Mercers Wharf"], "postcode": "E12 6BX",
            "residents": ["c2", "p2"]}));
    });
    // As one it is refused, with what to do.
    let refused = problem(&post(&stage.schools[LEA_BRIDGE], &whole).await.unwrap(), 422);
    assert_eq!(rules(&refused), ["routing.split-into-group"]);
    let day = stage.clock.now().in_england().0;
    let tables = RoutingTables::embedded().unwrap();
    let checked = schema::check(&whole.value, day).unwrap();
    let parts = split(&whole.value, checked.facts(), &tables, day).unwrap();
    let mut sent = Vec::new();
    for (part, place) in parts.into_iter().zip([HACKNEY, NEWHAM]) {
        let one = stage.accepted(Document::of(part.draft, LEA_BRIDGE, place)).await;
        stage.until(&one, "stored").await;
        sent.push(one);
    }
    for (one, authority) in sent.iter().zip([&hackney, &newham]) {
        assert_eq!(held(authority).await, [&one.document.bytes]);
        let value = &one.document.value;
        assert_eq!(value["group_id"], whole.value["referral_id"]);
        assert_eq!(value["children"].as_array().unwrap().len(), 1);
        let concerns = value["concerns"].as_array().unwrap();
        let child = &value["children"][0];
        assert_eq!(concerns.len(), 1);
        assert_eq!(concerns[0]["children"][0], child["id"], "whose concern it is");
    }
    let roles: Vec<_> = sent.iter().map(|one| &one.document.value["children"][0]["role"]).collect();
    assert_eq!(roles, ["at_risk", "alleged_source"]);
    for (one, other) in [(0, NEWHAM), (1, HACKNEY)] {
        is_stranger(&stage.worker(other).await, sent[one].document.id).await;
    }
    // Decided apart, as two cases.
    let ada = stage.worker(HACKNEY).await;
    ok(&ada, sent[0].document.id, &acknowledgement()).await;
    ok(&ada, sent[0].document.id, &decision("strategy_discussion")).await;
    let school = &stage.schools[LEA_BRIDGE];
    let states = [
        look(school, sent[0].document.id).await.unwrap(),
        look(school, sent[1].document.id).await.unwrap(),
    ];
    assert!(states[0].events.iter().any(|event| event.event == "decided"));
    assert!(!states[1].events.iter().any(|event| event.event == "decided"));
}

/// Scenario A5: a child looked after by one authority, placed in another, at a school in a third. It
/// goes to where the child lives; who looks after the child must acknowledge its own delivery; the
/// school's authority is not involved, urgent or not, unless the child cannot safely go home.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a5_a_looked_after_child_goes_to_where_it_lives_and_its_authority_must_acknowledge() {
    let mut stage = Stage::at("2026-06-23T12:00:00Z".parse().unwrap()).await;
    let mut authorities = Vec::new();
    for place in [HACKNEY, HARINGEY, NEWHAM] {
        authorities.push(stage.authority(place).await);
    }
    let looked_after = |value: &mut Value| {
        value["addresses"][0]["placed_by"] = "316".into();
        value["known_plans"][0]["authority"] = "316".into();
    };
    let route = |state: &Value| {
        let each =
            |delivery: &Value| (delivery["authority"]["code"].clone(), delivery["purpose"].clone());
        state["deliveries"].as_array().unwrap().iter().map(each).collect::<Vec<_>>()
    };
    let name = "a05-looked-after-by-kent-placed-in-hackney";
    let usual = vec![(json!("204"), json!("accountable")), (json!("316"), json!("case_holding"))];
    for urgency in ["U2", "U1"] {
        let document = written(&mut stage, name, (MARSH_LANE, HACKNEY), |value| {
            looked_after(value);
            value["urgency"] = urgency.into();
            value["source_can_reach_child_today"] = json!({"answer": false});
        });
        let sent = accepted(&stage, document).await;
        let state = all_stored(&stage, sent).await;
        assert_eq!(route(&state), usual, "{urgency}");
        is_stranger(&stage.worker(HARINGEY).await, sent).await;
    }
    let document = written(&mut stage, name, (MARSH_LANE, HACKNEY), |value| {
        looked_after(value);
        value["urgency"] = "U1".into();
        value["source_can_reach_child_today"] = json!({"answer": true});
    });
    let sent = accepted(&stage, document).await;
    let state = all_stored(&stage, sent).await;
    let told = route(&state);
    assert_eq!(told[..2], usual[..]);
    assert_eq!(told[2..], [(json!("309"), json!("linked"))], "cannot safely go home");

    // Hackney acknowledges; the authority that looks after the child is still waited for, by itself.
    let waits = |state: &Value, about: &str| {
        let clocks = state["clocks"].as_array().unwrap();
        let of = |clock: &&Value| clock["about"].as_str().is_some_and(|at| at.starts_with(about));
        let open = |clock: &&Value| clock["state"] == "running";
        clocks.iter().filter(of).filter(open).map(|c| c["clock"].clone()).collect::<Vec<_>>()
    };
    ok(&stage.worker(HACKNEY).await, sent, &acknowledgement()).await;
    let path = format!("/v1/referrals/{sent}");
    let state = good(&*stage.schools[MARSH_LANE].client, &path).await;
    assert!(!waits(&state, "delivery-316").is_empty(), "{:#}", state["clocks"]);
    ok(&stage.worker(NEWHAM).await, sent, &acknowledgement()).await;
    let state = good(&*stage.schools[MARSH_LANE].client, &path).await;
    assert!(waits(&state, "delivery-316").is_empty(), "{:#}", state["clocks"]);
    let by: Vec<_> = look(&stage.schools[MARSH_LANE], sent).await.unwrap().events;
    let by: Vec<_> =
        by.iter().filter(|e| e.event == "acknowledged").map(|e| e.by.clone()).collect();
    assert!(by[0].contains("/authority/204/") && by[1].contains("/authority/316/"), "{by:?}");
}

async fn accepted(stage: &Stage, document: Document) -> ReferralId {
    let id = document.id;
    let answer = post(&stage.schools[document.school], &document).await.unwrap();
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    id
}

async fn all_stored(stage: &Stage, id: ReferralId) -> Value {
    let path = format!("/v1/referrals/{id}");
    exchange_support::eventually("stored everywhere", async || {
        let state = good(&*stage.schools[MARSH_LANE].client, &path).await;
        let deliveries = state["deliveries"].as_array().unwrap();
        deliveries.iter().all(|d| d["state"] == "stored").then(|| state.clone())
    })
    .await
}

/// Scenario A6: a refuge. The address routes; it reaches the authority and nobody's copy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a6_a_refuge_routes_and_is_on_no_copy() {
    let mut stage = Stage::at("2026-06-24T15:00:00Z".parse().unwrap()).await;
    let newham = stage.authority(NEWHAM).await;
    let document = written(&mut stage, "a06-refuge-address", (ST_BRANNOCKS, NEWHAM), |_| ());
    let sent = stage.accepted(document).await;
    let state = stage.until(&sent, "stored").await;
    assert_eq!(state["deliveries"][0]["authority"]["code"], "316");
    assert_eq!(held(&newham).await, [&sent.document.bytes], "the authority needs the place");
    assert!(family_copy(&sent.document.value, "p2").is_err(), "the father is the alleged source");
    let copy = family_copy(&sent.document.value, "p1").unwrap().page;
    for shown in [copy.to_text(), copy.to_html()] {
        for place in
            ["E13", "efuge", "Brannock", "Newham", "316", "nursery", &sent.document.id.to_string()]
        {
            assert!(!shown.contains(place), "{place}");
        }
    }
    // Nothing that the exchange answers about it names a place, beside the authority to the school.
    for place in ["E13 0PD", "efuge"] {
        assert!(!state.to_string().contains(place), "{place}");
    }
}

/// Scenario A7: a parent is the alleged source and must not know. The reason goes with the referral, the
/// authority reads it first, and nothing is made for a family.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a7_a_parent_who_must_not_know_is_told_nothing() {
    let mut stage = Stage::at("2026-06-25T12:30:00Z".parse().unwrap()).await;
    let haringey = stage.authority(HARINGEY).await;
    // Without a reason it is not complete, and says so; urgent, it goes all the same.
    let mut bare = example("a07-parent-must-not-know");
    bare.as_object_mut().unwrap().remove("reason_not_sought");
    bare["urgency"] = "U2".into();
    let day = stage.clock.now().in_england().0;
    let broken = schema::check(&bare, day).err().expect("a reason is needed");
    assert!(
        broken
            .iter()
            .any(|v| v.pointer.contains("reason_not_sought")
                || v.detail.contains("reason_not_sought")),
        "{broken:?}"
    );
    let document = written(&mut stage, "a07-parent-must-not-know", (MARSH_LANE, HARINGEY), |_| ());
    let sent = stage.accepted(document).await;
    stage.until(&sent, "stored").await;
    let store = &haringey.station.store;
    let entry = store.inbox(InboxFilter::default()).await.unwrap().remove(0);
    let item = store.item(entry.entry).await.unwrap().unwrap();
    let shown = ecaf::authority::inbox::readable(&item).unwrap().to_text();
    assert!(shown.contains("!! The parents do NOT know of this referral."), "{shown}");
    for person in sent.document.value["people"].as_array().unwrap() {
        assert!(family_copy(&sent.document.value, person["id"].as_str().unwrap()).is_err());
    }
}

/// Scenario A14: an unborn child of a pupil. The mother is herself a child of the referral, and each is
/// decided by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a14_an_unborn_child_and_its_mother_are_decided_each_by_itself() {
    let mut stage = Stage::at("2026-06-29T10:00:00Z".parse().unwrap()).await;
    let hackney = stage.authority(HACKNEY).await;
    let document =
        written(&mut stage, "a14-unborn-child-of-a-pupil", (LEA_BRIDGE, HACKNEY), |_| ());
    let unborn = &document.value["children"][1];
    assert_eq!((unborn["role"].as_str(), unborn["sex"].as_str()), (Some("unborn"), Some("U")));
    let sent = stage.accepted(document).await;
    stage.until(&sent, "stored").await;
    assert_eq!(held(&hackney).await.len(), 1);
    let (ada, id) = (stage.worker(HACKNEY).await, sent.document.id);
    ok(&ada, id, &acknowledgement()).await;
    let of = |child: u32, code: &str| Saying { children: vec![child], ..decision(code) };
    ok(&ada, id, &of(2, "strategy_discussion")).await;
    let school = &stage.schools[LEA_BRIDGE];
    let state = look(school, id).await.unwrap();
    assert_eq!(state.children, ["undecided", "decided"]);
    ok(&ada, id, &of(1, "assessment")).await;
    let worker = json!({"worker": worker_of("Ben Example"), "from": "2026-06-30"});
    let allocated = Saying { children: vec![1, 2], ..Saying::with(EventKind::Allocated, worker) };
    ok(&ada, id, &allocated).await;
    let codes: Vec<_> = look(school, id).await.unwrap().events;
    let codes: Vec<_> = codes
        .iter()
        .filter(|e| e.event == "decided")
        .map(|e| (e.children.clone(), e.code.clone().unwrap()))
        .collect();
    assert_eq!(codes, [(vec![2], "strategy_discussion".into()), (vec![1], "assessment".into())]);
}
