//! An authority's process: one that serves an endpoint, one that collects, or both.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};

use super::directory_file::DirectoryFile;
use super::operator::{CommitProbe, Operator, Readiness};
use super::parts::{self, AppFault};
use super::process::{fit_to_open_files, notify_ready, notify_stopping, on_signals, stopped};
use super::stores::{self, As};
use super::vault::open_vault;
use crate::authority::api::Api;
use crate::authority::collect::{Collected, Collector, NotCollected};
use crate::authority::station::Station;
use crate::config::{AuthoritySettings, GatewayAddress};
use crate::domain::party::{Organisation, Role};
use crate::effects::SystemEntropy;
use crate::http::plain::OperatorListener;
use crate::http::reload::Reloader;
use crate::http::tls::ServerTls;
use crate::http::{Client, ClientLimits, Server, Service};
use crate::protocol::schema::Schema;
use crate::protocol::trust::{Purpose, VerifiedCache};
use crate::store::RetentionStore;
use crate::store::sealing::Vault;
use crate::telemetry::{self, MetricsHandle};

/// Chains remembered as verified.
const CACHED_CHAINS: usize = 4_096;

/// Collected answers at once: eight dispatches with documents of the greatest length that may be configured
/// stay below it; a larger answer is asked for piece by piece.
const LARGEST_ANSWER: usize = 128 * 1_024 * 1_024;
/// Of the patience with the gateway, what is kept for its answer to travel.
const TO_TRAVEL: Duration = Duration::from_secs(3);

/// What serves and what collects, opened whole or not at all.
struct Opened {
    station: Arc<Station>,
    parts: parts::Parts,
    directory: DirectoryFile,
    vault: Arc<Vault>,
    sealed: Arc<dyn RetentionStore>,
    collector: Option<Collector>,
}

async fn open(settings: &AuthoritySettings, purposes: &[Purpose]) -> Result<Opened, AppFault> {
    let parts = parts::load(&settings.trust, &settings.identity, purposes).await?;
    let me = Organisation::Authority(settings.code);
    if parts.credentials.identity().party().organisation != me {
        return Err(AppFault::new("identity.tls_certificate", "is not that of this authority"));
    }
    let signing = parts::signing_identity(&settings.identity, &parts.trust, &me)?;
    let vault = open_vault(&settings.keys, settings.trust.demo)?;
    let (store, sealed) =
        stores::authority(&settings.store, Arc::clone(&vault), As::Service).await?;
    let mut directory = DirectoryFile::new(
        settings.directory.clone(),
        settings.store.beside(),
        Arc::clone(&parts.trust),
    )?;
    directory.look();
    let station = Arc::new(Station {
        code: settings.code,
        reference_prefix: settings.reference_prefix.clone(),
        signing: ArcSwap::from_pointee(signing),
        trust: Arc::clone(&parts.trust),
        cache: VerifiedCache::new(CACHED_CHAINS),
        directory: directory.holder(),
        store,
        clock: Arc::clone(&parts.clock),
        entropy: Arc::new(SystemEntropy::default()),
        recent: Default::default(),
        broken: Notify::new(),
    });
    let collector = match &settings.gateway {
        Some(gateway) => Some(collector(gateway, &station, &parts)?),
        None => None,
    };
    Ok(Opened { station, parts, directory, vault, sealed, collector })
}

fn collector(
    gateway: &GatewayAddress,
    station: &Arc<Station>,
    parts: &parts::Parts,
) -> Result<Collector, AppFault> {
    let endpoint = gateway.url.as_str().parse().map_err(|f| AppFault::new("gateway.url", f))?;
    let client = Client::new(
        endpoint,
        gateway.identity.clone(),
        Arc::clone(&parts.credentials),
        Arc::clone(&parts.trust),
    );
    let limits = ClientLimits {
        response: gateway.timeout,
        response_bytes: LARGEST_ANSWER,
        ..ClientLimits::default()
    };
    Ok(Collector {
        station: Arc::clone(station),
        gateway: gateway.identity.clone(),
        line: Box::new(client.with_limits(limits)),
        wait: gateway.timeout.saturating_sub(TO_TRAVEL),
    })
}

/// Runs an authority's endpoint until SIGTERM or SIGINT. One that also has a gateway to collect from does so
/// while the directory says that it does: it moves from one to the other without a restart.
pub async fn run_authority(settings: AuthoritySettings) -> Result<(), AppFault> {
    let Some(address) = settings.parties else {
        return Err(AppFault::new("listen", "is missing; to collect, run: ecaf authority collect"));
    };
    let metrics = telemetry::install_metrics().ok();
    let schema = std::thread::spawn(Schema::referral_v1);
    let mut purposes = vec![Purpose::TlsServer];
    purposes.extend(settings.gateway.is_some().then_some(Purpose::TlsClient));
    let opened = open(&settings, &purposes).await?;
    let (station, parts) = (Arc::clone(&opened.station), &opened.parts);
    let tls =
        ServerTls::new(Arc::clone(&parts.trust), Arc::clone(&parts.credentials), &[Role::Gateway])
            .map_err(|f| AppFault::new("TLS", f))?;
    let api = Api::new(Arc::clone(&station), settings.limits.body_bytes);
    let service = Service {
        limits: fit_to_open_files(&settings.limits.listener),
        ..Service::new(Arc::new(api), Arc::clone(&station.entropy))
    };
    let server = Server::bind(address, Arc::new(tls), service).await;
    let server = server.map_err(|e| AppFault::new(format_args!("listen {address}"), e))?;
    // A panic in there would be met again by the first dispatch.
    let _ = schema.join();
    run(settings, opened, metrics, |stopping| async move { server.run(stopped(stopping)).await })
        .await
}

