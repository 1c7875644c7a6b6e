//! What numbers may be. Larger ones are memory and times that no machine has, and 0 is nothing at all.

use std::ops::RangeInclusive;

use clap::builder::RangedU64ValueParser;

/// Some thirty years: for those who mean "never", and still a time from now that a clock can show.
const MOST_SECONDS: u64 = 1_000_000_000;
/// Far more than the system gives open files for.
pub(super) const MOST_CONNECTIONS: u64 = 1_000_000;
/// Each is memory that is made at the start, or a thread.
pub(super) const MOST_AT_ONCE: u64 = 1_024;
/// A tebibyte; more is not in any machine.
pub(super) const MOST_MEBIBYTES: u64 = 1 << 20;
/// More do not make the words better.
pub(super) const MOST_BEAMS: u64 = 64;

/// A shorter pause is found between any two words.
pub(super) const SHORTEST_PAUSE_S: f64 = 0.1;
/// By then every client has ended the audio.
pub(super) const LONGEST_PAUSE_S: f64 = 10.0;

/// A number of things.
pub(super) fn count(range: RangeInclusive<u64>) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(range)
}

/// Seconds, this many at least.
pub(super) fn seconds<T>(least: u64) -> RangedU64ValueParser<T>
where
    T: TryFrom<u64>,
{
    RangedU64ValueParser::new().range(least..=MOST_SECONDS)
}

/// A share or a probability.
pub(super) fn share(text: &str) -> Result<f32, String> {
    let share = text
        .parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "not a number from 0 to 1".to_owned())
}
