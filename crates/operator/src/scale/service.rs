//! How many utterances a replica finishes in a second when it works with all its slots.
//!
//! The time of a batch grows with its size by a part: `a + b n` for `n` utterances. An idle fleet works on one at
//! a time, and what it does then says little about what it can do; so both numbers are fitted to what ran together.

use std::collections::BTreeMap;

/// Utterances after which half of what a size has shown is new.
const HALF_LIFE: f64 = 200.0;
/// Utterances that must have been finished before a rate is believed.
const BELIEVED: f64 = 20.0;
/// What each further utterance is taken to add to a batch's time until that was seen.
const PRIOR_COST: f64 = 0.5;
/// Utterances that outweigh that.
const PRIOR_WEIGHT: f64 = 20.0;

/// What batches of each size have shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Service {
    sizes: BTreeMap<u32, Seen>,
    served: f64,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    served: f64,
    busy_s: f64,
}

/// Time of one utterance within a batch: `a / n + b`, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fit {
    a: f64,
    b: f64,
}

impl Fit {
    /// Of one utterance when `together` run together.
    pub(super) fn seconds(self, together: u32) -> f64 {
        self.a / f64::from(together.max(1)) + self.b
    }
}

impl Service {
    /// Adds `served` utterances in `busy_s` seconds of work on `together` at a time.
    pub(super) fn add(&mut self, together: u32, served: f64, busy_s: f64) {
        let seen = self.sizes.entry(together.max(1)).or_default();
        let kept = 0.5_f64.powf(served / HALF_LIFE);
        seen.served = seen.served * kept + served;
        seen.busy_s = seen.busy_s * kept + busy_s.max(0.0);
        self.served += served;
    }

    /// Utterances a second of a replica that works on `slots` at a time; none until 20 were finished.
    pub(super) fn rate(&self, slots: u32) -> Option<f64> {
        let seconds = self.fit(slots)?.seconds(slots);
        (seconds > 0.0).then(|| seconds.recip())
    }

    /// The line through what was seen.
    pub(super) fn fit(&self, slots: u32) -> Option<Fit> {
        let served: f64 = self.sizes.values().map(|seen| seen.served).sum();
        if self.served < BELIEVED || served <= 0.0 {
            return None;
        }
        let relative = |together: u32| (1.0 - PRIOR_COST) / f64::from(together) + PRIOR_COST;
        let busy_s: f64 = self.sizes.values().map(|seen| seen.busy_s).sum();
        let expected: f64 = self
            .sizes
            .iter()
            .map(|(together, seen)| seen.served * relative(*together))
            .sum();
        let alone = busy_s / expected;
        if slots <= 1 {
            return Some(Fit {
                a: 0.0,
                b: busy_s / served,
            });
        }
        let seen = self
            .sizes
            .iter()
            .filter(|(_, seen)| seen.served > 0.0)
            .map(|(together, seen)| (*together, seen.busy_s / seen.served, seen.served));
        let prior = [1, slots].map(|together| (together, alone * relative(together), PRIOR_WEIGHT));
        Some(line(seen.chain(prior)))
    }
}

/// Weighted least squares of `seconds = a / together + b`, neither below 0.
fn line(points: impl Iterator<Item = (u32, f64, f64)>) -> Fit {
    let (mut w, mut x, mut y, mut xx, mut xy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (together, seconds, weight) in points {
        let inverse = f64::from(together).recip();
        w += weight;
        x += weight * inverse;
        y += weight * seconds;
        xx += weight * inverse * inverse;
        xy += weight * inverse * seconds;
    }
    let spread = w * xx - x * x;
    let a = if spread > 1e-9 {
        (w * xy - x * y) / spread
    } else {
        0.0
    };
    // A larger batch that seemed faster for each of its utterances than none at all is chance.
    let a = a.clamp(0.0, y / x);
    Fit {
        a,
        b: (y - a * x) / w,
    }
}
