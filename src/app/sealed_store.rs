//! A store with its keys, as an operator's command opens it beside the serving process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::parts::AppFault;
use super::stores::{self, As, Role};
use super::vault::{open_kek, open_keks, open_vault};
use crate::config::{self, KeySettings, SecretSource, Settings as Configured, StoreSettings};
use crate::effects::SystemEntropy;
use crate::store::copy::{self, Copied, Source, Table, Target};
use crate::store::postgres::{Kind, PostgresCopy, Settings};
use crate::store::sealing::{Keks, KeyWrapper, StoreKind, Vault};
use crate::store::sqlite::{self, Access, SqliteAuthority, SqliteCopy, SqliteGateway};
use crate::store::{AuthorityStore, CheckReport, GatewayStore, KeyUse, RetentionStore, StoreFault};

/// The store and the keys that a configuration names.
#[derive(Debug, Clone)]
pub struct SealedStore {
    /// What it is sealed with.
    pub keys: KeySettings,
    /// Where the store is.
    pub store: StoreSettings,
    /// Whose it is.
    pub kind: StoreKind,
    demo: bool,
}

/// An open store of either kind.
pub enum OpenStore {
    /// A gateway's.
    Gateway(Arc<dyn GatewayStore>, Arc<dyn RetentionStore>),
    /// An authority's.
    Authority(Arc<dyn AuthorityStore>, Arc<dyn RetentionStore>),
}

impl OpenStore {
    /// Its keys, holds and erasure.
    pub fn retention(&self) -> &dyn RetentionStore {
        match self {
            OpenStore::Gateway(_, store) | OpenStore::Authority(_, store) => store.as_ref(),
        }
    }

    /// Re-hashes and cross-checks everything.
    pub async fn check(&self) -> Result<CheckReport, StoreFault> {
        match self {
            OpenStore::Gateway(store, _) => store.check().await,
            OpenStore::Authority(store, _) => store.check().await,
        }
    }
}

impl SealedStore {
    /// From the configuration of a gateway or an authority.
    pub fn configured(file: &Path) -> Result<Self, AppFault> {
        let settings = config::load(file, &config::process_environment);
        match settings.map_err(|mistakes| AppFault::plain(&mistakes))? {
            Configured::Gateway(s) => {
                let (keys, store, demo) = (s.keys, s.store, s.trust.demo);
                Ok(Self { keys, store, kind: StoreKind::Gateway, demo })
            }
            Configured::Authority(s) => {
                let (keys, store, demo) = (s.keys, s.store, s.trust.demo);
                Ok(Self { keys, store, kind: StoreKind::Authority, demo })
            }
            Configured::School(_) | Configured::Worker(_) => {
                Err(AppFault::at(file, "this machine has no such store"))
            }
        }
    }

    /// The key-encryption keys.
    pub fn keks(&self) -> Result<Keks, AppFault> {
        open_keks(&self.keys, self.demo)
    }

    /// The one for new rings.
    pub fn kek(&self) -> Result<Arc<dyn KeyWrapper>, AppFault> {
        open_kek(&self.keys.kek, self.demo)
    }

    /// The one that the ring is to lie under next.
    pub fn next_kek(&self) -> Result<Arc<dyn KeyWrapper>, AppFault> {
        let next = self.keys.next_kek.as_ref();
        let next = next.ok_or_else(|| AppFault::new("keys.next_kek", "is not configured"))?;
        open_kek(next, self.demo)
    }

    /// Where key-encryption keys that do not exist yet are to be written.
    pub fn missing_keks(&self) -> Vec<PathBuf> {
        let named = [Some(&self.keys.kek), self.keys.next_kek.as_ref()];
        let files = named.into_iter().flatten().filter_map(|source| match source {
            SecretSource::File(path) => Some(path.clone()),
            SecretSource::Credential(_) | SecretSource::Environment(_) => None,
        });
        files.filter(|path| !path.exists()).collect()
    }

    /// The vault.
    pub fn vault(&self) -> Result<Arc<Vault>, AppFault> {
        open_vault(&self.keys, self.demo)
    }

    /// Opens the store itself, beside the processes that serve it. Blocking.
    pub fn open(&self, vault: Arc<Vault>) -> Result<OpenStore, AppFault> {
        super::block_on(self.opened(vault))?
    }

    async fn opened(&self, vault: Arc<Vault>) -> Result<OpenStore, AppFault> {
        Ok(match self.kind {
            StoreKind::Gateway => {
                let (store, sealed) = stores::gateway(&self.store, vault, As::Operator).await?;
                OpenStore::Gateway(store, sealed)
            }
            StoreKind::Authority => {
                let (store, sealed) = stores::authority(&self.store, vault, As::Operator).await?;
                OpenStore::Authority(store, sealed)
            }
        })
    }

