//! What people at schools do: send until there is a receipt, send again, click twice, send other bytes
//! under an id that is taken, or under somebody else's; and machines that die in the middle of it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ecaf::domain::case::EventKind;
use ecaf::domain::ids::Digest;
use ecaf::effects::Clock;
use ecaf::gateway::accept::{ID_UNUSABLE, OTHER_BYTES};
use ecaf::party::member::Member;
use ecaf::party::say::{NotSaid, Saying, say};
use ecaf::school::compose::{Composed, compose};
use ecaf::school::follow::{Followed, follow};
use ecaf::school::state::VersionFolder;
use ecaf::school::submit::{NotSubmitted, submit};
use serde_json::json;
use tokio::task::AbortHandle;

use super::documents::Document;
use super::scheme::{BEGINNING, gateway_party, school_party};
use super::sites::Machine;
use super::stores::alias;

/// One referral that somebody wants to send.
pub struct Job {
    pub document: Document,
    pub composed: Composed,
    /// Which of the school's machines; each keeps its own folder.
    pub desk: usize,
    /// How many times it is sent once more after its receipt.
    pub again: u64,
    /// Whether two processes of the machine send it at the same time.
    pub twice: bool,
    /// Whether somebody else sends other bytes under the same id: to be refused is an answer then.
    pub rival: bool,
    /// What is said about it once it has its receipt, each with a word of its own.
    pub words: Vec<String>,
    /// When it is sent first, in microseconds from the start.
    pub starts_at: u64,
    progress: Mutex<Progress>,
}

/// What the sender knows, in memory that outlives its machine.
#[derive(Debug, Default, Clone)]
pub struct Progress {
    /// Digests of the receipts that were shown, in their order.
    pub receipts: Vec<Digest>,
    /// Why it was refused for good.
    pub refused: Option<String>,
    /// Digests of the records of what was said, in its order.
    pub said: Vec<(u64, Digest)>,
    /// What a machine may never say.
    pub wrong: Vec<String>,
}

impl Job {
    pub fn new(document: Document, desk: usize, starts_at: u64) -> Self {
        let composed = compose(&document.bytes, BEGINNING.in_england().0).unwrap();
        assert_eq!(composed.bytes, document.bytes);
        Self {
            document,
            composed,
            desk,
            again: 0,
            twice: false,
            rival: false,
            words: Vec::new(),
            starts_at,
            progress: Mutex::default(),
        }
    }

    pub fn progress(&self) -> Progress {
        self.progress.lock().unwrap().clone()
    }

    /// Whether its sender has an answer that counts.
    pub fn is_done(&self) -> bool {
        let progress = self.progress.lock().unwrap();
        let sent = progress.receipts.len() as u64 > self.again;
        progress.refused.is_some() || (sent && progress.said.len() == self.words.len())
    }

    pub fn has_receipt(&self) -> bool {
        !self.progress.lock().unwrap().receipts.is_empty()
    }
}

/// A school's machine and the people before it.
pub struct School {
    pub machine: Machine,
    place: usize,
    folder: PathBuf,
    gateways: usize,
    pub jobs: Vec<Job>,
    running: Mutex<Vec<AbortHandle>>,
}

impl School {
    pub fn new(
        machine: Machine,
        place: usize,
        folder: PathBuf,
        gateways: usize,
        jobs: Vec<Job>,
    ) -> Arc<Self> {
        Arc::new(Self { machine, place, folder, gateways, jobs, running: Mutex::default() })
    }

    /// Where a desk keeps what it sent.
    pub fn state(&self, job: &Job) -> PathBuf {
        self.folder.join(format!("school-{}-{}", self.place, job.desk))
    }

    fn sender(&self, job: &Job, patience: Duration) -> Member {
        let (machine, party) = (&self.machine, school_party(self.place));
        // Whichever gateway its people are told to use at the moment; all have one store.
        let process = machine.scheduler.random(|r| r.below(self.gateways as u64)) as usize;
        let gateway = gateway_party(process);
        let signs = ecaf::cli::sandbox::SCHOOLS[self.place].signs;
        Member {
            signing: signs.then(|| (*machine.signing()).clone()),
            client: machine.network.line_to_gateway(machine.node, &gateway, self.gateways),
            gateway,
            trust: machine.trust(),
            state: self.state(job),
            give_up_after: patience,
            clock: machine.clock.clone(),
            entropy: machine.entropy(),
            party,
        }
    }

    /// Switches the machine on: everything that has no answer yet is sent.
    pub fn start(self: &Arc<Self>) {
        let mut running = self.running.lock().unwrap();
        running.retain(|task| !task.is_finished());
        if !running.is_empty() {
            return;
        }
        for (number, job) in self.jobs.iter().enumerate().filter(|(_, job)| !job.is_done()) {
            for _ in 0..1 + u8::from(job.twice) {
                let school = Arc::clone(self);
                let task = tokio::spawn(async move { school.work(number).await });
                running.push(task.abort_handle());
            }
            if !job.words.is_empty() {
                let school = Arc::clone(self);
                let task = tokio::spawn(async move { school.talk(number).await });
                running.push(task.abort_handle());
            }
        }
    }

