//! One run: people send, trouble comes, then it is quiet and everything has to come right.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ecaf::cli::sandbox::AUTHORITIES;
use ecaf::domain::ids::Digest;
use ecaf::domain::time::DAY;
use ecaf::effects::{Clock, SeededEntropy};
use ecaf::store::sqlite::{Settings, SqliteAuthority, SqliteGateway};
use ecaf::store::{AuthorityStore, DeliveryFilter, DeliverySelector, GatewayStore};

use tokio::task::JoinHandle;

use super::database::{Database, Opened};
use super::days;
use super::documents::{Document, Stream};
use super::erasing::{Erasing, Keeper};
use super::network::{Network, Node};
use super::people::Person;
use super::plan::Plan;
use super::planted;
use super::proof;
use super::rest;
use super::ring::Ring;
use super::scheduler::{Scheduler, to_its_end};
use super::scheme::{Papers, Posted, SCHOOL_COUNT};
use super::schools::{Job, School};
use super::sites::{Besides, Machine, Site};
use super::stores::Disk;

/// What became of a run.
pub struct Outcome {
    pub digest: Digest,
    pub trace: Vec<String>,
    /// What is wrong, by invariant. Empty means that all hold.
    pub problems: Vec<String>,
    pub tally: Tally,
}

/// How much happened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    pub receipts: u64,
    pub delivered: u64,
    pub not_delivered: u64,
    pub crashes: u64,
    pub turns: u64,
    pub virtual_s: u64,
}

/// Everything in one run.
pub struct World {
    pub plan: Plan,
    pub scheduler: Arc<Scheduler>,
    network: Arc<Network>,
    pub gateway_store: Arc<Database<dyn GatewayStore>>,
    pub authority_stores: Vec<Arc<Database<dyn AuthorityStore>>>,
    pub gateways: Vec<Arc<Site>>,
    pub authorities: Vec<Arc<Site>>,
    pub schools: Vec<Arc<School>>,
    /// Workers of authorities, and clerks of schools; none where nobody speaks.
    pub people: Vec<Arc<Person>>,
    /// The directory, where it is issued anew.
    pub posted: Option<Arc<Posted>>,
    /// When everything had come right for the last time, in milliseconds.
    pub rested_at: AtomicI64,
    pub erasing: Erasing,
    gateway_disk: Arc<Mutex<Disk>>,
    authority_disk: Arc<Mutex<Disk>>,
    quiet: AtomicBool,
    crashes: AtomicU64,
}

/// Runs a plan from beginning to end and re-checks everything.
pub fn run(plan: &Plan) -> Outcome {
    // In memory where there is such a folder; see `database`.
    let memory = Path::new("/dev/shm");
    let folder = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let folder = folder.unwrap();
    let scheduler = Scheduler::new(plan.seed);
    let turns = Arc::clone(&scheduler);
    // Neither timers nor sockets: whoever asks for one has left the simulation.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .on_thread_park(move || turns.step())
        .build()
        .unwrap();
    let world = {
        let _inside = runtime.enter();
        Arc::new(World::new(plan, &scheduler, folder.path()))
    };
    let mut problems = runtime.block_on(live(&world));
    let mut tally = Tally::default();
    {
        let _inside = runtime.enter();
        problems.extend(proof::of(&world, &mut tally));
    }
    tally.crashes = world.crashes.load(Ordering::SeqCst);
    tally.turns = scheduler.turns();
    tally.virtual_s = scheduler.elapsed_ms() as u64 / 1_000;
    Outcome { digest: scheduler.trace_digest(), trace: scheduler.trace(), problems, tally }
}

