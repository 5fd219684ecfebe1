//! Looks at the clocks of referrals when they may have changed, and records what a person has to know:
//! that a limit comes near, or has passed; that a delivery is delayed so long that the school is to ring, or
//! that the exchange has given it up.
//!
//! Nothing about a clock is stored but the time of the next look: the clocks themselves follow from the
//! thread, so a restart loses nothing. Any number of gateways may run it over one store. A named right
//! lets one of them work at a time, to save work; that each of these is recorded once rests on the thread
//! alone, whose position is compared and swapped.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::clocks::answerable;
use super::courier::Failure;
use super::exchange::{Desk, Exchange, seen_chain};
use super::known::{Event, Known};
use super::trouble::{Fault, Trouble};
use crate::domain::case::EventKind;
use crate::domain::clocks::{
    self, About, Clock, ClockId, Limit, Reading, State, Tell, standard_limit,
};
use crate::domain::delivery::State as DeliveryState;
use crate::domain::ids::ReferralId;
use crate::domain::referral::Urgency;
use crate::domain::time::{SECOND, Timestamp};
use crate::protocol::hash::sha256;
use crate::protocol::signing::{Signed, SigningFault, token_id};
use crate::protocol::tokens::{Audience, CaseEvent, CaseEventBody, Subject};
use crate::store::{Append, AppendOutcome, DeliveryRow, Thread, TokenKind};
use crate::telemetry::metric;

/// Name of the right to look.
const RIGHT: &str = "clocks";
/// How long one holding lasts, in milliseconds, unless it is renewed.
const HOLD_MS: i64 = 30_000;
/// Referrals per look at the store.
const BATCH: u32 = 64;
/// How often to look at the store.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long one that failed stands back, so that another gateway takes the right: it may be its own certificate or
/// key ring that is to blame.
const STAND_BACK: Duration = Duration::from_secs(10);
/// How long a referral is stepped over that could not be looked at, in milliseconds.
const STEP_OVER_MS: i64 = 300_000;

/// When to look at a referral that was accepted at `at`: when it should have been delivered.
pub(super) fn first_look(at: Timestamp, urgency: Urgency) -> Timestamp {
    match standard_limit(ClockId::C2, urgency) {
        Limit::Real(millis) => at.plus(millis),
        _ => at.plus(SECOND),
    }
}

/// Runs until `stop` says so.
pub async fn run(exchange: Arc<Exchange>, holder: String, mut stop: watch::Receiver<bool>) {
    let mut stumbled = Stumbled::default();
    while !*stop.borrow() {
        let mut pause = LOOK_EVERY;
        if let Err(fault) = look(&exchange, &holder, &mut stumbled).await {
            tracing::warn!(fault = fault.label(), "the clocks could not be looked at");
            if fault.is_final() {
                exchange.broken.notify_one();
            }
            if fault.is_of_one() {
                pause = STAND_BACK;
            }
        }
        tokio::select! {
            biased;
            _ = stop.changed() => {}
            () = exchange.clock.sleep(pause) => {}
        }
    }
}

/// Referrals that could not be looked at, and when each is tried again. One whose document cannot be read must
/// not keep all that are due after it from being looked at.
#[derive(Debug, Default)]
pub struct Stumbled(HashMap<ReferralId, Timestamp>);

/// Looks at every referral that is due but those that `stumbled` lately. How many there were. If one cannot be
/// looked at, the others of its batch are, and then the right is given back.
pub async fn look(
    exchange: &Exchange,
    holder: &str,
    Stumbled(stumbled): &mut Stumbled,
) -> Result<u64, Fault> {
    let store = &exchange.store;
    let mut looked = 0;
    loop {
        let now = exchange.now();
        let right = store.acquire(RIGHT, holder.to_owned(), now, HOLD_MS).await?;
        let Some(right) = right else { return Ok(looked) };
        stumbled.retain(|_, again| *again > now);
        // They are still due, and come first.
        let most = BATCH + u32::try_from(stumbled.len()).unwrap_or(BATCH);
        let due = store.due_referrals(now, most).await?;
        let is_last = due.len() < most as usize;
        let mut failed = None;
        for id in due {
            if stumbled.contains_key(&id) {
                continue;
            }
            match look_at(exchange, id).await {
                Ok(()) => looked += 1,
                Err(fault) if fault.is_of_one() => {
                    let why = fault.label();
                    tracing::warn!(referral = %id, fault = why, "its clocks could not be looked at");
                    stumbled.insert(id, now.plus(STEP_OVER_MS));
                    failed = Some(fault);
                }
                Err(fault) => return Err(fault),
            }
        }
        if let Some(fault) = failed {
            store.release(right).await?;
            return Err(fault);
        }
        if is_last {
            return Ok(looked);
        }
    }
}

