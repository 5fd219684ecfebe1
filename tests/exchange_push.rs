//! Events pushed to a party (RFC 8935): in the order of its feed, each at least once and once in effect,
//! whatever happens to the receiver. Real sockets, certificates and stores; only the clock is the test's.

mod exchange_support;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ecaf::authority::api::Api;
use ecaf::cli::sandbox::SCHOOLS;
use ecaf::domain::case::EventKind;
use ecaf::domain::ids::Digest;
use ecaf::domain::party::{DfeCode, Organisation};
use ecaf::domain::time::{MINUTE, SECOND};
use ecaf::gateway::push;
use ecaf::http::{Answer, Fields, Handler, Line, Request, Response};
use ecaf::party::member::Member;
use ecaf::party::say::{Saying, say};
use ecaf::protocol::hash::sha256;
use ecaf::protocol::message::{CERTIFICATES, RECORDED_AT, SET_MEDIA_TYPE};
use ecaf::protocol::tokens::{Audience, Recorded};
use ecaf::store::{FeedEntry, Pushed, StreamId, StreamName, TokenKind};
use exchange_support::inside::{Authority, Receiving, eager, gateway_caller};
use exchange_support::stage::{LEA_BRIDGE, MARSH_LANE, Stage, good, text};
use exchange_support::story::{acknowledgement, decision, ok};
use exchange_support::{HARINGEY, Sent, eventually};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use serde_json::json;
use tokio::sync::watch;

/// What an authority's endpoint was given, and what it is to answer instead.
#[derive(Default)]
struct Seen {
    tokens: Mutex<Vec<String>>,
    /// The error that is answered to the token with this digest, or to all.
    spoiled: Mutex<Option<(&'static str, Option<Digest>)>>,
}

struct Watched {
    api: Api,
    seen: Arc<Seen>,
}

impl Handler for Watched {
    fn handle(&self, request: Request) -> Answer<'_> {
        Box::pin(async move {
            if request.path == "/events" {
                let token = String::from_utf8(request.body.to_vec()).unwrap();
                let digest = sha256(token.as_bytes());
                self.seen.tokens.lock().unwrap().push(token);
                let spoiled = *self.seen.spoiled.lock().unwrap();
                if let Some((err, of)) = spoiled
                    && of.is_none_or(|of| of == digest)
                {
                    let body = json!({"err": err, "description": "by a test"}).to_string();
                    return Response::new(StatusCode::BAD_REQUEST, "application/json", body);
                }
            }
            self.api.handle(request).await
        })
    }

    fn body_limit(&self, method: &Method, path: &str) -> Option<usize> {
        self.api.body_limit(method, path)
    }

    fn methods(&self, path: &str) -> &'static str {
        self.api.methods(path)
    }
}

/// A referral that is stored at Haringey, which has an endpoint for events.
struct Story {
    stage: Stage,
    sent: Sent,
    worker: Member,
    authority: Option<Authority>,
    seen: Arc<Seen>,
}

impl Story {
    async fn stored() -> Self {
        let mut stage = Stage::at("2026-11-23T14:20:00Z".parse().unwrap()).await;
        stage.scene.sign_events(2, HARINGEY, stage.clock.now());
        stage.gateway.look_at_directory(&stage.scene);
        let seen = Arc::<Seen>::default();
        let authority = open(&stage, &seen).await;
        let document = stage.stream.document(MARSH_LANE, HARINGEY);
        let sent = stage.accepted(document).await;
        stage.until(&sent, "stored").await;
        let worker = stage.worker(HARINGEY).await;
        Self { stage, sent, worker, authority: Some(authority), seen }
    }

    async fn says(&self, kind: EventKind) {
        let person = json!({"name": "Ada Example", "role": "Social worker",
                            "phone": "01632 960123"});
        let saying = match kind {
            EventKind::Acknowledged => {
                Saying::with(kind, json!({"worker": person, "reference": "HGY-2026-000001"}))
            }
            _ => Saying::of(kind),
        };
        let said = say(&self.worker, self.sent.document.id, &saying).await;
        said.unwrap_or_else(|not| panic!("{not:?}"));
    }

    /// The feed of Haringey as far as it is pushed, in its order.
    async fn feed(&self) -> Vec<FeedEntry> {
        let store = &self.stage.gateway.exchange.store;
        let party = Organisation::Authority(self.worker_code());
        let mut feed = store.feed(&party, 0, 100).await.unwrap();
        feed.retain(|e| !matches!(e.token.token.kind, TokenKind::Submission | TokenKind::Attested));
        feed
    }

