//! Which language is spoken.
//!
//! Source: `detect_language` in openai-whisper's `decoding.py`: the logits after the start of
//! transcript, over the language tokens only.

use crate::model::log_sum_exp;
use crate::state::State;
use crate::vocabulary::Vocabulary;
use crate::{Model, ModelError, Prefill};

/// A language and how probable it is among those that were allowed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Detected {
    pub language: String,
    pub probability: f32,
}

/// Detects the languages of some items of a state, whose rows are left empty.
pub(crate) fn detect(
    model: &Model,
    vocabulary: &Vocabulary,
    state: &mut State,
    items: &[(usize, &[String])],
) -> Result<Vec<Option<Detected>>, ModelError> {
    let start = [vocabulary.start_of_transcript()];
    let rows_per_item = state.rows_per_item();
    let prompts: Vec<Prefill<'_>> = items
        .iter()
        .map(|&(item, _)| Prefill {
            row: item * rows_per_item,
            tokens: &start,
            asked: &[0],
        })
        .collect();
    if prompts.is_empty() {
        return Ok(Vec::new());
    }
    let logits = model.prefill_rows(state, &prompts)?;
    for prompt in &prompts {
        state.clear(prompt.row);
    }
    Ok(items
        .iter()
        .zip(logits)
        .map(|(&(_, allowed), logits)| choose(vocabulary, allowed, logits.first()?))
        .collect())
}

/// The most probable of the allowed languages; of all when none of the allowed is known.
fn choose(vocabulary: &Vocabulary, allowed: &[String], logits: &[f32]) -> Option<Detected> {
    let of_logits =
        |(code, &token): (&String, &u32)| Some((code.clone(), *logits.get(token as usize)?));
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
