//! How much audio all open utterances hold together.
//!
//! Each utterance has its own limit, but a thousand connections below it would still take many
//! gigabytes: a minute of audio with its spectrogram is about 6 MB.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const SAMPLES_A_SECOND: usize = audio::SAMPLE_RATE_HZ as usize;

/// The bound: a permit for each sample at 16 kHz.
#[derive(Debug)]
pub struct AudioBudget {
    limit_s: usize,
    free: Arc<Semaphore>,
}

/// There is no room left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exceeded;

/// What one utterance holds; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<AudioBudget>,
    held: Option<OwnedSemaphorePermit>,
}

impl AudioBudget {
    /// A budget for so many seconds.
    pub fn new(seconds: usize) -> Self {
        let samples = seconds.saturating_mul(SAMPLES_A_SECOND);
        Self {
            limit_s: seconds,
            free: Arc::new(Semaphore::new(samples.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// The bound in seconds.
    pub fn limit_s(&self) -> usize {
        self.limit_s
    }
}

impl Share {
    pub(super) fn of(budget: &Arc<AudioBudget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            held: None,
        }
    }

    /// The utterance holds so many samples now; they never get fewer.
    pub(super) fn grow_to(&mut self, samples: usize) -> Result<(), Exceeded> {
        let held = self
            .held
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        // An utterance grows by a part of a chunk at a time.
        let more = u32::try_from(samples.saturating_sub(held)).map_err(|_| Exceeded)?;
        let free = Arc::clone(&self.budget.free);
        let more = free.try_acquire_many_owned(more).map_err(|_| Exceeded)?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_within_the_bound_together_and_given_back() {
        let budget = Arc::new(AudioBudget::new(3));
        assert_eq!(budget.limit_s(), 3);
        let (mut one, mut other) = (Share::of(&budget), Share::of(&budget));
        assert_eq!(one.grow_to(SAMPLES_A_SECOND), Ok(()));
        assert_eq!(one.grow_to(SAMPLES_A_SECOND / 2), Ok(()));
        assert_eq!(other.grow_to(2 * SAMPLES_A_SECOND), Ok(()));
        assert_eq!(one.grow_to(SAMPLES_A_SECOND + 1), Err(Exceeded));
        // What is refused holds nothing.
        drop(other);
        assert_eq!(one.grow_to(3 * SAMPLES_A_SECOND), Ok(()));
        drop(one);
        assert_eq!(Share::of(&budget).grow_to(3 * SAMPLES_A_SECOND), Ok(()));
    }

    #[test]
    fn a_bound_that_no_machine_reaches_is_taken() {
        let budget = Arc::new(AudioBudget::new(usize::MAX));
        assert_eq!(Share::of(&budget).grow_to(SAMPLES_A_SECOND), Ok(()));
    }
}
