//! What operators do about keys, holds and erasure while everything else goes on: each command is a
//! process of its own that may die at any step. A book beside each store says what must follow.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ecaf::domain::ids::ReferralId;
use ecaf::domain::retention::{Erasure, ErasureReason, Period};
use ecaf::domain::time::{MINUTE, Timestamp};
use ecaf::effects::SeededEntropy;
use ecaf::store::sealing::{DestroyedKey, EraseFault, Eraser, Tombstone, upkeep};
use ecaf::store::{Hold, RetentionStore};

use super::database::Database;
use super::ring::Ring;
use super::run::World;
use super::scheduler::{Scheduler, to_its_end};
use super::scheme::{BEGINNING, FIRST_PERIOD};
use super::stores::{Disk, Scheduled, alias};

const CODE: &str = "court-1";
/// What was recorded in the last second of a period is stored within this.
const MARGIN: i64 = MINUTE;
/// The longest that a doubled request is on its way.
const STRAGGLERS: Duration = Duration::from_secs(65);

/// One store as its operators see it, and what they did there.
pub struct Keeper {
    pub name: String,
    pub ring: Ring,
    /// The store as a new command opens it.
    open: Box<dyn Fn() -> Arc<dyn RetentionStore> + Send + Sync>,
    /// The store itself, without turns or faults.
    direct: Box<dyn Fn() -> Arc<dyn RetentionStore> + Send + Sync>,
    scheduler: Arc<Scheduler>,
    book: Mutex<Book>,
}

/// What operators were told, and what they only tried.
#[derive(Default)]
struct Book {
    closed: BTreeSet<ReferralId>,
    perhaps_closed: BTreeSet<ReferralId>,
    held: BTreeSet<ReferralId>,
    perhaps_held: BTreeSet<ReferralId>,
    /// Referrals whose documents the erasure of the first period must reach: nothing spoke for them when
    /// it was first begun, or since.
    due: Option<BTreeSet<ReferralId>>,
    /// Those that were on hold when the period's keys were last seen.
    protected: BTreeSet<ReferralId>,
    stones: Vec<Tombstone>,
    destroyed: Vec<DestroyedKey>,
    problems: Vec<String>,
}

/// All stores, and what was to be erased in all of them.
pub struct Erasing {
    pub keepers: Vec<Keeper>,
    wanted: Mutex<BTreeSet<ReferralId>>,
}

impl Erasing {
    /// The gateways' store first, so that nothing erased goes out any more.
    pub fn of(keepers: Vec<Keeper>) -> Self {
        Self { keepers, wanted: Mutex::default() }
    }

    /// Whether somebody wanted a referral erased as misidentified.
    fn is_wanted(&self, id: ReferralId) -> bool {
        self.wanted.lock().unwrap().contains(&id)
    }

    /// Whether a document may not be readable any more at one store.
    pub fn must_be_erased(&self, keeper: usize, id: ReferralId) -> bool {
        let book = self.keepers[keeper].book.lock().unwrap();
        self.is_wanted(id) || book.due.as_ref().is_some_and(|due| due.contains(&id))
    }

    /// Whether a document that was stored at `at` may be erased like this.
    pub fn may_be_erased(
        &self,
        keeper: usize,
        id: ReferralId,
        erasure: Erasure,
        at: Timestamp,
    ) -> bool {
        let book = self.keepers[keeper].book.lock().unwrap();
        match erasure.why {
            ErasureReason::Misidentified => self.is_wanted(id),
            ErasureReason::Retention => {
                let was_free = book.perhaps_closed.contains(&id) && !book.protected.contains(&id);
                was_free && Period::of(at) == FIRST_PERIOD
            }
            ErasureReason::KeyRetired => false,
        }
    }

