//! Transcription that begins at a pause, before the audio has ended: a job without a claim, outside the
//! queue.
//!
//! There is one at a time in the server, while there is nothing else to do, and the next utterance that
//! is submitted displaces it. It counts neither as waiting nor as running, nor as busy, until it is
//! adopted, and work that is wasted is bounded by an allowance.

use tokio::sync::oneshot;
use tokio::time::Instant;
use whisper::Cancel;

use super::{Queue, Ticket};

/// Words that may be wanted soon. Dropping it gives them up.
#[derive(Debug)]
pub struct Speculation {
    id: u64,
    queue: Queue,
    /// Shared with the job.
    cancel: Cancel,
    /// It was adopted.
    settled: bool,
    /// Its words were of use already.
    told: bool,
}

impl Speculation {
    pub(super) fn new(id: u64, queue: Queue, cancel: Cancel) -> Self {
        Self {
            id,
            queue,
            cancel,
            settled: false,
            told: false,
        }
    }

    /// The client was sent words of it: whatever becomes of it, it was of use.
    pub fn was_told(&mut self) {
        self.told = true;
    }

    /// Whether it can give no words any more: another utterance needed the device, the device failed, or
    /// the queue is closed.
    pub fn is_displaced(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// The utterance has ended, and this was all of it: claims its words, which may be there already.
    /// `None` when it has no words and will have none; the utterance then has to be submitted.
    pub fn adopt(mut self) -> Option<Ticket> {
        let (reply, answer) = oneshot::channel();
        let since = Instant::now();
        self.settled = self.queue.claim(self.id, reply);
        let queue = self.queue.clone();
        self.settled
            .then(|| Ticket::new(self.id, queue, since, answer))
    }
}

impl Drop for Speculation {
    fn drop(&mut self) {
        if !self.settled {
            self.queue.discard(self.id, self.told);
        }
    }
}
