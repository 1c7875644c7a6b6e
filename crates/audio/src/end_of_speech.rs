//! The length of the silence behind speech, while audio arrives. Pure.
//!
//! ```text
//! samples ─┬─ levels (PauseDetector) ────────────── silence ──┐
//!          └─ frames of 16 ms, at one loudness, to scores ────┴─ the longer of the two, once there was speech
//! ```
//!
//! Each errs towards speech in its own way. Levels follow the end of a word to 20 ms, and cannot tell a fan or a
//! television from a voice; the scores of `earshot` can, and fall some 100 ms later.

use std::time::Duration;

use earshot::Detector;

use crate::loudest::Loudest;
use crate::silence::{Pause, PauseDetector};
use crate::speech::{
    FRAME_SAMPLES, GOES_ON, MEAN_FRAMES, MUTE_LOUDNESS, PRE_EMPHASIS, USUAL_LOUDNESS, VOICE_FRAMES,
};
use crate::waveform::duration_of;

/// Finds the silence behind speech while it arrives.
pub struct EndOfSpeech {
    levels: PauseDetector,
    scores: Scores,
    threshold: f32,
    /// There was speech.
    has_begun: bool,
    /// The first sample behind the last frame that may be speech.
    spoken_to: usize,
}

impl EndOfSpeech {
    /// Audio whose mean score reaches `threshold` (0.0..=1.0) has speech.
    pub fn new(threshold: f32) -> Self {
        Self {
            levels: PauseDetector::default(),
            scores: Scores::default(),
            threshold,
            has_begun: false,
            spoken_to: 0,
        }
    }

    /// Takes the next samples: mono, 16 kHz, within ±1. Any chunking gives the same.
    pub fn push(&mut self, samples: &[f32]) {
        self.levels.push(samples);
        for &sample in samples {
            if let Some(mean) = self.scores.next(sample) {
                self.has_begun |= mean >= self.threshold;
                if mean >= self.threshold * GOES_ON {
                    self.spoken_to = self.scores.samples();
                }
            }
        }
    }

    /// Number of samples so far.
    pub fn samples(&self) -> usize {
        self.levels.samples()
    }

    /// Whether there was speech.
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The silence at the end; `None` before speech, and during it.
    pub fn silence(&self) -> Option<Pause> {
        let by_scores = self.by_scores();
        let by_levels = self.levels.pause();
        let longer = by_levels.filter(|pause| pause.length > by_scores.length);
        let silence = longer.unwrap_or(by_scores);
        (self.has_begun && silence.length > Duration::ZERO).then_some(silence)
    }

    fn by_scores(&self) -> Pause {
        Pause {
            start: self.spoken_to,
            length: duration_of(self.scores.samples().saturating_sub(self.spoken_to)),
        }
    }
}

/// Scores of whole frames, one after the other.
struct Scores {
    detector: Detector,
    frame: [f32; FRAME_SAMPLES],
    /// Samples of the frame that have come.
    filled: usize,
    frames: usize,
    /// The sample before, for the pre-emphasis.
    before: Option<f32>,
    /// Energy of the frame so far, after pre-emphasis.
    energy: f32,
    loudest: Loudest<f32, VOICE_FRAMES>,
    /// The last scores, the oldest overwritten first.
    recent: [f32; MEAN_FRAMES],
}

impl Default for Scores {
    fn default() -> Self {
        Self {
            detector: Detector::default(),
            frame: [0.0; FRAME_SAMPLES],
            filled: 0,
            frames: 0,
            before: None,
            energy: 0.0,
            loudest: Loudest::default(),
            recent: [0.0; MEAN_FRAMES],
        }
    }
}

impl Scores {
    /// Samples of the whole frames so far.
    fn samples(&self) -> usize {
        self.frames * FRAME_SAMPLES
    }

