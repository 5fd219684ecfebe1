//! A gateway process: opened whole or not at all, then served until a signal.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};

use super::directory_file::DirectoryFile;
use super::operator::{CommitProbe, Operator, Readiness, STORE_TAKES};
use super::parts::{self, AppFault};
use super::process::{fit_to_open_files, notify_ready, notify_stopping, on_signals, stopped};
use super::stores::{self, As};
use super::vault::open_vault;
use crate::config::GatewaySettings;
use crate::domain::delivery::{BreakerPolicy, RetryPolicy};
use crate::domain::party::{Name, Organisation, Role};
use crate::effects::{Entropy, SystemEntropy};
use crate::gateway::api::Api;
use crate::gateway::courier::MutualTlsCourier;
use crate::gateway::deliver::{self, DeliverySettings};
use crate::gateway::exchange::Exchange;
use crate::gateway::lines::Lines;
use crate::gateway::{publish, push, remind};
use crate::http::plain::OperatorListener;
use crate::http::reload::{ReloadHealth, Reloader};
use crate::http::tls::ServerTls;
use crate::http::{ClientLimits, Server, Service};
use crate::protocol::routing_data::RoutingTables;
use crate::protocol::schema::Schema;
use crate::protocol::trust::{Purpose, VerifiedCache};
use crate::store::sealing::Vault;
use crate::telemetry::{self, MetricsHandle};

