//! What a seed decides before a run: who takes part, what is sent, and which kinds of trouble there are.
//! Every kind is absent in some runs, so that one does not hide what another would show.

use std::time::Duration;

use ecaf::domain::delivery::{BreakerPolicy, RetryPolicy};
use ecaf::gateway::deliver::DeliverySettings;

use super::network::Weather;
use super::planted::Bug;
use super::scheduler::Random;
use super::scheme::Ways;
use super::stores::Disk;

/// Everything about a run that is decided before it begins.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    /// Gateways over one store.
    pub gateways: usize,
    /// Referrals that are sent, rivals not counted.
    pub referrals: usize,
    /// How long there is trouble.
    pub trouble_s: u64,
    pub weather: Weather,
    pub gateway_disk: Disk,
    pub authority_disk: Disk,
    /// Mean seconds between two crashes of a gateway; none: never. The same for all below.
    pub gateway_crashes: Option<u64>,
    pub store_crashes: Option<u64>,
    pub authority_crashes: Option<u64>,
    pub school_crashes: Option<u64>,
    pub cuts: Option<u64>,
    /// Clocks are stepped by up to this many seconds.
    pub clock_steps: Option<(u64, u64)>,
    /// An operator replays what was given up, and sometimes hands over by hand.
    pub operator: Option<u64>,
    /// Operators close, hold and erase referrals and whole periods, and replace keys.
    pub erasures: Option<u64>,
    /// Everybody's certificates expire in the middle of the run; they are renewed one by one.
    pub renewals: Option<u64>,
    /// How much a school says about each of its referrals, at most.
    pub words: u64,
    pub retry_base_ms: i64,
    pub give_up_after_ms: i64,
    pub lease_ms: i64,
    pub parallel: usize,
    pub parallel_per_authority: usize,
    /// What goes back to the schools; nothing of it in runs that were tried before.
    pub way_back: Option<WayBack>,
    pub bug: Bug,
}

/// Workers, clocks and the ways in which authorities receive.
#[derive(Debug, Clone)]
pub struct WayBack {
    /// How much each person says about each referral, at most; nobody speaks if it is 0.
    pub says: u64,
    /// Workers of each authority.
    pub workers: usize,
    /// Whether gateways look at the clocks.
    pub clocks: bool,
    /// How authorities receive in the beginning.
    pub ways: Ways,
    /// Mean seconds between two issues of the directory, in which one of them receives otherwise.
    pub moves: Option<u64>,
    /// How many minutes everything is switched off for, one time after the other, while limits pass.
    pub off_min: Vec<u64>,
}

/// Seeds from this on have a way back, but for those of [`TRIED_BEFORE`].
pub const FIRST_WITH_WAY_BACK: u64 = 20_000;
/// Fresh seeds that were tried before there was one.
const TRIED_BEFORE: std::ops::Range<u64> = 1_000_000_000_000..1_795_360_000_000_000;

fn way_back(seed: u64) -> Option<WayBack> {
    if seed < FIRST_WITH_WAY_BACK || TRIED_BEFORE.contains(&seed) {
        return None;
    }
    let random = &mut Random::new(seed ^ 0x0077_6179_6261_636b);
    let says = random.pick(&[0, 2, 6]);
    let workers = random.between(1, 2) as usize;
    let clocks = random.chance(700);
    let mut ways = Ways::default();
    for authority in 0..ways.pull.len() {
        ways.pull[authority] = random.chance(350);
        ways.events[authority] = random.chance(500);
    }
    let moves = random.pick(&[None, Some(40), Some(10)]);
    let off = random.pick(&[0, 1, 2]);
    let off_min = (0..off).map(|_| random.pick(&[3, 20, 70, 300, 1_440])).collect();
    Some(WayBack { says, workers, clocks, ways, moves, off_min })
}

/// Seeds below this were tried before there were erasures and renewals, and keep their runs.
pub const FIRST_WITH_ALL: u64 = 1_000;

