//! The accept path of a real gateway process, beside nginx's static answer with the same TLS and
//! beside the price of the cryptography alone. All in one run, because only ratios carry over from
//! one machine to another. `benches/run --help` says how; `benches/README.md` has a result.

mod floor;
mod generator;
mod grown;
mod machine;
mod nginx;
mod scheme;
mod table;
mod tls;
mod work;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ecaf::domain::postcode::Postcode;
use ecaf::effects::{Clock as _, SystemClock};
use ecaf::protocol::routing_data::RoutingTables;
use http::StatusCode;

use floor::{Beside, Floor};
use generator::{Seen, Shape, Target};
use grown::Documents;
use machine::median;
use nginx::Nginx;
use scheme::{Scheme, Start};
use table::{Report, Row};
use work::Work;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "Measures the accept path of a gateway on this machine.

  benches/run                 all loads, three rounds, about five minutes
  benches/run --quick         one short round
  benches/run --only h1,nginx-h1
  benches/run --seconds 10 --rounds 5
  benches/run --stored 1000000 --erased 2000000
                              also with so many stored before: 10 GB and 11 GB of disk
  benches/run --json FILE     the figures for a program
  benches/run --write         the table into benches/README.md

Loads: h1 h2 fresh half slow e2e nginx-h1 nginx-fresh nginx-hands hands idle postcodes";

/// HTTP/1.1 connections that stay open.
const CONNECTIONS: usize = 64;
/// Network block storage is about as slow.
const SLOW_DISK: Duration = Duration::from_millis(5);
/// New connections at a time.
const FRESH: usize = 32;
/// No load of this program reaches this on the machines in sight; submissions are made in advance.
const FASTEST: f64 = 12_000.0;

struct Options {
    seconds: f64,
    rounds: usize,
    only: Option<Vec<String>>,
    stored: u64,
    erased: u64,
    json: Option<String>,
    write: bool,
}

/// What each round of one load showed, and its rate beside that of nginx in the same round.
type Rounds = Vec<(Seen, Option<f64>)>;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if let Err(message) = options().and_then(|options| runtime.block_on(measure(&options))) {
        eprintln!("exchange bench: {message}");
        std::process::exit(2);
    }
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        seconds: 5.0,
        rounds: 3,
        only: None,
        stored: 0,
        erased: 0,
        json: None,
        write: false,
    };
    // `cargo bench` adds --bench.
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value\n\n{HELP}"));
        match word.as_str() {
            "--quick" => (options.seconds, options.rounds) = (2.0, 1),
            "--seconds" => options.seconds = value()?.parse().map_err(|_| HELP)?,
            "--rounds" => options.rounds = value()?.parse().map_err(|_| HELP)?,
            "--only" => options.only = Some(value()?.split(',').map(str::to_owned).collect()),
            "--stored" => options.stored = value()?.parse().map_err(|_| HELP)?,
            "--erased" => options.erased = value()?.parse().map_err(|_| HELP)?,
            "--json" => options.json = Some(value()?),
            "--write" => options.write = true,
            _ => return Err(HELP.to_owned()),
        }
    }
    Ok(options)
}

impl Options {
    fn wants(&self, id: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.iter().any(|one| one == id))
    }

    fn times(&self) -> (Duration, Duration) {
        (Duration::from_secs_f64(self.seconds / 5.0), Duration::from_secs_f64(self.seconds))
    }

    /// Submissions for one run at up to `rate` a second.
    fn count(&self, rate: f64) -> usize {
        (rate * self.seconds * 1.3) as usize
    }
}

