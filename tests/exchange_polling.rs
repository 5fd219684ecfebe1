//! Polling (RFC 8936): what concerns a party comes to each of its systems, once, in order, whatever
//! happens in between. Real sockets, certificates and stores; only the clock is the test's.

mod exchange_support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ecaf::domain::case::EventKind;
use ecaf::http::{ClientFault, Fields, Line, Reply};
use ecaf::party::look::NotSeen;
use ecaf::party::member::Member;
use ecaf::party::poll::{News, Stream};
use ecaf::party::say::{Saying, say};
use exchange_support::HACKNEY;
use exchange_support::inside::{Gateway, eager};
use exchange_support::stage::{LEA_BRIDGE, MARSH_LANE, Stage};
use exchange_support::story::{Story, acknowledgement};
use http::HeaderValue;
use http::Method;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

impl Story {
    async fn says(&self, kind: EventKind, document: Option<Value>) {
        let saying = match document {
            Some(document) => Saying::with(kind, document),
            None => Saying::of(kind),
        };
        say(&self.worker, self.id(), &saying).await.unwrap_or_else(|not| panic!("{not:?}"));
    }

    async fn acknowledges(&self) {
        say(&self.worker, self.id(), &acknowledgement()).await.unwrap();
    }
}

async fn poll(member: &Member, body: Value) -> (u16, Value) {
    let headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    let body = Bytes::from(body.to_string());
    let answer = member.client.post("/v1/events/poll", headers, body).await.unwrap();
    (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap())
}

/// The ids of what a poll gives at once, in no order.
async fn ids(member: &Member, mut body: Value) -> Vec<String> {
    body["returnImmediately"] = json!(true);
    let (status, answer) = poll(member, body).await;
    assert_eq!(status, 200, "{answer}");
    answer["sets"].as_object().unwrap().keys().cloned().collect()
}

/// Polls until so many tokens wait in a fresh look; the sequencer takes a moment.
async fn waiting(member: &Member, stream: &str, count: usize) -> Vec<String> {
    exchange_support::eventually("tokens", async || {
        let found = ids(member, json!({"stream": stream})).await;
        (found.len() == count).then_some(found)
    })
    .await
}