    fn worker_code(&self) -> DfeCode {
        match self.worker.party.organisation {
            Organisation::Authority(code) => code,
            _ => panic!("not an authority's"),
        }
    }

    /// Waits until everything in the feed, at least `count`, lies at the authority; in the order of the feed,
    /// and once each.
    async fn arrived(&self, count: usize, but: &[Digest]) {
        let store = Arc::clone(&self.authority.as_ref().unwrap().station.store);
        eventually("the feed arrives", async || {
            // What was put off falls due.
            self.stage.hand.advance(SECOND);
            let kept = store.pushed(self.sent.document.id).await.unwrap();
            let mut feed = self.feed().await;
            feed.retain(|entry| !but.contains(&entry.token.token.sha256));
            (feed.len() >= count && kept.len() == feed.len()).then_some(())
        })
        .await;
        let kept = store.pushed(self.sent.document.id).await.unwrap();
        let kept: HashSet<_> = kept.into_iter().map(|token| token.token.jws).collect();
        let feed = self.feed().await.into_iter().map(|entry| entry.token.token);
        let feed: Vec<_> =
            feed.filter(|t| !but.contains(&t.sha256)).map(|token| token.jws).collect();
        assert!(feed.iter().all(|jws| kept.contains(jws)));
        // The first time of each is in order; repeats are of what was seen.
        let mut first = Vec::new();
        for token in self.seen.tokens.lock().unwrap().iter() {
            if kept.contains(token) && !first.contains(token) {
                first.push(token.clone());
            }
        }
        assert_eq!(first, feed);
        let report = store.check().await.unwrap();
        assert!(report.is_sound(), "{:?}", report.problems);
    }
}

