//! Whether an attempt is believed, or tried again at a higher temperature.
//!
//! Source: `decode_with_fallback` in openai-whisper's `transcribe.py`.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::Outcome;
use crate::Options;

/// What to do with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its words count.
    Speech,
    /// Nobody spoke.
    Silence,
    /// It repeats itself or is improbable.
    Doubted,
}

/// Judges an attempt by the thresholds. A doubted last attempt counts as speech.
pub(crate) fn judge(options: &Options, outcome: &Outcome, compression_ratio: f32) -> Verdict {
    let improbable = options
        .log_prob_threshold
        .is_some_and(|threshold| outcome.avg_log_prob < threshold);
    let silent = options
        .no_speech_threshold
        .is_some_and(|threshold| outcome.no_speech_prob > threshold);
    let repetitive = options
        .compression_ratio_threshold
        .is_some_and(|threshold| compression_ratio > threshold);
    match (silent, improbable, repetitive) {
        // A probable text stands even where silence is likely too.
        (true, true, _) => Verdict::Silence,
        (true, false, _) if options.log_prob_threshold.is_none() => Verdict::Silence,
        (_, true, _) | (_, _, true) => Verdict::Doubted,
        _ => Verdict::Speech,
    }
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

    fn check(avg_log_prob: f32, no_speech_prob: f32, compression_ratio: f32, expected: Verdict) {
        let outcome = Outcome {
            tokens: Vec::new(),
            avg_log_prob,
            no_speech_prob,
        };
        assert_eq!(
            judge(&Options::default(), &outcome, compression_ratio),
            expected
        );
    }

    #[test]
    fn thresholds_decide_as_in_the_reference() {
        check(-0.3, 0.1, 1.0, Verdict::Speech);
        check(-0.3, 0.9, 1.0, Verdict::Speech);
        check(-1.5, 0.1, 1.0, Verdict::Doubted);
        check(-0.3, 0.1, 3.0, Verdict::Doubted);
        check(-1.5, 0.9, 3.0, Verdict::Silence);
    }

    #[test]
    fn repetition_compresses() {
        assert!(compression_ratio("Turn on the light in the kitchen.") < 1.2);
        assert!(compression_ratio(&"so ".repeat(60)) > 2.4);
    }
}
