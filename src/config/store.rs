//! `[store]`: one SQLite file on this machine, or a PostgreSQL database that gateways share.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

use super::common::{minutes, seconds};
use super::reader::{Environment, Section};
use super::values::{Line, SecretFile, SecretSource, Value};

/// Where a gateway or an authority keeps everything.
#[derive(Debug, Clone)]
pub enum StoreSettings {
    /// A file of its own.
    Sqlite(PathBuf),
    /// A database.
    Postgres(Box<PostgresSettings>),
}

impl StoreSettings {
    /// The database file, where there is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            StoreSettings::Sqlite(path) => Some(path),
            StoreSettings::Postgres(_) => None,
        }
    }

    /// What the names of the small files that a process keeps on its own machine begin with.
    pub fn beside(&self) -> &Path {
        match self {
            StoreSettings::Sqlite(path) => path,
            StoreSettings::Postgres(settings) => &settings.state,
        }
    }
}

/// What operators read: the file, or the database and its servers.
impl fmt::Display for StoreSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreSettings::Sqlite(path) => path.display().fmt(f),
            StoreSettings::Postgres(settings) => {
                write!(f, "database {} on {}", settings.database, settings.servers)
            }
        }
    }
}

/// A PostgreSQL database.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// In the order in which they are tried; one of them is the primary.
    pub servers: Servers,
    /// Its name.
    pub database: String,
    /// The role that serves.
    pub user: String,
    /// Its password.
    pub password: Option<SecretSource>,
    /// The role that migrations and promotions log in with.
    pub owner: String,
    /// Its password.
    pub owner_password: Option<SecretSource>,
    /// A client certificate and its key.
    pub certificate: Option<(PathBuf, SecretFile)>,
    /// Whose certificates the servers have; always given but for sockets and plain loopback.
    pub ca: Option<PathBuf>,
    /// Whether loopback addresses are reached without TLS.
    pub plain_loopback: bool,
    /// Whether a commit counts only once a replica has it too.
    pub on_replica: bool,
    /// Connections of this process.
    pub connections: usize,
    /// How long an operation is tried, over lost connections and promotions.
    pub patience: Duration,
    /// Beginning of the names of small files of this process: what it saw last of directory and
    /// promotions.
    pub state: PathBuf,
}

/// Servers of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Servers(pub Vec<ServerAddress>);

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// A name, an address, or the folder of a Unix socket.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl ServerAddress {
    const PORT: u16 = 5432;

    fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            // An IPv6 address without a port ends with its bracket.
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (text, Self::PORT),
        };
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
        let sound = !host.is_empty() && host.chars().all(plain) && port > 0;
        sound.then(|| Self { host: host.to_owned(), port })
    }

    /// Whether it is the folder of a Unix socket.
    pub fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }
}

impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, ServerAddress { host, port }) in self.0.iter().enumerate() {
            f.write_str(if i > 0 { ", " } else { "" })?;
            match host.contains(':') {
                true => write!(f, "[{host}]:{port}")?,
                false => write!(f, "{host}:{port}")?,
            }
        }
        Ok(())
    }
}

impl Value for Servers {
    const FORM: &'static str = "a list of servers such as [\"db-1.example.org\", \
        \"db-2.example.org:5433\"] or [\"/run/postgresql\"]";

    fn from_text(text: &str, _: &Path, _: Environment<'_>) -> Result<Self, String> {
        let list: Option<Vec<_>> =
            text.split(',').map(|one| ServerAddress::parse(one.trim())).collect();
        list.filter(|list| list.len() <= 16)
            .map(Self)
            .ok_or_else(|| format!("must be {}", Self::FORM))
    }

    fn from_toml(
        value: &DeValue<'_>,
        folder: &Path,
        environment: Environment<'_>,
    ) -> Result<Self, String> {
        let wrong = || format!("must be {}", Self::FORM);
        let list = value.as_array().ok_or_else(wrong)?;
        let list: Option<Vec<&str>> = list.iter().map(|one| one.get_ref().as_str()).collect();
        let list = list.filter(|list| list.iter().all(|one| !one.contains(',')));
        Self::from_text(&list.ok_or_else(wrong)?.join(","), folder, environment)
    }
}

