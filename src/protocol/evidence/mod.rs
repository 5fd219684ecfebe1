//! Evidence bundles: the tokens of one referral with the certificates and revocation lists that
//! they need, checked offline against the scheme's root, years later.
//!
//! Every signature is judged at the time at which a gateway recorded it. A bundle proves what its
//! tokens say and that they belong together; it does not prove that nothing was left out.

mod links;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use crate::domain::case::Author;
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::{Party, Role, TrustDomain};
use crate::domain::refusal::{Class, Refusal, Rule, Violation};
use crate::domain::retention::{Erasure, ErasureReason};
use crate::domain::time::Timestamp;
use crate::protocol::hash::sha256;
use crate::protocol::jws::{self, Unverified, Verified};
use crate::protocol::tokens::{
    self, Accepted, CaseEvent, Delivered, DispatchNote, Event, Recorded, SET_TYPE, SecurityEvent,
    Submission,
};
use crate::protocol::trust::{Chain, Purpose, Revocation, TrustStore};

/// The bundle is not readable at all.
pub const UNREADABLE: Rule = Rule {
    id: "evidence.unreadable",
    title: "this is not an evidence bundle",
    action: "Give the file that `ecaf submit` or `ecaf status` stored, unchanged.",
};
/// A token refers to something that is not in the bundle.
pub const INCOMPLETE: Rule = Rule {
    id: "evidence.incomplete",
    title: "a token refers to another one, or to a certificate, that is not in the bundle",
    action: "Ask the gateway for the whole evidence of this referral again.",
};
/// A party said something that is not for it to say.
pub const WRONG_ROLE: Rule = Rule {
    id: "evidence.wrong-role",
    title: "a token was signed by a party that may not make this statement",
    action: "Do not rely on this bundle; tell the scheme's operator.",
};

/// A bundle as it stands in a file or an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// The referral.
    #[serde(with = "crate::protocol::tokens::text")]
    pub referral_id: ReferralId,
    /// Compact tokens, in the order in which they were recorded.
    pub tokens: Vec<String>,
    /// Chains of the signers, leaf first, each certificate in base64.
    pub certificates: Vec<Vec<String>>,
    /// Revocation lists in base64.
    pub crls: Vec<String>,
    /// Documents, base64url; may be empty, and is after erasure.
    #[serde(default)]
    pub documents: Vec<String>,
    /// Places in the referral's order whose tokens concern other parties and are not shown to the
    /// reader. The digest keeps the chain whole and says nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<Withheld>,
    /// Documents that whoever gave the bundle can no longer read. Their word, not a proof: what the
    /// tokens prove does not depend on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub erased: Vec<ErasedDocument>,
}

/// A document that is erased where the bundle comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErasedDocument {
    /// Its digest, which a submission names.
    #[serde(with = "crate::protocol::tokens::text")]
    pub sha256: Digest,
    /// When it was erased.
    #[serde(with = "crate::protocol::tokens::text")]
    pub erased_at: Timestamp,
    /// `retention`, `misidentified` or `key_retired`.
    pub reason: String,
}

impl ErasedDocument {
    /// The note of one document.
    pub fn of(sha256: Digest, erasure: Erasure) -> Self {
        Self { sha256, erased_at: erasure.at, reason: erasure.why.as_str().into() }
    }

    /// For a person.
    pub fn words(&self) -> String {
        let date = self.erased_at.utc_date();
        match ErasureReason::from_name(&self.reason) {
            Some(why) => Erasure { at: self.erased_at, why }.to_string(),
            None => format!("erased ({date})"),
        }
    }
}

/// A token that is not shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withheld {
    /// Its position.
    pub position: u64,
    /// Its digest.
    #[serde(with = "crate::protocol::tokens::text")]
    pub sha256: Digest,
}

/// One statement of a bundle, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Who signed it.
    pub by: Party,
    /// When the exchange recorded it; for a dispatch note, when the referral was recorded.
    pub at: Timestamp,
    /// False where `at` is the signer's own word: an authority's receipt in its own export, which
    /// no gateway has recorded yet.
    pub recorded: bool,
    /// What it says.
    pub says: Says,
    /// What was known of the signer's certificate.
    pub revocation: Revocation,
}

/// What a statement says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the tokens' own documentation says it")]
pub enum Says {
    Submitted(Submission),
    Accepted(Accepted),
    Dispatched(DispatchNote, Party),
    Delivered(Delivered),
    Recorded(Recorded),
    Said(Box<CaseEvent>),
}