/// Records what is new about the clocks of one referral, and when to look again. If others say something
/// meanwhile it stays due, and the next look sees that too.
async fn look_at(exchange: &Exchange, id: ReferralId) -> Result<(), Fault> {
    // Each turn records one event; there are never more than the clocks have changes, and two to a delivery.
    loop {
        let now = exchange.now();
        let known = match exchange.known(id).await {
            Ok(Some(known)) => known,
            Ok(None) => return Ok(()),
            Err(trouble) => return Err(trouble.unasked()),
        };
        let reading = exchange.reading(&known, now).await.map_err(Trouble::unasked)?;
        let Some(news) = news(&known, &reading, now) else {
            // Only then is there anything to record: the turns of contacts wake nobody.
            let clocks = reading.clocks.iter().filter(|clock| answerable(clock));
            let next = clocks.filter_map(|clock| clock.next_news(now)).min();
            let next = next.filter(|_| !known.case.is_misidentified());
            let Thread { head, wake_at, .. } = known.thread;
            return Ok(exchange.store.looked_at(id, (head, wake_at), next).await?);
        };
        let desk = exchange.desk(exchange.trust.store(), now)?;
        let append = event(exchange, &desk, &known, &news)?;
        // A crash before the commit: it is found to be missing again. After it: it is found.
        match exchange.store.append(append).await? {
            AppendOutcome::Committed => {
                tell(exchange, id, &news, now);
                exchange.new_tokens.notify_one();
            }
            AppendOutcome::HeadMoved(_) => return Ok(()),
            AppendOutcome::Already(_) | AppendOutcome::Unknown => return Ok(()),
        }
    }
}

/// Counts and logs what was recorded.
fn tell(exchange: &Exchange, id: ReferralId, news: &News<'_>, now: Timestamp) {
    let word = news.kind().name();
    match news {
        News::Limit(_, clock) => {
            let code = clock.id.as_str();
            metrics::counter!(metric::CLOCKS, "clock" => code, "event" => word).increment(1);
            tracing::info!(referral = %id, what = code, kind = word, "a limit");
            pages(exchange, id, clock, now);
        }
        News::Delivery(_, row, _) => {
            let authority = row.authority;
            tracing::warn!(referral = %id, %authority, kind = word, "the school is told to ring");
        }
    }
}

/// Counts and tells who on duty is to be paged at once; the authority itself has the event in its feed.
fn pages(exchange: &Exchange, id: ReferralId, clock: &Clock, now: Timestamp) {
    let Some(directory) = exchange.directory.last_good() else { return };
    for rung in clock.contacts(now) {
        if clocks::tell(clock, rung, directory.calendars(), now) == Tell::Page {
            let of = rung.of.to_string();
            tracing::warn!(referral = %id, peer = %rung.of, what = clock.id.as_str(), "to be paged");
            metrics::counter!(metric::PAGES, "party" => of).increment(1);
        }
    }
}

/// Something that nobody has been told yet.
enum News<'a> {
    Limit(EventKind, &'a Clock),
    /// The delivery, and its name.
    Delivery(EventKind, &'a DeliveryRow, About),
}

impl News<'_> {
    fn kind(&self) -> EventKind {
        match self {
            News::Limit(kind, _) | News::Delivery(kind, ..) => *kind,
        }
    }
}

