//! Sections that several kinds of configuration share.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::reader::Section;
use super::values::{SecretFile, Size, Span};
use crate::domain::party::TrustDomain;
use crate::http::Limits;
use crate::protocol::directory::DEMO_TRUST_DOMAIN;
use crate::telemetry::LogFormat;

/// `[trust]`: whose certificates are accepted.
#[derive(Debug, Clone)]
pub struct TrustSettings {
    /// The scheme's trust domain.
    pub domain: TrustDomain,
    /// PEM file of root certificates.
    pub roots: PathBuf,
    /// PEM file of issuing CAs.
    pub issuing: PathBuf,
    /// Folder of revocation lists: every file in it, dot-files aside.
    pub crls: PathBuf,
    /// How often roots, issuing CAs, lists, own certificates and the directory are read again.
    pub reload_every: Duration,
    /// Whether the scheme's example keys are accepted: only with loopback listeners.
    pub demo: bool,
}

/// `[identity]`: who this machine is.
#[derive(Debug, Clone)]
pub struct IdentitySettings {
    /// PEM chain of the `tls` leaf.
    pub tls_certificate: PathBuf,
    /// Its PKCS #8 key.
    pub tls_key: SecretFile,
    /// The signing key; only a school that a gateway attests for has none.
    pub signing: Option<SigningSettings>,
}

/// `[identity]`: the key for tokens.
#[derive(Debug, Clone)]
pub struct SigningSettings {
    /// PEM chain of the `signing` leaf.
    pub certificate: PathBuf,
    /// Its PKCS #8 key.
    pub key: SecretFile,
}

/// `[log]`: how and how much is logged, to standard error.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// Lines for machines or for people.
    pub format: LogFormat,
}

/// `[limits]`: of the listener for parties.
#[derive(Debug, Clone)]
pub struct LimitSettings {
    /// The largest request body, in bytes.
    pub body_bytes: usize,
    /// Everything that the listener itself enforces.
    pub listener: Limits,
}

/// The two listeners of a server.
#[derive(Debug, Clone)]
pub struct ListenSettings {
    /// For parties: mutual TLS.
    pub parties: SocketAddr,
    /// For the operator: health and metrics without TLS, on a loopback address only.
    pub operator: SocketAddr,
}

pub(super) fn trust(section: &mut Section<'_, '_>, demo: bool) -> Option<TrustSettings> {
    let domain = section.required::<TrustDomain>("domain");
    let roots = section.required("roots");
    let issuing = section.required("issuing");
    let crls = section.required("crls");
    let reload_every = section.bounded("reload_every", minutes(1), (seconds(1), minutes(60)));
    if let Some(domain) = &domain {
        match (demo, domain.as_str() == DEMO_TRUST_DOMAIN) {
            (true, false) => {
                section.wrong("domain", format!("demo = true goes with {DEMO_TRUST_DOMAIN} only"));
            }
            (false, true) => section.wrong(
                "domain",
                "this is the trust domain of the demonstration, whose keys are public; it needs \
                 demo = true",
            ),
            _ => {}
        }
    }
    Some(TrustSettings {
        domain: domain?,
        roots: roots?,
        issuing: issuing?,
        crls: crls?,
        reload_every: reload_every.0,
        demo,
    })
}

pub(super) fn identity(section: &mut Section<'_, '_>) -> Option<IdentitySettings> {
    let tls_certificate = section.required("tls_certificate");
    let tls_key = section.required("tls_key");
    let certificate = section.required("signing_certificate");
    let key = section.required("signing_key");
    let signing = Some(SigningSettings { certificate: certificate?, key: key? });
    Some(IdentitySettings { tls_certificate: tls_certificate?, tls_key: tls_key?, signing })
}

/// The same for a school, which may leave out the signing key where a gateway attests for it.
pub(super) fn school_identity(section: &mut Section<'_, '_>) -> Option<IdentitySettings> {
    if section.has("signing_certificate") || section.has("signing_key") {
        return identity(section);
    }
    let tls_certificate = section.required("tls_certificate");
    let tls_key = section.required("tls_key");
    Some(IdentitySettings { tls_certificate: tls_certificate?, tls_key: tls_key?, signing: None })
}

pub(super) fn log(section: &mut Section<'_, '_>) -> LogSettings {
    let format = section.overridable("format", "ECAF_LOG_FORMAT").unwrap_or(LogFormat::Json);
    LogSettings { format }
}