/// Collects from the gateway's mailbox until SIGTERM or SIGINT; opens nothing for parties.
pub async fn run_collector(settings: AuthoritySettings) -> Result<(), AppFault> {
    let metrics = telemetry::install_metrics().ok();
    let opened = open(&settings, &[Purpose::TlsClient]).await?;
    if opened.collector.is_none() {
        return Err(no_gateway());
    }
    run(settings, opened, metrics, stopped).await
}

/// Collects what there is in the gateway's mailbox now.
pub async fn collect_once(
    settings: AuthoritySettings,
) -> Result<Result<Collected, NotCollected>, AppFault> {
    let opened = open(&settings, &[Purpose::TlsClient]).await?;
    let collector = opened.collector.ok_or_else(no_gateway)?;
    Ok(collector.once().await)
}

fn no_gateway() -> AppFault {
    AppFault::new("[gateway]", "is missing: from where to collect")
}

/// Everything but the endpoint: files, keys, the operator's listener, the collector, until a signal.
async fn run<F: Future<Output = ()>>(
    settings: AuthoritySettings,
    opened: Opened,
    metrics: Option<MetricsHandle>,
    serve: impl FnOnce(watch::Receiver<bool>) -> F,
) -> Result<(), AppFault> {
    let Opened { station, parts, directory, vault, sealed, collector } = opened;
    let reloader = Reloader::new(
        Arc::clone(&parts.trust),
        parts.trust_files.clone(),
        Some((Arc::clone(&parts.credentials), parts.identity_files.clone())),
    );
    let operator =
        Arc::new(Operator { metrics, ask: readiness(Arc::clone(&station), Arc::clone(&vault)) });
    let address = settings.operator;
    let operator = OperatorListener::bind(address, operator, Arc::clone(&parts.clock)).await;
    let operator =
        operator.map_err(|e| AppFault::new(format_args!("operator_listen {address}"), e))?;

    let (stop, stopping) = watch::channel(false);
    let reload = Arc::new(Notify::new());
    on_signals(stop.clone(), Arc::clone(&reload))?;
    let files = tokio::spawn(reloader.run(settings.trust.reload_every, Arc::clone(&reload)));
    let code = settings.code;
    let upkeep = tokio::spawn(upkeep(Arc::clone(&station), settings, directory, reload));
    let keys = tokio::spawn(super::upkeep::run(sealed, vault, Arc::clone(&parts.clock)));
    let operator = tokio::spawn(operator.run(stopped(stopping.clone())));

    tracing::info!(authority = %code, "ready");
    notify_ready();
    // A store that has stopped cannot be mended from inside: see the gateway.
    let broken = async {
        tokio::select! {
            () = station.broken.notified() => {}
            () = stopped(stopping.clone()) => return false,
        }
        tracing::error!("this process can do no more: it ends, to be started again");
        stop.send_replace(true);
        true
    };
    let collect = async {
        if let Some(collector) = &collector {
            collector.run(stopping.clone()).await;
        }
    };
    let ((), (), broken) = tokio::join!(serve(stopping.clone()), collect, broken);
    notify_stopping();
    keys.abort();
    files.abort();
    upkeep.abort();
    let _ = operator.await;
    tracing::info!(authority = %code, "stopped");
    if broken { Err(AppFault::new("authority", "ended by a fault, see the log")) } else { Ok(()) }
}

/// Reads the directory and the signing certificate again.
async fn upkeep(
    station: Arc<Station>,
    settings: AuthoritySettings,
    mut directory: DirectoryFile,
    reload: Arc<Notify>,
) {
    let mut trust_changes = station.trust.changes();
    loop {
        tokio::select! {
            () = reload.notified() => {}
            _ = trust_changes.changed() => {}
            () = tokio::time::sleep(settings.trust.reload_every) => {}
        }
        directory.look();
        parts::renew_signing(&settings.identity, &station.trust, &station.signing);
    }
}

fn readiness(station: Arc<Station>, vault: Arc<Vault>) -> super::operator::Ask {
    let probe = Arc::new(CommitProbe::default());
    Box::new(move || {
        let (station, vault) = (Arc::clone(&station), Arc::clone(&vault));
        let probe = Arc::clone(&probe);
        Box::pin(async move {
            let signing = station.signing.load_full();
            let now = station.now();
            let store = Arc::clone(&station);
            let attempt = async move { store.store.probe_writable(now).await };
            let commits = probe.ask(now, attempt).await;
            let (trust, directory) = (&station.trust, &station.directory);
            let mut found = Readiness::of_party(trust, &signing, commits, directory);
            found.keys(&vault, now);
            found
        })
    })
}
