//! What a durable referral costs in either store, beside the disk's own price in the same run. The
//! PostgreSQL server is one of the bench's own, on the same machine, with the durable settings of its
//! package.
//!
//! `cargo bench --bench store` prints one table. Words after `--` choose parts of it (`raw`, `accept`,
//! `life`, `receive`, `read`, `growth`, `talk`, or numbers of callers at once); anything with a slash is the folder whose
//! disk is measured. The stores take turns, and each line is the median of its rounds.

#[path = "../../tests/postgres_support/mod.rs"]
mod postgres_support;
#[path = "../../tests/store_support/mod.rs"]
mod store_support;
mod talk;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use ecaf::effects::SystemEntropy;
use ecaf::store::sqlite::{Settings, SqliteAuthority, SqliteGateway};
use ecaf::store::*;
use postgres_support::Server;
use store_support::*;

/// Referrals per round at the given concurrency.
const LOADS: [(usize, u64); 5] = [(1, 1_000), (8, 4_000), (32, 6_000), (64, 8_000), (256, 8_000)];
/// Segments of the log, of 16 MB, that are there to be used again when the clock starts.
const RECYCLED: usize = 120;
/// Bytes of a document and its tokens, as stored.
const ROW: usize = 5_000 + 3 * 700;

/// The server, set as `deploy/postgres/postgresql.conf` says, with segments of the log to be used again as
/// one that has been running has them. `ECAF_PG_CONF` names another file of settings.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        const SETTINGS: &str = include_str!("../../deploy/postgres/postgresql.conf");
        let mut server = Server::start();
        let given = std::env::var("ECAF_PG_CONF").ok();
        let given = given.map(|path| std::fs::read_to_string(path).expect("settings"));
        for line in given.as_deref().unwrap_or(SETTINGS).lines() {
            if let Some((name, value)) = line.split_once(" = ")
                && !line.starts_with('#')
            {
                server.sql("postgres", &format!("ALTER SYSTEM SET {name} = '{value}'"));
            }
        }
        server.stop();
        server.restart();
        for _ in 0..RECYCLED {
            server.sql("postgres", "SELECT pg_logical_emit_message(true, '', ''), pg_switch_wal()");
        }
        server.sql("postgres", "CHECKPOINT");
        server
    })
}

/// Rounds of each line; `ECAF_ROUNDS` says otherwise.
fn rounds() -> usize {
    std::env::var("ECAF_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(5)
}

fn main() {
    let given: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let base = given.iter().find(|arg| arg.contains('/'));
    let base = base.map_or_else(std::env::temp_dir, PathBuf::from);
    let parts: Vec<&str> =
        given.iter().map(String::as_str).filter(|arg| !arg.contains('/')).collect();
    let wanted = |part: &str| parts.is_empty() || parts.contains(&part);
    let folder = tempfile::tempdir_in(base).expect("a folder to measure in");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    Line::head();
    for rows in [1, 64, 256] {
        if wanted("raw") {
            raw(folder.path(), rows);
        }
    }
    runtime.block_on(async {
        let makes = [Make::File(folder.path().to_owned()), Make::Database];
        for (tasks, count) in LOADS {
            if wanted("accept") || wanted(&tasks.to_string()) {
                let mut lines = Turns::default();
                for _ in 0..rounds() {
                    for make in &makes {
                        lines.add(make, accepts(make, tasks, count).await);
                    }
                }
                lines.print(&format!("accept, {tasks} at once"));
            }
        }
        if wanted("life") {
            let mut lines = Turns::default();
            for _ in 0..rounds() {
                for make in &makes {
                    lines.add(make, whole_life(make).await);
                }
            }
            lines.print("accept to sequence, 32 at once");
        }
        if wanted("receive") {
            let mut lines = Turns::default();
            for _ in 0..rounds() {
                for make in &makes {
                    lines.add(make, receives(make).await);
                }
            }
            lines.print("authority receives, 32 at once");
        }
        for make in &makes {
            if wanted("read") {
                reads(make).await;
            }
        }
        for make in &makes {
            if wanted("growth") {
                growth(make).await;
            }
        }
        for make in &makes {
            if wanted("talk") {
                talk::grows(make).await;
            }
        }
    });
}

/// The same bytes appended to a file that is there already, synced after each batch.
fn raw(folder: &Path, rows: usize) {
    let path = folder.join("raw");
    let batches = (4_000 / rows).max(16);
    let block = vec![7u8; rows * ROW];
    let mut lines = Vec::new();
    for _ in 0..rounds() {
        // Written once before, so that the blocks are allocated as in a log that is used again.
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = file.as_mut().expect("a file");
        for pass in 0..2 {
            std::io::Seek::rewind(file).expect("rewind");
            let run = Run::start();
            for _ in 0..batches {
                file.write_all(&block).expect("write");
                if pass == 1 {
                    file.sync_data().expect("sync");
                }
            }
            if pass == 1 {
                lines.push(run.line((batches * rows) as u64, vec![]));
            }
            file.sync_all().expect("sync");
        }
    }
    Line::median(lines).print(&format!("write + fdatasync, {rows} rows of {ROW} bytes"));
}

static NEXT: AtomicU64 = AtomicU64::new(0);

/// Makes fresh stores.
enum Make {
    File(PathBuf),
    Database,
}

impl Make {
    fn name(&self) -> &'static str {
        match self {
            Make::File(_) => "SQLite",
            Make::Database => "PostgreSQL",
        }
    }

    fn file(folder: &Path) -> Settings {
        let name = format!("{}.db", NEXT.fetch_add(1, Ordering::Relaxed));
        Settings::owner(folder.join(name)).or_create()
    }

    async fn gateway(&self) -> Arc<dyn GatewayStore> {
        match self {
            Make::File(folder) => {
                let entropy = Arc::new(SystemEntropy::default());
                let settings = Self::file(folder);
                Arc::new(SqliteGateway::open(&settings, vault(), entropy).expect("a store"))
            }
            Make::Database => server().gateway(vault()).await.0,
        }
    }

    async fn keep(&self) -> Kept {
        let place = match self {
            Make::File(folder) => Place::File(Self::file(folder)),
            Make::Database => {
                let kind = ecaf::store::postgres::Kind::Gateway;
                Place::Database(server().database(kind).await)
            }
        };
        Kept { open: None, place }
    }

    async fn authority(&self) -> Arc<dyn AuthorityStore> {
        match self {
            Make::File(folder) => {
                let settings = Self::file(folder);
                Arc::new(SqliteAuthority::open(&settings, vault()).expect("a store"))
            }
            Make::Database => server().authority(vault()).await.0,
        }
    }
}

