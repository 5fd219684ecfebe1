//! `POST /v1/events/poll`: the tokens of a party's feed, polled as RFC 8936 has it. Members have the
//! names of that standard; `stream` is ours: each system of a party names its own, and reads everything.
//!
//! What is not acknowledged comes again in the same order, what is acknowledged never again, whichever
//! gateway is asked: the place is in the store. A token that its reader may not see now is passed over
//! and counts as acknowledged, so that nothing hidden is counted or stops the stream.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::time::Duration;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize, Serializer};

use super::exchange::Exchange;
use super::known::Known;
use super::read::{concerns_another, recorded_by};
use super::trouble::Trouble;
use crate::domain::ids::ReferralId;
use crate::domain::party::{Organisation, Party};
use crate::domain::refusal::{Class, Refusal, Rule, Violation};
use crate::domain::visibility::Part;
use crate::http::Request;
use crate::protocol::jws::Unverified;
use crate::protocol::message::json_body;
use crate::store::{
    FeedEntry, STREAM_WINDOW, StoredToken, StreamAcks, StreamError, StreamId, StreamName,
    StreamOutcome, TokenKind,
};
use crate::telemetry::metric;

/// The largest body, in bytes: a thousand acknowledgements, or some hundred errors in words.
pub const LARGEST_POLL: usize = 128 * 1_024;
/// Tokens of an answer unless fewer are asked for, and the most of it: 1.5 MB of them.
const USUAL: u64 = 100;
const MOST: u64 = STREAM_WINDOW;
/// Entries of the feed read at a time.
const PAGE: u32 = 128;
/// A poll waits this long for something new: less than the patience of clients (15 s unless configured).
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How often one that waits looks by itself: another gateway may hold the sequencer, whose bell is not
/// heard here.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A poll passes over so many windows of hidden tokens before it answers without any.
const LOOKS: usize = 8;