    /// Switches the machine off in the middle of everything.
    pub fn kill(&self) {
        self.machine.scheduler.note(self.machine.node, format_args!("is switched off"));
        for task in self.running.lock().unwrap().drain(..) {
            task.abort();
        }
    }

    async fn work(self: &Arc<Self>, number: usize) {
        let (job, scheduler) = (&self.jobs[number], &self.machine.scheduler);
        let begun = scheduler.elapsed_ms() as u64 * 1_000;
        let wait = job.starts_at.saturating_sub(begun);
        scheduler.turn(wait, wait + 1_000).await;
        if scheduler.random(|r| r.chance(100)) {
            // As far as a machine comes that dies after the first of its two files.
            let id = job.document.id;
            VersionFolder::new(&self.state(job), id, 1).keep_document(&job.document.bytes).unwrap();
            scheduler.turn(1_000, 5_000_000).await;
        }
        while !job.is_done() {
            self.send_once(job).await;
            scheduler.turn(500_000, 8_000_000).await;
        }
    }

    /// Says the next of its words, again and again until that is recorded.
    async fn talk(self: &Arc<Self>, number: usize) {
        let (job, scheduler) = (&self.jobs[number], &self.machine.scheduler);
        while !job.is_done() {
            scheduler.turn(500_000, 8_000_000).await;
            let next = job.progress().said.len();
            let Some(word) = job.words.get(next).filter(|_| job.has_receipt()) else { continue };
            let patience = scheduler.random(|r| r.between(5, 60));
            let sender = self.sender(job, Duration::from_secs(patience));
            let document = json!({"at": "2026-06-01T10:00:00Z", "words": word});
            let call = Saying {
                code: Some("front_door".into()),
                ..Saying::with(EventKind::CallRecorded, document)
            };
            let id = job.document.id;
            let outcome = match say(&sender, id, &call).await {
                Ok(said) => {
                    job.progress.lock().unwrap().said.push((said.position, said.sha256));
                    format!("is recorded at {}", said.position)
                }
                Err(NotSaid::Refused(problem)) => {
                    let rule = problem.violations.first().map_or("", |v| v.rule.as_str());
                    format!("is not recorded: {rule}")
                }
                Err(_) => "is not known to be recorded".into(),
            };
            let node = self.machine.node;
            scheduler.note(node, format_args!("{} a word {outcome}", alias(id)));
        }
    }

    /// Sends it, for as long as the machine goes on by itself, and notes what came of it.
    pub async fn send_once(&self, job: &Job) {
        let patience = self.machine.scheduler.random(|r| r.between(5, 60));
        let sender = self.sender(job, Duration::from_secs(patience));
        let outcome = submit(&sender, &job.composed, |_, _| {}).await;
        let mut progress = job.progress.lock().unwrap();
        let word = match outcome {
            Ok(submitted) => {
                let kept = std::fs::read(&submitted.receipt).is_ok();
                if !kept {
                    progress.wrong.push("a receipt is shown that is not kept".into());
                }
                progress.receipts.push(submitted.accepted_sha256);
                format!("has its receipt, new: {}", submitted.new)
            }
            Err(NotSubmitted::Refused(problem)) => {
                let rule = problem.violations.first().map_or("", |v| v.rule.as_str()).to_owned();
                if job.rival && (rule == OTHER_BYTES.id || rule == ID_UNUSABLE.id) {
                    progress.refused = Some(rule.clone());
                }
                format!("is refused: {rule}")
            }
            Err(NotSubmitted::BadReceipt(refusal)) => {
                format!("is shown a bad receipt: {}", refusal.rule().map_or("", |r| r.id))
            }
            Err(NotSubmitted::NotKnown { .. }) => "does not know".into(),
            Err(NotSubmitted::NoAnswer { .. }) => "has no answer".into(),
            Err(NotSubmitted::OtherBytesHere) => {
                progress.wrong.push("the machine mixes its own documents up".into());
                "mixes documents up".into()
            }
            Err(NotSubmitted::Here(fault)) => {
                progress.wrong.push(format!("the machine's files fail: {}", fault.kind()));
                "files fail".into()
            }
            Err(NotSubmitted::Signing(_)) => "cannot sign".into(),
        };
        drop(progress);
        let node = self.machine.node;
        self.machine.scheduler.note(node, format_args!("{} {word}", alias(job.document.id)));
    }

    /// Asks what became of it.
    pub async fn follow(&self, job: &Job) -> Result<Followed, String> {
        let sender = self.sender(job, Duration::from_secs(60));
        follow(&sender, job.document.id).await.map_err(|fault| match fault {
            ecaf::party::look::NotSeen::Refused(problem) => {
                format!("refused: {}", problem.violations.first().map_or("", |v| v.rule.as_str()))
            }
            ecaf::party::look::NotSeen::NoAnswer(fault) => fault.label().into(),
            ecaf::party::look::NotSeen::Unreadable => "unreadable".into(),
            ecaf::party::look::NotSeen::StaleTrust(_) => "stale trust".into(),
            ecaf::party::look::NotSeen::Here(fault) => fault.kind().to_string(),
        })
    }

    /// What the machine says the time is.
    pub fn now(&self) -> ecaf::domain::time::Timestamp {
        self.machine.clock.now()
    }
}