/// A bundle in which everything verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The referral.
    pub referral_id: ReferralId,
    /// The statements, in the order of the bundle.
    pub statements: Vec<Statement>,
    /// For each document in the bundle: its digest, which a submission or an event names.
    pub documents: Vec<Digest>,
    /// How many places in the referral's order are not shown to the reader.
    pub withheld: usize,
}

impl Bundle {
    /// An empty bundle about a referral.
    pub fn new(referral_id: ReferralId) -> Self {
        Self {
            referral_id,
            tokens: Vec::new(),
            certificates: Vec::new(),
            crls: Vec::new(),
            documents: Vec::new(),
            withheld: Vec::new(),
            erased: Vec::new(),
        }
    }

    /// Reads a bundle.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        // serde would read a list of the members' values too.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(refuse(UNREADABLE));
        }
        serde_json::from_slice(bytes).map_err(|_| refuse(UNREADABLE))
    }

    /// The revocation lists, as DER.
    pub fn crls(&self) -> Result<Vec<Vec<u8>>, Refusal> {
        self.crls.iter().map(|c| STANDARD.decode(c).map_err(|_| refuse(UNREADABLE))).collect()
    }

    /// The issuing certificates of the chains, each once: to be checked under the reader's root.
    pub fn issuing(&self) -> Result<Vec<CertificateDer<'static>>, Refusal> {
        let mut all = Vec::new();
        for chain in self.chains()?.into_values() {
            for certificate in chain.certificates().iter().skip(1).take(1) {
                if !all.contains(certificate) {
                    all.push(certificate.clone());
                }
            }
        }
        Ok(all)
    }

    /// The trust domain that the first token's issuer claims; a starting point, not a proof.
    pub fn claimed_domain(&self) -> Option<TrustDomain> {
        let claims = unverified_claims(self.tokens.first()?)?;
        claims["iss"].as_str()?.parse().ok().map(|party: Party| party.trust_domain)
    }

    /// Adds a chain, in the bundle's form.
    pub fn push_chain(&mut self, chain: &Chain) {
        let texts: Vec<_> = chain.certificates().iter().map(|c| STANDARD.encode(c)).collect();
        if !self.certificates.contains(&texts) {
            self.certificates.push(texts);
        }
    }

    fn chains(&self) -> Result<BTreeMap<Digest, Chain>, Refusal> {
        let mut chains = BTreeMap::new();
        for texts in &self.certificates {
            let ders = texts.iter().map(|t| STANDARD.decode(t).map(Into::into));
            let ders = ders.collect::<Result<_, _>>().map_err(|_| refuse(UNREADABLE))?;
            let chain = Chain::new(ders).ok_or_else(|| refuse(UNREADABLE))?;
            chains.insert(chain.x5t(), chain);
        }
        Ok(chains)
    }

    /// Verifies every token, and that they belong to one another and to the documents. `trust`
    /// must hold the scheme's root and the revocation lists.
    pub fn verify(&self, trust: &TrustStore, scheme: &TrustDomain) -> Result<Proven, Refusal> {
        // Nothing said is nothing proved: an emptied file must not pass for a receipt.
        if self.tokens.is_empty() {
            return Err(refuse(INCOMPLETE));
        }
        let chains = self.chains()?;
        let tokens =
            self.tokens.iter().map(|text| Read::new(text)).collect::<Result<Vec<_>, _>>()?;
        let mut statements = Vec::with_capacity(tokens.len());
        for token in &tokens {
            let (at, recorded) = token.recorded_at(&tokens)?;
            let x5t = Unverified::parse(token.text)?.x5t();
            let chain = chains.get(&x5t).ok_or_else(|| refuse(INCOMPLETE))?;
            let signer =
                trust.verify(chain, Purpose::Signing, at).map_err(|refusal| refuse(refusal.0))?;
            let typ = token.kind.typ();
            let verified = Unverified::parse(token.text)?.verify(typ, &signer)?;
            let (says, about) = token.kind.says(&verified, scheme, self.referral_id)?;
            if about != self.referral_id {
                return Err(tokens::mismatch("sub_id"));
            }
            let by = signer.party().clone();
            let revocation = signer.revocation();
            statements.push(Statement { by, at, recorded, says, revocation });
        }
        // A bundle that proves no beginning proves nothing.
        let begins = |statement: &Statement| match &statement.says {
            Says::Accepted(_) => true,
            Says::Said(event) => event.kind().opens().is_some(),
            _ => false,
        };
        if !statements.iter().any(begins) {
            return Err(refuse(INCOMPLETE));
        }
        links::check(&statements, &tokens)?;
        chained(&statements, &tokens, &self.withheld)?;
        let documents = self.documents(&statements)?;
        let withheld = self.withheld.len();
        Ok(Proven { referral_id: self.referral_id, statements, documents, withheld })
    }

    fn documents(&self, statements: &[Statement]) -> Result<Vec<Digest>, Refusal> {
        let named = |digest: &Digest| {
            statements.iter().any(|s| match &s.says {
                Says::Submitted(sub) => sub.payload_sha256 == *digest,
                Says::Said(event) => event.body().detail_sha256 == Some(*digest),
                _ => false,
            })
        };
        let mut digests = Vec::new();
        for text in &self.documents {
            let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| refuse(UNREADABLE))?;
            let digest = sha256(&bytes);
            if !named(&digest) {
                return Err(tokens::mismatch("a document and payload_sha256"));
            }
            digests.push(digest);
        }
        Ok(digests)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Submission,
    Attested,
    Accepted,
    Dispatch,
    Delivered,
    Recorded,
    Said,
}

