//! Three gateways over one database with a synchronous replica. Gateways are killed, then the primary,
//! under load; the replica is promoted, a new one follows it, and the old primary comes back. Nothing
//! that got a receipt is lost, nothing is delivered altered or twice, every receipt verifies.
//!
//! `ECAF_TEST_KILLS` sets how many gateways are killed before the primary is, 6 otherwise.

mod exchange_support;
mod fault_lines;
mod postgres_support;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use ecaf::cli::sandbox::{AUTHORITIES, Process};
use ecaf::store::postgres::{Kind, promote};
use exchange_support::{
    HACKNEY, HARINGEY, Load, NEWHAM, SUBMITTERS, Scene, afterwards, count, ecaf, ends_well,
    eventually, still_open,
};
use fault_lines::{Line, held};
use postgres_support::{OWNER, REPLICA, Server};

const DATABASE: &str = "exchange";
const GATEWAYS: usize = 3;
/// One process of the gateway, with its own listeners and its own memory of promotions.
struct Member {
    config: PathBuf,
    port: u16,
    operator: SocketAddr,
}

impl Member {
    fn configure(scene: &Scene, number: usize, primary: &Server, replica: &Server) -> Self {
        let usual = scene.world.gateway_config();
        let text = std::fs::read_to_string(&usual).unwrap();
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        // Held together, so that they differ.
        let (parties, operator) = (free(), free());
        let [parties, operator] = [parties, operator].map(|l| l.local_addr().unwrap());
        let store = format!(
            "[store]\nkind = \"postgres\"\nservers = [\"{0}:{1}\", \"{0}:{2}\"]\n\
             database = \"{DATABASE}\"\ndurable = \"replica\"\nstate = \"member-{number}\"\n",
            primary.socket().display(),
            primary.port(),
            replica.port(),
        );
        let changed = [
            (scene.world.gateway_address().to_string(), parties.to_string()),
            (scene.world.gateway_operator().to_string(), operator.to_string()),
            ("[store]\npath = \"gateway.db\"\n".to_owned(), store),
        ];
        let text = changed.iter().fold(text, |text, (old, new)| {
            assert!(text.contains(old), "{old}");
            text.replace(old, new)
        });
        let config = usual.with_file_name(format!("member-{number}.toml"));
        std::fs::write(&config, text).unwrap();
        Self { config, port: parties.port(), operator }
    }

    fn start(&self) -> Process {
        let arguments = ["gateway", "--config", self.config.to_str().unwrap()];
        let log = self.config.with_extension("jsonl");
        Process::start(ecaf(), &arguments, self.operator, &log).unwrap()
    }
}

