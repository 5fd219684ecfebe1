//! Configuration: files as typed become settings as used. All mistakes of a file are reported at
//! once, with line and key; nothing is bound or opened before. Secrets are named by file, never
//! written; amounts have units; relative paths start at the file's own folder.
//!
//! The environment overrides a few keys: `ECAF_LISTEN`, `ECAF_OPERATOR_LISTEN`, `ECAF_STORE_PATH`,
//! `ECAF_STATE_DIR` and `ECAF_LOG_FORMAT`.

mod authority;
mod common;
mod files;
mod gateway;
mod keys;
mod member;
mod reader;
mod store;
mod values;

use std::path::Path;

pub use authority::AuthoritySettings;
pub use common::{
    IdentitySettings, LimitSettings, ListenSettings, LogSettings, SigningSettings, TrustSettings,
};
pub use gateway::{DeliverySettings, GatewaySettings};
pub use keys::KeySettings;
pub use member::{GatewayAddress, MemberSettings};
pub use reader::{Environment, Mistake, Mistakes};
pub use store::{PostgresSettings, ServerAddress, Servers, StoreSettings};
pub use values::{BaseUrl, SecretFile, SecretSource, Size, Span};

/// The largest configuration file that is read, in bytes.
const LARGEST: usize = 1024 * 1024;

/// What a configuration file is for. Its key `kind` says it, so that no program starts on another
/// one's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Kind {
    Gateway,
    Authority,
    School,
    Worker,
}

impl Kind {
    /// The value of `kind`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Gateway => "gateway",
            Kind::Authority => "authority",
            Kind::School => "school",
            Kind::Worker => "worker",
        }
    }
}

/// The settings of one file.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "see Kind")]
pub enum Settings {
    Gateway(Box<GatewaySettings>),
    Authority(Box<AuthoritySettings>),
    School(Box<MemberSettings>),
    Worker(Box<MemberSettings>),
}

impl Settings {
    /// What they are for.
    pub const fn kind(&self) -> Kind {
        match self {
            Settings::Gateway(_) => Kind::Gateway,
            Settings::Authority(_) => Kind::Authority,
            Settings::School(_) => Kind::School,
            Settings::Worker(_) => Kind::Worker,
        }
    }
}

/// The environment of this process.
pub fn process_environment(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

/// Loads a gateway's file with the environment of this process.
pub fn load_gateway(file: &Path) -> Result<GatewaySettings, Mistakes> {
    let text = read_kind(file, &[Kind::Gateway])?;
    gateway::parse(file, &text, &process_environment)
}

/// Loads an authority's file with the environment of this process.
pub fn load_authority(file: &Path) -> Result<AuthoritySettings, Mistakes> {
    let text = read_kind(file, &[Kind::Authority])?;
    authority::parse(file, &text, &process_environment)
}

/// Loads a school's file with the environment of this process.
pub fn load_school(file: &Path) -> Result<MemberSettings, Mistakes> {
    let text = read_kind(file, &[Kind::School])?;
    member::parse(file, &text, &process_environment)
}

/// Loads the file of a worker at an authority with the environment of this process.
pub fn load_worker(file: &Path) -> Result<MemberSettings, Mistakes> {
    let text = read_kind(file, &[Kind::Worker])?;
    member::parse(file, &text, &process_environment)
}

/// Loads the file of a school or of a worker with the environment of this process.
pub fn load_member(file: &Path) -> Result<MemberSettings, Mistakes> {
    let text = read_kind(file, &[Kind::School, Kind::Worker])?;
    member::parse(file, &text, &process_environment)
}

/// Loads a file of whatever kind it says that it is.
pub fn load(file: &Path, environment: Environment<'_>) -> Result<Settings, Mistakes> {
    parse(file, &read_file(file)?, environment)
}

/// Reads settings from the text of a file; `file` places relative paths and mistakes.
pub fn parse(file: &Path, text: &str, environment: Environment<'_>) -> Result<Settings, Mistakes> {
    match kind_of(file, text)? {
        Kind::Gateway => {
            gateway::parse(file, text, environment).map(|s| Settings::Gateway(Box::new(s)))
        }
        Kind::Authority => {
            authority::parse(file, text, environment).map(|s| Settings::Authority(Box::new(s)))
        }
        Kind::School => {
            member::parse(file, text, environment).map(|s| Settings::School(Box::new(s)))
        }
        Kind::Worker => {
            member::parse(file, text, environment).map(|s| Settings::Worker(Box::new(s)))
        }
    }
}

fn read_file(file: &Path) -> Result<String, Mistakes> {
    let text = std::fs::read_to_string(file)
        .map_err(|fault| whole(file, format!("cannot be read: {fault}")))?;
    if text.len() > LARGEST {
        return Err(whole(file, "larger than 1 MiB: not a configuration file".to_owned()));
    }
    Ok(text)
}

fn read_kind(file: &Path, wanted: &[Kind]) -> Result<String, Mistakes> {
    let text = read_file(file)?;
    let found = kind_of(file, &text)?;
    if wanted.contains(&found) {
        return Ok(text);
    }
    let found = found.as_str();
    let wanted: Vec<_> = wanted.iter().map(|kind| kind.as_str()).collect();
    let wanted = wanted.join("'s or a ");
    Err(whole(file, format!("is the configuration of a {found}; this command needs a {wanted}'s")))
}

fn kind_of(file: &Path, text: &str) -> Result<Kind, Mistakes> {
    let (table, faults) = toml::de::DeTable::parse_recoverable(text);
    if !faults.is_empty() {
        // The reader tells where; it never gets to a value.
        return reader::read(file, text, &|_| None, |_| None);
    }
    let kind = table.get_ref().iter().find(|(key, _)| key.get_ref().as_ref() == "kind");
    let kind = kind.and_then(|(_, value)| value.get_ref().as_str());
    [Kind::Gateway, Kind::Authority, Kind::School, Kind::Worker]
        .into_iter()
        .find(|k| kind == Some(k.as_str()))
        .ok_or_else(|| {
            let message = "kind: must be \"gateway\", \"authority\", \"school\" or \"worker\"";
            whole(file, message.to_owned())
        })
}

fn whole(file: &Path, message: String) -> Mistakes {
    let mistake = Mistake { line: 0, key: String::new(), message };
    Mistakes { file: file.to_owned(), list: vec![mistake] }
}
