//! What parties may read: the state of a referral, its documents, its evidence, and certificates.
//!
//! Everything passes the visibility function. What may not be seen is answered like what never was.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::domain::delivery::State;
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::{DfeCode, Organisation, Party};
use crate::domain::referral::{RequestType, Urgency};
use crate::domain::refusal::{Class, Culprit, Refusal, Rule, Violation};
use crate::domain::time::Timestamp;
use crate::domain::visibility::{Involved, Part, may_see};
use crate::protocol::evidence::{Bundle, ErasedDocument, Withheld, unverified_claims};
use crate::protocol::tokens::{Event, Recorded};
use crate::protocol::trust::Chain;
use crate::store::{DeliveryRow, Document, StoredToken, Timeline, VersionRow};

use super::exchange::Exchange;
use super::respond::AuthorityName;
use super::trouble::{Fault, Trouble};

/// Nothing that this party may see.
pub const NOTHING_HERE: Rule = Rule {
    id: "referral.not-found",
    title: "there is nothing here that this certificate may see",
    action: "Check the id; use the certificate of a party to this referral.",
};

/// A document that was here and is erased.
pub const ERASED: Rule = Rule {
    id: "referral.document-erased",
    title: "this document is erased here; its receipts and evidence are kept",
    action: "Read the copy that the school or the authority keeps in its own records.",
};

/// The state of a referral as one party may see it.
#[derive(Debug, Clone, Serialize)]
pub struct StateAnswer {
    /// The referral.
    pub referral_id: String,
    /// The sending organisation.
    pub sender: String,
    /// The accountable authority.
    pub authority: AuthorityName,
    /// The newest version.
    pub version: u32,
    /// `U0` to `U3`.
    pub urgency: &'static str,
    /// When the exchange recorded the first version: this time counts for every clock.
    pub recorded_at: String,
    /// Digests of the documents, oldest version first.
    pub documents: Vec<String>,
    /// Those of them that are erased here, with when and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub erased: Vec<ErasedAnswer>,
    /// Deliveries that this party may see.
    pub deliveries: Vec<DeliveryAnswer>,
    /// Authorities that somebody must ring, because the exchange cannot reach them.
    pub also_ring: Vec<String>,
}

/// A document that can no longer be read here.
#[derive(Debug, Clone, Serialize)]
pub struct ErasedAnswer {
    /// Its digest.
    pub sha256: String,
    /// When it was erased.
    pub erased_at: String,
    /// `retention`, `misidentified` or `key_retired`.
    pub reason: &'static str,
    /// The same for a person.
    pub words: String,
}

impl ErasedAnswer {
    fn of(version: &VersionRow) -> Option<Self> {
        version.erased.map(|erasure| Self {
            sha256: version.payload_sha256.to_string(),
            erased_at: erasure.at.to_string(),
            reason: erasure.why.as_str(),
            words: format!("Version {}: {}", version.version, erasure.why.words()),
        })
    }
}

/// One delivery, in words that promise no more than is proved.
#[derive(Debug, Clone, Serialize)]
pub struct DeliveryAnswer {
    /// To whom, and whom to ring there now.
    pub authority: AuthorityName,
    /// `accountable`, `linked` or `case_holding`.
    pub purpose: String,
    /// `held`, `delayed`, `stored`, `undeliverable` or `by_hand`.
    pub state: &'static str,
    /// The same for a person.
    pub words: String,
    /// Attempts so far.
    pub attempts: u32,
    /// Code of the reason for which the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it will be tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<String>,
    /// When the exchange recorded the authority's receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored_at: Option<String>,
}

/// Whether a token is another authority's business: a note to it, its receipt, or the record of one
/// of `theirs`.
fn concerns_another(token: &StoredToken, viewer: &Party, theirs: &BTreeSet<Digest>) -> bool {
    let claims = unverified_claims(&token.token.jws).unwrap_or_default();
    let recorded = claims["events"][Recorded::URI]["event_sha256"].as_str();
    if let Some(digest) = recorded {
        return digest.parse().is_ok_and(|digest| theirs.contains(&digest));
    }
    let another = |party: &str| {
        let organisation = party.parse::<Party>().map(|p| p.organisation);
        matches!(organisation, Ok(o @ Organisation::Authority(_)) if o != viewer.organisation)
    };
    let audience = claims["aud"].as_array().into_iter().flatten();
    let mut named = audience.filter_map(|a| a.as_str()).chain(claims["iss"].as_str());
    named.any(another)
}

pub(super) fn nothing_here() -> Trouble {
    Refusal::new(Class::NotFound, Violation::whole(NOTHING_HERE)).into()
}

impl Exchange {
    /// The state of a referral.
    pub async fn state(&self, id: ReferralId, viewer: &Party) -> Result<StateAnswer, Trouble> {
        let visible = self.visible(id, viewer, Part::Timeline).await?;
        let all = visible.allows(viewer, Part::OthersDeliveries);
        let now = self.now();
        let timeline = &visible.thread;
        let is_mine =
            |d: &&DeliveryRow| all || viewer.organisation == Organisation::Authority(d.authority);
        let deliveries =
            timeline.deliveries.iter().filter(is_mine).map(|d| self.delivery_answer(d, now));
        let (first, last) = (timeline.versions.first(), timeline.versions.last());
        let (Some(first), Some(last)) = (first, last) else { return Err(nothing_here()) };
        let accepted =
            self.store.token(id, last.accepted_sha256).await?.ok_or_else(nothing_here)?;
        let also_ring = self.also_ring(&accepted.token.jws).into_iter().map(|v| v.detail);
        let urgency = Urgency::ALL.get(usize::from(last.urgency)).copied().unwrap_or(Urgency::U0);
        Ok(StateAnswer {
            referral_id: id.to_string(),
            sender: timeline.sender.to_string(),
            authority: self.authority_name(visible.case.holder()),
            version: last.version,
            urgency: urgency.as_str(),
            recorded_at: first.recorded_at.to_string(),
            documents: timeline.versions.iter().map(|v| v.payload_sha256.to_string()).collect(),
            erased: timeline.versions.iter().filter_map(ErasedAnswer::of).collect(),
            also_ring: also_ring.filter(|_| all).collect(),
            deliveries: deliveries.collect(),
        })
    }