impl World {
    fn new(plan: &Plan, scheduler: &Arc<Scheduler>, folder: &Path) -> Self {
        let network = Network::new(scheduler, plan.weather);
        let gateway_disk = Arc::new(Mutex::new(plan.gateway_disk));
        let authority_disk = Arc::new(Mutex::new(plan.authority_disk));
        let (bug, seed) = (plan.bug, plan.seed);
        let ring = |number: u64| {
            Ring::create(folder.join(format!("ring-{number}")), seed.wrapping_mul(97) ^ number)
        };
        let gateway_ring = ring(0);
        let sealed = gateway_ring.clone();
        let open = move |folder: &Path, opening: u64| {
            let settings = Settings::owner(folder.join("store.db")).or_create();
            let entropy = Arc::new(SeededEntropy::new(seed.wrapping_mul(31) ^ opening));
            let vault = planted::ring(bug, &sealed, opening);
            let store = SqliteGateway::open(&settings, Arc::clone(&vault), entropy).unwrap();
            let store = Arc::new(store);
            planted::gateway(bug, Opened { retention: store.clone(), store, vault })
        };
        let gateway_store = Database::create(folder.join("gateway"), Box::new(open));
        let mut keepers = vec![Keeper::new(
            "gateway".into(),
            &gateway_ring,
            &gateway_store,
            scheduler,
            &gateway_disk,
        )];
        let authority_store = |place: usize| {
            let ring = ring(1 + place as u64);
            let sealed = ring.clone();
            let open = move |folder: &Path, opening: u64| {
                let settings = Settings::owner(folder.join("store.db")).or_create();
                let vault = planted::ring(bug, &sealed, opening);
                let store = SqliteAuthority::open(&settings, Arc::clone(&vault)).unwrap();
                let store = Arc::new(store);
                planted::authority(bug, Opened { retention: store.clone(), store, vault })
            };
            let store = Database::create(folder.join(format!("inbox-{place}")), Box::new(open));
            let name = format!("authority {place}");
            keepers.push(Keeper::new(name, &ring, &store, scheduler, &authority_disk));
            store
        };
        let authority_stores: Vec<_> = (0..AUTHORITIES.len()).map(authority_store).collect();
        let posted = plan.way_back.as_ref().map(|way| Posted::new(way.ways));
        let besides = plan.way_back.as_ref().zip(posted.clone()).map(|(way, posted)| Besides {
            clocks: way.clocks,
            posted,
            gateways: plan.gateways,
        });
        let follows = (plan.erasures.is_some(), besides);
        let machine = |node, disk| {
            if plan.renewals.is_some() {
                network.give_papers(node, Papers::Expiring);
            }
            Machine::new(node, scheduler, &network, disk)
        };
        let gateways = (0..plan.gateways).map(|place| {
            let machine = machine(Node::Gateway(place), &gateway_disk);
            Site::gateway(machine, &gateway_store, plan.deliveries(), follows.clone())
        });
        let gateways = gateways.collect();
        let authorities = authority_stores.iter().enumerate().map(|(place, store)| {
            let machine = machine(Node::Authority(place), &authority_disk);
            Site::authority(machine, place, store, follows.clone())
        });
        let authorities = authorities.collect();
        let mut jobs = jobs(plan, scheduler);
        let schools = (0..SCHOOL_COUNT).map(|place| {
            let machine = machine(Node::School(place), &gateway_disk);
            let jobs = std::mem::take(&mut jobs[place]);
            let folder: PathBuf = folder.join("schools");
            School::new(machine, place, folder, plan.gateways, jobs)
        });
        let schools: Vec<_> = schools.collect();
        let people = days::people(plan, folder, (&authority_stores, &schools), |node| {
            machine(node, &gateway_disk)
        });
        Self {
            plan: plan.clone(),
            scheduler: Arc::clone(scheduler),
            network: Arc::clone(&network),
            gateway_store,
            authority_stores,
            gateways,
            authorities,
            schools,
            people,
            posted,
            rested_at: AtomicI64::new(0),
            erasing: Erasing::of(keepers),
            gateway_disk,
            authority_disk,
            quiet: AtomicBool::new(false),
            crashes: AtomicU64::new(0),
        }
    }

    fn machines(&self) -> impl Iterator<Item = &Machine> {
        let sites = self.gateways.iter().chain(&self.authorities).map(|site| &site.machine);
        let schools = self.schools.iter().map(|school| &school.machine);
        sites.chain(schools).chain(self.people.iter().map(|person| &person.machine))
    }

    pub fn chance<T>(&self, draw: impl FnOnce(&mut super::scheduler::Random) -> T) -> T {
        self.scheduler.random(draw)
    }

    /// Waits around `mean` seconds; false once it is quiet.
    async fn pause(&self, mean_s: u64) -> bool {
        let wait = mean_s * 1_000_000;
        self.scheduler.turn(wait / 8, wait * 2).await;
        !self.quiet.load(Ordering::SeqCst)
    }

    /// Starts everything that does not run.
    pub fn start(&self) {
        for site in self.gateways.iter().chain(&self.authorities) {
            site.start();
        }
        for school in &self.schools {
            school.start();
        }
        for person in &self.people {
            person.start();
        }
    }

    /// No new words from now on; or new ones again.
    pub fn hush(&self, rests: bool) {
        for person in &self.people {
            person.rest(rests);
        }
    }

    fn crashed(&self) {
        self.crashes.fetch_add(1, Ordering::SeqCst);
    }
}

