//! The matrix of the vocabulary: a vector for each token, which reads tokens, or tells how likely each is, or both.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor};
use kernels::{Input, Level, Norm, SplitMatrix};

use super::{
    logits::Logits,
    norm::LayerNorm,
    ops::{self, BestTokens, with_slices},
    prediction::Prediction,
    source::Source,
};
use crate::{checkpoint::LoadError, precision::Arithmetic};

/// Weights `(vocab, width)`.
#[derive(Debug)]
pub(super) enum Output {
    /// In the model's number type, on any device.
    Tensor(Tensor),
    /// Rounded and split, on the CPU.
    Split(Arc<SplitMatrix>, Level),
}

impl Output {
    /// `name`: of the weights, which `read` gives.
    pub(super) fn load(
        source: &Source<'_>,
        name: &str,
        shape: [usize; 2],
        read: impl FnOnce() -> std::result::Result<Vec<f32>, LoadError>,
    ) -> std::result::Result<Self, LoadError> {
        match source.arithmetic() {
            Arithmetic::Int8(level) => {
                let matrix = source.split_matrix(name, shape, read)?;
                Ok(Self::Split(Arc::new(matrix), level))
            }
            _ => Ok(Self::Tensor(source.put(name, read()?, &shape[..])?)),
        }
    }

    /// `norm(x) · weightᵀ`, `(rows, width)` → logits for each row on the host; for those in `best`, on another device,
    /// the best token that `may_be_said`.
    pub(super) fn predictions(
        &self,
        x: &Tensor,
        norm: &LayerNorm,
        best: &[bool],
        may_be_said: Option<&BestTokens>,
    ) -> Result<Vec<Prediction>> {
        match self {
            Self::Tensor(weight) => {
                let logits = ops::products(&norm.forward(x)?, weight)?;
                match may_be_said {
                    Some(choice) if !ops::is_host(&logits) => choose(&logits, best, choice),
                    _ => to_host(&logits),
                }
            }
            Self::Split(matrix, level) => with_slices(
                [x, &norm.weight, &norm.bias].map(Some),
                |[x, weight, bias]| {
                    let x = Input::normed(x, Norm { weight, bias });
                    let rows = matrix.estimates(*level, x);
                    let logits = rows.into_iter().map(Logits::Estimates);
                    logits.map(Prediction::Logits).collect()
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

fn to_host(logits: &Tensor) -> Result<Vec<Prediction>> {
    let rows = ops::to_host_rows(logits)?.into_iter();
    let predictions = rows.map(Logits::Exact).map(Prediction::Logits);
    Ok(predictions.collect())
}

/// The rows in `best` as their best tokens, of which little comes to the host, the others whole.
fn choose(logits: &Tensor, best: &[bool], choice: &BestTokens) -> Result<Vec<Prediction>> {
    let of = |wanted: bool| -> Result<Option<Tensor>> {
        let rows = (0_u32..).zip(best).filter(|(_, best)| **best == wanted);
        let rows: Vec<u32> = rows.map(|(row, _)| row).collect();
        match rows.len() {
            0 => Ok(None),
            count if count == best.len() => Ok(Some(logits.clone())),
            _ => {
                let rows = Tensor::new(rows, logits.device())?;
                logits.index_select(&rows, 0).map(Some)
            }
        }
    };
    let chosen = match of(true)? {
        None => Vec::new(),
        Some(logits) => choice.of_rows(&logits)?,
    };
    let whole = match of(false)? {
        None => Vec::new(),
        Some(logits) => to_host(&logits)?,
    };
    let mut chosen = chosen.into_iter().map(Prediction::Best);
    let mut whole = whole.into_iter();
    let next = |best: &bool| if *best { chosen.next() } else { whole.next() };
    Ok(best.iter().filter_map(next).collect())
}
