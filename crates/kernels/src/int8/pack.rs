//! Weights as bytes, in panels.

use rayon::prelude::*;

use super::{
    GROUP, Int8Matrix, OFFSET, PANEL,
    inputs::{inverse, largest, to_byte},
};
use crate::level::{Isa, Kernel, Level};

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

    /// What a change of the packing changes, for packed matrices that are kept.
    pub const LAYOUT: u32 = 1;

    /// Number of packed weights, and of scales and of corrections, of a matrix `(outs, ins)`.
    pub fn packed_lengths([outs, ins]: [usize; 2]) -> [usize; 2] {
        let padded = outs.next_multiple_of(PANEL);
        [padded * ins.next_multiple_of(GROUP), padded]
    }

    /// The packed weights, the scales and the corrections, to be kept.
    pub fn parts(&self) -> (&[i8], &[f32], &[i32]) {
        (&self.weights, &self.scales, &self.corrections)
    }

    /// What [`Int8Matrix::parts`] gave for a matrix `(outs, ins)`; `None` for parts of other lengths.
    pub fn from_parts(
        [outs, ins]: [usize; 2],
        weights: Vec<i8>,
        scales: Vec<f32>,
        corrections: Vec<i32>,
    ) -> Option<Self> {
        let [packed, padded] = Self::packed_lengths([outs, ins]);
        let fits = ins > 0
            && weights.len() == packed
            && scales.len() == padded
            && corrections.len() == padded;
        fits.then_some(Self {
            ins,
            outs,
            weights,
            scales,
            corrections,
        })
    }

    pub(super) fn zeros(outs: usize, ins: usize) -> Self {
        let [packed, padded] = Self::packed_lengths([outs, ins]);
        Self {
            ins,
            outs,
            weights: vec![0; packed],
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
