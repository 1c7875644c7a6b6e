//! Which language is spoken.
//!
//! Source: `detect_language` in openai-whisper's `decoding.py`: the logits after the start of
//! transcript, over the language tokens only.

use crate::model::{Logits, log_sum_exp};
use crate::vocabulary::Vocabulary;

/// A language and how probable it is among those that were allowed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Detected {
    pub language: String,
    pub probability: f32,
}

/// The most probable of the allowed languages; of all when none of the allowed is known.
pub(crate) fn choose(
    vocabulary: &Vocabulary,
    allowed: &[String],
    mut logits: Logits,
) -> Option<Detected> {
    let of_logits = |(code, &token): (&String, &u32)| {
        let token = token as usize;
        logits.settle(token..token + 1);
        Some((code.clone(), *logits.values().get(token)?))
    };
    let known: Vec<(String, f32)> = vocabulary
        .language_tokens()
        .iter()
        .filter_map(of_logits)
        .collect();
    let mut candidates: Vec<(String, f32)> = known
        .iter()
        .filter(|(code, _)| allowed.contains(code))
        .cloned()
        .collect();
    if candidates.is_empty() {
        candidates = known;
    }
    let values: Vec<f32> = candidates.iter().map(|(_, logit)| *logit).collect();
    let total = log_sum_exp(&values);
    candidates
        .into_iter()
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(language, logit)| Detected {
            language,
            probability: (logit - total).exp(),
        })
}
