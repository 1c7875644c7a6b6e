//! Whether a speaker has paused. Pure.
//!
//! ```text
//! samples ──100 Hz high-pass──▶ blocks of 20 ms ─▶ levels of 100 ms, one every 20 ms ─▶ silent or not
//!                                     │                    │
//!                                     ▼                    ▼
//!                          the voice: the level    the room: the quietest level so far
//!                          that the loudest 200 ms
//!                          stay above
//! ```
//!
//! It errs towards speech: a pause that is not seen costs a listener some time, and a word that is
//! taken for silence would be lost.

use std::time::Duration;

use crate::loudest::Loudest;
use crate::waveform::{SAMPLE_RATE_HZ, duration_of};

/// 20 ms.
const BLOCK_SAMPLES: usize = 320;
/// Blocks of one level: 100 ms, so that a hum or a rumble is as loud from one level to the next.
const LEVEL_BLOCKS: usize = 5;
/// The voice is as loud as this many blocks, 200 ms: a click or a slammed door is over sooner.
const VOICE_BLOCKS: usize = 10;
/// Rumble, hum and an offset of the microphone are below this, voices above.
const HIGH_PASS_HZ: f64 = 100.0;
/// Power below this counts as this: −80 dB of full scale, what 16 bits can still tell from nothing.
const FLOOR_POWER: f64 = 1e-8;
/// A block below −120 dB of full scale is a microphone that is off, and tells nothing of the room.
const MUTE_POWER: f64 = 1e-12;
/// As loud as the room is what is at most 4 dB above its quietest moment …
const ABOVE_ROOM: f64 = 2.512;
/// … and 10 dB below the voice. With less between the two no rule can part them.
const BELOW_VOICE: f64 = 0.1;
/// Whatever the room does, a voice does not fall 30 dB below itself.
const FAR_BELOW_VOICE: f64 = 0.001;

/// Finds the silence at the end of speech while it arrives.
#[derive(Clone, Debug)]
pub struct PauseDetector {
    high_pass: HighPass,
    block: Block,
    /// Whole blocks so far.
    blocks: usize,
    /// Power of the last blocks, the oldest overwritten first.
    recent: [f64; LEVEL_BLOCKS],
    /// Blocks since the microphone was off.
    audible_blocks: usize,
    /// The quietest level so far; `None` until the microphone was on for that long.
    room: Option<f64>,
    loudest: Loudest<f64, VOICE_BLOCKS>,
    silence: Option<Silence>,
}

/// Silence after speech.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// The sample at which it began. Two pauses with the same beginning are one pause.
    pub start: usize,
    /// Length so far, a little less than what was heard of it.
    pub length: Duration,
}

/// The silent levels at the end.
#[derive(Clone, Copy, Debug)]
struct Silence {
    /// First block.
    start: usize,
    /// The highest of its levels.
    loudest: f64,
}

impl Default for PauseDetector {
    fn default() -> Self {
        Self {
            high_pass: HighPass::new(HIGH_PASS_HZ),
            block: Block::default(),
            blocks: 0,
            recent: [0.0; LEVEL_BLOCKS],
            audible_blocks: 0,
            room: None,
            loudest: Loudest::default(),
            silence: None,
        }
    }
}

impl PauseDetector {
    /// Takes the next samples: mono, 16 kHz, finite. Any chunking gives the same.
    pub fn push(&mut self, samples: &[f32]) {
        for &sample in samples {
            let raw = f64::from(sample);
            let heard = self.high_pass.next(raw);
            self.block.add(raw, heard);
            if self.block.samples == BLOCK_SAMPLES {
                let block = std::mem::take(&mut self.block);
                self.high_pass.settle();
                self.take(&block);
            }
        }
    }

    /// Number of samples so far.
    pub fn samples(&self) -> usize {
        self.blocks * BLOCK_SAMPLES + self.block.samples
    }

    /// The silence at the end, if there was a voice before it. What is not a whole block yet, less
    /// than 20 ms, is not judged.
    pub fn pause(&self) -> Option<Pause> {
        let start = self.silence?.start;
        Some(Pause {
            start: start * BLOCK_SAMPLES,
            length: duration_of((self.blocks - start) * BLOCK_SAMPLES),
        })
    }

    fn take(&mut self, block: &Block) {
        let power = block.power();
        self.recent[self.blocks % LEVEL_BLOCKS] = power;
        self.blocks += 1;
        self.audible_blocks = if block.is_mute() {
            0
        } else {
            self.audible_blocks + 1
        };
        self.loudest.add(power);
        if self.blocks < LEVEL_BLOCKS {
            return;
        }
        let level = (self.recent.iter().sum::<f64>() / LEVEL_BLOCKS as f64).max(FLOOR_POWER);
        if self.audible_blocks >= LEVEL_BLOCKS {
            self.room = Some(self.room.unwrap_or(level).min(level));
        }
        self.silence = self.silence_with(level);
    }

