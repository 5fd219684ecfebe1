//! `ecaf pki show`: a certificate explained in plain words.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::index::hex;
use super::scheme::trust_store;
use super::{Common, Failure};
use crate::domain::party::Party;
use crate::domain::time::{DAY, Timestamp};
use crate::protocol::trust::issue::Period;
use crate::protocol::trust::{
    Chain, ChainRefusal, Purpose, Revocation, TrustScope, TrustStore, VerifiedChain, describe,
    is_example_key, pem, rules,
};

/// Explain a certificate: whose, what for, how long, and whether the scheme accepts it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ecaf pki show keys/school-tls.crt
  ecaf pki show keys/school-tls.crt --json
  ecaf pki show keys/school-tls.crt --at 2026-12-24T00:00:00Z   # will it still be good then?

Of the scheme's folder only root.crt, issuing.crt and the lists in crl/ are read.
The exit code is 0 when the scheme accepts the certificate and 1 when it does not.")]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    /// The certificate, in PEM, with its issuing CA after it or without
    certificate: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a certificate says of itself.
pub(super) struct Facts {
    pub party: Party,
    pub serial: String,
    pub period: Period,
    pub purposes: Vec<Purpose>,
    pub dns: Vec<String>,
    pub algorithm: &'static str,
}

/// Reads a chain from a file.
pub(super) fn chain(path: &Path) -> Result<Chain, Failure> {
    let text = std::fs::read(path).map_err(|e| Failure::file(path, &e))?;
    let all = pem::certificates(&text).map_err(|e| Failure::input(path, &e.to_string()))?;
    Chain::presented(all).map_err(|e| Failure::input(path, &e.to_string()))
}

/// Reads what the leaf says.
pub(super) fn facts(chain: &Chain) -> Result<Facts, Failure> {
    let leaf = describe(chain.leaf())?;
    Ok(Facts {
        party: leaf.party,
        serial: hex(&leaf.serial),
        period: Period { not_before: leaf.not_before, not_after: leaf.not_after },
        purposes: leaf.purposes,
        dns: leaf.dns,
        algorithm: leaf.public_key.algorithm.as_str(),
    })
}

/// Runs the subcommand.
pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    let chain = chain(&args.certificate)?;
    let (facts, now) = (facts(&chain)?, args.common.now());
    let domain = &facts.party.trust_domain;
    // People look at examples too, so they are not refused here but warned of.
    let store = trust_store(&args.common.scheme, domain, TrustScope::Demo)?;
    let verdict = verdict(&store, &chain, &facts.purposes, now);
    let revoked_at = store.revoked_at(&chain);
    let shown = Shown { chain: &chain, facts: &facts, verdict: &verdict, revoked_at, now };
    match args.json {
        true => println!("{:#}", shown.json()),
        false => print!("{}", shown.text()),
    }
    if let Some(warning) = shown.warning() {
        eprintln!("warning: {warning}");
    }
    Ok(ExitCode::from(u8::from(verdict.is_err())))
}

/// The first refusal, or else the first acceptance.
fn verdict(
    store: &TrustStore,
    chain: &Chain,
    purposes: &[Purpose],
    now: Timestamp,
) -> Result<VerifiedChain, ChainRefusal> {
    let mut accepted = Err(ChainRefusal(rules::WRONG_KEY_USAGE));
    for purpose in purposes.iter().rev() {
        accepted = Ok(store.verify(chain, *purpose, now)?);
    }
    accepted
}

struct Shown<'a> {
    chain: &'a Chain,
    facts: &'a Facts,
    verdict: &'a Result<VerifiedChain, ChainRefusal>,
    revoked_at: Option<Timestamp>,
    now: Timestamp,
}

impl Shown<'_> {
    fn text(&self) -> String {
        let Facts { party, serial, period, dns, algorithm, .. } = self.facts;
        let uses: Vec<_> = self.facts.purposes.iter().map(|p| in_words(*p)).collect();
        let mut lines = vec![
            ("Who", format!("{} of {}", in_full(party), party.trust_domain)),
            ("Identity", party.to_string()),
            ("For", uses.join(", ")),
        ];
        if !dns.is_empty() {
            lines.push(("Host names", dns.join(", ")));
        }
        lines.extend([
            ("Key", (*algorithm).to_owned()),
            ("Serial", serial.clone()),
            ("SHA-256", self.chain.x5t().to_string()),
            ("Valid", format!("{} to {}", minute(period.not_before), minute(period.not_after))),
            ("Renew from", minute(period.renew_from())),
            ("Revocation", self.revocation()),
            (
                "Verdict",
                match self.verdict {
                    Ok(_) => format!("accepted at {}", minute(self.now)),
                    Err(refusal) => format!("refused at {}: {refusal}", minute(self.now)),
                },
            ),
        ]);
        lines.iter().map(|(name, value)| format!("{name:<11} {value}\n")).collect()
    }

    fn revocation(&self) -> String {
        match (self.revoked_at, self.verdict) {
            (Some(at), _) => format!("revoked at {}", minute(at)),
            (None, Ok(chain)) => match chain.revocation() {
                Revocation::Good => "not revoked, by a current list".to_owned(),
                Revocation::Stale => "not revoked, by a list that is out of date".to_owned(),
                Revocation::Doubted => "doubted".to_owned(),
            },
            (None, Err(_)) => "not in the lists of this scheme".to_owned(),
        }
    }

    fn json(&self) -> serde_json::Value {
        let Facts { party, serial, period, purposes, dns, algorithm } = self.facts;
        let verdict = match self.verdict {
            Ok(chain) => json!({ "accepted": true, "revocation": match chain.revocation() {
                Revocation::Good => "good",
                Revocation::Stale => "stale",
                Revocation::Doubted => "doubted",
            }}),
            Err(ChainRefusal(rule)) => json!({
                "accepted": false, "rule": rule.id, "title": rule.title, "action": rule.action,
            }),
        };
        json!({
            "party": party.to_string(),
            "purposes": purposes.iter().map(|p| name(*p)).collect::<Vec<_>>(),
            "dns_names": dns,
            "algorithm": algorithm,
            "serial": serial,
            "x5t_s256": self.chain.x5t().to_string(),
            "not_before": period.not_before.to_string(),
            "not_after": period.not_after.to_string(),
            "renew_from": period.renew_from().to_string(),
            "revoked_at": self.revoked_at.map(|at| at.to_string()),
            "example_key": is_example_key(self.chain.leaf()),
            "at": self.now.to_string(),
            "verdict": verdict,
        })
    }

    fn warning(&self) -> Option<String> {
        let period = self.facts.period;
        if is_example_key(self.chain.leaf()) {
            return Some("this is an example key: everybody has it".to_owned());
        }
        if self.now > period.not_after || self.now < period.renew_from() {
            return None;
        }
        let days = period.not_after.since(self.now) / DAY;
        Some(format!("it expires in {days} days: renew it now with `ecaf pki renew`"))
    }
}

/// `2026-11-21 14:20 UTC`.
fn minute(at: Timestamp) -> String {
    format!("{} UTC", at.to_string()[..16].replace('T', " "))
}

fn in_full(party: &Party) -> String {
    match &party.person {
        Some(person) => format!("person {person} of {}", party.organisation),
        None => party.organisation.to_string(),
    }
}

fn name(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::TlsClient => "tls_client",
        Purpose::TlsServer => "tls_server",
        Purpose::Signing => "signing",
    }
}

fn in_words(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::TlsClient => "connecting (TLS client)",
        Purpose::TlsServer => "listening (TLS server)",
        Purpose::Signing => "signing of tokens",
    }
}
