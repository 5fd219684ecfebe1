//! Gateways and authorities as processes: started over their store, killed at any step, started again
//! as somebody else. The parts are the product's; only the wiring is repeated.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use ecaf::authority::collect::Collector;
use ecaf::authority::station::Station;
use ecaf::cli::sandbox::AUTHORITIES;
use ecaf::domain::party::Organisation;
use ecaf::effects::{Clock, Entropy, SeededEntropy};
use ecaf::gateway::courier::MutualTlsCourier;
use ecaf::gateway::deliver::{self, DeliverySettings};
use ecaf::gateway::exchange::Exchange;
use ecaf::gateway::lines::Lines;
use ecaf::gateway::{publish, push, remind};
use ecaf::http::{Handler, Trust};
use ecaf::protocol::directory::DirectoryHolder;
use ecaf::protocol::signing::SigningIdentity;
use ecaf::protocol::trust::VerifiedCache;
use ecaf::store::{AuthorityStore, GatewayStore};
use tokio::sync::{Notify, watch};

use super::database::Database;
use super::network::{Network, Node, Process};
use super::scheduler::{MachineClock, Scheduler};
use super::scheme::{Papers, Posted, gateway_name, gateway_party, scheme};
use super::stores::{Disk, Scheduled};

/// What every machine has.
pub struct Machine {
    pub node: Node,
    pub clock: Arc<MachineClock>,
    pub scheduler: Arc<Scheduler>,
    pub network: Arc<Network>,
    pub disk: Arc<Mutex<Disk>>,
    trust: Arc<Trust>,
}

impl Machine {
    pub fn new(
        node: Node,
        scheduler: &Arc<Scheduler>,
        network: &Arc<Network>,
        disk: &Arc<Mutex<Disk>>,
    ) -> Self {
        let clock = MachineClock::new(scheduler);
        let trust = scheme().trust(clock.clone());
        let (scheduler, network) = (Arc::clone(scheduler), Arc::clone(network));
        Self { node, clock, scheduler, network, disk: Arc::clone(disk), trust }
    }

    /// Trust data by this machine's clock.
    pub fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.trust)
    }

    /// What this machine signs with.
    pub fn signing(&self) -> Arc<SigningIdentity> {
        scheme().signing(&self.node.party(), self.network.papers(self.node))
    }

    /// Puts renewed certificates where the expiring ones were.
    pub fn renew(&self) {
        if self.network.papers(self.node) == Papers::Expiring {
            self.scheduler.note(self.node, format_args!("is given renewed certificates"));
            self.network.give_papers(self.node, Papers::Renewed);
        }
    }

    /// Randomness of a process that starts now.
    pub fn entropy(&self) -> Arc<dyn Entropy> {
        Arc::new(SeededEntropy::new(self.scheduler.random(|r| r.number())))
    }
}

/// One life of a process.
struct Life {
    process: Arc<Process>,
    stop: watch::Sender<bool>,
    renew: Renew,
}

/// Gives a running process the signing key that its machine has by now.
type Renew = Box<dyn Fn(Arc<SigningIdentity>) + Send>;

/// What the processes of a run with a way back do besides, and where they fetch the directory.
#[derive(Clone)]
pub struct Besides {
    /// Whether gateways look at the clocks.
    pub clocks: bool,
    pub posted: Arc<Posted>,
    /// How many gateways there are to collect from.
    pub gateways: usize,
}

/// How long a collector's claim waits for something new.
const CLAIM_WAITS: Duration = Duration::from_secs(8);

/// What a site runs.
enum Role {
    Gateway { database: Arc<Database<dyn GatewayStore>>, settings: DeliverySettings },
    Authority { place: usize, database: Arc<Database<dyn AuthorityStore>> },
}

/// A place where a process runs, most of the time.
pub struct Site {
    pub machine: Machine,
    role: Role,
    /// Whether its process follows the key ring in the background: not in runs without erasures.
    follows: bool,
    besides: Option<Besides>,
    life: Mutex<Option<Life>>,
}

impl Site {
    /// One of the gateways over `database`.
    pub fn gateway(
        machine: Machine,
        database: &Arc<Database<dyn GatewayStore>>,
        settings: DeliverySettings,
        (follows, besides): (bool, Option<Besides>),
    ) -> Arc<Self> {
        let role = Role::Gateway { database: Arc::clone(database), settings };
        Arc::new(Self { machine, role, follows, besides, life: Mutex::default() })
    }