/// Chains remembered as verified: one per sender and kind, for some thousand schools.
const CACHED_CHAINS: usize = 16_384;
/// How often to look for deliveries that another gateway stored.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Runs a gateway until SIGTERM or SIGINT.
pub async fn run_gateway(settings: GatewaySettings) -> Result<(), AppFault> {
    let metrics = telemetry::install_metrics().ok();
    // Compiled and unpacked beside all the rest, and before the first request.
    let schema = std::thread::spawn(Schema::referral_v1);
    let unpacked = std::thread::spawn(RoutingTables::embedded);
    let purposes = [Purpose::TlsServer, Purpose::TlsClient];
    let parts = parts::load(&settings.trust, &settings.identity, &purposes).await?;
    let party = parts.credentials.identity().party().clone();
    let name = match &party.organisation {
        Organisation::Gateway(name) => name.clone(),
        _ => return Err(AppFault::new("identity.tls_certificate", "is not that of a gateway")),
    };
    let signing = parts::signing_identity(&settings.identity, &parts.trust, &party.organisation)?;
    let tables = tables(&settings)?;
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::default());
    let vault = open_vault(&settings.keys, settings.trust.demo)?;
    let (store, sealed) = stores::gateway(&settings.store, Arc::clone(&vault), As::Service).await?;
    let mut directory = DirectoryFile::new(
        settings.directory.clone(),
        settings.store.beside(),
        Arc::clone(&parts.trust),
    )?;
    directory.look();
    let exchange = Arc::new(Exchange {
        name: name.clone(),
        signing: ArcSwap::from_pointee(signing),
        trust: Arc::clone(&parts.trust),
        cache: VerifiedCache::new(CACHED_CHAINS),
        directory: directory.holder(),
        tables: ArcSwap::from_pointee(tables),
        recent: Default::default(),
        store,
        clock: Arc::clone(&parts.clock),
        entropy: Arc::clone(&entropy),
        new_deliveries: Notify::new(),
        new_tokens: Notify::new(),
        waiting: Default::default(),
        broken: Notify::new(),
    });
    let reloader = Reloader::new(
        Arc::clone(&parts.trust),
        parts.trust_files.clone(),
        Some((Arc::clone(&parts.credentials), parts.identity_files.clone())),
    );
    let health = reloader.health();

    let tls = ServerTls::new(
        Arc::clone(&parts.trust),
        Arc::clone(&parts.credentials),
        &[Role::School, Role::Authority, Role::Gateway, Role::Operator],
    )
    .map_err(|f| AppFault::new("TLS", f))?;
    let deliver = delivery_settings(&settings);
    let api = Api::new(Arc::clone(&exchange), settings.limits.body_bytes).with_retry(deliver.retry);
    let service = Service {
        limits: fit_to_open_files(&settings.limits.listener),
        ..Service::new(Arc::new(api), Arc::clone(&entropy))
    };
    let address = settings.listen.parties;
    let server = Server::bind(address, Arc::new(tls), service).await;
    let server = server.map_err(|e| AppFault::new(format_args!("listen {address}"), e))?;
    let ask = readiness(Arc::clone(&exchange), Arc::clone(&vault), health);
    let operator = Arc::new(Operator { metrics: metrics.clone(), ask });
    let address = settings.listen.operator;
    let operator = OperatorListener::bind(address, operator, Arc::clone(&parts.clock)).await;
    let operator =
        operator.map_err(|e| AppFault::new(format_args!("operator_listen {address}"), e))?;

    // A panic in there would be met again, and told, by whoever needs the schema or the tables first.
    let _ = (schema.join(), unpacked.join());
    let (stop, stopping) = watch::channel(false);
    let reload = Arc::new(Notify::new());
    on_signals(stop.clone(), Arc::clone(&reload))?;
    let worker = holder(&name, &*entropy)?;
    let lines = Arc::new(Lines::new(
        party.trust_domain.clone(),
        Arc::clone(&parts.trust),
        Arc::clone(&parts.credentials),
        ClientLimits { response: settings.delivery.attempt_timeout, ..ClientLimits::default() },
    ));
    let retry = deliver.retry;
    let mut deliveries = tokio::spawn(deliver::run(
        Arc::clone(&exchange),
        Arc::new(MutualTlsCourier::new(Arc::clone(&lines))),
        deliver,
        worker.clone(),
        stopping.clone(),
    ));
    let clocks = remind::run(Arc::clone(&exchange), worker.clone(), stopping.clone());
    let mut clocks = tokio::spawn(clocks);
    let pushes = push::run(Arc::clone(&exchange), lines, retry, worker.clone(), stopping.clone());
    let mut pushes = tokio::spawn(pushes);
    let mut sequencer = tokio::spawn(publish::run(Arc::clone(&exchange), worker, stopping.clone()));
    let every = settings.trust.reload_every;
    let files = tokio::spawn(reloader.run(every, Arc::clone(&reload)));
    let upkeep = tokio::spawn(upkeep(Arc::clone(&exchange), settings, directory, reload, metrics));
    let keys = tokio::spawn(super::upkeep::run(sealed, vault, Arc::clone(&parts.clock)));
    let operator = tokio::spawn(operator.run(stopped(stopping.clone())));

    tracing::info!(gateway = %name, "ready");
    notify_ready();
    // A store that has stopped, or a worker that has ended, cannot be mended from inside: the
    // process ends with a fault, and its manager starts another, which finds out what is stored.
    let broken = async {
        tokio::select! {
            () = exchange.broken.notified() => {}
            _ = &mut deliveries => {}
            _ = &mut sequencer => {}
            _ = &mut clocks => {}
            _ = &mut pushes => {}
            () = stopped(stopping.clone()) => {}
        }
        // The workers end too when they are told to stop, perhaps seen first: that is no fault.
        if *stopping.borrow() {
            return false;
        }
        tracing::error!("this process can do no more: it ends, to be started again");
        stop.send_replace(true);
        true
    };
    let ((), broken) = tokio::join!(server.run(stopped(stopping.clone())), broken);
    notify_stopping();
    // What was accepted is durable; attempts under way are finished, the rest goes on at the next
    // start. Nothing here waits without end: each attempt is bounded in time.
    for worker in [deliveries, sequencer, clocks, pushes] {
        if !worker.is_finished() {
            let _ = worker.await;
        }
    }
    keys.abort();
    files.abort();
    upkeep.abort();
    let _ = operator.await;
    tracing::info!(gateway = %name, "stopped");
    if broken { Err(AppFault::new("gateway", "ended by a fault, see the log")) } else { Ok(()) }
}

/// Names this process among several gateways over one store. By chance and not by its process
/// number, which is 1 in every container: two that share a name would share every right.
fn holder(name: &Name, entropy: &dyn Entropy) -> Result<String, AppFault> {
    let mut own = [0; 8];
    entropy.fill(&mut own).map_err(|fault| AppFault::new("the name of this process", fault))?;
    Ok(format!("{name}/{:016x}", u64::from_be_bytes(own)))
}

