//! When utterances come.

use std::time::Duration;

/// A rate that changes at given times.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// From when on, in seconds, and how many utterances a second.
    steps: Vec<(f64, f64)>,
    length_s: f64,
    /// Chance, if arrivals are not evenly spaced.
    seed: Option<u64>,
}

impl Load {
    /// `steps`: from when on (s), utterances a second; the first from 0. Evenly spaced without a `seed`, as by
    /// independent speakers (Poisson) with one.
    pub fn new(steps: Vec<(f64, f64)>, length: Duration, seed: Option<u64>) -> Self {
        Self {
            steps,
            length_s: length.as_secs_f64(),
            seed,
        }
    }

    /// How long it lasts.
    pub fn length(&self) -> Duration {
        Duration::from_secs_f64(self.length_s)
    }

    /// Utterances a second at `at`.
    pub fn rate(&self, at: Duration) -> f64 {
        let at = at.as_secs_f64();
        let step = self.steps.iter().rev().find(|(from, _)| *from <= at);
        step.map_or(0.0, |(_, rate)| *rate)
    }

    /// When each utterance comes, in order.
    pub fn arrivals(&self) -> Vec<Duration> {
        let mut random = self.seed.map(Random);
        let mut gap = move || random.as_mut().map_or(1.0, Random::exponential);
        let mut arrivals = Vec::new();
        // Integrate the rate until the next whole (or drawn) amount of it has gone by.
        let (mut now, mut missing) = (0.0, gap());
        for (index, (from, rate)) in self.steps.iter().enumerate() {
            let until = self
                .steps
                .get(index + 1)
                .map_or(self.length_s, |(next, _)| *next);
            now = f64::max(now, *from);
            while *rate > 0.0 && now + missing / rate <= until {
                now += missing / rate;
                arrivals.push(Duration::from_secs_f64(now));
                missing = gap();
            }
            missing -= (until - now).max(0.0) * rate;
            now = until;
        }
        arrivals
    }
}

const HALF_HOUR: Duration = Duration::from_secs(1800);

/// A few utterances, then more than one replica can ever carry.
pub(super) fn step() -> Load {
    Load::new(vec![(0.0, 0.3), (300.0, 2.0)], HALF_HOUR, None)
}

/// Up and down, faster than a replica starts.
pub(super) fn saw() -> Load {
    let steps = (0..12).map(|tooth| {
        (
            f64::from(tooth) * 150.0,
            if tooth % 2 == 0 { 0.3 } else { 1.8 },
        )
    });
    Load::new(steps.collect(), HALF_HOUR, None)
}

/// Over before a replica is up.
pub(super) fn spike() -> Load {
    Load::new(
        vec![(0.0, 0.3), (300.0, 3.3), (345.0, 0.3)],
        HALF_HOUR,
        None,
    )
}

/// Like an evening in a house with many flats: people come home, cook, watch television, go to bed; by chance
/// within each quarter of an hour. Made up, not recorded.
pub(super) fn evening() -> Load {
    let rates = [
        0.1, 0.2, 0.4, 0.7, 1.1, 1.6, 1.9, 1.7, 2.1, 1.4, 1.0, 0.8, 0.9, 1.2, 0.7, 0.4, 0.2, 0.1,
        0.05, 0.05,
    ];
    let steps = rates
        .iter()
        .enumerate()
        .map(|(index, rate)| (index as f64 * 900.0, *rate));
    Load::new(steps.collect(), Duration::from_secs(18_000), Some(7))
}

/// A small generator (xorshift64*): the same seed gives the same run on every machine.
#[derive(Debug)]
struct Random(u64);

impl Random {
    /// Mean 1.
    fn exponential(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        // In (0, 1], so that the logarithm is finite.
        let uniform = (bits as f64 + 1.0) / (1_u64 << 53) as f64;
        -uniform.ln()
    }
}