/// Runs `op` for all numbers below `count` from `tasks` tasks.
async fn load<F, Fut>(tasks: usize, count: u64, op: F) -> Line
where
    F: Fn(u64) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let next = Arc::new(AtomicU64::new(0));
    let run = Run::start();
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..tasks {
        let (next, op) = (next.clone(), op.clone());
        set.spawn(async move {
            let mut took = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return took;
                }
                let start = Instant::now();
                op(n).await;
                took.push(start.elapsed());
            }
        });
    }
    let took = set.join_all().await.into_iter().flatten().collect();
    run.line(count, took)
}

async fn accepts(make: &Make, tasks: usize, count: u64) -> Line {
    let store = make.gateway().await;
    let made: Arc<Vec<Acceptance>> = Arc::new((0..count).map(acceptance).collect());
    load(tasks, count, move |n| {
        let (store, a) = (store.clone(), made[n as usize].clone());
        async move { assert_eq!(store.accept(a).await, Ok(AcceptOutcome::Committed)) }
    })
    .await
}

/// Accept, lease, settle and sequence: all that a gateway's store does for one referral.
async fn whole_life(make: &Make) -> Line {
    const COUNT: u64 = 6_000;
    let store = make.gateway().await;
    let made: Arc<Vec<Acceptance>> = Arc::new((0..COUNT).map(acceptance).collect());
    let fence = store.acquire("sequencer", "a".into(), at(0), 1_000_000).await;
    let fence = fence.expect("a right").expect("free");
    let run = Run::start();
    let others = store.clone();
    let work = tokio::spawn(async move {
        let mut done = 0;
        while done < COUNT {
            let now = at(1_000_000 - 40_000);
            let leased = others.lease_deliveries(lease_request(now, 64)).await.expect("lease");
            done += leased.len() as u64;
            let settling = leased.iter().map(|d| {
                let others = others.clone();
                let (lease, tokens) = (d.lease, receipt(d, d.head, now));
                async move { others.delivered(lease, tokens, now).await }
            });
            for settled in futures_util::future::join_all(settling).await {
                assert_eq!(settled, Ok(Settled::Done));
            }
            others.sequence(&fence, 512, at(0)).await.expect("sequence");
        }
    });
    load(32, COUNT, move |n| {
        let (store, a) = (store.clone(), made[n as usize].clone());
        async move { assert_eq!(store.accept(a).await, Ok(AcceptOutcome::Committed)) }
    })
    .await;
    work.await.expect("the worker");
    run.line(COUNT, vec![])
}