fn tables(settings: &GatewaySettings) -> Result<RoutingTables, AppFault> {
    let tables = RoutingTables::embedded().map_err(|f| AppFault::new("postcode table", f))?;
    let Some(path) = &settings.postcodes else { return Ok(tables) };
    let bytes = std::fs::read(path).map_err(|e| AppFault::at(path, e.kind()))?;
    tables.load_postcodes(&bytes, None).map_err(|f| AppFault::at(path, f))
}

fn delivery_settings(settings: &GatewaySettings) -> DeliverySettings {
    let given = &settings.delivery;
    let millis = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    DeliverySettings {
        retry: RetryPolicy {
            base_ms: millis(given.retry_first),
            max_ms: millis(given.retry_longest),
            give_up_after_ms: millis(given.give_up_after),
        },
        breaker: BreakerPolicy {
            failures: given.breaker_failures,
            max_open_ms: millis(given.breaker_pause),
            open_ms: BreakerPolicy::default().open_ms.min(millis(given.breaker_pause)),
            // Longer than one attempt can take.
            probe_ms: millis(given.attempt_timeout) * 2 + 30_000,
        },
        parallel: given.concurrency,
        parallel_per_authority: given.concurrency_per_authority,
        // Connecting, answering and settling, with room to spare.
        lease_ms: millis(given.attempt_timeout) * 2 + 30_000,
        look_every: LOOK_EVERY.min(given.retry_longest),
    }
}

/// Reads the directory and the signing certificate again, and keeps the gauges.
async fn upkeep(
    exchange: Arc<Exchange>,
    settings: GatewaySettings,
    mut directory: DirectoryFile,
    reload: Arc<Notify>,
    metrics: Option<MetricsHandle>,
) {
    let mut trust_changes = exchange.trust.changes();
    loop {
        tokio::select! {
            () = reload.notified() => {}
            _ = trust_changes.changed() => {}
            () = tokio::time::sleep(settings.trust.reload_every) => {}
        }
        directory.look();
        parts::renew_signing(&settings.identity, &exchange.trust, &exchange.signing);
        if metrics.is_some() {
            gauges(&exchange).await;
        }
    }
}

async fn gauges(exchange: &Exchange) {
    use crate::telemetry::metric;
    let now = exchange.now();
    if let Ok(counts) = exchange.store.counts(now).await {
        metrics::gauge!(metric::DELIVERIES_WAITING).set((counts.held + counts.leased) as f64);
        metrics::gauge!(metric::UNDELIVERABLE).set(counts.undeliverable as f64);
        let oldest = counts.oldest_open.map_or(0, |t| now.since(t) / 1_000);
        metrics::gauge!(metric::OLDEST_WAITING_SECONDS).set(oldest as f64);
    }
    if let Some(directory) = exchange.directory.last_good() {
        let directory = directory.directory();
        metrics::gauge!(metric::DIRECTORY_VERSION).set(directory.version as f64);
        let left = directory.expires_at.since(now) / 1_000;
        metrics::gauge!(metric::DIRECTORY_SECONDS_LEFT).set(left as f64);
    }
}

/// Ready means: can sign, can commit, trust data fresh.
fn readiness(
    exchange: Arc<Exchange>,
    vault: Arc<Vault>,
    health: Arc<ReloadHealth>,
) -> super::operator::Ask {
    let probe = Arc::new(CommitProbe::default());
    Box::new(move || {
        let (exchange, health) = (Arc::clone(&exchange), Arc::clone(&health));
        let (vault, probe) = (Arc::clone(&vault), Arc::clone(&probe));
        Box::pin(async move {
            let now = exchange.now();
            let signing = exchange.signing.load_full();
            let store = Arc::clone(&exchange);
            let attempt = async move { store.store.probe_writable(now).await };
            let (commits, counts) = tokio::join!(
                probe.ask(now, attempt),
                tokio::time::timeout(STORE_TAKES, exchange.store.counts(now)),
            );
            let (trust, directory) = (&exchange.trust, &exchange.directory);
            let mut found = Readiness::of_party(trust, &signing, commits, directory);
            found.keys(&vault, now);
            for fault in health.faults() {
                found.lines.push(format!("warning: {fault}"));
            }
            if let Ok(Ok(counts)) = counts {
                let open = counts.held + counts.leased;
                found.lines.push(format!(
                    "info: {open} to deliver, {} delayed, {} undeliverable",
                    counts.delayed, counts.undeliverable
                ));
            }
            found
        })
    })
}