/// `role`: the role that serves, unless said otherwise.
pub(super) fn store(section: &mut Section<'_, '_>, role: &'static str) -> Option<StoreSettings> {
    match section.optional::<Line>("kind").as_ref().map(|kind| kind.0.as_str()) {
        None if section.has("kind") => None,
        None | Some("sqlite") => sqlite(section),
        Some("postgres") => {
            postgres(section, role).map(|found| StoreSettings::Postgres(Box::new(found)))
        }
        Some(_) => {
            section.wrong("kind", "must be \"sqlite\" or \"postgres\"");
            None
        }
    }
}

/// The path of the database, or `ECAF_STORE_PATH`.
fn sqlite(section: &mut Section<'_, '_>) -> Option<StoreSettings> {
    let path = section.overridable("path", "ECAF_STORE_PATH");
    if path.is_none() && !section.has("path") {
        section.required::<PathBuf>("path");
    }
    path.map(StoreSettings::Sqlite)
}

fn postgres(section: &mut Section<'_, '_>, role: &'static str) -> Option<PostgresSettings> {
    let servers = section.required::<Servers>("servers");
    let database = name(section, "database", "ecaf");
    let user = name(section, "user", role);
    let password = section.optional("password");
    let owner = name(section, "owner", "ecaf_owner");
    let owner_password = section.optional("owner_password");
    let certificate = section.optional::<PathBuf>("certificate");
    let key = section.optional::<SecretFile>("key");
    let ca = section.optional::<PathBuf>("ca");
    let plain_loopback = section.optional("plain_loopback").unwrap_or(false);
    let durable = section.optional::<Line>("durable").map(|line| line.0);
    let connections = section.bounded("connections", 12u64, (2, 1_000));
    let patience = section.bounded("patience", seconds(15), (seconds(3), minutes(5))).0;
    let state = section.required::<PathBuf>("state");
    let on_replica = match durable.as_deref() {
        None | Some("replica") => true,
        Some("primary") => false,
        Some(_) => {
            section.wrong("durable", "must be \"replica\" or \"primary\"");
            true
        }
    };
    if certificate.is_some() != key.is_some() {
        section.wrong("certificate", "certificate and key go together");
    }
    for server in servers.iter().flat_map(|servers| &servers.0) {
        let loopback = server.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if server.is_socket() || ca.is_some() || (plain_loopback && loopback) {
            continue;
        }
        section.wrong(
            "servers",
            "servers are reached over TLS: name the authority of their certificates as ca (without \
             it only Unix sockets, and loopback addresses with plain_loopback = true)",
        );
        break;
    }
    if plain_loopback && ca.is_some() {
        section.wrong("plain_loopback", "goes without ca: with it, everything is reached over TLS");
    }
    Some(PostgresSettings {
        servers: servers?,
        database: database?,
        user: user?,
        password,
        owner: owner?,
        owner_password,
        certificate: certificate.zip(key),
        ca,
        plain_loopback,
        on_replica,
        connections: usize::try_from(connections).unwrap_or(12),
        patience,
        state: state?,
    })
}

/// The name of a role or database.
fn name(section: &mut Section<'_, '_>, key: &'static str, default: &'static str) -> Option<String> {
    let given = section.optional::<Line>(key);
    if given.is_none() && section.has(key) {
        return None;
    }
    let name = given.map_or_else(|| default.to_owned(), |line| line.0);
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if (1..=63).contains(&name.len()) && name.chars().all(plain) {
        return Some(name);
    }
    section.wrong(key, "must be 1 to 63 letters, digits, \"_\" and \"-\"");
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(text: &str) -> Option<String> {
        let list = Servers::from_text(text, Path::new("/"), &|_| None);
        list.ok().map(|servers| servers.to_string())
    }

    #[test]
    fn servers_are_names_addresses_or_folders() {
        assert_eq!(servers("db-1.example.org").as_deref(), Some("db-1.example.org:5432"));
        assert_eq!(servers("db-1:1,db-2:2").as_deref(), Some("db-1:1, db-2:2"));
        assert_eq!(servers("[::1]:5433, [::1]").as_deref(), Some("[::1]:5433, [::1]:5432"));
        assert_eq!(servers("/run/postgresql").as_deref(), Some("/run/postgresql:5432"));
        for bad in ["", "db:", "db:0", "db:99999", "user@db", "postgres://db/x?sslmode=disable"] {
            assert_eq!(servers(bad), None, "{bad}");
        }
    }
}
