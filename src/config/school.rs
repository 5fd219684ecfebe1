//! `school.toml`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::common::{
    IdentitySettings, LogSettings, TrustSettings, log, minutes, school_identity, seconds, trust,
};
use super::reader::{Environment, Mistakes, Section, read};
use super::values::BaseUrl;
use super::values::Line;
use crate::domain::party::{Party, Role};

/// Everything that the sending side is told.
#[derive(Debug, Clone)]
pub struct SchoolSettings {
    /// The gateway that it sends to.
    pub gateway: GatewayAddress,
    /// Whose certificates it accepts.
    pub trust: TrustSettings,
    /// Who it is.
    pub identity: IdentitySettings,
    /// The signed directory, for phone numbers while no gateway answers.
    pub directory: Option<PathBuf>,
    /// Where submissions and receipts are kept.
    pub state_dir: PathBuf,
    /// Logging.
    pub log: LogSettings,
}

/// `[gateway]`: where it is and who must answer there.
#[derive(Debug, Clone)]
pub struct GatewayAddress {
    /// Base URL.
    pub url: BaseUrl,
    /// The identity that its certificate must show.
    pub identity: Party,
    /// For one attempt, from connecting to the whole answer.
    pub timeout: Duration,
    /// After this without an answer the command gives up; the same bytes may be sent again later.
    pub give_up_after: Duration,
}

pub(super) fn parse(
    file: &Path,
    text: &str,
    environment: Environment<'_>,
) -> Result<SchoolSettings, Mistakes> {
    read(file, text, environment, |root| {
        root.optional::<Line>("kind");
        let demo = root.optional("demo").unwrap_or(false);
        let trust = root.section("trust", |s| trust(s, demo));
        let gateway = root.section("gateway", |s| gateway(s, demo, trust.as_ref()));
        let identity = root.section("identity", school_identity);
        let directory = root.section("directory", |s| s.optional("file"));
        let state_dir = state_dir(root);
        let log = root.section("log", log);
        Some(SchoolSettings {
            gateway: gateway?,
            trust: trust?,
            identity: identity?,
            directory,
            state_dir: state_dir?,
            log,
        })
    })
}

fn gateway(
    section: &mut Section<'_, '_>,
    demo: bool,
    trust: Option<&TrustSettings>,
) -> Option<GatewayAddress> {
    let url = section.required::<BaseUrl>("url");
    let identity = section.required::<Party>("identity");
    let timeout = section.bounded("timeout", seconds(15), (seconds(1), minutes(5)));
    let give_up_after = section.bounded("give_up_after", minutes(1), (seconds(1), minutes(60)));
    if let Some(party) = &identity {
        if party.organisation.role() != Role::Gateway {
            section.wrong("identity", "must be the SPIFFE ID of a gateway");
        } else if trust.is_some_and(|trust| trust.domain != party.trust_domain) {
            section.wrong("identity", "must be of the trust domain in trust.domain");
        }
    }
    let loopback = |url: &BaseUrl| matches!(url.host(), "localhost" | "127.0.0.1");
    if demo && url.as_ref().is_some_and(|url| !loopback(url)) {
        section.wrong("url", "must be on localhost with demo = true");
    }
    Some(GatewayAddress {
        url: url?,
        identity: identity?,
        timeout: timeout.0,
        give_up_after: give_up_after.0,
    })
}

/// The file's, or `ECAF_STATE_DIR`, or the place of the XDG Base Directory Specification.
fn state_dir(root: &mut Section<'_, '_>) -> Option<PathBuf> {
    if let Some(path) = root.overridable("state_dir", "ECAF_STATE_DIR") {
        return Some(path);
    }
    let absolute =
        |variable| root.environment(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let place = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("ecaf"));
    if place.is_none() && !root.has("state_dir") {
        root.wrong("state_dir", "missing: neither XDG_STATE_HOME nor HOME is set");
    }
    place
}
