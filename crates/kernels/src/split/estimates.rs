//! One row of estimated outputs, and what makes them exact.

use std::{ops::Range, sync::Arc};

use super::{PAIR, PANEL, SplitMatrix};
use crate::{
    level::{Isa, Kernel, Level},
    math,
};

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
    /// The inputs as they came, padded.
    x: Vec<f32>,
    /// Their distance from the centre around which they were rounded.
    length: f32,
    /// The step they were rounded to.
    step: f32,
}

impl Estimates {
    /// `around`: the centre and the scale of the rounded inputs.
    pub(super) fn new(
        matrix: Arc<SplitMatrix>,
        level: Level,
        values: Vec<f32>,
        x: &[f32],
        [centre, step]: [f32; 2],
    ) -> Self {
        let squares = x.iter().map(|value| (value - centre).powi(2));
        let mut padded = x.to_vec();
        padded.resize(x.len().next_multiple_of(PAIR), 0.0);
        Self {
            settled: vec![0; matrix.outs.div_ceil(64)],
            length: squares.sum::<f32>().sqrt(),
            x: padded,
            matrix,
            level,
            values,
            step,
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
        let highest = self.level.dispatch(PanelMaxima(&self.values));
        let reaches: Vec<f32> = self.reaches().collect();
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

    /// What an output of each panel may be off by.
    fn reaches(&self) -> impl Iterator<Item = f32> + '_ {
        /// Standard deviation of what rounding to steps of 1 changes.
        const OF_ROUNDING: f32 = 0.288_675;
        let rounding = OF_ROUNDING * self.step;
        let panels = self.matrix.of_panels.iter();
        panels.map(move |of| DEVIATIONS * (of.left_out * self.length).hypot(of.length * rounding))
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
        // What is forbidden stays so.
        if self.values[output] > f32::NEG_INFINITY {
            self.values[output] = self.level.dispatch(Exact {
                matrix: &self.matrix,
                output,
                x: &self.x,
            });
        }
    }
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

/// One output's weights by the inputs.
struct Exact<'a> {
    matrix: &'a SplitMatrix,
    output: usize,
    x: &'a [f32],
}

impl Kernel for Exact<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<I: Isa>(self) -> f32 {
        let mut sums = [0.0; PAIR];
        let weights = self.matrix.weights(self.output);
        for (weights, x) in weights.zip(self.x.as_chunks::<PAIR>().0) {
            for at in 0..PAIR {
                sums[at] = math::mul_add::<I>(weights[at], x[at], sums[at]);
            }
        }
        sums.iter().sum::<f32>() * self.matrix.scales[self.output]
    }
}
