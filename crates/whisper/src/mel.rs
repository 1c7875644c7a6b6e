//! Log-mel spectrogram, computed while samples arrive.
//!
//! Equal to the reference feature extractor (`WhisperFeatureExtractor` of transformers): frames of 400 samples every
//! 160, centred, reflected at both ends, periodic Hann window, power, Slaney mel filters, log10 with a floor of 1e-10,
//! clamped to 8 below the loudest value, `(x + 4) / 4`. The last two steps need the loudest value of the window, so
//! [`MelStream`] keeps plain log power and does them when a window is taken.
//!
//! ```text
//! samples  ──push──▶ carry (< 400 samples) ─▶ FFT ─▶ mel ─▶ log10 ─▶ columns
//! columns  ──window(frames)──▶ short audio: silence behind it, one maximum ─▶ LogMel
//!          ──whole()─────────▶ long audio: one maximum over everything    ─▶ LogMel ──slice──▶ any 10 ms
//! ```

use std::{fmt, ops::Range, sync::Arc};

use realfft::{RealFftPlanner, RealToComplex, num_complex::Complex};

/// Samples per second.
pub const SAMPLE_RATE_HZ: usize = 16_000;
/// Samples in one frame of the Fourier transform, 25 ms.
pub const FRAME_LENGTH: usize = 400;
/// Samples from one frame to the next, 10 ms.
pub const HOP_LENGTH: usize = 160;

const HALF_FRAME: usize = FRAME_LENGTH / 2;
const POWER_BINS: usize = FRAME_LENGTH / 2 + 1;
/// Power below this counts as this; the reference's floor.
const POWER_FLOOR: f32 = 1e-10;
/// `log10(POWER_FLOOR)`: what silence is.
const SILENCE: f32 = -10.0;
/// Values further below the loudest one are raised to it, in log10 of power.
const DYNAMIC_RANGE: f32 = 8.0;
/// Samples that are taken at once, so that the carry stays small however much comes at once.
const PIECE_SAMPLES: usize = 1_600;
/// Least growth of the columns. Doubling would hold up to twice what there is.
const GROWTH_COLUMNS: usize = 100;

/// The plan of the spectrogram for one number of mel bins; made once, shared by all streams.
pub struct MelExtractor {
    fft: Arc<dyn RealToComplex<f32>>,
    window: Vec<f32>,
    filters: Vec<Filter>,
}

/// Log-mel columns of the samples pushed so far. Cheap to keep: `4 * n_mels` bytes per 10 ms of audio.
#[derive(Clone, Debug)]
pub struct MelStream {
    extractor: Arc<MelExtractor>,
    /// Finished columns one after the other, log10 of power, `n_mels` values each.
    columns: Vec<f32>,
    /// The last samples: all that an unfinished column, or the reflection at the end, can still need.
    carry: Vec<f32>,
    /// Number of samples before `carry`.
    carry_start: usize,
    /// What amplification adds to each value, in log10 of power.
    shift: f32,
}

/// A normalised log-mel spectrogram: `(n_mels, frames)` in row-major order, one frame per 10 ms, about −1..=1.
#[derive(Clone, Debug, PartialEq)]
pub struct LogMel {
    n_mels: usize,
    frames: usize,
    data: Vec<f32>,
    is_padded_on: bool,
}

/// Audio that does not fit its window.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MelError {
    /// More audio than the window holds.
    #[error("{samples} samples of audio do not fit a window of {frames} frames of 160 samples")]
    TooLong {
        /// Samples pushed.
        samples: usize,
        /// Frames of the window.
        frames: usize,
    },
}

impl MelExtractor {
    /// Plans the spectrogram for `n_mels` bins: 80, or 128 for large-v3.
    pub fn new(n_mels: usize) -> Arc<Self> {
        Arc::new(Self {
            fft: RealFftPlanner::new().plan_fft_forward(FRAME_LENGTH),
            window: hann(FRAME_LENGTH),
            filters: slaney_filters(n_mels),
        })
    }

    /// Number of mel bins.
    pub fn n_mels(&self) -> usize {
        self.filters.len()
    }

