//! The one queue between the doors and the device: bounded, fair, and every accepted utterance gets
//! an answer.
//!
//! Jobs stay in the queue until the device has room, so that the [`policy`] chooses among all of them
//! and a client that goes away takes its job along. Nothing has to be prepared ahead: spectrograms
//! are computed while audio arrives.
//!
//! At any time accepted = queued + running + finished + cancelled, but for running jobs that were
//! cancelled and have not stopped yet, which count twice. A [`Speculation`] is none of these until it
//! is adopted.

mod allowance;
pub mod policy;
mod session;
mod speculation;
mod worker;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use telemetry::load::LoadReport;
use tokio::sync::oneshot;
use tokio::time::Instant;
use whisper::{Cancel, Input, Transcript};

use crate::fault::Fault;
use crate::metrics::Metrics;
use allowance::Allowance;
use policy::{BatchLimits, Running, Waiting};
use speculation::Slot;

pub use speculation::Speculation;
pub use worker::{Loaded, ModelState, Worker, WorkerSettings};

/// After this many passes in a row that the device failed on, it is taken for broken: a lost GPU
/// fails every time, and one bad pass need not mean anything.
const BROKEN_AFTER: u32 = 3;

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
    limits: QueueLimits,
    metrics: Metrics,
    began: Instant,
    state: Mutex<State>,
    /// Told when a job or a speculation comes, or the queue closes.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Job>,
    running: usize,
    /// What may be wanted soon.
    speculation: Option<Slot>,
    /// For speculation in vain.
    allowance: Allowance,
    /// Since when utterances have been running without a rest.
    busy_since: Option<Instant>,
    failed_in_a_row: u32,
    closed: Option<Fault>,
    next_id: u64,
    totals: Totals,
}

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    accepted: u64,
    finished: u64,
    /// Of `finished`, errors because the deadline went by.
    expired: u64,
    refused: u64,
    cancelled: u64,
    busy: Duration,
}

/// Where an answer goes; a ticket holds the other end.
type Reply = oneshot::Sender<Result<Transcript, Fault>>;

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

/// A waiting utterance.
#[derive(Debug)]
struct Job {
    id: u64,
    input: Input,
    since: Instant,
    reply: Reply,
}

/// Who joins those that run.
#[derive(Debug)]
enum Joining {
    /// An utterance.
    Job(Job),
    /// What may turn out to be one.
    Speculation(u64, Input),
}

/// What an answer tells of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Works,
    Fails,
    /// It did not reach the device, or was stopped before that could show anything.
    Unknown,
}

/// A place in the queue. Dropping it gives the place up: the job leaves the queue, or the decoder
/// stops at its next step.
#[derive(Debug)]
pub struct Ticket {
    id: u64,
    queue: Queue,
    cancel: Cancel,
    since: Instant,
    /// The job holds the other end.
    answer: oneshot::Receiver<Result<Transcript, Fault>>,
    /// The answer was taken, or the place given up.
    settled: bool,
}

