//! The one queue between the doors and the device: bounded, fair, and every accepted utterance gets
//! an answer.
//!
//! Jobs stay in the queue until the device has room, so that the [`policy`] chooses among all of them
//! and a client that goes away takes its job along. Nothing has to be prepared ahead: spectrograms
//! are computed while audio arrives.
//!
//! A job has work and, once a client waits for its words, a claim ([`job`]). All that can happen to it is
//! a pure change of [`jobs::Jobs`]; answers are sent and metrics counted when the lock is free
//! ([`effect`]).

mod allowance;
mod busy;
mod effect;
mod job;
mod jobs;
pub mod policy;
mod session;
mod settings;
mod speculation;
mod ticket;
mod totals;
mod worker;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use telemetry::load::LoadReport;
use tokio::sync::oneshot;
use tokio::time::Instant;
use whisper::Input;

use crate::fault::Fault;
use crate::metrics::Metrics;
use effect::Effects;
use job::{Outcome, Reply};
use jobs::{Jobs, Release};
use policy::BatchLimits;

pub use job::Answered;
pub use settings::WorkerSettings;
pub use speculation::Speculation;
pub use ticket::Ticket;
pub use worker::{Loaded, ModelState, Worker};

/// What the queue may hold.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Utterances that wait.
    pub jobs: usize,
    /// Their audio, all together. One utterance may pass it when nothing else waits.
    pub audio: Duration,
}

/// A handle; clones share the queue.
#[derive(Clone, Debug)]
pub struct Queue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    metrics: Metrics,
    began: Instant,
    jobs: Mutex<Jobs>,
    /// Told when a job comes, or the queue closes.
    changed: Condvar,
}

/// How the worker's waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// There is something to do.
    Work,
    /// There was nothing to do for as long as it was patient.
    Idle,
    /// The queue is closed and empty.
    Closed,
}

/// What an answer tells of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Works,
    Fails,
    /// It did not reach the device, or was stopped before that could show anything.
    Unknown,
}

impl Queue {
    /// An empty queue.
    pub fn new(limits: QueueLimits, metrics: Metrics) -> Self {
        Self {
            shared: Arc::new(Shared {
                metrics,
                began: Instant::now(),
                jobs: Mutex::new(Jobs::new(limits)),
                changed: Condvar::new(),
            }),
        }
    }

    /// Takes an utterance, or refuses it at once.
    ///
    /// # Errors
    /// [`Fault::Overloaded`] when the queue is full, [`Fault::Draining`] or [`Fault::NotReady`] when
    /// it is closed.
    pub fn submit(&self, input: Input) -> Result<Ticket, Fault> {
        let (reply, answer) = oneshot::channel();
        // Before the device's thread may have it.
        let since = Instant::now();
        let id = self.change(|jobs, now| jobs.submit(input, reply, now))?;
        self.shared.changed.notify_all();
        Ok(Ticket::new(id, self.clone(), since, answer))
    }

    /// Whether a speculation would be taken now; asked before its audio is copied.
    pub fn may_speculate(&self) -> bool {
        self.lock().may_speculate(self.now())
    }

    /// Begins to transcribe what may turn out to be a whole utterance. `None` when the device has
    /// anything better to do, or too much was wasted.
    pub fn speculate(&self, input: Input) -> Option<Speculation> {
        let cancel = input.cancel.clone();
        let id = self.change(|jobs, now| {
            let entered = jobs.speculate(input, now);
            entered.map_or_else(Default::default, |(id, effects)| (Some(id), effects))
        })?;
        self.shared.changed.notify_all();
        Some(Speculation::new(id, self.clone(), cancel))
    }

    /// Refuses whatever comes from now on; what waits is still done.
    pub fn close(&self, fault: Fault) {
        self.change(|jobs, _| ((), jobs.close(fault)));
        self.shared.changed.notify_all();
    }

    /// As [`Queue::close`], and each client that waits is answered with the fault.
    pub fn abandon(&self, fault: &Fault) {
        self.change(|jobs, now| ((), jobs.abandon(fault, now)));
        self.shared.changed.notify_all();
    }

    /// Whether the device works.
    ///
    /// # Errors
    /// With the reason when it fails again and again.
    pub fn health(&self) -> Result<(), String> {
        let broken = self.lock().broken();
        broken.map_or(Ok(()), |failed| {
            Err(format!("the last {failed} tries failed"))
        })
    }

    /// The queue's part of the load report.
    pub fn report(&self, report: &mut LoadReport) {
        let jobs = self.lock();
        jobs.report(report, self.now());
    }

    /// A client waits for the words of a job from now on; `false` if none will come.
    fn claim(&self, id: u64, reply: Reply) -> bool {
        self.change(|jobs, now| match jobs.claim(id, reply, now) {
            Some(effects) => (true, effects),
            None => (false, Effects::default()),
        })
    }

    fn release(&self, id: u64, release: Release) -> bool {
        self.change(|jobs, now| (jobs.release(id, release, now), Effects::default()))
    }

    fn discard(&self, id: u64, told: bool) {
        self.change(|jobs, now| ((), jobs.discard(id, told, now)));
    }

    /// Blocks until there is something to do, or `patience` is at its end.
    fn wait_for_work(&self, patience: Option<Duration>) -> Wait {
        let begun = Instant::now();
        let mut jobs = self.lock();
        loop {
            if jobs.has_work() {
                return Wait::Work;
            }
            if jobs.is_closed() {
                return Wait::Closed;
            }
            let changed = &self.shared.changed;
            jobs = match patience.map(|patience| patience.saturating_sub(begun.elapsed())) {
                None => changed.wait(jobs).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return Wait::Idle,
                Some(left) => {
                    let waited = changed.wait_timeout(jobs, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// What joins those that run, into at most `room` places.
    fn join(&self, room: usize, limits: BatchLimits) -> Vec<(u64, Input)> {
        self.change(|jobs, now| jobs.join(room, limits, now))
    }

    /// The device has let go of a job.
    fn done(&self, id: u64, outcome: Outcome) {
        self.change(|jobs, now| ((), jobs.done(id, outcome, now)));
    }

    /// The device has let go of all that ran, without words.
    fn lost(&self, fault: &Fault) {
        self.change(|jobs, now| ((), jobs.lost(fault, now)));
    }

    /// Jobs on the device.
    fn on_device(&self) -> usize {
        self.lock().on_device()
    }

    fn judge(&self, verdict: Verdict) {
        self.lock().judge(verdict);
    }

    /// Changes the state, and does what that leads to once the lock is free.
    fn change<T>(&self, change: impl FnOnce(&mut Jobs, Duration) -> (T, Effects)) -> T {
        let mut jobs = self.lock();
        // Read under the lock, so that it never goes back.
        let (result, effects) = change(&mut jobs, self.now());
        drop(jobs);
        effects.emit(&self.shared.metrics);
        result
    }

    /// Since the queue was made.
    fn now(&self) -> Duration {
        self.shared.began.elapsed()
    }

    /// The state is a set of counts and a list, whole at every step, so a panic elsewhere while the
    /// lock was held leaves nothing to repair.
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.shared
            .jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests;
