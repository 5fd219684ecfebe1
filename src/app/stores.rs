//! Opens the store that a configuration names, of either kind and either make.

use std::sync::Arc;

use super::parts::AppFault;
use super::secrets;
use super::vault::open_vault;
use crate::config::{AuthoritySettings, GatewaySettings, PostgresSettings, StoreSettings};
use crate::effects::{Entropy, SystemEntropy};
use crate::protocol::trust::pem;
use crate::store::postgres::{
    ClientCertificate, Durability, Host, Kind, Login, PostgresAuthority, PostgresGateway, Server,
    Settings, Tls,
};
use crate::store::sealing::Vault;
use crate::store::sqlite::{self, Access, SqliteAuthority, SqliteGateway};
use crate::store::{AuthorityStore, GatewayStore, RetentionStore};

/// A gateway's store with its keys, holds and erasure.
pub(super) type GatewayPart = (Arc<dyn GatewayStore>, Arc<dyn RetentionStore>);
/// An authority's.
pub(super) type AuthorityPart = (Arc<dyn AuthorityStore>, Arc<dyn RetentionStore>);

/// Opens a gateway's store for an operator's command.
pub async fn open_gateway(settings: &GatewaySettings) -> Result<Arc<dyn GatewayStore>, AppFault> {
    let vault = open_vault(&settings.keys, settings.trust.demo)?;
    Ok(gateway(&settings.store, vault, As::Operator).await?.0)
}

/// Opens an authority's store for an operator's command.
pub async fn open_authority(
    settings: &AuthoritySettings,
) -> Result<Arc<dyn AuthorityStore>, AppFault> {
    let vault = open_vault(&settings.keys, settings.trust.demo)?;
    Ok(authority(&settings.store, vault, As::Operator).await?.0)
}

/// Who opens a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum As {
    /// A serving process.
    Service,
    /// An operator's command beside those that serve.
    Operator,
}

/// Opens a gateway's store. A file is created if it is missing and `who` serves; a database is not:
/// `ecaf store migrate` does that.
pub(super) async fn gateway(
    settings: &StoreSettings,
    vault: Arc<Vault>,
    who: As,
) -> Result<GatewayPart, AppFault> {
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::default());
    let fault = |fault: crate::store::StoreFault| AppFault::new(settings, fault);
    match settings {
        StoreSettings::Sqlite(path) => {
            let store = SqliteGateway::open(&file(path, who), vault, entropy).map_err(fault)?;
            let store = Arc::new(store);
            Ok((store.clone(), store))
        }
        StoreSettings::Postgres(configured) => {
            let settings = database(configured, Kind::Gateway, Role::Serving)?;
            let store = match who {
                As::Service => PostgresGateway::open(&settings, vault, entropy).await,
                As::Operator => PostgresGateway::open_beside(&settings, vault, entropy).await,
            };
            let store = Arc::new(store.map_err(fault)?);
            Ok((store.clone(), store))
        }
    }
}

/// Opens an authority's store, likewise.
pub(super) async fn authority(
    settings: &StoreSettings,
    vault: Arc<Vault>,
    who: As,
) -> Result<AuthorityPart, AppFault> {
    let fault = |fault: crate::store::StoreFault| AppFault::new(settings, fault);
    match settings {
        StoreSettings::Sqlite(path) => {
            let store = Arc::new(SqliteAuthority::open(&file(path, who), vault).map_err(fault)?);
            Ok((store.clone(), store))
        }
        StoreSettings::Postgres(configured) => {
            let settings = database(configured, Kind::Authority, Role::Serving)?;
            let store = match who {
                As::Service => PostgresAuthority::open(&settings, vault).await,
                As::Operator => PostgresAuthority::open_beside(&settings, vault).await,
            };
            let store = Arc::new(store.map_err(fault)?);
            Ok((store.clone(), store))
        }
    }
}

fn file(path: &std::path::Path, who: As) -> sqlite::Settings {
    let owner = sqlite::Settings::owner(path);
    match who {
        As::Service => owner.or_create(),
        As::Operator => sqlite::Settings { access: Access::Operator, ..owner },
    }
}

/// Which role logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The one that serves.
    Serving,
    /// The one that owns the tables.
    Owner,
}

/// The database that a configuration names, with its secrets read. Each kind keeps its own memory of
/// promotions.
pub(super) fn database(
    configured: &PostgresSettings,
    kind: Kind,
    role: Role,
) -> Result<Settings, AppFault> {
    let servers = configured.servers.0.iter().map(|server| Server {
        host: match server.is_socket() {
            true => Host::Socket(server.host.clone().into()),
            false => Host::Name(server.host.clone()),
        },
        port: server.port,
    });
    let (user, password) = match role {
        Role::Serving => (&configured.user, &configured.password),
        Role::Owner => (&configured.owner, &configured.owner_password),
    };
    let password = password.as_ref().map(secrets::line).transpose()?.map(Arc::new);
    let mut epoch_file = configured.state.as_os_str().to_owned();
    epoch_file.push(match kind {
        Kind::Gateway => ".epoch",
        Kind::Authority => ".authority-epoch",
    });
    Ok(Settings {
        servers: servers.collect(),
        database: configured.database.clone(),
        login: Login { user: user.clone(), password },
        tls: tls(configured)?,
        durability: match configured.on_replica {
            true => Durability::Replica,
            false => Durability::Primary,
        },
        connections: configured.connections,
        patience: configured.patience,
        epoch_file: Some(epoch_file.into()),
    })
}

fn tls(configured: &PostgresSettings) -> Result<Tls, AppFault> {
    let Some(ca) = &configured.ca else {
        return Ok(match configured.plain_loopback {
            true => Tls::plain_loopback(),
            false => Tls::socket_only(),
        });
    };
    let read =
        |path: &std::path::Path| std::fs::read(path).map_err(|e| AppFault::at(path, e.kind()));
    let roots = pem::certificates(&read(ca)?).map_err(|f| AppFault::at(ca, f))?;
    let client = match &configured.certificate {
        None => None,
        Some((certificate, key)) => {
            let chain = pem::certificates(&read(certificate)?);
            let chain = chain.map_err(|f| AppFault::at(certificate, f))?;
            let pem = secrets::key_file(key)?;
            let key = pem::private_key(&pem).map_err(|f| AppFault::at(key.path(), f))?;
            Some(ClientCertificate { chain, key })
        }
    };
    Tls::verified(&roots, client).map_err(|f| AppFault::at(ca, f))
}