    /// The file that the store is, for what works on files alone.
    pub fn file(&self) -> Result<&Path, AppFault> {
        self.store.file().ok_or_else(|| {
            AppFault::new(
                &self.store,
                "is backed up and restored with PostgreSQL's own tools (pg_basebackup, pg_dump), \
                 which see ciphertext only; the key ring and its key need backups of their own",
            )
        })
    }

    /// The database that the store is, and what it holds; `owner`: as the role that owns the tables.
    pub fn database(&self, owner: bool) -> Result<(Settings, Kind), AppFault> {
        let StoreSettings::Postgres(configured) = &self.store else {
            let why = "is a file, not a PostgreSQL database; its own process migrates it";
            return Err(AppFault::new(&self.store, why));
        };
        let kind = match self.kind {
            StoreKind::Gateway => Kind::Gateway,
            StoreKind::Authority => Kind::Authority,
        };
        let role = if owner { Role::Owner } else { Role::Serving };
        Ok((stores::database(configured, kind, role)?, kind))
    }

    /// What the store holds, table by table.
    fn tables(&self) -> &'static [Table] {
        match self.kind {
            StoreKind::Gateway => copy::GATEWAY,
            StoreKind::Authority => copy::AUTHORITY,
        }
    }

    /// Opens the store to be read whole; nobody writes to it meanwhile.
    async fn copy_source(&self) -> Result<Box<dyn Source>, AppFault> {
        let here = |fault| AppFault::new(&self.store, fault);
        Ok(match &self.store {
            StoreSettings::Sqlite(path) => {
                let file = sqlite::Settings::owner(path);
                Box::new(SqliteCopy::source(&file, self.tables()).map_err(here)?)
            }
            StoreSettings::Postgres(_) => {
                let (settings, _) = self.database(true)?;
                Box::new(PostgresCopy::source(&settings, self.tables()).await.map_err(here)?)
            }
        })
    }

    /// Creates the store to be filled from another one, or opens what an earlier copy left.
    async fn copy_target(&self) -> Result<Box<dyn Target>, AppFault> {
        let here = |fault| match fault {
            StoreFault::NotAStore => AppFault::new(
                &self.store,
                "there is a store already: a copy needs a place where nothing is",
            ),
            fault => AppFault::new(&self.store, fault),
        };
        Ok(match &self.store {
            StoreSettings::Sqlite(path) => {
                let file = sqlite::Settings::owner(path).or_create();
                Box::new(SqliteCopy::target(&file, self.tables()).map_err(here)?)
            }
            StoreSettings::Postgres(_) => {
                let (settings, _) = self.database(true)?;
                Box::new(PostgresCopy::target(&settings, self.tables()).await.map_err(here)?)
            }
        })
    }

    /// Copies everything into the store that `to` names, and compares both. Documents go over sealed
    /// as they are, so both must name the same key ring.
    pub async fn copy_to(
        &self,
        to: &Self,
        progress: impl FnMut(copy::Progress),
    ) -> Result<Copied, AppFault> {
        if self.kind != to.kind {
            return Err(AppFault::plain("one is a gateway's store and one an authority's"));
        }
        if self.keys.ring != to.keys.ring {
            return Err(AppFault::plain("both configurations must name the same key ring"));
        }
        let (source, target) = (self.copy_source().await?, to.copy_target().await?);
        let copied = copy::copy(self.tables(), source.as_ref(), target.as_ref(), progress).await;
        copied.map_err(AppFault::plain)
    }

    /// Opens a copy of the store.
    pub fn open_at(&self, path: &Path, vault: Arc<Vault>) -> Result<OpenStore, StoreFault> {
        let settings =
            sqlite::Settings { access: Access::Operator, ..sqlite::Settings::owner(path) };
        Ok(match self.kind {
            StoreKind::Gateway => {
                let entropy = Arc::new(SystemEntropy::default());
                let store = Arc::new(SqliteGateway::open(&settings, vault, entropy)?);
                OpenStore::Gateway(store.clone(), store)
            }
            StoreKind::Authority => {
                let store = Arc::new(SqliteAuthority::open(&settings, vault)?);
                OpenStore::Authority(store.clone(), store)
            }
        })
    }

    /// How many documents lie under each key; none where there is no store yet. Blocking.
    pub fn keys_in_use(&self) -> Result<Vec<KeyUse>, AppFault> {
        if self.store.file().is_some_and(|path| !path.exists()) {
            return Ok(Vec::new());
        }
        let store = self.open(self.vault()?)?;
        let used = super::block_on(store.retention().keys_in_use())?;
        used.map_err(|fault| AppFault::new(&self.store, fault))
    }
}
