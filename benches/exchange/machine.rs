//! What the kernel says about this machine and about a process: `/proc` on Linux.

use std::fs;
use std::time::Instant;

/// Microseconds of one tick of `/proc/PID/stat` and `/proc/stat` (`USER_HZ` is 100 on Linux).
const TICK_US: u64 = 10_000;

/// CPU time of a process tree, user and system together.
pub fn cpu_us(pids: &[u32]) -> u64 {
    let ticks = pids.iter().filter_map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in brackets may hold spaces; utime and stime are fields 14 and 15.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
    });
    ticks.sum::<u64>() * TICK_US
}

/// CPU time of this thread, in nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// `VmRSS` (now) or `VmHWM` (the most so far) of a process, in MB of 10^6 bytes.
pub fn memory_mb(pid: u32, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib = line.and_then(|l| l.split_ascii_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) * 1_024.0 / 1e6
}

/// The processes that `parent` started.
pub fn children(parent: u32) -> Vec<u32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// One moment: when, and how much CPU time whom has used so far.
pub struct Moment {
    at: Instant,
    busy_us: u64,
    server_us: u64,
    ours_us: u64,
}

/// Between two moments.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// Length.
    pub seconds: f64,
    /// CPU time of the server.
    pub server_us: f64,
    /// CPU time of everything else but us and the server, as a share of the whole machine.
    pub others: f64,
}

impl Moment {
    /// Now. `server` is what is measured; `helpers` are further processes of this run.
    pub fn now(server: &[u32], helpers: &[u32]) -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = stat.lines().next().unwrap_or_default();
        let ticks: Vec<u64> =
            line.split_ascii_whitespace().skip(1).filter_map(|t| t.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal
        let idle = ticks.get(3).unwrap_or(&0) + ticks.get(4).unwrap_or(&0);
        let server_us = cpu_us(server);
        Self {
            at: Instant::now(),
            busy_us: (ticks.iter().take(8).sum::<u64>() - idle) * TICK_US,
            server_us,
            ours_us: server_us + cpu_us(helpers) + cpu_us(&[std::process::id()]),
        }
    }

    /// From this moment until `later`.
    pub fn until(&self, later: &Moment) -> Span {
        let seconds = (later.at - self.at).as_secs_f64();
        let busy = (later.busy_us - self.busy_us) as f64;
        let ours = (later.ours_us - self.ours_us) as f64;
        Span {
            seconds,
            server_us: (later.server_us - self.server_us) as f64,
            others: ((busy - ours) / (seconds * 1e6 * cores() as f64)).max(0.0),
        }
    }
}

/// Processors of this machine.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Processor, memory and kernel, in one line.
pub fn description() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split_once(": ")).map_or("unknown CPU", |(_, m)| m);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory.split_ascii_whitespace().nth(1).and_then(|k| k.parse::<f64>().ok());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let sha = if cpu.contains("sha_ni") { "with" } else { "without" };
    format!(
        "{} x {model} ({sha} SHA instructions), {:.0} GB, Linux {}",
        cores(),
        kib.unwrap_or(0.0) * 1_024.0 / 1e9,
        kernel.trim()
    )
}