/// A token whose claims were read without believing them, to find what it refers to.
struct Read<'a> {
    text: &'a str,
    digest: Digest,
    kind: Kind,
    claims: serde_json::Value,
}

impl<'a> Read<'a> {
    fn new(text: &'a str) -> Result<Self, Refusal> {
        let token = Unverified::parse(text)?;
        let claims = token.peek::<serde_json::Value>().ok_or_else(|| refuse(UNREADABLE))?;
        let event = claims.get("events").and_then(|e| e.as_object()?.keys().next().cloned());
        let kind = match (token.typ(), event.as_deref()) {
            (tokens::SUBMISSION_TYPE, None) => Kind::Submission,
            (tokens::ATTESTED_TYPE, None) => Kind::Attested,
            (SET_TYPE, Some(Accepted::URI)) => Kind::Accepted,
            (SET_TYPE, Some(DispatchNote::URI)) => Kind::Dispatch,
            (SET_TYPE, Some(Delivered::URI)) => Kind::Delivered,
            (SET_TYPE, Some(Recorded::URI)) => Kind::Recorded,
            (SET_TYPE, Some(uri)) if CaseEvent::is_named(uri) => Kind::Said,
            _ => return Err(refuse(UNREADABLE)),
        };
        Ok(Self { text, digest: sha256(text.as_bytes()), kind, claims })
    }

    fn event_text(&self, member: &str) -> Option<&str> {
        self.claims.get("events")?.as_object()?.values().next()?.get(member)?.as_str()
    }

    /// What it says, if it is a dispatch note.
    fn note(&self) -> Option<DispatchNote> {
        let claims: SecurityEvent<DispatchNote> = match self.kind {
            Kind::Dispatch => serde_json::from_value(self.claims.clone()).ok()?,
            _ => return None,
        };
        Some(claims.event)
    }

    fn event_digest(&self, member: &str) -> Option<Digest> {
        self.event_text(member)?.parse().ok()
    }

    /// When a gateway recorded this token: its own word for gateway tokens, otherwise the word of
    /// the gateway's token that names it; for an authority's receipt that no token in the bundle
    /// names, the authority's own word, and `false`.
    fn recorded_at(&self, all: &[Read]) -> Result<(Timestamp, bool), Refusal> {
        let time = |token: &Read, member| token.event_text(member)?.parse().ok();
        let named_by = |kind: Kind, member: &str| {
            let names = |t: &&Read| t.kind == kind && t.event_digest(member) == Some(self.digest);
            all.iter().find(names)
        };
        let at = match self.kind {
            Kind::Accepted | Kind::Recorded => time(self, "recorded_at"),
            Kind::Dispatch => self.note().map(|note| note.judged_at()),
            Kind::Submission | Kind::Attested => {
                named_by(Kind::Accepted, "submission_sha256").and_then(|t| time(t, "recorded_at"))
            }
            Kind::Delivered => match named_by(Kind::Recorded, "event_sha256") {
                Some(token) => time(token, "recorded_at"),
                None => return time(self, "stored_at").map(|t| (t, false)).ok_or_else(incomplete),
            },
            Kind::Said => match named_by(Kind::Recorded, "event_sha256") {
                Some(record) => time(record, "recorded_at"),
                // A proposal as the authority got it that was asked: its note says when it was recorded.
                None => {
                    let notes = all.iter().filter_map(Read::note);
                    let mut transfers = notes.filter_map(|note| note.transfer);
                    let ours = transfers.find(|t| t.proposal_sha256 == self.digest);
                    ours.map(|transfer| transfer.proposed_at)
                }
            },
        };
        at.map(|t| (t, true)).ok_or_else(incomplete)
    }
}

