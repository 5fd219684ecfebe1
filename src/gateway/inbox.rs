//! The mailbox of authorities that open no endpoint: they claim what is for them under a lease, and post
//! their receipt, which is judged and settled exactly as the answer to a push.
//!
//! A lease only keeps two collectors from the same work. A receipt counts whoever has the lease by now:
//! the authority has the referral, and says so under its signature.

use std::pin::pin;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;

use super::courier::{Failure, safe_rule};
use super::exchange::Exchange;
use super::read::nothing_here;
use super::settle::{Stopped, Tried};
use super::trouble::Trouble;
use crate::domain::delivery::{RetryPolicy, State};
use crate::domain::directory::Connection;
use crate::domain::ids::Digest;
use crate::domain::party::{DfeCode, Organisation};
use crate::domain::refusal::{Class, Refusal, Rule, Violation};
use crate::http::Request;
use crate::protocol::hash::sha256;
use crate::protocol::mailbox::{
    self, Claim, Claimed, ClaimedDispatch, LONGEST_CLAIM, LeaseReference, MOST_CLAIMED, NotTaken,
    Proposal, Receipt,
};
use crate::protocol::message::json_body;
use crate::protocol::trust::Chain;
use crate::store::{DeliveryRow, Lease, LeaseRequest, LeasedDelivery, Settled, StoreFault};

/// The largest body of a receipt, in bytes: a token and a chain.
pub const LARGEST_RECEIPT: usize = 64 * 1_024;
/// A lease lasts as long as a collector needs for what one claim gives, with room to spare. Short, because
/// what a collector that died had claimed waits for it, and a receipt counts also after it.
const LEASE_MS: i64 = 30_000;
/// How often a claim that waits looks by itself: another gateway may hold the sequencer, whose bell is not
/// heard here, and what was put off falls due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// So often a receipt takes the lease from another that settles the same delivery.
const TURNS: usize = 8;

/// Only authorities have a mailbox, and only their machines empty it.
pub const NO_MAILBOX: Rule = Rule {
    id: "inbox.not-an-authority",
    title: "only an authority's own machine collects its referrals",
    action: "Connect with the tls certificate of the authority, not with that of a person or another party.",
};
/// The directory says that this authority receives in another way.
pub const NOT_COLLECTED: Rule = Rule {
    id: "inbox.not-collected",
    title: "by the directory this authority does not collect its referrals",
    action: "Wait for them at the endpoint in the directory, or have the operator change the directory to pull.",
};
/// The body is none of the mailbox's.
pub const FORM: Rule = Rule {
    id: "inbox.form",
    title: "the body is not one of the mailbox's requests",
    action: "Send the members that the protocol names, and the certificates of the signer, leaf first.",
};
/// It is settled already, in another way.
pub const SETTLED: Rule = Rule {
    id: mailbox::SETTLED,
    title: "this dispatch was settled before: with another receipt, or outside of the exchange",
    action: "Do nothing: it does not come again.",
};
/// The lease is another's by now, or nobody's.
pub const LEASE_OVER: Rule = Rule {
    id: mailbox::LEASE_OVER,
    title: "this lease has ended",
    action: "Do nothing: the dispatch comes again with another claim.",
};

/// Gives an authority what is for it, waiting for it if it likes.
pub async fn claim(
    exchange: &Exchange,
    retry: RetryPolicy,
    request: &Request,
) -> Result<Claimed, Trouble> {
    let authority = collector(request)?;
    let asked: Claim = body(request)?;
    let wait = Duration::from_secs(asked.wait_seconds.unwrap_or(0).min(LONGEST_CLAIM));
    let limit = asked.limit.unwrap_or(MOST_CLAIMED).min(MOST_CLAIMED);
    if limit == 0 {
        return Err(malformed());
    }
    let directory = exchange.directory.last_good();
    let directory = directory.as_ref().map(|d| d.directory());
    let entry = directory.and_then(|d| d.authority(authority, exchange.now()));
    if entry.is_none_or(|entry| entry.connection != Connection::Pull) {
        return Err(Refusal::new(Class::Conflict, Violation::whole(NOT_COLLECTED)).into());
    }
    let room = &exchange.waiting;
    let party = Organisation::Authority(authority);
    let place = (!wait.is_zero()).then(|| room.enter(&party)).flatten();
    let mut over = exchange.clock.sleep(wait);
    loop {
        // Before the look, so that nothing rings between the two.
        let mut bell = pin!(room.bell());
        bell.as_mut().enable();
        let dispatches = take(exchange, retry, authority, limit).await?;
        if !dispatches.is_empty() || place.is_none() || room.is_closed() {
            return Ok(Claimed { dispatches });
        }
        tokio::select! {
            biased;
            () = &mut over => return Ok(Claimed::default()),
            () = bell => {}
            () = exchange.clock.sleep(LOOK_EVERY) => {}
        }
    }
}