async fn measure(options: &Options) -> Result<(), String> {
    let (body, token) = Work::prepare(&Scheme::start(Start::default()).await?.sender, 1)?.sizes();
    let mut report = Report {
        date: SystemClock.now().in_england().0.to_string(),
        machine: machine::description(),
        nginx: None,
        body_bytes: body,
        rounds: options.rounds,
        seconds: options.seconds,
        floor_us: 0.0,
        loads: Vec::new(),
        facts: Vec::new(),
    };
    let mut found: Vec<(Kind, Rounds)> = KINDS
        .iter()
        .filter(|kind| options.wants(kind.id))
        .map(|kind| (*kind, Vec::new()))
        .collect();
    let mut floors = Vec::new();
    for round in 1..=options.rounds {
        // nginx right beside the load that it is compared with: what others do changes by the minute.
        let mut highest = 0.0;
        floors.push(Floor::measure(body, token)?);
        for (kind, seen) in &mut found {
            eprintln!("round {round}/{}: {}", options.rounds, kind.what);
            let one = kind.run(options, highest, &mut report.nginx).await?;
            if kind.id == "h1" {
                highest = one.0.rate();
            }
            if let Some(failure) = &one.0.failure {
                eprintln!("  {} failed, the first: {failure}", one.0.failed);
            }
            seen.push(one);
        }
    }
    report.loads =
        found.into_iter().filter(|(_, s)| !s.is_empty()).map(|(kind, s)| row(kind, &s)).collect();
    report.compare(Floor::median(floors).ok_or("no rounds")?);
    for (copies, documents, ids, what) in [
        (options.stored, Documents::Kept, ["stored", "start/stored"], "stored in full"),
        (
            options.erased,
            Documents::Erased,
            ["erased", "start/erased"],
            "stored, their documents erased",
        ),
    ] {
        if copies > 0 {
            grown(options, &mut report, (copies, documents), ids, what).await?;
        }
    }
    if options.wants("postcodes") {
        postcodes(&mut report)?;
    }
    if options.wants("idle") {
        idle(&mut report).await?;
    }
    let text = report.to_text();
    println!("{text}");
    if let Some(file) = &options.json {
        let json = serde_json::to_vec_pretty(&report).map_err(|e| e.to_string())?;
        std::fs::write(file, json).map_err(|e| format!("{file}: {e}"))?;
    }
    if options.write { write(&text) } else { Ok(()) }
}

/// A kind of load.
#[derive(Clone, Copy)]
struct Kind {
    id: &'static str,
    what: &'static str,
    against: Against,
}

#[derive(Clone, Copy)]
enum Against {
    Nginx(Shape),
    Gateway(Shape),
    /// The same, with [`SLOW_DISK`] added to each sync of the gateway's disk.
    SlowDisk(Shape),
    /// Half of the rate that `h1` reached in this round.
    HalfOfHighest,
    EndToEnd,
}

const KINDS: [Kind; 10] = [
    kind(
        "nginx-h1",
        "nginx, static answer, 64 connections",
        Against::Nginx(Shape::KeepAlive(CONNECTIONS)),
    ),
    kind("h1", "HTTP/1.1, 64 connections", Against::Gateway(Shape::KeepAlive(CONNECTIONS))),
    kind("half", "HTTP/1.1, 64 connections, half that rate", Against::HalfOfHighest),
    kind(
        "slow",
        "HTTP/1.1, 64 connections, a disk whose sync takes 5 ms longer",
        Against::SlowDisk(Shape::KeepAlive(CONNECTIONS)),
    ),
    kind("h2", "HTTP/2, 4 connections x 32 streams", Against::Gateway(Shape::Streams(4, 32))),
    kind(
        "nginx-fresh",
        "nginx, new connection each, 32 at a time",
        Against::Nginx(Shape::Fresh(FRESH)),
    ),
    kind("fresh", "new connection each, 32 at a time", Against::Gateway(Shape::Fresh(FRESH))),
    kind(
        "nginx-hands",
        "nginx, a handshake for each small question, 32 at a time",
        Against::Nginx(Shape::Handshakes(FRESH)),
    ),
    kind(
        "hands",
        "a handshake for each small question, 32 at a time",
        Against::Gateway(Shape::Handshakes(FRESH)),
    ),
    kind("e2e", "until the authority's receipt is stored", Against::EndToEnd),
];

const fn kind(id: &'static str, what: &'static str, against: Against) -> Kind {
    Kind { id, what, against }
}