impl Queue {
    /// An empty queue.
    pub fn new(limits: QueueLimits, metrics: Metrics) -> Self {
        Self {
            shared: Arc::new(Shared {
                limits,
                metrics,
                began: Instant::now(),
                state: Mutex::default(),
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
        let mut state = self.lock();
        if let Some(fault) = state.closed.clone() {
            return Err(fault);
        }
        let waiting_audio: Duration = state.waiting.iter().map(Job::audio).sum();
        let waiting = state.waiting.len();
        let limits = self.shared.limits;
        let too_much_audio =
            waiting > 0 && waiting_audio + input.waveform.duration() > limits.audio;
        if waiting >= limits.jobs || too_much_audio {
            state.totals.refused += 1;
            return Err(Fault::Overloaded { waiting });
        }
        let (reply, answer) = oneshot::channel();
        state.displace_speculation();
        let id = state.take_id();
        state.totals.accepted += 1;
        let cancel = input.cancel.clone();
        let since = Instant::now();
        state.waiting.push_back(Job {
            id,
            input,
            since,
            reply,
        });
        drop(state);
        self.shared.changed.notify_all();
        Ok(Ticket {
            id,
            queue: self.clone(),
            cancel,
            since,
            answer,
            settled: false,
        })
    }

    /// Refuses whatever comes from now on; what waits is still done.
    pub fn close(&self, fault: Fault) {
        let mut state = self.lock();
        state.closed.get_or_insert(fault);
        state.displace_speculation();
        drop(state);
        self.shared.changed.notify_all();
    }

    /// As [`Queue::close`], and what waits is answered with the fault too.
    pub fn abandon(&self, fault: &Fault) {
        self.close(fault.clone());
        let mut state = self.lock();
        while let Some(job) = state.waiting.pop_front() {
            state.answer(job.reply, Err(fault.clone()));
        }
        state.abandon_speculation(fault);
    }

    /// Whether the device works.
    ///
    /// # Errors
    /// With the reason when it fails again and again.
    pub fn health(&self) -> Result<(), String> {
        match self.lock().failed_in_a_row {
            failed if failed < BROKEN_AFTER => Ok(()),
            failed => Err(format!("the last {failed} tries failed")),
        }
    }

    /// The queue's part of the load report.
    pub fn report(&self, report: &mut LoadReport) {
        let state = self.lock();
        report.queued = state.waiting.len();
        report.running = state.running;
        report.waiting_audio_s = state
            .waiting
            .iter()
            .map(Job::audio)
            .sum::<Duration>()
            .as_secs_f64();
        report.oldest_wait_s = state
            .waiting
            .front()
            .map_or(0.0, |job| job.since.elapsed().as_secs_f64());
        report.accepted_total = state.totals.accepted;
        report.finished_total = state.totals.finished;
        report.expired_total = state.totals.expired;
        report.refused_total = state.totals.refused;
        report.cancelled_total = state.totals.cancelled;
        let until_now = state
            .busy_since
            .map_or(Duration::ZERO, |since| since.elapsed());
        report.busy_s_total = (state.totals.busy + until_now).as_secs_f64();
    }

    /// Blocks until there is something to do, or `patience` is at its end.
    fn wait_for_work(&self, patience: Option<Duration>) -> Wait {
        let begun = Instant::now();
        let mut state = self.lock();
        loop {
            if !state.waiting.is_empty() || state.has_new_speculation() {
                return Wait::Work;
            }
            if state.closed.is_some() {
                return Wait::Closed;
            }
            let changed = &self.shared.changed;
            state = match patience.map(|patience| patience.saturating_sub(begun.elapsed())) {
                None => changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return Wait::Idle,
                Some(left) => {
                    let waited = changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Who joins those that run. A speculation does while there is nobody else.
    fn joining(&self, running: Running, limits: BatchLimits) -> Vec<Joining> {
        let mut state = self.lock();
        let jobs = state.take_waiting(running, limits);
        if jobs.is_empty() && running.jobs == 0 {
            let begun = state.begin_speculation();
            return begun
                .map(|(id, input)| Joining::Speculation(id, input))
                .into_iter()
                .collect();
        }
        jobs.into_iter().map(Joining::Job).collect()
    }

    /// A job that was running has its answer.
    fn answer_running(&self, reply: Reply, answer: Result<Transcript, Fault>) {
        let mut state = self.lock();
        state.ends_running();
        state.answer(reply, answer);
    }

    fn judge(&self, verdict: Verdict) {
        let mut state = self.lock();
        state.failed_in_a_row = match verdict {
            Verdict::Works => 0,
            Verdict::Fails => state.failed_in_a_row.saturating_add(1),
            Verdict::Unknown => state.failed_in_a_row,
        };
    }

    /// The state is a set of counts and a list, whole at every step, so a panic elsewhere while the
    /// lock was held leaves nothing to repair.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take_waiting(&mut self, running: Running, limits: BatchLimits) -> Vec<Job> {
        let waiting: Vec<Waiting> = self.waiting.iter().map(Job::seen).collect();
        // From the back, so that the indices of the others stay.
        let mut jobs: Vec<Job> = policy::joining(&waiting, running, limits)
            .into_iter()
            .rev()
            .filter_map(|index| self.waiting.remove(index))
            .collect();
        jobs.reverse();
        self.begin_running(jobs.len());
        jobs
    }

    fn begin_running(&mut self, jobs: usize) {
        if self.running == 0 && jobs > 0 {
            self.busy_since = Some(Instant::now());
        }
        self.running += jobs;
    }

    fn ends_running(&mut self) {
        self.running = self.running.saturating_sub(1);
        if self.running == 0
            && let Some(since) = self.busy_since.take()
        {
            self.totals.busy += since.elapsed();
        }
    }

    fn take_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// Sends an answer. When nobody waits for it any more, its ticket has counted that.
    fn answer(&mut self, reply: Reply, answer: Result<Transcript, Fault>) {
        if reply.send(answer).is_ok() {
            self.totals.finished += 1;
        }
    }
}

impl Job {
    fn audio(&self) -> Duration {
        self.input.waveform.duration()
    }

    /// As the policy sees it.
    fn seen(&self) -> Waiting {
        Waiting {
            samples: self.input.waveform.samples().len(),
        }
    }
}

impl Ticket {
    /// Waits for the words until `limit` after the job was submitted. Late words are still words: if
    /// they are there when this is polled at last, they are returned.
    ///
    /// # Errors
    /// [`Fault::Deadline`] after `limit`, else what the worker says.
    ///
    /// # Cancel safety
    /// Dropping the future gives the place up, as dropping the ticket does.
    pub async fn wait(mut self, limit: Duration) -> Result<Transcript, Fault> {
        match tokio::time::timeout_at(self.since + limit, &mut self.answer).await {
            Ok(answer) => {
                self.settled = true;
                answer.unwrap_or(Err(Fault::Internal))
            }
            Err(_elapsed) => self
                .give_up(|totals| {
                    totals.finished += 1;
                    totals.expired += 1;
                })
                .unwrap_or(Err(Fault::Deadline { limit })),
        }
    }

    /// Leaves the queue, or stops the decoder, and counts it; unless the answer has come meanwhile.
    fn give_up(&mut self, count: impl FnOnce(&mut Totals)) -> Option<Result<Transcript, Fault>> {
        self.settled = true;
        let mut state = self.queue.lock();
        // From here on no answer is taken, so nothing is counted twice.
        self.answer.close();
        if let Ok(answer) = self.answer.try_recv() {
            return Some(answer);
        }
        self.cancel.cancel();
        state.waiting.retain(|job| job.id != self.id);
        count(&mut state.totals);
        None
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        // An answer that came meanwhile has nobody to read it, but was counted as one.
        self.give_up(|totals| totals.cancelled += 1);
    }
}

#[cfg(test)]
pub(crate) mod tests;