/// Accepts into an empty store and into one that holds `ECAF_GROW_TO` referrals (100,000 otherwise),
/// how long that takes to open, and what a referral takes on the disk before it is delivered.
async fn growth(make: &Make) {
    const MEASURED: u64 = 6_000;
    let stored = std::env::var("ECAF_GROW_TO").ok().and_then(|n| n.parse().ok());
    let stored: u64 = stored.unwrap_or(100_000);
    let mut kept = make.keep().await;
    let mut stages = [Vec::new(), Vec::new()];
    let mut from = 0;
    for (lines, count) in stages.iter_mut().zip([MEASURED, stored]) {
        if count == stored {
            // Not measured: as fast as it goes.
            accept_from(&kept.open().await, from, 256, stored).await;
            from += stored;
        }
        if let Place::Database(name) = &kept.place {
            // Both stages begin at the same distance from the last checkpoint.
            server().sql(name, "CHECKPOINT");
        }
        for _ in 0..rounds() {
            let made: Arc<Vec<Acceptance>> =
                Arc::new((from..from + MEASURED).map(acceptance).collect());
            let store = kept.open().await;
            lines.push(
                load(64, MEASURED, move |n| {
                    let (store, a) = (store.clone(), made[n as usize].clone());
                    async move { assert_eq!(store.accept(a).await, Ok(AcceptOutcome::Committed)) }
                })
                .await,
            );
            from += MEASURED;
        }
    }
    let [empty, grown] = stages.map(Line::median);
    empty.print(&format!("{}: accept, 64 at once, few stored", make.name()));
    grown.print(&format!("{}: the same with {stored} stored", make.name()));
    let (tokens, took) = sequenced(&kept.open().await).await;
    kept.close();
    let start = Instant::now();
    drop(kept.open().await);
    let opened = start.elapsed();
    let bytes = kept.bytes() / from;
    println!(
        "  {:.2} x; opened in {opened:.0?}; {bytes} bytes a referral; sequencer {:.0} tokens/s",
        grown.rate / empty.rate,
        tokens as f64 / took.as_secs_f64()
    );
}

/// Some of the tokens that wait get their places: the one work that a store does one by one.
async fn sequenced(store: &Arc<dyn GatewayStore>) -> (u64, Duration) {
    const ENOUGH: u64 = 20_000;
    let fence = store.acquire("sequencer", "bench".into(), at(0), 10_000_000).await;
    let fence = fence.expect("a right").expect("free");
    let (start, mut done) = (Instant::now(), 0);
    while done < ENOUGH {
        match store.sequence(&fence, 512, at(0)).await.expect("sequenced") {
            Sequencing::Done { count, .. } if count > 0 => done += u64::from(count),
            _ => break,
        }
    }
    (done, start.elapsed())
}

async fn accept_from(store: &Arc<dyn GatewayStore>, from: u64, tasks: usize, count: u64) {
    let store = store.clone();
    load(tasks, count, move |n| {
        let (store, a) = (store.clone(), acceptance(from + n));
        async move { assert_eq!(store.accept(a).await, Ok(AcceptOutcome::Committed)) }
    })
    .await;
}

/// A store that can be closed and opened again, and weighed.
struct Kept {
    open: Option<Arc<dyn GatewayStore>>,
    place: Place,
}

enum Place {
    File(Settings),
    Database(String),
}

impl Kept {
    async fn open(&mut self) -> Arc<dyn GatewayStore> {
        if let Some(open) = &self.open {
            return open.clone();
        }
        let store: Arc<dyn GatewayStore> = match &self.place {
            Place::File(settings) => {
                let entropy = Arc::new(SystemEntropy::default());
                Arc::new(SqliteGateway::open(settings, vault(), entropy).expect("a store"))
            }
            Place::Database(name) => {
                let settings = server().settings(name, postgres_support::GATEWAY);
                postgres_support::open_gateway(&settings, vault()).await
            }
        };
        self.open.insert(store).clone()
    }

    fn close(&mut self) {
        self.open = None;
    }

    /// On the disk, write-ahead log not counted.
    fn bytes(&self) -> u64 {
        match &self.place {
            Place::File(settings) => std::fs::metadata(&settings.path).map_or(0, |m| m.len()),
            Place::Database(name) => {
                let server = server();
                server.sql(name, "CHECKPOINT");
                let size = server.sql(name, "SELECT pg_database_size(current_database())");
                size.first().and_then(|size| size.parse().ok()).unwrap_or(0)
            }
        }
    }
}

async fn receives(make: &Make) -> Line {
    const COUNT: u64 = 6_000;
    let store = make.authority().await;
    let made: Arc<Vec<Dispatch>> =
        Arc::new((0..COUNT).map(|n| dispatch(n, &format!("NEW-2026-{n:06}"))).collect());
    load(32, COUNT, move |n| {
        let (store, d) = (store.clone(), made[n as usize].clone());
        async move { assert_eq!(store.receive(d).await, Ok(ReceiveOutcome::Stored)) }
    })
    .await
}

