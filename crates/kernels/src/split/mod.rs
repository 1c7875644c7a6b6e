//! A matrix of which few outputs are wanted, the highest, and only one half of whose weights is read for all of them.
//!
//! A token is chosen among 51,865 outputs, and the weights of these outputs are more than half of what a small model
//! reads from memory for it. Weights have 12 bits; the upper four say which outputs may be the highest, and the lower
//! eight are read for these alone, whose values are products of the weights with the inputs as they came, in f32.
//!
//! ```text
//! weight + 2048 = 256 · high + low
//!
//! high:  panel 0                        panel 1 …
//!        inputs 0..8 of outputs 0..32   inputs 8..16 of outputs 0..32  …
//! low:   output 0, inputs 0..8 8..16 …  output 1 …
//!
//! high, inputs 0..8 of an output: four bytes, the upper halves of which are of inputs 4..8
//! ```
//!
//! How far an estimate is off is known as well as a sum of many small independent errors is (see `estimates.rs`): what is
//! lost is not a bound, but an output that is missed once in millions of tokens.
//!
//! OpenAI's vocabularies have a column some 30 times as large as the others, which leaves the others no bits of the upper
//! four: every output may be the highest then. So such far columns are kept apart, in f32, and what all rows have in common
//! is taken from them first; that shifts all outputs alike.

mod estimates;
mod high;
mod kept;
mod pack;
mod spare;
mod tile;

use std::sync::Arc;

pub use estimates::Estimates;
use high::Bounds;
pub use high::highest;
use spare::Spare;

use crate::{
    level::{Isa, Kernel, Level},
    linear::{GROUP, Input, Inputs, PANEL, share_outputs},
    memory::Lines,
};

/// Inputs of a pair of groups, whose upper parts share bytes.
const PAIR: usize = 2 * GROUP;
/// What an upper part counts.
const HIGH: i32 = 256;
/// Twice the middle of the upper parts, 7.5: sums around it stay small enough for f32 to hold them exactly.
const TWICE_MIDDLE: i32 = 15;
/// Where the lower parts begin to count: `weight = 256 · (high − 7.5) + low − 128`.
const LOW_MIDDLE: i32 = 128;
/// What is added to a weight.
const WEIGHT_OFFSET: i16 = 2048;

/// A weight matrix `(outs, ins)` of integers in two parts, of four and of eight bits.
#[derive(Debug)]
pub struct SplitMatrix {
    ins: usize,
    outs: usize,
    /// `(panels, pairs of groups, PANEL, GROUP)`, padded by weights of zero, like those below.
    high: Lines<u8>,
    /// `(outs, pairs of groups, PAIR)`.
    low: Lines<u8>,
    /// One for each output, padded to whole panels, like those below.
    scales: Vec<f32>,
    high_sums: Vec<i32>,
    /// Mean of the lower parts of an output, less [`LOW_MIDDLE`].
    low_means: Vec<f32>,
    /// Standard deviation of what is left out of an output's estimate, for inputs of length 1; padded too.
    left_out: Vec<f32>,
    /// √ Σ weight², padded too.
    lengths: Vec<f32>,
    /// Of the two above.
    bounds: Bounds,
    /// What was taken from all rows.
    mean: Vec<f32>,
    /// Inputs of far columns, whose weights above are zero.
    far: Vec<usize>,
    /// `(far, outs)`.
    far_weights: Vec<f32>,
    /// For the estimates of the next tokens.
    spare: Spare,
}

impl SplitMatrix {
    /// Inputs.
    pub fn ins(&self) -> usize {
        self.ins
    }

    /// Outputs.
    pub fn outs(&self) -> usize {
        self.outs
    }

    /// Writes row `index` of the matrix, as it was rounded, to `out` of `ins` values.
    ///
    /// # Panics
    /// When there is no such row, or `out` has another length.
    pub fn row(&self, index: usize, out: &mut [f32]) {
        assert!(index < self.outs && out.len() == self.ins, "row {index}");
        let scale = self.scales[index];
        self.for_each_weights(index, |pair, weights| {
            for (out, weight) in out.iter_mut().skip(pair * PAIR).zip(weights) {
                *out = weight * scale;
            }
        });
        for (out, mean) in out.iter_mut().zip(&self.mean) {
            *out += mean;
        }
        for (input, weights) in self.far_columns() {
            out[input] += weights[index];
        }
    }

