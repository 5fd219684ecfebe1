//! Write steps as a table, for any store behind the contracts' traits.

pub mod authority;
pub mod gateway;
pub mod postgres;
pub mod retention;
pub mod sqlite;

use std::future::Future;
use std::pin::Pin;

use ecaf::store::{AuthorityStore, CheckReport, GatewayStore, Pending, StoreFault};
use futures_util::FutureExt;

/// What came of a call, in words that tell answers apart.
pub type Answer = Result<String, StoreFault>;
/// A call under way.
pub type Call<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// A place inside a write step where it can be made to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// For the report: `INSERT tokens`, `COMMIT`.
    pub name: String,
    /// What breaks it, as statements of the store's own database.
    pub arm: Vec<String>,
    /// What mends it.
    pub disarm: Vec<String>,
}

/// The database below a store: where it can be broken, and what lies in it.
pub trait Below: Sync {
    /// Begins to note which statements touch which table.
    fn watch(&self);
    /// What was noted, in the words of [`Point::name`].
    fn watched(&self) -> Vec<String>;
    /// Every point that a write step could come to.
    fn points(&self) -> Vec<Point>;
    /// Runs statements beside the store.
    fn execute(&self, statements: &[String]);
    /// Everything that is stored, row by row, in a form that can be compared.
    fn rows(&self) -> Vec<String>;
}

/// One write step of a contract and who else may come to the same place.
pub struct Step<S: ?Sized, C> {
    pub name: &'static str,
    /// Brings a fresh store to where the step can be made.
    pub prepare: for<'a> fn(&'a S) -> Pin<Box<dyn Future<Output = C> + Send + 'a>>,
    /// The step.
    pub same: for<'a> fn(&'a S, &'a C) -> Call<'a>,
    /// Another actor at the same place: a twin, a late worker's successor, another operator.
    pub other: for<'a> fn(&'a S, &'a C) -> Call<'a>,
    /// What the step says the first time.
    pub first: &'static str,
    /// What it says once more, after it was done.
    pub again: &'static str,
    /// What the other is told if the step was not done.
    pub other_first: &'static str,
    /// What the other is told after it was done.
    pub other_after: &'static str,
    /// What the step says after the other was first.
    pub beaten: &'static str,
}

/// A store of its own for one trial.
pub struct Trial<S: ?Sized> {
    pub store: std::sync::Arc<S>,
    pub below: Box<dyn Below>,
}

/// How many trials of which kind a step has had.
#[derive(Debug, Default, Clone, Copy)]
pub struct Trials {
    /// Points at which the step really failed.
    pub points: u64,
    /// Trials with a failure in the middle.
    pub failed: u64,
    /// Trials in which it was done and its answer lost.
    pub done: u64,
}

/// A store that can check itself.
pub trait Checked {
    /// See the contracts.
    fn check(&self) -> Pending<'_, CheckReport>;
}

impl Checked for dyn GatewayStore {
    fn check(&self) -> Pending<'_, CheckReport> {
        GatewayStore::check(self)
    }
}

impl Checked for dyn AuthorityStore {
    fn check(&self) -> Pending<'_, CheckReport> {
        AuthorityStore::check(self)
    }
}

/// Runs one step through everything that can happen to it.
pub async fn try_step<S: Checked + ?Sized, C>(
    step: &Step<S, C>,
    fresh: impl AsyncFn() -> Trial<S>,
) -> Trials {
    let mut trials = Trials::default();
    let name = step.name;
    let check = async |trial: &Trial<S>, when: &str| {
        let problems = trial.store.check().await.unwrap().problems;
        assert!(problems.is_empty(), "{name}, {when}: {problems:?}");
    };
    let says = async |call: Call<'_>, expected: &str, when: &str| {
        let answer = call.await.unwrap_or_else(|fault| format!("FAULT {}", fault.label()));
        assert_eq!(answer, expected, "{name}, {when}");
    };

    // Done, and nobody was told.
    for other in [false, true] {
        let trial = fresh().await;
        let store = &*trial.store;
        let context = (step.prepare)(store).await;
        says((step.same)(store, &context), step.first, "first").await;
        match other {
            false => says((step.same)(store, &context), step.again, "again").await,
            true => says((step.other)(store, &context), step.other_after, "other after").await,
        }
        check(&trial, "done").await;
        trials.done += 1;
    }

    // The caller is gone before it is answered: the step happens whole or not at all. (A trial ends
    // before the next begins: both may lie in one database.)
    let trial = fresh().await;
    let context = (step.prepare)(&trial.store).await;
    drop((step.same)(&trial.store, &context).now_or_never());
    let answer = (step.same)(&trial.store, &context).await.unwrap();
    assert!([step.first, step.again].contains(&&*answer), "{name}, dropped: {answer}");
    check(&trial, "dropped").await;
    trials.done += 1;
    drop(trial);

    // Failed at each point that it comes to.
    let trial = fresh().await;
    let context = (step.prepare)(&trial.store).await;
    trial.below.watch();
    says((step.same)(&trial.store, &context), step.first, "watched").await;
    let touched = trial.below.watched();
    let comes_by = |point: &Point| point.name == "COMMIT" || touched.contains(&point.name);
    let points = trial.below.points();
    drop(trial);
    for point in points.into_iter().filter(comes_by) {
        for other in [false, true] {
            let trial = fresh().await;
            let store = &*trial.store;
            let context = (step.prepare)(store).await;
            let before = trial.below.rows();
            trial.below.execute(&point.arm);
            let outcome = (step.same)(store, &context).await;
            trial.below.execute(&point.disarm);
            let when = format!("{} fails", point.name);
            let Err(fault) = outcome else { panic!("{name}, {when}: and it is said to be done") };
            assert!(!fault.is_final(), "{name}, {when}: the store has stopped");
            assert_eq!(trial.below.rows(), before, "{name}, {when}: something is left of it");
            check(&trial, &when).await;
            match other {
                false => says((step.same)(store, &context), step.first, &when).await,
                true => {
                    says((step.other)(store, &context), step.other_first, &when).await;
                    says((step.same)(store, &context), step.beaten, &when).await;
                }
            }
            check(&trial, &when).await;
            trials.points += u64::from(!other);
            trials.failed += 1;
        }
    }
    trials
}