    /// The mean score of the last frames, when this sample completes one.
    fn next(&mut self, sample: f32) -> Option<f32> {
        let emphasised = sample - PRE_EMPHASIS * self.before.unwrap_or(sample);
        self.before = Some(sample);
        self.energy += emphasised * emphasised;
        self.frame[self.filled] = sample;
        self.filled += 1;
        if self.filled < FRAME_SAMPLES {
            return None;
        }
        self.recent[self.frames % MEAN_FRAMES] = self.score();
        self.frames += 1;
        self.filled = 0;
        Some(self.recent.iter().sum::<f32>() / MEAN_FRAMES as f32)
    }

    /// Of the frame that is full, as loud as a person who speaks into a microphone.
    fn score(&mut self) -> f32 {
        let power = std::mem::take(&mut self.energy) / FRAME_SAMPLES as f32;
        self.loudest.add(power);
        let loudness = self.loudest.quietest().sqrt();
        if loudness < MUTE_LOUDNESS {
            return 0.0;
        }
        let gain = USUAL_LOUDNESS / loudness;
        for sample in &mut self.frame {
            *sample = (*sample * gain).clamp(-1.0, 1.0);
        }
        self.detector.predict_f32(&self.frame)
    }
}

impl std::fmt::Debug for EndOfSpeech {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("EndOfSpeech")
            .field("has_begun", &self.has_begun)
            .field("silence", &self.silence())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(samples: usize, level: f32) -> Vec<f32> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            level * (state as f32 / u32::MAX as f32 * 2.0 - 1.0)
        };
        (0..samples).map(|_| next()).collect()
    }

    #[test]
    fn what_is_no_speech_has_no_end() {
        let tone: Vec<f32> = (0..48_000).map(|n| (n as f32 * 0.17).sin() * 0.5).collect();
        let slam = [noise(3_200, 0.5), vec![0.0; 32_000]].concat();
        for samples in [vec![0.0; 48_000], noise(48_000, 0.1), tone, slam] {
            let mut end = EndOfSpeech::new(0.8);
            end.push(&samples);
            assert!(!end.has_begun());
            assert_eq!(end.silence(), None);
            assert_eq!(end.samples(), samples.len());
        }
    }

    /// With a threshold of 0 whatever is heard is speech, and none of it ends by its scores.
    #[test]
    fn silence_behind_a_voice_is_told_by_its_level() {
        let mut end = EndOfSpeech::new(0.0);
        end.push(&noise(16_000, 0.1));
        assert!(end.has_begun());
        assert_eq!(end.silence(), None);
        end.push(&vec![0.0; 8_000]);
        let silence = end.silence().unwrap();
        let length = silence.length.as_millis();
        assert!((400..=500).contains(&length), "{length} ms");
        assert!((15_000..17_000).contains(&silence.start));
        end.push(&noise(1_600, 0.1));
        assert_eq!(end.silence(), None);
    }

    #[test]
    fn noise_behind_a_voice_is_told_by_its_scores() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/fixtures/audio/office_lights.wav"
        );
        let voice: Vec<f32> = hound::WavReader::open(path)
            .unwrap()
            .into_samples::<i16>()
            .map(|sample| f32::from(sample.unwrap()) / 32_768.0)
            .collect();
        let mut fan = noise(voice.len() + 32_000, 0.1);
        for (sum, sample) in fan.iter_mut().zip(&voice) {
            *sum += sample;
        }
        let mut end = EndOfSpeech::new(0.8);
        end.push(&fan);
        assert!(end.has_begun());
        let length = end.by_scores().length.as_millis();
        assert!((1_500..2_700).contains(&length), "{length} ms");
    }

    #[test]
    fn chunks_of_any_length_give_the_same() {
        let samples = [noise(16_000, 0.1), vec![0.0; 9_000]].concat();
        let mut whole = EndOfSpeech::new(0.0);
        whole.push(&samples);
        for length in [1, 255, 256, 257, 1_024] {
            let mut parts = EndOfSpeech::new(0.0);
            samples.chunks(length).for_each(|part| parts.push(part));
            assert_eq!(parts.silence(), whole.silence());
        }
    }
}