    /// Inputs, each with its weights of all outputs.
    fn far_columns(&self) -> impl Iterator<Item = (usize, &[f32])> {
        let columns = self.far_weights.chunks_exact(self.outs);
        self.far.iter().copied().zip(columns)
    }

    /// Calls `each` with the weights of an output, without its scale, one pair of groups after the other.
    // A loop over indices: iterators that skip most of a panel stayed calls here, and took twice the time.
    #[inline(always)]
    fn for_each_weights(&self, output: usize, mut each: impl FnMut(usize, [f32; PAIR])) {
        /// Where the upper parts of inputs are in the bytes that they share.
        const PLACES: [u32; PAIR] = [0, 8, 16, 24, 4, 12, 20, 28];
        let high = self.high_of(output / PANEL).as_chunks::<GROUP>().0;
        let low = self.low_of(output).as_chunks::<PAIR>().0;
        for (pair, low) in low.iter().enumerate() {
            let high = u32::from_le_bytes(high[pair * PANEL + output % PANEL]);
            let mut weights = [0.0; PAIR];
            for at in 0..PAIR {
                let part = ((high >> PLACES[at]) & 15).cast_signed();
                let weight = HIGH * part + i32::from(low[at]) - i32::from(WEIGHT_OFFSET);
                weights[at] = weight as f32;
            }
            each(pair, weights);
        }
    }

    /// Estimates of `x · weightᵀ`, for each row of `x` by itself, but for what they have in common: a number for each row
    /// of `x` that is added to all its outputs.
    ///
    /// A row that holds a value that is not finite gives NaN.
    ///
    /// # Panics
    /// When `x` is not whole rows.
    pub fn estimates(self: &Arc<Self>, level: Level, x: Input<'_>) -> Vec<Estimates> {
        let x = x.to_rows(level, self.ins);
        let mut near = x.clone();
        for row in near.chunks_exact_mut(self.ins) {
            for input in &self.far {
                row[*input] = 0.0;
            }
        }
        let inputs = Inputs::quantise(level, Input::plain(&near), self.ins);
        let rows = tile::Rows::new(&inputs, self.ins);
        let count = inputs.scales.len();
        let sums: Vec<i32> = rows.iter().map(sum).collect();
        let mut values: Vec<_> = (0..count).map(|_| self.spare.take(self.outs)).collect();
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
        let parts = values.into_iter().zip(x.chunks_exact(self.ins)).enumerate();
        let estimates = parts.map(|(index, (values, x))| {
            let around = [inputs.centres[index], inputs.scales[index]];
            let near = &near[index * self.ins..][..self.ins];
            Estimates::new(Arc::clone(self), level, values, [x, near], around)
        });
        estimates.collect()
    }

    fn high_of(&self, panel: usize) -> &[u8] {
        let size = self.ins.next_multiple_of(PAIR) / 2 * PANEL;
        &self.high[panel * size..][..size]
    }

    fn low_of(&self, output: usize) -> &[u8] {
        let stride = self.ins.next_multiple_of(PAIR);
        &self.low[output * stride..][..stride]
    }
}

fn sum(bytes: &[i8]) -> i32 {
    bytes.iter().map(|byte| i32::from(*byte)).sum()
}

/// Sums of the upper parts with rows of inputs → estimates of a panel's outputs.
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
            let high = HIGH * high_sums[lane] - HIGH / 2 * TWICE_MIDDLE * ins;
            ones[lane] = high as f32 + low_means[lane] * self.ins as f32;
        }
        for (index, sums) in self.sums.iter().enumerate() {
            let scale = self.inputs.scales[index];
            let centre = self.inputs.centres[index];
            let input_sum = self.input_sums[index];
            let mut values = [0.0; PANEL];
            for lane in 0..PANEL {
                let high = (HIGH * sums[lane] - HIGH / 2 * TWICE_MIDDLE * input_sum) as f32;
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
