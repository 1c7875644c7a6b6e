//! What the system is asked for at the start, and what happens from the first signal to the end.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
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
    /// Unready, but still accepting, for load balancers to notice: so long after the last who came.
    pub notice: Duration,
    /// For utterances that had begun; half of it may go to those who keep coming.
    pub finish: Duration,
}

impl Grace {
    /// All stages together.
    pub fn whole(&self) -> Duration {
        self.notice + self.finish
    }

    /// The longest that connections are accepted.
    fn accepting(&self) -> Duration {
        self.notice + self.finish / 2
    }
}

/// Returns when no client has come for the length of the notice. A load balancer that still sends clients has not noticed,
/// however long ago it was told; but one that never does is not waited for.
pub async fn until_quiet<F: Future<Output = ()>>(knocked: impl Fn() -> F, grace: &Grace) {
    let quiet = async { while timeout(grace.notice, knocked()).await.is_ok() {} };
    timeout(grace.accepting(), quiet).await.ok();
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;
    use tokio::time::{Instant, sleep};

    use super::*;

    const GRACE: Grace = Grace {
        notice: Duration::from_secs(3),
        finish: Duration::from_secs(40),
    };

    /// Seconds until it is quiet, where clients come at these times.
    async fn quiet_after(times: &[u64], grace: Grace) -> u64 {
        let knocked = Notify::new();
        let begun = Instant::now();
        let come = async {
            for &time in times {
                tokio::time::sleep_until(begun + Duration::from_secs(time)).await;
                knocked.notify_one();
            }
            sleep(Duration::MAX).await;
        };
        tokio::select! {
            () = come => {}
            () = until_quiet(|| knocked.notified(), &grace) => {}
        }
        begun.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_begins_the_notice_anew() {
        assert_eq!(quiet_after(&[], GRACE).await, 3);
        assert_eq!(quiet_after(&[2, 4, 6], GRACE).await, 9);
        assert_eq!(quiet_after(&[2, 7], GRACE).await, 5, "it was quiet before");
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_keep_coming_leave_half_the_time_to_finish() {
        let always: Vec<u64> = (0..60).collect();
        assert_eq!(quiet_after(&always, GRACE).await, 3 + 20);
    }

    #[tokio::test(start_paused = true)]
    async fn no_notice_is_none() {
        let none = Grace {
            notice: Duration::ZERO,
            ..GRACE
        };
        let always: Vec<u64> = (0..60).collect();
        assert_eq!(quiet_after(&always, none).await, 0);
    }
}
