//! How long it has been quiet.

use std::time::Duration;

use crate::waveform::duration_of;

/// Samples of one look: 20 ms.
const WINDOW_SAMPLES: usize = 320;
/// Root mean square under which a window is quiet whatever came before: −60 dB of full scale.
const FLOOR_LEVEL: f32 = 0.001;
/// A window is quiet when it is this much below the loudest one: −26 dB.
const RELATIVE_LEVEL: f32 = 0.05;
/// A noisy room is never 26 dB below the speech: what is at most 4 dB above the room's own noise is
/// quiet too …
const ABOVE_NOISE: f32 = 1.6;
/// … but never what is within 10 dB of the loudest window, which is the speech.
const SPEECH_LEVEL: f32 = 0.316;

/// Length of the quiet at the end of `samples` (16 kHz): of the last whole windows of 20 ms that are
/// below −60 dB of full scale, 26 dB below the loudest window, or close to the noise of the room
/// (the level that a tenth of the windows stays under).
pub fn trailing_silence(samples: &[f32]) -> Duration {
    let levels: Vec<f32> = samples.rchunks_exact(WINDOW_SAMPLES).map(level).collect();
    let loudest = levels.iter().copied().fold(0.0, f32::max);
    let close_to_noise = (noise_floor(levels.clone()) * ABOVE_NOISE).min(loudest * SPEECH_LEVEL);
    let threshold = FLOOR_LEVEL
        .max(loudest * RELATIVE_LEVEL)
        .max(close_to_noise);
    let quiet = levels
        .iter()
        .take_while(|&&level| level < threshold)
        .count();
    duration_of(quiet * WINDOW_SAMPLES)
}

/// The level that a tenth of the windows stays under.
fn noise_floor(mut levels: Vec<f32>) -> f32 {
    if levels.is_empty() {
        return 0.0;
    }
    let tenth = levels.len() / 10;
    *levels.select_nth_unstable_by(tenth, f32::total_cmp).1
}

fn level(window: &[f32]) -> f32 {
    let sum: f32 = window.iter().map(|sample| sample * sample).sum();
    (sum / window.len() as f32).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_quiet_at_the_end_counts() {
        let quiet = vec![0.0; 8_000];
        let loud = vec![0.3; 8_000];
        let noise = vec![0.01; 8_000];
        assert_eq!(trailing_silence(&[]), Duration::ZERO);
        assert_eq!(trailing_silence(&loud), Duration::ZERO);
        assert_eq!(
            trailing_silence(&[&quiet[..], &loud].concat()),
            Duration::ZERO
        );
        let half = Duration::from_millis(500);
        assert_eq!(trailing_silence(&[&loud[..], &quiet].concat()), half);
        assert_eq!(trailing_silence(&[&loud[..], &noise].concat()), half);
        assert_eq!(trailing_silence(&quiet), half);
    }

    #[test]
    fn the_noise_of_a_room_is_quiet_once_speech_was_louder() {
        let noise: Vec<f32> = (0..16_000_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 16) as f32 / 65_536.0 - 0.5)
            .collect();
        let room: Vec<f32> = noise.iter().map(|sample| sample * 0.1).collect();
        // Speech 14 dB above the room: far from 26 dB.
        let speech: Vec<f32> = noise.iter().map(|sample| sample * 0.5).collect();
        let second = Duration::from_secs(1);
        assert_eq!(trailing_silence(&[&speech[..], &room].concat()), second);
        assert_eq!(
            trailing_silence(&[&room[..], &speech].concat()),
            Duration::ZERO
        );
        assert_eq!(trailing_silence(&speech), Duration::ZERO);
    }
}
