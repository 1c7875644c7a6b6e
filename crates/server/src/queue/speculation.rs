//! Transcription that begins at a pause, before the audio has ended: in nobody's way until it is
//! adopted, and an utterance like any other from then on.
//!
//! There is one place for it in the server. It is given while nothing waits and nothing runs, and the
//! next utterance that is submitted takes it away: the decoder stops at its next step. It counts
//! neither as waiting nor as running, nor as busy, and what is done in vain is bounded by an allowance.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use whisper::{Cancel, Input, Transcript};

use super::{Queue, Reply, State, Ticket};
use crate::fault::Fault;

/// The speculation that the device has, or will have next.
#[derive(Debug)]
pub(super) struct Slot {
    id: u64,
    cancel: Cancel,
    audio: Duration,
    stage: Stage,
    /// The speculation holds the other end.
    done: oneshot::Sender<Done>,
}

#[derive(Debug)]
enum Stage {
    /// Not begun.
    Waiting(Box<Input>),
    /// On the device, since then.
    Running(Instant),
    /// On the device, and an utterance's own by now. The ticket holds the other end.
    Adopted(Reply),
}

/// What the device made of it before anybody wanted it.
#[derive(Debug)]
struct Done {
    answer: Result<Transcript, Fault>,
    took: Duration,
}

/// Words that may be wanted soon. Dropping it gives them up.
#[derive(Debug)]
pub struct Speculation {
    id: u64,
    queue: Queue,
    cancel: Cancel,
    audio: Duration,
    /// The queue's place holds the other end.
    done: oneshot::Receiver<Done>,
    /// It was adopted.
    settled: bool,
}

impl Queue {
    /// Whether a speculation would be taken now; asked before its audio is copied.
    pub fn may_speculate(&self) -> bool {
        self.lock().may_speculate(self.now())
    }

    /// Begins to transcribe what may turn out to be a whole utterance. `None` when the device has
    /// anything better to do, or too much was done in vain.
    pub fn speculate(&self, input: Input) -> Option<Speculation> {
        let mut state = self.lock();
        if !state.may_speculate(self.now()) {
            return None;
        }
        let (tell, done) = oneshot::channel();
        let id = state.take_id();
        let cancel = input.cancel.clone();
        let audio = input.waveform.duration();
        state.speculation = Some(Slot {
            id,
            cancel: cancel.clone(),
            audio,
            stage: Stage::Waiting(Box::new(input)),
            done: tell,
        });
        drop(state);
        self.shared.changed.notify_all();
        self.shared.metrics.speculation_started();
        Some(Speculation {
            id,
            queue: self.clone(),
            cancel,
            audio,
            done,
            settled: false,
        })
    }

    /// The device is done with a speculation.
    pub(super) fn speculation_ended(
        &self,
        id: u64,
        answer: Result<Transcript, Fault>,
        took: Duration,
    ) {
        let metrics = &self.shared.metrics;
        let mut state = self.lock();
        let Some(slot) = state.speculation.take_if(|slot| slot.id == id) else {
            // Abandoned, and answered then.
            metrics.speculation_was_vain(took);
            return;
        };
        if let Stage::Adopted(reply) = slot.stage {
            state.allowance.earn(took, self.now());
            metrics.speculation_was_useful(took);
            if answer.is_ok() {
                metrics.transcribed(slot.audio, took);
            }
            state.ends_running();
            state.answer(reply, answer);
        } else {
            // In vain until it is adopted.
            state.allowance.spend(took, self.now());
            if slot.done.send(Done { answer, took }).is_err() {
                metrics.speculation_was_vain(took);
            }
        }
    }

    /// Since the queue was made.
    fn now(&self) -> Duration {
        self.shared.began.elapsed()
    }
}

impl State {
    fn may_speculate(&self, now: Duration) -> bool {
        let is_free = self.waiting.is_empty() && self.running == 0 && self.speculation.is_none();
        is_free && self.closed.is_none() && self.allowance.is_left(now)
    }

    /// Whether one waits for the device.
    pub(super) fn has_new_speculation(&self) -> bool {
        self.speculation.as_ref().is_some_and(Slot::is_waiting)
    }

