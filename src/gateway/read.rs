//! What parties may read: the state of a referral, its documents, its evidence, and certificates.
//!
//! Everything passes the visibility function. What may not be seen is answered like what never was.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::domain::case::EventKind;
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::{Organisation, Party};
use crate::domain::referral::Urgency;
use crate::domain::refusal::{Class, Culprit, Refusal, Rule, Violation};
use crate::domain::visibility::Part;
use crate::protocol::evidence::{Bundle, ErasedDocument, Withheld, unverified_claims};
use crate::protocol::tokens::{self, Event as _};
use crate::protocol::trust::Chain;
use crate::store::{DeliveryRow, Document, StoredToken, TokenKind, VersionRow};

use super::clocks::ClocksAnswer;
use super::contacts::{ChangedContacts, WayAnswer, of_authority};
use super::delivery_words::DeliveryAnswer;
use super::exchange::Exchange;
use super::known::{Event, Known};
use super::respond::AuthorityName;
use super::shown::{ErasedAnswer, EventView};
use super::trouble::Trouble;

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
    /// What the thread began with: `referral`, `notice`, `consultation` or `hand_over`.
    pub began_with: &'static str,
    /// The sending organisation; of a thread that an event began, the author of that.
    pub sender: String,
    /// The school that sent it, that asks, or that a notice is for.
    pub school: String,
    /// The accountable authority; in a consultation the one that is asked, in a hand-over the one that was
    /// told by other means.
    pub authority: AuthorityName,
    /// The newest version of the referral, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// `U0` to `U3`, of the newest version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub urgency: Option<&'static str>,
    /// When the exchange recorded the first version, or the event that began the thread: this time counts
    /// for every clock.
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
    /// The last position of its thread: what the author of the next event says to have seen.
    pub position: u32,
    /// The case of each child, in the order of the newest document: `undecided`, `told`, `decided`,
    /// `allocated` or `closed`. One entry for the matter of a referral about no child.
    pub children: Vec<&'static str>,
    /// Whether it is about no child.
    pub about_no_child: bool,
    /// The authority that is asked to take it over, while that is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer_proposed_to: Option<AuthorityName>,
    /// Whether authorities disagree about who is responsible; `authority` acts meanwhile.
    pub disputed: bool,
    /// Whether it was said to be about the wrong child or to the wrong recipient: nothing else is
    /// shown any more.
    pub misidentified: bool,
    /// Where the clocks stand; for the school, the holder and one that is asked to take it over.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub clocks: Option<ClocksAnswer>,
    /// Urgent, nobody is reading it there now, and no call is recorded: what to do, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unattended: Option<String>,
    /// What school and holder said last of their contacts, and whether the other side has confirmed it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed_contacts: Vec<ChangedContacts>,
    /// Every verified contact of the accountable authority, as of the directory in use.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<WayAnswer>,
    /// What was said about it, as far as this party may see it, in the order in which it was recorded.
    pub events: Vec<EventView>,
}

/// What a token is our record of, if it is one.
pub(super) fn recorded_by(token: &StoredToken) -> Option<Digest> {
    let claims = unverified_claims(&token.token.jws)?;
    claims["events"][tokens::Recorded::URI]["event_sha256"].as_str()?.parse().ok()
}

