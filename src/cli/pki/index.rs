//! The record of a scheme CA: one JSON object per line, only ever appended to.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::Failure;
use crate::domain::party::{Party, TrustDomain};
use crate::domain::time::Timestamp;
use crate::protocol::trust::issue::{LeafKind, Reason, Revoked};

/// What the record says so far.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub trust_domain: Option<TrustDomain>,
    pub issued: Vec<Issued>,
    pub revoked: Vec<Revoked>,
    /// The highest number of any revocation list made.
    pub crl_number: u64,
}

/// One issued leaf.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub serial: String,
    pub party: Party,
    pub kind: LeafKind,
}

/// The open record, locked against other processes until it is dropped.
pub(crate) struct Index {
    file: File,
    pub record: Record,
}

impl Index {
    /// Opens and reads the record; `new` makes it, and fails if there is one.
    pub fn open(path: &Path, new: bool) -> Result<Self, Failure> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create_new(new)
            .open(path)
            .map_err(|e| Failure::file(path, &e))?;
        file.lock().map_err(|e| Failure::fault(path, &e))?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|e| Failure::fault(path, &e))?;
        let mut record = Record::default();
        for (number, line) in text.lines().enumerate() {
            record
                .read(line)
                .ok_or_else(|| Failure::input(path, &format!("line {} is damaged", number + 1)))?;
        }
        Ok(Self { file, record })
    }

    /// Notes whose scheme it is.
    pub fn made(&mut self, trust_domain: &TrustDomain, at: Timestamp) -> Result<(), Failure> {
        self.append(json!({
            "event": "made", "at": at.to_string(), "trust_domain": trust_domain.as_str(),
        }))
    }

    /// Notes a leaf before it is given out.
    pub fn issued(&mut self, issued: &Issued, at: Timestamp) -> Result<(), Failure> {
        let (kind, dns) = match &issued.kind {
            LeafKind::Tls { dns } => ("tls", dns.clone()),
            LeafKind::Signing => ("signing", Vec::new()),
        };
        self.append(json!({
            "event": "issued", "at": at.to_string(), "serial": issued.serial,
            "party": issued.party.to_string(), "kind": kind, "dns": dns,
        }))
    }

    /// Notes a revocation before the list says it.
    pub fn revoked(&mut self, revoked: &Revoked) -> Result<(), Failure> {
        self.append(json!({
            "event": "revoked", "at": revoked.at.to_string(), "serial": hex(&revoked.serial),
            "reason": revoked.reason.as_str(),
            "invalid_from": revoked.invalid_from.map(|t| t.to_string()),
        }))
    }

    /// Takes the next number for a list; numbers are never used twice.
    pub fn next_crl_number(&mut self, at: Timestamp) -> Result<u64, Failure> {
        let number = self.record.crl_number + 1;
        self.append(json!({ "event": "crl", "at": at.to_string(), "number": number }))?;
        Ok(number)
    }

    fn append(&mut self, event: Value) -> Result<(), Failure> {
        let line = event.to_string();
        // One write, so that a crash leaves a whole line or a damaged last one, never a mixture.
        self.file
            .write_all(format!("{line}\n").as_bytes())
            .and_then(|()| self.file.sync_all())
            .map_err(|e| Failure::fault(Path::new("the record of issued certificates"), &e))?;
        self.record.read(&line);
        Ok(())
    }
}

impl Record {
    fn read(&mut self, line: &str) -> Option<()> {
        let event: Value = serde_json::from_str(line).ok()?;
        let text = |name: &str| event[name].as_str();
        match text("event")? {
            "made" => self.trust_domain = Some(text("trust_domain")?.parse().ok()?),
            "issued" => {
                let dns = event["dns"].as_array()?.iter().map(|v| v.as_str().map(str::to_owned));
                let kind = match text("kind")? {
                    "tls" => LeafKind::Tls { dns: dns.collect::<Option<_>>()? },
                    "signing" => LeafKind::Signing,
                    _ => return None,
                };
                let (serial, party) = (text("serial")?.to_owned(), text("party")?.parse().ok()?);
                self.issued.push(Issued { serial, party, kind });
            }
            "revoked" => {
                let invalid_from = match text("invalid_from") {
                    Some(at) => Some(at.parse().ok()?),
                    None => None,
                };
                let serial = unhex(text("serial")?)?;
                let (at, reason) = (text("at")?.parse().ok()?, Reason::from_name(text("reason")?)?);
                self.revoked.push(Revoked { serial, at, reason, invalid_from });
            }
            "crl" => self.crl_number = self.crl_number.max(event["number"].as_u64()?),
            _ => return None,
        }
        Some(())
    }
}

/// Lower-case hexadecimal, as serial numbers are written.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The bytes of it.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let even = text.len().is_multiple_of(2) && text.is_ascii();
    let pairs = even.then(|| (0..text.len()).step_by(2))?;
    pairs.map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}
