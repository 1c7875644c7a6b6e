//! How much audio all open utterances hold together.
//!
//! Each utterance has its own limit, but a thousand connections below it would still take many
//! gigabytes: a minute of audio with its spectrogram is about 6 MB.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const SAMPLES_A_SECOND: usize = audio::SAMPLE_RATE_HZ as usize;

/// The bound, and what is held below it. In samples at 16 kHz.
#[derive(Debug)]
pub struct AudioBudget {
    limit: usize,
    held: AtomicUsize,
}

/// There is no room left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exceeded;

/// What one utterance holds; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<AudioBudget>,
    held: usize,
}

impl AudioBudget {
    /// A budget for so many seconds.
    pub fn new(seconds: usize) -> Self {
        Self {
            limit: seconds.saturating_mul(SAMPLES_A_SECOND),
            held: AtomicUsize::new(0),
        }
    }

    /// The bound in seconds.
    pub fn limit_s(&self) -> usize {
        self.limit / SAMPLES_A_SECOND
    }
}

impl Share {
    pub(super) fn of(budget: &Arc<AudioBudget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            held: 0,
        }
    }

    /// The utterance holds so many samples now; they never get fewer.
    pub(super) fn grow_to(&mut self, samples: usize) -> Result<(), Exceeded> {
        let more = samples.saturating_sub(self.held);
        // Counted before it is compared, so that two that grow at once cannot both slip in.
        let before = self.budget.held.fetch_add(more, Ordering::Relaxed);
        self.held += more;
        if before + more > self.budget.limit {
            return Err(Exceeded);
        }
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.held, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_makes_room() {
        let budget = Arc::new(AudioBudget::new(1));
        let (mut first, mut second) = (Share::of(&budget), Share::of(&budget));
        assert_eq!(first.grow_to(12_000), Ok(()));
        assert_eq!(first.grow_to(12_000), Ok(()), "it holds them already");
        assert_eq!(second.grow_to(4_000), Ok(()));
        assert_eq!(second.grow_to(4_001), Err(Exceeded));
        drop(second);
        assert_eq!(first.grow_to(16_000), Ok(()));
        drop(first);
        assert_eq!(budget.held.load(Ordering::Relaxed), 0);
    }
}