    /// What does not hold of the rings, and of what lies under their keys.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for keeper in &self.keepers {
            keeper.look();
            problems.append(&mut keeper.book.lock().unwrap().problems);
            let store = (keeper.direct)();
            let vault = keeper.vault(0);
            let left = to_its_end(upkeep::unreadable(&*store, &vault)).unwrap();
            if left.erase > 0 || !left.forward.is_empty() {
                problems.push(format!("{}: ciphertext of what is erased is kept", keeper.name));
            }
            let ring = vault.ring();
            let used = to_its_end(store.keys_in_use()).unwrap();
            if used.iter().any(|used| ring.key(used.key_id).is_none()) {
                problems.push(format!("{}: documents lie under no key", keeper.name));
            }
        }
        problems
    }

    /// One command of an operator, at one store or at all of them; it may die in the middle.
    pub async fn strike(&self, world: &World) {
        let what = world.chance(|r| r.below(12));
        let jobs: Vec<_> = world.schools.iter().flat_map(|school| &school.jobs).collect();
        let id = jobs[world.chance(|r| r.below(jobs.len() as u64)) as usize].document.id;
        let one = world.chance(|r| r.below(self.keepers.len() as u64)) as usize;
        let dies = world.chance(|r| r.chance(350).then(|| r.below(60_000)));
        let work = async {
            match what {
                0..=4 => {
                    for keeper in &self.keepers {
                        keeper.close(id).await;
                    }
                }
                5 => self.keepers[one].hold(id).await,
                6 => self.keepers[one].release(id).await,
                7 | 8 => self.erase_referral(id).await,
                9 => self.keepers[one].replace_key(),
                _ => {
                    for keeper in &self.keepers {
                        keeper.erase_period().await;
                    }
                }
            }
        };
        let limit = dies.map_or(Duration::MAX, Duration::from_micros);
        if world.scheduler.within(limit, work).await.is_none() {
            world.scheduler.note("operator", format_args!("a command dies in the middle"));
        }
    }

    async fn erase_referral(&self, id: ReferralId) {
        self.wanted.lock().unwrap().insert(id);
        for keeper in &self.keepers {
            keeper.erase_referral(id).await;
        }
    }

    /// In quiet times every command that was begun is given again, to its end.
    pub async fn finish(&self, world: &World) {
        world.scheduler.after(STRAGGLERS).await;
        for keeper in &self.keepers {
            keeper.erase_period().await;
        }
        let wanted = self.wanted.lock().unwrap().clone();
        for id in wanted {
            self.erase_referral(id).await;
        }
        // As the background of the serving processes does; they may have just been there.
        for keeper in &self.keepers {
            let (store, vault) = ((keeper.direct)(), keeper.vault(1));
            to_its_end(upkeep::run(&*store, &vault, keeper.now(), |_| {})).unwrap();
        }
    }
}

