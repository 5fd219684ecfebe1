//! Collecting instead of being brought: claims dispatches out of a gateway's mailbox, receives each with the
//! very code of the endpoint, and posts the receipt only after it is stored.
//!
//! Whatever happens in between, the gateway gives the same dispatch again, and it gets the same receipt.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use tokio::sync::watch;

use super::answer::{self, Trouble};
use super::station::Station;
use crate::domain::party::Party;
use crate::domain::time::SECOND;
use crate::http::{ClientFault, ClientResponse, Line};
use crate::protocol::mailbox::{
    CLAIM, Claim, Claimed, ClaimedDispatch, DELIVERED, MOST_CLAIMED, NotTaken, REFUSED, Receipt,
    SETTLED,
};
use crate::protocol::problem::ProblemDocument;

/// Between two claims after a fault, from the first to the longest: a gateway that comes back is asked
/// again within this time.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Between two claims that were answered at once and with nothing.
const IDLE_MS: i64 = SECOND;
/// So often a receipt is posted again when its answer is lost; then it goes with the next claim.
const POSTS: u32 = 3;

/// Empties the mailbox of one authority at one gateway.
pub struct Collector {
    /// The receiving side.
    pub station: Arc<Station>,
    /// Who must answer there.
    pub gateway: Party,
    /// The way to it, over mutual TLS to exactly that party.
    pub line: Box<dyn Line>,
    /// How long a claim waits for something new.
    pub wait: Duration,
}

/// What came of collecting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Stored, and the gateway has the receipt.
    pub stored: u32,
    /// Of those: stored by an earlier attempt.
    pub again: u32,
    /// Refused here, and the gateway knows.
    pub not_taken: u32,
    /// Not finished: they come again.
    pub left: u32,
}

/// Why nothing could be collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotCollected {
    /// The gateway could not be reached.
    NoAnswer(ClientFault),
    /// The gateway refused, by this rule.
    Refused(String),
    /// The answer could not be read.
    Unreadable,
}

impl fmt::Display for NotCollected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotCollected::NoAnswer(fault) => fault.fmt(f),
            NotCollected::Refused(rule) => write!(f, "the gateway refused [{rule}]"),
            NotCollected::Unreadable => f.write_str("the gateway's answer cannot be read"),
        }
    }
}

