//! Whether and where a waveform holds speech. Pure.
//!
//! ```text
//! samples ──▶ frames of 16 ms ──▶ loudness of pieces of 8 s ──▶ each piece at one loudness ──▶ a score for each frame
//! scores  ──mean of 80 ms──▶ the highest: how likely there is speech at all
//!         ──threshold, margins──▶ spans
//! ```
//!
//! The scores come from `earshot`, a small recurrent network. It detects no speech in recordings that are a hundred
//! times quieter than what it was trained on, so every piece is brought to the same loudness first.

use std::ops::Range;

use earshot::Detector;

/// Samples of one frame, 16 ms: what the network takes.
pub(crate) const FRAME_SAMPLES: usize = 256;
/// Frames of one piece, 8 s. A person who speaks lower than another is as loud in a piece of their own.
const PIECE_FRAMES: usize = 500;
/// The voice is as loud as this many frames, some 200 ms: a click or a slammed door is over sooner.
pub(crate) const VOICE_FRAMES: usize = 12;
/// Factor of the pre-emphasis: rumble, hum and an offset of the microphone do not count as loud.
pub(crate) const PRE_EMPHASIS: f32 = 0.97;
/// Loudness, after pre-emphasis, of a person who speaks into a microphone: the median of 200 recorded orders.
pub(crate) const USUAL_LOUDNESS: f32 = 0.05;
/// Loudness below which 16 bits hold nothing: less than one step.
pub(crate) const MUTE_LOUDNESS: f32 = 2e-5;
/// Audio below this is quiet: a sixth of the usual loudness.
const QUIET: f32 = USUAL_LOUDNESS / 6.0;
/// 60 dB: more would only amplify the steps of 16 bits.
const MOST_AMPLIFICATION: f32 = 1_000.0;
/// Frames whose mean score decides, 80 ms: shorter than the shortest word, longer than a click.
pub(crate) const MEAN_FRAMES: usize = 5;
/// In audio with speech, a span begins where the mean has this share of the threshold: a low voice between loud ones is
/// less sure, and a word that is passed over is lost.
const BEGINS: f32 = 0.6;
/// A span goes on while a frame has this share of the threshold. Pauses have some 0.3.
pub(crate) const GOES_ON: f32 = 0.45;
/// Frames before and behind a span that belong to it, 0.3 s: soft consonants score low.
const MARGIN_FRAMES: usize = 19;

/// What a detector found in a waveform.
#[derive(Clone, Debug, PartialEq)]
pub struct Speech {
    /// Probability of speech in each whole frame, 0.0..=1.0.
    scores: Vec<f32>,
    samples: usize,
}

impl Speech {
    /// Listens to a waveform: mono, 16 kHz, within ±1.
    pub fn of(samples: &[f32]) -> Self {
        let loudness: Vec<f32> = samples
            .chunks(PIECE_FRAMES * FRAME_SAMPLES)
            .map(loudness)
            .collect();
        let mut detector = Detector::default();
        let mut scores = Vec::with_capacity(samples.len() / FRAME_SAMPLES);
        let mut amplified = [0.0; FRAME_SAMPLES];
        for (index, frame) in samples.chunks_exact(FRAME_SAMPLES).enumerate() {
            // A word at the edge of a piece is as loud as its neighbour.
            let piece = index / PIECE_FRAMES;
            let near = &loudness[piece.saturating_sub(1)..(piece + 2).min(loudness.len())];
            let loudest = near.iter().copied().fold(0.0, f32::max);
            if loudest < MUTE_LOUDNESS {
                scores.push(0.0);
                continue;
            }
            let gain = USUAL_LOUDNESS / loudest;
            for (to, sample) in amplified.iter_mut().zip(frame) {
                *to = (sample * gain).clamp(-1.0, 1.0);
            }
            scores.push(detector.predict_f32(&amplified));
        }
        Self {
            scores,
            samples: samples.len(),
        }
    }

    /// How likely there is speech anywhere, 0.0..=1.0. Audio shorter than 80 ms holds no word.
    pub fn likelihood(&self) -> f32 {
        self.means().fold(0.0, f32::max)
    }