/// Whether a token is another authority's business: a note to it, or its receipt.
pub(super) fn concerns_another(token: &StoredToken, viewer: &Party) -> bool {
    let claims = unverified_claims(&token.token.jws).unwrap_or_default();
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
        let verified = self.directory.last_good();
        let directory = verified.as_ref().map(|held| &**held.directory());
        let reading = match all {
            true => Some(self.reading(&visible, now).await?),
            false => None,
        };
        let clocks = reading.as_ref();
        let clocks = clocks.map(|reading| ClocksAnswer::of(reading, verified.as_deref(), now));
        let holder = visible.case.holder();
        let called = visible.events.iter().any(|e| e.said.kind() == EventKind::CallRecorded);
        let unattended = reading.as_ref().and_then(|reading| reading.unattended);
        let unattended = unattended.and_then(|found| self.unattended(found.authority, now));
        let is_mine =
            |d: &&DeliveryRow| all || viewer.organisation == Organisation::Authority(d.authority);
        let deliveries = timeline.deliveries.iter().filter(is_mine).map(|d| {
            let passed_on = visible.case.former_holders().any(|code| code == d.authority);
            let desk = visible.case.desk(d.authority).filter(|_| !passed_on);
            // A recorded call ends "nobody is reading it": the holder's, by the clocks; that of another
            // authority as soon as anybody rang.
            let rung = match &reading {
                Some(reading) if d.authority == holder => reading.unattended.is_none(),
                _ => called,
            };
            self.delivery_answer(d, desk, rung, now)
        });
        let (first, last) = (timeline.versions.first(), timeline.versions.last());
        let mut also_ring = Vec::new();
        if let Some(last) = last {
            let accepted = self.store.token(id, last.accepted_sha256).await?;
            also_ring = self.also_ring(&accepted.ok_or_else(nothing_here)?.token.jws);
        }
        let also_ring = also_ring.into_iter().map(|v| v.detail);
        let urgency = |last: &VersionRow| {
            Urgency::ALL.get(usize::from(last.urgency)).copied().unwrap_or(Urgency::U0)
        };
        let began = visible.events.first().map(|event| event.stored.recorded_at);
        let began = first.map(|first| first.recorded_at).or(began).ok_or_else(nothing_here)?;
        Ok(StateAnswer {
            referral_id: id.to_string(),
            began_with: visible.case.opening().as_str(),
            sender: timeline.sender.to_string(),
            school: visible.sender.organisation.to_string(),
            authority: self.authority_name(visible.case.holder()),
            version: last.map(|last| last.version),
            urgency: last.map(|last| urgency(last).as_str()),
            recorded_at: began.to_string(),
            documents: timeline.versions.iter().map(|v| v.payload_sha256.to_string()).collect(),
            erased: timeline.versions.iter().filter_map(ErasedAnswer::of).collect(),
            also_ring: also_ring.filter(|_| all).collect(),
            deliveries: deliveries.collect(),
            position: timeline.head.position,
            children: visible.case.children().iter().map(|c| c.as_str()).collect(),
            about_no_child: visible.case.is_about_no_child(),
            transfer_proposed_to: visible
                .case
                .proposal()
                .map(|open| self.authority_name(open.to))
                .filter(|_| all),
            disputed: visible.case.is_disputed(),
            misidentified: visible.case.is_misidentified(),
            clocks,
            unattended,
            changed_contacts: visible.changed_contacts(viewer),
            contacts: directory.map(|d| of_authority(d, holder, now)).unwrap_or_default(),
            events: visible.shown_to(viewer).map(|e| EventView::of(e, &visible)).collect(),
        })
    }

    /// The exact bytes of one document, a referral's or an event's; [`ERASED`] to those who might have read it.
    pub async fn document(
        &self,
        id: ReferralId,
        sha256: Digest,
        viewer: &Party,
    ) -> Result<bytes::Bytes, Trouble> {
        let visible = self.visible(id, viewer, Part::Timeline).await?;
        let event = visible.events.iter().find(|e| e.said.body().detail_sha256 == Some(sha256));
        let may_read = match event {
            Some(event) => visible.shown_to(viewer).any(|shown| shown.digest() == event.digest()),
            None => visible.allows(viewer, Part::Document),
        };
        if !may_read {
            return Err(nothing_here());
        }
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
        let versions = visible.thread.versions.iter().map(|v| (v.payload_sha256, v.erased));
        let details = visible.shown_to(viewer).filter_map(|e| e.stored.detail);
        let documents = versions.chain(details.map(|d| (d.sha256, d.erased)));
        let erased = documents.filter_map(|(sha256, erased)| Some((sha256, erased?)));
        bundle.erased.extend(erased.map(|(sha256, erasure)| ErasedDocument::of(sha256, erasure)));
        let mut crls = BTreeSet::new();
        // Events that are not for this reader, and the receipts of other authorities; the records of
        // both go with them.
        let shown: BTreeSet<Digest> = visible.shown_to(viewer).map(Event::digest).collect();
        let events = visible.events.iter().map(Event::digest);
        let mut others: BTreeSet<Digest> = events.filter(|e| !shown.contains(e)).collect();
        let timeline = self.store.timeline(id).await?.ok_or_else(nothing_here)?;
        for row in &timeline.tokens {
            let token = self.store.token(id, row.sha256).await?.ok_or_else(nothing_here)?;
            let is_event = row.kind == TokenKind::Event;
            let hidden = match is_event {
                true => others.contains(&row.sha256),
                false => {
                    recorded_by(&token).is_some_and(|of| others.contains(&of))
                        || (!all && concerns_another(&token, viewer))
                }
            };
            if hidden {
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
}