/// Everything new of a stream, told as `event`, until `count` came.
async fn told(stream: &mut Stream<'_>, count: usize) -> Vec<String> {
    let mut all: Vec<News> = Vec::new();
    let begun = Instant::now();
    while all.len() < count {
        assert!(begun.elapsed() < Duration::from_secs(60), "only {all:?}");
        let batch = stream.next(true).await.unwrap();
        assert!(batch.not_proved.is_empty(), "{:?}", batch.not_proved);
        all.extend(batch.news);
    }
    all.into_iter().map(|news| news.event).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_system_of_a_party_gets_everything_once_and_in_order() {
    let story = Story::stored().await;
    story.says(EventKind::Opened, None).await;
    story.acknowledges().await;
    let expected = ["accepted", "delivered", "opened", "acknowledged"];
    for name in ["mis", "head-teacher"] {
        let mut stream = Stream::new(story.school(), name.into());
        assert_eq!(told(&mut stream, 4).await, expected, "{name}");
        stream.finish().await.unwrap();
        assert!(ids(story.school(), json!({"stream": name})).await.is_empty());
    }
    // A third one finds all of it again, in the order in which it was recorded.
    let mut third = Stream::new(story.school(), "third".into());
    assert_eq!(told(&mut third, 4).await, expected);
    // The authority's machine too; a note to itself among it.
    let mut own = Stream::new(&story.worker, "worker".into());
    assert_eq!(told(&mut own, 3).await, ["delivered", "opened", "acknowledged"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_acknowledged_comes_again_and_what_is_never_does() {
    let mut story = Story::stored().await;
    let all = waiting(story.school(), "default", 3).await;
    let again = ids(story.school(), json!({})).await;
    assert_eq!(again, all, "not acknowledged");
    let one = ids(story.school(), json!({"maxEvents": 1})).await;
    let (_, answer) =
        poll(story.school(), json!({"maxEvents": 1, "returnImmediately": true})).await;
    assert_eq!(answer["moreAvailable"], true);
    // Out of order: the last one first, then the first, and something that never was.
    let last: Vec<_> = all.iter().filter(|jti| **jti != one[0]).cloned().collect();
    let rest = ids(story.school(), json!({"ack": [last[0], "never-was"]})).await;
    assert!(rest.len() == 2 && !rest.contains(&last[0]), "{rest:?}");
    // Another gateway process over the same store goes on there.
    story = restarted(story).await;
    assert_eq!(ids(story.school(), json!({})).await, rest);
    // One that the reader cannot take does not stop the stream.
    let wrong = json!({one[0].clone(): {"err": "authentication_failed", "description": "x"}});
    let left = ids(story.school(), json!({"setErrs": wrong})).await;
    assert_eq!(left.len(), 1);
    let none = ids(story.school(), json!({"ack": left, "maxEvents": 0})).await;
    assert!(none.is_empty());
    assert!(ids(story.school(), json!({"ack": all})).await.is_empty(), "again is harmless");
    assert_eq!(ids(story.school(), json!({"stream": "other"})).await.len(), 3);
}

async fn restarted(mut story: Story) -> Story {
    let clock = std::sync::Arc::clone(&story.stage.clock);
    story.stage.gateway.stop().await;
    story.stage.gateway = Gateway::open(&story.stage.scene, &clock, eager()).await;
    story
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_that_waits_is_answered_when_something_comes() {
    let story = Story::stored().await;
    let mut stream = Stream::new(story.school(), "live".into());
    told(&mut stream, 2).await;
    stream.finish().await.unwrap();
    let waits = stream.next(true);
    let (batch, ()) = tokio::join!(waits, story.says(EventKind::Opened, None));
    let batch = batch.unwrap();
    assert_eq!(batch.news.len(), 1, "one long poll brings it: {batch:?}");
    assert_eq!(batch.news[0].event, "opened");
}

/// A line that answers everything but the second certificate that is asked for.
struct Cut {
    whole: Box<dyn Line>,
    certificates: AtomicUsize,
}

impl Line for Cut {
    fn send<'a>(&'a self, method: Method, path: &'a str, fields: Fields, body: Bytes) -> Reply<'a> {
        if path.starts_with("/v1/certificates/")
            && self.certificates.fetch_add(1, Ordering::Relaxed) == 1
        {
            return Box::pin(async { Err(ClientFault::Unreachable) });
        }
        self.whole.send(method, path, fields, body)
    }
}

/// The way to the gateway breaks in the middle of a batch: what was read of it and never shown is not
/// acknowledged, and comes again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_and_not_shown_comes_again() {
    let mut story = Story::stored().await;
    story.says(EventKind::Opened, None).await;
    story.acknowledges().await;
    let mut school = story.stage.schools.remove(MARSH_LANE);
    waiting(&school, "another", 7).await;
    let whole = school.client;
    school.client = Box::new(Cut { whole, certificates: AtomicUsize::new(0) });
    let mut stream = Stream::new(&school, "mis".into());
    assert!(stream.next(true).await.is_err(), "the line is not cut");
    let all = told(&mut stream, 4).await;
    assert_eq!(all, ["accepted", "delivered", "opened", "acknowledged"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_stops_lets_go_of_those_who_wait() {
    let story = Story::stored().await;
    let mut stream = Stream::new(story.school(), "live".into());
    told(&mut stream, 2).await;
    stream.finish().await.unwrap();
    let Story { stage, worker, authority: _authority, .. } = story;
    let Stage { gateway, schools, .. } = stage;
    let begun = Instant::now();
    let waits = async {
        let headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let body = Bytes::from(json!({"stream": "live"}).to_string());
        schools[MARSH_LANE].client.post("/v1/events/poll", headers, body).await
    };
    let stops = async {
        tokio::task::yield_now().await;
        gateway.stop().await;
    };
    let (answer, ()) = tokio::join!(waits, stops);
    // Answered without anything, or not taken at all; in no case waited for.
    if let Ok(answer) = answer {
        assert_eq!(answer.status, 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    drop(worker);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_may_no_longer_be_seen_is_passed_over() {
    let story = Story::stored().await;
    story.says(EventKind::Opened, None).await;
    waiting(story.school(), "before", 5).await;
    let wrong_child =
        Saying { code: Some("wrong_child".into()), ..Saying::of(EventKind::Misidentified) };
    say(story.school(), story.id(), &wrong_child).await.unwrap_or_else(|not| panic!("{not:?}"));
    // Receipt, delivery with its record, and the tombstone with its record: the opening is hidden.
    let mut stream = Stream::new(story.school(), "after".into());
    assert_eq!(told(&mut stream, 3).await, ["accepted", "delivered", "misidentified"]);
    stream.finish().await.unwrap();
    assert!(ids(story.school(), json!({"stream": "after"})).await.is_empty());
    // Strangers get nothing, and no count of it.
    let hackney = story.stage.worker(HACKNEY).await;
    for stranger in [&hackney, &story.stage.schools[LEA_BRIDGE]] {
        let (_, answer) = poll(stranger, json!({"returnImmediately": true})).await;
        assert_eq!(answer, json!({"sets": {}, "moreAvailable": false}));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_poll_is_refused_with_its_rule() {
    let story = Story::stored().await;
    for bad in [json!([]), json!({"stream": "No Such"}), json!({"max_events": 1})] {
        let (status, answer) = poll(story.school(), bad).await;
        assert_eq!((status, &answer["violations"][0]["rule"]), (400, &json!("poll.form")));
    }
    waiting(story.school(), "default", 3).await;
    for n in 0..17 {
        let name = format!("s{n}");
        let one = json!({"stream": name, "maxEvents": 1, "returnImmediately": true});
        let (status, answer) = poll(story.school(), one).await;
        // The stream "default" is one of the sixteen. Each of them passed over the submission.
        match n {
            0..15 => assert_eq!(status, 200, "{n}: {answer}"),
            _ => assert_eq!(answer["violations"][0]["rule"], "poll.too-many-streams", "{n}"),
        }
    }
    let mut late = Stream::new(story.school(), "s16".into());
    assert!(matches!(late.next(false).await, Err(NotSeen::Refused(_))));
}