    /// Hands the waiting speculation to the device, by its number.
    pub(super) fn begin_speculation(&mut self) -> Option<(u64, Input)> {
        let slot = self.speculation.as_mut()?;
        match std::mem::replace(&mut slot.stage, Stage::Running(Instant::now())) {
            Stage::Waiting(input) => Some((slot.id, *input)),
            begun => {
                slot.stage = begun;
                None
            }
        }
    }

    /// Makes way for somebody who waits for words.
    pub(super) fn displace_speculation(&mut self) {
        let Some(slot) = &self.speculation else {
            return;
        };
        match slot.stage {
            Stage::Waiting(_) => self.speculation = None,
            Stage::Running(_) => slot.cancel.cancel(),
            Stage::Adopted(_) => {}
        }
    }

    /// Nobody may wait for a device that will not answer.
    pub(super) fn abandon_speculation(&mut self, fault: &Fault) {
        let Some(slot) = self.speculation.take() else {
            return;
        };
        slot.cancel.cancel();
        if let Stage::Adopted(reply) = slot.stage {
            self.ends_running();
            self.answer(reply, Err(fault.clone()));
        }
    }
}

impl Slot {
    /// Since when it has been running, if it can still be adopted.
    fn adoptable_since(&self) -> Option<Instant> {
        match self.stage {
            Stage::Running(since) if !self.cancel.is_cancelled() => Some(since),
            _ => None,
        }
    }

    fn is_waiting(&self) -> bool {
        matches!(self.stage, Stage::Waiting(_))
    }
}

impl Speculation {
    /// Whether it can give no words any more: somebody else needed the device.
    pub fn is_displaced(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// The utterance has ended, and this was all of it: takes it into the queue, where its words may
    /// be there already. `None` when it has no words and will have none; the utterance then has to be
    /// submitted.
    pub fn adopt(mut self) -> Option<Ticket> {
        let (reply, answer) = oneshot::channel();
        self.hand_over(reply)?;
        self.settled = true;
        let metrics = &self.queue.shared.metrics;
        metrics.speculation_adopted();
        metrics.batch(1);
        metrics.waited(Duration::ZERO);
        Some(Ticket {
            id: self.id,
            queue: self.queue.clone(),
            cancel: self.cancel.clone(),
            since: Instant::now(),
            answer,
            settled: false,
        })
    }

    fn hand_over(&mut self, reply: Reply) -> Option<()> {
        let queue = &self.queue;
        let metrics = &queue.shared.metrics;
        let mut state = queue.lock();
        if state.closed.is_some() {
            return None;
        }
        match self.done.try_recv() {
            Ok(Done { answer, took }) => {
                let Ok(transcript) = answer else {
                    metrics.speculation_was_vain(took);
                    return None;
                };
                state.allowance.take_back(took, queue.now());
                metrics.speculation_was_useful(took);
                metrics.transcribed(self.audio, took);
                state.totals.accepted += 1;
                state.totals.busy += took;
                state.answer(reply, Ok(transcript));
            }
            Err(_not_done) => {
                let id = self.id;
                let slot = state.speculation.as_mut();
                let slot = slot.filter(|slot| slot.id == id)?;
                let since = slot.adoptable_since()?;
                slot.stage = Stage::Adopted(reply);
                state.totals.accepted += 1;
                // Time that was in nobody's name so far.
                state.totals.busy += since.elapsed();
                state.begin_running(1);
            }
        }
        Some(())
    }
}

impl Drop for Speculation {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        self.cancel.cancel();
        let metrics = &self.queue.shared.metrics;
        metrics.speculation_discarded();
        let mut state = self.queue.lock();
        // From here on nothing is handed over, so no time is counted twice.
        self.done.close();
        if let Ok(done) = self.done.try_recv() {
            metrics.speculation_was_vain(done.took);
        }
        let id = self.id;
        // One that runs keeps its place until the device has let go of it.
        drop(
            state
                .speculation
                .take_if(|slot| slot.id == id && slot.is_waiting()),
        );
    }
}