async fn open(stage: &Stage, seen: &Arc<Seen>) -> Authority {
    let seen = Arc::clone(seen);
    Authority::open(&stage.scene, HARINGEY, &stage.clock, |api| Arc::new(Watched { api, seen }))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_pushed_in_order_and_once() {
    let pushed = Story::stored().await;
    pushed.says(EventKind::Opened).await;
    pushed.says(EventKind::Acknowledged).await;
    // The note, the receipt and two events, each of the last three with its record.
    pushed.arrived(7, &[]).await;
    let tokens = pushed.seen.tokens.lock().unwrap().len();
    assert_eq!(tokens, pushed.feed().await.len(), "nothing went wrong, so nothing went twice");
    // A person at the authority reads them, as a table or with the tokens.
    let id = pushed.sent.document.id.to_string();
    let config = pushed.stage.scene.world.authority_config(HARINGEY);
    let inbox = |more: &[&str]| {
        let arguments = ["authority", "inbox", "events", &id, "--config", config.to_str().unwrap()];
        let arguments: Vec<_> = arguments.into_iter().chain(more.iter().copied()).collect();
        let done = pushed.stage.scene.run(&arguments);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let shown: Vec<serde_json::Value> = serde_json::from_str(&inbox(&["--json"])).unwrap();
    assert_eq!(shown.len(), tokens, "records too");
    let said: HashSet<_> = shown.iter().filter_map(|token| token["event"].as_str()).collect();
    assert_eq!(said, HashSet::from(["opened", "acknowledged"]));
    let table = inbox(&[]);
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("RECORDED"), "{table}");
    assert!(table.contains("authority/309/person/") && table.contains("acknowledged"), "{table}");
    // The note, the receipt and the two events; their records are not for people.
    assert_eq!(lines.len(), 1 + 4, "{table}");
    // Polling is as it was: another way to the same feed, with places of its own.
    let stream = json!({"stream": "mis", "returnImmediately": true});
    let body = Bytes::from(stream.to_string());
    let headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    let polled = pushed.worker.client.post("/v1/events/poll", headers, body).await.unwrap();
    let polled: serde_json::Value = serde_json::from_slice(&polled.body).unwrap();
    assert_eq!(polled["sets"].as_object().unwrap().len(), tokens);
    // Nobody polls the stream of the pushes.
    let body = Bytes::from(json!({"stream": "_push"}).to_string());
    let headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    let refused = pushed.worker.client.post("/v1/events/poll", headers, body).await.unwrap();
    assert_eq!(refused.status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_was_away_gets_the_rest_and_a_gateway_goes_on_where_it_was() {
    let mut pushed = Story::stored().await;
    pushed.arrived(3, &[]).await;
    let before = pushed.feed().await.len();
    pushed.authority.take().unwrap().stop().await;
    pushed.says(EventKind::Opened).await;
    // The gateway restarts meanwhile: what was given is not given again.
    let clock = Arc::clone(&pushed.stage.clock);
    let Stage { gateway, scene, hand, schools, stream, .. } = pushed.stage;
    gateway.stop().await;
    let gateway = exchange_support::inside::Gateway::open(&scene, &clock, eager()).await;
    pushed.stage = Stage { scene, hand, clock, gateway, schools, stream };
    pushed.says(EventKind::Acknowledged).await;
    let seen = pushed.seen.tokens.lock().unwrap().len();
    assert_eq!(seen, before, "nobody was there to take more");
    pushed.authority = Some(open(&pushed.stage, &pushed.seen).await);
    pushed.arrived(7, &[]).await;
    let all = pushed.seen.tokens.lock().unwrap().clone();
    assert_eq!(all.len(), all.iter().collect::<HashSet<_>>().len(), "each of them once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_refused_stops_nothing_and_other_errors_lose_nothing() {
    let pushed = Story::stored().await;
    pushed.arrived(3, &[]).await;
    let exchange = &pushed.stage.gateway.exchange;
    let party = exchange.party(Organisation::Authority(pushed.worker_code()));
    let stream = StreamId::of(&party, StreamName::of_pushes());
    // Everything is refused for a reason that lies with the gateway or the receiver: nothing moves on.
    *pushed.seen.spoiled.lock().unwrap() = Some(("access_denied", None));
    let done = exchange.store.stream(&stream).await.unwrap().done;
    pushed.says(EventKind::Opened).await;
    let seen = || pushed.seen.tokens.lock().unwrap().len();
    let before = seen();
    eventually("many tries", async || {
        pushed.stage.hand.advance(SECOND);
        (seen() > before + 8).then_some(())
    })
    .await;
    assert_eq!(exchange.store.stream(&stream).await.unwrap().done, done);
    // Then one for what it is: set aside after some tries, with the receiver's word; the rest arrives.
    let feed = pushed.feed().await;
    let opened = feed.iter().find(|entry| entry.token.token.kind == TokenKind::Event).unwrap();
    let refused = opened.token.token.sha256;
    *pushed.seen.spoiled.lock().unwrap() = Some(("invalid_key", Some(refused)));
    pushed.arrived(4, &[refused]).await;
    let tokens = pushed.seen.tokens.lock().unwrap().clone();
    let tries = tokens.iter().filter(|token| sha256(token.as_bytes()) == refused).count();
    assert!(tries >= 8 + 5, "{tries}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_gateways_push_together_and_each_token_counts_once() {
    let pushed = Story::stored().await;
    let (stop, stopping) = watch::channel(false);
    let mut others = Vec::new();
    for holder in ["second", "third"] {
        others.push(tokio::spawn(push::run(
            Arc::clone(&pushed.stage.gateway.exchange),
            Arc::clone(&pushed.stage.gateway.lines),
            eager().retry,
            holder.to_owned(),
            stopping.clone(),
        )));
    }
    pushed.says(EventKind::Opened).await;
    // Whoever holds the right stops without giving it back: another takes it over.
    pushed.stage.hand.advance(2 * MINUTE);
    pushed.says(EventKind::Acknowledged).await;
    pushed.arrived(7, &[]).await;
    stop.send_replace(true);
    for other in others {
        other.await.unwrap();
    }
}

/// The configuration of a school's receiver, with a certificate of the school that may listen.
fn receiver_of(stage: &Stage, index: usize) -> PathBuf {
    let party = format!("school/{}", SCHOOLS[index].id);
    let folder = stage.scene.world.folder().join("receiver");
    std::fs::create_dir_all(&folder).unwrap();
    let issued = stage.clock.now().to_string();
    let names = ["--dns", "localhost", "--only", "tls", "--out", "receiver/own", "--at", &issued];
    let arguments: Vec<_> = ["pki", "issue", &party].into_iter().chain(names).collect();
    let done = stage.scene.run(&arguments);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = std::fs::read_to_string(stage.scene.world.school_config(index)).unwrap();
    let text =
        text.replace("\"tls.crt\"", "\"own-tls.crt\"").replace("\"tls.key\"", "\"own-tls.key\"");
    let file = folder.join("school.toml");
    std::fs::write(&file, text).unwrap();
    file
}

/// Signs the next issue of the directory, in which these schools have their events pushed to `url`.
fn push_to(stage: &Stage, version: u64, schools: &[usize], url: &str) {
    stage.scene.sign_changed(version, "", stage.clock.now(), |overlay| {
        for index in schools {
            let id = SCHOOLS[*index].id;
            let school = overlay.schools.iter_mut().find(|school| school.id == id).unwrap();
            school.events_endpoint = Some(url.to_owned());
        }
    });
    stage.gateway.look_at_directory(&stage.scene);
}

/// The tokens of a party's feed that are given to it, in their order.
async fn given(stage: &Stage, party: &Organisation) -> Vec<String> {
    let mut feed = stage.gateway.exchange.store.feed(party, 0, 100).await.unwrap();
    feed.retain(|e| !matches!(e.token.token.kind, TokenKind::Submission | TokenKind::Attested));
    feed.into_iter().map(|entry| entry.token.token.jws).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_school_is_pushed_what_it_may_see_by_its_own_identity() {
    let mut stage = Stage::at("2026-11-23T14:20:00Z".parse().unwrap()).await;
    let _authority = stage.authority(HARINGEY).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let file = receiver_of(&stage, MARSH_LANE);
    let kept = Arc::<Mutex<Vec<Pushed>>>::default();
    let open = async |stage: &Stage| {
        Receiving::open(&stage.scene, &file, &stage.clock, address, Arc::clone(&kept)).await
    };
    let receiver = open(&stage).await;
    // Another school names the same endpoint: it does not have that school's identity, so nothing is said.
    let url = format!("https://localhost:{}", address.port());
    push_to(&stage, 2, &[MARSH_LANE, LEA_BRIDGE], &url);
    let document = stage.stream.document(LEA_BRIDGE, HARINGEY);
    let others = stage.accepted(document).await;
    let document = stage.stream.document(MARSH_LANE, HARINGEY);
    let sent = stage.accepted(document).await;
    stage.until(&sent, "stored").await;
    stage.until(&others, "stored").await;
    let worker = stage.worker(HARINGEY).await;
    let party = stage.schools[MARSH_LANE].party.organisation.clone();
    let id = sent.document.id;
    let arrived = async |stage: &Stage, receiver: &Receiving, least: usize| {
        eventually("all of it arrives", async || {
            stage.hand.advance(SECOND);
            let feed = given(stage, &party).await;
            (feed.len() >= least && receiver.kept().len() == feed.len()).then_some(())
        })
        .await;
        let kept = receiver.kept();
        assert!(kept.iter().all(|(about, _)| *about == id), "of another school");
        let kept: Vec<_> = kept.into_iter().map(|(_, jws)| jws).collect();
        assert_eq!(kept, given(stage, &party).await, "in order, and once");
    };
    // The receipt of the exchange, the authority's with its record, an event with its record.
    ok(&worker, id, &Saying::of(EventKind::Opened)).await;
    arrived(&stage, &receiver, 5).await;

    // Its receiver is away, and the gateway is started again meanwhile.
    receiver.stop().await;
    ok(&worker, id, &acknowledgement()).await;
    let Stage { gateway, scene, hand, clock, schools, stream } = stage;
    gateway.stop().await;
    let gateway = exchange_support::inside::Gateway::open(&scene, &clock, eager()).await;
    stage = Stage { scene, hand, clock, gateway, schools, stream };
    let receiver = open(&stage).await;
    arrived(&stage, &receiver, 7).await;

    // It goes over to polling: nothing is lost, and what it was pushed is told by its `jti`.
    push_to(&stage, 3, &[], &url);
    let before = receiver.kept().len();
    ok(&worker, id, &decision("assessment")).await;
    let school = &stage.schools[MARSH_LANE];
    let polled = eventually("the decision is polled", async || {
        let body =
            json!({"stream": "mis", "returnImmediately": true, "maxEvents": 100}).to_string();
        let headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let answer = school.client.post("/v1/events/poll", headers, Bytes::from(body)).await;
        let answer: serde_json::Value = serde_json::from_slice(&answer.unwrap().body).unwrap();
        let sets = answer["sets"].as_object().unwrap().values();
        let sets: HashSet<_> = sets.map(|jws| text(jws).to_owned()).collect();
        (sets.len() >= before + 2).then_some(sets)
    })
    .await;
    assert_eq!(receiver.kept().len(), before, "nobody pushes any more");
    assert!(receiver.kept().iter().all(|(_, jws)| polled.contains(jws)));
    assert_eq!(polled, given(&stage, &party).await.into_iter().collect::<HashSet<_>>());
    // And back: what came meanwhile, and nothing again.
    push_to(&stage, 4, &[MARSH_LANE], &url);
    arrived(&stage, &receiver, before + 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forged_or_foreign_is_not_taken() {
    let pushed = Story::stored().await;
    pushed.arrived(3, &[]).await;
    let stage = &pushed.stage;
    let line = gateway_caller(&stage.scene, HARINGEY, &stage.clock).await;
    let store = Arc::clone(&pushed.authority.as_ref().unwrap().station.store);
    let kept = store.pushed(pushed.sent.document.id).await.unwrap();
    let recorded = kept.iter().find(|t| t.token.kind == TokenKind::Recorded).unwrap();
    let own = stage.gateway.exchange.signing.load().chain().to_header();
    let now = stage.clock.now();
    // A record that an authority made up.
    let worker = pushed.worker.signing.as_ref().unwrap();
    let made_up = Recorded {
        position: 9,
        event_sha256: sha256(b"x"),
        previous_sha256: Some(sha256(b"y")),
        recorded_at: now,
    };
    let to = vec![Audience::Scheme(pushed.worker.scheme().clone())];
    let id = pushed.sent.document.id;
    let made_up = worker.state(&*pushed.worker.entropy, now, to, Some(id), made_up).unwrap().jws;
    let workers = worker.chain().to_header();
    let jws = recorded.token.jws.clone();
    let mut parts: Vec<_> = jws.split('.').map(str::to_owned).collect();
    parts[1] = made_up.split('.').nth(1).unwrap().to_owned();
    let altered = parts.join(".");
    let submission = store.inbox(Default::default()).await.unwrap().remove(0).entry;
    let submission = store.item(submission).await.unwrap().unwrap().tokens.remove(0).token;
    let schools = stage.schools[MARSH_LANE].signing.as_ref().unwrap().chain().to_header();
    let ahead = now.plus(10 * MINUTE).to_string();
    let at = now.to_string();
    // By an authority of the scheme that this reader does not know yet, as far as it can tell.
    let other = Stage::at(now).await;
    let stranger = other.gateway.exchange.signing.load_full();
    let said = Recorded {
        position: 9,
        event_sha256: sha256(b"x"),
        previous_sha256: None,
        recorded_at: now,
    };
    let to = vec![Audience::Scheme(pushed.worker.scheme().clone())];
    let unknown = stranger.state(&*pushed.worker.entropy, now, to, Some(id), said).unwrap().jws;
    let strangers = stranger.chain().to_header();
    for (token, chain, time, err) in [
        (&unknown, &strangers, &at, "not_yet"),
        (&altered, &own, &at, "invalid_key"),
        (&jws, &workers, &at, "invalid_key"),
        (&made_up, &workers, &at, "invalid_issuer"),
        (&submission.jws, &schools, &at, "invalid_request"),
        (&"no token".to_owned(), &own, &at, "invalid_request"),
        // Of the two clocks either may be wrong: it is to be pushed again, and not set aside.
        (&jws, &own, &ahead, "not_yet"),
        (&jws, &String::new(), &at, "invalid_request"),
    ] {
        let fields = fields(SET_MEDIA_TYPE, chain, time);
        let (status, said) = push_one(&*line, fields, token).await;
        let expected = if err == "not_yet" { 503 } else { 400 };
        assert_eq!((status, text(&said["err"])), (expected, err), "{said}");
        assert!(!text(&said["description"]).is_empty());
    }
    let wrong_type = fields("application/jwt", &own, &at);
    assert_eq!(push_one(&*line, wrong_type, &jws).await.1["err"], "invalid_request");
    assert_eq!(store.pushed(id).await.unwrap(), kept, "nothing of it is kept");
    // The right one, again and again.
    for _ in 0..2 {
        let (status, _) = push_one(&*line, fields(SET_MEDIA_TYPE, &own, &at), &jws).await;
        assert_eq!(status, 202);
    }
    assert_eq!(store.pushed(id).await.unwrap(), kept);
    let path = format!("/v1/referrals/{id}");
    assert!(good(&*pushed.worker.client, &path).await["events"].is_array());
}

fn fields(media_type: &'static str, chain: &str, at: &str) -> Fields {
    vec![
        (CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (CERTIFICATES, HeaderValue::from_str(chain).unwrap()),
        (RECORDED_AT, HeaderValue::from_str(at).unwrap()),
    ]
}

async fn push_one(line: &dyn Line, fields: Fields, token: &str) -> (u16, serde_json::Value) {
    let answer = line.post("/events", fields, Bytes::from(token.to_owned())).await.unwrap();
    (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap_or_default())
}
