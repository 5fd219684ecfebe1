//! The data that routing rests on: the embedded tables, and how they are read, made and explained.
//!
//! | module | owns |
//! |---|---|
//! | [`envelope`] | the file around a postcode table: digest, compression, bounds |
//! | [`mod@reference`] | the CSV files of authorities and districts -> a dated table |
//! | [`import`] | published postcode directories -> a postcode table |
//! | [`explain`] | an answer in plain English and as JSON |
//!
//! Licences and required statements: `data/SOURCES.md`; format: `FORMAT.md`.

pub mod envelope;
pub mod explain;
pub mod import;
pub mod reference;

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::domain::ids::Digest;
use crate::domain::party::DfeCode;
use crate::domain::referral::RoutingFacts;
use crate::domain::routing::answer::{Answer, answer};
use crate::domain::routing::decide::{Atlas, Decision, decide};
use crate::domain::routing::district::Districts;
use crate::domain::routing::table::PostcodeTable;
use crate::domain::time::Date;

pub use envelope::DataError;
pub use explain::Explanation;

static POSTCODES: &[u8] = include_bytes!("data/postcodes.ecafpct");

/// All routing data in use, read-only; cloning shares it.
#[derive(Clone, Debug)]
pub struct RoutingTables {
    postcodes: Arc<PostcodeTable>,
    districts: Arc<Districts>,
    versions: Versions,
}

/// Which data a decision rested on. Kept in dispatch notes: the decision can be repeated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Versions {
    /// Source and edition of the postcode table: `ONSPD 2025-11`.
    pub postcodes: String,
    /// Digest of the postcode table's content.
    pub postcodes_digest: Digest,
    /// Edition of the table of districts: `2026-04`.
    pub districts: String,
    /// Digest of the files of the table of districts.
    pub districts_digest: Digest,
}

impl RoutingTables {
    /// The tables inside this program. Reads them once; later calls share them.
    pub fn embedded() -> Result<Self, DataError> {
        static ONCE: OnceLock<Result<RoutingTables, DataError>> = OnceLock::new();
        ONCE.get_or_init(|| {
            let (postcodes, postcodes_digest) = envelope::open(POSTCODES)?;
            let (districts, districts_digest) = reference::embedded()?;
            let versions = Versions {
                postcodes: edition(&postcodes),
                postcodes_digest,
                districts: reference::EDITION.to_string(),
                districts_digest,
            };
            Ok(Self { postcodes: Arc::new(postcodes), districts: Arc::new(districts), versions })
        })
        .clone()
    }

    /// The same with a postcode table of the operator's; refused if `pin` is given and is not its
    /// digest (the one that `ecaf postcodes show` prints).
    pub fn load_postcodes(&self, bytes: &[u8], pin: Option<Digest>) -> Result<Self, DataError> {
        let (postcodes, digest) = envelope::open(bytes)?;
        if pin.is_some_and(|pin| pin != digest) {
            return Err(DataError::Pin);
        }
        let mut loaded = self.clone();
        loaded.versions.postcodes = edition(&postcodes);
        loaded.versions.postcodes_digest = digest;
        loaded.postcodes = Arc::new(postcodes);
        Ok(loaded)
    }

    /// Where a referral goes on `as_of`, and why. `school_authority` is the authority in whose area
    /// the sending school stands.
    pub fn decide(
        &self,
        facts: &RoutingFacts,
        school_authority: Option<DfeCode>,
        as_of: Date,
    ) -> Decision {
        let atlas = Atlas { postcodes: &self.postcodes, districts: &self.districts };
        decide(atlas, facts, school_authority, as_of)
    }

    /// What one postcode says on `as_of`.
    pub fn answer(&self, typed: &str, as_of: Date) -> Answer {
        answer(&self.postcodes, &self.districts, as_of, typed).0
    }

    /// The same, told to a person.
    pub fn explain(&self, typed: &str, as_of: Date) -> Explanation {
        explain::explain(self, typed, as_of)
    }

    /// The postcode table.
    pub fn postcodes(&self) -> &PostcodeTable {
        &self.postcodes
    }

    /// The table of districts and authorities.
    pub fn districts(&self) -> &Districts {
        &self.districts
    }

    /// Which data this is.
    pub const fn versions(&self) -> &Versions {
        &self.versions
    }
}

fn edition(table: &PostcodeTable) -> String {
    let meta = table.meta();
    format!("{} {:04}-{:02}", meta.source, meta.year, meta.month)
}

impl fmt::Display for Versions {
    /// One line: `ONSPD 2025-11 (sha-256 ...); districts 2026-04 (sha-256 ...)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { postcodes, postcodes_digest, districts, districts_digest } = self;
        write!(f, "{postcodes} (sha-256 {postcodes_digest}); ")?;
        write!(f, "districts {districts} (sha-256 {districts_digest})")
    }
}

#[cfg(test)]
mod tests;
