//! Weights of the parts that encoder and decoder share.

use candle_core::Tensor;
use kernels::Rounding;

use super::{
    ModelError,
    matrix::{Matrix, Room},
    norm::LayerNorm,
};
use crate::checkpoint::LoadError;

pub(super) use super::source::Source;

/// A linear layer: weight `(out, in)` as stored, which is the order that products of few rows read.
#[derive(Debug)]
pub(super) struct Linear {
    weight: Matrix,
    bias: Tensor,
}

impl Linear {
    pub(super) fn load(source: &Source<'_>, ins: usize, outs: usize) -> Result<Self, LoadError> {
        Ok(Self {
            weight: source.matrix("weight", [outs, ins], || {
                source.read("weight", &[outs, ins])
            })?,
            bias: source.tensor("bias", &[outs])?,
        })
    }

    /// A convolution of width 3 as a linear layer over [`ops::unfold`]: `(out, in, tap)` → `(out, tap * in)`.
    pub(super) fn load_convolution(
        source: &Source<'_>,
        ins: usize,
        outs: usize,
    ) -> Result<Self, LoadError> {
        const TAPS: usize = 3;
        let weight = || {
            let stored = source.read("weight", &[outs, ins, TAPS])?;
            let mut weight = Vec::with_capacity(stored.len());
            for filter in stored.chunks_exact(ins * TAPS) {
                for tap in 0..TAPS {
                    weight.extend(filter.iter().skip(tap).step_by(TAPS));
                }
            }
            Ok(weight)
        };
        Ok(Self {
            weight: source.matrix("weight", [outs, TAPS * ins], weight)?,
            bias: source.tensor("bias", &[outs])?,
        })
    }

    /// Several projections of one input as one product: their weights one below the other.
    pub(super) fn load_joined(
        source: &Source<'_>,
        width: usize,
        parts: &[Projection],
    ) -> Result<Self, LoadError> {
        let rows = parts.len() * width;
        let names: Vec<&str> = parts.iter().map(|part| part.name).collect();
        let joined = names.join("+");
        let weight = || {
            let mut weight = Vec::with_capacity(rows * width);
            for part in parts {
                let stored = source.at(part.name).read("weight", &[width, width])?;
                weight.extend(stored.into_iter().map(|value| value * part.scale));
            }
            Ok(weight)
        };
        let bias = || {
            let mut bias = Vec::with_capacity(rows);
            for part in parts {
                if part.has_bias {
                    let stored = source.at(part.name).read("bias", &[width])?;
                    bias.extend(stored.into_iter().map(|value| value * part.scale));
                } else {
                    bias.resize(bias.len() + width, 0.0);
                }
            }
            Ok(bias)
        };
        Ok(Self {
            weight: source.matrix(&format!("{joined}.weight"), [rows, width], weight)?,
            bias: source.tensor_of(&format!("{joined}.bias"), &[rows], bias)?,
        })
    }

    /// Weight and bias.
    pub(super) fn parts(&self) -> (&Matrix, &Tensor) {
        (&self.weight, &self.bias)
    }

    pub(super) fn forward(&self, x: &Tensor, room: &mut Room) -> candle_core::Result<Tensor> {
        self.weight.linear(x, None, &self.bias, false, room)
    }

    /// Of the norm of `x`.
    pub(super) fn forward_normed(
        &self,
        norm: &LayerNorm,
        x: &Tensor,
        room: &mut Room,
    ) -> candle_core::Result<Tensor> {
        self.weight.linear(x, Some(norm), &self.bias, false, room)
    }

    /// With a GELU behind.
    pub(super) fn forward_gelu(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let room = &mut Room::default();
        self.weight.linear(x, None, &self.bias, true, room)
    }

    /// Adds to `sum`, whose values may be overwritten.
    pub(super) fn add_to(&self, sum: Tensor, x: &Tensor) -> candle_core::Result<Tensor> {
        self.weight.add_linear(sum, x, &self.bias)
    }
}

/// One of the projections of an attention block.
pub(super) struct Projection {
    name: &'static str,
    scale: f32,
    has_bias: bool,
}

impl Projection {
    /// The queries, scaled by `1 / √head_width` at load so that attention need not.
    pub(super) fn queries(head_width: usize) -> Self {
        Self {
            name: "q_proj",
            scale: 1.0 / (head_width as f32).sqrt(),
            has_bias: true,
        }
    }

    /// The keys: the only projection of Whisper without a bias.
    pub(super) fn keys() -> Self {
        Self {
            name: "k_proj",
            scale: 1.0,
            has_bias: false,
        }
    }

    pub(super) fn values() -> Self {
        Self {
            name: "v_proj",
            scale: 1.0,
            has_bias: true,
        }
    }
}

/// The two linear layers behind attention, with their norm in front and the residual around: `x + f(norm(x))`.
#[derive(Debug)]
pub(super) struct FeedForward {
    norm: LayerNorm,
    widen: Linear,
    narrow: Linear,
}

impl FeedForward {
    /// `source`: the layer. The inner width is what the weights have: config.json's copy of it is not needed.
    /// `narrow`: how the second is rounded.
    pub(super) fn load(
        source: &Source<'_>,
        width: usize,
        narrow: Rounding,
    ) -> Result<Self, LoadError> {
        let inner = source.rows("fc1.weight")?;
        Ok(Self {
            norm: LayerNorm::load(&source.at("final_layer_norm"), width)?,
            widen: Linear::load(&source.at("fc1"), width, inner)?,
            narrow: Linear::load(&source.at("fc2").rounded(narrow), inner, width)?,
        })
    }

    /// The values of `x` may be overwritten.
    pub(super) fn forward(&self, x: Tensor) -> candle_core::Result<Tensor> {
        let layers = [&self.widen, &self.narrow].map(Linear::parts);
        Matrix::feed_forward(x, &self.norm, layers)
    }
}

/// Names the part of the network in an error.
pub(crate) fn computing(operation: &'static str) -> impl Fn(candle_core::Error) -> ModelError {
    move |source| ModelError::Compute { operation, source }
}
