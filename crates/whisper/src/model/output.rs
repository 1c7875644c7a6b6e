//! The matrix of the vocabulary: a vector for each token, which reads tokens, or tells how likely each is, or both.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor};
use kernels::{Input, Level, Norm, SplitMatrix};

use super::{
    logits::Logits,
    matrix::Matrix,
    norm::LayerNorm,
    ops::{self, with_slices},
};

/// Weights `(vocab, width)`.
#[derive(Debug)]
pub(super) enum Output {
    /// In the model's number type, on any device.
    Tensor(Tensor),
    /// Rounded and split, on the CPU.
    Split(Arc<SplitMatrix>, Level),
}

impl From<Matrix> for Output {
    fn from(matrix: Matrix) -> Self {
        match matrix {
            Matrix::Tensor(tensor) => Self::Tensor(tensor),
            Matrix::Int8(matrix, level) => Self::Split(Arc::new(SplitMatrix::new(&matrix)), level),
        }
    }
}

impl Output {
    /// `norm(x) · weightᵀ` on the host: `(rows, width)` → logits for each row.
    pub(super) fn logits(&self, x: &Tensor, norm: &LayerNorm) -> Result<Vec<Logits>> {
        match self {
            Self::Tensor(weight) => {
                let rows = ops::to_host_rows(&ops::products(&norm.forward(x)?, weight)?)?;
                Ok(rows.into_iter().map(Logits::Exact).collect())
            }
            Self::Split(matrix, level) => with_slices(
                [x, &norm.weight, &norm.bias].map(Some),
                |[x, weight, bias]| {
                    let x = Input::normed(x, Norm { weight, bias });
                    let rows = matrix.estimates(*level, x);
                    rows.into_iter().map(Logits::Estimates).collect()
                },
            ),
        }
    }

    /// Rows `tokens` plus rows `positions` of the position table: `(tokens, width)`.
    pub(super) fn embed(
        &self,
        position_table: &Tensor,
        tokens: &[u32],
        positions: &[u32],
    ) -> Result<Tensor> {
        match self {
            Self::Tensor(weight) => ops::embed(weight, position_table, tokens, positions),
            Self::Split(matrix, _) => {
                let width = matrix.ins();
                let mut rows = vec![0.0; tokens.len() * width];
                for (token, row) in tokens.iter().zip(rows.chunks_exact_mut(width)) {
                    matrix.row(usize::try_from(*token)?, row);
                }
                let rows = Tensor::from_vec(rows, (tokens.len(), width), &Device::Cpu)?;
                rows + position_table.index_select(&Tensor::new(positions, &Device::Cpu)?, 0)?
            }
        }
    }
}