fn incomplete() -> Refusal {
    refuse(INCOMPLETE)
}

impl Kind {
    fn typ(self) -> &'static str {
        match self {
            Kind::Submission => tokens::SUBMISSION_TYPE,
            Kind::Attested => tokens::ATTESTED_TYPE,
            _ => SET_TYPE,
        }
    }

    /// The typed claims and the referral they are about, which for an event has to be `id`; each
    /// statement is for one role to make.
    fn says(
        self,
        token: &Verified,
        scheme: &TrustDomain,
        id: ReferralId,
    ) -> Result<(Says, ReferralId), Refusal> {
        fn event<E: Event>(
            token: &Verified,
        ) -> Result<(E, Vec<tokens::Audience>, ReferralId), Refusal> {
            let set = SecurityEvent::<E>::read(token, None)?;
            let about = set.sub_id.ok_or_else(|| refuse(tokens::CLAIMS))?.0;
            Ok((set.event, set.aud, about))
        }
        let (said, about) = match self {
            Kind::Submission | Kind::Attested => {
                let submission = Submission::read(token, scheme)?;
                let about = submission.sub_id.0;
                return Ok((Says::Submitted(submission), about));
            }
            Kind::Accepted => event(token).map(|(e, _, id)| (Says::Accepted(e), id))?,
            Kind::Dispatch => {
                let (note, readers, id) = event(token)?;
                // To exactly one authority, and to nobody beside it.
                let [tokens::Audience::Party(authority)] = &readers[..] else {
                    return Err(refuse(tokens::CLAIMS));
                };
                (Says::Dispatched(note, authority.clone()), id)
            }
            Kind::Delivered => event(token).map(|(e, _, id)| (Says::Delivered(e), id))?,
            Kind::Recorded => event(token).map(|(e, _, id)| (Says::Recorded(e), id))?,
            Kind::Said => (Says::Said(Box::new(CaseEvent::read(token, scheme, id)?)), id),
        };
        let signer = token.signer().party().organisation.role();
        let may = match &said {
            Says::Delivered(_) => signer == Role::Authority,
            Says::Said(event) if event.kind().author() != Author::Gateway => {
                event.attested.is_some() || matches!(signer, Role::School | Role::Authority)
            }
            Says::Said(event) => signer == Role::Gateway && event.attested.is_none(),
            _ => signer == Role::Gateway,
        };
        if may { Ok((said, about)) } else { Err(refuse(WRONG_ROLE)) }
    }
}

/// The gateway's own tokens form one chain without a gap: each `recorded` names the one before.
fn chained(
    statements: &[Statement],
    tokens: &[Read],
    withheld: &[Withheld],
) -> Result<(), Refusal> {
    // What a withheld one names before it is not known; the first of all names nothing.
    let mut placed: Vec<(u64, Digest, Option<Option<Digest>>)> = Vec::new();
    for (statement, token) in statements.iter().zip(tokens) {
        match &statement.says {
            Says::Accepted(a) => placed.push((a.position, token.digest, Some(a.previous_sha256))),
            Says::Recorded(r) => placed.push((r.position, token.digest, Some(r.previous_sha256))),
            _ => {}
        }
    }
    placed.extend(withheld.iter().map(|w| (w.position, w.sha256, None)));
    placed.sort_unstable_by_key(|(position, ..)| *position);
    // The receipt of a later version, by itself.
    if let [(position, _, Some(Some(_)))] = placed[..]
        && position > 1
    {
        return Ok(());
    }
    let mut before: Option<(u64, Digest)> = None;
    for (position, digest, previous) in placed {
        let follows = match before {
            None => position == 1 && previous.is_none_or(|p| p.is_none()),
            Some((last, at)) => position == last + 1 && previous.is_none_or(|p| p == Some(at)),
        };
        if !follows {
            return Err(refuse(INCOMPLETE));
        }
        before = Some((position, digest));
    }
    Ok(())
}

fn refuse(rule: Rule) -> Refusal {
    Refusal::new(Class::Invalid, Violation::whole(rule))
}

/// Reads only the claims of a token, for display; nothing is verified.
pub fn unverified_claims(text: &str) -> Option<serde_json::Value> {
    jws::Unverified::parse(text).ok()?.peek()
}