/// Kinds of trouble that came later, drawn from a stream of their own, so that a seed's other troubles
/// stay what they were.
fn later_kinds(seed: u64) -> (Option<u64>, Option<u64>) {
    if seed < FIRST_WITH_ALL {
        return (None, None);
    }
    let mut random = Random::new(seed ^ 0x001a_7e4b_1cd5);
    (random.pick(&[None, Some(20), Some(5)]), random.pick(&[None, Some(40), Some(12)]))
}

/// Seeds below this were tried before schools said anything about a referral, and keep their runs.
pub const FIRST_WITH_WORDS: u64 = 10_000;

fn words(seed: u64) -> u64 {
    if seed < FIRST_WITH_WORDS {
        return 0;
    }
    Random::new(seed ^ 0x0077_6f72_6473).pick(&[0, 1, 5])
}

impl Plan {
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x005e_ed0f_0a11);
        let r = &mut random;
        let some = |r: &mut Random, light: u32, heavy: u32| {
            let level = r.below(3);
            [0, light, heavy][level as usize]
        };
        let weather = Weather {
            late: some(r, 30, 200),
            lost: some(r, 20, 150),
            broken: some(r, 30, 250),
            doubled: some(r, 50, 300),
            swapped: some(r, 0, 100),
            misrouted: some(r, 0, 100),
        };
        let disk = |r: &mut Random| Disk {
            slow: some(r, 0, 20),
            fails: some(r, 10, 120),
            fails_though_done: some(r, 10, 120),
        };
        let (gateway_disk, authority_disk) = (disk(r), disk(r));
        let every = |r: &mut Random, often: u64, seldom: u64| {
            [None, Some(seldom), Some(often)][r.below(3) as usize]
        };
        let step_s = r.pick(&[2, 30, 240, 900]);
        let (mut erasures, renewals) = later_kinds(seed);
        let (way_back, mut words) = (way_back(seed), words(seed));
        if way_back.as_ref().is_some_and(|way| way.says > 0) {
            // Who speaks says everything; and a case that somebody closes is another reason to erase than
            // the operators' book knows of.
            (words, erasures) = (0, None);
        }
        Self {
            seed,
            gateways: r.between(1, 3) as usize,
            referrals: r.between(3, 9) as usize,
            trouble_s: r.between(30, 200),
            weather,
            gateway_disk,
            authority_disk,
            gateway_crashes: every(r, 8, 60),
            store_crashes: every(r, 10, 80),
            authority_crashes: every(r, 8, 60),
            school_crashes: every(r, 8, 60),
            cuts: every(r, 6, 40),
            clock_steps: every(r, 10, 50).map(|mean| (mean, step_s)),
            operator: every(r, 20, 60),
            erasures,
            renewals,
            words,
            way_back,
            retry_base_ms: r.pick(&[50, 1_000, 5_000]),
            give_up_after_ms: r.pick(&[5_000, 60_000, 3_600_000, 7 * 86_400_000]),
            lease_ms: r.pick(&[11_000, 15_000, 45_000]),
            parallel: r.pick(&[1, 2, 8]),
            parallel_per_authority: r.pick(&[1, 4]),
            bug: Bug::None,
        }
    }

    /// The same with a bug in it.
    pub fn with(self, bug: Bug) -> Self {
        Self { bug, ..self }
    }

    pub fn deliveries(&self) -> DeliverySettings {
        DeliverySettings {
            retry: RetryPolicy {
                base_ms: self.retry_base_ms,
                max_ms: 60_000,
                give_up_after_ms: self.give_up_after_ms,
            },
            breaker: BreakerPolicy::default(),
            parallel: self.parallel,
            parallel_per_authority: self.parallel_per_authority,
            lease_ms: self.lease_ms,
            look_every: Duration::from_secs(5),
        }
    }
}