pub(super) fn listen(root: &mut Section<'_, '_>, demo: bool) -> Option<ListenSettings> {
    let (parties, operator) = listeners(root, demo);
    if parties.is_none() && !root.has("listen") {
        root.required::<SocketAddr>("listen");
    }
    Some(ListenSettings { parties: parties?, operator })
}

/// The same where nothing need be open for parties.
pub(super) fn listeners(
    root: &mut Section<'_, '_>,
    demo: bool,
) -> (Option<SocketAddr>, SocketAddr) {
    let parties = root.overridable::<SocketAddr>("listen", "ECAF_LISTEN");
    let operator = root
        .overridable::<SocketAddr>("operator_listen", "ECAF_OPERATOR_LISTEN")
        .unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9443)));
    if !operator.ip().is_loopback() {
        root.wrong(
            "operator_listen",
            "must be a loopback address: it answers without TLS; reach it through the machine",
        );
    }
    if demo && parties.is_some_and(|address| !address.ip().is_loopback()) {
        root.wrong("listen", "must be a loopback address with demo = true");
    }
    (parties, operator)
}

pub(super) fn limits(section: &mut Section<'_, '_>) -> LimitSettings {
    let d = Limits::default();
    let mut count = |key, default: usize, most: u64| {
        usize::try_from(section.bounded(key, default as u64, (1, most))).unwrap_or(default)
    };
    let handshakes = count("handshakes", d.handshakes, 100_000);
    let handshake_rate = count("handshake_rate", d.handshake_rate as usize, 1_000_000);
    let handshake_burst = count("handshake_burst", d.handshake_burst as usize, 1_000_000);
    let connections = count("connections", d.connections, 100_000);
    let connections_per_address =
        count("connections_per_address", d.connections_per_address, 100_000);
    let connections_per_party = count("connections_per_party", d.connections_per_party, 100_000);
    let concurrency = count("concurrency", d.concurrency, 10_000);
    let waiting = count("waiting", d.waiting, 100_000);
    let party_concurrency = count("party_concurrency", d.party_concurrency, 10_000);
    let party_waiting = count("party_waiting", d.party_waiting, 10_000);
    let party_rate = count("party_rate", d.party_rate as usize, 1_000_000);
    let party_burst = count("party_burst", d.party_burst as usize, 1_000_000);
    let streams = count("streams", d.streams as usize, 1_000);
    let mut size = |key, default: usize, least: u64, most: u64| {
        let bounds = (Size(least), Size(most));
        usize::try_from(section.bounded(key, Size(default as u64), bounds).0).unwrap_or(default)
    };
    let body_bytes = size("body", 1 << 20, 64 << 10, 10 << 20);
    let bytes_in_flight = size("bodies_in_memory", d.bytes_in_flight, 10 << 20, 8 << 30);
    let mut span = |key, default| {
        section.bounded(key, Span(default), (seconds(1), Span(Duration::from_secs(86_400)))).0
    };
    let listener = Limits {
        handshakes,
        handshake_rate: u32::try_from(handshake_rate).unwrap_or(d.handshake_rate),
        handshake_burst: u32::try_from(handshake_burst).unwrap_or(d.handshake_burst),
        connections,
        connections_per_address,
        connections_per_party,
        concurrency,
        waiting,
        party_concurrency,
        party_waiting,
        party_rate: u32::try_from(party_rate).unwrap_or(d.party_rate),
        party_burst: u32::try_from(party_burst).unwrap_or(d.party_burst),
        streams: u32::try_from(streams).unwrap_or(d.streams),
        bytes_in_flight,
        turn: span("turn_timeout", d.turn),
        handshake: span("handshake_timeout", d.handshake),
        head: span("head_timeout", d.head),
        body: span("body_timeout", d.body),
        idle: span("idle_timeout", d.idle),
        write: span("write_timeout", d.write),
        age: span("connection_age", d.age),
        drain: span("drain_timeout", d.drain),
        ..d
    };
    LimitSettings { body_bytes, listener }
}

pub(super) const fn seconds(n: u64) -> Span {
    Span(Duration::from_secs(n))
}

pub(super) const fn minutes(n: u64) -> Span {
    Span(Duration::from_secs(n * 60))
}
