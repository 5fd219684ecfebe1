//! A process of this program, started, waited for and stopped.

use std::fmt;
use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::http::operator_get;

/// A running `ecaf` process. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    operator: SocketAddr,
    log: PathBuf,
}

/// Why a process did not come up.
#[derive(Debug)]
pub struct ProcessFault(String);

impl fmt::Display for ProcessFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ProcessFault {}

/// How long a process may take to be ready. It takes a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(30);

impl Process {
    /// Starts `program` with `arguments`; its log is appended to `log`.
    pub fn start(
        program: &Path,
        arguments: &[&str],
        operator: SocketAddr,
        log: &Path,
    ) -> Result<Self, ProcessFault> {
        let here = |e| ProcessFault(format!("{}: {e}", log.display()));
        let file = OpenOptions::new().create(true).append(true).open(log).map_err(here)?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .map_err(|e| ProcessFault(format!("{}: {e}", program.display())))?;
        Ok(Self { child, operator, log: log.to_owned() })
    }

    /// Waits until the process says that it is ready.
    pub fn wait_ready(&mut self) -> Result<(), ProcessFault> {
        let until = Instant::now() + PATIENCE;
        let mut last = String::from("no answer yet");
        while Instant::now() < until {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(ProcessFault(format!("ended with {status}; {}", self.last_lines())));
            }
            match operator_get(self.operator, "/readyz") {
                Ok((200, _)) => return Ok(()),
                Ok((_, body)) => last = body,
                Err(_) => {}
            }
            pause(Duration::from_millis(10));
        }
        Err(ProcessFault(format!("not ready after {} s: {last}", PATIENCE.as_secs())))
    }

    /// The operator's listener of this process.
    pub fn operator(&self) -> SocketAddr {
        self.operator
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once (SIGKILL), as a power cut would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal by name (`TERM`, `HUP`, `STOP`, `CONT`).
    pub fn signal(&self, name: &str) -> bool {
        let sent =
            Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status();
        sent.is_ok_and(|status| status.success())
    }

    /// Asks it to stop (SIGTERM) and waits for its end.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        self.signal("TERM");
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            pause(Duration::from_millis(10));
        }
        self.kill();
        None
    }

    /// Lets it go on after this program has ended.
    pub fn leave_running(self) {
        // Without its destructor, which kills.
        std::mem::forget(self);
    }

    /// The end of its log.
    pub fn last_lines(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits between two looks at another process, which cannot tell us.
#[allow(clippy::disallowed_methods, reason = "another process can only be polled")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