/// What is due, under leases. A crash after the commit, or an answer that is lost: the leases run out,
/// and it is given again.
async fn take(
    exchange: &Exchange,
    retry: RetryPolicy,
    authority: DfeCode,
    limit: u32,
) -> Result<Vec<ClaimedDispatch>, Trouble> {
    let now = exchange.now();
    // Read first: one that waits writes nothing while there is nothing.
    if exchange.store.next_due_of(authority).await?.is_none_or(|due| due > now) {
        return Ok(Vec::new());
    }
    let request = LeaseRequest {
        now,
        holder: holder(exchange),
        lease_ms: LEASE_MS,
        limit,
        excluded: Vec::new(),
        only: Some(authority),
    };
    let mut dispatches = Vec::new();
    for delivery in exchange.store.lease_deliveries(request).await? {
        // One that cannot be given keeps none of the others back.
        let given = match exchange.is_misidentified(&delivery).await {
            Ok(false) => {
                carried(&delivery).ok_or_else(|| Stopped::Fault(StoreFault::Corrupt.into()))
            }
            Ok(true) => Err(Stopped::Failed(Failure::Misidentified)),
            Err(fault) => Err(Stopped::Fault(fault)),
        };
        match given {
            Ok(dispatch) => {
                let (id, attempt) = (delivery.referral_id, delivery.lease.attempt);
                tracing::info!(referral = %id, %authority, attempt, "claimed");
                dispatches.push(dispatch);
            }
            Err(stopped) => {
                exchange.conclude(Tried::from(&delivery), Err(stopped), retry).await;
            }
        }
    }
    Ok(dispatches)
}

/// Exactly what a push carries.
fn carried(delivery: &LeasedDelivery) -> Option<ClaimedDispatch> {
    let chain = |x5t: Digest| {
        let seen = delivery.chains.iter().find(|chain| chain.x5t == x5t)?;
        Some(Chain::new(seen.certificates.to_vec())?.to_header())
    };
    let reference = LeaseReference {
        referral_id: delivery.referral_id,
        note_sha256: delivery.note.token.sha256,
        token: delivery.lease.token,
        attempt: delivery.lease.attempt,
        expires_at: delivery.lease.expires_at,
    };
    let proposal = match &delivery.cause {
        None => None,
        Some(cause) => Some(Proposal {
            certificates: chain(cause.event.token.x5t)?,
            token: cause.event.token.jws.clone(),
        }),
    };
    Some(ClaimedDispatch {
        lease: reference.to_text(),
        expires_at: delivery.lease.expires_at.to_string(),
        document: URL_SAFE_NO_PAD.encode(&delivery.document),
        certificates: chain(delivery.note.token.x5t)?,
        note: delivery.note.token.jws.clone(),
        submission_certificates: chain(delivery.submission.token.x5t)?,
        submission: delivery.submission.token.jws.clone(),
        accepted_certificates: chain(delivery.accepted.token.x5t)?,
        accepted: delivery.accepted.token.jws.clone(),
        proposal,
    })
}

