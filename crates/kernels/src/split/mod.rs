//! A matrix of which few outputs are wanted, the highest, and only one half of whose weights is read for all of them.
//!
//! A token is chosen among 51,865 outputs, and the weights of these outputs are more than half of what a small model
//! reads from memory for it. The upper four bits of each weight say which outputs may be the highest; the lower four are
//! read for these alone, and then their values are those of [`Int8Matrix`], but for how f32 rounds.
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
//! How far an estimate is off is known as well as a sum of many small independent errors is (see [`DEVIATIONS`]): what is
//! lost is not a bound, but an output that is missed once in more tokens than will ever be spoken.

mod estimates;
mod tile;

use std::sync::Arc;

use rayon::prelude::*;

pub use estimates::Estimates;

use crate::int8::{GROUP, Input, Inputs, Int8Matrix, OFFSET, PANEL, share_outputs};
use crate::level::{Isa, Kernel, Level};

/// Inputs of a pair of groups, whose halves share bytes.
const PAIR: usize = 2 * GROUP;
/// Twice the middle of the upper halves, 7.5: sums around it stay small enough for f32 to hold them exactly.
const TWICE_MIDDLE: i32 = 15;
/// Where the lower halves begin to count: `weight = 16 · (high − 7.5) + low − 8`.
const LOW_MIDDLE: i32 = 8;
/// Standard deviations that an estimate is trusted to. Two outputs change places if the difference of their errors is
/// seven deviations of such a difference, which a normal one is once in 10^12 times; there are some 10^2 outputs close
/// enough to matter.
const DEVIATIONS: f32 = 5.0;

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
    /// Splits the weights of `matrix`.
    pub fn new(matrix: &Int8Matrix) -> Self {
        let (ins, outs) = (matrix.ins(), matrix.outs());
        let panels = outs.div_ceil(PANEL);
        let half = ins.next_multiple_of(PAIR) / 2;
        let mut split = Self {
            ins,
            outs,
            high: vec![0; panels * PANEL * half],
            low: vec![0; outs * half],
            scales: vec![0.0; panels * PANEL],
            high_sums: vec![0; panels * PANEL],
            low_means: vec![0.0; panels * PANEL],
            deviations: vec![0.0; panels],
        };
        let level = Level::best();
        split
            .high
            .par_chunks_mut(PANEL * half)
            .zip(split.low.par_chunks_mut(PANEL * half))
            .zip(split.scales.par_chunks_mut(PANEL))
            .zip(split.high_sums.par_chunks_mut(PANEL))
            .zip(split.low_means.par_chunks_mut(PANEL))
            .zip(&mut split.deviations)
            .enumerate()
            .for_each(
                |(index, (((((high, low), scales), high_sums), low_means), deviation))| {
                    let panel = matrix.panel(index);
                    scales.copy_from_slice(panel.scales);
                    let weights = panel.weights;
                    let sums = level.dispatch(SplitPanel { weights, high, low });
                    for (lane, scale) in scales.iter().enumerate() {
                        high_sums[lane] = sums.high[lane];
                        let (mean, spread) = sums.low(lane, 2 * half);
                        low_means[lane] = mean - LOW_MIDDLE as f32;
                        *deviation = deviation.max(scale * spread);
                    }
                },
            );
        split
    }

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

/// A panel of bytes → its halves, and their sums.
struct SplitPanel<'a> {
    /// `(groups, PANEL, GROUP)`.
    weights: &'a [i8],
    /// `(pairs, PANEL, GROUP)`.
    high: &'a mut [u8],
    /// Up to [`PANEL`] outputs of `(pairs, GROUP)`.
    low: &'a mut [u8],
}

/// Of each output of a panel.
struct HalfSums {
    high: [i32; PANEL],
    low: [i32; PANEL],
    low_squares: [i32; PANEL],
}

impl HalfSums {
    /// Mean and standard deviation of the lower halves of the `count` weights of an output.
    fn low(&self, lane: usize, count: usize) -> (f32, f32) {
        let count = count as f32;
        let mean = self.low[lane] as f32 / count;
        let variance = self.low_squares[lane] as f32 / count - mean * mean;
        (mean, variance.max(0.0).sqrt())
    }
}

impl Kernel for SplitPanel<'_> {
    type Output = HalfSums;

    #[inline(always)]
    fn run<I: Isa>(self) -> HalfSums {
        const BYTES: usize = PANEL * GROUP;
        let groups = self.weights.as_chunks::<BYTES>().0;
        let stride = self.high.len() / PANEL;
        let (mut high_sums, mut low_sums, mut squares) = ([0; BYTES], [0; BYTES], [0; BYTES]);
        for (pair, high) in self.high.as_chunks_mut::<BYTES>().0.iter_mut().enumerate() {
            let first = &groups[2 * pair];
            let second = groups.get(2 * pair + 1).unwrap_or(&[0; BYTES]);
            let mut low = [0; BYTES];
            for at in 0..BYTES {
                // Adding 128 is turning the highest bit.
                let [a, b] = [first[at], second[at]].map(|byte| byte.cast_unsigned() ^ 0x80);
                high[at] = a >> 4 | b & 0xf0;
                low[at] = a & 15 | b << 4;
                high_sums[at] += i32::from(a >> 4) + i32::from(b >> 4);
                let [a, b] = [a, b].map(|byte| i32::from(byte & 15));
                low_sums[at] += a + b;
                squares[at] += a * a + b * b;
            }
            let lanes = self.low.chunks_exact_mut(stride);
            for (out, low) in lanes.zip(low.as_chunks::<GROUP>().0) {
                out[pair * GROUP..][..GROUP].copy_from_slice(low);
            }
        }
        let of_lanes = |sums: [i32; BYTES]| {
            let mut of_lanes = [0; PANEL];
            for (sum, bytes) in of_lanes.iter_mut().zip(sums.as_chunks::<GROUP>().0) {
                *sum = bytes.iter().sum();
            }
            of_lanes
        };
        HalfSums {
            high: of_lanes(high_sums),
            low: of_lanes(low_sums),
            low_squares: of_lanes(squares),
        }
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
