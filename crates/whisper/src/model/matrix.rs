//! Weight matrices in the precision of the model.

use candle_core::{Device, Result, Tensor};
use kernels::{Int8Matrix, Layer, Level};

use super::ops::{self, Then, with_slice, with_slices};

/// A weight matrix `(out, in)`.
#[derive(Debug)]
pub(super) enum Matrix {
    /// In the model's number type, on any device.
    Tensor(Tensor),
    /// Rounded and packed, on the CPU.
    Int8(Int8Matrix, Level),
}

impl Matrix {
    /// `x · weightᵀ + bias`, and what follows. `x`: `(rows, in)`, `bias`: `(out)`.
    pub(super) fn linear(&self, x: &Tensor, bias: &Tensor, then: Then<'_>) -> Result<Tensor> {
        match self {
            Self::Tensor(weight) => ops::linear(x, weight, bias, then),
            Self::Int8(weight, level) => {
                let mut out = kernels::zeros(x.dim(0)? * weight.outs());
                let mut compute = |x: &[f32], bias: &[f32], then: kernels::Then<'_>| {
                    weight.products(*level, x, bias, then, &mut out);
                };
                match then {
                    Then::Nothing => with_slices([x, bias], |[x, bias]| {
                        compute(x, bias, kernels::Then::Nothing);
                    }),
                    Then::Gelu => with_slices([x, bias], |[x, bias]| {
                        compute(x, bias, kernels::Then::Gelu);
                    }),
                    Then::Add(other) => with_slices([x, bias, other], |[x, bias, other]| {
                        compute(x, bias, kernels::Then::Add(other));
                    }),
                }?;
                Tensor::from_vec(out, (x.dim(0)?, weight.outs()), &Device::Cpu)
            }
        }
    }

    /// `narrow(gelu(widen(x))) + residual`, where each layer is a matrix and its bias.
    pub(super) fn feed_forward(
        x: &Tensor,
        [widen, narrow]: [(&Self, &Tensor); 2],
        residual: &Tensor,
    ) -> Result<Tensor> {
        let ((Self::Int8(first, level), first_bias), (Self::Int8(second, _), second_bias)) =
            (widen, narrow)
        else {
            let inner = widen.0.linear(x, widen.1, Then::Gelu)?;
            return narrow.0.linear(&inner, narrow.1, Then::Add(residual));
        };
        let mut out = kernels::zeros(x.dim(0)? * second.outs());
        with_slices(
            [x, first_bias, second_bias, residual],
            |[x, first_bias, second_bias, residual]| {
                let layers = [(first, first_bias), (second, second_bias)]
                    .map(|(matrix, bias)| Layer { matrix, bias });
                kernels::feed_forward(*level, x, layers, residual, &mut out);
            },
        )?;
        Tensor::from_vec(out, (x.dim(0)?, second.outs()), &Device::Cpu)
    }

    /// `x · weightᵀ`: `(rows, in)` → `(rows, out)`.
    pub(super) fn products(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Tensor(weight) => ops::products(x, weight),
            Self::Int8(weight, level) => {
                let mut out = kernels::zeros(x.dim(0)? * weight.outs());
                with_slice(x, |x| {
                    weight.products(*level, x, &[], kernels::Then::Nothing, &mut out);
                })?;
                Tensor::from_vec(out, (x.dim(0)?, weight.outs()), &Device::Cpu)
            }
        }
    }

    /// Rows `tokens` plus rows `positions` of the position table: `(tokens, in)`.
    pub(super) fn embed(
        &self,
        position_table: &Tensor,
        tokens: &[u32],
        positions: &[u32],
    ) -> Result<Tensor> {
        match self {
            Self::Tensor(weight) => ops::embed(weight, position_table, tokens, positions),
            Self::Int8(weight, _) => {
                let mut rows = vec![0.0; tokens.len() * weight.ins()];
                for (token, row) in tokens.iter().zip(rows.chunks_exact_mut(weight.ins())) {
                    weight.row(usize::try_from(*token)?, row);
                }
                let rows = Tensor::from_vec(rows, (tokens.len(), weight.ins()), &Device::Cpu)?;
                rows + position_table.index_select(&Tensor::new(positions, &Device::Cpu)?, 0)?
            }
        }
    }
}
