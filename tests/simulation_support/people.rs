//! Workers at authorities and clerks at schools: each sees where a referral stands, chooses something to say
//! about it, and says it until it knows what became of it. Whoever they speak through may die meanwhile.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ecaf::cli::sandbox::{AUTHORITIES, SCHOOLS};
use ecaf::domain::ids::{Digest, ReferralId};
use ecaf::party::look::{NotSeen, look};
use ecaf::party::member::Member;
use ecaf::party::outbox::Outbox;
use ecaf::party::say::{NotSaid, Saying, say};
use ecaf::store::{AuthorityStore, InboxFilter};
use tokio::task::AbortHandle;

use super::choices::{clerk, worker};
use super::database::Database;
use super::network::Node;
use super::scheduler::to_its_end;
use super::scheme::gateway_party;
use super::schools::School;
use super::sites::Machine;
use super::stores::alias;

/// Where a person hears of referrals.
pub enum Desk {
    /// In the inbox of their authority.
    Authority(Arc<Database<dyn AuthorityStore>>),
    /// Among what their school has a receipt for.
    School(Arc<School>),
}

/// What a person remembers, whatever happens to their machine.
#[derive(Debug, Default, Clone)]
pub struct Memory {
    /// What they are about to say, until they know what became of it.
    open: BTreeMap<ReferralId, Saying>,
    /// What they were told is recorded: position and digest, in its order.
    pub said: BTreeMap<ReferralId, Vec<(u64, Digest)>>,
    /// How often they chose something.
    chosen: BTreeMap<ReferralId, u64>,
    /// What may never be.
    pub wrong: Vec<String>,
}

/// A person at a machine of their own.
pub struct Person {
    pub machine: Machine,
    desk: Desk,
    state: PathBuf,
    gateways: usize,
    says: u64,
    /// Whether nothing new is begun.
    resting: AtomicBool,
    memory: Mutex<Memory>,
    running: Mutex<Option<AbortHandle>>,
}

impl Person {
    pub fn new(
        machine: Machine,
        desk: Desk,
        state: PathBuf,
        (gateways, says): (usize, u64),
    ) -> Arc<Self> {
        Arc::new(Self {
            machine,
            desk,
            state,
            gateways,
            says,
            resting: AtomicBool::new(false),
            memory: Mutex::default(),
            running: Mutex::default(),
        })
    }

    pub fn memory(&self) -> Memory {
        self.memory.lock().unwrap().clone()
    }

    /// Whether they wait for no answer.
    pub fn is_done(&self) -> bool {
        self.memory.lock().unwrap().open.is_empty()
    }

    /// Begins nothing new, or does again.
    pub fn rest(&self, rests: bool) {
        self.resting.store(rests, Ordering::SeqCst);
    }

    pub fn start(self: &Arc<Self>) {
        let mut running = self.running.lock().unwrap();
        if running.is_none() {
            let person = Arc::clone(self);
            let task = tokio::spawn(async move { person.work().await });
            *running = Some(task.abort_handle());
        }
    }

    /// Switches the machine off in the middle of everything.
    pub fn kill(&self) {
        if let Some(task) = self.running.lock().unwrap().take() {
            self.machine.scheduler.note(self.machine.node, format_args!("is switched off"));
            task.abort();
        }
    }

    async fn work(&self) {
        loop {
            let scheduler = &self.machine.scheduler;
            scheduler.turn(300_000, 6_000_000).await;
            if let Some(id) = self.next() {
                self.speak(id).await;
            }
        }
    }

    /// The referral to go on with: one that an answer is missing for, or any.
    fn next(&self) -> Option<ReferralId> {
        let memory = self.memory();
        let mut of: Vec<ReferralId> = memory.open.keys().copied().collect();
        if of.is_empty() && !self.resting.load(Ordering::SeqCst) {
            of = self.known();
            of.retain(|id| memory.chosen.get(id).is_none_or(|times| *times < self.says));
        }
        (!of.is_empty()).then(|| self.machine.scheduler.random(|r| r.pick(&of)))
    }

