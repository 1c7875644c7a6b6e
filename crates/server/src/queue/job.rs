//! One entry of the queue: its work, and the claim on its words.

use std::time::Duration;

use tokio::sync::oneshot;
use whisper::{Cancel, Input, Transcript};

use super::policy::Waiting;
use crate::fault::Fault;

/// What the device makes of a job.
pub(super) type Outcome = Result<Transcript, Fault>;

/// What a client gets: words or a fault.
pub(super) type Answer = Result<Answered, Fault>;

/// Words, and where the time went for which the client waited.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answered {
    /// The words.
    pub transcript: Transcript,
    /// From the claim until the device began, if it had not begun before.
    pub waited: Duration,
    /// From then until the words were there, if they were not there before.
    pub took: Duration,
    /// The words were there so long before the claim.
    pub early: Duration,
}

/// Where an answer goes; a [`Ticket`](super::Ticket) holds the other end.
pub(super) type Reply = oneshot::Sender<Answer>;

/// Audio that is or may be transcribed. A job without a claim is a speculation.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) work: Work,
    pub(super) claim: Claim,
    /// It entered without a claim.
    pub(super) ahead: bool,
    /// Its words were of use, though they were not claimed.
    pub(super) told: bool,
    pub(super) audio: Duration,
    samples: usize,
    /// Shared with the device, and with the handle outside the queue.
    cancel: Cancel,
}

/// How far the work is. Times are since the queue was made.
#[derive(Debug)]
pub(super) enum Work {
    /// Not begun.
    Waiting(Box<Input>),
    /// On the device, since then.
    Running(Duration),
    /// Transcribed before its words were claimed.
    Done {
        /// The words.
        transcript: Transcript,
        /// How long the device took.
        took: Duration,
        /// When they were there.
        at: Duration,
    },
}

/// Whether a client waits for the words.
#[derive(Debug)]
pub(super) enum Claim {
    /// No client does yet.
    None,
    /// A client does.
    Held {
        /// For the answer.
        reply: Reply,
        /// When it claimed them.
        since: Duration,
    },
    /// A client did, and was answered or went away; the device has not let go of the job yet.
    Released,
}

impl Job {
    pub(super) fn new(input: Input, ahead: bool) -> Self {
        Self {
            claim: Claim::None,
            ahead,
            told: false,
            audio: input.waveform.duration(),
            samples: input.waveform.samples().len(),
            cancel: input.cancel.clone(),
            work: Work::Waiting(Box::new(input)),
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.work, Work::Waiting(_))
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.work, Work::Running(_))
    }

    /// Whether a client waits for its words.
    pub(super) fn is_held(&self) -> bool {
        matches!(self.claim, Claim::Held { .. })
    }

    /// Whether a client waits for its words, or did.
    pub(super) fn was_claimed(&self) -> bool {
        !matches!(self.claim, Claim::None)
    }

    /// Whether it will give no words.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// The device stops at its next step, and the handle sees that no words will come.
    pub(super) fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Its words, which were there `now` when the device had worked on it since `began`.
    pub(super) fn answered(
        &self,
        transcript: Transcript,
        began: Duration,
        now: Duration,
    ) -> Answered {
        let claimed = match self.claim {
            Claim::Held { since, .. } => since,
            Claim::None | Claim::Released => now,
        };
        Answered {
            transcript,
            waited: began.saturating_sub(claimed),
            took: now.saturating_sub(began.max(claimed)),
            early: Duration::ZERO,
        }
    }

    /// As the policy sees it.
    pub(super) fn seen(&self) -> Waiting {
        Waiting {
            samples: self.samples,
            is_claimed: self.was_claimed(),
        }
    }
}
