//! Weight matrices in the precision of the model.

use candle_core::{Device, Result, Tensor};
use kernels::{Input, IntMatrix, Layer, Level, Norm};

use super::{
    norm::LayerNorm,
    ops::{self, Then, change, with_slices},
};

/// A weight matrix `(out, in)`.
#[derive(Debug)]
pub(super) enum Matrix {
    /// In the model's number type, on any device, and whether that has our own kernels.
    Tensor(Tensor, bool),
    /// Rounded to integers and packed, on the CPU.
    Int(IntMatrix, Level),
}

/// Memory for the results of one operation, one after the other: each overwrites the one before. New memory would have
/// to be zeroed each time, which took a twentieth of an encoder's time.
#[derive(Debug, Default)]
pub(super) struct Room(Option<Tensor>);

impl Room {
    /// `(rows, width)` in f32 on the CPU, values of no meaning.
    pub(super) fn tensor(&mut self, rows: usize, width: usize) -> Result<Tensor> {
        match &self.0 {
            Some(tensor) if tensor.dims() == [rows, width] => Ok(tensor.clone()),
            _ => {
                let values = kernels::zeros(rows * width);
                let tensor = Tensor::from_vec(values, (rows, width), &Device::Cpu)?;
                self.0 = Some(tensor.clone());
                Ok(tensor)
            }
        }
    }
}

impl Matrix {
    /// `x · weightᵀ + bias`, with a norm of `x` before, and a GELU behind if `gelu`. `x`: `(rows, in)`, `bias`:
    /// `(out)`.
    pub(super) fn linear(
        &self,
        x: &Tensor,
        norm: Option<&LayerNorm>,
        bias: &Tensor,
        gelu: bool,
        room: &mut Room,
    ) -> Result<Tensor> {
        match self {
            Self::Tensor(weight, has_fused) => {
                let then = if gelu { Then::Gelu } else { Then::Nothing };
                match norm {
                    None => ops::linear(x, weight, bias, then, *has_fused),
                    Some(norm) => ops::linear(&norm.forward(x)?, weight, bias, then, *has_fused),
                }
            }
            Self::Int(weight, level) => {
                let then = if gelu {
                    kernels::Then::Gelu
                } else {
                    kernels::Then::Nothing
                };
                let out = room.tensor(x.dim(0)?, weight.shape()[0])?;
                int_products(weight, *level, x, norm, bias, then, &out)?;
                Ok(out)
            }
        }
    }

    /// `sum + x · weightᵀ + bias`. The values of `sum` may be overwritten: nothing else may read them.
    pub(super) fn add_linear(&self, sum: Tensor, x: &Tensor, bias: &Tensor) -> Result<Tensor> {
        match self {
            Self::Tensor(weight, has_fused) => {
                ops::linear(x, weight, bias, Then::Add(&sum), *has_fused)
            }
            Self::Int(weight, level) => {
                let add = kernels::Then::Add;
                int_products(weight, *level, x, None, bias, add, &sum)?;
                Ok(sum)
            }
        }
    }

    /// `x + narrow(gelu(widen(norm(x))))`, where each layer is a matrix and its bias. The values of `x` may be
    /// overwritten: nothing else may read them.
    pub(super) fn feed_forward(
        x: Tensor,
        norm: &LayerNorm,
        [widen, narrow]: [(&Self, &Tensor); 2],
    ) -> Result<Tensor> {
        let ((Self::Int(first, level), first_bias), (Self::Int(second, _), second_bias)) =
            (widen, narrow)
        else {
            let room = &mut Room::default();
            let inner = widen.0.linear(&x, Some(norm), widen.1, true, room)?;
            return narrow.0.add_linear(x, &inner, narrow.1);
        };
        with_slices(
            [&norm.weight, &norm.bias, first_bias, second_bias].map(Some),
            |[weight, bias, first_bias, second_bias]| {
                let layers = [(first, first_bias), (second, second_bias)]
                    .map(|(matrix, bias)| Layer { matrix, bias });
                change(&x, |x| {
                    kernels::feed_forward(*level, x, Norm { weight, bias }, layers);
                })
            },
        )??;
        Ok(x)
    }
}

/// Writes to `out`.
fn int_products(
    matrix: &IntMatrix,
    level: Level,
    x: &Tensor,
    norm: Option<&LayerNorm>,
    bias: &Tensor,
    then: kernels::Then,
    out: &Tensor,
) -> Result<()> {
    let norm_weight = norm.map(|norm| &norm.weight);
    let norm_bias = norm.map(|norm| &norm.bias);
    with_slices(
        [Some(x), Some(bias), norm_weight, norm_bias],
        |[values, bias, norm_weight, norm_bias]| {
            let input = match norm {
                None => Input::plain(values),
                Some(_) => Input::normed(
                    values,
                    Norm {
                        weight: norm_weight,
                        bias: norm_bias,
                    },
                ),
            };
            change(out, |out| matrix.products(level, input, bias, then, out))
        },
    )?
}
