//! A parent refuses family help: three equal ways on, nothing typed again, none preselected. The real
//! program, and a real gateway that takes what it made.

mod exchange_support;

use std::path::{Path, PathBuf};
use std::process::Output;

use ecaf::domain::time::Date;
use ecaf::effects::{Clock, SystemClock};
use exchange_support::stage::{MARSH_LANE, Stage};
use exchange_support::{Document, HACKNEY, Scene, example};
use serde_json::{Value, json};

/// What the school had written when Ms Pryce said no.
fn refused() -> Value {
    let mut draft = example("a08b-help-refused-child-in-need");
    draft["request_type"] = json!("family_help");
    draft["urgency"] = json!("U3");
    draft["request"] = json!({"asks": ["family_help"], "hoped_for": "Mornings that work."});
    draft["agreement"] = json!({"status": "no", "on": "2026-06-15"});
    draft
}

fn run(scene: &Scene, file: &Path, more: &[&str]) -> Output {
    let mut arguments = vec!["referral", "after-refusal", file.to_str().unwrap()];
    arguments.extend(more);
    scene.run(&arguments)
}

fn written(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn pointers(output: &Output, at: &str) -> Vec<String> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let asked = answer.pointer(at).unwrap().as_array().unwrap();
    asked.iter().map(|pointer| pointer.as_str().unwrap().to_owned()).collect()
}

/// Scenario A8.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a8_help_is_refused_and_three_equal_ways_lead_on_without_typing_again() {
    let stage = Stage::now().await;
    let folder = stage.scene.world.folder().to_owned();
    let draft: PathBuf = folder.join("help.json");
    std::fs::write(&draft, refused().to_string()).unwrap();

    // None is preselected: without a choice all three are shown alike, and nothing is written.
    let before = std::fs::read_dir(&folder).unwrap().count();
    let shown = run(&stage.scene, &draft, &["--json"]);
    let ways: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let names: Vec<_> = ways.as_array().unwrap().iter().map(|w| w["way"].clone()).collect();
    assert_eq!(names, ["consult", "child_in_need", "protection"]);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), before);
    let text = run(&stage.scene, &draft, &[]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("a refusal is not evidence of harm"), "{text}");

    // As a child in need: only the reason is asked for.
    let need = folder.join("need.json");
    let out = ["--way", "child_in_need", "-o", need.to_str().unwrap(), "--json"];
    assert_eq!(pointers(&run(&stage.scene, &draft, &out), "/asked"), ["/agreement/reason"]);
    let mut document = written(&need);
    unchanged(&document, &[]);
    document["agreement"]["reason"] = json!("She said no twice; he misses school.");
    taken(&stage, document, "child_in_need").await;

    // For protection: the harm in words, and whether he is safe now.
    let protection = folder.join("protection.json");
    let out = ["--way", "protection", "-o", protection.to_str().unwrap(), "--json"];
    let asked = pointers(&run(&stage.scene, &draft, &out), "/asked");
    assert!(asked.contains(&"/request/significant_harm".to_owned()), "{asked:?}");
    let mut document = written(&protection);
    unchanged(&document, &[]);
    assert!(document["request"].get("significant_harm").is_none(), "nobody said it for the school");
    let harm = "He was alone with a parent who could not be woken.";
    for (pointer, answer) in [
        ("/request/significant_harm", json!({"text": harm, "basis": "professional_opinion"})),
        ("/safe_now", json!({"answer": true, "because": "He is in school.", "done": "Rang."})),
        ("/other_children", json!({"answer": false})),
        ("/source_can_reach_child_today", json!({"answer": false})),
    ] {
        assert!(asked.contains(&pointer.to_owned()), "{pointer} in {asked:?}");
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        document.pointer_mut(parent).unwrap()[name] = answer;
    }
    assert_eq!(asked.len(), 4, "and nothing else: {asked:?}");
    taken(&stage, document, "protection").await;

    // The front door is asked, and the child is not named, unless the school wishes it.
    let question = folder.join("question.json");
    let out = ["--way", "consult", "-o", question.to_str().unwrap(), "--json"];
    assert_eq!(pointers(&run(&stage.scene, &draft, &out), "/asked"), Vec::<String>::new());
    let text = std::fs::read_to_string(&question).unwrap();
    for name in ["Callum", "Pryce"] {
        assert!(refused().to_string().contains(name) && !text.contains(name), "{name}: {text}");
    }
    let document = written(&question);
    let born: Date = refused()["children"][0]["birth"]["date"].as_str().unwrap().parse().unwrap();
    let age = SystemClock.now().in_england().0.years_since(born).to_string();
    assert_eq!((&document["age"], &document["area"]), (&json!(age), &json!("E5")));
    assert_eq!(document["asked_by"]["name"], "Gillian Osei");
    assert!(document["situation"].as_str().unwrap().contains("31 of the last 60 sessions"));
    assert_eq!(document["question"], "Mornings that work.");
    let named = folder.join("named.json");
    let out = ["--way", "consult", "--name-child", "-o", named.to_str().unwrap()];
    assert!(run(&stage.scene, &draft, &out).status.success());
    assert!(written(&named)["child_name"].as_str().unwrap().contains("Callum"));

    // Nothing is written over, and the draft of the refusal is as it was.
    let again = run(&stage.scene, &draft, &["--way", "consult", "-o", named.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(2));
    assert_eq!(written(&draft), refused());
}

/// Every answer that was given is still there; a referral of its own has another id, salt and time.
fn unchanged(document: &Value, also: &[&str]) {
    let before = refused();
    let own =
        ["referral_id", "salt", "composed_at", "request_type", "urgency", "agreement", "request"];
    for (name, answer) in before.as_object().unwrap() {
        if own.contains(&name.as_str()) || also.contains(&name.as_str()) {
            continue;
        }
        assert_eq!(&document[name], answer, "{name}");
    }
    for name in ["referral_id", "salt"] {
        assert_ne!(document[name], before[name], "{name}");
    }
    assert_eq!(document["agreement"]["on"], before["agreement"]["on"]);
    assert_eq!(document["request"]["hoped_for"], before["request"]["hoped_for"]);
}

/// The gateway takes it for Hackney.
async fn taken(stage: &Stage, document: Value, request_type: &str) {
    assert_eq!(document["request_type"], request_type);
    assert_eq!(document["agreement"]["after_refusal"], request_type);
    let sent = stage.accepted(Document::of(document, MARSH_LANE, HACKNEY)).await;
    assert!(sent.receipt.new);
}

/// What is no refusal of family help is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_refusal_of_family_help_leads_on() {
    let stage = Stage::now().await;
    let file = stage.scene.world.folder().join("other.json");
    for (change, words) in [
        (json!({"request_type": "protection"}), "no request for family help"),
        (json!({"agreement": {"status": "yes"}}), "the family agrees"),
    ] {
        let mut draft = refused();
        draft.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        std::fs::write(&file, draft.to_string()).unwrap();
        let output = run(&stage.scene, &file, &[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{output:?}");
    }
}
