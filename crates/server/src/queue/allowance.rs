//! How much of the device's time may be spent on work without use. Pure.
//!
//! What was begun before the audio ended is thrown away when speech goes on. So that a room with a
//! television does not keep a server busy for nothing, vain work lives on an allowance: it is paid
//! from it, useful work earns half of its own time, and a hundredth of all time is free. Where two
//! of three are useful it never ends.

use std::time::Duration;

/// The most that is ever there, and what there is at first.
const FULL_S: f64 = 10.0;
/// What useful work earns.
const EARNED: f64 = 0.5;
/// What time brings: a server whose allowance was used up tries again after a while.
const FREE: f64 = 0.01;

/// Seconds of vain work that are left. Times are since any one moment, and never go back.
#[derive(Debug)]
pub(super) struct Allowance {
    left_s: f64,
    at: Duration,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            left_s: FULL_S,
            at: Duration::ZERO,
        }
    }
}

impl Allowance {
    /// Whether more may be begun. One piece of work may overdraw it, since it is not known how long it
    /// will take.
    pub(super) fn is_left(&self, now: Duration) -> bool {
        self.left_at(now) > 0.0
    }

    /// Work was done that may be of no use.
    pub(super) fn spend(&mut self, took: Duration, now: Duration) {
        self.change(-took.as_secs_f64(), now);
    }

    /// Work that was spent turned out to be useful.
    pub(super) fn take_back(&mut self, took: Duration, now: Duration) {
        self.change(took.as_secs_f64(), now);
        self.earn(took, now);
    }

    /// Work was useful.
    pub(super) fn earn(&mut self, took: Duration, now: Duration) {
        self.change(EARNED * took.as_secs_f64(), now);
    }

    fn change(&mut self, by_s: f64, now: Duration) {
        self.left_s = (self.left_at(now) + by_s).min(FULL_S);
        self.at = now;
    }

    fn left_at(&self, now: Duration) -> f64 {
        let passed = now.saturating_sub(self.at);
        (self.left_s + FREE * passed.as_secs_f64()).min(FULL_S)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn vain_work_uses_it_up_and_time_brings_it_back() {
        let mut allowance = Allowance::default();
        allowance.spend(seconds(9.9), Duration::ZERO);
        assert!(allowance.is_left(Duration::ZERO));
        allowance.spend(seconds(1.1), Duration::ZERO);
        assert!(!allowance.is_left(seconds(99.0)));
        assert!(allowance.is_left(seconds(101.0)));
        // Never more than at first.
        allowance.spend(seconds(10.0), seconds(100_000.0));
        assert!(!allowance.is_left(seconds(100_000.0)));
    }

    #[test]
    fn useful_work_pays_for_half_as_much_in_vain() {
        let mut allowance = Allowance::default();
        allowance.spend(seconds(12.0), Duration::ZERO);
        allowance.earn(seconds(3.0), Duration::ZERO);
        assert!(!allowance.is_left(Duration::ZERO));
        allowance.earn(seconds(2.0), Duration::ZERO);
        assert!(allowance.is_left(Duration::ZERO));
    }

    #[test]
    fn work_that_turns_out_useful_costs_nothing() {
        let mut allowance = Allowance::default();
        allowance.spend(seconds(12.0), Duration::ZERO);
        allowance.take_back(seconds(12.0), Duration::ZERO);
        allowance.spend(seconds(9.9), Duration::ZERO);
        assert!(allowance.is_left(Duration::ZERO));
    }

    proptest! {
        /// Work is begun whenever there is any left, useful or not.
        #[test]
        fn vain_work_stays_below_half_of_the_useful_a_hundredth_of_the_time_and_some_seconds(
            works in proptest::collection::vec((0.0_f64..5.0, any::<bool>(), 0.0_f64..30.0), 0..200),
        ) {
            let mut allowance = Allowance::default();
            let (mut now, mut useful, mut vain) = (0.0, 0.0, 0.0);
            for (took, is_useful, pause) in works {
                now += pause;
                if !allowance.is_left(seconds(now)) {
                    continue;
                }
                now += took;
                allowance.spend(seconds(took), seconds(now));
                if is_useful {
                    allowance.take_back(seconds(took), seconds(now));
                    useful += took;
                } else {
                    vain += took;
                }
                // One piece of work, 5 s here, may overdraw it.
                prop_assert!(vain <= useful / 2.0 + now / 100.0 + 15.0 + 1e-6);
            }
        }
    }
}