    /// The spectrogram of `samples` at once: the same as a stream that got them in any pieces.
    pub fn stream_of(self: &Arc<Self>, samples: &[f32]) -> MelStream {
        let mut stream = MelStream::new(Arc::clone(self));
        stream.push(samples);
        stream
    }

    fn scratch(&self) -> Scratch {
        Scratch {
            frame: vec![0.0; FRAME_LENGTH],
            spectrum: vec![Complex::default(); POWER_BINS],
            fft: vec![Complex::default(); self.fft.get_scratch_len()],
            power: vec![0.0; POWER_BINS],
        }
    }

    /// Appends the column of the samples in `scratch.frame` (400, not yet windowed) to `columns`.
    fn append_column(&self, scratch: &mut Scratch, columns: &mut Vec<f32>) {
        for (sample, window) in scratch.frame.iter_mut().zip(&self.window) {
            *sample *= window;
        }
        self.fft
            .process_with_scratch(&mut scratch.frame, &mut scratch.spectrum, &mut scratch.fft)
            .expect("buffers have the lengths of the plan");
        for (power, bin) in scratch.power.iter_mut().zip(&scratch.spectrum) {
            *power = bin.norm_sqr();
        }
        columns.extend(
            self.filters
                .iter()
                .map(|filter| filter.power(&scratch.power).max(POWER_FLOOR).log10()),
        );
    }
}

impl fmt::Debug for MelExtractor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MelExtractor")
            .field("n_mels", &self.n_mels())
            .finish_non_exhaustive()
    }
}

impl MelStream {
    /// An empty stream.
    pub fn new(extractor: Arc<MelExtractor>) -> Self {
        Self {
            extractor,
            columns: Vec::new(),
            carry: Vec::new(),
            carry_start: 0,
            shift: 0.0,
        }
    }

    /// Takes the next samples: mono, 16 kHz. Any chunking gives the same columns.
    pub fn push(&mut self, samples: &[f32]) {
        let extractor = Arc::clone(&self.extractor);
        let mut scratch = extractor.scratch();
        for piece in samples.chunks(PIECE_SAMPLES) {
            self.carry.extend_from_slice(piece);
            self.finish_columns(&extractor, &mut scratch);
            self.drop_used_samples();
        }
    }

    /// From now on spectrograms are those of the audio multiplied by `gain`.
    pub fn amplify(&mut self, gain: f32) {
        self.shift = 2.0 * gain.log10();
    }

    /// Number of samples pushed so far.
    pub fn samples(&self) -> usize {
        self.carry_start + self.carry.len()
    }

    /// Number of mel bins.
    pub fn n_mels(&self) -> usize {
        self.extractor.n_mels()
    }

    /// One window over audio that fits it, padded with silence to `frames * 160` samples, as the reference feature
    /// extractor pads to 30 s (`frames` = 3000). The stream stays usable.
    ///
    /// # Errors
    /// [`MelError::TooLong`] when more samples were pushed than the window holds.
    pub fn window(&self, frames: usize) -> Result<LogMel, MelError> {
        let padded_samples = frames * HOP_LENGTH;
        if self.samples() > padded_samples {
            return Err(MelError::TooLong {
                samples: self.samples(),
                frames,
            });
        }
        Ok(self.normalised(frames, padded_samples))
    }

    /// The whole audio, normalised by its one loudest value and not padded: `samples / 160` frames.
    ///
    /// For audio longer than a window, cut by [`LogMel::slice`]: openai-whisper's `transcribe` and transformers'
    /// long-form `generate` both take the maximum over the whole audio.
    pub fn whole(&self) -> LogMel {
        self.normalised(self.samples() / HOP_LENGTH, self.samples())
    }

    fn finished(&self) -> usize {
        self.columns.len() / self.n_mels()
    }

    /// Computes every column whose samples are all there.
    fn finish_columns(&mut self, extractor: &MelExtractor, scratch: &mut Scratch) {
        loop {
            let centre = self.finished() * HOP_LENGTH;
            // One more than the half frame, because the first column reflects sample 200.
            if self.samples() <= centre + HALF_FRAME {
                return;
            }
            self.read_frame(centre, usize::MAX, &mut scratch.frame);
            if self.columns.len() == self.columns.capacity() {
                let growth = (self.columns.len() / 8).max(GROWTH_COLUMNS * self.n_mels());
                self.columns.reserve_exact(growth);
            }
            extractor.append_column(scratch, &mut self.columns);
        }
    }

