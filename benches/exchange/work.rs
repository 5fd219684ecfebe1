//! Submissions, each with an id and a signature of its own, made before anything is measured.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;
use ecaf::domain::ids::{Digest, ReferralId};
use ecaf::effects::Clock;
use ecaf::party::member::Member;
use ecaf::protocol::hash::sha256;
use ecaf::protocol::jws::Unverified;
use ecaf::protocol::schema::Schema;
use ecaf::protocol::signing::token_id;
use ecaf::protocol::tokens::{Accepted, Audience, SET_TYPE, SecurityEvent, Subject, Submission};
use ecaf::protocol::trust::{Chain, Purpose};
use ecaf::school::compose::{Composed, compose};
use http::HeaderValue;

use super::machine::cores;

/// A standard referral of about 6 KB for one authority.
pub const DOCUMENT: &[u8] =
    include_bytes!("../../conformance/examples/a02-address-on-file-is-old.json");

/// What to send, and how far we have come.
pub struct Work {
    template: Vec<u8>,
    places: Vec<usize>,
    /// The chain of the signer, as a header field.
    pub certificates: HeaderValue,
    items: Vec<Item>,
    next: AtomicUsize,
    /// Start again from the first item when all are used: for a server that does not look.
    endless: bool,
}

struct Item {
    id: String,
    token: HeaderValue,
}

/// The example, checked as a school would.
pub fn example(clock: &dyn Clock) -> Result<Composed, String> {
    compose(DOCUMENT, clock.now().in_england().0).map_err(|v| format!("{:?}", v.first()))
}

impl Work {
    /// Makes `count` submissions on all cores.
    pub fn prepare(sender: &Member, count: usize) -> Result<Self, String> {
        let composed = example(&*sender.clock)?;
        let old = composed.checked.header().referral_id.to_string();
        let places = find(&composed.bytes, old.as_bytes());
        let make = |share: usize| -> Result<Vec<Item>, String> {
            let mut body = composed.bytes.clone();
            (0..share).map(|_| item(sender, &composed, &mut body, &places)).collect()
        };
        let share = count.div_ceil(cores());
        let items = thread::scope(|scope| {
            let hands: Vec<_> = (0..cores()).map(|_| scope.spawn(|| make(share))).collect();
            let made = hands.into_iter().map(|hand| hand.join().map_err(|_| "a panic")?);
            made.collect::<Result<Vec<_>, String>>()
        })?;
        let chain = sender.signing.as_ref().ok_or("the school signs nothing")?.chain().to_header();
        Ok(Self {
            template: composed.bytes,
            places,
            certificates: HeaderValue::from_str(&chain).map_err(|e| e.to_string())?,
            items: items.into_iter().flatten().collect(),
            next: AtomicUsize::new(0),
            endless: false,
        })
    }

    /// The same again, without end.
    pub fn endless(mut self) -> Self {
        self.endless = true;
        self
    }

    /// The next submission: its number, token and body. `None` once all are used.
    pub fn take(&self) -> Option<(usize, HeaderValue, Bytes)> {
        let mut number = self.next.fetch_add(1, Ordering::Relaxed);
        if self.endless {
            number %= self.items.len();
        }
        let item = self.items.get(number)?;
        Some((number, item.token.clone(), self.body(number)))
    }

    /// How many were taken.
    pub fn taken(&self) -> usize {
        self.next.load(Ordering::Relaxed).min(self.items.len())
    }

    /// Bytes of one body, and of the signed part of one token.
    pub fn sizes(&self) -> (usize, usize) {
        let token = self.items.first().map_or(0, |item| item.token.len());
        (self.template.len(), token)
    }

    fn body(&self, number: usize) -> Bytes {
        let mut body = self.template.clone();
        put(&mut body, &self.places, &self.items[number].id);
        body.into()
    }

    /// Whether `answer` is the gateway's signed receipt for submission `number`.
    pub fn check(&self, sender: &Member, number: usize, answer: &[u8]) -> Result<(), String> {
        #[derive(serde::Deserialize)]
        struct Answer {
            accepted: String,
            certificates: String,
        }
        let answer: Answer = serde_json::from_slice(answer).map_err(|e| e.to_string())?;
        let chain = Chain::from_header(&answer.certificates).map_err(|_| "chain")?;
        let now = sender.clock.now();
        let signer = sender.trust.store().verify(&chain, Purpose::Signing, now);
        let signer = signer.map_err(|refusal| refusal.to_string())?;
        let token = Unverified::parse(&answer.accepted).and_then(|t| t.verify(SET_TYPE, &signer));
        let token = token.map_err(|refusal| format!("{refusal:?}"))?;
        let said = SecurityEvent::<Accepted>::read(&token, None).map_err(|r| format!("{r:?}"))?;
        let ours: Digest = sha256(&self.body(number));
        if said.event.payload_sha256 == ours { Ok(()) } else { Err("another's receipt".into()) }
    }
}

fn item(
    sender: &Member,
    composed: &Composed,
    body: &mut [u8],
    places: &[usize],
) -> Result<Item, String> {
    let identity = sender.signing.as_ref().ok_or("the school signs nothing")?;
    let id = ReferralId::from_bytes(sender.entropy.uuid().map_err(|e| e.to_string())?);
    put(body, places, &id.to_string());
    let header = composed.checked.header();
    let claims = Submission {
        iss: identity.party().clone(),
        aud: Audience::Scheme(sender.scheme().clone()),
        iat: sender.clock.now().seconds(),
        jti: token_id(&*sender.entropy).map_err(|e| e.to_string())?,
        sub_id: Subject(id),
        schema: Schema::referral_v1_id().into(),
        version: header.version,
        urgency: header.urgency.as_str().into(),
        request_type: header.request_type.as_str().into(),
        payload_sha256: sha256(body),
        previous_sha256: header.previous,
        attested: None,
    };
    let token = claims.sign(identity.signer(), identity.x5t()).map_err(|e| e.to_string())?;
    let token = HeaderValue::from_str(&token).map_err(|e| e.to_string())?;
    Ok(Item { id: id.to_string(), token })
}

fn find(text: &[u8], part: &[u8]) -> Vec<usize> {
    (0..=text.len() - part.len()).filter(|at| text[*at..].starts_with(part)).collect()
}

fn put(body: &mut [u8], places: &[usize], id: &str) {
    for &at in places {
        body[at..at + id.len()].copy_from_slice(id.as_bytes());
    }
}
