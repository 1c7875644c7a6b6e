//! Layer norms.

use candle_core::{Result, Tensor};

use super::{layers::Source, ops};
use crate::checkpoint::LoadError;

/// A layer norm over the last dimension.
#[derive(Debug)]
pub(super) struct LayerNorm {
    pub(super) weight: Tensor,
    pub(super) bias: Tensor,
}

impl LayerNorm {
    pub(super) fn load(source: &Source<'_>, width: usize) -> std::result::Result<Self, LoadError> {
        Ok(Self {
            weight: source.tensor("weight", &[width])?,
            bias: source.tensor("bias", &[width])?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::layer_norm(x, &self.weight, &self.bias)
    }
}