    /// An authority with its own store.
    pub fn authority(
        machine: Machine,
        place: usize,
        database: &Arc<Database<dyn AuthorityStore>>,
        (follows, besides): (bool, Option<Besides>),
    ) -> Arc<Self> {
        let role = Role::Authority { place, database: Arc::clone(database) };
        Arc::new(Self { machine, role, follows, besides, life: Mutex::default() })
    }

    fn node(&self) -> Node {
        self.machine.node
    }

    /// Starts a process, unless one runs.
    pub fn start(self: &Arc<Self>) {
        let mut life = self.life.lock().unwrap();
        if life.is_some() {
            return;
        }
        self.machine.scheduler.note(self.node(), format_args!("starts"));
        let (stop, stopping) = watch::channel(false);
        let (process, renew, broken) = match &self.role {
            Role::Gateway { database, settings } => {
                self.start_gateway(database, settings.clone(), stopping)
            }
            Role::Authority { place, database } => self.start_authority(*place, database),
        };
        self.machine.network.join(self.node(), Arc::clone(&process));
        let site = Arc::clone(self);
        let dying = Arc::clone(&process);
        tokio::spawn(async move {
            broken.await;
            // As the process does: it ends, and its manager starts another.
            if site.is_life(&dying) {
                site.kill();
                site.machine.scheduler.turn(100_000, 3_000_000).await;
                site.start();
            }
        });
        *life = Some(Life { process, stop, renew });
    }

    /// Gives the machine renewed certificates; a running process takes them as it runs.
    pub fn renew(&self) {
        self.machine.renew();
        if let Some(life) = &*self.life.lock().unwrap() {
            (life.renew)(self.machine.signing());
        }
    }

    fn is_life(&self, process: &Arc<Process>) -> bool {
        let life = self.life.lock().unwrap();
        life.as_ref().is_some_and(|life| Arc::ptr_eq(&life.process, process))
    }

