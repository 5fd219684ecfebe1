//! `school.toml` and `worker.toml`: a machine that speaks to the gateway for a school, or for a worker
//! of an authority.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Kind;
use super::common::{
    IdentitySettings, LogSettings, TrustSettings, log, minutes, school_identity, seconds, trust,
};
use super::reader::{Environment, Mistakes, Section, read};
use super::values::{BaseUrl, Line};
use crate::domain::party::{Party, Role};

/// Everything that such a machine is told.
#[derive(Debug, Clone)]
pub struct MemberSettings {
    /// Whether it is a school's or an authority's.
    pub role: Role,
    /// The gateway that it speaks to.
    pub gateway: GatewayAddress,
    /// Whose certificates it accepts.
    pub trust: TrustSettings,
    /// Who it is.
    pub identity: IdentitySettings,
    /// The person who speaks, for documents that name a worker.
    pub person: Option<Person>,
    /// The signed directory, for phone numbers while no gateway answers.
    pub directory: Option<PathBuf>,
    /// Where it keeps what it sent, and the receipts.
    pub state_dir: PathBuf,
    /// Logging.
    pub log: LogSettings,
}

/// `[person]`: how others reach whoever uses this machine.
#[derive(Debug, Clone)]
pub struct Person {
    /// Name.
    pub name: String,
    /// What the person is.
    pub role: String,
    /// Direct telephone number.
    pub phone: String,
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
) -> Result<MemberSettings, Mistakes> {
    read(file, text, environment, |root| {
        let kind = root.optional::<Line>("kind");
        let is_worker = kind.is_some_and(|kind| kind.0 == Kind::Worker.as_str());
        let demo = root.optional("demo").unwrap_or(false);
        let trust = root.section("trust", |s| trust(s, demo));
        let gateway = root.section("gateway", |s| gateway(s, demo, trust.as_ref()));
        let identity = root.section("identity", school_identity);
        let person = if root.has("person") { root.section("person", person) } else { None };
        let directory = root.section("directory", |s| s.optional("file"));
        let state_dir = state_dir(root);
        let log = root.section("log", log);
        Some(MemberSettings {
            role: if is_worker { Role::Authority } else { Role::School },
            gateway: gateway?,
            trust: trust?,
            identity: identity?,
            person,
            directory,
            state_dir: state_dir?,
            log,
        })
    })
}

fn person(section: &mut Section<'_, '_>) -> Option<Person> {
    let mut line = |key| section.required::<Line>(key).map(|line| line.0);
    let (name, role, phone) = (line("name"), line("role"), line("phone"));
    Some(Person { name: name?, role: role?, phone: phone? })
}

pub(super) fn gateway(
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