impl Kind {
    async fn run(
        self,
        options: &Options,
        highest: f64,
        nginx: &mut Option<String>,
    ) -> Result<(Seen, Option<f64>), String> {
        let slow = matches!(self.against, Against::SlowDisk(_));
        let scheme = Scheme::start(Start {
            authorities: matches!(self.against, Against::EndToEnd),
            slower_sync: if slow { SLOW_DISK } else { Duration::ZERO },
            stored: None,
        });
        let scheme = scheme.await?;
        let shape = match self.against {
            Against::Nginx(shape) => {
                let Some(server) = Nginx::start(&scheme.world)? else {
                    return Err(
                        "there is no nginx; --only h1,half,h2,fresh,hands,slow,e2e does without"
                            .into(),
                    );
                };
                *nginx = Some(server.version.clone());
                let target = Target {
                    address: server.address,
                    pids: server.pids(),
                    accepted: StatusCode::OK,
                    connectors: scheme.connectors()?,
                };
                let work = Arc::new(Work::prepare(&scheme.sender, 2_000)?.endless());
                let seen = generator::run(target, work, shape, options.times(), &[]).await;
                return Ok((seen, None));
            }
            Against::Gateway(shape) | Against::SlowDisk(shape) => shape,
            Against::HalfOfHighest if highest == 0.0 => return Err("half needs h1".into()),
            Against::HalfOfHighest => Shape::Paced(CONNECTIONS, highest / 2.0),
            Against::EndToEnd => return end_to_end(options, &scheme).await,
        };
        accepts(options, &scheme, shape).await
    }
}

/// One load of the accept path, with the crypto floor of the same seconds.
async fn accepts(
    options: &Options,
    scheme: &Scheme,
    shape: Shape,
) -> Result<(Seen, Option<f64>), String> {
    let stores = !matches!(shape, Shape::Handshakes(_));
    let count = if stores { options.count(FASTEST) } else { 1 };
    let work = Arc::new(Work::prepare(&scheme.sender, count)?);
    let target = scheme.target()?;
    let (body, token) = work.sizes();
    let beside = Beside::start(body, token)?;
    let mut seen = generator::run(target, work.clone(), shape, options.times(), &[]).await;
    let floor = beside.end()?;
    if stores {
        seen.floor = Some(floor);
        check(scheme, &work, &seen)?;
    }
    Ok((seen, Some(scheme.memory_mb("VmHWM"))))
}

