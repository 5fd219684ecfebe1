//! `authority.toml`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::common::{
    IdentitySettings, LimitSettings, LogSettings, TrustSettings, identity, limits, listen,
    listeners, log, trust,
};
use super::keys::{KeySettings, keys};
use super::member::{GatewayAddress, gateway};
use super::reader::{Environment, Mistakes, Section, read};
use super::store::{StoreSettings, store};
use super::values::Line;
use crate::domain::party::DfeCode;

/// Everything that an authority's receiving endpoint is told.
#[derive(Debug, Clone)]
pub struct AuthoritySettings {
    /// Its code; its certificates must say the same.
    pub code: DfeCode,
    /// What its references begin with, as in `NEW-2026-000123`: 1 to 12 of `A-Z 0-9`.
    pub reference_prefix: String,
    /// Where it listens for gateways: mutual TLS. One that only collects opens nothing.
    pub parties: Option<SocketAddr>,
    /// For the operator: health and metrics without TLS, on a loopback address only.
    pub operator: SocketAddr,
    /// From which gateway it collects, if it does.
    pub gateway: Option<GatewayAddress>,
    /// Whose certificates it accepts.
    pub trust: TrustSettings,
    /// Who it is.
    pub identity: IdentitySettings,
    /// The signed directory: which gateways count, which schools may be attested by whom.
    pub directory: PathBuf,
    /// Where everything is kept.
    pub store: StoreSettings,
    /// What its documents are sealed with.
    pub keys: KeySettings,
    /// Limits of the listener for parties.
    pub limits: LimitSettings,
    /// Logging.
    pub log: LogSettings,
}

pub(super) fn parse(
    file: &Path,
    text: &str,
    environment: Environment<'_>,
) -> Result<AuthoritySettings, Mistakes> {
    read(file, text, environment, |root| {
        root.optional::<Line>("kind");
        let demo = root.optional("demo").unwrap_or(false);
        let code = root.required("code");
        let reference_prefix = reference_prefix(root);
        let (parties, operator) = match root.has("gateway") {
            true => listeners(root, demo),
            false => match listen(root, demo) {
                Some(listen) => (Some(listen.parties), listen.operator),
                None => (None, SocketAddr::from(([127, 0, 0, 1], 0))),
            },
        };
        let trust = root.section("trust", |s| trust(s, demo));
        let gateway = match root.has("gateway") {
            true => root.section("gateway", |s| gateway(s, demo, trust.as_ref())),
            false => None,
        };
        let identity = root.section("identity", identity);
        let directory = root.section("directory", |s| s.required("file"));
        let store = root.section("store", |s| store(s, "ecaf_authority"));
        let keys = root.section("keys", |s| keys(s, store.as_ref().and_then(StoreSettings::file)));
        let limits = root.section("limits", limits);
        let log = root.section("log", log);
        Some(AuthoritySettings {
            code: code?,
            reference_prefix: reference_prefix?,
            parties,
            operator,
            gateway,
            trust: trust?,
            identity: identity?,
            directory: directory?,
            store: store?,
            keys: keys?,
            limits,
            log,
        })
    })
}

fn reference_prefix(root: &mut Section<'_, '_>) -> Option<String> {
    let prefix = root.required::<Line>("reference_prefix")?.0;
    let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
    if (1..=12).contains(&prefix.len()) && prefix.chars().all(allowed) {
        return Some(prefix);
    }
    root.wrong("reference_prefix", "must be 1 to 12 capital letters and digits");
    None
}
