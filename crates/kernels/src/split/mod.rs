//! A matrix of which few outputs are wanted, the highest, and only one half of whose weights is read for all of them.
//!
//! A token is chosen among 51,865 outputs, and the weights of these outputs are more than half of what a small model
//! reads from memory for it. The upper four bits of each weight say which outputs may be the highest; the lower four are
//! read for these alone, and then their values are those of [`Int8Matrix`](crate::Int8Matrix), but for how f32 rounds.
//!
//! ```text
//! weight + 128 = 16 · high + low
//!
//! high:  panel 0                        panel 1 …
//!        inputs 0..8 of outputs 0..32   inputs 8..16 of outputs 0..32  …
//! low:   output 0, inputs 0..8 8..16 …  output 1 …
//!
//! inputs 0..8 of an output: four bytes, the upper halves of which are of inputs 4..8
//! ```
//!
//! How far an estimate is off is known as well as a sum of many small independent errors is (see `estimates.rs`): what is
//! lost is not a bound, but an output that is missed once in more tokens than will ever be spoken.

mod estimates;
mod pack;
mod tile;

use std::sync::Arc;

pub use estimates::Estimates;

use crate::int8::{GROUP, Input, Inputs, OFFSET, PANEL, share_outputs};
use crate::level::{Isa, Kernel, Level};

/// Inputs of a pair of groups, whose halves share bytes.
const PAIR: usize = 2 * GROUP;
/// Twice the middle of the upper halves, 7.5: sums around it stay small enough for f32 to hold them exactly.
const TWICE_MIDDLE: i32 = 15;
/// Where the lower halves begin to count: `weight = 16 · (high − 7.5) + low − 8`.
const LOW_MIDDLE: i32 = 8;

/// A weight matrix `(outs, ins)` of bytes in two halves of four bits.
#[derive(Debug)]
pub struct SplitMatrix {
    ins: usize,
    outs: usize,
    /// `(panels, pairs of groups, PANEL, GROUP)`, padded by weights of zero, like those below.
    high: Vec<u8>,
    /// `(outs, pairs of groups, GROUP)`.
    low: Vec<u8>,
    /// One for each output, padded to whole panels, like those below.
    scales: Vec<f32>,
    high_sums: Vec<i32>,
    /// Mean of the lower halves of an output, less [`LOW_MIDDLE`].
    low_means: Vec<f32>,
    /// One for each panel: the largest standard deviation of what is left out of an output, for inputs of length 1.
    deviations: Vec<f32>,
}

impl SplitMatrix {
    /// Inputs.
    pub fn ins(&self) -> usize {
        self.ins
    }

    /// Writes row `index` of the matrix, as it was rounded, to `out` of `ins` values.
    ///
    /// # Panics
    /// When there is no such row, or `out` has another length.
    pub fn row(&self, index: usize, out: &mut [f32]) {
        assert!(index < self.outs && out.len() == self.ins, "row {index}");
        let high = self.high_of(index / PANEL).as_chunks::<GROUP>().0;
        let high = high.iter().skip(index % PANEL).step_by(PANEL);
        let pairs = high.zip(self.low_of(index).as_chunks::<GROUP>().0);
        for (out, (high, low)) in out.chunks_mut(PAIR).zip(pairs) {
            for (at, out) in out.iter_mut().enumerate() {
                let (high, low) = (high[at % GROUP], low[at % GROUP]);
                let byte = if at < GROUP {
                    high << 4 | low & 15
                } else {
                    high & 0xf0 | low >> 4
                };
                *out = (i32::from(byte) - OFFSET) as f32 * self.scales[index];
            }
        }
    }

