//! The events of a party as they come: polled from one of its streams (RFC 8936), each proved by its
//! signatures before it is shown, and acknowledged only after it was shown.

use std::collections::HashMap;
use std::fmt;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use super::look::{NotSeen, get, refused};
use super::member::Member;
use crate::domain::case::words_of;
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::Role;
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;
use crate::protocol::jws::Unverified;
use crate::protocol::tokens::{
    Accepted, CaseEvent, Delivered, Recorded, SET_TYPE, SecurityEvent, Subject,
};
use crate::protocol::trust::{Chain, Purpose, VerifiedChain, rules};

/// Tokens asked for at once.
const AT_ONCE: usize = 100;

/// Something new about a referral.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct News {
    /// The referral.
    pub referral_id: String,
    /// Its place in the thread.
    pub position: u64,
    /// When the gateway recorded it: this time counts.
    pub recorded_at: String,
    /// What it is: `accepted` (held by the exchange), `delivered` (stored at an authority), or the name
    /// of an event; see `schemas/EVENTS.md`.
    pub event: String,
    /// Who said it.
    pub by: String,
    /// The gateway that signed it for them, where they have no key of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attested_by: Option<String>,
    /// Its code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The code in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
    /// The authority that it is for, or that a delivery is to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Since when that delivery is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When it is tried next, as far as the gateway knew then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<String>,
    /// The children that it is about, from 1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<u32>,
    /// SHA-256 of its token: what another event names to answer it.
    pub sha256: String,
}

/// A token that does not prove what it says.
#[derive(Debug, Clone)]
pub struct NotProved {
    /// Why.
    pub because: Refusal,
}

/// What came with one poll.
#[derive(Debug, Default)]
pub struct Batch {
    /// In the order in which it was recorded.
    pub news: Vec<News>,
    /// Tokens that were set aside, and are reported to the gateway.
    pub not_proved: Vec<NotProved>,
    /// Whether more waits.
    pub more: bool,
}

