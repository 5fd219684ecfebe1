//! `event`: what an authority, the school or a gateway says about a referral after it was accepted, or
//! to begin a thread without a referral.
//!
//! One form for every kind: the member of `events` names the kind, its body holds codes, places and
//! digests. Everything personal stands in the event's own document.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::submission::Attestation;
use super::{AUDIENCE, Audience, CLAIMS, SET_TYPE, Subject, agree, claims, mismatch, refuse, text};
use crate::domain::case::{EventKind, Statement};
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::{DfeCode, Organisation, Party, SchoolId, TrustDomain};
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;
use crate::effects::{KeyFault, Signer};
use crate::protocol::jws;

/// What every URI of an event begins with.
const BASE: &str = "https://ecaf.example/events/";

/// No statement is longer, in base64url: the limit of a token.
const LONGEST_STATEMENT: usize = jws::LARGEST_TOKEN;

/// No event names more children than this.
const MOST_CHILDREN: usize = 64;

/// The claims of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseEvent {
    /// Who signed it: an organisation, or a person of it; the gateway where it speaks for a school.
    #[serde(with = "text")]
    pub iss: Party,
    /// The scheme as a whole: whoever may see the referral may verify what was said about it.
    #[serde(with = "text")]
    pub aud: Audience,
    /// When it was signed, in whole seconds since 1970: the author's claim.
    pub iat: i64,
    /// Unique among all tokens of the issuer.
    pub jti: String,
    /// The referral: what all its events have in common, across transfers too.
    pub sub_id: Subject,
    /// When it happened, in whole seconds since 1970, where that is not when it was signed: a claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toe: Option<i64>,
    /// Only where a gateway speaks for a school without a key of its own: for whom, and how it knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attested: Option<Attestation>,
    /// What it says.
    #[serde(rename = "events", with = "by_uri")]
    pub said: (EventKind, CaseEventBody),
}

/// The body of an event, under its URI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseEventBody {
    /// The position of the thread up to which the author has seen it.
    pub seen: u64,
    /// SHA-256 of the event that this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::optional")]
    pub answers: Option<Digest>,
    /// The children that it is about: their places in the newest document, from 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<u32>,
    /// Its code, for kinds that have codes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The authority that it is for: that a transfer is proposed to, that is consulted, that something
    /// was handed over to, whose delivery it is about.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::optional")]
    pub to: Option<DfeCode>,
    /// The school that a notice is for.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::optional")]
    pub school: Option<SchoolId>,
    /// The stage of a disagreement, 1 to 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<u8>,
    /// What a clock is about, for what a gateway says about one: `child-1`, `delivery-204-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// When a clock runs out, for what a gateway says about one.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::optional")]
    pub due_at: Option<Timestamp>,
    /// Since when the exchange has had what an authority has not stored, for what a gateway says about a
    /// delivery.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::optional")]
    pub since: Option<Timestamp>,
    /// When it will be tried again, for what a gateway says about a delivery.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::optional")]
    pub next_attempt_at: Option<Timestamp>,
    /// SHA-256 of the event's own document.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::optional")]
    pub detail_sha256: Option<Digest>,
}

impl CaseEventBody {
    /// An event without anything but the position that its author has seen.
    pub fn seen(position: u64) -> Self {
        Self {
            seen: position,
            answers: None,
            children: Vec::new(),
            code: None,
            to: None,
            school: None,
            stage: None,
            about: None,
            due_at: None,
            since: None,
            next_attempt_at: None,
            detail_sha256: None,
        }
    }
}

impl CaseEvent {
    /// Whether `uri` is that of an event of this scheme.
    pub fn is_named(uri: &str) -> bool {
        uri.strip_prefix(BASE).and_then(EventKind::from_name).is_some()
    }

    /// Signs the claims.
    pub fn sign(&self, signer: &dyn Signer, x5t: Digest) -> Result<String, KeyFault> {
        jws::sign(signer, SET_TYPE, x5t, self)
    }

    /// The claims of a verified token about the referral `id`, of this scheme.
    pub fn read(
        token: &jws::Verified,
        scheme: &TrustDomain,
        id: ReferralId,
    ) -> Result<Self, Refusal> {
        let claims: Self = claims(token, |c: &Self| &c.iss)?;
        if claims.aud != Audience::Scheme(scheme.clone()) {
            return Err(refuse(AUDIENCE));
        }
        if claims.sub_id.0 != id {
            return Err(mismatch("sub_id"));
        }
        let spoken_for = match &claims.attested {
            None => true,
            Some(by) => {
                matches!(claims.iss.organisation, Organisation::Gateway(_))
                    && matches!(by.sender.organisation, Organisation::School(_))
                    && by.sender.trust_domain == *scheme
                    && by.statement_sha256.is_some()
            }
        };
        if !spoken_for || claims.said.1.children.len() > MOST_CHILDREN {
            return Err(refuse(CLAIMS));
        }
        Ok(claims)
    }

    /// Who says it: who signed, or the school that a gateway attests for.
    pub fn author(&self) -> &Party {
        self.attested.as_ref().map_or(&self.iss, |by| &by.sender)
    }

