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
}
