//! From whole weights to their parts.

use rayon::prelude::*;

use super::{
    GROUP, HIGH, LOW_MIDDLE, PAIR, PANEL, Spare, SplitMatrix, WEIGHT_OFFSET,
    high::{Bounds, DEVIATIONS},
};
use crate::{
    linear::{inverse, largest, round_to_integer},
    memory::Lines,
};

/// The largest size of a weight of 12 bits.
const MOST: f32 = 2047.0;
/// A column is far from this many times the size of the median one on, root mean square.
const FAR: f64 = 3.0;
/// Far columns at most. Each costs four bytes of each output, where the whole matrix costs half a byte of each weight.
const MOST_FAR: usize = 8;

impl SplitMatrix {
    /// Rounds, packs and splits `weight`, `(outs, ins)` row-major. Values must be finite.
    ///
    /// # Panics
    /// When `weight` is not whole rows of `ins` values.
    pub fn pack(mut weight: Vec<f32>, ins: usize) -> Self {
        assert!(
            ins > 0 && weight.len().is_multiple_of(ins),
            "{} values are not rows of {ins}",
            weight.len()
        );
        let mean = take_mean(&mut weight, ins);
        let far = far_columns(&weight, ins);
        let mut far_weights = Vec::new();
        for input in &far {
            let column = weight.iter_mut().skip(*input).step_by(ins);
            far_weights.extend(column.map(std::mem::take));
        }
        let mut split = Self::empty([weight.len() / ins, ins]);
        split.fill(&weight);
        Self {
            bounds: Bounds::of(&split.left_out, &split.lengths),
            mean,
            far,
            far_weights,
            ..split
        }
    }

    /// Of zeros.
    pub(super) fn empty([outs, ins]: [usize; 2]) -> Self {
        let padded = outs.next_multiple_of(PANEL);
        let stride = ins.next_multiple_of(PAIR);
        Self {
            ins,
            outs,
            high: Lines::zeroed(padded * stride / 2),
            low: Lines::zeroed(outs * stride),
            scales: vec![0.0; padded],
            high_sums: vec![0; padded],
            low_means: vec![0.0; padded],
            left_out: vec![0.0; padded],
            lengths: vec![0.0; padded],
            mean: vec![0.0; ins],
            far: Vec::new(),
            far_weights: Vec::new(),
            bounds: Bounds::default(),
            spare: Spare::default(),
        }
    }

    fn fill(&mut self, weight: &[f32]) {
        let (ins, stride) = (self.ins, self.ins.next_multiple_of(PAIR));
        self.high
            .par_chunks_mut(PANEL * stride / 2)
            .zip(self.low.par_chunks_mut(PANEL * stride))
            .zip(self.scales.par_chunks_mut(PANEL))
            .zip(self.high_sums.par_chunks_mut(PANEL))
            .zip(self.low_means.par_chunks_mut(PANEL))
            .zip(self.left_out.par_chunks_mut(PANEL))
            .zip(self.lengths.par_chunks_mut(PANEL))
            .zip(weight.par_chunks(PANEL * ins))
            .for_each(
                |(((((((high, low), scales), high_sums), low_means), left_out), lengths), rows)| {
                    let rows = rows.chunks_exact(ins).zip(low.chunks_exact_mut(stride));
                    for (lane, (row, low)) in rows.enumerate() {
                        let scale = largest(row) / MOST;
                        let inverse = inverse(scale);
                        let weights = row.iter().map(|value| round_to_integer(value * inverse));
                        let sums = split_row(weights, lane, high, low);
                        let (mean, deviation) = sums.left_out(stride);
                        scales[lane] = scale;
                        high_sums[lane] = sums.high;
                        low_means[lane] = mean - LOW_MIDDLE as f32;
                        left_out[lane] = scale * deviation;
                        lengths[lane] = scale * sums.squares.sqrt();
                    }
                },
            );
    }
}

/// Takes the mean of all rows from each.
fn take_mean(weight: &mut [f32], ins: usize) -> Vec<f32> {
    let mut sums = vec![0.0_f64; ins];
    for row in weight.chunks_exact(ins) {
        for (sum, weight) in sums.iter_mut().zip(row) {
            *sum += f64::from(*weight);
        }
    }
    let rows = (weight.len() / ins).max(1) as f64;
    #[expect(clippy::cast_possible_truncation, reason = "a mean of f32")]
    let mean: Vec<f32> = sums.iter().map(|sum| (sum / rows) as f32).collect();
    for row in weight.chunks_exact_mut(ins) {
        for (weight, mean) in row.iter_mut().zip(&mean) {
            *weight -= mean;
        }
    }
    mean
}

/// Inputs of far columns, in rising order.
fn far_columns(weight: &[f32], ins: usize) -> Vec<usize> {
    let mut squares = vec![0.0_f64; ins];
    for row in weight.chunks_exact(ins) {
        for (sum, weight) in squares.iter_mut().zip(row) {
            *sum += f64::from(*weight).powi(2);
        }
    }
    let mut inputs: Vec<usize> = (0..ins).collect();
    inputs.sort_by(|a, b| squares[*b].total_cmp(&squares[*a]));
    let least = FAR * FAR * squares[inputs[ins / 2]];
    inputs.retain(|input| squares[*input] > least);
    inputs.truncate(MOST_FAR);
    inputs.sort_unstable();
    inputs
}

/// Sums over the weights of an output.
#[derive(Default)]
struct Sums {
    high: i32,
    low: i32,
    low_squares: i64,
    /// Of whole weights.
    squares: f32,
    /// Number of weights whose upper parts are the two in the middle.
    around_zero: usize,
}

impl Sums {
    /// The mean of the lower parts of the `count` weights, and the standard deviation of what is left out where that
    /// stands for them, for inputs of length 1.
    fn left_out(&self, count: usize) -> (f32, f32) {
        let n = count as f32;
        let mean = self.low as f32 / n;
        let variance = self.low_squares as f32 / n - mean * mean;
        let deviation = variance.max(0.0).sqrt();
        // Around zero the lower parts follow the weights. In a row with an outlier nearly all are there, and what is left
        // out is no accident any more: inputs that are like the weights are like their lower parts. No inputs can make
        // more of them than this.
        if 4 * self.around_zero > 3 * count {
            return (mean, deviation * n.sqrt() / DEVIATIONS);
        }
        (mean, deviation)
    }
}

/// `high`: of a panel, to which the output's part is added; `low`: of the output, padded.
fn split_row(
    mut weights: impl Iterator<Item = i16>,
    lane: usize,
    high: &mut [u8],
    low: &mut [u8],
) -> Sums {
    let mut sums = Sums::default();
    let groups = high.as_chunks_mut::<GROUP>().0.iter_mut();
    let groups = groups.skip(lane).step_by(PANEL);
    for (high, low) in groups.zip(low.as_chunks_mut::<PAIR>().0) {
        for (at, low) in low.iter_mut().enumerate() {
            let weight = weights.next().unwrap_or(0);
            let [lower, upper] = (weight + WEIGHT_OFFSET).to_le_bytes();
            *low = lower;
            high[at % GROUP] |= if at < GROUP { upper } else { upper << 4 };
            sums.high += i32::from(upper);
            sums.low += i32::from(lower);
            sums.low_squares += i64::from(lower).pow(2);
            sums.squares += f32::from(weight).powi(2);
            sums.around_zero += usize::from(i32::from(weight.unsigned_abs()) < HIGH);
        }
    }
    sums
}