impl Collector {
    /// Collects until `stop` says so. What is under way then is finished.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let (mut pause, mut most) = (SHORTEST_PAUSE, MOST_CLAIMED);
        while !*stop.borrow() {
            let began = self.station.now();
            let claimed = tokio::select! {
                biased;
                _ = stop.changed() => return,
                claimed = self.claim(most, self.wait) => claimed,
            };
            let rest = match claimed {
                Ok(claimed) if claimed.is_empty() => {
                    (pause, most) = (SHORTEST_PAUSE, MOST_CLAIMED);
                    // A clock that is stepped meanwhile costs a second at most.
                    let took = self.station.now().since(began).clamp(0, IDLE_MS);
                    Duration::from_millis((IDLE_MS - took).unsigned_abs())
                }
                Ok(claimed) => {
                    let collected = self.take_all(&claimed).await;
                    match collected.left {
                        0 => {
                            pause = SHORTEST_PAUSE;
                            Duration::ZERO
                        }
                        _ => longer(&mut pause),
                    }
                }
                Err(NotCollected::NoAnswer(ClientFault::AnswerTooLarge)) if most > 1 => {
                    most = 1;
                    Duration::ZERO
                }
                Err(not) => {
                    tracing::warn!(detail = %not, "nothing could be collected");
                    longer(&mut pause)
                }
            };
            tokio::select! {
                biased;
                _ = stop.changed() => return,
                () = self.station.clock.sleep(rest) => {}
            }
        }
    }

    /// Collects what there is now.
    pub async fn once(&self) -> Result<Collected, NotCollected> {
        let mut all = Collected::default();
        loop {
            let claimed = self.claim(MOST_CLAIMED, Duration::ZERO).await?;
            let some = self.take_all(&claimed).await;
            all.stored += some.stored;
            all.again += some.again;
            all.not_taken += some.not_taken;
            all.left += some.left;
            if claimed.is_empty() || some.left > 0 {
                return Ok(all);
            }
        }
    }

    async fn claim(&self, most: u32, wait: Duration) -> Result<Vec<ClaimedDispatch>, NotCollected> {
        let asked = Claim { limit: Some(most), wait_seconds: Some(wait.as_secs()) };
        let answer = self.post(CLAIM, &asked).await.map_err(NotCollected::NoAnswer)?;
        if answer.status != StatusCode::OK {
            return Err(NotCollected::Refused(rule(&answer)));
        }
        let claimed: Result<Claimed, _> = serde_json::from_slice(&answer.body);
        claimed.map(|claimed| claimed.dispatches).map_err(|_| NotCollected::Unreadable)
    }

    async fn take_all(&self, claimed: &[ClaimedDispatch]) -> Collected {
        let mut collected = Collected::default();
        for dispatch in claimed {
            self.take(dispatch, &mut collected).await;
        }
        collected
    }

    /// One dispatch: stored, then receipted. A crash before it is stored: the lease runs out and it is given
    /// again. A crash after it: the same, and the stored receipt is posted.
    async fn take(&self, dispatch: &ClaimedDispatch, collected: &mut Collected) {
        let receipt = match answer::collect(&self.station, dispatch, &self.gateway).await {
            Ok(receipt) => receipt,
            Err(trouble) => return self.not_taken(dispatch, trouble, collected).await,
        };
        let (lease, new) = (dispatch.lease.clone(), receipt.new);
        let (delivered, certificates) = (receipt.delivered, receipt.certificates);
        match self.tell(DELIVERED, &Receipt { lease, delivered, certificates }).await {
            true => {
                collected.stored += 1;
                collected.again += u32::from(!new);
            }
            false => collected.left += 1,
        }
    }

    /// What cannot be received is the gateway's to mend, which it has to know of; where we are at fault it
    /// comes again.
    async fn not_taken(
        &self,
        dispatch: &ClaimedDispatch,
        trouble: Trouble,
        collected: &mut Collected,
    ) {
        let rule = trouble.label();
        if let Trouble::Store(fault) = &trouble
            && fault.is_final()
        {
            self.station.broken.notify_one();
        }
        let told = match trouble {
            Trouble::Refused(_) => {
                tracing::warn!(rule, "a dispatch was refused");
                let (lease, rule) = (dispatch.lease.clone(), rule.to_owned());
                self.tell(REFUSED, &NotTaken { lease, rule }).await
            }
            _ => {
                tracing::error!(fault = rule, "a dispatch failed here");
                false
            }
        };
        if told {
            collected.not_taken += 1;
        } else {
            collected.left += 1;
        }
    }

    /// Posts what became of a dispatch; whether the gateway knows it now.
    async fn tell(&self, path: &str, what: &impl Serialize) -> bool {
        for _ in 0..POSTS {
            match self.post(path, what).await {
                Ok(answer) if answer.status == StatusCode::OK => return true,
                Ok(answer) if answer.status == StatusCode::SERVICE_UNAVAILABLE => {}
                Ok(answer) => {
                    let rule = rule(&answer);
                    tracing::warn!(rule, "the gateway did not take our answer to a dispatch");
                    return rule == SETTLED;
                }
                Err(fault) => tracing::warn!(fault = fault.label(), "the gateway cannot be told"),
            }
            self.station.clock.sleep(SHORTEST_PAUSE).await;
        }
        false
    }

    async fn post(&self, path: &str, what: &impl Serialize) -> Result<ClientResponse, ClientFault> {
        let headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let body = serde_json::to_vec(what).unwrap_or_default();
        self.line.post(path, headers, Bytes::from(body)).await
    }
}

/// The pause to make now; the next one is twice as long.
fn longer(pause: &mut Duration) -> Duration {
    let now = *pause;
    *pause = (now * 2).min(LONGEST_PAUSE);
    now
}

/// The rule that a gateway named, if it looks like one: another party's text never reaches the log as it is.
fn rule(answer: &ClientResponse) -> String {
    let named = serde_json::from_slice::<ProblemDocument>(&answer.body).ok();
    let named = named.and_then(|problem| Some(problem.violations.into_iter().next()?.rule));
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c);
    named
        .filter(|rule| rule.len() <= 60 && rule.chars().all(plain))
        .unwrap_or_else(|| format!("http {}", answer.status.as_u16()))
}
