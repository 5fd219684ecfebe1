//! `gateway.toml`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::common::{
    IdentitySettings, LimitSettings, ListenSettings, LogSettings, TrustSettings, identity, limits,
    listen, log, minutes, seconds, trust,
};
use super::keys::{KeySettings, keys};
use super::reader::{Environment, Mistakes, Section, read};
use super::store::{StoreSettings, store};
use super::values::{Line, Span};

/// Everything that a gateway is told.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// Its two listeners.
    pub listen: ListenSettings,
    /// Whose certificates it accepts.
    pub trust: TrustSettings,
    /// Who it is.
    pub identity: IdentitySettings,
    /// The signed directory.
    pub directory: PathBuf,
    /// A postcode table to use instead of the one in the program.
    pub postcodes: Option<PathBuf>,
    /// Where everything is kept.
    pub store: StoreSettings,
    /// What its documents are sealed with.
    pub keys: KeySettings,
    /// Limits of the listener for parties.
    pub limits: LimitSettings,
    /// How referrals are delivered.
    pub delivery: DeliverySettings,
    /// The operator's own number, named in refusals beside the authority's.
    pub support: Option<String>,
    /// Logging.
    pub log: LogSettings,
}

/// `[delivery]`: how referrals reach the endpoints of authorities.
#[derive(Debug, Clone)]
pub struct DeliverySettings {
    /// Wait before the second attempt; doubles with each further one, with jitter.
    pub retry_first: Duration,
    /// Longest wait between attempts.
    pub retry_longest: Duration,
    /// After this a delivery is `undeliverable` and a person must act.
    pub give_up_after: Duration,
    /// For one attempt, from connecting to the whole answer.
    pub attempt_timeout: Duration,
    /// Attempts under way at a time, over all authorities.
    pub concurrency: usize,
    /// Attempts under way at a time to one authority.
    pub concurrency_per_authority: usize,
    /// Failures in a row after which an authority is left alone.
    pub breaker_failures: u32,
    /// For this long; then one attempt tries again.
    pub breaker_pause: Duration,
}

pub(super) fn parse(
    file: &Path,
    text: &str,
    environment: Environment<'_>,
) -> Result<GatewaySettings, Mistakes> {
    read(file, text, environment, |root| {
        root.optional::<Line>("kind");
        let demo = root.optional("demo").unwrap_or(false);
        let listen = listen(root, demo);
        let support = root.optional::<Line>("support").map(|line| line.0);
        let trust = root.section("trust", |s| trust(s, demo));
        let identity = root.section("identity", identity);
        let directory = root.section("directory", |s| s.required("file"));
        let postcodes = root.section("postcodes", |s| s.optional("table"));
        let store = root.section("store", |s| store(s, "ecaf_gateway"));
        let keys = root.section("keys", |s| keys(s, store.as_ref().and_then(StoreSettings::file)));
        let limits = root.section("limits", limits);
        let delivery = root.section("delivery", delivery);
        let log = root.section("log", log);
        Some(GatewaySettings {
            listen: listen?,
            trust: trust?,
            identity: identity?,
            directory: directory?,
            postcodes,
            store: store?,
            keys: keys?,
            limits,
            delivery,
            support,
            log,
        })
    })
}

fn delivery(section: &mut Section<'_, '_>) -> DeliverySettings {
    let mut span =
        |key, default: Span, bounds: (Span, Span)| section.bounded(key, default, bounds).0;
    let retry_first =
        span("retry_first", seconds(1), (Span(Duration::from_millis(50)), minutes(10)));
    let retry_longest = span("retry_longest", minutes(5), (seconds(1), minutes(60)));
    let give_up_after =
        span("give_up_after", minutes(7 * 24 * 60), (minutes(1), minutes(30 * 24 * 60)));
    let attempt_timeout = span("attempt_timeout", seconds(20), (seconds(1), minutes(5)));
    let breaker_pause = span("breaker_pause", seconds(30), (seconds(1), minutes(60)));
    let mut count = |key, default: u32, most: u32| {
        let number = section.bounded(key, u64::from(default), (1, u64::from(most)));
        u32::try_from(number).unwrap_or(default)
    };
    let concurrency = count("concurrency", 32, 1_000);
    let concurrency_per_authority = count("concurrency_per_authority", 4, 100);
    let breaker_failures = count("breaker_failures", 5, 1_000);
    if retry_longest < retry_first {
        section.wrong("retry_longest", "must not be shorter than retry_first");
    }
    DeliverySettings {
        retry_first,
        retry_longest,
        give_up_after,
        attempt_timeout,
        concurrency: concurrency as usize,
        concurrency_per_authority: concurrency_per_authority as usize,
        breaker_failures,
        breaker_pause,
    }
}
