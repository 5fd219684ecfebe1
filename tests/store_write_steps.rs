//! Every write step of both store contracts x failed, or done without an answer x the same call again, or
//! another actor's. A step is made to fail at every statement that it makes, and at its commit, by the
//! database itself; then nothing of it may be left, row by row, and whoever comes next gets the answer
//! that the contract promises.

mod fault_lines;
mod postgres_support;
mod store_support;
mod write_steps;

use std::path::Path;
use std::sync::Arc;

use ecaf::effects::SystemEntropy;
use ecaf::store::postgres::{Kind, PostgresGateway};
use ecaf::store::sqlite::{Settings, SqliteAuthority, SqliteGateway};
use ecaf::store::*;
use fault_lines::{Line, held};
use postgres_support::{AUTHORITY, GATEWAY, open_authority, open_gateway, shared};
use store_support::vault;
use write_steps::postgres::Database;
use write_steps::sqlite::File;
use write_steps::{Trial, Trials, authority, gateway, retention, try_step};

/// In memory where there is such a folder: nothing here is about syncing.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    made.unwrap()
}

fn report(store: &str, step: &str, trials: Trials) {
    assert!(trials.points > 0, "{step}: cannot be made to fail");
    let Trials { points, failed, done } = trials;
    println!("{store:<18} {step:<55} {points:>3} points {failed:>4} failed {done:>2} done");
    let suite = format!("write steps, {store}");
    held(&Line {
        suite: &suite,
        fault: "a statement or the commit fails",
        at: &format!("{step}: {points} points"),
        runs: failed,
        checked: "no row is left of it; the same call and another's get the promised answers; check",
    });
    held(&Line {
        suite: &suite,
        fault: "done, but the answer is lost",
        at: step,
        runs: done,
        checked: "the same call and another's get the stored answer; check",
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateways_write_steps_on_sqlite() {
    for step in gateway::steps() {
        let folder = folder();
        let number = std::sync::atomic::AtomicU64::new(0);
        let fresh = async || {
            let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let path = folder.path().join(format!("gateway-{number}.db"));
            let settings = Settings::owner(&path).or_create();
            let store = SqliteGateway::open(&settings, vault(), Arc::new(SystemEntropy::default()));
            let store: Arc<dyn GatewayStore> = Arc::new(store.unwrap());
            Trial { store, below: Box::new(File(path)) }
        };
        let trials = try_step(&step, fresh).await;
        report("gateway sqlite", step.name, trials);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_write_steps_of_retention_on_sqlite() {
    for step in retention::steps() {
        let folder = folder();
        let number = std::sync::atomic::AtomicU64::new(0);
        let fresh = async || {
            let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let path = folder.path().join(format!("gateway-{number}.db"));
            let settings = Settings::owner(&path).or_create();
            let entropy = Arc::new(SystemEntropy::default());
            let store = Arc::new(SqliteGateway::open(&settings, vault(), entropy).unwrap());
            let kept = retention::Kept { gateway: store.clone(), retention: store, vault: vault() };
            Trial { store: Arc::new(kept), below: Box::new(File(path)) }
        };
        let trials = try_step(&step, fresh).await;
        report("retention sqlite", step.name, trials);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_authoritys_write_steps_on_sqlite() {
    for step in authority::steps() {
        let folder = folder();
        let number = std::sync::atomic::AtomicU64::new(0);
        let fresh = async || {
            let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let path = folder.path().join(format!("authority-{number}.db"));
            let store =
                SqliteAuthority::open(&Settings::owner(&path).or_create(), vault()).unwrap();
            let store: Arc<dyn AuthorityStore> = Arc::new(store);
            Trial { store, below: Box::new(File(path)) }
        };
        let trials = try_step(&step, fresh).await;
        report("authority sqlite", step.name, trials);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateways_write_steps_on_postgresql() {
    let name = shared().database(Kind::Gateway).await;
    for step in gateway::steps() {
        let fresh = async || {
            let below = Database { server: shared(), name: name.clone() };
            below.empty();
            let store = open_gateway(&shared().settings(&name, GATEWAY), vault()).await;
            Trial { store, below: Box::new(below) }
        };
        let trials = try_step(&step, fresh).await;
        report("gateway postgresql", step.name, trials);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_write_steps_of_retention_on_postgresql() {
    let name = shared().database(Kind::Gateway).await;
    let settings = shared().settings(&name, GATEWAY);
    for step in retention::steps() {
        let fresh = async || {
            let below = Database { server: shared(), name: name.clone() };
            below.empty();
            let entropy = Arc::new(SystemEntropy::default());
            let store = PostgresGateway::open(&settings, vault(), entropy).await.unwrap();
            let store = Arc::new(store);
            let kept = retention::Kept { gateway: store.clone(), retention: store, vault: vault() };
            Trial { store: Arc::new(kept), below: Box::new(below) }
        };
        let trials = try_step(&step, fresh).await;
        report("retention postgresql", step.name, trials);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_authoritys_write_steps_on_postgresql() {
    let name = shared().database(Kind::Authority).await;
    for step in authority::steps() {
        let fresh = async || {
            let below = Database { server: shared(), name: name.clone() };
            below.empty();
            let store = open_authority(&shared().settings(&name, AUTHORITY), vault()).await;
            Trial { store, below: Box::new(below) }
        };
        let trials = try_step(&step, fresh).await;
        report("authority postgresql", step.name, trials);
    }
}