    /// The exact bytes of one document; [`ERASED`] to those who might have read it.
    pub async fn document(
        &self,
        id: ReferralId,
        sha256: Digest,
        viewer: &Party,
    ) -> Result<bytes::Bytes, Trouble> {
        self.visible(id, viewer, Part::Document).await?;
        match self.store.document(id, sha256).await?.ok_or_else(nothing_here)? {
            Document::Kept(bytes) => Ok(bytes),
            Document::Erased(erasure) => {
                let violation = Violation::whole(ERASED).with_detail(erasure.to_string());
                Err(Refusal::new(Class::Gone, violation).blame(Culprit::Gateway).into())
            }
        }
    }

    /// Everything needed to prove offline what happened, without the document itself.
    pub async fn evidence(&self, id: ReferralId, viewer: &Party) -> Result<Bundle, Trouble> {
        let visible = self.visible(id, viewer, Part::Evidence).await?;
        let all = visible.allows(viewer, Part::OthersDeliveries);
        let mut bundle = Bundle::new(id);
        let erased = visible.timeline.versions.iter();
        bundle
            .erased
            .extend(erased.filter_map(|v| Some(ErasedDocument::of(v.payload_sha256, v.erased?))));
        let mut crls = BTreeSet::new();
        // The receipts of other authorities, whose records are theirs too.
        let mut others = BTreeSet::new();
        for row in &visible.timeline.tokens {
            let token = self.store.token(id, row.sha256).await?.ok_or_else(nothing_here)?;
            if !all && concerns_another(&token, viewer, &others) {
                others.insert(row.sha256);
                if let Some(position) = row.position {
                    bundle
                        .withheld
                        .push(Withheld { position: position.into(), sha256: row.sha256 });
                }
                continue;
            }
            if let Some(chain) = self.store.chain(token.token.x5t).await?.and_then(Chain::new) {
                bundle.push_chain(&chain);
            }
            crls.extend(token.token.crl_digests.iter().copied());
            bundle.tokens.push(token.token.jws);
        }
        for digest in crls {
            if let Some(der) = self.store.crl(digest).await? {
                bundle.crls.push(STANDARD.encode(der));
            }
        }
        Ok(bundle)
    }

    /// A chain that this gateway has seen, in the form of `Ecaf-Certificates`. Certificates name
    /// organisations and opaque ids only, so any party may ask.
    pub async fn certificates(&self, x5t: Digest) -> Result<String, Trouble> {
        let own = self.signing.load();
        if own.x5t() == x5t {
            return Ok(own.chain().to_header());
        }
        let chain = self.store.chain(x5t).await?.and_then(Chain::new);
        Ok(chain.ok_or_else(nothing_here)?.to_header())
    }

    /// The referral, if `viewer` may see this part of it.
    async fn visible(&self, id: ReferralId, viewer: &Party, part: Part) -> Result<Known, Trouble> {
        let known = self.known(id).await?.ok_or_else(nothing_here)?;
        if known.allows(viewer, part) { Ok(known) } else { Err(nothing_here()) }
    }

    fn delivery_answer(&self, row: &DeliveryRow, now: Timestamp) -> DeliveryAnswer {
        let authority = self.authority_name(row.authority);
        let name = &authority.name;
        let late = row.state.is_delayed(row.recorded_at, now);
        let (state, words) = match row.state {
            State::Delivered => ("stored", self.stored_words(row, name, now)),
            State::Undeliverable => (
                "undeliverable",
                format!(
                    "The exchange could not bring it to {name}: ring them now. {}",
                    authority.help
                ),
            ),
            State::ByHand => ("by_hand", format!("Handed over to {name} outside the exchange")),
            State::Held | State::Leased if late => (
                "delayed",
                format!("Held by the exchange; {name} still does not have it. {}", authority.help),
            ),
            State::Held | State::Leased => {
                ("held", format!("Held by the exchange; {name} does not have it yet"))
            }
        };
        let delivered = row.state == State::Delivered;
        DeliveryAnswer {
            purpose: row.purpose.clone(),
            state,
            words,
            attempts: row.attempts,
            reason: row.reason.clone().filter(|_| !delivered),
            next_attempt_at: row.due_at.map(|t| t.to_string()),
            stored_at: row.settled_at.filter(|_| delivered).map(|t| t.to_string()),
            authority,
        }
    }

    /// Stored at an inbox that nobody reads now: for an urgent referral the school is told so at
    /// once, with the number to ring.
    fn stored_words(&self, row: &DeliveryRow, name: &str, now: Timestamp) -> String {
        let urgent = Urgency::ALL.get(usize::from(row.urgency)).is_some_and(|u| u.is_urgent());
        let directory = self.directory.last_good().filter(|_| urgent);
        let unattended = directory.and_then(|d| d.directory().unattended_text(row.authority, now));
        match unattended {
            Some(nobody) => {
                let ring = self.authority_name(row.authority).help;
                format!("Stored at {name}, and {nobody}: ring now. {ring}")
            }
            None => format!("Stored at {name}; nobody there need have opened it yet"),
        }
    }
}