/// Reads one stream.
pub struct Stream<'a> {
    member: &'a Member,
    name: String,
    /// Shown, or of no interest: acknowledged with the next poll.
    done: Vec<String>,
    wrong: Vec<(String, &'static str)>,
    chains: HashMap<Digest, Chain>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Polled {
    #[serde(deserialize_with = "in_order")]
    sets: Vec<(String, String)>,
    #[serde(default)]
    more_available: bool,
}

/// A token that waits for our gateway's record of it.
struct Held {
    jti: String,
    jws: String,
}

impl<'a> Stream<'a> {
    /// The stream `name` of `member`'s party.
    pub fn new(member: &'a Member, name: String) -> Self {
        let (done, wrong) = (Vec::new(), Vec::new());
        Self { member, name, done, wrong, chains: HashMap::new() }
    }

    /// What is new. Waits for it up to the gateway's patience if `wait`. Acknowledges what earlier calls
    /// gave, so it must be shown by now; a crash before it is acknowledged: it comes again.
    pub async fn next(&mut self, wait: bool) -> Result<Batch, NotSeen> {
        let polled = self.poll(AT_ONCE, wait).await?;
        let read = self.read_all(polled).await;
        if read.is_err() {
            // Half of it was read and none of it is shown: none of it is done.
            self.done.clear();
            self.wrong.clear();
        }
        read
    }

    async fn read_all(&mut self, polled: Polled) -> Result<Batch, NotSeen> {
        let mut batch = Batch { more: polled.more_available, ..Batch::default() };
        let mut held: HashMap<Digest, Held> = HashMap::new();
        for (jti, jws) in polled.sets {
            match self.read(&jti, jws, &mut held).await? {
                Ok(news) => batch.news.extend(news),
                Err(because) => {
                    let rule = because.rule().map_or("invalid_request", |rule| rule.id);
                    self.wrong.push((jti, rule));
                    batch.not_proved.push(NotProved { because });
                }
            }
        }
        // What is held still has no record yet: not acknowledged, it comes again together with it.
        Ok(batch)
    }

    /// Whether the last poll brought anything that the next one acknowledges: else that brings the same.
    pub fn has_moved(&self) -> bool {
        !(self.done.is_empty() && self.wrong.is_empty())
    }

    /// Acknowledges what is shown, and asks for nothing.
    pub async fn finish(&mut self) -> Result<(), NotSeen> {
        if self.done.is_empty() && self.wrong.is_empty() {
            return Ok(());
        }
        self.poll(0, false).await.map(|_| ())
    }

    async fn poll(&mut self, most: usize, wait: bool) -> Result<Polled, NotSeen> {
        let wrong: serde_json::Map<_, _> =
            self.wrong.iter().map(|(jti, rule)| (jti.clone(), json!({ "err": rule }))).collect();
        let body = json!({
            "stream": self.name, "maxEvents": most, "returnImmediately": !wait,
            "ack": self.done, "setErrs": wrong,
        });
        let headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let sent =
            self.member.client.post("/v1/events/poll", headers, Bytes::from(body.to_string()));
        let response = sent.await.map_err(NotSeen::NoAnswer)?;
        if response.status != StatusCode::OK {
            return Err(refused(&response));
        }
        let polled = serde_json::from_slice(&response.body).map_err(|_| NotSeen::Unreadable)?;
        self.done.clear();
        self.wrong.clear();
        Ok(polled)
    }

    /// One token: news, or kept until its record comes, or nothing for a person.
    async fn read(
        &mut self,
        jti: &str,
        jws: String,
        held: &mut HashMap<Digest, Held>,
    ) -> Result<Result<Option<News>, Refusal>, NotSeen> {
        let token = match Unverified::parse(&jws) {
            Ok(token) => token,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Some(said) = token.peek::<SecurityEvent<Recorded>>() {
            let Some(of) = held.remove(&said.event.event_sha256) else {
                self.done.push(jti.to_owned());
                return Ok(Ok(None));
            };
            let at = said.event.recorded_at;
            let gateway = self.signer(token.x5t(), at).await?;
            let author = self.signer_of(&of.jws, at).await?;
            let news = gateway.and_then(|gateway| recorded(&jws, &gateway, &of.jws, &author?));
            match &news {
                Ok(_) => self.done.extend([jti.to_owned(), of.jti]),
                Err(refusal) => {
                    let rule = refusal.rule().map_or("invalid_request", |rule| rule.id);
                    self.wrong.push((of.jti, rule));
                }
            }
            return Ok(news.map(Some));
        }
        if let Some(said) = token.peek::<SecurityEvent<Accepted>>() {
            let signer = self.signer(token.x5t(), said.event.recorded_at).await?;
            let news = signer.and_then(|signer| accepted(&jws, &signer));
            if news.is_ok() {
                self.done.push(jti.to_owned());
            }
            return Ok(news.map(Some));
        }
        let waits = token.peek::<CaseEvent>().is_some()
            || token.peek::<SecurityEvent<Delivered>>().is_some();
        if waits {
            let digest = crate::protocol::hash::sha256(jws.as_bytes());
            held.insert(digest, Held { jti: jti.to_owned(), jws });
        } else {
            // A note to an authority's machine, or a kind of a later version.
            self.done.push(jti.to_owned());
        }
        Ok(Ok(None))
    }

    async fn signer_of(
        &mut self,
        jws: &str,
        at: Timestamp,
    ) -> Result<Result<VerifiedChain, Refusal>, NotSeen> {
        match Unverified::parse(jws) {
            Ok(token) => self.signer(token.x5t(), at).await,
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// The verified chain of a certificate, as of `at`.
    async fn signer(
        &mut self,
        x5t: Digest,
        at: Timestamp,
    ) -> Result<Result<VerifiedChain, Refusal>, NotSeen> {
        if !self.chains.contains_key(&x5t) {
            #[derive(Deserialize)]
            struct Certificates {
                certificates: String,
            }
            let found: Certificates = get(self.member, &format!("/v1/certificates/{x5t}")).await?;
            let chain = Chain::from_header(&found.certificates).map_err(|_| NotSeen::Unreadable)?;
            self.chains.insert(x5t, chain);
        }
        let verified = self.member.trust.store().verify(&self.chains[&x5t], Purpose::Signing, at);
        let verified = verified.map_err(|refusal| super::say::refuse(refusal.0));
        match verified {
            Err(refusal) if rules::is_of_stale_trust(&refusal) => Err(NotSeen::StaleTrust(refusal)),
            verified => Ok(verified),
        }
    }
}

/// An event or a receipt with the gateway's record of it.
fn recorded(
    record: &str,
    gateway: &VerifiedChain,
    of: &str,
    author: &VerifiedChain,
) -> Result<News, Refusal> {
    let said = SecurityEvent::<Recorded>::read(
        &Unverified::parse(record)?.verify(SET_TYPE, of_a_gateway(gateway)?)?,
        None,
    )?;
    let token = Unverified::parse(of)?;
    let claims = token.peek::<CaseEvent>();
    let token = token.verify(SET_TYPE, author)?;
    let (sha256, id) = (token.digest(), said.sub_id.unwrap_or(Subject(NO_REFERRAL)).0);
    if said.event.event_sha256 != sha256 {
        return Err(crate::protocol::tokens::mismatch("event_sha256"));
    }
    let mut news = News {
        referral_id: id.to_string(),
        position: said.event.position,
        recorded_at: said.event.recorded_at.to_string(),
        event: "delivered".into(),
        by: author.party().to_string(),
        attested_by: None,
        code: None,
        words: None,
        to: None,
        since: None,
        next_attempt_at: None,
        children: Vec::new(),
        sha256: sha256.to_string(),
    };
    if claims.is_none() {
        let receipt = SecurityEvent::<Delivered>::read(&token, None)?;
        if receipt.sub_id != Some(Subject(id)) {
            return Err(crate::protocol::tokens::mismatch("sub_id"));
        }
        return Ok(news);
    }
    let event = CaseEvent::read(&token, &author.party().trust_domain, id)?;
    let (kind, body) = (event.kind(), event.body());
    news.by = event.author().to_string();
    news.attested_by = event.attested.as_ref().map(|_| event.iss.to_string());
    news.to = body.to.map(|to| to.to_string());
    news.since = body.since.map(|at| at.to_string());
    news.next_attempt_at = body.next_attempt_at.map(|at| at.to_string());
    let code = body.code.as_deref();
    news.event = kind.name().into();
    news.words = code.and_then(|code| words_of(kind, code)).map(str::to_owned);
    news.code = body.code.clone();
    news.children = body.children.clone();
    Ok(news)
}

/// Stands where a token names no referral; no token does that agrees with another about one.
const NO_REFERRAL: ReferralId = ReferralId::from_bytes([0; 16]);

fn accepted(jws: &str, signer: &VerifiedChain) -> Result<News, Refusal> {
    let token = Unverified::parse(jws)?.verify(SET_TYPE, of_a_gateway(signer)?)?;
    let said = SecurityEvent::<Accepted>::read(&token, None)?;
    Ok(News {
        referral_id: said.sub_id.unwrap_or(Subject(NO_REFERRAL)).0.to_string(),
        position: said.event.position,
        recorded_at: said.event.recorded_at.to_string(),
        event: "accepted".into(),
        by: signer.party().to_string(),
        attested_by: None,
        code: None,
        words: None,
        to: None,
        since: None,
        next_attempt_at: None,
        children: Vec::new(),
        sha256: token.digest().to_string(),
    })
}

fn of_a_gateway(signer: &VerifiedChain) -> Result<&VerifiedChain, Refusal> {
    match signer.party().organisation.role() {
        Role::Gateway => Ok(signer),
        _ => Err(super::say::refuse(super::say::NOT_A_RECORD)),
    }
}

/// The members of an object in the order in which they stand.
fn in_order<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, String)>, D::Error> {
    struct Members;

    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, String)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of tokens")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }

    deserializer.deserialize_map(Members)
}