/// The first thing about a delivery or a clock that is not recorded yet.
fn news<'a>(known: &'a Known, reading: &'a Reading, now: Timestamp) -> Option<News<'a>> {
    if known.case.is_misidentified() {
        return None;
    }
    let is_recorded = |kind: EventKind, clock: &Clock| {
        known.events.iter().any(|event| {
            let body = event.said.body();
            event.said.kind() == kind
                && body.code.as_deref() == Some(clock.id.as_str())
                && body.about.as_deref() == Some(&clock.about.to_string())
        })
    };
    let limit = reading.clocks.iter().find_map(|clock| {
        let kind = match clock.state {
            State::Warned => EventKind::ClockWarning,
            State::Breached { .. } => EventKind::ClockBreached,
            _ => return None,
        };
        let new = answerable(clock) && !is_recorded(kind, clock);
        new.then_some(News::Limit(kind, clock))
    });
    limit.or_else(|| {
        known.thread.deliveries.iter().find_map(|row| of_delivery(row, known, reading, now))
    })
}

/// What the school is to be told of one delivery: that it is to ring, since the authority still lacks it, or
/// because nobody tries any more. Each once, whatever becomes of it later.
fn of_delivery<'a>(
    row: &'a DeliveryRow,
    known: &Known,
    reading: &Reading,
    now: Timestamp,
) -> Option<News<'a>> {
    // One that declined, or has passed it on, has no part in it any more.
    known.case.desk(row.authority)?;
    let about = About::Delivery(row.authority, known.called_at(row));
    let name = about.to_string();
    let said = |kind: EventKind| {
        let of_it = |e: &Event| e.said.body().about.as_deref() == Some(&name);
        known.events.iter().any(|e| e.said.kind() == kind && of_it(e))
    };
    let failed = said(EventKind::DeliveryFailed);
    let kind = match row.state {
        DeliveryState::Undeliverable
            if row.reason.as_deref() != Some(Failure::Misidentified.reason()) =>
        {
            (!failed).then_some(EventKind::DeliveryFailed)?
        }
        state if state.is_open() => {
            let clock = reading.clocks.iter().find(|c| c.id == ClockId::C2 && c.about == about)?;
            let rings = clock.is_overdue() && clock.rings_at.is_some_and(|at| at <= now);
            let told = failed || said(EventKind::DeliveryDelayed);
            (rings && !told).then_some(EventKind::DeliveryDelayed)?
        }
        _ => return None,
    };
    Some(News::Delivery(kind, row, about))
}

impl News<'_> {
    /// As it is said on top of the position `seen`. Codes and times only: whom to ring stands in the state
    /// of the referral, as of the directory in use then.
    fn body(&self, seen: u32, now: Timestamp) -> CaseEventBody {
        let body = CaseEventBody::seen(u64::from(seen));
        match self {
            News::Limit(_, clock) => CaseEventBody {
                code: Some(clock.id.as_str().into()),
                about: Some(clock.about.to_string()),
                due_at: Some(clock.due_at),
                ..body
            },
            News::Delivery(_, row, about) => CaseEventBody {
                to: Some(row.authority),
                about: Some(about.to_string()),
                since: Some(row.recorded_at),
                // Nothing while it is being tried, and where it waits to be collected.
                next_attempt_at: row
                    .due_at
                    .filter(|at| row.state == DeliveryState::Held && *at > now),
                ..body
            },
        }
    }
}

/// Our own statement, with our record of it.
fn event(
    exchange: &Exchange,
    desk: &Desk,
    known: &Known,
    news: &News<'_>,
) -> Result<Append, Fault> {
    let (id, after, now) = (known.thread.referral_id, known.thread.head, desk.now);
    let identity = &desk.identity;
    let said = CaseEvent {
        iss: identity.party().clone(),
        aud: Audience::Scheme(identity.party().trust_domain.clone()),
        iat: now.seconds(),
        jti: token_id(&*exchange.entropy)?,
        sub_id: Subject(id),
        toe: None,
        attested: None,
        said: (news.kind(), news.body(after.position, now)),
    };
    let jws = said.sign(identity.signer(), identity.x5t()).map_err(SigningFault::Key)?;
    let signed = Signed { sha256: sha256(jws.as_bytes()), jws };
    let audience = known.readers(&said);
    let recorded = desk.record(&*exchange.entropy, id, after, signed.sha256, audience.clone())?;
    Ok(Append {
        referral_id: id,
        after,
        event: desk.own_token(TokenKind::Event, signed, audience),
        recorded,
        detail: None,
        holder: None,
        opener: None,
        deliveries: Vec::new(),
        case: None,
        chains: vec![seen_chain(identity.chain())],
        crls: desk.seen_crls(),
        recorded_at: now,
        wake_at: Some(now),
    })
}