/// What is sent, by school.
fn jobs(plan: &Plan, scheduler: &Scheduler) -> [Vec<Job>; SCHOOL_COUNT] {
    let mut stream = Stream::new(plan.seed);
    let mut jobs: [Vec<Job>; SCHOOL_COUNT] = Default::default();
    scheduler.random(|r| {
        for _ in 0..plan.referrals {
            let school = r.below(SCHOOL_COUNT as u64) as usize;
            let authority = r.below(AUTHORITIES.len() as u64) as usize;
            let document = match r.chance(300) {
                true => stream.unsafe_at_home(school, authority),
                false => stream.document(school, authority),
            };
            let starts_at = r.below(plan.trouble_s * 700_000);
            let near = |r: &mut super::scheduler::Random| {
                let most = r.pick(&[8_000, 200_000, 3_000_000]);
                starts_at + r.below(most)
            };
            let mut job = Job::new(document.clone(), 0, starts_at);
            job.again = [0, 0, 1, 2][r.below(4) as usize];
            job.twice = r.chance(250);
            let rival = match r.below(8) {
                // The same id with other words, from another desk of the school.
                0 => Some(other_words(&document, &mut stream)),
                // The same id from another school.
                1 => Some(from_another_school(&document, &mut stream)),
                _ => None,
            };
            if rival.is_none() && plan.words > 0 {
                job.words = (0..r.below(plan.words + 1)).map(|_| stream.word()).collect();
            }
            if let Some(rival) = rival {
                job.rival = true;
                let mut rival = Job::new(rival, 1, near(r));
                rival.rival = true;
                jobs[rival.document.school].push(rival);
            }
            jobs[school].push(job);
        }
    });
    jobs
}

fn other_words(document: &Document, stream: &mut Stream) -> Document {
    let more = format!("Something else entirely: {}.", stream.word());
    document.changed(|value| value["concerns"][0]["narrative"]["text"] = more.into())
}

fn from_another_school(document: &Document, stream: &mut Stream) -> Document {
    let school = (document.school + 1) % SCHOOL_COUNT;
    let id = document.id.to_string();
    let other = stream.document(school, document.authority);
    Document { linked: None, ..other.changed(|value| value["referral_id"] = id.into()) }
}

async fn live(world: &Arc<World>) -> Vec<String> {
    world.start();
    let troubles = begin_trouble(world);
    world.scheduler.after(Duration::from_secs(world.plan.trouble_s)).await;
    world.scheduler.note("--", format_args!("trouble ends"));
    end_trouble(world, troubles).await;
    let mut problems = rest::come_to_rest(world).await;
    if problems.is_empty() {
        problems = days::off(world).await;
    }
    if problems.is_empty() && world.plan.erasures.is_some() {
        world.erasing.finish(world).await;
        problems = rest::come_to_rest(world).await;
    }
    if problems.is_empty() {
        problems.extend(rest::ask_again(world).await);
    }
    problems
}

fn begin_trouble(world: &Arc<World>) -> Vec<JoinHandle<()>> {
    let plan = &world.plan;
    let mut troubles = Vec::new();
    let mut begin = |mean: Option<u64>, kind: Trouble| {
        if let Some(mean) = mean {
            let world = Arc::clone(world);
            troubles.push(tokio::spawn(async move {
                while world.pause(mean).await {
                    kind.strike(&world).await;
                }
            }));
        }
    };
    begin(plan.gateway_crashes, Trouble::Gateway);
    begin(plan.store_crashes, Trouble::Store);
    begin(plan.authority_crashes, Trouble::Authority);
    begin(plan.school_crashes, Trouble::School);
    begin(plan.cuts, Trouble::Cut);
    begin(plan.clock_steps.map(|(mean, _)| mean), Trouble::Clock);
    begin(plan.operator, Trouble::Operator);
    begin(plan.erasures, Trouble::Erasing);
    begin(plan.renewals, Trouble::Renewal);
    if !world.people.is_empty() {
        begin(plan.school_crashes, Trouble::Person);
    }
    begin(plan.way_back.as_ref().and_then(|way| way.moves), Trouble::Move);
    troubles
}

/// What strikes.
#[derive(Clone, Copy)]
enum Trouble {
    Gateway,
    Store,
    Authority,
    School,
    Cut,
    Clock,
    Operator,
    Erasing,
    Renewal,
    Person,
    Move,
}

