//! The whole way of a submission: every step in its order, then one transaction, then the receipt.

use std::sync::Arc;

use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::{DfeCode, Organisation};
use crate::domain::refusal::{Class, Refusal, Rule, Violation};
use crate::domain::time::Timestamp;
use crate::http::Request;
use crate::protocol::evidence::unverified_claims;
use crate::protocol::tokens::{Accepted, Event, says_urgent};
use crate::protocol::trust::{Chain, TrustStore};
use crate::store::{AcceptOutcome, Seen, StoreFault, StoredAcceptance};

use super::authenticate::Authentic;
use super::authorise::Authorised;
use super::exchange::Exchange;
use super::note::Noted;
use super::receive::Received;
use super::route::{Routed, also_ring_advice};
use super::trouble::Trouble;
use super::validate::Validated;

/// The same referral and version stands for another document already.
pub const OTHER_BYTES: Rule = Rule {
    id: "submission.other-bytes",
    title: "this version of this referral was accepted before with another document",
    action: "Send the very bytes of the first time, or start a new referral with a new id.",
};
/// The id cannot be used by this sender. Says nothing about whose it is, or whether it is used.
pub const ID_UNUSABLE: Rule = Rule {
    id: "submission.id-unusable",
    title: "this referral id cannot be used",
    action: "Start a new referral with a new random id.",
};
/// A version that does not follow.
pub const VERSION: Rule = Rule {
    id: "submission.version",
    title: "this version does not follow the one before",
    action: "Start a new referral with version 1 under a new id, or send the version that follows the newest, with its digest, to /versions.",
};

/// An accepted submission: the receipt, now or from before.
pub struct Receipt {
    /// The referral.
    pub referral_id: ReferralId,
    /// The `accepted` token.
    pub accepted: String,
    /// The submission that it names: the first one of this document, or this gateway's attestation.
    pub submission: String,
    /// The chains of the signers of both, where they are at hand; else the store has them.
    pub signers: Option<[Chain; 2]>,
    /// The accountable authority.
    pub authority: DfeCode,
    /// Whether it says that somebody must act today.
    pub urgent: bool,
    /// Whether it was accepted by this very request.
    pub new: bool,
    /// Advice and warnings, for a submission accepted now.
    pub advice: Vec<Violation>,
}

/// Takes a submission all the way, or says why not. Nothing is kept of a refused one.
pub async fn submit(exchange: &Exchange, request: &Request) -> Result<Receipt, Trouble> {
    let now = exchange.now();
    // One instant and one snapshot of trust data for all that follows: what is accepted as valid
    // is recorded as of the very moment at which it was.
    let trust = exchange.trust.store();
    let received = Received::take(request, &exchange.cache)?;
    let authentic = Authentic::verify(received, &trust, &exchange.cache, now)?;
    let id = authentic.referral_id;
    let accepted = submit_authentic(exchange, authentic, trust, now).await;
    accepted.map_err(|trouble| trouble.about(id))
}

async fn submit_authentic(
    exchange: &Exchange,
    authentic: Authentic,
    trust: Arc<TrustStore>,
    now: Timestamp,
) -> Result<Receipt, Trouble> {
    let (directory, _) = exchange.directory.usable(now)?;
    let authorised =
        Authorised::check(authentic, Arc::clone(directory.directory()), &exchange.name, now)?;
    let claim = Claim::of(&authorised.authentic);
    // A repetition that follows soon costs next to nothing, and no version after the first is new.
    let asked = claim.version != 1 || exchange.recent.has(claim.id);
    if asked && let Some(receipt) = claim.look_up(exchange).await? {
        return Ok(receipt);
    }
    match prepare(exchange, authorised, trust, now) {
        Ok(noted) => match commit(exchange, noted, claim.id).await? {
            Committed::Receipt(receipt) => Ok(receipt),
            // A first version is not signed on top of anything.
            Committed::HeadMoved => Err(StoreFault::Misuse.into()),
        },
        // A changed table, schema or certificate, or a key of ours that fails, takes no stored receipt
        // away.
        Err(trouble) if !asked => claim.look_up(exchange).await?.ok_or(trouble),
        Err(trouble) => Err(trouble),
    }
}

/// What a submission claims: its sender's referral and version, standing for one document.
pub(super) struct Claim {
    pub sender: Organisation,
    pub id: ReferralId,
    pub version: u32,
    pub payload: Digest,
}

impl Claim {
    pub fn of(authentic: &Authentic) -> Self {
        Self {
            sender: Organisation::School(authentic.received.school.clone()),
            id: authentic.referral_id,
            version: authentic.version,
            payload: authentic.received.payload_sha256,
        }
    }

    /// The stored receipt, if this very version was accepted before; `None` if nothing is known of it.
    /// Only a first version may be of a new referral.
    async fn look_up(&self, exchange: &Exchange) -> Result<Option<Receipt>, Trouble> {
        match self.seen(exchange).await? {
            Known::Receipt(receipt) => Ok(Some(receipt)),
            Known::Nothing if self.version == 1 => Ok(None),
            Known::Nothing | Known::Older => Err(invalid(VERSION)),
        }
    }

