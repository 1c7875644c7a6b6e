//! Any rate to 16 kHz, as the samples come, with a low-pass below the new Nyquist frequency.

use audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};

use crate::SAMPLE_RATE_HZ;

/// Frames that the FFT takes at once, about: more gives a steeper filter, a later output, and more
/// memory for each open stream (70 kB at 44.1 kHz).
const BLOCK_FRAMES: usize = 1_024;
/// Largest term of the ratio between a rate and 16 kHz. All usual rates stay within it (11,025 Hz
/// has 441:640) and are exact. Another takes the nearest such ratio, so that its blocks stay small:
/// 44,101 Hz is then off by 4 in a million, and no rate by more than 1 in 1,900.
const MAX_RATIO_TERM: u64 = 1_024;

/// A stream of mono samples at one rate, turned into the same sound at 16 kHz.
///
/// `n` samples in give `round(n × 16000 / rate)` samples out, without the filter's delay: a sound
/// is at the same time in both.
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

    /// Samples that are still to come for what was pushed.
    pub(crate) fn held(&self) -> usize {
        usize::try_from(self.owed().saturating_sub(self.samples_out)).unwrap_or(usize::MAX)
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
            even * (BLOCK_FRAMES / even).max(1),
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

/// Input and output rate in smallest terms, or the nearest ratio with terms within
/// [`MAX_RATIO_TERM`]: the last convergent of the continued fraction, or between two of them.
fn ratio(rate_hz: u32) -> (usize, usize) {
    let (mut from, mut to) = (u64::from(rate_hz), u64::from(SAMPLE_RATE_HZ));
    let (mut before, mut best) = ((0, 1), (1, 0));
    while to != 0 {
        let whole = from / to;
        let taken = whole
            .min(room(before.0, best.0))
            .min(room(before.1, best.1));
        let is_ratio = best.0 != 0 && best.1 != 0;
        // With up to half of a term, what lies between is no nearer than the convergent before it.
        if is_ratio && 2 * taken <= whole && taken < whole {
            break;
        }
        (before, best) = (best, (taken * best.0 + before.0, taken * best.1 + before.1));
        if taken < whole {
            break;
        }
        (from, to) = (to, from % to);
    }
    let term = |term: u64| usize::try_from(term).unwrap_or(1);
    (term(best.0), term(best.1))
}

/// How many times `step` fits between `start` and [`MAX_RATIO_TERM`].
fn room(start: u64, step: u64) -> u64 {
    MAX_RATIO_TERM
        .saturating_sub(start)
        .checked_div(step)
        .unwrap_or(u64::MAX)
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

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "test signal"
    )]
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
            let ceiling = if rate == 44_101 { -35.0 } else { -80.0 };
            assert!(noise < ceiling, "{rate} Hz: error at {noise} dB");
        }
    }

    #[test]
    fn what_whisper_hears_of_speech_passes() {
        for (rate, tone_hz) in [(48_000, 7_000.0), (44_100, 7_000.0), (8_000, 3_500.0)] {
            let out = resampled(rate, &tone(rate, tone_hz, 1.0));
            let expected = tone(SAMPLE_RATE_HZ, tone_hz, 1.0);
            let decibels = 20.0 * (level(&out) / level(&expected)).log10();
            assert!(decibels.abs() < 0.1, "{rate} Hz: {decibels} dB");
        }
    }

    #[test]
    fn usual_rates_are_exact_and_every_rate_is_close() {
        for (rate, expected) in [
            (8_000, (1, 2)),
            (11_025, (441, 640)),
            (44_100, (441, 160)),
            (48_000, (3, 1)),
            (384_000, (24, 1)),
        ] {
            assert_eq!(ratio(rate), expected, "{rate} Hz");
        }
        for rate in 1_000..=384_000 {
            let (from, to) = ratio(rate);
            assert!((1..=1_024).contains(&from) && (1..=1_024).contains(&to));
            let exact = f64::from(rate) / f64::from(SAMPLE_RATE_HZ);
            let error = (from as f64 / to as f64 / exact - 1.0).abs();
            assert!(error < 5.1e-4, "{rate} Hz: {from}:{to} is off by {error}");
        }
    }

    #[test]
    fn an_impulse_stays_where_it_was() {
        for rate in [8_000, 22_050, 44_100, 48_000, 96_000] {
            let mut samples = vec![0.0; rate as usize];
            samples[rate as usize / 2] = 1.0;
            let out = resampled(rate, &samples);
            let peak = (0..out.len()).max_by(|&a, &b| out[a].total_cmp(&out[b]));
            assert_eq!(peak, Some(8_000), "{rate} Hz");
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
