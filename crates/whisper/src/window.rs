//! How many frames of a window the encoder sees: all 30 s, or only what holds audio.

use crate::mel::HOP_LENGTH;
use crate::model::Rest;

/// Silence kept behind the audio of a window that is not whole: 128 frames, 1.28 s. The model was trained on padded windows,
/// so speech that runs up to the very end of its context is where it repeats itself or invents words.
const MARGIN_FRAMES: usize = 128;

/// Two frames make one encoder position, and 32 positions fill a tile of the matrix kernels.
const FRAMES_STEP: usize = 64;

/// Which part of the 30 s window the encoder reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Window {
    /// The audio, a margin of silence, and a few positions that stand for the silence up to 30 s: nearly the numbers of
    /// the whole window, for much less work. A result that the thresholds doubt is decoded again from the whole window.
    /// On a GPU, which gains little by less, and for long audio and timestamps, the whole window.
    Auto,
    /// Audio padded with silence to the whole window, as the model was trained: the reference's numbers.
    #[default]
    Exact,
    /// The audio and a margin of silence only: a little less work than [`Window::Auto`], and other words in one short
    /// sentence of four. A doubted result is decoded again as there.
    Dynamic,
}

impl Window {
    /// Number of mel frames (10 ms each) that the encoder reads for `samples` samples of audio, at most
    /// `window_frames`.
    ///
    /// Less than that is a multiple of 64, so that the encoder's positions are a multiple of 32.
    pub fn frames(self, samples: usize, window_frames: usize) -> usize {
        match self {
            Self::Exact => window_frames,
            Self::Auto => {
                let frames = trimmed(samples, window_frames);
                if Rest::behind(frames, window_frames).is_some() {
                    frames
                } else {
                    window_frames
                }
            }
            Self::Dynamic => trimmed(samples, window_frames),
        }
    }
}

/// Frames of the audio and the margin.
fn trimmed(samples: usize, window_frames: usize) -> usize {
    (samples.div_ceil(HOP_LENGTH) + MARGIN_FRAMES)
        .next_multiple_of(FRAMES_STEP)
        .min(window_frames)
}

#[cfg(test)]
mod tests {
    use super::Window;

    fn check(window: Window, audio_s: f64, expected: usize) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "small positive durations"
        )]
        let samples = (audio_s * 16_000.0) as usize;
        assert_eq!(
            window.frames(samples, 3000),
            expected,
            "{window:?}, {audio_s} s"
        );
    }

    #[test]
    fn exact_window_is_always_whole() {
        check(Window::Exact, 0.0, 3000);
        check(Window::Exact, 3.0, 3000);
        check(Window::Exact, 30.0, 3000);
    }

    #[test]
    fn dynamic_window_is_audio_and_margin_rounded_up() {
        check(Window::Dynamic, 0.0, 128);
        check(Window::Dynamic, 0.001, 192);
        check(Window::Dynamic, 3.0, 448);
        check(Window::Dynamic, 10.0, 1152);
    }

    #[test]
    fn auto_window_is_whole_where_little_is_left_out() {
        check(Window::Auto, 3.0, 448);
        check(Window::Auto, 25.5, 2_688);
        check(Window::Auto, 26.0, 3_000);
        check(Window::Auto, 30.0, 3_000);
    }

    #[test]
    fn dynamic_window_never_passes_the_models_window() {
        check(Window::Dynamic, 29.5, 3000);
        check(Window::Dynamic, 30.0, 3000);
    }

    #[test]
    fn dynamic_window_holds_all_audio_and_some_silence() {
        for samples in (0..458_000).step_by(997) {
            let frames = Window::Dynamic.frames(samples, 3000);
            assert!(frames * 160 >= samples + 128 * 160, "{samples} samples");
            assert!(
                frames.is_multiple_of(64) || frames == 3000,
                "{samples} samples"
            );
        }
    }
}