    /// Where there may be speech, with margins: samples, in order, apart from each other. Empty exactly when
    /// [`Self::likelihood`] is below `threshold`.
    pub fn spans(&self, threshold: f32) -> Vec<Range<usize>> {
        let mut spans: Vec<Range<usize>> = Vec::new();
        if self.likelihood() < threshold {
            return spans;
        }
        let mut heard_to = 0;
        for (start, mean) in self.means().enumerate() {
            if mean < threshold * BEGINS || start + MEAN_FRAMES <= heard_to {
                continue;
            }
            let goes_on = |frame: &usize| self.scores[*frame] >= threshold * GOES_ON;
            let first = (heard_to..start).rev().take_while(goes_on).last();
            let last = (start + MEAN_FRAMES..self.scores.len())
                .take_while(goes_on)
                .last();
            let (first, last) = (
                first.unwrap_or(start),
                last.unwrap_or(start + MEAN_FRAMES - 1),
            );
            heard_to = last + 1;
            let from = first.saturating_sub(MARGIN_FRAMES) * FRAME_SAMPLES;
            let to = ((heard_to + MARGIN_FRAMES) * FRAME_SAMPLES).min(self.samples);
            match spans.last_mut() {
                Some(before) if before.end >= from => before.end = to,
                _ => spans.push(from..to),
            }
        }
        spans
    }

    /// Means of neighbouring scores, by their first frame.
    fn means(&self) -> impl Iterator<Item = f32> {
        self.scores
            .windows(MEAN_FRAMES)
            .map(|scores| scores.iter().sum::<f32>() / MEAN_FRAMES as f32)
    }
}

/// What quiet audio has to be multiplied by to be as loud as a person who speaks into a microphone; 1 for audio that is
/// not quiet, or holds nothing.
pub fn amplification(samples: &[f32]) -> f32 {
    let loudness = loudness(samples);
    if (MUTE_LOUDNESS..QUIET).contains(&loudness) {
        (USUAL_LOUDNESS / loudness).min(MOST_AMPLIFICATION)
    } else {
        1.0
    }
}

/// How loud the loudest 200 ms are: the root mean square, after pre-emphasis, that their frames reach. 0 for less.
fn loudness(samples: &[f32]) -> f32 {
    let mut before = samples.first().copied().unwrap_or_default();
    let mut powers: Vec<f32> = samples
        .chunks_exact(FRAME_SAMPLES)
        .map(|frame| {
            let energy: f32 = frame
                .iter()
                .map(|&sample| {
                    let emphasised = sample - PRE_EMPHASIS * before;
                    before = sample;
                    emphasised * emphasised
                })
                .sum();
            energy / FRAME_SAMPLES as f32
        })
        .collect();
    let Some(rank) = powers.len().checked_sub(VOICE_FRAMES) else {
        // Shorter than that: its loudest frame.
        return powers.into_iter().fold(0.0, f32::max).sqrt();
    };
    let (_, power, _) = powers.select_nth_unstable_by(rank, f32::total_cmp);
    power.sqrt()
}

