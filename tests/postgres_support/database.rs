//! Databases of the tests' own on a server of their own: the roles of `deploy/postgres/roles.sql`, the
//! migrations run as the owner, and the settings that the roles that serve connect with.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ecaf::effects::SystemEntropy;
use ecaf::protocol::trust::pem;
use ecaf::store::postgres::{
    Durability, Host, Kind, Login, PostgresAuthority, PostgresGateway, Settings, Tls, migrate,
};
use ecaf::store::sealing::Vault;
use ecaf::store::{AuthorityStore, GatewayStore};
use zeroize::Zeroizing;

use super::Server;

/// What `deploy/postgres/roles.sql` does, as it stands.
pub const ROLES: &str = include_str!("../../deploy/postgres/roles.sql");

/// The password of the roles, for logins over the network; over the socket none is asked for.
pub const PASSWORD: &str = "correct horse battery staple";

/// The roles of `roles.sql`.
pub const OWNER: &str = "ecaf_owner";
pub const GATEWAY: &str = "ecaf_gateway";
pub const AUTHORITY: &str = "ecaf_authority";

impl Server {
    /// A fresh database with an empty store of this kind; its name. One is made by script and
    /// migration, the others are copies of it.
    pub async fn database(&self, kind: Kind) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let template = format!("template_{}", kind.as_str());
        let made = &self.templates[usize::from(kind == Kind::Authority)];
        made.get_or_init(|| async {
            self.empty_database(&template);
            migrate(&self.settings(&template, OWNER), kind).await.expect("a migration");
            // The migration's connection may be ending still.
            let busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = ";
            self.wait_until("postgres", &format!("{busy} '{template}'"), "0");
        })
        .await;
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template}"));
        name
    }

    /// A database with roles and an empty schema, ready to be migrated.
    pub fn empty_database(&self, name: &str) {
        // Roles belong to the server: two tests that change them at once disturb each other.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.sql(name, ROLES);
        for role in [OWNER, GATEWAY, AUTHORITY] {
            self.sql(name, &format!("ALTER ROLE {role} PASSWORD '{PASSWORD}'"));
        }
    }

    /// Over the Unix socket.
    pub fn settings(&self, database: &str, role: &str) -> Settings {
        Settings {
            servers: vec![self.address()],
            database: database.to_owned(),
            login: Login { user: role.to_owned(), password: None },
            tls: Tls::socket_only(),
            durability: Durability::Primary,
            connections: 8,
            patience: Duration::from_secs(30),
            epoch_file: None,
        }
    }

    /// Its Unix socket.
    pub fn address(&self) -> ecaf::store::postgres::Server {
        let host = Host::Socket(self.socket().to_owned());
        ecaf::store::postgres::Server { host, port: self.port() }
    }

    /// Over TCP with TLS and a password.
    pub fn settings_over_tls(&self, database: &str, role: &str) -> Settings {
        let roots = pem::certificates(&std::fs::read(self.ca_file()).unwrap()).unwrap();
        let host = Host::Name("localhost".to_owned());
        let password = Some(Arc::new(Zeroizing::new(PASSWORD.as_bytes().to_vec())));
        Settings {
            servers: vec![ecaf::store::postgres::Server { host, port: self.port() }],
            login: Login { user: role.to_owned(), password },
            tls: Tls::verified(&roots, None).unwrap(),
            ..self.settings(database, role)
        }
    }

    /// A gateway's store in a fresh database, opened as the gateway's role; the database's name.
    pub async fn gateway(&self, vault: Arc<Vault>) -> (Arc<dyn GatewayStore>, String) {
        let name = self.database(Kind::Gateway).await;
        (open_gateway(&self.settings(&name, GATEWAY), vault).await, name)
    }

    /// An authority's store in a fresh database, opened as the authority's role; the database's name.
    pub async fn authority(&self, vault: Arc<Vault>) -> (Arc<dyn AuthorityStore>, String) {
        let name = self.database(Kind::Authority).await;
        (open_authority(&self.settings(&name, AUTHORITY), vault).await, name)
    }
}

/// Opens a gateway's store as a serving process does.
pub async fn open_gateway(settings: &Settings, vault: Arc<Vault>) -> Arc<dyn GatewayStore> {
    let entropy = Arc::new(SystemEntropy::default());
    Arc::new(PostgresGateway::open(settings, vault, entropy).await.expect("a gateway's store"))
}

/// Opens an authority's store as a serving process does.
pub async fn open_authority(settings: &Settings, vault: Arc<Vault>) -> Arc<dyn AuthorityStore> {
    Arc::new(PostgresAuthority::open(settings, vault).await.expect("an authority's store"))
}