    /// What is known of the key, as far as its sender may know it.
    pub async fn seen(&self, exchange: &Exchange) -> Result<Known, Trouble> {
        match exchange.store.look_up(&self.sender, self.id, self.version).await? {
            Seen::Stored(stored) if stored.payload_sha256 == self.payload => {
                before(exchange, self.id, stored).await.map(Known::Receipt)
            }
            Seen::Stored(stored) => Err(other_bytes(stored)),
            Seen::Foreign => Err(conflict(ID_UNUSABLE)),
            Seen::OtherVersions { .. } => Ok(Known::Older),
            Seen::Never => Ok(Known::Nothing),
        }
    }
}

/// What is known of a submission's key.
pub(super) enum Known {
    /// This very version was accepted before.
    Receipt(Receipt),
    /// Other versions of the sender's referral.
    Older,
    /// The id was never used.
    Nothing,
}

/// Everything that does not need the store.
fn prepare(
    exchange: &Exchange,
    authorised: Authorised,
    trust: Arc<TrustStore>,
    now: Timestamp,
) -> Result<Noted, Trouble> {
    let validated = Validated::check(authorised, &*exchange.entropy, now)?;
    let routed = Routed::decide(validated, &exchange.tables.load(), now)?;
    Ok(Noted::sign(routed, exchange, &exchange.desk(trust, now)?, None)?)
}

/// What became of a submission whose thread may have moved.
pub(super) enum Committed {
    /// There is a receipt.
    Receipt(Receipt),
    /// Sign again on top of the thread as it stands.
    HeadMoved,
}

pub(super) async fn commit(
    exchange: &Exchange,
    noted: Noted,
    id: ReferralId,
) -> Result<Committed, Trouble> {
    let advice = noted.routed.advice();
    let urgent = noted.routed.validated.checked.header().urgency.is_urgent();
    let authority = noted.acceptance.authority;
    let accepted = noted.acceptance.accepted.token.jws.clone();
    let submission = noted.acceptance.submission.token.jws.clone();
    // A crash before the commit: nothing is stored, nobody was told, the school sends again. A
    // crash after it: the school sends again and gets the stored receipt, byte for byte.
    match exchange.store.accept(noted.acceptance).await? {
        AcceptOutcome::Committed => {
            exchange.recent.add(id);
            exchange.new_deliveries.notify_one();
            exchange.new_tokens.notify_one();
            let signers = Some(noted.signers);
            let (referral_id, new) = (id, true);
            let receipt = Receipt {
                referral_id,
                accepted,
                submission,
                signers,
                authority,
                urgent,
                new,
                advice,
            };
            Ok(Committed::Receipt(receipt))
        }
        // A twin of this request, a moment ago or long before.
        AcceptOutcome::Already(stored) => {
            before(exchange, id, stored).await.map(Committed::Receipt)
        }
        AcceptOutcome::OtherBytes(stored) => Err(other_bytes(stored)),
        AcceptOutcome::Foreign => Err(conflict(ID_UNUSABLE)),
        AcceptOutcome::HeadMoved(_) => Ok(Committed::HeadMoved),
        AcceptOutcome::PreviousMismatch => Err(invalid(VERSION)),
    }
}

impl Exchange {
    /// The authorities that an `accepted` token of ours says must be rung too.
    pub(super) fn also_ring(&self, accepted: &str) -> Vec<Violation> {
        let claims = unverified_claims(accepted).unwrap_or_default();
        let codes = claims["events"][Accepted::URI]["also_ring"].as_array().cloned();
        let codes = codes.unwrap_or_default();
        let directory = self.directory.last_good();
        let (Some(directory), now) = (directory, self.now()) else { return Vec::new() };
        let codes = codes.iter().filter_map(|code| code.as_str()?.parse().ok());
        codes.map(|code| also_ring_advice(directory.directory(), code, now)).collect()
    }
}

async fn before(
    exchange: &Exchange,
    referral_id: ReferralId,
    stored: StoredAcceptance,
) -> Result<Receipt, Trouble> {
    exchange.recent.add(referral_id);
    let submission = exchange.store.token(referral_id, stored.submission_sha256).await?;
    let accepted = stored.accepted;
    let submission = submission.ok_or(StoreFault::Corrupt)?.token.jws;
    Ok(Receipt {
        referral_id,
        // Stored only after verification, so what it says may be believed.
        urgent: says_urgent(&submission),
        submission,
        signers: None,
        authority: stored.authority,
        new: false,
        advice: exchange.also_ring(&accepted),
        accepted,
    })
}

fn other_bytes(stored: StoredAcceptance) -> Trouble {
    conflict(OTHER_BYTES).ring(Some(stored.authority))
}

fn conflict(rule: Rule) -> Trouble {
    Refusal::new(Class::Conflict, Violation::whole(rule)).into()
}

pub(super) fn invalid(rule: Rule) -> Trouble {
    Refusal::new(Class::Invalid, Violation::at(rule, "/version")).into()
}
