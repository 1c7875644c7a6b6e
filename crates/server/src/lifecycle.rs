//! From the first signal to the end.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

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
