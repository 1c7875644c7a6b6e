//! What the system is asked for at the start, and what happens from the first signal to the end.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::warn;

/// Open files that are no client's: logs, listeners, admin pages, the model.
const OTHER_FILES: u64 = 64;

/// Raises this process's limit of open files as far as it may, to hold so many connections: 1024, a
/// usual default, is too few for our own.
pub fn allow_files(connections: usize) {
    let needed = connections as u64 + OTHER_FILES;
    let limits = getrlimit(Resource::Nofile);
    let Some(current) = limits.current.filter(|&current| current < needed) else {
        return;
    };
    let raised = limits.maximum.map_or(needed, |maximum| needed.min(maximum));
    let asked = Rlimit {
        current: Some(raised),
        maximum: limits.maximum,
    };
    if setrlimit(Resource::Nofile, asked).is_err() || raised < needed {
        warn!(
            limit = current,
            needed, "the limit of open files is below --max-connections"
        );
    }
}

/// The signals that end the process.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes SIGTERM and SIGINT over.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn take() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        // Both are cancel-safe.
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// How much time the stages of shutting down have.
#[derive(Clone, Copy, Debug)]
pub struct Grace {
    /// Unready, but still accepting, for load balancers to notice.
    pub notice: Duration,
    /// For utterances that had begun.
    pub finish: Duration,
}