fn run(scene: &Scene, arguments: &[&str]) -> String {
    let out = scene.run(arguments);
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&out.stderr));
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn gateways_die_then_the_primary_and_no_receipt_is_lost() {
    let kills = count("ECAF_TEST_KILLS", 6);
    let scene = Scene::now(afterwards::RESTLESS);
    let (mut primary, replica) = tokio::task::block_in_place(|| {
        let primary = Server::start();
        primary.empty_database(DATABASE);
        let replica = primary.replica(true);
        (primary, replica)
    });
    let members: Vec<_> =
        (0..GATEWAYS).map(|n| Member::configure(&scene, n, &primary, &replica)).collect();
    let config = members[0].config.to_str().unwrap();
    run(&scene, &["store", "migrate", "--config", config]);

    let mut gateways: Vec<_> = members.iter().map(Member::start).collect();
    let mut authorities: Vec<_> =
        (0..AUTHORITIES.len()).map(|i| scene.start_authority(i)).collect();
    for process in gateways.iter_mut().chain(&mut authorities) {
        tokio::task::block_in_place(|| process.wait_ready().unwrap());
    }
    let ports: Vec<_> = members.iter().map(|member| member.port).collect();
    let everybody: &[usize] = &[HACKNEY, HARINGEY, NEWHAM];
    let load = Load::over(&scene, &ports, everybody, Duration::ZERO).await;
    load.receipts(SUBMITTERS).await;

    for kill in 0..kills {
        let member = kill % GATEWAYS;
        gateways[member].kill();
        // The others take over its deliveries when its leases run out, and its schools at once.
        load.receipts(SUBMITTERS).await;
        gateways[member] = members[member].start();
        load.receipts(SUBMITTERS).await;
    }
    // One that starts while there is no primary ends and says why, to be started again by its manager.
    for process in &mut gateways {
        tokio::task::block_in_place(|| process.wait_ready().unwrap());
    }

    tokio::task::block_in_place(|| primary.kill());
    // Nobody can promise anything now. Receipts that are on their way are sound: the replica has them.
    let third = tokio::task::block_in_place(|| {
        replica.promote();
        run(&scene, &["store", "promote", "--config", config]);
        replica.replica(true)
    });
    load.receipts(3 * SUBMITTERS).await;

    // The old primary comes back, and believes that it is one. It is the first in everybody's list.
    tokio::task::block_in_place(|| primary.restart());
    gateways[0].kill();
    gateways[0] = members[0].start();
    load.receipts(3 * SUBMITTERS).await;
    for process in &mut gateways {
        tokio::task::block_in_place(|| process.wait_ready().unwrap());
    }
    let sent = load.stop().await;
    let rows = "SELECT count(*) FROM ecaf.versions";
    let old: usize = primary.sql(DATABASE, rows)[0].parse().unwrap();
    let new: usize = replica.sql(DATABASE, rows)[0].parse().unwrap();
    assert!(new == sent.len() && old < new, "{old} at the old primary, {new} of {}", sent.len());

    let operator = members[0].operator;
    eventually("everything is delivered", async || {
        (still_open(operator).await == Some(0)).then_some(())
    })
    .await;
    afterwards::same_receipts_from(&scene, &ports, &sent).await;
    for process in gateways.iter_mut().chain(&mut authorities) {
        ends_well(process);
    }
    // Read as any member would; the old primary has an earlier epoch, and is refused.
    std::fs::copy(&members[0].config, scene.world.gateway_config()).unwrap();
    let receipts = sent.len();
    afterwards::prove_stored(&scene, sent).await;
    drop(third);
    held(&Line {
        suite: "PostgreSQL, three gateways",
        fault: "gateways killed, primary killed under load, replica promoted, old primary back",
        at: "anywhere",
        runs: kills as u64 + 1,
        checked: "no receipt lost or changed, delivered once and unaltered, receipts verify; check",
    });
    println!("{receipts} receipts over {kills} kills of gateways and one of the primary");
}

/// Without its replica a primary promises nothing, and says why; with one, it goes on by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_replica_no_receipt() {
    let scene = Scene::now(afterwards::RESTLESS);
    let (primary, mut replica) = tokio::task::block_in_place(|| {
        let primary = Server::start();
        primary.empty_database(DATABASE);
        let replica = primary.replica(true);
        (primary, replica)
    });
    let member = Member::configure(&scene, 0, &primary, &replica);
    run(&scene, &["store", "migrate", "--config", member.config.to_str().unwrap()]);
    let mut gateway = member.start();
    tokio::task::block_in_place(|| gateway.wait_ready().unwrap());
    tokio::task::block_in_place(|| replica.kill());
    primary.wait_until("postgres", "SELECT count(*) FROM pg_stat_replication", "0");
    // No session that was good before is left either: what readiness reads cannot be read.
    const END_ALL: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                           WHERE application_name LIKE 'ecaf%'";
    primary.sql("postgres", END_ALL);
    let words = eventually("not ready", async || {
        let asked = move || ecaf::cli::sandbox::operator_get(member.operator, "/readyz").ok();
        let (status, words) = tokio::task::spawn_blocking(asked).await.unwrap()?;
        (status == 503).then_some(words)
    })
    .await;
    assert!(words.contains("NOT READY: store"), "{words}");
    tokio::task::block_in_place(|| replica.restart());
    assert!(primary.sql("postgres", "SHOW synchronous_standby_names")[0].contains(REPLICA));
    tokio::task::block_in_place(|| gateway.wait_ready().unwrap());
    ends_well(&mut gateway);
    // The operator's command counts promotions, one by one.
    let settings = primary.settings(DATABASE, OWNER);
    let first = promote(&settings, Kind::Gateway).await.unwrap();
    assert_eq!(promote(&settings, Kind::Gateway).await, Ok(first + 1));
}
