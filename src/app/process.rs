//! A process among others: runtime, signals, readiness for systemd.

use std::future::Future;
use std::os::unix::net::UnixDatagram;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};

use super::parts::AppFault;

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
