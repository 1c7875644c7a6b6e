//! Whether an attempt is believed, or another is made; and which of several doubted ones is the answer.
//!
//! Source: `decode_with_fallback` in openai-whisper's `transcribe.py`, and faster-whisper's for the choice. What silence
//! is follows other numbers: OpenAI's models are sure of what they invent, so that asking for a high probability of
//! silence *and* a low one of the words keeps most of it.

use std::cmp::Ordering;
use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::Outcome;
use crate::Options;

/// Mean log probability at which the threshold for silence is what it says. Of 1,000 orders, at four levels of noise
/// and loudness, nine in ten are above it.
const USUAL_LOG_PROB: f32 = -0.4;
/// By how much the threshold falls for each unit of log probability below that.
const FALL: f32 = 0.5;
/// Below this probability of silence there is speech, however unclear: of 1,000 orders that tiny.en hears none is above
/// 0.20, and of 448 sounds without speech none is below 0.24.
const SPEECH_IS_LIKELY: f32 = 0.22;
/// What is this many times as improbable as what is doubted is no transcript: of 1,000 orders the worst greedy attempt
/// has −1.2, and noise at temperature 1 has −4 to −6.
const HOPELESS: f32 = 2.0;

/// What to do with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its words count.
    Speech,
    /// There is no speech.
    Silence,
    /// It repeats itself or is improbable.
    Doubted,
}

/// How a window is heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Way {
    /// As the options say.
    #[default]
    Usual,
    /// With nothing before it that is taken for what was said.
    Unprompted,
    /// Only up to this mel frame of the audio, without a prompt, and as one segment.
    Plain {
        /// Where it ends.
        end: usize,
    },
}

/// An attempt that has ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tried {
    pub outcome: Outcome,
    pub temperature: f32,
    pub compression_ratio: f32,
    pub way: Way,
    pub is_repetitive: bool,
    /// It has too few words for so much speech.
    pub is_sparse: bool,
}

impl Tried {
    /// At temperature 0, in the usual way, with words enough.
    pub(crate) fn new(options: &Options, outcome: Outcome, text: &str) -> Self {
        let compression_ratio = compression_ratio(text.trim());
        let is_repetitive = options
            .compression_ratio_threshold
            .is_some_and(|threshold| compression_ratio > threshold);
        Self {
            outcome,
            temperature: 0.0,
            compression_ratio,
            way: Way::Usual,
            is_repetitive,
            is_sparse: false,
        }
    }

    /// Judges it by the thresholds.
    pub(crate) fn verdict(&self, options: &Options) -> Verdict {
        if is_silence(options, &self.outcome) {
            Verdict::Silence
        } else if self.is_improbable(options) || self.is_repetitive || self.is_sparse {
            Verdict::Doubted
        } else {
            Verdict::Speech
        }
    }

    pub(crate) fn is_improbable(&self, options: &Options) -> bool {
        options
            .log_prob_threshold
            .is_some_and(|threshold| self.outcome.avg_log_prob < threshold)
    }

    /// Whether no words can be made out, where this is the best of all attempts.
    pub(crate) fn is_hopeless(&self, options: &Options) -> bool {
        let is_improbable = options
            .log_prob_threshold
            .is_some_and(|threshold| self.outcome.avg_log_prob < HOPELESS * threshold);
        is_improbable || self.is_repetitive
    }

    /// Whether the model is not sure that there is speech.
    pub(crate) fn may_be_silence(&self) -> bool {
        self.outcome.no_speech_prob > SPEECH_IS_LIKELY / 2.0
    }

    /// The better of two: one that does not repeat itself, then one with words enough, then the more probable; the
    /// first of equal ones.
    pub(crate) fn better(self, other: Self) -> Self {
        let flaws = |tried: &Self| (tried.is_repetitive, tried.is_sparse);
        let order = flaws(&other).cmp(&flaws(&self)).then(
            self.outcome
                .avg_log_prob
                .total_cmp(&other.outcome.avg_log_prob),
        );
        if order == Ordering::Less { other } else { self }
    }
}

/// Whether the model itself takes the audio for silence. Both of its numbers count: the less probable the words, the
/// less the probability of silence that is enough.
fn is_silence(options: &Options, outcome: &Outcome) -> bool {
    let Some(threshold) = options.no_speech_threshold else {
        return false;
    };
    let doubt = options.log_prob_threshold.map_or(0.0, |_| {
        FALL * (outcome.avg_log_prob - USUAL_LOG_PROB).min(0.0)
    });
    outcome.no_speech_prob > (threshold + doubt).max(threshold.min(SPEECH_IS_LIKELY))
}

