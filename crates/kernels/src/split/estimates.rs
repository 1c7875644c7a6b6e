//! One row of estimated outputs, and what makes them exact.

use std::{ops::Range, sync::Arc};

use super::{LOW_MIDDLE, PAIR, SplitMatrix};
use crate::int8::{GROUP, PANEL};
use crate::level::{Isa, Kernel, Level};

/// Standard deviations that an estimate is trusted to. Two outputs change places if the difference of their errors is
/// seven deviations of such a difference, which a normal one is once in 10^12 times; there are some 10^2 outputs close
/// enough to matter.
pub(super) const DEVIATIONS: f32 = 5.0;

/// Outputs of a [`SplitMatrix`] for one row of inputs: estimates, of which those that matter can be settled.
#[derive(Clone, Debug)]
pub struct Estimates {
    matrix: Arc<SplitMatrix>,
    level: Level,
    values: Vec<f32>,
    /// A bit for each output.
    pub(super) settled: Vec<u64>,
    /// The inputs, rounded: those of the first group of each pair, and those of the second.
    inputs: [Vec<i8>; 2],
    /// Of the inputs.
    sum: i32,
    scale: f32,
}

impl Estimates {
    pub(super) fn new(
        matrix: Arc<SplitMatrix>,
        level: Level,
        values: Vec<f32>,
        inputs: &[i8],
        scale: f32,
        sum: i32,
    ) -> Self {
        Self {
            settled: vec![0; matrix.outs.div_ceil(64)],
            inputs: [0, GROUP].map(|from| {
                let pairs = inputs.as_chunks::<PAIR>().0.iter();
                pairs
                    .flat_map(|pair| &pair[from..][..GROUP])
                    .copied()
                    .collect()
            }),
            matrix,
            level,
            values,
            sum,
            scale,
        }
    }

    /// Estimates, and exact values where they were settled.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// To forbid outputs by −∞, which stays.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Makes the values of some outputs exact.
    pub fn settle(&mut self, outputs: Range<usize>) {
        let end = outputs.end.min(self.values.len());
        for output in outputs.start..end {
            self.settle_one(output);
        }
    }

    /// Makes the `count` highest values exact: settles whatever may be one of them.
    pub fn settle_highest(&mut self, count: usize) {
        if count >= self.values.len() {
            return self.settle(0..self.values.len());
        }
        let unit = DEVIATIONS * self.scale * length(&self.inputs);
        let highest = self.level.dispatch(PanelMaxima(&self.values));
        let reaches = self.matrix.deviations.iter().map(|each| unit * each);
        let reaches: Vec<f32> = reaches.collect();
        let least = self.certain(count, &highest, &reaches);
        for (panel, (highest, reach)) in highest.iter().zip(reaches).enumerate() {
            if highest + reach < least {
                continue;
            }
            for output in panel * PANEL..self.values.len().min((panel + 1) * PANEL) {
                if self.values[output] + reach >= least {
                    self.settle_one(output);
                }
            }
        }
    }

    /// All values, exact.
    pub fn exact(mut self) -> Vec<f32> {
        self.settle(0..self.values.len());
        self.values
    }

    /// What the `count` highest reach for certain. `highest` and `reaches`: of each panel.
    fn certain(&self, count: usize, highest: &[f32], reaches: &[f32]) -> f32 {
        // In falling order.
        let mut best: Vec<f32> = Vec::with_capacity(count + 1);
        let panels = self.values.chunks(PANEL).zip(highest.iter().zip(reaches));
        for (values, (highest, reach)) in panels {
            let least = |best: &[f32]| best.get(count.wrapping_sub(1)).copied();
            if least(&best).is_some_and(|least| highest - reach <= least) {
                continue;
            }
            for value in values.iter().map(|value| value - reach) {
                if least(&best).is_none_or(|least| value > least) {
                    best.insert(best.partition_point(|other| *other >= value), value);
                    best.truncate(count);
                }
            }
        }
        best.last().copied().unwrap_or(f32::INFINITY)
    }

    fn settle_one(&mut self, output: usize) {
        let (word, bit) = (output / 64, 1 << (output % 64));
        if self.settled[word] & bit != 0 {
            return;
        }
        self.settled[word] |= bit;
        let matrix = &*self.matrix;
        let sum = self.level.dispatch(LowProducts {
            weights: matrix.low_of(output),
            inputs: &self.inputs,
        });
        let left_out = (sum - LOW_MIDDLE * self.sum) as f32;
        let estimated = matrix.low_means[output] * self.sum as f32;
        self.values[output] += matrix.scales[output] * self.scale * (left_out - estimated);
    }
}

/// √ Σ x².
fn length(inputs: &[Vec<i8>; 2]) -> f32 {
    let squares = inputs
        .iter()
        .flatten()
        .map(|input| i32::from(*input).pow(2));
    let squares: i32 = squares.sum();
    (squares as f32).sqrt()
}

/// The highest value of each panel.
struct PanelMaxima<'a>(&'a [f32]);

impl Kernel for PanelMaxima<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<I: Isa>(self) -> Vec<f32> {
        let maximum = |values| crate::math::maximum(f32::NEG_INFINITY, values);
        self.0.chunks(PANEL).map(maximum).collect()
    }
}

/// Products of the lower halves of one output's weights with the inputs.
struct LowProducts<'a> {
    weights: &'a [u8],
    inputs: &'a [Vec<i8>; 2],
}

impl Kernel for LowProducts<'_> {
    type Output = i32;

    #[inline(always)]
    fn run<I: Isa>(self) -> i32 {
        let [first, second] = self.inputs;
        let mut sum = 0;
        for (weight, input) in self.weights.iter().zip(first) {
            sum += i32::from(weight & 15) * i32::from(*input);
        }
        for (weight, input) in self.weights.iter().zip(second) {
            sum += i32::from(weight >> 4) * i32::from(*input);
        }
        sum
    }
}
