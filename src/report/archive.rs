//! A folder for an inspector: every referral of a period with its chronology, its evidence and its
//! documents, an index, and the digest of each file.
//!
//! ```text
//! <folder>/index.csv               one line for each referral
//! <folder>/<referral id>/          chronology.txt, .html, .json; evidence.json; documents/<SHA-256>.json
//! <folder>/manifest.json           what this is, and what is not in it
//! <folder>/SHA256SUMS              for `sha256sum -c`; written last: without it the folder is not whole
//! ```

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::chronology::Chronology;
use super::figures;
use super::forms::csv_field;
use super::gather::Gathered;
use crate::domain::clocks::Setting;
use crate::domain::statistics::{Ending, Outcome, Passing, Record};
use crate::domain::time::{Date, Timestamp};
use crate::effects::files::{self, PRIVATE};
use crate::protocol::evidence::Says;
use crate::protocol::hash::sha256;

/// The heads of the index.
const HEADS: &str = "referral_id,recorded_at,sender,urgency,request_type,first_authority,holder,children,\
    stored_after_minutes,opened_after_minutes,acknowledged_after_minutes,decided_after_minutes,decisions,\
    standing,transfer,disagreed,breaches,documents_shown,documents_erased,documents_withheld,proved";

/// An archive while it is made.
pub struct Archive {
    folder: PathBuf,
    index: String,
    sums: Vec<(String, String)>,
    referrals: u64,
    not_proved: u64,
}

/// What an archive is, and what is not in it.
#[derive(Debug, Clone, Serialize)]
pub struct Manifest {
    /// Name and version of this form.
    pub format: &'static str,
    /// Whose view it is.
    pub made_for: String,
    /// When it was made.
    pub made_at: String,
    /// The first day.
    pub from: String,
    /// The last day.
    pub to: String,
    /// Referrals in it.
    pub referrals: u64,
    /// How many of them do not verify.
    pub not_proved: u64,
}

impl Archive {
    /// Begins one in `folder`, which must be empty or missing.
    pub fn begin(folder: &Path) -> io::Result<Self> {
        if folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the folder is not empty"));
        }
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let index = format!("{HEADS}\r\n");
        let folder = folder.to_owned();
        Ok(Self { folder, index, sums: Vec::new(), referrals: 0, not_proved: 0 })
    }

    /// Adds a referral. Crash anywhere before [`Archive::finish`]: there is no SHA256SUMS, and the next
    /// try wants an empty folder.
    pub fn add(&mut self, gathered: &Gathered, setting: &Setting) -> io::Result<()> {
        let chronology = Chronology::of(gathered, setting);
        let id = gathered.id.to_string();
        self.folder_of(&format!("{id}/documents"))?;
        let page = chronology.readable();
        let json = serde_json::to_vec_pretty(&chronology).map_err(io::Error::other)?;
        let evidence = serde_json::to_vec_pretty(&gathered.bundle).map_err(io::Error::other)?;
        self.write(&format!("{id}/chronology.txt"), page.to_text().as_bytes())?;
        self.write(&format!("{id}/chronology.html"), page.to_html().as_bytes())?;
        self.write(&format!("{id}/chronology.json"), &json)?;
        self.write(&format!("{id}/evidence.json"), &evidence)?;
        let shown = chronology.documents.iter().filter(|document| document.state == "shown");
        for document in shown {
            let raw = gathered.raw.iter().find(|(d, _)| d.to_string() == document.sha256);
            if let Some((digest, bytes)) = raw {
                self.write(&format!("{id}/documents/{digest}.json"), bytes)?;
            }
        }
        self.referrals += 1;
        self.not_proved += u64::from(!chronology.proved);
        let record = figures::record(gathered, setting, gathered.at);
        self.index.push_str(&line(gathered, &chronology, record.as_ref()));
        self.index.push_str("\r\n");
        Ok(())
    }

    /// Writes index, manifest and digests.
    pub fn finish(
        mut self,
        made_for: String,
        (from, to): (Date, Date),
        made_at: Timestamp,
    ) -> io::Result<Manifest> {
        let manifest = Manifest {
            format: "ecaf-archive/1.0",
            made_for,
            made_at: made_at.to_string(),
            from: from.to_string(),
            to: to.to_string(),
            referrals: self.referrals,
            not_proved: self.not_proved,
        };
        let index = std::mem::take(&mut self.index);
        self.write("index.csv", index.as_bytes())?;
        let json = serde_json::to_vec_pretty(&manifest).map_err(io::Error::other)?;
        self.write("manifest.json", &json)?;
        self.sums.sort_unstable();
        let sums = self.sums.iter().map(|(name, digest)| format!("{digest}  {name}\n"));
        let sums: String = sums.collect();
        files::replace(&self.folder.join("SHA256SUMS"), sums.as_bytes(), PRIVATE)?;
        Ok(manifest)
    }

    fn folder_of(&self, name: &str) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(self.folder.join(name))
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        files::replace(&self.folder.join(name), bytes, PRIVATE)?;
        self.sums.push((name.to_owned(), sha256_hex(bytes)));
        Ok(())
    }
}

