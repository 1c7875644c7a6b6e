//! The one shape of audio that the model hears.

use std::time::Duration;

/// Whisper's sample rate.
pub const SAMPLE_RATE_HZ: u32 = 16_000;

/// Mono samples at 16 kHz, finite, each within −1.0..=1.0. Never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Waveform(Vec<f32>);

impl Waveform {
    /// Takes samples over, clamping what is beyond ±1 and turning what is not a number into
    /// silence. `None` when there is no sample.
    pub fn new(mut samples: Vec<f32>) -> Option<Self> {
        for sample in &mut samples {
            *sample = in_range(*sample);
        }
        (!samples.is_empty()).then_some(Self(samples))
    }

    /// The samples.
    pub fn samples(&self) -> &[f32] {
        &self.0
    }

    /// Length in time: one sample lasts 62.5 µs.
    pub fn duration(&self) -> Duration {
        duration_of(self.0.len())
    }
}

/// A sample that any later arithmetic can stand: finite and within ±1.
pub(crate) fn in_range(sample: f32) -> f32 {
    if sample.is_nan() {
        0.0
    } else {
        sample.clamp(-1.0, 1.0)
    }
}

/// How long so many samples last.
pub fn duration_of(samples: usize) -> Duration {
    Duration::from_nanos(samples as u64 * 62_500)
}

/// How many samples fit into a time, rounded down.
pub(crate) fn samples_in(duration: Duration) -> usize {
    usize::try_from(duration.as_nanos() / 62_500).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_made_finite_and_within_one() {
        let waveform = Waveform::new(vec![f32::NAN, f32::INFINITY, -7.0, 0.5]).unwrap();
        assert_eq!(waveform.samples(), [0.0, 1.0, -1.0, 0.5]);
        assert_eq!(waveform.duration(), Duration::from_micros(250));
    }

    #[test]
    fn no_samples_are_no_waveform() {
        assert_eq!(Waveform::new(Vec::new()), None);
    }
}
