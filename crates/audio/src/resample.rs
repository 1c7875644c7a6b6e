//! Any rate to 16 kHz, as the samples come, with a low-pass below the new Nyquist frequency.

use audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};

use crate::SAMPLE_RATE_HZ;

/// Frames that the FFT takes at once, at least; more gives a steeper filter and a later output.
const BLOCK_FRAMES: usize = 1_024;
/// The longest block that a rate may need because it has no good common divisor with 16 kHz.
const MAX_RATIO_TERM: usize = 4_096;
/// Terms of the ratio that stands for such a rate: its error is under 0.1 %.
const AWKWARD_RATIO_TERM: usize = 16_384;

/// A stream of mono samples at one rate, turned into the same sound at 16 kHz.
///
/// `n` samples in give `round(n × 16000 / rate)` samples out, without the filter's delay.
pub struct Resampler {
    rate_hz: u32,
    /// `None` at 16 kHz: the samples pass.
    fft: Option<Box<Block>>,
    samples_in: u64,
    samples_out: u64,
}

/// The FFT resampler and the input that does not fill a block yet.
struct Block {
    fft: Fft<f32>,
    input: Vec<f32>,
    output: Vec<f32>,
    /// Output that is still delay.
    skip: usize,
}

impl std::fmt::Debug for Resampler {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Resampler")
            .field("rate_hz", &self.rate_hz)
            .field("samples_in", &self.samples_in)
            .field("samples_out", &self.samples_out)
            .finish_non_exhaustive()
    }
}

impl Resampler {
    /// A resampler from `rate_hz`, which must not be 0, to 16 kHz.
    pub fn new(rate_hz: u32) -> Self {
        let fft = (rate_hz != SAMPLE_RATE_HZ)
            .then(|| Block::new(rate_hz))
            .flatten()
            .map(Box::new);
        Self {
            rate_hz,
            fft,
            samples_in: 0,
            samples_out: 0,
        }
    }

    /// Takes one sample; hands on what is ready.
    pub fn push(&mut self, sample: f32, out: &mut Vec<f32>) {
        self.samples_in += 1;
        let Some(block) = &mut self.fft else {
            self.samples_out += 1;
            out.push(sample);
            return;
        };
        block.input.push(sample);
        if block.input.len() == block.fft.input_frames_next() {
            self.samples_out += block.process(u64::MAX, out);
        }
    }

    /// The end of the stream: hands on what the filter still held.
    pub fn finish(mut self, out: &mut Vec<f32>) {
        let owed = self.owed();
        let Some(block) = &mut self.fft else { return };
        while self.samples_out < owed {
            block.input.resize(block.fft.input_frames_next(), 0.0);
            self.samples_out += block.process(owed - self.samples_out, out);
        }
    }

    /// Output for the input so far, rounded to the nearest sample.
    fn owed(&self) -> u64 {
        let rate = u64::from(self.rate_hz);
        (self.samples_in * u64::from(SAMPLE_RATE_HZ) + rate / 2) / rate
    }
}

impl Block {
    fn new(rate_hz: u32) -> Option<Self> {
        let (from, to) = ratio(rate_hz);
        // An even block, since the filter's delay is half of it: half of an odd one would shift
        // the output by a fraction of a sample.
        let even = 2 * from;
        let fft = Fft::new_custom(
            from,
            to,
            even * BLOCK_FRAMES.div_ceil(even),
            1,
            1,
            WindowFunction::BlackmanHarris2,
            FixedSync::Both,
        )
        .ok()?;
        Some(Self {
            input: Vec::with_capacity(fft.input_frames_max()),
            output: vec![0.0; fft.output_frames_max()],
            skip: fft.output_delay(),
            fft,
        })
    }

    /// Resamples one full block and appends at most `limit` samples; returns how many.
    fn process(&mut self, limit: u64, out: &mut Vec<f32>) -> u64 {
        let frames_in = self.input.len();
        let frames_out = self.output.len();
        let written = match (
            InterleavedSlice::new(&self.input[..], 1, frames_in),
            InterleavedSlice::new_mut(&mut self.output[..], 1, frames_out),
        ) {
            (Ok(input), Ok(mut output)) => self
                .fft
                .process_into_buffer(&input, &mut output, None)
                .map_or(0, |(_read, written)| written),
            _ => 0,
        };
        self.input.clear();
        let skipped = self.skip.min(written);
        self.skip -= skipped;
        let fresh = &self.output[skipped..written];
        let kept = usize::try_from(limit)
            .unwrap_or(usize::MAX)
            .min(fresh.len());
        out.extend_from_slice(&fresh[..kept]);
        kept as u64
    }
}

