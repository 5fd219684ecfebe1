//! The referral schema, compiled once: every violation at once, as pointer and rule, never a value.

mod advice;
mod checked;
mod codes;
mod detail;
mod draft;
mod facts;
mod fields;
mod minimal;
mod quick;
mod references;
mod resources;
mod shape;
mod table;
mod texts;
mod violations;

use std::sync::LazyLock;

use jsonschema::{PatternOptions, Registry, Validator};
use serde_json::Value;

use crate::domain::ids::Digest;
use crate::domain::refusal::Violation;
use crate::protocol::hash::sha256;
use crate::protocol::json::Json;

pub use checked::{Checked, check, check_header, check_read, findings};
pub use codes::{CodeList, label, list, list_of_system};
pub use detail::{DETAIL_COMMON, LARGEST_DETAIL, OTHER_EVENT, check_detail};
pub use draft::Draft;
pub use fields::reference as field_reference;
pub use minimal::minimal_from;
pub use references::{Naming, RULES as REFERENCE_RULES};
pub use resources::{Resource, resources};
pub use shape::Shape;
pub use violations::{Finding, MAX_LISTED, RULES};

use quick::Quick;

/// A compiled schema of the scheme.
pub struct Schema {
    validator: Validator,
    quick: Quick,
    names: violations::Names,
    digest: Digest,
}

static REFERRAL_V1: LazyLock<Schema> = LazyLock::new(|| {
    // The schemas are part of the program: what fails here fails in every test run.
    #[allow(clippy::expect_used, reason = "embedded constants, proved by the tests of this module")]
    Schema::compile(resources::REFERRAL_V1_ID).expect("the embedded schemas compile")
});

impl Schema {
    /// The schema of a referral, version 1. Compiled at the first call (about a millisecond).
    pub fn referral_v1() -> &'static Schema {
        &REFERRAL_V1
    }

    /// The `$id` of the schema of a referral, version 1.
    pub const fn referral_v1_id() -> &'static str {
        resources::REFERRAL_V1_ID
    }

    fn compile(id: &str) -> Result<Self, String> {
        let mut registry = Registry::new();
        let mut root = None;
        let mut names = violations::Names::default();
        for resource in resources() {
            let value: Value = serde_json::from_slice(resource.bytes)
                .map_err(|e| format!("{}: {e}", resource.path))?;
            names.collect(&value);
            if resource.id == id {
                root = Some(value.clone());
            }
            registry = registry.add(resource.id, value).map_err(|e| e.to_string())?;
        }
        let registry = registry.prepare().map_err(|e| e.to_string())?;
        let root = root.ok_or_else(|| format!("no schema with the $id {id}"))?;
        let build = |schema: &Value| {
            jsonschema::options()
                .with_draft(jsonschema::Draft::Draft202012)
                .with_registry(&registry)
                .offline()
                .should_validate_formats(true)
                .should_ignore_unknown_formats(false)
                // Linear time whatever the text: a pattern can never be an attack.
                .with_pattern_options(PatternOptions::regex())
                .build(schema)
                .map_err(|e| e.to_string())
        };
        let quick = Quick::compile(resources(), id, &build)?;
        Ok(Self { validator: build(&root)?, quick, names, digest: digest_of(resources()) })
    }

    /// Identifies all schemas and code lists in use: SHA-256 over the lines `<sha256> <path>\n` of
    /// the resources, sorted by path.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether the document fits the schema. The cheap way to ask (about 20 us for 6 KB).
    pub fn fits(&self, document: &Value) -> bool {
        self.validator.is_valid(document)
    }

    /// Every violation of the schema, sorted by place; at most [`MAX_LISTED`] and one more. Of a
    /// document just read: most are found good without the library.
    pub fn findings_in(&self, document: Json<'_>) -> Vec<Finding> {
        if self.quick.fits(document) {
            return Vec::new();
        }
        self.findings(&document.to_value())
    }

    /// The same, by the library alone.
    pub fn findings(&self, document: &Value) -> Vec<Finding> {
        if self.fits(document) {
            return Vec::new();
        }
        violations::findings(self.validator.iter_errors(document), document, &self.names)
    }

    /// The same as a verdict.
    pub fn check(&self, document: &Value) -> Result<(), Vec<Violation>> {
        let findings = self.findings(document);
        if findings.is_empty() {
            return Ok(());
        }
        Err(findings.into_iter().map(|finding| finding.violation).collect())
    }
}

fn digest_of(resources: &[Resource]) -> Digest {
    let mut lines: Vec<String> =
        resources.iter().map(|r| format!("{} {}\n", sha256(r.bytes), r.path)).collect();
    lines.sort_by(|a, b| a[44..].cmp(&b[44..]));
    sha256(lines.concat().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schemas_compile_and_know_their_names() {
        let schema = Schema::referral_v1();
        assert!(
            schema.names.members.contains("referral_id")
                && schema.names.members.contains("urgency")
        );
        assert!(schema.check(&serde_json::json!({})).is_err());
    }
}