/// Bytes of the text over bytes of its zlib stream: high when it repeats itself.
pub(crate) fn compression_ratio(text: &str) -> f32 {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let compressed = encoder
        .write_all(text.as_bytes())
        .and_then(|()| encoder.finish())
        .map_or(0, |bytes| bytes.len());
    text.len() as f32 / compressed.max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(avg_log_prob: f32, no_speech_prob: f32, text: &str) -> Tried {
        let outcome = Outcome {
            tokens: Vec::new(),
            avg_log_prob,
            no_speech_prob,
        };
        Tried::new(&Options::default(), outcome, text)
    }

    fn check(avg_log_prob: f32, no_speech_prob: f32, text: &str, expected: Verdict) {
        let tried = tried(avg_log_prob, no_speech_prob, text);
        assert_eq!(tried.verdict(&Options::default()), expected);
    }

    fn repeated() -> String {
        "so ".repeat(60)
    }

    #[test]
    fn improbable_and_repetitive_attempts_are_doubted() {
        check(-0.3, 0.1, "Turn it on.", Verdict::Speech);
        check(-1.5, 0.1, "Turn it on.", Verdict::Doubted);
        check(-0.3, 0.1, &repeated(), Verdict::Doubted);
    }

    #[test]
    fn silence_is_what_both_numbers_say_together() {
        // What tiny.en and base make of orders: recorded, with a kitchen 5 dB below, at their least clear.
        check(-0.15, 0.18, "May I have a mocha?", Verdict::Speech);
        check(-0.12, 0.37, "Can I have a mocha?", Verdict::Speech);
        check(-0.94, 0.07, "Brew us more latte.", Verdict::Speech);
        check(-1.08, 0.15, "through a house pocket", Verdict::Doubted);
        // And of silence, noise, music and a room.
        check(-0.40, 0.95, "you", Verdict::Silence);
        check(-0.04, 0.83, &repeated(), Verdict::Silence);
        check(-1.47, 0.40, "you", Verdict::Silence);
        check(-0.33, 0.69, "JR", Verdict::Silence);
        check(-1.08, 0.26, "Thank you.", Verdict::Silence);
        check(-0.30, 0.56, "JR", Verdict::Silence);
        check(-1.33, 0.40, "Good morning.", Verdict::Silence);
        check(-1.50, 0.90, &repeated(), Verdict::Silence);
    }

    #[test]
    fn without_a_threshold_nothing_is_silence() {
        let sure = tried(-0.4, 0.95, "you");
        let options = Options {
            no_speech_threshold: None,
            ..Options::default()
        };
        assert_eq!(sure.verdict(&options), Verdict::Speech);
        let options = Options {
            log_prob_threshold: None,
            ..Options::default()
        };
        assert_eq!(tried(-3.0, 0.5, "you").verdict(&options), Verdict::Speech);
        assert_eq!(tried(-3.0, 0.7, "you").verdict(&options), Verdict::Silence);
    }

    #[test]
    fn the_most_probable_attempt_that_does_not_repeat_itself_is_the_best() {
        let attempts = [
            tried(-0.1, 0.0, &repeated()),
            tried(-1.2, 0.0, "first"),
            tried(-1.1, 0.0, "second"),
            tried(-1.1, 0.0, "third"),
            tried(-5.0, 0.0, "random"),
        ];
        let best = attempts.into_iter().reduce(Tried::better).unwrap();
        assert_eq!(
            (best.outcome.avg_log_prob, best.is_repetitive),
            (-1.1, false)
        );
        assert!(!best.is_hopeless(&Options::default()));
        let worst = tried(-2.1, 0.0, "random");
        assert!(worst.is_hopeless(&Options::default()));
        assert!(tried(-0.1, 0.0, &repeated()).is_hopeless(&Options::default()));
        let sparse = Tried {
            is_sparse: true,
            ..tried(-0.1, 0.0, "few")
        };
        assert!(!sparse.is_hopeless(&Options::default()));
        assert!(!sparse.better(tried(-0.9, 0.0, "more")).is_sparse);
    }

    #[test]
    fn repetition_compresses() {
        assert!(compression_ratio("Turn on the light in the kitchen.") < 1.2);
        assert!(compression_ratio(&repeated()) > 2.4);
    }
}