/// Input and output rate in smallest terms. A rate such as 44,101 Hz would need a block of as many
/// frames; it is taken for the nearest ratio with smaller terms.
fn ratio(rate_hz: u32) -> (usize, usize) {
    let divisor = greatest_common_divisor(rate_hz, SAMPLE_RATE_HZ);
    let (from, to) = (
        (rate_hz / divisor) as usize,
        (SAMPLE_RATE_HZ / divisor) as usize,
    );
    if from.max(to) <= MAX_RATIO_TERM {
        return (from, to);
    }
    let nearest = |a: usize, b: usize| (AWKWARD_RATIO_TERM * a + b / 2) / b;
    if from > to {
        (AWKWARD_RATIO_TERM, nearest(to, from))
    } else {
        (nearest(from, to), AWKWARD_RATIO_TERM)
    }
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn resampled(rate_hz: u32, samples: &[f32]) -> Vec<f32> {
        let mut out = Vec::new();
        let mut resampler = Resampler::new(rate_hz);
        for &sample in samples {
            resampler.push(sample, &mut out);
        }
        resampler.finish(&mut out);
        out
    }

    #[expect(clippy::cast_possible_truncation, reason = "test signal")]
    fn tone(rate_hz: u32, tone_hz: f64, seconds: f64) -> Vec<f32> {
        let count = (f64::from(rate_hz) * seconds) as usize;
        (0..count)
            .map(|n| (TAU * tone_hz * n as f64 / f64::from(rate_hz)).sin() as f32 * 0.5)
            .collect()
    }

    /// Root mean square of the middle half, where the edges do not ring.
    fn level(samples: &[f32]) -> f64 {
        let middle = &samples[samples.len() / 4..samples.len() * 3 / 4];
        let sum: f64 = middle.iter().map(|&s| f64::from(s).powi(2)).sum();
        (sum / middle.len() as f64).sqrt()
    }

    #[test]
    fn length_is_the_rounded_ratio() {
        for (rate, count, expected) in [
            (48_000, 48_000, 16_000),
            (44_100, 44_100, 16_000),
            (8_000, 1, 2),
            (48_000, 1, 0),
            (24_000, 100, 67),
            (44_101, 44_101, 16_000),
            (16_000, 12_345, 12_345),
        ] {
            assert_eq!(
                resampled(rate, &vec![0.1; count]).len(),
                expected,
                "{rate} Hz"
            );
        }
    }

    #[test]
    fn a_tone_keeps_its_level_and_its_place() {
        for rate in [8_000, 11_025, 22_050, 44_100, 48_000, 44_101] {
            let out = resampled(rate, &tone(rate, 1_000.0, 1.0));
            let expected = tone(SAMPLE_RATE_HZ, 1_000.0, 1.0);
            let decibels = 20.0 * (level(&out) / level(&expected)).log10();
            assert!(decibels.abs() < 0.1, "{rate} Hz: {decibels} dB");
            let error: Vec<f32> = out.iter().zip(&expected).map(|(a, b)| a - b).collect();
            let noise = 20.0 * (level(&error) / level(&expected)).log10();
            // The approximated ratio of an awkward rate drifts; the others are exact.
            let ceiling = if rate == 44_101 { -10.0 } else { -80.0 };
            assert!(noise < ceiling, "{rate} Hz: error at {noise} dB");
        }
    }

    #[test]
    fn what_is_above_the_new_nyquist_frequency_is_gone() {
        for (rate, tone_hz) in [(48_000, 12_000.0), (44_100, 9_500.0), (96_000, 30_000.0)] {
            let out = resampled(rate, &tone(rate, tone_hz, 1.0));
            let decibels = 20.0 * (level(&out) / level(&tone(rate, tone_hz, 1.0))).log10();
            assert!(decibels < -60.0, "{rate} Hz: {decibels} dB");
        }
    }
}