    fn known(&self) -> Vec<ReferralId> {
        let mut known: Vec<ReferralId> = match &self.desk {
            Desk::Authority(database) => {
                let store = database.current();
                let entries = to_its_end(store.inbox(InboxFilter::default())).unwrap();
                entries.iter().map(|entry| entry.key.referral_id).collect()
            }
            Desk::School(school) => {
                let jobs = school.jobs.iter().filter(|job| job.has_receipt());
                jobs.map(|job| job.document.id).collect()
            }
        };
        known.sort_unstable();
        known.dedup();
        known
    }

    fn member(&self) -> Member {
        let machine = &self.machine;
        let draw = |r: &mut super::scheduler::Random| {
            (r.below(self.gateways as u64) as usize, Duration::from_secs(r.between(5, 60)))
        };
        let (process, patience) = machine.scheduler.random(draw);
        let gateway = gateway_party(process);
        let signs = match machine.node {
            Node::School(place) => SCHOOLS[place].signs,
            _ => true,
        };
        Member {
            party: machine.node.party(),
            signing: signs.then(|| (*machine.signing()).clone()),
            client: machine.network.line_to_gateway(machine.node, &gateway, self.gateways),
            gateway,
            trust: machine.trust(),
            state: self.state.clone(),
            give_up_after: patience,
            clock: machine.clock.clone(),
            entropy: machine.entropy(),
        }
    }

    /// Chooses something to say, unless that is done, and says it once.
    async fn speak(&self, id: ReferralId) {
        let member = self.member();
        let open = self.memory.lock().unwrap().open.get(&id).cloned();
        let saying = match open {
            Some(saying) => saying,
            None => {
                let Ok(state) = look(&member, id).await else { return };
                let random = |choose: &dyn Fn(&mut super::scheduler::Random) -> Option<Saying>| {
                    self.machine.scheduler.random(|r| choose(r))
                };
                let chosen = match self.machine.node {
                    Node::Worker(number) => {
                        let code = AUTHORITIES[number % AUTHORITIES.len()].code;
                        random(&|r| worker(r, &state, code))
                    }
                    _ => random(&|r| clerk(r, &state)),
                };
                let mut memory = self.memory.lock().unwrap();
                *memory.chosen.entry(id).or_default() += 1;
                let Some(saying) = chosen else { return };
                memory.open.insert(id, saying.clone());
                saying
            }
        };
        let outcome = say(&member, id, &saying).await;
        let mut memory = self.memory.lock().unwrap();
        let word = match outcome {
            Ok(said) => {
                memory.open.remove(&id);
                memory.said.entry(id).or_default().push((said.position, said.sha256));
                format!("is recorded at {}", said.position)
            }
            Err(NotSaid::Refused(problem)) => {
                memory.open.remove(&id);
                let rule = problem.violations.first().map_or("", |v| v.rule.as_str());
                format!("is not recorded: {rule}")
            }
            Err(NotSaid::Overtaken(_)) => {
                memory.open.remove(&id);
                "is overtaken".into()
            }
            Err(NotSaid::Malformed(refusal)) => {
                let rule = refusal.rule().map_or("", |r| r.id);
                memory.wrong.push(format!("{} is malformed: {rule}", saying.kind.name()));
                memory.open.remove(&id);
                "is malformed".into()
            }
            // They have no part in it any more, and wait for no answer.
            Err(NotSaid::NotSeen(NotSeen::Refused(_)))
                if Outbox::new(&self.state, id).pending().unwrap().is_empty() =>
            {
                memory.open.remove(&id);
                "is not for them to say any more".into()
            }
            Err(_) => "is not known to be recorded".into(),
        };
        drop(memory);
        let (node, kind) = (self.machine.node, saying.kind.name());
        self.machine.scheduler.note(node, format_args!("{} {kind} {word}", alias(id)));
    }
}
