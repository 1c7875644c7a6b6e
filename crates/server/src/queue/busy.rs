//! How long the device was busy. Pure. A fleet is sized by it: utterances over busy time is the rate of
//! a replica.

use std::time::Duration;

/// A clock that runs while there is something to do. Times are since any one moment.
#[derive(Debug, Default)]
pub(super) struct Busy {
    total: Duration,
    /// What is counted ends here.
    until: Duration,
}

impl Busy {
    /// The time until `now` has passed, busy or not.
    pub(super) fn pass(&mut self, now: Duration, is_busy: bool) {
        self.total = self.at(now, is_busy);
        self.until = self.until.max(now);
    }

    /// Time of which it turns out that it was busy.
    pub(super) fn add(&mut self, time: Duration) {
        self.total += time;
    }

    /// What is counted at `now`, if the time until then is busy or not.
    pub(super) fn at(&self, now: Duration, is_busy: bool) -> Duration {
        let passed = now.saturating_sub(self.until);
        self.total + if is_busy { passed } else { Duration::ZERO }
    }
}
