//! What the output matrix gives for one token.

use std::ops::Range;

use kernels::{Estimates, Level};

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

    /// The `count` highest tokens with their logits, in falling order; of equal ones the first. Forbidden tokens are left
    /// out.
    pub(crate) fn best(&self, count: usize) -> Vec<(u32, f32)> {
        let best = match self {
            Self::Exact(values) => kernels::highest(Level::best(), count, values),
            Self::Estimates(estimates) => estimates.highest(count),
        };
        let values = self.values();
        let best = best
            .into_iter()
            .filter_map(|token| Some((u32::try_from(token).ok()?, values[token])));
        best.filter(|(_, logit)| *logit > f32::NEG_INFINITY)
            .collect()
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

    /// Makes the `count` logits exact whose estimates are the highest, and returns them; none where all logits are exact.
    pub(crate) fn settle_favourites(&mut self, count: usize) -> Vec<f32> {
        match self {
            Self::Exact(_) => Vec::new(),
            Self::Estimates(estimates) => estimates.settle_favourites(count),
        }
    }

    /// Makes the logits exact that may be `least` or more.
    pub(crate) fn settle_above(&mut self, least: f32) {
        if let Self::Estimates(estimates) = self {
            estimates.settle_above(least);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_tokens_is_better() {
        let best = |values: &[f32], count| Logits::Exact(values.to_vec()).best(count);
        assert_eq!(
            best(&[1.0, 3.0, 3.0, 2.0], 3),
            [(1, 3.0), (2, 3.0), (3, 2.0)]
        );
        assert_eq!(best(&[f32::NEG_INFINITY, 0.0], 2), [(1, 0.0)]);
    }
}
