//! The directory in use: the last good one, replaced whole, read without waiting.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;

use super::bundle::{InUse, VerifiedDirectory};
use super::rules;
use crate::domain::directory::Freshness;
use crate::domain::ids::Digest;
use crate::domain::refusal::{Class, Culprit, Refusal, Rule, Violation};
use crate::domain::time::Timestamp;

/// Holds the directory in use. A refused newcomer never replaces it, and readiness says so.
#[derive(Debug, Default)]
pub struct DirectoryHolder {
    current: ArcSwapOption<VerifiedDirectory>,
    refused: ArcSwapOption<Rule>,
    /// Newcomers are taken one at a time, so that two cannot pass each other.
    offering: Mutex<Option<InUse>>,
}

/// What readiness says about the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Whether referrals may be accepted on it.
    pub ready: bool,
    /// For a person: `directory 7 is fresh until 2026-12-01T00:00:00.000Z`.
    pub words: String,
}

impl DirectoryHolder {
    /// An empty holder that refuses everything older than `last`, the one that this machine used
    /// before its restart.
    pub fn new(last: Option<InUse>) -> Self {
        Self { offering: Mutex::new(last), ..Self::default() }
    }

    /// Lets `accept` check a newcomer against the one in use and takes it if it passes; otherwise
    /// keeps the last good one and remembers why.
    pub fn offer(
        &self,
        accept: impl FnOnce(Option<InUse>) -> Result<VerifiedDirectory, Refusal>,
    ) -> Result<Arc<VerifiedDirectory>, Refusal> {
        let mut in_use = self.offering.lock().unwrap_or_else(PoisonError::into_inner);
        match accept(*in_use) {
            Ok(newcomer) => {
                *in_use = Some(newcomer.in_use());
                let newcomer = Arc::new(newcomer);
                self.current.store(Some(newcomer.clone()));
                self.refused.store(None);
                Ok(newcomer)
            }
            Err(refusal) => {
                self.refused.store(refusal.rule().map(Arc::new));
                Err(refusal)
            }
        }
    }

    /// The directory to act on at `at`, with whether it is stale; a refusal if there is none or it
    /// has expired.
    pub fn usable(&self, at: Timestamp) -> Result<(Arc<VerifiedDirectory>, Freshness), Refusal> {
        let current = self.current.load_full();
        let freshness = current.as_ref().map(|held| held.directory().freshness(at));
        match (current, freshness) {
            (Some(held), Some(freshness @ (Freshness::Fresh | Freshness::Stale))) => {
                Ok((held, freshness))
            }
            _ => {
                let violation = Violation::whole(rules::EXPIRED);
                Err(Refusal::new(Class::Unavailable, violation).blame(Culprit::Operator))
            }
        }
    }

    /// Takes the directory with this digest out of use: its signer has turned out to be revoked.
    pub fn withdraw(&self, digest: Digest) {
        if self.current.load().as_ref().is_some_and(|held| held.digest() == digest) {
            self.current.store(None);
        }
    }

    /// The last good directory whatever its dates, for look-ups of a phone number only.
    pub fn last_good(&self) -> Option<Arc<VerifiedDirectory>> {
        self.current.load_full()
    }

    /// The state in words.
    pub fn readiness(&self, at: Timestamp) -> Readiness {
        let held = self.current.load();
        let refused = match self.refused.load().as_deref() {
            Some(rule) => format!("; a newer file was refused [{}]", rule.id),
            None => String::new(),
        };
        let Some(held) = held.as_deref() else {
            return Readiness { ready: false, words: format!("no directory{refused}") };
        };
        let (directory, freshness) = (held.directory(), held.directory().freshness(at));
        let preposition = if freshness == Freshness::Fresh { "until" } else { "since" };
        Readiness {
            ready: freshness != Freshness::Expired,
            words: format!(
                "directory {} is {} {preposition} {}{refused}",
                directory.version,
                freshness.as_str(),
                directory.expires_at
            ),
        }
    }
}
