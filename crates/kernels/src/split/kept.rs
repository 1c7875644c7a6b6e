//! A split matrix as bytes, to be kept.

use super::{Bounds, PAIR, PANEL, Spare, SplitMatrix};
use crate::linear::{from_le_bytes, to_le_bytes};

impl SplitMatrix {
    /// The matrix, to be kept: its parts, then numbers of four bytes from the lowest on.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = [&self.high[..], &self.low].concat();
        bytes.extend(to_le_bytes(&self.high_sums, i32::to_le_bytes));
        for floats in [
            &self.scales,
            &self.low_means,
            &self.left_out,
            &self.lengths,
            &self.mean,
        ] {
            bytes.extend(to_le_bytes(floats, f32::to_le_bytes));
        }
        for (input, weights) in self.far_columns() {
            bytes.extend(u32::try_from(input).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend(to_le_bytes(weights, f32::to_le_bytes));
        }
        bytes
    }

    /// What [`SplitMatrix::to_bytes`] gave for a matrix `(outs, ins)`; `None` for anything else.
    pub fn from_bytes([outs, ins]: [usize; 2], bytes: &[u8]) -> Option<Self> {
        if outs == 0 || ins == 0 {
            return None;
        }
        let padded = outs.next_multiple_of(PANEL);
        let stride = ins.next_multiple_of(PAIR);
        let mut left = bytes;
        let mut take = |count: usize| {
            let (taken, rest) = left.split_at_checked(count)?;
            left = rest;
            Some(taken)
        };
        let mut matrix = Self {
            high: take(padded * stride / 2)?.into(),
            low: take(outs * stride)?.into(),
            high_sums: from_le_bytes(take(4 * padded)?, i32::from_le_bytes),
            scales: from_le_bytes(take(4 * padded)?, f32::from_le_bytes),
            low_means: from_le_bytes(take(4 * padded)?, f32::from_le_bytes),
            left_out: from_le_bytes(take(4 * padded)?, f32::from_le_bytes),
            lengths: from_le_bytes(take(4 * padded)?, f32::from_le_bytes),
            mean: from_le_bytes(take(4 * ins)?, f32::from_le_bytes),
            ins,
            outs,
            far: Vec::new(),
            far_weights: Vec::new(),
            bounds: Bounds::default(),
            spare: Spare::default(),
        };
        matrix.bounds = Bounds::of(&matrix.left_out, &matrix.lengths);
        let columns = left.chunks_exact(4 * (outs + 1));
        if !columns.remainder().is_empty() {
            return None;
        }
        for column in columns {
            let (input, weights) = column.split_first_chunk()?;
            let input = usize::try_from(u32::from_le_bytes(*input)).ok()?;
            matrix.far.push(Some(input).filter(|input| *input < ins)?);
            matrix
                .far_weights
                .extend(from_le_bytes(weights, f32::from_le_bytes));
        }
        Some(matrix)
    }
}