    /// Keeps half a frame before the next column: that is also enough for the reflection at the end.
    fn drop_used_samples(&mut self) {
        let needed_from = (self.finished() * HOP_LENGTH).saturating_sub(HALF_FRAME);
        let used = needed_from
            .saturating_sub(self.carry_start)
            .min(self.carry.len());
        self.carry.drain(..used);
        self.carry_start += used;
    }

    /// Fills `frame` with the samples around `centre` of a signal of `length` samples, reflected at both of its ends
    /// and silent behind the samples pushed.
    fn read_frame(&self, centre: usize, length: usize, frame: &mut [f32]) {
        for (offset, value) in frame.iter_mut().enumerate() {
            let index = (centre + offset).abs_diff(HALF_FRAME);
            let index = if index < length {
                index
            } else {
                (2 * length).saturating_sub(index + 2)
            };
            *value = index
                .checked_sub(self.carry_start)
                .and_then(|index| self.carry.get(index))
                .copied()
                .unwrap_or(0.0);
        }
    }

    /// `frames` normalised columns of the signal made `length` samples long by silence.
    fn normalised(&self, frames: usize, length: usize) -> LogMel {
        let done = self.finished().min(frames);
        let mut rest = Vec::new();
        let mut scratch = self.extractor.scratch();
        let sounding = (self.samples() + HALF_FRAME)
            .div_ceil(HOP_LENGTH)
            .min(frames);
        for column in done..sounding {
            self.read_frame(column * HOP_LENGTH, length, &mut scratch.frame);
            self.extractor.append_column(&mut scratch, &mut rest);
        }
        let n_mels = self.n_mels();
        let columns = [&self.columns[..done * n_mels], &rest];
        normalise(&columns, n_mels, frames, self.shift)
    }
}

impl LogMel {
    /// Number of mel bins.
    pub fn n_mels(&self) -> usize {
        self.n_mels
    }

    /// Number of frames, 10 ms each.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// The values, `(n_mels, frames)` in row-major order.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The same, with padding like its last frames behind it up to the end of a whole window.
    #[must_use]
    pub fn padded_on(self) -> Self {
        Self {
            is_padded_on: true,
            ..self
        }
    }

    /// Whether [padding](Self::padded_on) like its last frames follows.
    pub fn is_padded_on(&self) -> bool {
        self.is_padded_on
    }

    /// `frames` frames from frame `start` on. What lies behind the end is 0.0: so do both reference implementations
    /// pad the last window of long audio, after normalising.
    #[must_use]
    pub fn slice(&self, start: usize, frames: usize) -> Self {
        let start = start.min(self.frames);
        let taken = frames.min(self.frames - start);
        let mut data = vec![0.0; self.n_mels * frames];
        if frames > 0 && self.frames > 0 {
            let rows = self.data.chunks_exact(self.frames);
            for (to, from) in data.chunks_exact_mut(frames).zip(rows) {
                to[..taken].copy_from_slice(&from[start..start + taken]);
            }
        }
        Self {
            n_mels: self.n_mels,
            frames,
            data,
            is_padded_on: false,
        }
    }
}

/// Working memory of one column.
struct Scratch {
    frame: Vec<f32>,
    spectrum: Vec<Complex<f32>>,
    fft: Vec<Complex<f32>>,
    power: Vec<f32>,
}

/// One triangle of the filter bank: weights of the power bins from `bins.start` on.
struct Filter {
    bins: Range<usize>,
    weights: Vec<f32>,
}

impl Filter {
    fn power(&self, power: &[f32]) -> f32 {
        power[self.bins.clone()]
            .iter()
            .zip(&self.weights)
            .map(|(power, weight)| power * weight)
            .sum()
    }
}

