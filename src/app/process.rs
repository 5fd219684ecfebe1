//! A process among others: runtime, signals, open files, readiness for systemd.

use std::future::Future;
use std::os::unix::net::UnixDatagram;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};

use super::parts::AppFault;
use crate::http::Limits;

/// Runs a future on a multi-threaded runtime.
pub fn block_on<T>(future: impl Future<Output = T>) -> Result<T, AppFault> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| AppFault::new("the runtime could not start", e))?;
    Ok(runtime.block_on(future))
}

/// Signals: SIGTERM and SIGINT raise `stop`, SIGHUP rings `reload`.
pub(super) fn on_signals(
    stop: watch::Sender<bool>,
    reload: std::sync::Arc<Notify>,
) -> Result<(), AppFault> {
    let fault = |e| AppFault::new("signals cannot be received", e);
    let mut terminate = signal(SignalKind::terminate()).map_err(fault)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fault)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(fault)?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hang_up.recv() => reload.notify_waiters(),
            }
        }
        tracing::info!("stopping: no new work, what is under way is finished");
        stop.send_replace(true);
    });
    Ok(())
}

/// Ready when `stop` is raised.
pub(super) async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Open files kept for everything but the connections of parties: the store, deliveries (32 at a time,
/// some kept open), the operator's listener (32), files that are read again.
const OTHER_FILES: usize = 160;

/// Takes no more connections than this process may have files open, less what the rest of it needs:
/// with no file left, neither deliveries nor the store could go on.
pub(super) fn fit_to_open_files(configured: &Limits) -> Limits {
    let mut limits = configured.clone();
    let table = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    if open_files(&table).is_some_and(|most| fit(&mut limits, most)) {
        tracing::warn!(
            connections = limits.connections,
            "fewer connections than configured: this process may not open enough files"
        );
    }
    limits
}

/// The soft limit in /proc/self/limits; none if there is none.
fn open_files(table: &str) -> Option<usize> {
    let line = table.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn fit(limits: &mut Limits, open_files: usize) -> bool {
    let room = open_files.saturating_sub(OTHER_FILES).max(16);
    if limits.connections.saturating_add(limits.handshakes) <= room {
        return false;
    }
    limits.handshakes = limits.handshakes.min(room / 4);
    limits.connections = limits.connections.min(room - limits.handshakes);
    true
}

/// Tells systemd (sd_notify) that the service is ready, where it asked to be told.
pub fn notify_ready() {
    tell_manager("READY=1");
}

pub(super) fn notify_stopping() {
    tell_manager("STOPPING=1");
}

fn tell_manager(state: &str) {
    let Some(address) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let sent = UnixDatagram::unbound().and_then(|socket| {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::ffi::OsStrExt;
        match address.as_bytes() {
            [b'@', name @ ..] => {
                let name = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
                socket.send_to_addr(state.as_bytes(), &name)
            }
            _ => socket.send_to(state.as_bytes(), &address),
        }
    });
    if let Err(fault) = sent {
        tracing::warn!(kind = %fault.kind(), "the service manager could not be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_fit_into_the_files_that_may_be_open() {
        let table = "Limit                     Soft Limit           Hard Limit           Units     \n\
                     Max processes             95000                95000                processes \n\
                     Max open files            1024                 524288               files     \n";
        assert_eq!(open_files(table), Some(1_024));
        assert_eq!(open_files("Max open files            unlimited            unlimited"), None);
        let fitted = |files| {
            let mut limits = Limits { connections: 4_096, handshakes: 512, ..Limits::default() };
            let less = fit(&mut limits, files);
            (less, limits.connections, limits.handshakes)
        };
        assert_eq!(fitted(65_536), (false, 4_096, 512));
        assert_eq!(fitted(1_024), (true, 648, 216));
        assert_eq!(fitted(10), (true, 12, 4));
    }
}