/// The accept path of a gateway with many referrals behind it, in turn with that of a new one, and how
/// long it takes to start.
async fn grown(
    options: &Options,
    report: &mut Report,
    stored: (u64, Documents),
    [rate, start]: [&'static str; 2],
    what: &str,
) -> Result<(), String> {
    let what = format!("{} referrals {what}", stored.0);
    eprintln!("{what}: making the store");
    let shape = Shape::KeepAlive(CONNECTIONS);
    let full = Scheme::start(Start { stored: Some(stored), ..Start::default() }).await?;
    let mut ratios = Vec::new();
    for round in 1..=options.rounds {
        eprintln!("{what}: round {round}/{}", options.rounds);
        let empty = Scheme::start(Start::default()).await?;
        let before = accepts(options, &empty, shape).await?.0.rate();
        ratios.push(accepts(options, &full, shape).await?.0.rate() / before);
    }
    report.fact(rate, format!("accept rate with {what} / with a new store"), median(ratios), "x");
    report.fact(start, format!("start to ready, {what}"), full.start.as_secs_f64() * 1e3, "ms");
    Ok(())
}

/// So many submissions as fast as they are taken, then until every authority has answered.
async fn end_to_end(options: &Options, scheme: &Scheme) -> Result<(Seen, Option<f64>), String> {
    let work = Arc::new(Work::prepare(&scheme.sender, options.count(1_000.0))?);
    let helpers = scheme.helpers();
    let target = scheme.target()?;
    let before = machine::Moment::now(&target.pids, &helpers);
    let pids = target.pids.clone();
    let times = (Duration::ZERO, Duration::from_secs(600));
    let shape = Shape::KeepAlive(CONNECTIONS);
    let mut seen = generator::run(target, work.clone(), shape, times, &helpers).await;
    let until = Instant::now() + Duration::from_secs(600);
    while scheme.waiting() != Some(0) {
        if Instant::now() > until {
            return Err("deliveries do not arrive".into());
        }
        // Each look counts all that is open, on the gateway's own time.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    seen.span = Some(before.until(&machine::Moment::now(&pids, &helpers)));
    seen.accepted = work.taken() - seen.failed;
    check(scheme, &work, &seen)?;
    Ok((seen, Some(scheme.memory_mb("VmHWM"))))
}

/// Samples are the gateway's signed receipts of what was sent.
fn check(scheme: &Scheme, work: &Work, seen: &Seen) -> Result<(), String> {
    if seen.samples.is_empty() {
        return Err(format!("nothing was accepted: {:?}", seen.failure));
    }
    seen.samples.iter().try_for_each(|(number, body)| work.check(&scheme.sender, *number, body))
}

fn row(kind: Kind, seen: &[(Seen, Option<f64>)]) -> Row {
    let of = |figure: &dyn Fn(&Seen) -> f64| median(seen.iter().map(|(s, _)| figure(s)).collect());
    Row {
        id: kind.id,
        what: kind.what,
        per_second: of(&Seen::rate),
        p50_ms: of(&|s| s.latency_ms(0.5)),
        p99_ms: of(&|s| s.latency_ms(0.99)),
        p999_ms: of(&|s| s.latency_ms(0.999)),
        server_cpu_us: of(&Seen::server_us),
        of_floor: seen
            .iter()
            .map(|(s, _)| Some(s.server_us() / s.floor?.total()))
            .collect::<Option<_>>()
            .map(median),
        memory_mb: seen.iter().map(|(_, memory)| *memory).collect::<Option<_>>().map(median),
        others: of(&|s| s.span.map_or(0.0, |span| span.others)),
        failed: seen.iter().map(|(s, _)| s.failed).sum(),
    }
}

/// What does not need load: start, memory at rest, and a thousand open connections.
async fn idle(report: &mut Report) -> Result<(), String> {
    eprintln!("start and memory");
    let (mut starts, mut rests) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let scheme = Scheme::start(Start::default()).await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        starts.push(scheme.start.as_secs_f64() * 1e3);
        rests.push(scheme.memory_mb("VmRSS"));
    }
    report.fact("start", "start to ready, new store", median(starts), "ms");
    report.fact("memory/idle", "memory at rest", median(rests), "MB");
    let scheme = Scheme::start(Start::default()).await?;
    let work = Arc::new(Work::prepare(&scheme.sender, 4_000)?);
    // Each of a thousand connections sends four, one every second or so, and stays open.
    let times = (Duration::from_secs(3), Duration::from_secs(1));
    let shape = Shape::Paced(1_000, 1_000.0);
    let target = scheme.target()?;
    let load = generator::run(target, work, shape, times, &[]);
    let look = async {
        tokio::time::sleep(Duration::from_millis(3_500)).await;
        scheme.memory_mb("VmRSS")
    };
    let (seen, memory) = tokio::join!(load, look);
    if seen.failed > 0 {
        eprintln!("  {} failed, the first: {:?}", seen.failed, seen.failure);
    }
    report.fact("memory/1000", "memory with 1,000 open connections", memory, "MB");
    Ok(())
}

/// What the postcodes of Great Britain cost: bytes in the program, and time for one in random order.
fn postcodes(report: &mut Report) -> Result<(), String> {
    let tables = RoutingTables::embedded().map_err(|e| format!("{e:?}"))?;
    let table = tables.postcodes();
    let mut order: Vec<(u64, Postcode)> = table.iter().map(|(p, _)| (0, p)).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for (place, _) in &mut order {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *place = state;
    }
    order.sort_unstable();
    let mut rounds = Vec::new();
    for _ in 0..3 {
        let from = machine::thread_cpu_ns();
        let found = order.iter().filter(|(_, p)| table.lookup(black_box(*p)).is_some()).count();
        rounds.push((machine::thread_cpu_ns() - from) as f64 / found.max(1) as f64);
    }
    let file =
        concat!(env!("CARGO_MANIFEST_DIR"), "/src/protocol/routing_data/data/postcodes.ecafpct");
    let size = std::fs::metadata(file).map_err(|e| e.to_string())?.len() as f64 / 1e6;
    report.fact("postcodes/size", "postcode table in the program", size, "MB");
    report.fact("postcodes/lookup", "postcode look-up, random order", median(rounds), "ns");
    Ok(())
}

/// Puts the tables between the marks in `benches/README.md`.
fn write(text: &str) -> Result<(), String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/README.md");
    let old = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let (from, to) = ("<!-- result -->\n", "<!-- /result -->");
    let (before, rest) = old.split_once(from).ok_or("the README has no mark for the result")?;
    let (_, after) = rest.split_once(to).ok_or("the README has no mark for the result")?;
    std::fs::write(path, format!("{before}{from}\n{text}\n{to}{after}")).map_err(|e| e.to_string())
}
