//! When utterances come, and how long they are.

use std::time::Duration;

use super::chance::Random;

/// Speech of a short command.
const COMMAND: Duration = Duration::from_secs(2);

/// One utterance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrival {
    /// When its client connects, which is when speech begins.
    pub at: Duration,
    /// How long the speech is.
    pub length: Duration,
}

/// Utterances over time: a rate that changes at given times, or what was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// From when on, in seconds, and how many utterances a second.
    steps: Vec<(f64, f64)>,
    length_s: f64,
    /// Chance, if arrivals are not evenly spaced.
    seed: Option<u64>,
    recorded: Option<Vec<Arrival>>,
}

/// Why a recorded load cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A line is not two numbers.
    #[error(
        "line {line} is not ARRIVAL,LENGTH in seconds, both 0 or more and at most a year: {text:?}"
    )]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// What it says.
        text: String,
    },
    /// There is no utterance in it.
    #[error("no line has an utterance: write ARRIVAL,LENGTH in seconds, one utterance a line")]
    Empty,
}

/// Longest recorded load in seconds: a year.
const LONGEST_S: f64 = 366.0 * 86_400.0;
/// What a simulation goes on after the last recorded arrival.
const AFTER_S: f64 = 60.0;

impl Load {
    /// `steps`: from when on (s), utterances a second; the first from 0. Evenly spaced without a `seed`, as by
    /// independent speakers (Poisson) with one.
    pub fn new(steps: Vec<(f64, f64)>, length: Duration, seed: Option<u64>) -> Self {
        Self {
            steps,
            length_s: length.as_secs_f64(),
            seed,
            recorded: None,
        }
    }

    /// What was recorded, as CSV: arrival and length in seconds, one utterance a line; a first line of words is a
    /// heading.
    ///
    /// # Errors
    /// [`LoadError`] for a line that is something else.
    pub fn recorded(csv: &str) -> Result<Self, LoadError> {
        let mut arrivals = Vec::new();
        for (index, text) in csv.lines().enumerate() {
            let is_heading = index == 0 && text.starts_with(|it: char| it.is_ascii_alphabetic());
            if text.trim().is_empty() || is_heading {
                continue;
            }
            let arrival = arrival(text).ok_or_else(|| LoadError::Line {
                line: index + 1,
                text: text.chars().take(80).collect(),
            })?;
            arrivals.push(arrival);
        }
        arrivals.sort_by_key(|arrival| arrival.at);
        let last = arrivals.last().ok_or(LoadError::Empty)?;
        let length_s = (last.at + last.length).as_secs_f64() + AFTER_S;
        let rate = arrivals.len() as f64 / length_s;
        Ok(Self {
            steps: vec![(0.0, rate)],
            length_s,
            seed: None,
            recorded: Some(arrivals),
        })
    }

    /// How long it lasts.
    pub fn length(&self) -> Duration {
        Duration::from_secs_f64(self.length_s)
    }

    /// Utterances a second at `at`; of a recorded load the average.
    pub fn rate(&self, at: Duration) -> f64 {
        let at = at.as_secs_f64();
        let step = self.steps.iter().rev().find(|(from, _)| *from <= at);
        step.map_or(0.0, |(_, rate)| *rate)
    }

    /// Each utterance, in order of arrival.
    pub fn arrivals(&self) -> Vec<Arrival> {
        if let Some(recorded) = &self.recorded {
            return recorded.clone();
        }
        let mut random = self.seed.map(Random::new);
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
                arrivals.push(Arrival {
                    at: Duration::from_secs_f64(now),
                    length: COMMAND,
                });
                missing = gap();
            }
            missing -= (until - now).max(0.0) * rate;
            now = until;
        }
        arrivals
    }
}

fn arrival(line: &str) -> Option<Arrival> {
    let seconds = |text: &str| {
        let seconds: f64 = text.trim().parse().ok()?;
        (0.0..=LONGEST_S)
            .contains(&seconds)
            .then(|| Duration::from_secs_f64(seconds))
    };
    let (at, length) = line.split_once(',')?;
    Some(Arrival {
        at: seconds(at)?,
        length: seconds(length)?,
    })
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

/// `rate` utterances a second by chance.
pub(super) fn steady(rate: f64, length_s: u64, seed: u64) -> Load {
    Load::new(vec![(0.0, rate)], Duration::from_secs(length_s), Some(seed))
}

/// `before` a second, then `count` at once at `at_s`, then `after` a second.
pub(super) fn at_once(before: f64, count: u32, at_s: f64, after: f64, length_s: u64) -> Load {
    let moment = 0.1;
    let steps = vec![
        (0.0, before),
        (at_s, f64::from(count) / moment),
        (at_s + moment, after),
    ];
    Load::new(steps, Duration::from_secs(length_s), None)
}
