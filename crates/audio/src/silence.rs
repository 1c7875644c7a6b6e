//! How long it has been quiet.

use std::time::Duration;

use crate::waveform::duration_of;

/// Samples of one look: 20 ms.
const WINDOW_SAMPLES: usize = 320;
/// Root mean square under which a window is quiet whatever came before: −60 dB of full scale.
const FLOOR_LEVEL: f32 = 0.001;
/// A window is quiet when it is this much below the loudest one: −26 dB.
const RELATIVE_LEVEL: f32 = 0.05;

/// Length of the quiet at the end of `samples` (16 kHz): of the last whole windows of 20 ms that are
/// either below −60 dB of full scale or 26 dB below the loudest window.
pub fn trailing_silence(samples: &[f32]) -> Duration {
    let levels = || samples.rchunks_exact(WINDOW_SAMPLES).map(level);
    let loudest = levels().fold(0.0, f32::max);
    let threshold = FLOOR_LEVEL.max(loudest * RELATIVE_LEVEL);
    let quiet = levels().take_while(|&level| level < threshold).count();
    duration_of(quiet * WINDOW_SAMPLES)
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
}
