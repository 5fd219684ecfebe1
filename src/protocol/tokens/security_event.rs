//! Security Event Tokens (RFC 8417): the envelope of every statement but the submission.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{AUDIENCE, claims, confirmed, refuse, text};
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::Party;
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;
use crate::effects::{KeyFault, Signer};
use crate::protocol::jws;

/// The `typ` of Security Event Tokens.
pub const SET_TYPE: &str = "secevent+jwt";

/// What one kind of event says: the body under its URI in `events`.
pub trait Event: Serialize + DeserializeOwned {
    /// The event's URI. The host is a placeholder until the scheme owns a domain.
    const URI: &'static str;
}

/// The subject of a token: the referral, as RFC 9493 `uri` identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject(pub ReferralId);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSubject<'a> {
    #[serde(borrow)]
    format: Cow<'a, str>,
    #[serde(borrow)]
    uri: Cow<'a, str>,
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WireSubject { format: "uri".into(), uri: self.0.urn().into() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = WireSubject::deserialize(deserializer)?;
        let id = ReferralId::from_urn(&wire.uri).filter(|_| wire.format == "uri");
        id.map(Self).ok_or_else(|| D::Error::custom("not a urn:uuid subject"))
    }
}

/// One statement by one issuer about one referral.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound = "E: Event")]
pub struct SecurityEvent<E: Event> {
    /// Who says it.
    #[serde(with = "text")]
    pub iss: Party,
    /// To whom; several parties may be meant.
    #[serde(with = "text::list")]
    pub aud: Vec<Audience>,
    /// When it was signed, in whole seconds since 1970.
    pub iat: i64,
    /// Unique among all tokens of the issuer.
    pub jti: String,
    /// The referral that it is about; absent only where the request named none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_id: Option<Subject>,
    /// What it says, under the event's URI, as the only member of `events`.
    #[serde(rename = "events", with = "single_event")]
    pub event: E,
}

/// A party or, as `spiffe://<trust domain>`, the whole scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// One party.
    Party(Party),
    /// Every party of the trust domain.
    Scheme(crate::domain::party::TrustDomain),
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Audience::Party(party) => party.fmt(f),
            Audience::Scheme(domain) => write!(f, "spiffe://{domain}"),
        }
    }
}

impl std::str::FromStr for Audience {
    type Err = crate::domain::party::NotAParty;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("spiffe://") {
            Some(domain) if !domain.contains('/') => domain.parse().map(Audience::Scheme),
            _ => text.parse().map(Audience::Party),
        }
    }
}

impl<E: Event> SecurityEvent<E> {
    /// Signs the statement with the key of the certificate `x5t`.
    pub fn sign(&self, signer: &dyn Signer, x5t: Digest) -> Result<String, KeyFault> {
        jws::sign(signer, SET_TYPE, x5t, self)
    }

    /// The claims of a verified token, for one reader: the issuer is who signed, and `reader`, if
    /// given, is among the audience.
    pub fn read(token: &jws::Verified, reader: Option<&Party>) -> Result<Self, Refusal> {
        claims(token, |c: &Self| &c.iss)?.meant_for(reader)
    }

    /// The same of claims that were read from `token` before it was verified, so that they are read once.
    pub fn confirm(self, token: &jws::Verified, reader: Option<&Party>) -> Result<Self, Refusal> {
        confirmed(self, token, |c: &Self| &c.iss)?.meant_for(reader)
    }

    fn meant_for(self, reader: Option<&Party>) -> Result<Self, Refusal> {
        let meant = |reader: &Party| {
            self.aud.iter().any(|a| match a {
                Audience::Party(party) => party == reader,
                Audience::Scheme(domain) => *domain == reader.trust_domain,
            })
        };
        match reader {
            Some(reader) if !meant(reader) => Err(refuse(AUDIENCE)),
            _ => Ok(self),
        }
    }

    /// When it was signed.
    pub fn issued_at(&self) -> Timestamp {
        Timestamp::from_seconds(self.iat)
    }
}

mod single_event {
    use super::{
        DeserializeOwned, Deserializer, Error, Event, MapAccess, PhantomData, SerializeMap,
        Serializer, Visitor, fmt,
    };

    pub fn serialize<E: Event, S: Serializer>(event: &E, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(E::URI, event)?;
        map.end()
    }

    struct Single<E>(PhantomData<E>);

    impl<'de, E: Event + DeserializeOwned> Visitor<'de> for Single<E> {
        type Value = E;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "exactly the event {}", E::URI)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<E, A::Error> {
            let uri: Option<String> = map.next_key()?;
            if uri.as_deref() != Some(E::URI) {
                return Err(A::Error::custom("another event than expected"));
            }
            let event = map.next_value()?;
            match map.next_key::<String>()? {
                None => Ok(event),
                Some(_) => Err(A::Error::custom("more than one event")),
            }
        }
    }

    pub fn deserialize<'de, E: Event, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<E, D::Error> {
        deserializer.deserialize_map(Single(PhantomData))
    }
}