/// SHA-256 as `sha256sum` writes it.
fn sha256_hex(bytes: &[u8]) -> String {
    sha256(bytes).as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// When a referral was accepted.
pub fn accepted_at(gathered: &Gathered) -> Option<Timestamp> {
    gathered.entries.iter().find_map(|entry| match &entry.says {
        Says::Accepted(accepted) => Some(accepted.recorded_at),
        _ => None,
    })
}

fn line(gathered: &Gathered, chronology: &Chronology, record: Option<&Record>) -> String {
    let count = |state: &str| chronology.documents.iter().filter(|d| d.state == state).count();
    let minutes = |millis: Option<i64>| millis.map_or(String::new(), |m| (m / 60_000).to_string());
    let empty = String::new;
    let summary = chronology.summary.as_ref();
    let of = |f: fn(&super::chronology::Summary) -> &String| {
        summary.map_or_else(empty, |s| f(s).clone())
    };
    let children =
        record.filter(|r| r.readable).map_or_else(empty, |r| r.children.len().to_string());
    let decisions = record.map_or_else(empty, |record| {
        let codes = record.children.iter().map(|c| c.decision.map_or("-", |d| d.as_str()));
        codes.collect::<Vec<_>>().join(" ")
    });
    let standing = match record.map(|record| record.ending) {
        None => "taken_out_of_use",
        Some(Ending::Open) => "open",
        Some(Ending::Closed) => "closed",
        Some(Ending::Withdrawn) => "withdrawn",
    };
    let transfer = match record.map(|record| record.passing) {
        Some(Passing::PassedOn) => "passed_on",
        Some(Passing::Proposed) => "proposed",
        _ => "",
    };
    let breaches = record.map_or_else(empty, |record| {
        let breached = record.clocks.iter().filter(|clock| clock.outcome == Outcome::Breached);
        let words = breached.map(|clock| format!("{} {}", clock.id.as_str(), clock.class.as_str()));
        words.collect::<Vec<_>>().join("; ")
    });
    let at = accepted_at(gathered).filter(|_| record.is_some());
    let fields = [
        chronology.referral_id.clone(),
        at.map_or_else(empty, |at| at.to_string()),
        of(|s| &s.sender),
        of(|s| &s.urgency),
        of(|s| &s.request_type),
        of(|s| &s.first_authority),
        of(|s| &s.holder),
        children,
        minutes(record.and_then(|r| r.stored_after)),
        minutes(record.and_then(|r| r.opened_after)),
        minutes(record.and_then(|r| r.acknowledged_after)),
        minutes(record.and_then(|r| r.decided_after)),
        decisions,
        standing.to_owned(),
        transfer.to_owned(),
        record.map_or_else(empty, |r| if r.disagreed { "yes" } else { "no" }.to_owned()),
        breaches,
        count("shown").to_string(),
        count("erased").to_string(),
        count("withheld").to_string(),
        if chronology.proved { "yes" } else { "no" }.to_owned(),
    ];
    fields.map(|field| csv_field(&field)).join(",")
}

/// Whether a folder is a whole archive: every file is the one that SHA256SUMS names.
pub fn is_whole(folder: &Path) -> io::Result<bool> {
    let sums = fs::read_to_string(folder.join("SHA256SUMS"))?;
    for line in sums.lines() {
        let Some((digest, name)) = line.split_once("  ") else { return Ok(false) };
        if sha256_hex(&fs::read(folder.join(name))?) != digest {
            return Ok(false);
        }
    }
    Ok(!sums.is_empty())
}
