//! How long to wait before a Home Assistant is asked again.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

/// Before the second try; doubled each time.
const FIRST: Duration = Duration::from_secs(1);
/// A Home Assistant that comes back is noticed within this time.
const LONGEST: Duration = Duration::from_secs(60);
/// After a token was refused. Home Assistant shows each failure to its owner, and may ban an address after some.
const REFUSED: Duration = Duration::from_mins(30);

/// Growing pauses, spread so that the replicas of a deployment do not come together.
#[derive(Debug)]
pub(super) struct Pauses {
    failures: u32,
    random: RandomState,
}

impl Pauses {
    pub(super) fn new() -> Self {
        Self {
            failures: 0,
            random: RandomState::new(),
        }
    }

    /// Begins with short ones again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The pause after one more failure.
    pub(super) fn next(&mut self) -> Duration {
        self.failures += 1;
        let doubled = FIRST.saturating_mul(2_u32.saturating_pow(self.failures - 1));
        self.spread(doubled.min(LONGEST))
    }

    /// The pause after a token was refused.
    pub(super) fn after_refusal(&mut self) -> Duration {
        self.failures = 0;
        self.spread(REFUSED)
    }

    /// Between half and all of it.
    fn spread(&mut self, pause: Duration) -> Duration {
        // Each has its own random keys.
        self.random = RandomState::new();
        let part = self.random.hash_one(()) as f64 / u64::MAX as f64;
        pause.mul_f64(0.5 + part / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_minute_and_begin_anew() {
        let mut pauses = Pauses::new();
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            let longest = Duration::from_secs(seconds);
            let pause = pauses.next();
            assert!(
                pause >= longest / 2 && pause <= longest,
                "{pause:?} of {longest:?}"
            );
        }
        pauses.failures = u32::MAX - 1;
        assert!(pauses.next() <= LONGEST);
        pauses.reset();
        assert!(pauses.next() <= FIRST);
        assert!(pauses.after_refusal() >= REFUSED / 2);
    }

    #[test]
    fn replicas_do_not_come_together() {
        let pauses: Vec<Duration> = (0..8).map(|_| Pauses::new().next()).collect();
        assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{pauses:?}");
    }
}