impl Trouble {
    async fn strike(self, world: &Arc<World>) {
        match self {
            Trouble::Gateway => {
                let site = &world.gateways[pick(world, world.gateways.len())];
                match world.chance(|r| r.chance(200)) {
                    true => site.stop().await,
                    false => site.kill(),
                }
                world.crashed();
                // A gateway that is alone with its store is the process that has it open.
                if world.gateways.len() == 1 {
                    world.gateway_store.crash();
                }
                world.scheduler.turn(100_000, 12_000_000).await;
                site.start();
            }
            Trouble::Store => {
                world.scheduler.note("store", format_args!("crashes and is opened again"));
                if world.gateways.len() == 1 {
                    world.gateways[0].kill();
                }
                world.gateway_store.crash();
                world.crashed();
                world.scheduler.turn(100_000, 5_000_000).await;
                world.gateways[0].start();
            }
            Trouble::Authority => {
                let site = &world.authorities[pick(world, world.authorities.len())];
                site.kill();
                world.crashed();
                world.scheduler.turn(100_000, 30_000_000).await;
                site.start();
            }
            Trouble::School => {
                let school = &world.schools[pick(world, world.schools.len())];
                school.kill();
                world.crashed();
                world.scheduler.turn(100_000, 20_000_000).await;
                school.start();
            }
            Trouble::Person => {
                let person = &world.people[pick(world, world.people.len())];
                person.kill();
                world.crashed();
                world.scheduler.turn(100_000, 20_000_000).await;
                person.start();
            }
            Trouble::Move => days::issue(world),
            Trouble::Cut => cut(world).await,
            Trouble::Clock => {
                let mut most = world.plan.clock_steps.map_or(0, |(_, most)| most) as i64 * 1_000;
                let machines: Vec<_> = world.machines().collect();
                let machine = machines[pick(world, machines.len())];
                // Servers have a time service; a person's machine may stand a day off.
                let server = matches!(machine.node, Node::Gateway(_) | Node::Authority(_));
                if !server && world.chance(|r| r.chance(300)) {
                    most = DAY;
                }
                let mut ms = world.chance(|r| r.between(0, 2 * most as u64)) as i64 - most;
                // Nobody erases a period while a server's clock still stands in it.
                if world.plan.erasures.is_some() && server {
                    ms = ms.abs();
                }
                world.scheduler.note(machine.node, format_args!("clock is wrong by {ms} ms"));
                machine.clock.set_wrong_by(ms);
            }
            Trouble::Operator => operate(world),
            Trouble::Erasing => world.erasing.strike(world).await,
            Trouble::Renewal => renew(world, pick(world, world.machines().count())),
        }
    }
}

fn pick(world: &World, of: usize) -> usize {
    world.chance(|r| r.below(of as u64)) as usize
}

/// Renews the certificates of one machine.
fn renew(world: &World, number: usize) {
    let sites = world.gateways.len() + world.authorities.len();
    match number.checked_sub(sites) {
        Some(other) => {
            let schools = world.schools.iter().map(|school| &school.machine);
            let people = world.people.iter().map(|person| &person.machine);
            schools.chain(people).nth(other).unwrap().renew();
        }
        None => {
            let mut all = world.gateways.iter().chain(&world.authorities);
            all.nth(number).unwrap().renew();
        }
    }
}

/// Some connections are cut for a while.
async fn cut(world: &World) {
    let nodes: Vec<Node> = world.machines().map(|machine| machine.node).collect();
    let one = nodes[pick(world, nodes.len())];
    let everybody = world.chance(|r| r.chance(300));
    let other = nodes[pick(world, nodes.len())];
    let others: Vec<Node> =
        nodes.into_iter().filter(|node| *node != one && (everybody || *node == other)).collect();
    for other in &others {
        world.network.set_cut(one, *other, true);
    }
    world.scheduler.note(one, format_args!("cut off from {} machines", others.len()));
    world.scheduler.turn(500_000, 45_000_000).await;
    for other in &others {
        world.network.set_cut(one, *other, false);
    }
}

/// An operator's command, on the store itself.
fn operate(world: &World) {
    let store = world.gateway_store.current();
    let now = world.gateways[0].machine.clock.now();
    if world.chance(|r| r.chance(150)) {
        let rows = to_its_end(store.deliveries(DeliveryFilter::default())).unwrap();
        if !rows.is_empty() {
            let row = &rows[pick(world, rows.len())];
            let handed = to_its_end(store.by_hand(row.id, now)).unwrap();
            world
                .scheduler
                .note("operator", format_args!("delivery {} by hand: {handed}", row.id.0));
        }
        return;
    }
    let replayed = to_its_end(store.replay(DeliverySelector::All, now)).unwrap();
    world.scheduler.note("operator", format_args!("replays {replayed}"));
}

async fn end_trouble(world: &Arc<World>, troubles: Vec<JoinHandle<()>>) {
    world.quiet.store(true, Ordering::SeqCst);
    world.hush(true);
    world.network.calm();
    *world.gateway_disk.lock().unwrap() = Disk::CALM;
    *world.authority_disk.lock().unwrap() = Disk::CALM;
    for machine in world.machines() {
        machine.clock.set_wrong_by(0);
    }
    for number in 0..world.machines().count() {
        renew(world, number);
    }
    // What struck last mends what it broke.
    for trouble in troubles {
        trouble.await.unwrap();
    }
    world.start();
}