/// Takes an authority's receipt. The same one again is answered alike.
pub async fn delivered(
    exchange: &Exchange,
    retry: RetryPolicy,
    request: &Request,
) -> Result<(), Trouble> {
    let authority = collector(request)?;
    let said: Receipt = body(request)?;
    let reference = said.lease.parse().map_err(|_| nothing_here())?;
    let chain = exchange.cache.presented(&said.certificates).ok();
    let chain = chain.filter(|chain| chain.certificates().len() > 1).ok_or_else(malformed)?;
    let digest = sha256(said.delivered.as_bytes());
    for _ in 0..TURNS {
        let row = row(exchange, authority, &reference).await?;
        if row.delivered_sha256 == Some(digest) {
            return Ok(());
        }
        if matches!(row.state, State::Delivered | State::ByHand) {
            return Err(Refusal::new(Class::Conflict, Violation::whole(SETTLED)).into());
        }
        let (holder, now) = (holder(exchange), exchange.now());
        // A crash after this: the lease runs out; the authority, which got no answer, posts it again.
        let taken = exchange.store.lease_again(row.id, holder, now, LEASE_MS).await?;
        let Some(delivery) = taken else { continue };
        let tried = Tried::from(&delivery);
        let settled = match exchange.judge_receipt(&delivery, &said.delivered, &chain)? {
            Ok(receipt) => exchange.settle(&delivery, receipt).await?,
            Err(refusal) => {
                let rule = refusal.rule().map_or("unknown", |rule| rule.id);
                let failed = Err(Stopped::Failed(Failure::BadReceipt(rule)));
                exchange.conclude(tried, failed, retry).await;
                return Err(refusal.into());
            }
        };
        if settled == Settled::Done {
            exchange.conclude(tried, Ok(settled), retry).await;
            return Ok(());
        }
    }
    Err(StoreFault::Unavailable.into())
}

/// Takes an authority's word that it cannot take a dispatch: a failed attempt.
pub async fn refused(
    exchange: &Exchange,
    retry: RetryPolicy,
    request: &Request,
) -> Result<(), Trouble> {
    let authority = collector(request)?;
    let said: NotTaken = body(request)?;
    let reference: LeaseReference = said.lease.parse().map_err(|_| nothing_here())?;
    let row = row(exchange, authority, &reference).await?;
    let lease = Lease {
        delivery: row.id,
        token: reference.token,
        attempt: reference.attempt,
        expires_at: reference.expires_at,
    };
    let now = exchange.now();
    let tried = Tried {
        lease,
        referral_id: row.referral_id,
        authority,
        urgency: row.urgency,
        recorded_at: row.recorded_at,
        first_tried_at: row.first_tried_at.unwrap_or(now),
    };
    let failure = Failure::NotTaken { rule: safe_rule(said.rule) };
    match exchange.put_off(tried, &failure, retry, now).await {
        true => Ok(()),
        false => Err(Refusal::new(Class::Conflict, Violation::whole(LEASE_OVER)).into()),
    }
}

/// The machine of an authority. A person's certificate does not open the whole mailbox.
fn collector(request: &Request) -> Result<DfeCode, Refusal> {
    let party = request.peer.chain.party();
    match party.organisation {
        Organisation::Authority(code) if party.person.is_none() => Ok(code),
        _ => Err(Refusal::new(Class::Forbidden, Violation::whole(NO_MAILBOX))),
    }
}

fn body<T: DeserializeOwned>(request: &Request) -> Result<T, Trouble> {
    json_body(&request.headers)?;
    serde_json::from_slice(&request.body).map_err(|_| malformed())
}

fn malformed() -> Trouble {
    Refusal::new(Class::Malformed, Violation::whole(FORM)).into()
}

/// The delivery that a lease is of; another authority's is as unknown as one that never was.
async fn row(
    exchange: &Exchange,
    authority: DfeCode,
    reference: &LeaseReference,
) -> Result<DeliveryRow, Trouble> {
    let thread = exchange.store.thread(reference.referral_id).await?.ok_or_else(nothing_here)?;
    let own =
        |row: &DeliveryRow| row.authority == authority && row.note_sha256 == reference.note_sha256;
    thread.deliveries.into_iter().find(own).ok_or_else(nothing_here)
}

fn holder(exchange: &Exchange) -> String {
    format!("{}/mailbox", exchange.name)
}