/// Only schools and authorities have feeds.
pub const NO_FEED: Rule = Rule {
    id: "poll.no-feed",
    title: "only schools and authorities have events to poll",
    action: "Connect with the tls certificate of a school or an authority.",
};
/// The body is not a poll.
pub const FORM: Rule = Rule {
    id: "poll.form",
    title: "the body is not a poll of RFC 8936",
    action: "Send an object of stream, maxEvents, returnImmediately, ack and setErrs, each optional; at most 1000 acknowledgements and errors; a stream's name of 1 to 32 small letters, digits and hyphens.",
};
/// One stream more than a party may have.
pub const TOO_MANY_STREAMS: Rule = Rule {
    id: "poll.too-many-streams",
    title: "this party has as many streams as it may have",
    action: "Poll one of the streams in use; each system needs one, and keeps its name.",
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Body {
    stream: Option<String>,
    max_events: Option<u64>,
    #[serde(default)]
    return_immediately: bool,
    #[serde(default)]
    ack: Vec<String>,
    #[serde(default)]
    set_errs: HashMap<String, SetError>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetError {
    err: String,
    /// For people, and perhaps about some: not kept.
    #[serde(rename = "description")]
    _description: Option<IgnoredAny>,
}

/// What is asked for.
pub(super) struct Asked {
    stream: StreamName,
    most: usize,
    waits: bool,
    /// Token ids that are done, with the reader's word if it could not take one.
    done: HashMap<String, Option<StreamError>>,
}

impl Asked {
    /// The next `most` tokens, for a party that they are pushed to.
    pub(super) fn for_pushes(most: usize) -> Self {
        Self { stream: StreamName::of_pushes(), most, waits: false, done: HashMap::new() }
    }

    fn read(body: &[u8]) -> Result<Self, Refusal> {
        let refuse = || Refusal::new(Class::Malformed, Violation::whole(FORM));
        let body: Body = serde_json::from_slice(body).map_err(|_| refuse())?;
        let stream = body.stream.map(|name| name.parse()).transpose().map_err(|_| refuse())?;
        let mut done: HashMap<_, _> = body.ack.into_iter().map(|jti| (jti, None)).collect();
        for (jti, error) in body.set_errs {
            done.insert(jti, Some(error.err.parse().map_err(|_| refuse())?));
        }
        if done.len() as u64 > STREAM_WINDOW {
            return Err(refuse());
        }
        let most = body.max_events.unwrap_or(USUAL).min(MOST) as usize;
        let waits = !body.return_immediately && most > 0;
        Ok(Self { stream: stream.unwrap_or_default(), most, waits, done })
    }
}

/// The answer to a poll.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PollAnswer {
    /// Tokens by their `jti`, in the order of the feed.
    #[serde(serialize_with = "in_order")]
    sets: Vec<(String, String)>,
    /// Whether there are more that are not acknowledged.
    more_available: bool,
}

fn in_order<S: Serializer>(sets: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(sets.iter().map(|(jti, jws)| (jti, jws)))
}

/// Takes acknowledgements and gives what is new.
pub async fn poll(exchange: &Exchange, request: &Request) -> Result<PollAnswer, Trouble> {
    let reader = request.peer.chain.party();
    if !matches!(reader.organisation, Organisation::School(_) | Organisation::Authority(_)) {
        return Err(Refusal::new(Class::Forbidden, Violation::whole(NO_FEED)).into());
    }
    json_body(&request.headers)?;
    let mut asked = Asked::read(&request.body)?;
    let id = StreamId::of(reader, asked.stream.clone());
    let room = &exchange.waiting;
    let place = asked.waits.then(|| room.enter(&reader.organisation)).flatten();
    let mut over = exchange.clock.sleep(LONGEST_WAIT);
    loop {
        // Before the look, so that nothing rings between the two.
        let mut bell = pin!(room.bell());
        bell.as_mut().enable();
        let found = look(exchange, reader, &id, &mut asked).await?;
        if !found.sets.is_empty() || found.more_available || place.is_none() || room.is_closed() {
            metrics::counter!(metric::POLLED_TOKENS).increment(found.sets.len() as u64);
            return Ok(found);
        }
        tokio::select! {
            biased;
            () = &mut over => return Ok(found),
            () = bell => {}
            () = exchange.clock.sleep(LOOK_EVERY) => {}
        }
    }
}

/// What there is for the reader now, after what it has done is written down.
async fn look(
    exchange: &Exchange,
    reader: &Party,
    id: &StreamId,
    asked: &mut Asked,
) -> Result<PollAnswer, Trouble> {
    for _ in 0..LOOKS {
        let walk = Walk::along(exchange, reader, id, asked).await?;
        asked.done.clear();
        if walk.done.is_empty() {
            return Ok(walk.answer);
        }
        let errors = walk.errors.len() as u64;
        let acks = StreamAcks {
            id: id.clone(),
            positions: walk.done,
            taken: walk.taken,
            errors: walk.errors,
            now: exchange.now(),
        };
        // A crash before the commit: what is acknowledged is acknowledged again, or comes again. A
        // crash after it: the answer is lost, and what it gave comes again.
        if exchange.store.acknowledge(acks).await? == StreamOutcome::TooMany {
            let refusal = Refusal::new(Class::Conflict, Violation::whole(TOO_MANY_STREAMS));
            return Err(refusal.into());
        }
        metrics::counter!(metric::POLL_ERRORS).increment(errors);
        if !walk.answer.sets.is_empty() || asked.most == 0 {
            return Ok(walk.answer);
        }
    }
    Ok(PollAnswer { sets: Vec::new(), more_available: true })
}

/// A token at its place in a feed.
pub(super) struct Given {
    pub position: u64,
    pub token: StoredToken,
}

/// One walk along the feed, from the first token that is not done.
pub(super) struct Walk {
    answer: PollAnswer,
    /// The tokens of the answer, with their places.
    pub(super) given: Vec<Given>,
    /// Acknowledged, or passed over.
    pub(super) done: Vec<u64>,
    /// Acknowledged without an error.
    taken: Vec<u64>,
    errors: Vec<(u64, StreamError)>,
}

impl Walk {
    /// Costs what is given, passed over and acknowledged, and at most a window.
    pub(super) async fn along(
        exchange: &Exchange,
        reader: &Party,
        id: &StreamId,
        asked: &Asked,
    ) -> Result<Self, Trouble> {
        let standing = exchange.store.stream(id).await?;
        let last = standing.done + STREAM_WINDOW;
        let (mut after, mut wanted) = (standing.done, asked.done.len());
        let answer = PollAnswer { sets: Vec::new(), more_available: false };
        let (done, taken) = (Vec::new(), Vec::new());
        let mut walk = Self { answer, given: Vec::new(), done, taken, errors: Vec::new() };
        let mut threads = Threads::default();
        let mut unreadable = None;
        loop {
            let page = exchange.store.feed(&id.party, after, PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            for entry in page {
                after = entry.position;
                if after > last {
                    if let (Some(fault), true) =
                        (unreadable, walk.given.is_empty() && walk.done.is_empty())
                    {
                        return Err(Trouble::Fault(fault));
                    }
                    walk.answer.more_available = true;
                    return Ok(walk);
                }
                if standing.beyond.contains(&after) {
                    continue;
                }
                let jti = jti(&entry);
                if let Some(error) = jti.as_ref().and_then(|jti| asked.done.get(jti)) {
                    wanted = wanted.saturating_sub(1);
                    walk.done.push(after);
                    match error {
                        Some(error) => walk.errors.push((after, error.clone())),
                        None => walk.taken.push(after),
                    }
                    continue;
                }
                if walk.answer.sets.len() < asked.most {
                    let jti = jti.filter(|_| is_security_event(entry.token.token.kind));
                    let Some(jti) = jti else {
                        walk.done.push(after);
                        continue;
                    };
                    match threads.gives(exchange, reader, &entry).await.map_err(Trouble::unasked) {
                        Ok(true) => {
                            walk.answer.sets.push((jti, entry.token.token.jws.clone()));
                            walk.given.push(Given { position: after, token: entry.token });
                        }
                        Ok(false) => walk.done.push(after),
                        // It waits; what is said about others must not.
                        Err(fault) if fault.is_of_one() => {
                            let (referral, why) = (entry.referral_id, fault.label());
                            tracing::warn!(%referral, fault = why, "its tokens could not be given");
                            unreadable = Some(fault);
                        }
                        Err(fault) => return Err(fault.into()),
                    }
                    continue;
                }
                walk.answer.more_available = true;
                if wanted == 0 {
                    return Ok(walk);
                }
            }
            if is_last {
                return Ok(walk);
            }
        }
    }
}

fn jti(entry: &FeedEntry) -> Option<String> {
    #[derive(Deserialize)]
    struct Id {
        jti: String,
    }
    Some(Unverified::parse(&entry.token.token.jws).ok()?.peek::<Id>()?.jti)
}

/// Submissions are no security event tokens: their sender has them, and dispatches carry them.
fn is_security_event(kind: TokenKind) -> bool {
    !matches!(kind, TokenKind::Submission | TokenKind::Attested)
}

/// The referrals that a walk came by.
#[derive(Default)]
struct Threads(BTreeMap<ReferralId, Option<Known>>);

impl Threads {
    /// Whether `reader` may have this token now.
    async fn gives(
        &mut self,
        exchange: &Exchange,
        reader: &Party,
        entry: &FeedEntry,
    ) -> Result<bool, Trouble> {
        let id = entry.referral_id;
        let known = match self.0.entry(id) {
            Entry::Occupied(seen) => seen.into_mut(),
            Entry::Vacant(unseen) => unseen.insert(exchange.known(id).await?),
        };
        let Some(known) = known else { return Ok(false) };
        if !known.allows(reader, Part::Evidence) {
            return Ok(false);
        }
        let token = &entry.token;
        let shows = |digest| known.shown_to(reader).any(|event| event.digest() == digest);
        let all = known.allows(reader, Part::OthersDeliveries);
        Ok(match token.token.kind {
            TokenKind::Event => shows(token.token.sha256),
            TokenKind::Recorded => match recorded_by(token) {
                None => false,
                Some(event) if known.kind_of(event).is_some() => shows(event),
                // The record of an authority's receipt goes with the receipt.
                Some(_) if all => true,
                Some(receipt) => {
                    let receipt = exchange.store.token(id, receipt).await?;
                    receipt.is_some_and(|receipt| !concerns_another(&receipt, reader))
                }
            },
            _ => all || !concerns_another(token, reader),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_is_read_as_the_standard_has_it() {
        let asked = Asked::read(
            br#"{"maxEvents":3,"returnImmediately":true,"ack":["a","b"],"stream":"mis",
                "setErrs":{"c":{"err":"invalid_key","description":"words"}}}"#,
        )
        .unwrap();
        assert_eq!((asked.stream.as_str(), asked.most, asked.waits), ("mis", 3, false));
        assert_eq!(asked.done["a"], None);
        assert_eq!(asked.done["c"].as_ref().unwrap().as_str(), "invalid_key");
        let bare = Asked::read(b"{}").unwrap();
        assert_eq!((bare.stream.as_str(), bare.most, bare.waits), ("default", 100, true));
        let only = Asked::read(br#"{"maxEvents":0}"#).unwrap();
        assert!(!only.waits, "nothing is waited for where nothing is wanted");
        assert_eq!(Asked::read(br#"{"maxEvents":100000}"#).unwrap().most as u64, MOST);
        let many: Vec<_> = (0..=STREAM_WINDOW).map(|n| n.to_string()).collect();
        let many = serde_json::json!({ "ack": many }).to_string();
        for bad in [
            "",
            "[]",
            r#"{"max_events":1}"#,
            r#"{"maxEvents":-1}"#,
            r#"{"ack":[1]}"#,
            r#"{"stream":"A B"}"#,
            r#"{"setErrs":{"a":{"err":"Tom Example"}}}"#,
            r#"{"setErrs":{"a":{}}}"#,
            r#"{"ack":[],"ack":[]}"#,
            &many,
        ] {
            let refusal = Asked::read(bad.as_bytes()).err().unwrap();
            assert_eq!(refusal.violations[0].rule, FORM, "{bad}");
        }
    }

    #[test]
    fn sets_keep_their_order() {
        let sets = [("b", "1"), ("a", "2")].map(|(jti, jws)| (jti.to_owned(), jws.to_owned()));
        let answer = PollAnswer { sets: sets.to_vec(), more_available: true };
        let text = serde_json::to_string(&answer).unwrap();
        assert_eq!(text, r#"{"sets":{"b":"1","a":"2"},"moreAvailable":true}"#);
    }
}