    /// What the silence at the end is with one more level.
    fn silence_with(&self, level: f64) -> Option<Silence> {
        if !self.is_silent(level) {
            return None;
        }
        let alone = Silence {
            start: self.blocks - LEVEL_BLOCKS,
            loudest: level,
        };
        // What was taken for the room may turn out to have been a low voice, once it is quieter still.
        let before = self.silence.filter(|before| self.is_silent(before.loudest));
        Some(before.map_or(alone, |before| Silence {
            loudest: before.loudest.max(level),
            ..before
        }))
    }

    fn is_silent(&self, level: f64) -> bool {
        let voice = self.loudest.quietest();
        let is_voice = voice * BELOW_VOICE >= FLOOR_POWER;
        let is_room = level <= voice * BELOW_VOICE
            && self.room.is_some_and(|room| level <= room * ABOVE_ROOM);
        is_voice && (is_room || level <= voice * FAR_BELOW_VOICE)
    }
}

/// Sums of an unfinished block.
#[derive(Clone, Debug, Default)]
struct Block {
    samples: usize,
    raw_energy: f64,
    energy: f64,
}

impl Block {
    fn add(&mut self, raw: f64, heard: f64) {
        self.samples += 1;
        self.raw_energy += raw * raw;
        self.energy += heard * heard;
    }

    fn power(&self) -> f64 {
        self.energy / BLOCK_SAMPLES as f64
    }

    fn is_mute(&self) -> bool {
        self.raw_energy < MUTE_POWER * BLOCK_SAMPLES as f64
    }
}

/// A Butterworth filter of second order, transposed direct form II.
///
/// Source: Robert Bristow-Johnson, Cookbook formulae for audio equalizer biquad filter coefficients.
#[derive(Clone, Debug)]
struct HighPass {
    input: [f64; 3],
    output: [f64; 2],
    state: [f64; 2],
}

impl HighPass {
    fn new(corner_hz: f64) -> Self {
        let (sin, cos) = (std::f64::consts::TAU * corner_hz / f64::from(SAMPLE_RATE_HZ)).sin_cos();
        let alpha = sin * std::f64::consts::FRAC_1_SQRT_2;
        let gain = 1.0 / (1.0 + alpha);
        let outer = gain * (1.0 + cos) / 2.0;
        Self {
            input: [outer, -2.0 * outer, outer],
            output: [-2.0 * gain * cos, gain * (1.0 - alpha)],
            state: [0.0; 2],
        }
    }

    fn next(&mut self, sample: f64) -> f64 {
        let heard = self.input[0] * sample + self.state[0];
        self.state[0] = self.input[1] * sample - self.output[0] * heard + self.state[1];
        self.state[1] = self.input[2] * sample - self.output[1] * heard;
        heard
    }

    /// In a long silence the state fades into numbers that processors are slow with.
    fn settle(&mut self) {
        for state in &mut self.state {
            if state.abs() < 1e-30 {
                *state = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: usize = 16_000;

    /// White noise with this root mean square.
    fn noise(samples: usize, seed: u64, level: f32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2).wrapping_add(1);
        (0..samples)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                // A uniform number within ±1 has a root mean square of 1/√3.
                let uniform = (state >> 40) as f32 / 8_388_608.0 - 1.0;
                uniform * level * 3.0_f32.sqrt()
            })
            .collect()
    }

    fn tone(samples: usize, hz: f32, level: f32) -> Vec<f32> {
        (0..samples)
            .map(|n| {
                let phase = std::f32::consts::TAU * hz * n as f32 / SECOND as f32;
                level * 2.0_f32.sqrt() * phase.sin()
            })
            .collect()
    }

    fn sum(one: &[f32], other: &[f32]) -> Vec<f32> {
        one.iter()
            .zip(other)
            .map(|(one, other)| one + other)
            .collect()
    }

    fn after(samples: &[f32]) -> PauseDetector {
        let mut detector = PauseDetector::default();
        detector.push(samples);
        detector
    }

    /// The pause at the end in milliseconds, 0 for none.
    fn check(parts: &[&[f32]], expected: std::ops::RangeInclusive<u128>) {
        let pause = after(&parts.concat()).pause();
        let length = pause.map_or(0, |pause| pause.length.as_millis());
        assert!(expected.contains(&length), "{length} ms, not {expected:?}");
    }

    #[test]
    fn silence_is_a_pause_only_after_a_voice() {
        let (quiet, voice) = (vec![0.0; SECOND], noise(SECOND, 1, 0.1));
        check(&[], 0..=0);
        check(&[&quiet], 0..=0);
        check(&[&voice], 0..=0);
        check(&[&quiet, &voice], 0..=0);
        check(&[&voice, &quiet], 980..=1_000);
        check(&[&voice, &quiet, &voice[..4_000]], 0..=0);
        check(&[&voice, &quiet, &voice, &quiet[..8_000]], 480..=500);
    }

    #[test]
    fn a_pause_begins_where_the_voice_ends() {
        let voice = noise(SECOND, 1, 0.1);
        let pause = after(&[voice, vec![0.0; SECOND]].concat()).pause().unwrap();
        assert!((SECOND..SECOND + 400).contains(&pause.start), "{pause:?}");
    }

