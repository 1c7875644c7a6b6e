//! A claim on words, outside the queue.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Queue;
use super::job::{Answer, Answered};
use super::jobs::Release;
use crate::fault::Fault;

/// A place in the queue. Dropping it gives the place up: the job leaves the queue, or the decoder
/// stops at its next step.
#[derive(Debug)]
pub struct Ticket {
    id: u64,
    queue: Queue,
    since: Instant,
    /// The job holds the other end.
    answer: oneshot::Receiver<Answer>,
    /// The answer was taken, or the claim given up.
    settled: bool,
}

impl Ticket {
    /// On the job with this number, claimed `since`.
    pub(super) fn new(
        id: u64,
        queue: Queue,
        since: Instant,
        answer: oneshot::Receiver<Answer>,
    ) -> Self {
        Self {
            id,
            queue,
            since,
            answer,
            settled: false,
        }
    }

    /// When the job was claimed.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Waits for the words until `limit` after the job was claimed. Late words are still words: if they
    /// are there when this is polled at last, they are returned.
    ///
    /// # Errors
    /// [`Fault::Deadline`] after `limit`, else what the worker says.
    ///
    /// # Cancel safety
    /// Dropping the future gives the place up, as dropping the ticket does.
    pub async fn wait(mut self, limit: Duration) -> Result<Answered, Fault> {
        let answer = match tokio::time::timeout_at(self.since + limit, &mut self.answer).await {
            Ok(answer) => answer,
            Err(_elapsed) if self.release(Release::Late) => {
                return Err(Fault::Deadline { limit });
            }
            // It was answered just now: sent, or about to be.
            Err(_elapsed) => (&mut self.answer).await,
        };
        self.settled = true;
        answer.unwrap_or(Err(Fault::Internal))
    }

    /// Gives the claim up; `false` if it was answered before.
    fn release(&mut self, release: Release) -> bool {
        self.settled = self.queue.release(self.id, release);
        self.settled
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.settled {
            // An answer that came meanwhile is not read, but was counted as one.
            self.release(Release::Gone);
        }
    }
}