impl Keeper {
    pub fn new<S: ?Sized + Send + Sync + 'static>(
        name: String,
        ring: &Ring,
        database: &Arc<Database<S>>,
        scheduler: &Arc<Scheduler>,
        disk: &Arc<Mutex<Disk>>,
    ) -> Self {
        let direct = {
            let database = Arc::clone(database);
            Box::new(move || database.opened().retention)
        };
        let open = {
            let (database, disk) = (Arc::clone(database), Arc::clone(disk));
            let (who, scheduler) = (format!("operator {name}"), Arc::clone(scheduler));
            Box::new(move || -> Arc<dyn RetentionStore> {
                Arc::new(Scheduled::new(who.clone(), &database, &scheduler, &disk))
            })
        };
        let (ring, scheduler) = (ring.clone(), Arc::clone(scheduler));
        Self { name, ring, open, direct, scheduler, book: Mutex::default() }
    }

    fn now(&self) -> Timestamp {
        BEGINNING.plus(self.scheduler.elapsed_ms())
    }

    fn vault(&self, salt: u64) -> Arc<ecaf::store::sealing::Vault> {
        self.ring.vault(Arc::new(SeededEntropy::new(self.scheduler.turns() ^ salt << 32)))
    }

    fn note(&self, what: std::fmt::Arguments<'_>) {
        self.scheduler.note(format_args!("operator {}", self.name), what);
    }

    /// Whether the first period's keys are still there.
    fn has_first_period(&self) -> bool {
        self.ring.read().current(FIRST_PERIOD).is_some()
    }

    /// Everything that was in the ring once is still there; from now on what is there now, too.
    fn look(&self) {
        let (ring, mut book) = (self.ring.read(), self.book.lock().unwrap());
        if book.stones.iter().any(|stone| !ring.tombstones().contains(stone)) {
            book.problems.push(format!("{}: a tombstone is gone", self.name));
        }
        let back = |gone: &DestroyedKey| {
            !ring.destroyed_keys().contains(gone) || ring.key(gone.id).is_some()
        };
        if book.destroyed.iter().any(back) {
            book.problems.push(format!("{}: a destroyed key is back", self.name));
        }
        book.stones = ring.tombstones().to_vec();
        book.destroyed = ring.destroyed_keys().to_vec();
    }

    async fn close(&self, id: ReferralId) {
        let Ok(_lock) = self.ring.file.lock() else { return };
        self.book.lock().unwrap().perhaps_closed.insert(id);
        if (self.open)().close(id, self.now()).await == Ok(true) {
            self.book.lock().unwrap().closed.insert(id);
        }
    }

    async fn hold(&self, id: ReferralId) {
        let Ok(_lock) = self.ring.file.lock() else { return };
        {
            let first_period = self.has_first_period();
            let mut book = self.book.lock().unwrap();
            book.perhaps_held.insert(id);
            if let Some(due) = book.due.as_mut().filter(|_| first_period) {
                due.remove(&id);
            }
        }
        let hold = Hold { referral_id: id, code: CODE.into(), placed_at: self.now() };
        if (self.open)().hold(hold).await == Ok(true) {
            self.book.lock().unwrap().held.insert(id);
        }
    }

    async fn release(&self, id: ReferralId) {
        let Ok(_lock) = self.ring.file.lock() else { return };
        self.book.lock().unwrap().held.remove(&id);
        // Whatever it answers: it is asked again when somebody cares.
        let _ = (self.open)().release_hold(id, CODE.into()).await;
    }

    /// Another key for the present period; documents follow in the background.
    fn replace_key(&self) {
        let Ok(lock) = self.ring.file.lock() else { return };
        let (now, entropy) = (self.now(), SeededEntropy::new(self.scheduler.turns()));
        let changed = self.ring.file.change(&lock, &self.ring.keks(), now, |ring, kek| {
            ring.rotate(kek, Period::of(now), now, &entropy)
        });
        self.note(format_args!("replaces a key: {}", changed.is_ok()));
    }

    async fn erase_period(&self) {
        let now = self.now();
        let Ok(lock) = self.ring.file.lock() else { return };
        let (vault, keks, store) = (self.vault(2), self.ring.keks(), (self.open)());
        let eraser = Eraser {
            store: &*store,
            vault: &vault,
            file: &self.ring.file,
            keks: &keks,
            lock: &lock,
        };
        self.look();
        if now >= FIRST_PERIOD.ends() {
            if now < FIRST_PERIOD.ends().plus(MARGIN) {
                return;
            }
            self.begin_period();
        }
        match eraser.erase_period(FIRST_PERIOD, now, |_| {}).await {
            Ok(erased) => self.note(format_args!(
                "period erased: {} keys, {} forward",
                erased.keys, erased.forwarded
            )),
            Err(EraseFault::NotEnded(_)) => self.note(format_args!("the period has not ended")),
            Err(EraseFault::Store(fault)) => {
                self.note(format_args!("period not erased: {}", fault.label()));
            }
            Err(other) => panic!("{}: the period cannot be erased: {other}", self.name),
        }
    }

    /// Notes what an erasure of the first period must and may not reach.
    fn begin_period(&self) {
        if !self.has_first_period() {
            return;
        }
        let store = (self.direct)();
        let mut book = self.book.lock().unwrap();
        book.protected = book.held.clone();
        if book.due.is_some() {
            return;
        }
        let reached = |id: &ReferralId| {
            let documents = to_its_end(store.wrapped_of(*id)).unwrap();
            let free = |d: &ecaf::store::WrappedDocument| {
                Period::of(d.accepted_at) == FIRST_PERIOD && d.facts.may_be_erased().is_ok()
            };
            !book.perhaps_held.contains(id) && !documents.is_empty() && documents.iter().all(free)
        };
        let due = book.closed.iter().copied().filter(reached).collect();
        book.due = Some(due);
    }

    async fn erase_referral(&self, id: ReferralId) {
        let now = self.now();
        let Ok(lock) = self.ring.file.lock() else { return };
        self.look();
        let (vault, keks, store) = (self.vault(3), self.ring.keks(), (self.open)());
        let eraser = Eraser {
            store: &*store,
            vault: &vault,
            file: &self.ring.file,
            keks: &keks,
            lock: &lock,
        };
        let erased = eraser.erase_referral(id, ErasureReason::Misidentified, now).await;
        match erased {
            Ok(0) => {}
            Ok(count) => self.note(format_args!("{} erased: {count}", alias(id))),
            Err(EraseFault::Store(fault)) => {
                self.note(format_args!("{} not erased: {}", alias(id), fault.label()));
            }
            Err(other) => panic!("{}: a referral cannot be erased: {other}", self.name),
        }
    }
}
