//! Pushing events (RFC 8935) to parties that the directory names an endpoint for: the tokens of a party's
//! feed, one after the other, the next only after the one before was taken.
//!
//! How far a party is stands in a stream of its feed like those of polling, under a name that nobody can
//! poll. So a push is given at least once, in order, whichever gateway gives it, and its `jti` tells a
//! repetition. One gateway at a time pushes; should two meet, a token goes twice and is taken once.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use super::exchange::Exchange;
use super::lines::Lines;
use super::poll::{Asked, Given, Walk};
use super::trouble::Trouble;
use crate::domain::delivery::RetryPolicy;
use crate::domain::party::Organisation;
use crate::domain::time::Timestamp;
use crate::http::Line;
use crate::protocol::message::{CERTIFICATES, EVENTS_PATH, RECORDED_AT, SET_MEDIA_TYPE};
use crate::store::{StoreFault, StreamAcks, StreamError, StreamId, StreamName, StreamOutcome};
use crate::telemetry::metric;

/// Name of the right to push, and how long one holding lasts unless it is renewed.
const RIGHT: &str = "pusher";
const HOLD_MS: i64 = 60_000;
/// Tokens given to one party before its place is written down: so many may be repeated after a crash.
const BATCH: usize = 16;
/// Parties that are given tokens at once.
const PARTIES: usize = 32;
/// How often to look for what another gateway sequenced, and for what falls due again.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Nobody waits for a push as for an answer, so a moment passes after the bell: one look finds more.
const GATHER: Duration = Duration::from_millis(100);
/// A token that its receiver refuses for what it is, is set aside after so many tries: it must not stop those
/// behind it for ever.
const TRIES: u32 = 5;
/// What a receiver says of a token, not of us or of itself (RFC 8935, 2.4).
const ABOUT_THE_TOKEN: [&str; 4] =
    ["invalid_request", "invalid_key", "invalid_issuer", "invalid_audience"];

/// What this process knows of one party. Lost at a restart, which costs a try.
#[derive(Default)]
struct Standing {
    failures: u32,
    /// Left alone until then.
    until: Option<Timestamp>,
    /// The token at this position was refused so many times.
    refused: Option<(u64, u32)>,
}

/// How giving some tokens ended.
enum Ended {
    /// All of it was taken.
    Taken,
    /// The party did not take one.
    NotTaken(NotTaken),
    /// We failed.
    Fault(&'static str),
}

/// Why a token was not taken.
enum NotTaken {
    /// No answer, or none that says anything about the token.
    Unreachable(String),
    /// Refused for what it is.
    Refused(u64),
}

/// Pushes until `stop` says so; attempts under way are finished.
pub async fn run(
    exchange: Arc<Exchange>,
    lines: Arc<Lines>,
    retry: RetryPolicy,
    holder: String,
    mut stop: watch::Receiver<bool>,
) {
    let mut pusher = Pusher {
        exchange,
        lines,
        retry,
        holder,
        standings: BTreeMap::new(),
        last: None,
        busy: BTreeSet::new(),
        giving: JoinSet::new(),
    };
    let exchange = Arc::clone(&pusher.exchange);
    while !*stop.borrow() {
        // Before the look, so that nothing rings between the two.
        let mut bell = pin!(exchange.waiting.bell());
        bell.as_mut().enable();
        if let Err(fault) = pusher.start().await {
            tracing::warn!(fault = fault.label(), "events could not be pushed");
            if fault.is_final() {
                exchange.broken.notify_one();
            }
        }
        tokio::select! {
            biased;
            _ = stop.changed() => {}
            Some(ended) = pusher.giving.join_next() => pusher.ended(ended),
            () = bell => exchange.clock.sleep(GATHER).await,
            () = exchange.clock.sleep(LOOK_EVERY) => {}
        }
    }
    while pusher.giving.join_next().await.is_some() {}
}

struct Pusher {
    exchange: Arc<Exchange>,
    lines: Arc<Lines>,
    retry: RetryPolicy,
    holder: String,
    standings: BTreeMap<Organisation, Standing>,
    /// The party that was begun last: the next walk begins behind it, so that it comes round to everybody.
    last: Option<Organisation>,
    /// Those that are given tokens right now: one task each, so that a slow one delays nobody else.
    busy: BTreeSet<Organisation>,
    giving: JoinSet<(Organisation, Ended)>,
}

impl Pusher {
    /// Begins to give a batch to each party that has something new.
    async fn start(&mut self) -> Result<(), StoreFault> {
        let now = self.exchange.now();
        for (party, endpoint) in behind(self.last.as_ref(), receivers(&self.exchange)) {
            if self.giving.len() >= PARTIES {
                return Ok(());
            }
            let standing = self.standings.get(&party);
            let rests = standing.and_then(|s| s.until).is_some_and(|until| until > now);
            if rests || self.busy.contains(&party) || !has_news(&self.exchange, &party).await? {
                continue;
            }
            let (store, holder) = (&self.exchange.store, self.holder.clone());
            if store.acquire(RIGHT, holder, now, HOLD_MS).await?.is_none() {
                return Ok(());
            }
            let refused = standing.and_then(|s| s.refused);
            let (exchange, lines) = (Arc::clone(&self.exchange), Arc::clone(&self.lines));
            self.busy.insert(party.clone());
            self.last = Some(party.clone());
            self.giving.spawn(async move {
                let ended = give(&exchange, &lines, &party, &endpoint, refused).await;
                (party, ended)
            });
        }
        Ok(())
    }

