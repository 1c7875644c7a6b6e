//! What the output matrix gives for one token.

use std::ops::Range;

use kernels::Estimates;

/// Logits `(vocab)`, some of which may be estimates until they are settled.
#[derive(Clone, Debug)]
pub(crate) enum Logits {
    Exact(Vec<f32>),
    Estimates(Estimates),
}

impl Logits {
    pub(crate) fn values(&self) -> &[f32] {
        match self {
            Self::Exact(values) => values,
            Self::Estimates(estimates) => estimates.values(),
        }
    }

    /// To forbid tokens by −∞, which stays.
    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        match self {
            Self::Exact(values) => values,
            Self::Estimates(estimates) => estimates.values_mut(),
        }
    }

    /// Makes the logits of some tokens exact.
    pub(crate) fn settle(&mut self, tokens: Range<usize>) {
        if let Self::Estimates(estimates) = self {
            estimates.settle(tokens);
        }
    }

    /// Makes the `count` highest exact, and with them which ones they are.
    pub(crate) fn settle_highest(&mut self, count: usize) {
        if let Self::Estimates(estimates) = self {
            estimates.settle_highest(count);
        }
    }

    /// All, exact.
    pub(crate) fn exact(self) -> Vec<f32> {
        match self {
            Self::Exact(values) => values,
            Self::Estimates(estimates) => estimates.exact(),
        }
    }
}