    /// Whether it has what only a gateway says.
    pub fn is_of_a_gateway(&self) -> bool {
        let body = self.body();
        let times = [body.due_at, body.since, body.next_attempt_at];
        body.about.is_some() || times.into_iter().any(|at| at.is_some())
    }

    /// The same without a signature, as a school sends it for which a gateway attests.
    pub fn to_statement(&self) -> String {
        serde_json::to_vec(self).map(|json| URL_SAFE_NO_PAD.encode(json)).unwrap_or_default()
    }

    /// A statement without a signature. Nothing of it is believed yet.
    pub fn from_statement(text: &str) -> Option<Self> {
        let json =
            (text.len() <= LONGEST_STATEMENT).then(|| URL_SAFE_NO_PAD.decode(text).ok())??;
        serde_json::from_slice(&json).ok()
    }

    /// The kind of event.
    pub fn kind(&self) -> EventKind {
        self.said.0
    }

    /// What it says beside its kind.
    pub fn body(&self) -> &CaseEventBody {
        &self.said.1
    }

    /// The author's own time: when it happened, or when it was signed.
    pub fn claimed_at(&self) -> Timestamp {
        Timestamp::from_seconds(self.toe.unwrap_or(self.iat))
    }

    /// The document that came with it, if any, is the one that it names.
    pub fn agrees_with(&self, detail: Option<Digest>) -> Result<(), Refusal> {
        agree(&[("detail_sha256", self.body().detail_sha256 == detail)])
    }

    /// As the rules of the thread see it: `digest` is that of the token, `position` the place that it
    /// takes, `answered` the kind of the event that it answers, where the thread has it.
    pub fn statement(
        &self,
        digest: Digest,
        position: u32,
        answered: Option<EventKind>,
    ) -> Statement<'_> {
        let body = self.body();
        Statement {
            digest,
            position,
            kind: self.kind(),
            author: self.author(),
            children: &body.children,
            code: body.code.as_deref(),
            answers: body.answers,
            answered,
            to: body.to,
            school: body.school.as_ref(),
            stage: body.stage,
            detailed: body.detail_sha256.is_some(),
        }
    }
}

/// The one member of `events`: a URI of this scheme and the body under it.
mod by_uri {
    use super::{
        BASE, CaseEventBody, Deserializer, Error, EventKind, MapAccess, SerializeMap, Serializer,
        Visitor, fmt,
    };

    type Said = (EventKind, CaseEventBody);

    pub fn serialize<S: Serializer>(said: &Said, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(&format_args!("{BASE}{}", said.0.name()), &said.1)?;
        map.end()
    }

    struct Single;

    impl<'de> Visitor<'de> for Single {
        type Value = Said;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("exactly one event of this scheme")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Said, A::Error> {
            let uri: Option<String> = map.next_key()?;
            let name = uri.as_deref().and_then(|uri| uri.strip_prefix(BASE));
            let kind = name.and_then(EventKind::from_name);
            let kind = kind.ok_or_else(|| A::Error::custom("not an event of this scheme"))?;
            let body = map.next_value()?;
            match map.next_key::<String>()? {
                None => Ok((kind, body)),
                Some(_) => Err(A::Error::custom("more than one event")),
            }
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Said, D::Error> {
        deserializer.deserialize_map(Single)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> CaseEvent {
        let body = CaseEventBody {
            children: vec![1],
            code: Some("assessment".into()),
            detail_sha256: Some(Digest::from_bytes([4; 32])),
            ..CaseEventBody::seen(3)
        };
        CaseEvent {
            iss: "spiffe://example.test/authority/316/person/w7".parse().unwrap(),
            aud: "spiffe://example.test".parse().unwrap(),
            iat: 1_795_000_000,
            jti: "AAAAAAAAAAAAAAAAAAAAAA".into(),
            sub_id: Subject(ReferralId::from_bytes([7; 16])),
            toe: None,
            attested: None,
            said: (EventKind::Decided, body),
        }
    }

    #[test]
    fn an_event_is_one_member_under_its_uri() {
        let text = serde_json::to_string(&event()).unwrap();
        assert!(
            text.contains(r#""events":{"https://ecaf.example/events/decided":{"seen":3,"children":[1],"code":"assessment","#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<CaseEvent>(&text).unwrap(), event());
    }

    #[test]
    fn another_event_two_events_and_unknown_members_are_refused() {
        let text = serde_json::to_string(&event()).unwrap();
        let changed = [
            text.replace("events/decided", "events/accepted"),
            text.replace("events/decided", "events/rejected"),
            text.replace("https://ecaf.example/events/decided", "decided"),
            text.replace("}}}", r#"},"https://ecaf.example/events/read":{"seen":3}}}"#),
            text.replace(r#""seen":3"#, r#""seen":3,"name":"x""#),
            text.replace(r#""seen":3,"#, ""),
            text.replace(r#""seen":3"#, r#""seen":-3"#),
            text.replace(r#""children":[1]"#, r#""children":["c1"]"#),
        ];
        for changed in changed {
            assert_ne!(changed, text);
            assert!(serde_json::from_str::<CaseEvent>(&changed).is_err(), "{changed}");
        }
    }
}