    fn ended(&mut self, ended: Result<(Organisation, Ended), JoinError>) {
        let Ok((party, ended)) = ended else {
            // A panic, told by the runtime: whose it was is not known, so all may be looked at again.
            self.busy.clear();
            return;
        };
        self.busy.remove(&party);
        let standing = self.standings.entry(party.clone()).or_default();
        note(&self.exchange, self.retry, &party, standing, ended);
    }
}

/// Parties with an endpoint in the directory in use.
fn receivers(exchange: &Exchange) -> Vec<(Organisation, String)> {
    let Some(directory) = exchange.directory.last_good() else { return Vec::new() };
    let (directory, now) = (directory.directory(), exchange.now());
    let authorities = directory.authorities.values().filter_map(|entry| {
        Some((Organisation::Authority(entry.code), entry.events_endpoint.clone()?))
    });
    let schools = directory.schools.values().filter_map(|entry| {
        let endpoint = entry.events_endpoint.clone()?;
        // One that is not enrolled any more is told nothing.
        let school = directory.school(&entry.id, now)?;
        Some((Organisation::School(school.id.clone()), endpoint))
    });
    authorities.chain(schools).collect()
}

/// All of them, those behind `last` first.
fn behind<T>(
    last: Option<&Organisation>,
    mut all: Vec<(Organisation, T)>,
) -> Vec<(Organisation, T)> {
    let last = all.iter().position(|(party, _)| Some(party) == last);
    all.rotate_left(last.map_or(0, |last| last + 1));
    all
}

/// Whether the feed goes on behind what the party has.
async fn has_news(exchange: &Exchange, party: &Organisation) -> Result<bool, StoreFault> {
    let standing = exchange.store.stream(&stream(exchange, party)).await?;
    let after = standing.beyond.last().copied().unwrap_or(standing.done);
    let gaps = after - standing.done != standing.beyond.len() as u64;
    Ok(gaps || !exchange.store.feed(party, after, 1).await?.is_empty())
}

fn stream(exchange: &Exchange, party: &Organisation) -> StreamId {
    StreamId::of(&exchange.party(party.clone()), StreamName::of_pushes())
}

/// Gives one party what is next for it. A crash before its place is written down: it gets the same again, and
/// knows each by its `jti`.
async fn give(
    exchange: &Exchange,
    lines: &Lines,
    party: &Organisation,
    endpoint: &str,
    refused: Option<(u64, u32)>,
) -> Ended {
    let Some(line) = lines.to(party, endpoint) else {
        return Ended::NotTaken(NotTaken::Unreachable("no_endpoint".into()));
    };
    let (reader, id) = (exchange.party(party.clone()), stream(exchange, party));
    let asked = Asked::for_pushes(BATCH);
    let walk = match Walk::along(exchange, &reader, &id, &asked).await {
        Ok(walk) => walk,
        Err(trouble) => return Ended::Fault(trouble.unasked().label()),
    };
    let (mut done, mut taken, mut errors) = (walk.done, Vec::new(), Vec::new());
    let mut ended = Ended::Taken;
    for given in walk.given {
        match post(exchange, &*line, &given).await {
            Ok(None) => {
                metrics::counter!(metric::PUSHED_TOKENS).increment(1);
                done.push(given.position);
                taken.push(given.position);
            }
            Ok(Some(_)) if refused.is_none_or(|r| r.0 != given.position || r.1 + 1 < TRIES) => {
                ended = Ended::NotTaken(NotTaken::Refused(given.position));
                break;
            }
            Ok(Some(error)) => {
                tracing::error!(peer = %party, reason = error.as_str(), "a token is set aside: its receiver does not take it");
                metrics::counter!(metric::PUSH_ERRORS).increment(1);
                done.push(given.position);
                errors.push((given.position, error));
            }
            Err(cause) => {
                ended = Ended::NotTaken(NotTaken::Unreachable(cause));
                break;
            }
        }
    }
    if done.is_empty() {
        return ended;
    }
    let acks = StreamAcks { id, positions: done, taken, errors, now: exchange.now() };
    match exchange.store.acknowledge(acks).await {
        Ok(StreamOutcome::Standing(_)) => ended,
        Ok(StreamOutcome::TooMany) => Ended::Fault("too-many-streams"),
        Err(fault) => Ended::Fault(fault.label()),
    }
}

/// Posts one token: nothing if it was taken, the receiver's word if it refuses the token, else the cause.
async fn post(
    exchange: &Exchange,
    line: &dyn Line,
    given: &Given,
) -> Result<Option<StreamError>, String> {
    let token = &given.token.token;
    let chain = exchange.certificates(token.x5t).await;
    let chain = chain.map_err(|trouble: Trouble| trouble.unasked().label().to_owned())?;
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| "unreadable".to_owned());
    let headers = vec![
        (CONTENT_TYPE, HeaderValue::from_static(SET_MEDIA_TYPE)),
        (ACCEPT, HeaderValue::from_static("application/json")),
        (CERTIFICATES, value(&chain)?),
        (RECORDED_AT, value(&given.token.recorded_at.to_string())?),
    ];
    let answer = line.post(EVENTS_PATH, headers, Bytes::from(token.jws.clone())).await;
    let answer = answer.map_err(|fault| fault.label().to_owned())?;
    if answer.status == StatusCode::ACCEPTED {
        return Ok(None);
    }
    #[derive(Deserialize)]
    struct Refused {
        err: String,
    }
    let said = serde_json::from_slice::<Refused>(&answer.body).ok();
    match said.and_then(|said| said.err.parse::<StreamError>().ok()) {
        Some(error) if ABOUT_THE_TOKEN.contains(&error.as_str()) => Ok(Some(error)),
        Some(error) => Err(error.as_str().to_owned()),
        None => Err(format!("status-{}", answer.status.as_u16())),
    }
}