    #[test]
    fn the_noise_of_a_room_is_no_voice_once_there_was_one() {
        // 14 dB between voice and room.
        let voice = noise(SECOND, 1, 0.1);
        let room = noise(3 * SECOND, 2, 0.02);
        check(&[&room, &voice], 0..=0);
        check(&[&room, &voice, &room], 2_900..=3_020);
        check(&[&voice, &room], 2_900..=3_020);
        // With 6 dB no rule can part them.
        let loud_room = noise(SECOND, 3, 0.05);
        check(&[&loud_room, &voice, &loud_room], 0..=0);
    }

    #[test]
    fn hum_and_an_offset_do_not_hide_a_pause() {
        let quiet = noise(2 * SECOND, 2, 0.002);
        let voice = [quiet.clone(), noise(SECOND, 1, 0.05), quiet].concat();
        // At 50 Hz the filter takes 12 dB.
        let hum = tone(voice.len(), 50.0, 0.02);
        check(&[&sum(&voice, &hum)], 1_900..=2_020);
        let offset = vec![0.1; voice.len()];
        check(&[&sum(&voice, &offset)], 1_900..=2_020);
    }

    #[test]
    fn a_slammed_door_is_not_the_voice() {
        let room = noise(SECOND, 4, 0.0005);
        let door = noise(SECOND / 10, 1, 0.9);
        // 33 dB below the door.
        let voice = noise(SECOND, 2, 0.02);
        check(&[&room, &door, &voice], 0..=0);
        check(&[&room, &door, &voice, &room], 950..=1_020);
        check(&[&room, &door, &room], 0..=0);
    }

    #[test]
    fn one_syllable_ends_a_pause() {
        let voice = noise(SECOND, 1, 0.1);
        let room = noise(SECOND, 2, 0.01);
        // 40 ms, 8 dB below the voice.
        let syllable = noise(640, 3, 0.04);
        check(&[&voice, &room, &syllable], 0..=0);
        check(&[&voice, &room, &syllable, &room], 980..=1_020);
    }

    #[test]
    fn a_low_voice_is_no_silence_once_it_is_quieter_still() {
        // Nothing quieter than the low voice was heard before it, so it passes for the room at first.
        let (voice, low) = (noise(SECOND, 1, 0.1), noise(SECOND, 2, 0.01));
        let room = noise(SECOND / 2, 3, 0.004);
        check(&[&voice, &low], 980..=1_020);
        check(&[&voice, &low, &room], 400..=520);
    }

    #[test]
    fn a_microphone_that_was_off_tells_nothing_of_the_room() {
        let off = vec![0.0; SECOND];
        let (voice, room) = (noise(SECOND, 1, 0.1), noise(SECOND, 2, 0.01));
        check(&[&off, &room, &voice, &room], 950..=1_020);
        check(&[&off, &voice, &room], 950..=1_020);
    }

    #[test]
    fn long_silence_leaves_no_slow_numbers() {
        let detector = after(&[noise(SECOND, 1, 0.1), vec![0.0; 10 * SECOND]].concat());
        let state = detector.high_pass.state;
        assert!(state.iter().all(|&value| value == 0.0), "{state:?}");
    }

    fn loudness() -> impl Strategy<Value = f32> {
        prop_oneof![Just(0.0_f32), Just(0.001), Just(0.01), Just(0.1), Just(0.9)]
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_pause(
            parts in proptest::collection::vec((loudness(), 1_usize..6_000), 0..8),
            cuts in proptest::collection::vec(1_usize..3_000, 1..20),
        ) {
            let samples: Vec<f32> = parts
                .iter()
                .enumerate()
                .flat_map(|(seed, &(level, length))| noise(length, seed as u64, level))
                .collect();
            let mut detector = PauseDetector::default();
            let mut rest = &samples[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (chunk, tail) = rest.split_at((*cut).min(rest.len()));
                detector.push(chunk);
                rest = tail;
            }
            prop_assert_eq!(detector.pause(), after(&samples).pause());
            prop_assert_eq!(detector.samples(), samples.len());
        }

        #[test]
        fn louder_or_softer_as_a_whole_is_the_same_pause(
            seed in 0_u64..1_000,
            length in 3_000_usize..20_000,
            gain in 0.1_f32..4.0,
        ) {
            let samples = [noise(SECOND, seed, 0.2), noise(length, seed + 1, 0.01)].concat();
            let scaled: Vec<f32> = samples.iter().map(|sample| sample * gain).collect();
            let start = |samples: &[f32]| after(samples).pause().map(|pause| pause.start);
            prop_assert_eq!(start(&scaled), start(&samples));
        }

        #[test]
        fn a_pause_is_within_what_was_heard_and_after_it_began(
            parts in proptest::collection::vec((loudness(), 1_usize..6_000), 0..8),
        ) {
            let mut detector = PauseDetector::default();
            for (seed, &(level, length)) in parts.iter().enumerate() {
                detector.push(&noise(length, seed as u64, level));
                if let Some(pause) = detector.pause() {
                    let end = pause.start + crate::waveform::samples_in(pause.length);
                    prop_assert!(end <= detector.samples() && end + BLOCK_SAMPLES > detector.samples());
                }
            }
        }
    }
}
