//! The one queue between the doors and the device: bounded, first come first served, and every
//! accepted utterance gets an answer.

pub mod policy;
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
use policy::{BatchLimits, Waiting};

pub use worker::{Loaded, ModelState, Worker, WorkerSettings};

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
    state: Mutex<State>,
    /// Told when a job comes or the queue closes.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Job>,
    running: usize,
    closed: Option<Fault>,
    next_id: u64,
    totals: Totals,
}

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    accepted: u64,
    finished: u64,
    refused: u64,
    cancelled: u64,
    busy: Duration,
}

/// A waiting utterance.
#[derive(Debug)]
struct Job {
    id: u64,
    input: Input,
    since: Instant,
    /// The ticket holds the other end.
    reply: oneshot::Sender<Result<Transcript, Fault>>,
}

/// A place in the queue. Dropping it gives the place up: the job leaves the queue, or the decoder
/// stops at its next step.
#[derive(Debug)]
pub struct Ticket {
    id: u64,
    queue: Queue,
    cancel: Cancel,
    /// The job holds the other end.
    answer: oneshot::Receiver<Result<Transcript, Fault>>,
    answered: bool,
}

impl Queue {
    /// An empty queue.
    pub fn new(limits: QueueLimits, metrics: Metrics) -> Self {
        Self {
            shared: Arc::new(Shared {
                limits,
                metrics,
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
        let id = state.next_id;
        state.next_id += 1;
        state.totals.accepted += 1;
        let cancel = input.cancel.clone();
        state.waiting.push_back(Job {
            id,
            input,
            since: Instant::now(),
            reply,
        });
        drop(state);
        self.shared.changed.notify_all();
        Ok(Ticket {
            id,
            queue: self.clone(),
            cancel,
            answer,
            answered: false,
        })
    }

    /// Refuses whatever comes from now on; what waits is still done.
    pub fn close(&self, fault: Fault) {
        self.lock().closed.get_or_insert(fault);
        self.shared.changed.notify_all();
    }

    /// As [`Queue::close`], and what waits is answered with the fault too.
    pub fn abandon(&self, fault: &Fault) {
        self.close(fault.clone());
        let waiting: Vec<Job> = self.lock().waiting.drain(..).collect();
        for job in waiting {
            job.answer(self, Err(fault.clone()));
        }
    }

    /// The queue's part of the load report.
    pub fn report(&self, report: &mut LoadReport) {
        let state = self.lock();
        report.queued = state.waiting.len();
        report.running = state.running;
        report.oldest_wait_s = state
            .waiting
            .front()
            .map_or(0.0, |job| job.since.elapsed().as_secs_f64());
        report.accepted_total = state.totals.accepted;
        report.finished_total = state.totals.finished;
        report.refused_total = state.totals.refused;
        report.cancelled_total = state.totals.cancelled;
        report.busy_s_total = state.totals.busy.as_secs_f64();
    }

    /// Audio that waits.
    pub fn waiting_audio(&self) -> Duration {
        self.lock().waiting.iter().map(Job::audio).sum()
    }

    /// Blocks until there is a batch; `None` when the queue is closed and empty.
    fn next_batch(&self, limits: BatchLimits) -> Option<Vec<Job>> {
        let mut state = self.lock();
        loop {
            if !state.waiting.is_empty() {
                return Some(state.take_batch(limits));
            }
            if state.closed.is_some() {
                return None;
            }
            state = self
                .shared
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn batch_ended(&self, busy: Duration) {
        let mut state = self.lock();
        state.running = 0;
        state.totals.busy += busy;
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
    fn take_batch(&mut self, limits: BatchLimits) -> Vec<Job> {
        let waiting: Vec<Waiting> = self
            .waiting
            .iter()
            .map(|job| Waiting {
                samples: job.input.waveform.samples().len(),
            })
            .collect();
        // From the back, so that the indices of the others stay.
        let mut batch: Vec<Job> = policy::next_batch(&waiting, limits)
            .into_iter()
            .rev()
            .filter_map(|index| self.waiting.remove(index))
            .collect();
        batch.reverse();
        self.running = batch.len();
        batch
    }
}

impl Job {
    fn audio(&self) -> Duration {
        self.input.waveform.duration()
    }

    fn answer(self, queue: &Queue, answer: Result<Transcript, Fault>) {
        queue.lock().totals.finished += 1;
        // Nobody waits any more: the client is gone, and its ticket has counted that.
        self.reply.send(answer).ok();
    }
}

impl Ticket {
    /// Waits for the words, at most `limit`.
    ///
    /// # Errors
    /// [`Fault::Deadline`] after `limit`, else what the worker says.
    pub async fn wait(mut self, limit: Duration) -> Result<Transcript, Fault> {
        let answer = tokio::time::timeout(limit, &mut self.answer).await;
        match answer {
            Err(_elapsed) => Err(Fault::Deadline { limit }),
            Ok(answer) => {
                self.answered = true;
                answer.unwrap_or(Err(Fault::Internal))
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        self.cancel.cancel();
        let mut state = self.queue.lock();
        state.waiting.retain(|job| job.id != self.id);
        state.totals.cancelled += 1;
        drop(state);
        self.queue.shared.metrics.cancelled();
    }
}

#[cfg(test)]
mod tests;