async fn reads(make: &Make) {
    const COUNT: u64 = 20_000;
    let store = make.gateway().await;
    for n in 0..1_000 {
        store.accept(acceptance(n)).await.expect("stored");
    }
    let known = store.clone();
    let line = load(8, COUNT, move |n| {
        let known = known.clone();
        async move {
            let n = n % 1_000;
            let seen = known.look_up(&school(n % 7), referral_id(n), 1).await;
            assert!(matches!(seen, Ok(Seen::Stored(_))));
        }
    });
    line.await.print(&format!("{}: look up a stored version, 8", make.name()));
    let line = load(8, COUNT, move |n| {
        let store = store.clone();
        async move {
            let seen = store.look_up(&school(0), referral_id(n + 1_000_000), 1).await;
            assert_eq!(seen, Ok(Seen::Never));
        }
    });
    line.await.print(&format!("{}: look up a new id, 8 at once", make.name()));
    // What a trip to a blocking thread costs by itself, for comparison.
    let line = load(8, COUNT, |n| async move {
        let back = tokio::task::spawn_blocking(move || n).await;
        assert_eq!(back.ok(), Some(n));
    });
    line.await.print("an empty trip to a blocking thread, 8 at once");
}

struct Run {
    start: Instant,
    cpu: f64,
    server: f64,
}

impl Run {
    fn start() -> Self {
        let server = server().cpu_us();
        Self { start: Instant::now(), cpu: cpu_us(), server }
    }

    fn line(self, count: u64, mut took: Vec<Duration>) -> Line {
        let seconds = self.start.elapsed().as_secs_f64();
        took.sort();
        let at = |part: f64| {
            let index = (took.len() as f64 * part) as usize;
            took.get(index.min(took.len().saturating_sub(1))).map(|d| d.as_secs_f64() * 1e6)
        };
        Line {
            rate: count as f64 / seconds,
            p50: at(0.5),
            p99: at(0.99),
            cpu: (cpu_us() - self.cpu) / count as f64,
            server: (server().cpu_us() - self.server) / count as f64,
        }
    }
}

/// User and system time of this process in microseconds (fields 14 and 15 of `proc(5)` stat, in
/// ticks of 10 ms, the only value Linux uses for them).
fn cpu_us() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).flat_map(str::parse::<u64>).sum();
    ticks as f64 * 10_000.0
}

/// The lines of both stores, round by round.
#[derive(Default)]
struct Turns {
    file: Vec<Line>,
    database: Vec<Line>,
}

impl Turns {
    fn add(&mut self, make: &Make, line: Line) {
        match make {
            Make::File(_) => self.file.push(line),
            Make::Database => self.database.push(line),
        }
    }

    /// The medians, and the median of the rounds' ratios.
    fn print(self, what: &str) {
        let ratios = self.file.iter().zip(&self.database).map(|(f, d)| d.rate / f.rate);
        let mut ratios: Vec<f64> = ratios.collect();
        ratios.sort_by(f64::total_cmp);
        for (make, lines) in [("SQLite", self.file), ("PostgreSQL", self.database)] {
            Line::median(lines).print(&format!("{make}: {what}"));
        }
        if let (Some(least), Some(most)) = (ratios.first(), ratios.last()) {
            let median = ratios[ratios.len() / 2];
            println!("  {median:.2} x (rounds {least:.2} to {most:.2})");
        }
    }
}

struct Line {
    rate: f64,
    p50: Option<f64>,
    p99: Option<f64>,
    /// Microseconds of CPU of this process for each.
    cpu: f64,
    /// The same of the database server's processes.
    server: f64,
}

impl Line {
    /// The one in the middle by its rate.
    fn median(mut lines: Vec<Line>) -> Line {
        lines.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        let middle = lines.len() / 2;
        lines.swap_remove(middle)
    }

    fn head() {
        println!(
            "{:<44} {:>10} {:>9} {:>9} {:>9} {:>9}",
            "", "a second", "p50 us", "p99 us", "CPU us", "server us"
        );
    }

    fn print(&self, what: &str) {
        let us = |figure: Option<f64>| figure.map_or_else(String::new, |us| format!("{us:.0}"));
        let (p50, p99) = (us(self.p50), us(self.p99));
        let (rate, cpu, server) = (self.rate, self.cpu, self.server);
        println!("{what:<44} {rate:>10.0} {p50:>9} {p99:>9} {cpu:>9.1} {server:>9.1}");
    }
}