/// `(n_mels, frames)` out of columns of log power, to each of which `shift` is added; frames beyond the columns are silent.
fn normalise(columns: &[&[f32]], n_mels: usize, frames: usize, shift: f32) -> LogMel {
    let loudest = columns
        .iter()
        .flat_map(|columns| columns.iter())
        .fold(SILENCE, |loudest, value| loudest.max(value + shift));
    let floor = loudest - DYNAMIC_RANGE;
    let scaled = |value: f32| (value.max(floor) + 4.0) / 4.0;
    let mut data = vec![scaled(SILENCE); n_mels * frames];
    let columns = columns
        .iter()
        .flat_map(|columns| columns.chunks_exact(n_mels));
    for (frame, column) in columns.enumerate() {
        for (mel, value) in column.iter().enumerate() {
            data[mel * frames + frame] = scaled(value + shift);
        }
    }
    LogMel {
        n_mels,
        frames,
        data,
        is_padded_on: false,
    }
}

/// Periodic Hann window.
#[expect(
    clippy::cast_possible_truncation,
    reason = "computed in f64, used in f32 as the reference does"
)]
fn hann(length: usize) -> Vec<f32> {
    (0..length)
        .map(|i| {
            let phase = std::f64::consts::TAU * i as f64 / length as f64;
            (0.5 - 0.5 * phase.cos()) as f32
        })
        .collect()
}

/// Triangles whose corners are equally spaced on Slaney's mel scale from 0 to 8000 Hz, each of area 1 (the `slaney`
/// norm of librosa).
#[expect(
    clippy::cast_possible_truncation,
    reason = "computed in f64, used in f32 as the reference does"
)]
fn slaney_filters(n_mels: usize) -> Vec<Filter> {
    let highest_hz = SAMPLE_RATE_HZ as f64 / 2.0;
    let highest_mel = hz_to_mel(highest_hz);
    let corner_hz = |corner: usize| mel_to_hz(highest_mel * corner as f64 / (n_mels + 1) as f64);
    let bin_hz = |bin: usize| highest_hz * bin as f64 / (POWER_BINS - 1) as f64;
    (0..n_mels)
        .map(|mel| {
            let [low, middle, high] = [corner_hz(mel), corner_hz(mel + 1), corner_hz(mel + 2)];
            let weight = |bin: usize| {
                let rising = (bin_hz(bin) - low) / (middle - low);
                let falling = (high - bin_hz(bin)) / (high - middle);
                rising.min(falling).max(0.0) * 2.0 / (high - low)
            };
            let start = (0..POWER_BINS).find(|bin| weight(*bin) > 0.0).unwrap_or(0);
            let end = (start..POWER_BINS)
                .find(|bin| weight(*bin) <= 0.0)
                .unwrap_or(POWER_BINS);
            Filter {
                bins: start..end,
                weights: (start..end).map(|bin| weight(bin) as f32).collect(),
            }
        })
        .collect()
}

/// Slaney's scale is linear up to this frequency and logarithmic from there.
const LINEAR_UP_TO_HZ: f64 = 1000.0;
const LINEAR_HZ_PER_MEL: f64 = 200.0 / 3.0;
const LINEAR_UP_TO_MEL: f64 = LINEAR_UP_TO_HZ / LINEAR_HZ_PER_MEL;

/// The logarithmic part takes 27 mels for a factor of 6.4.
fn log_step() -> f64 {
    6.4_f64.ln() / 27.0
}

fn hz_to_mel(hz: f64) -> f64 {
    if hz < LINEAR_UP_TO_HZ {
        hz / LINEAR_HZ_PER_MEL
    } else {
        LINEAR_UP_TO_MEL + (hz / LINEAR_UP_TO_HZ).ln() / log_step()
    }
}

