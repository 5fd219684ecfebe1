//! One connection made and judged: is this the primary, of our schema, of the present epoch, and do
//! commits reach what counts as durable?

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio_postgres::config::{Config, SslMode};

use super::epoch::Seen;
use super::faults::of_connecting;
use super::schema::Kind;
use super::session::Session;
use super::settings::{Durability, Host, Server, Settings};
use crate::store::contract::StoreFault;

/// For one server to take the connection.
const CONNECT: Duration = Duration::from_secs(3);
/// For a server's answers while it is judged.
const JUDGE: Duration = Duration::from_secs(5);

/// What a connection must be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Demands {
    /// The schema must be the present one, and the epoch no earlier than one that was seen.
    schema: bool,
    /// Replicas are judged.
    service: bool,
}

impl Demands {
    /// For serving: everything.
    pub const SERVICE: Self = Self { schema: true, service: true };
    /// For an operator's command on a store that stands.
    pub const OPERATOR: Self = Self { schema: true, service: false };
    /// For migrations: any primary.
    pub const MIGRATION: Self = Self { schema: false, service: false };
}

/// Makes connections by one process's settings.
pub(super) struct Connector {
    settings: Settings,
    kind: Kind,
    seen: Arc<Seen>,
    /// The server that was a primary last.
    last: AtomicUsize,
}

impl Connector {
    /// Reads the epoch seen before; connects to nobody yet.
    pub fn new(settings: &Settings, kind: Kind) -> Result<Self, StoreFault> {
        let seen = Arc::new(Seen::open(settings.epoch_file.clone())?);
        Ok(Self { settings: settings.clone(), kind, seen, last: AtomicUsize::new(0) })
    }

    /// The highest epoch seen.
    pub fn highest_epoch(&self) -> u64 {
        self.seen.highest()
    }

    /// Connects to the first server that meets the demands, the last good one first. If none does:
    /// the fault that says most.
    pub async fn first_primary(&self, demands: Demands) -> Result<Session, StoreFault> {
        let servers = &self.settings.servers;
        let start = self.last.load(Ordering::Relaxed);
        let mut worst = StoreFault::Unreachable;
        for step in 0..servers.len() {
            let index = (start + step) % servers.len();
            match self.connect(&servers[index], demands).await {
                Ok(session) => {
                    self.last.store(index, Ordering::Relaxed);
                    return Ok(session);
                }
                Err(fault) if says_more(fault, worst) => worst = fault,
                Err(_) => {}
            }
        }
        Err(worst)
    }

    async fn connect(&self, server: &Server, demands: Demands) -> Result<Session, StoreFault> {
        let (tls, required) = self.settings.tls.to(&server.host)?;
        let config = self.config(server, required);
        let connected = tokio::time::timeout(CONNECT, config.connect(tls)).await;
        let connected = connected.map_err(|_| StoreFault::Unreachable)?;
        let (client, connection) = connected.map_err(|error| of_connecting(&error))?;
        let session = Session::new(client, connection, self.settings.durability);
        let judging = self.judge(session, demands);
        tokio::time::timeout(JUDGE, judging).await.unwrap_or(Err(StoreFault::Unavailable))
    }

    fn config(&self, server: &Server, tls: bool) -> Config {
        let mut config = Config::new();
        match &server.host {
            Host::Socket(folder) => config.host_path(folder),
            Host::Name(name) => config.host(name),
        };
        config
            .port(server.port)
            .dbname(&self.settings.database)
            .user(&self.settings.login.user)
            .application_name(concat!("ecaf ", env!("CARGO_PKG_VERSION")))
            .ssl_mode(if tls { SslMode::Require } else { SslMode::Disable })
            .connect_timeout(CONNECT)
            // A server that vanished without a word is noticed by the kernel too.
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(3))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(15));
        if let Some(password) = &self.settings.login.password {
            config.password(password.as_slice());
        }
        config
    }

    async fn judge(&self, mut session: Session, demands: Demands) -> Result<Session, StoreFault> {
        let fault = |trouble: super::faults::Trouble| trouble.in_the_end(false);
        session.run(OURS).await.map_err(fault)?;
        // What target_session_attrs=read-write asks, where the answer can be told from others.
        const LOOK: &str = "SELECT pg_is_in_recovery() \
                            OR current_setting('transaction_read_only') = 'on'";
        let row = session.one(LOOK, &[]).await.map_err(fault)?;
        if row.try_get(0).unwrap_or(true) {
            return Err(StoreFault::NotPrimary);
        }
        if demands.schema {
            self.kind.present(&session).await?;
            let row = session.one("SELECT epoch FROM epoch", &[]).await.map_err(fault)?;
            let epoch: i64 = row.try_get(0).map_err(|_| StoreFault::Corrupt)?;
            session.epoch = u64::try_from(epoch).map_err(|_| StoreFault::Corrupt)?;
            // An operator too must not be told what an old primary believes.
            self.seen.judge(session.epoch)?;
        }
        if demands.service && self.settings.durability == Durability::Replica {
            let row = session.one("SELECT synchronous_standbys()", &[]).await.map_err(fault)?;
            if row.try_get::<_, i64>(0).unwrap_or(0) == 0 {
                return Err(StoreFault::NoReplica);
            }
            // A server that crashed shows rows after its restart that no replica has
            // confirmed. This commit waits until a replica has everything before it.
            session.confirm().await.map_err(|trouble| trouble.in_the_end(true))?;
        }
        Ok(session)
    }
}

/// What holds for every connection of ours, whatever the server's defaults are.
///
/// No timeout of the server may end a commit's wait for its replica, so `statement_timeout` is off and
/// we do the waiting; but a transaction whose gateway is gone must not keep its locks. Serving
/// statements go by keys: plans are made once, without looking at sizes that will change; and no page of a
/// hundred rows is worth another process of the server (a plan that is made once takes a tenth of the table
/// for a page, and would start one each time).
const OURS: &str = "
    SET search_path = ecaf, pg_temp;
    SET synchronous_commit = on;
    SET statement_timeout = 0;
    SET lock_timeout = '4s';
    SET idle_in_transaction_session_timeout = '10s';
    SET default_transaction_isolation = 'read committed';
    SET client_min_messages = warning;
    SET bytea_output = hex;
    SET jit = off;
    SET enable_seqscan = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    SET max_parallel_workers_per_gather = 0;
    SET plan_cache_mode = force_generic_plan";

/// Whether `fault` helps an operator more than `than`.
fn says_more(fault: StoreFault, than: StoreFault) -> bool {
    let rank = |fault| match fault {
        StoreFault::Unreachable => 0,
        StoreFault::Unavailable => 1,
        StoreFault::NotPrimary => 2,
        StoreFault::OldPrimary => 3,
        StoreFault::NoReplica => 4,
        _ => 5,
    };
    rank(fault) > rank(than)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_servers_the_most_telling_fault_is_told() {
        let order = [
            StoreFault::Unreachable,
            StoreFault::Unavailable,
            StoreFault::NotPrimary,
            StoreFault::OldPrimary,
            StoreFault::NoReplica,
            StoreFault::NotAStore,
        ];
        for (rank, fault) in order.into_iter().enumerate() {
            let below: Vec<bool> = order.map(|than| says_more(fault, than)).into();
            assert_eq!(below, std::array::from_fn::<_, 6, _>(|than| than < rank), "{fault:?}");
        }
    }
}