    /// What brings the store to what its ring says, as every serving process runs it.
    fn follow_ring<S: ?Sized + Send + Sync + 'static>(
        &self,
        process: &Process,
        database: &Arc<Database<S>>,
    ) {
        if self.follows {
            let Machine { node, clock, scheduler, disk, .. } = &self.machine;
            let store = Scheduled::new(node.to_string(), database, scheduler, disk);
            let vault = database.opened().vault;
            process.spawn(ecaf::app::upkeep::run(Arc::new(store), vault, clock.clone()));
        }
    }

    /// Takes the directory as it is now, and each issue of it some time after it is out.
    fn follow_directory(&self, holder: &Arc<DirectoryHolder>, process: &Process) {
        let Some(Besides { posted, .. }) = self.besides.clone() else { return };
        let Machine { clock, scheduler, .. } = &self.machine;
        let (clock, scheduler) = (Arc::clone(clock), Arc::clone(scheduler));
        let (holder, trust) = (Arc::clone(holder), self.machine.trust());
        posted.give(&holder, &trust, clock.now());
        process.spawn(async move {
            loop {
                scheduler.turn(2_000_000, 20_000_000).await;
                posted.give(&holder, &trust, clock.now());
            }
        });
    }

    fn start_gateway(
        &self,
        database: &Arc<Database<dyn GatewayStore>>,
        settings: DeliverySettings,
        stopping: watch::Receiver<bool>,
    ) -> (Arc<Process>, Renew, Ended) {
        let Machine { clock, scheduler, network, disk, .. } = &self.machine;
        let Node::Gateway(number) = self.node() else { unreachable!("a gateway's site") };
        let (name, party) = (gateway_name(number), gateway_party(number));
        let (trust, entropy) = (self.machine.trust(), self.machine.entropy());
        let store = Scheduled::new(self.node().to_string(), database, scheduler, disk);
        let exchange = Arc::new(Exchange {
            name: name.parse().unwrap(),
            signing: ArcSwap::new(self.machine.signing()),
            trust: Arc::clone(&trust),
            cache: VerifiedCache::new(1_024),
            directory: scheme().directory(&trust, clock.now()),
            tables: ArcSwap::new(Arc::clone(&scheme().tables)),
            recent: Default::default(),
            store: Arc::new(store),
            clock: clock.clone(),
            entropy: Arc::clone(&entropy),
            new_deliveries: Notify::new(),
            new_tokens: Notify::new(),
            waiting: Default::default(),
            broken: Notify::new(),
        });
        let retry = settings.retry;
        let api = ecaf::gateway::api::Api::new(Arc::clone(&exchange), 1_048_576).with_retry(retry);
        let process = Process::new(Arc::new(api), trust);
        let (from, network) = (self.node(), Arc::clone(network));
        let lines = Lines::over(party.trust_domain, move |_, expected| {
            let Organisation::Authority(code) = expected.organisation else { panic!("{expected}") };
            let place = AUTHORITIES.iter().position(|a| a.code == code.as_str()).unwrap();
            network.line_to(from, Node::Authority(place))
        });
        let lines = Arc::new(lines);
        let courier = MutualTlsCourier::new(Arc::clone(&lines));
        let holder = format!("{name}/{}", scheduler.random(|r| r.number()));
        process.spawn(deliver::run(
            Arc::clone(&exchange),
            Arc::new(courier),
            settings,
            holder.clone(),
            stopping.clone(),
        ));
        process.spawn(publish::run(Arc::clone(&exchange), holder.clone(), stopping.clone()));
        if let Some(besides) = &self.besides {
            self.follow_directory(&exchange.directory, &process);
            if besides.clocks {
                let exchange = Arc::clone(&exchange);
                process.spawn(remind::run(exchange, holder.clone(), stopping.clone()));
            }
            process.spawn(push::run(Arc::clone(&exchange), lines, retry, holder, stopping));
        }
        self.follow_ring(&process, database);
        let renewed = Arc::clone(&exchange);
        let renew: Renew = Box::new(move |identity| renewed.signing.store(identity));
        (process, renew, Box::pin(async move { exchange.broken.notified().await }))
    }

    fn start_authority(
        &self,
        place: usize,
        database: &Arc<Database<dyn AuthorityStore>>,
    ) -> (Arc<Process>, Renew, Ended) {
        let Machine { clock, scheduler, disk, .. } = &self.machine;
        let (trust, entropy) = (self.machine.trust(), self.machine.entropy());
        let store = Scheduled::new(self.node().to_string(), database, scheduler, disk);
        let station = Arc::new(Station {
            code: AUTHORITIES[place].code.parse().unwrap(),
            reference_prefix: AUTHORITIES[place].prefix.into(),
            signing: ArcSwap::new(self.machine.signing()),
            trust: Arc::clone(&trust),
            cache: VerifiedCache::new(1_024),
            directory: scheme().directory(&trust, clock.now()),
            store: Arc::new(store),
            clock: clock.clone(),
            entropy,
            recent: Default::default(),
            broken: Notify::new(),
        });
        let api = ecaf::authority::api::Api::new(Arc::clone(&station), 1_048_576);
        let api: Arc<dyn Handler> = Arc::new(api);
        let renewed = Arc::clone(&station);
        let renew: Renew = Box::new(move |identity| renewed.signing.store(identity));
        let process = Process::new(api, trust);
        if let Some(besides) = &self.besides {
            self.follow_directory(&station.directory, &process);
            process.spawn(self.collect(Arc::clone(&station), besides.gateways));
        }
        self.follow_ring(&process, database);
        (process, renew, Box::pin(async move { station.broken.notified().await }))
    }

    /// Collects for as long as the process lives; the gateway refuses while the directory says "push".
    fn collect(&self, station: Arc<Station>, gateways: usize) -> impl Future<Output = ()> + use<> {
        let Machine { node, scheduler, network, .. } = &self.machine;
        let gateway = gateway_party(scheduler.random(|r| r.below(gateways as u64)) as usize);
        let line = network.line_to_gateway(*node, &gateway, gateways);
        let collector = Collector { station, gateway, line, wait: CLAIM_WAITS };
        async move {
            let (_never, stopping) = watch::channel(false);
            collector.run(stopping).await;
        }
    }

    /// Ends the process at the step at which it stands, and all its memory with it. What it alone had
    /// open is opened again as the files stand.
    pub fn kill(&self) {
        let Some(life) = self.life.lock().unwrap().take() else { return };
        self.machine.scheduler.note(self.node(), format_args!("is killed"));
        self.machine.network.leave(self.node());
        life.process.kill();
        if let Role::Authority { database, .. } = &self.role {
            database.crash();
        }
    }

    /// Asks the process to stop and kills it when it has had some time.
    pub async fn stop(&self) {
        let told = self.life.lock().unwrap().as_ref().map(|life| life.stop.send_replace(true));
        if told.is_some() {
            self.machine.scheduler.note(self.node(), format_args!("is asked to stop"));
            self.machine.network.leave(self.node());
            self.machine.scheduler.after(Duration::from_secs(20)).await;
            self.kill();
        }
    }
}

type Ended = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;