    /// Estimates of `x · weightᵀ`, for each row of `x` by itself.
    ///
    /// A row that holds a value that is not finite gives NaN.
    ///
    /// # Panics
    /// When `x` is not whole rows.
    pub fn estimates(self: &Arc<Self>, level: Level, x: Input<'_>) -> Vec<Estimates> {
        let inputs = Inputs::quantise(level, x, self.ins);
        let rows = tile::Rows::new(&inputs, self.ins);
        let count = inputs.scales.len();
        let sums: Vec<i32> = rows.iter().map(sum).collect();
        let mut values = vec![vec![0.0; self.outs]; count];
        let products = count * self.outs * self.ins;
        let outs = values.iter_mut().map(Vec::as_mut_slice).collect();
        share_outputs(products, outs, |first, mut out| {
            let width = out.first().map_or(0, |row| row.len());
            let mut of_rows = vec![[0; PANEL]; count];
            for start in (0..width).step_by(PANEL) {
                let panel = (first + start) / PANEL;
                let of_panel = panel * PANEL..(panel + 1) * PANEL;
                tile::sums(level, self.high_of(panel), &rows, &mut of_rows);
                level.dispatch(EstimatePanel {
                    scales: &self.scales[of_panel.clone()],
                    high_sums: &self.high_sums[of_panel.clone()],
                    low_means: &self.low_means[of_panel],
                    sums: &of_rows,
                    inputs: &inputs,
                    input_sums: &sums,
                    ins: self.ins.next_multiple_of(PAIR),
                    start,
                    out: &mut out,
                });
            }
        });
        let parts = values.into_iter().zip(rows.iter()).enumerate();
        let estimates = parts.map(|(index, (values, bytes))| {
            let matrix = Arc::clone(self);
            let (scale, sum) = (inputs.scales[index], sums[index]);
            Estimates::new(matrix, level, values, bytes, scale, sum)
        });
        estimates.collect()
    }

    fn high_of(&self, panel: usize) -> &[u8] {
        let size = self.ins.next_multiple_of(PAIR) / 2 * PANEL;
        &self.high[panel * size..][..size]
    }

    fn low_of(&self, output: usize) -> &[u8] {
        let half = self.ins.next_multiple_of(PAIR) / 2;
        &self.low[output * half..][..half]
    }
}

fn sum(bytes: &[i8]) -> i32 {
    bytes.iter().map(|byte| i32::from(*byte)).sum()
}

/// Sums of the upper halves with rows of inputs → estimates of a panel's outputs.
struct EstimatePanel<'a, 'b> {
    scales: &'a [f32],
    high_sums: &'a [i32],
    low_means: &'a [f32],
    /// One for each row.
    sums: &'a [[i32; PANEL]],
    inputs: &'a Inputs,
    input_sums: &'a [i32],
    /// With padding.
    ins: usize,
    start: usize,
    out: &'a mut [&'b mut [f32]],
}

impl Kernel for EstimatePanel<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let (Some(scales), Some(high_sums), Some(low_means)) = (
            self.scales.first_chunk::<PANEL>(),
            self.high_sums.first_chunk::<PANEL>(),
            self.low_means.first_chunk::<PANEL>(),
        ) else {
            return;
        };
        let ins = i32::try_from(self.ins).unwrap_or(i32::MAX);
        // What an input of 1 everywhere gives, before the scale.
        let mut ones = [0.0; PANEL];
        for lane in 0..PANEL {
            let high = 16 * high_sums[lane] - 8 * TWICE_MIDDLE * ins;
            ones[lane] = high as f32 + low_means[lane] * self.ins as f32;
        }
        for (index, sums) in self.sums.iter().enumerate() {
            let scale = self.inputs.scales[index];
            let centre = self.inputs.centres[index];
            let input_sum = self.input_sums[index];
            let mut values = [0.0; PANEL];
            for lane in 0..PANEL {
                let high = (16 * sums[lane] - 8 * TWICE_MIDDLE * input_sum) as f32;
                let sum = high + low_means[lane] * input_sum as f32;
                values[lane] = scales[lane] * (scale * sum + centre * ones[lane]);
            }
            let out = &mut self.out[index][self.start..];
            let count = out.len().min(PANEL);
            out[..count].copy_from_slice(&values[..count]);
        }
    }
}

#[cfg(test)]
mod tests;