/// What is known of a party after a batch: taken, or when to try again.
fn note(
    exchange: &Exchange,
    retry: RetryPolicy,
    party: &Organisation,
    standing: &mut Standing,
    ended: Ended,
) {
    let reason = match ended {
        Ended::Taken => {
            *standing = Standing::default();
            return;
        }
        Ended::NotTaken(NotTaken::Refused(position)) => {
            let times = standing.refused.filter(|(at, _)| *at == position).map_or(0, |r| r.1);
            standing.refused = Some((position, times + 1));
            "refused".to_owned()
        }
        Ended::NotTaken(NotTaken::Unreachable(cause)) => cause,
        Ended::Fault(label) => label.to_owned(),
    };
    standing.failures = standing.failures.saturating_add(1);
    let mut jitter = [0; 8];
    // Without randomness the waits are merely not spread out.
    let _ = exchange.entropy.fill(&mut jitter);
    let wait = retry.wait_ms(standing.failures, u64::from_le_bytes(jitter));
    standing.until = Some(exchange.now().plus(wait.max(1)));
    // Told when it begins, and then ever less often.
    if standing.failures.is_power_of_two() {
        let attempt = standing.failures;
        tracing::warn!(peer = %party, attempt, reason, "events are not taken; they are pushed again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_begins_behind_the_party_that_was_served_last() {
        let party = |code: &str| Organisation::Authority(code.parse().unwrap());
        let all = || ["201", "202", "203"].map(|code| (party(code), ())).to_vec();
        let order = |last: Option<&str>| {
            let last = last.map(party);
            let walk = behind(last.as_ref(), all());
            walk.into_iter().map(|(party, ())| party.to_string()).collect::<Vec<_>>().join(" ")
        };
        let whole = order(None);
        assert_eq!(order(Some("203")), whole);
        assert!(order(Some("201")).ends_with(&party("201").to_string()));
        assert!(order(Some("202")).starts_with(&party("203").to_string()));
        assert_eq!(order(Some("999")), whole, "it is not in the directory any more");
    }
}