#[cfg(test)]
#[expect(
    clippy::single_range_in_vec_init,
    reason = "a list of spans may have one"
)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noise(samples: usize, level: f32) -> Vec<f32> {
        let mut state = 1_u32;
        (0..samples)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                level * (state as f32 / u32::MAX as f32 * 2.0 - 1.0)
            })
            .collect()
    }

    fn scored(scores: &[(usize, f32)]) -> Speech {
        let scores: Vec<f32> = scores
            .iter()
            .flat_map(|&(frames, score)| std::iter::repeat_n(score, frames))
            .collect();
        Speech {
            samples: scores.len() * FRAME_SAMPLES,
            scores,
        }
    }

    /// Spans in frames.
    fn check(scores: &[(usize, f32)], expected: &[Range<usize>]) {
        let spans = scored(scores).spans(0.8);
        let frames: Vec<Range<usize>> = spans
            .iter()
            .map(|span| span.start / FRAME_SAMPLES..span.end / FRAME_SAMPLES)
            .collect();
        assert_eq!(frames, expected);
    }

    #[test]
    fn a_span_has_margins_and_ends_where_the_score_falls() {
        check(&[(100, 0.1)], &[]);
        check(&[(100, 0.1), (20, 0.9), (100, 0.1)], &[79..141]);
        // What is less sure beside it belongs to it, and elsewhere too.
        check(
            &[(100, 0.1), (10, 0.4), (20, 0.9), (10, 0.4), (100, 0.1)],
            &[81..159],
        );
        check(
            &[(20, 0.9), (100, 0.1), (20, 0.6), (50, 0.1)],
            &[0..41, 100..160],
        );
        check(&[(20, 0.6), (50, 0.1)], &[]);
        check(&[(20, 0.9)], &[0..20]);
    }

    #[test]
    fn near_spans_are_one_and_a_click_is_none() {
        check(&[(20, 0.9), (30, 0.1), (20, 0.9)], &[0..70]);
        check(&[(20, 0.9), (60, 0.1), (20, 0.9)], &[0..41, 59..100]);
        check(&[(50, 0.1), (3, 0.95), (50, 0.1)], &[]);
    }

    #[test]
    fn silence_noise_and_tones_are_no_speech() {
        let tone: Vec<f32> = (0..48_000).map(|n| (n as f32 * 0.17).sin() * 0.5).collect();
        for samples in [
            vec![0.0; 48_000],
            vec![0.1; 48_000],
            noise(48_000, 0.3),
            noise(48_000, 0.003),
            tone,
        ] {
            let found = Speech::of(&samples);
            assert!(found.likelihood() < 0.8, "{}", found.likelihood());
            assert_eq!(found.spans(0.8), []);
        }
    }

    #[test]
    fn loudness_is_that_of_a_voice_and_not_of_a_click_or_an_offset() {
        let mut samples = noise(32_000, 0.1);
        let usual = loudness(&samples);
        samples[8_000..9_600]
            .iter_mut()
            .for_each(|sample| *sample *= 9.0);
        assert!((loudness(&samples) / usual - 1.0).abs() < 0.1);
        let offset: Vec<f32> = samples
            .iter()
            .map(|sample| sample / 1_000.0 + 0.5)
            .collect();
        assert!(loudness(&offset) < 0.02);
        assert!(loudness(&[]).abs() < f32::EPSILON);
    }

    #[test]
    fn only_quiet_audio_is_amplified() {
        let usual = noise(16_000, 0.05);
        assert!((amplification(&usual) - 1.0).abs() < f32::EPSILON);
        let quiet: Vec<f32> = usual.iter().map(|sample| sample / 100.0).collect();
        let gain = amplification(&quiet);
        let louder: Vec<f32> = quiet.iter().map(|sample| sample * gain).collect();
        assert!((loudness(&louder) / USUAL_LOUDNESS - 1.0).abs() < 0.01);
        assert!((amplification(&[0.0; 16_000]) - 1.0).abs() < f32::EPSILON);
    }

    proptest! {
        #[test]
        fn spans_are_in_order_and_within_the_audio(
            scores in prop::collection::vec((1_usize..40, 0.0_f32..1.0), 0..12),
            threshold in 0.05_f32..1.0,
        ) {
            let speech = scored(&scores);
            let spans = speech.spans(threshold);
            prop_assert_eq!(spans.is_empty(), speech.likelihood() < threshold);
            prop_assert!(spans.iter().all(|span| span.start < span.end && span.end <= speech.samples));
            prop_assert!(spans.is_sorted_by(|one, next| one.end < next.start));
        }

        #[test]
        fn any_length_can_be_listened_to(length in 0_usize..3_000, level in prop_oneof![Just(0.0_f32), Just(1e-6), Just(1.0)]) {
            let speech = Speech::of(&noise(length, level));
            prop_assert_eq!(speech.scores.len(), length / FRAME_SAMPLES);
            prop_assert!((0.0..=1.0).contains(&speech.likelihood()));
        }
    }
}
