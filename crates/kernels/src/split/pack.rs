//! From whole weights to their parts.

use rayon::prelude::*;

use super::{
    GROUP, HIGH, LOW_MIDDLE, OfPanel, PAIR, PANEL, SplitMatrix, WEIGHT_OFFSET,
    estimates::DEVIATIONS,
};
use crate::{int16::Int16Matrix, linear::Product};

impl SplitMatrix {
    /// Splits the weights of `matrix`.
    pub fn new(matrix: &Int16Matrix) -> Self {
        let [outs, ins] = matrix.shape();
        let panels = outs.div_ceil(PANEL);
        let stride = ins.next_multiple_of(PAIR);
        let mut split = Self {
            ins,
            outs,
            high: vec![0; panels * PANEL * stride / 2],
            low: vec![0; outs * stride],
            scales: vec![0.0; panels * PANEL],
            high_sums: vec![0; panels * PANEL],
            low_means: vec![0.0; panels * PANEL],
            of_panels: vec![OfPanel::default(); panels],
        };
        split
            .high
            .par_chunks_mut(PANEL * stride / 2)
            .zip(split.low.par_chunks_mut(PANEL * stride))
            .zip(split.scales.par_chunks_mut(PANEL))
            .zip(split.high_sums.par_chunks_mut(PANEL))
            .zip(split.low_means.par_chunks_mut(PANEL))
            .zip(&mut split.of_panels)
            .enumerate()
            .for_each(
                |(index, (((((high, low), scales), high_sums), low_means), of_panel))| {
                    for (lane, low) in low.chunks_exact_mut(stride).enumerate() {
                        let (weights, scale) = matrix.row(index * PANEL + lane);
                        let sums = split_row(weights, lane, high, low);
                        let (mean, left_out) = sums.left_out(stride);
                        scales[lane] = scale;
                        high_sums[lane] = sums.high;
                        low_means[lane] = mean - LOW_MIDDLE as f32;
                        of_panel.left_out = of_panel.left_out.max(scale * left_out);
                        of_panel.length = of_panel.length.max(scale * sums.squares.sqrt());
                    }
                },
            );
        split
    }
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
