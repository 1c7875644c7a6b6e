//! What the decoder says of the next token of one row.

use super::logits::Logits;

/// All logits, or what greedy decoding needs of them.
#[derive(Clone, Debug)]
pub(crate) enum Prediction {
    /// Of the whole vocabulary.
    Logits(Logits),
    /// The best token alone.
    Best(Best),
}

/// The best token that may be said, as found on the device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Best {
    /// The first of the highest.
    pub(crate) token: u32,
    /// Its logit, and the logarithm of the sum of the exponentials of all that may be said.
    pub(crate) logit: f32,
    pub(crate) total: f32,
}

impl Prediction {
    /// `None` where only the best token is known.
    pub(crate) fn logits(self) -> Option<Logits> {
        match self {
            Self::Logits(logits) => Some(logits),
            Self::Best(_) => None,
        }
    }
}

/// Where a prediction is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// Index of a token, counted over all spans of a pass.
    pub(super) token: u32,
    /// Whether the best token that may be said is enough.
    pub(super) best: bool,
}
