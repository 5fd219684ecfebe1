//! What is stored of one referral cannot be read any more: a damaged disk, a key that is not in the ring. It has
//! to be mended by an operator, and until then nobody else's referral waits for it.

mod exchange_support;

use std::path::Path;

use ecaf::domain::ids::ReferralId;
use ecaf::domain::time::MINUTE;
use ecaf::gateway::remind::{self, Stumbled};
use ecaf::party::look::look;
use ecaf::party::member::Member;
use exchange_support::HARINGEY;
use exchange_support::stage::MARSH_LANE;
use exchange_support::story::Story;
use serde_json::{Value, json};

/// Changes one byte of the sealed document of the first referral in the store.
fn damage_the_first(store: &Path) {
    let conn = rusqlite::Connection::open(store).unwrap();
    let read = "SELECT id, body FROM documents ORDER BY id LIMIT 1";
    let (id, mut body): (i64, Vec<u8>) =
        conn.query_row(read, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    *body.last_mut().unwrap() ^= 1;
    let write = "UPDATE documents SET body = ?2 WHERE id = ?1";
    assert_eq!(conn.execute(write, rusqlite::params![id, body]), Ok(1));
}

async fn breaches(member: &Member, id: ReferralId) -> usize {
    let state = look(member, id).await.unwrap();
    state.events.iter().filter(|event| event.event == "clock_breached").count()
}

/// The tokens that the school has not acknowledged, by the referral that they are about.
async fn waiting(member: &Member) -> Vec<String> {
    let headers =
        vec![(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"))];
    let body = json!({"stream": "fresh", "returnImmediately": true, "maxEvents": 100});
    let answer =
        member.client.post("/v1/events/poll", headers, body.to_string().into()).await.unwrap();
    assert_eq!(answer.status, 200);
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    let sets = answer["sets"].as_object().unwrap();
    let about = |token: &Value| {
        let body = token.as_str().unwrap().split('.').nth(1).unwrap().to_owned();
        let body = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, body).unwrap();
        serde_json::from_slice::<Value>(&body).unwrap()["sub_id"]["uri"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    sets.values().map(about).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_cannot_be_read_keeps_no_other_waiting() {
    let mut story = Story::stored().await;
    let document = story.stage.stream.document(MARSH_LANE, HARINGEY);
    let other = story.stage.accepted(document).await;
    story.stage.until(&other, "stored").await;
    let (school, readable) = (story.school(), other.document.id);
    exchange_support::eventually("both are in the feed", async || {
        let about = waiting(school).await;
        let both = [story.id(), readable].map(|id| id.to_string());
        both.iter().all(|id| about.iter().any(|a| a.contains(id))).then_some(())
    })
    .await;

    damage_the_first(&story.stage.scene.gateway_store());
    assert!(look(school, story.id()).await.is_err(), "damaged");
    story.stage.hand.advance(28 * 60 * MINUTE);
    exchange_support::eventually("the breach of the other one", async || {
        (breaches(school, readable).await > 0).then_some(())
    })
    .await;
    exchange_support::eventually("it is told", async || {
        let about = waiting(school).await;
        assert!(about.iter().all(|id| id.contains(&readable.to_string())), "{about:?}");
        (about.len() > 2).then_some(())
    })
    .await;

    // Whoever failed steps aside: the right is free, and the next one fails at the same referral and gives
    // it back too.
    let exchange = &story.stage.gateway.exchange;
    exchange_support::eventually("the right is free", async || {
        let looked = remind::look(exchange, "other", &mut Stumbled::default()).await;
        looked.err().map(|fault| assert_eq!(fault.label(), "corrupt"))
    })
    .await;
    let mut stumbled = Stumbled::default();
    assert!(remind::look(exchange, "third", &mut stumbled).await.is_err());
    assert!(remind::look(exchange, "third", &mut stumbled).await.is_ok(), "stepped over");
}