fn mel_to_hz(mel: f64) -> f64 {
    if mel < LINEAR_UP_TO_MEL {
        mel * LINEAR_HZ_PER_MEL
    } else {
        LINEAR_UP_TO_HZ * ((mel - LINEAR_UP_TO_MEL) * log_step()).exp()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::audio;

    fn extractor() -> Arc<MelExtractor> {
        MelExtractor::new(80)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// To the bit, because each column is computed from the same samples in the same way.
        #[test]
        fn any_chunking_gives_the_same_spectrogram(
            chunks in prop::collection::vec(0_usize..3000, 0..12),
            frames in 250_usize..400,
        ) {
            let samples = audio(3, chunks.iter().sum());
            let mut stream = MelStream::new(extractor());
            let mut rest = &samples[..];
            for chunk in chunks {
                let (now, later) = rest.split_at(chunk);
                stream.push(now);
                rest = later;
            }
            let at_once = extractor().stream_of(&samples);
            prop_assert_eq!(stream.samples(), samples.len());
            prop_assert_eq!(stream.window(frames), at_once.window(frames));
            prop_assert_eq!(stream.whole(), at_once.whole());
        }

        #[test]
        fn window_equals_that_of_audio_padded_by_hand(length in 0_usize..9000, frames in 57_usize..70) {
            let mut samples = audio(4, length);
            let padded_by_window = extractor().stream_of(&samples).window(frames).unwrap();
            samples.resize(frames * HOP_LENGTH, 0.0);
            let padded_by_hand = extractor().stream_of(&samples);
            prop_assert_eq!(&padded_by_window, &padded_by_hand.window(frames).unwrap());
            prop_assert_eq!(padded_by_window, padded_by_hand.whole());
        }
    }

    #[test]
    fn taking_a_window_leaves_the_stream_as_it_was() {
        let samples = audio(1, 20_000);
        let mut stream = extractor().stream_of(&samples[..7_001]);
        stream.window(300).unwrap();
        stream.whole();
        stream.push(&samples[7_001..]);
        assert_eq!(
            stream.window(300),
            extractor().stream_of(&samples).window(300)
        );
    }

    #[test]
    fn stream_keeps_columns_and_less_than_a_frame_and_a_half() {
        let mut stream = MelStream::new(extractor());
        for chunk in audio(1, 160_000).chunks(441) {
            stream.push(chunk);
            assert!(stream.carry.len() <= FRAME_LENGTH + HOP_LENGTH);
        }
        assert_eq!(stream.columns.len(), 80 * 999);
    }

    #[test]
    fn more_audio_than_the_window_holds_is_refused() {
        let stream = extractor().stream_of(&[0.1; 1601]);
        let error = MelError::TooLong {
            samples: 1601,
            frames: 10,
        };
        assert_eq!(stream.window(10), Err(error));
        assert_eq!(stream.window(11).map(|mel| mel.frames()), Ok(11));
    }

    #[test]
    fn very_short_audio_has_a_spectrogram() {
        for length in [0, 1, 159, 160, 200, 201, 399, 400, 401] {
            let stream = extractor().stream_of(&audio(1, length));
            assert_eq!(stream.window(8).unwrap().frames(), 8, "{length} samples");
            assert_eq!(stream.whole().frames(), length / 160, "{length} samples");
        }
    }

    #[test]
    fn slice_is_padded_with_zeros_behind_the_end() {
        let whole = extractor().stream_of(&audio(1, 16_000)).whole();
        let slice = whole.slice(90, 20);
        for (mel, (row, of)) in slice
            .data()
            .chunks(20)
            .zip(whole.data().chunks(100))
            .enumerate()
        {
            assert_eq!(row[..10], of[90..], "mel {mel}");
            assert_eq!(row[10..], [0.0; 10], "mel {mel}");
        }
        assert_eq!(whole.slice(0, 100), whole);
        assert_eq!(whole.slice(500, 2).data(), [0.0; 160]);
    }

    #[test]
    fn quiet_audio_has_the_spectrogram_of_loud_audio_once_it_is_amplified() {
        let loud = audio(1, 16_000);
        let quiet: Vec<f32> = loud.iter().map(|sample| sample / 8.0).collect();
        let mut stream = extractor().stream_of(&quiet);
        stream.amplify(8.0);
        let (quiet, loud) = (stream.whole(), extractor().stream_of(&loud).whole());
        for (quiet, loud) in quiet.data().iter().zip(loud.data()) {
            // Rounding of a logarithm.
            assert!((quiet - loud).abs() < 1e-4, "{quiet} {loud}");
        }
    }

    #[test]
    fn loudest_value_decides_the_floor_of_all_others() {
        let mel = extractor()
            .stream_of(&audio(1, 48_000))
            .window(400)
            .unwrap();
        let extreme = |pick: fn(f32, f32) -> f32| mel.data().iter().copied().reduce(pick).unwrap();
        let [lowest, highest] = [extreme(f32::min), extreme(f32::max)];
        // 8 decades below, divided by 4.
        assert!(
            (highest - lowest - 2.0).abs() < 1e-6,
            "{lowest} to {highest}"
        );
    }
}
