//! Weights as bytes, in panels.

use rayon::prelude::*;

use super::{GROUP, Int8Matrix, OFFSET, PANEL};
use crate::{
    level::{Isa, Kernel, Level},
    linear::{from_le_bytes, inverse, largest, to_byte, to_le_bytes},
    memory::Lines,
};

impl Int8Matrix {
    /// Rounds and packs `weight`, `(outs, ins)` row-major. Values must be finite.
    ///
    /// # Panics
    /// When `weight` is not whole rows of `ins` values.
    pub fn pack(weight: &[f32], ins: usize) -> Self {
        Self::pack_with(Level::best(), weight, ins)
    }

    /// As [`Int8Matrix::pack`], which gives the same bytes at any level. Here a row with a value that is not finite
    /// gets the scale NaN.
    pub(crate) fn pack_with(level: Level, weight: &[f32], ins: usize) -> Self {
        assert!(
            ins > 0 && weight.len().is_multiple_of(ins),
            "{} values are not rows of {ins}",
            weight.len()
        );
        let mut packed = Self::zeros(weight.len() / ins, ins);
        let panel_size = packed.panel_size();
        packed
            .weights
            .par_chunks_mut(panel_size)
            .zip(packed.scales.par_chunks_mut(PANEL))
            .zip(packed.corrections.par_chunks_mut(PANEL))
            .zip(weight.par_chunks(PANEL * ins))
            .for_each(|(((panel, scales), corrections), rows)| {
                level.dispatch(PackPanel {
                    rows,
                    ins,
                    panel,
                    scales,
                    corrections,
                });
            });
        packed
    }

    /// Number of packed weights, and of scales and of corrections, of a matrix `(outs, ins)`.
    fn packed_lengths([outs, ins]: [usize; 2]) -> [usize; 2] {
        let padded = outs.next_multiple_of(PANEL);
        [padded * ins.next_multiple_of(GROUP), padded]
    }

    pub(crate) fn kept_bytes(shape: [usize; 2]) -> usize {
        let [weights, padded] = Self::packed_lengths(shape);
        weights + 8 * padded
    }

    /// The packed weights, the scales and the corrections, to be kept.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::kept_bytes([self.outs, self.ins]));
        bytes.extend(self.weights.iter().map(|weight| weight.cast_unsigned()));
        bytes.extend(to_le_bytes(&self.scales, f32::to_le_bytes));
        bytes.extend(to_le_bytes(&self.corrections, i32::to_le_bytes));
        bytes
    }

    /// What [`Int8Matrix::to_bytes`] gave for a matrix `(outs, ins)`.
    pub(crate) fn from_bytes([outs, ins]: [usize; 2], bytes: &[u8]) -> Option<Self> {
        let [packed, padded] = Self::packed_lengths([outs, ins]);
        let (weights, rest) = bytes.split_at_checked(packed)?;
        let (scales, corrections) = rest.split_at_checked(4 * padded)?;
        Some(Self {
            ins,
            outs,
            weights: weights.iter().map(|byte| byte.cast_signed()).collect(),
            scales: from_le_bytes(scales, f32::from_le_bytes),
            corrections: from_le_bytes(corrections, i32::from_le_bytes),
        })
    }

    pub(super) fn zeros(outs: usize, ins: usize) -> Self {
        let [packed, padded] = Self::packed_lengths([outs, ins]);
        Self {
            ins,
            outs,
            weights: Lines::zeroed(packed),
            scales: vec![0.0; padded],
            corrections: vec![0; padded],
        }
    }
}

/// Rows of weights → a panel.
struct PackPanel<'a> {
    /// Up to [`PANEL`] rows of `ins` values.
    rows: &'a [f32],
    ins: usize,
    panel: &'a mut [i8],
    scales: &'a mut [f32],
    corrections: &'a mut [i32],
}

impl Kernel for PackPanel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let mut bytes = vec![0; self.ins.next_multiple_of(GROUP)];
        let groups = self.panel.as_chunks_mut::<GROUP>().0;
        for (lane, row) in self.rows.chunks_exact(self.ins).enumerate() {
            let scale = largest(row) / 127.0;
            let inverse = inverse(scale);
            let mut sum = 0;
            for (byte, value) in bytes.iter_mut().zip(row) {
                *byte = to_byte(value * inverse);
                sum += i32::from(*byte);
            }
            for (group, bytes) in bytes.as_chunks::<GROUP>().0.iter().enumerate() {
                groups[group * PANEL + lane] = *bytes;
            }
            self.scales[lane] = scale;
            self.corrections[lane] = -OFFSET * sum;
        }
    }
}
