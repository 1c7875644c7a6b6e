//! A text on its way.

use super::naming::Track;

/// Tokens that were chosen one after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Hypothesis {
    pub(super) tokens: Vec<u32>,
    pub(super) sum_log_prob: f32,
    pub(super) track: Track,
}

impl Hypothesis {
    /// Log probability, and what the names are worth that it has.
    pub(super) fn score(&self) -> f32 {
        self.sum_log_prob + self.track.credit()
    }

    /// Of a token.
    pub(super) fn mean_log_prob(&self) -> f32 {
        stretched(self.sum_log_prob, self.tokens.len(), 1)
    }

    /// The score that it would have with `length` tokens of its mean log probability: by means hypotheses of beams are
    /// ranked, while what a name is worth does not depend on how long the text around it is.
    pub(super) fn score_at(&self, length: usize) -> f32 {
        stretched(self.sum_log_prob, self.tokens.len(), length) + self.track.credit()
    }
}

/// A sum over `count` tokens as it would be over `length`.
pub(super) fn stretched(sum: f32, count: usize, length: usize) -> f32 {
    sum * (length as f32 / count.max(1) as f32)
}
