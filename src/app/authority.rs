//! An authority's process.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};

use super::directory_file::DirectoryFile;
use super::operator::{CommitProbe, Operator, Readiness};
use super::parts::{self, AppFault};
use super::process::{fit_to_open_files, notify_ready, notify_stopping, on_signals, stopped};
use super::stores::{self, As};
use super::vault::open_vault;
use crate::authority::api::Api;
use crate::authority::station::Station;
use crate::config::AuthoritySettings;
use crate::domain::party::{Organisation, Role};
use crate::effects::{Entropy, SystemEntropy};
use crate::http::plain::OperatorListener;
use crate::http::reload::Reloader;
use crate::http::tls::ServerTls;
use crate::http::{Server, Service};
use crate::protocol::schema::Schema;
use crate::protocol::trust::{Purpose, VerifiedCache};
use crate::store::sealing::Vault;
use crate::telemetry;

/// Chains remembered as verified.
const CACHED_CHAINS: usize = 4_096;

/// Runs an authority's endpoint until SIGTERM or SIGINT.
pub async fn run_authority(settings: AuthoritySettings) -> Result<(), AppFault> {
    let metrics = telemetry::install_metrics().ok();
    let schema = std::thread::spawn(Schema::referral_v1);
    let parts = parts::load(&settings.trust, &settings.identity, &[Purpose::TlsServer]).await?;
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
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::default());
    let station = Arc::new(Station {
        code: settings.code,
        reference_prefix: settings.reference_prefix.clone(),
        signing: ArcSwap::from_pointee(signing),
        trust: Arc::clone(&parts.trust),
        cache: VerifiedCache::new(CACHED_CHAINS),
        directory: directory.holder(),
        store,
        clock: Arc::clone(&parts.clock),
        entropy: Arc::clone(&entropy),
        broken: Notify::new(),
    });
    let reloader = Reloader::new(
        Arc::clone(&parts.trust),
        parts.trust_files.clone(),
        Some((Arc::clone(&parts.credentials), parts.identity_files.clone())),
    );

    let tls =
        ServerTls::new(Arc::clone(&parts.trust), Arc::clone(&parts.credentials), &[Role::Gateway])
            .map_err(|f| AppFault::new("TLS", f))?;
    let api = Api::new(Arc::clone(&station), settings.limits.body_bytes);
    let service = Service {
        limits: fit_to_open_files(&settings.limits.listener),
        ..Service::new(Arc::new(api), entropy)
    };
    let address = settings.listen.parties;
    let server = Server::bind(address, Arc::new(tls), service).await;
    let server = server.map_err(|e| AppFault::new(format_args!("listen {address}"), e))?;
    let operator =
        Arc::new(Operator { metrics, ask: readiness(Arc::clone(&station), Arc::clone(&vault)) });
    let address = settings.listen.operator;
    let operator = OperatorListener::bind(address, operator, Arc::clone(&parts.clock)).await;
    let operator =
        operator.map_err(|e| AppFault::new(format_args!("operator_listen {address}"), e))?;

    // A panic in there would be met again by the first dispatch.
    let _ = schema.join();
    let (stop, stopping) = watch::channel(false);
    let reload = Arc::new(Notify::new());
    on_signals(stop.clone(), Arc::clone(&reload))?;
    let files = tokio::spawn(reloader.run(settings.trust.reload_every, Arc::clone(&reload)));
    let upkeep = tokio::spawn(upkeep(Arc::clone(&station), settings.clone(), directory, reload));
    let keys = tokio::spawn(super::upkeep::run(sealed, vault, Arc::clone(&parts.clock)));
    let operator = tokio::spawn(operator.run(stopped(stopping.clone())));

    tracing::info!(authority = %settings.code, "ready");
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
    let ((), broken) = tokio::join!(server.run(stopped(stopping.clone())), broken);
    notify_stopping();
    keys.abort();
    files.abort();
    upkeep.abort();
    let _ = operator.await;
    tracing::info!(authority = %settings.code, "stopped");
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
            let commits = probe.ask(now, station.store.probe_writable(now)).await;
            let (trust, directory) = (&station.trust, &station.directory);
            let mut found = Readiness::of_party(trust, &signing, commits, directory);
            found.keys(&vault, now);
            found
        })
    })
}
