//! One row of estimated outputs, and what makes them exact.

use std::{mem, ops::Range, sync::Arc};

use super::{
    PAIR, PANEL, SplitMatrix,
    high::{Rivals, highest_below, tops},
};
use crate::{
    level::{Isa, Kernel, Level},
    math,
};

/// Outputs of a [`SplitMatrix`] for one row of inputs: estimates, of which those that matter can be settled.
#[derive(Clone, Debug)]
pub struct Estimates {
    matrix: Arc<SplitMatrix>,
    level: Level,
    values: Vec<f32>,
    /// Of each panel, what no value exceeds.
    tops: Vec<f32>,
    /// A bit for each output.
    pub(super) settled: Vec<u64>,
    /// The inputs as they came, the far ones too, padded.
    x: Vec<f32>,
    /// The distance of those that were rounded from the centre of the rounding.
    length: f32,
    /// The step they were rounded to.
    step: f32,
}

impl Estimates {
    /// `x`: the inputs as they came, and those that were rounded, without the far ones. `around`: the centre and the scale of the rounded inputs.
    pub(super) fn new(
        matrix: Arc<SplitMatrix>,
        level: Level,
        values: Vec<f32>,
        [x, near]: [&[f32]; 2],
        [centre, step]: [f32; 2],
    ) -> Self {
        let squares = near.iter().map(|value| (value - centre).powi(2));
        let mut padded = x.to_vec();
        padded.resize(x.len().next_multiple_of(PAIR), 0.0);
        let mut values = values;
        for (input, weights) in matrix.far_columns() {
            for (value, weight) in values.iter_mut().zip(weights) {
                *value += x[input] * weight;
            }
        }
        Self {
            settled: vec![0; matrix.outs.div_ceil(64)],
            length: squares.sum::<f32>().sqrt(),
            tops: tops(level, &values),
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

    /// To forbid outputs by −∞, which stays; no value may be raised.
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

    /// Where the `count` highest values are, from the highest on; of equal ones the first.
    pub fn highest(&self, count: usize) -> Vec<usize> {
        highest_below(self.level, count, &self.values, &self.tops)
    }

    /// Makes the `count` highest values exact: settles whatever may be one of them.
    pub fn settle_highest(&mut self, count: usize) {
        let favourites = self.settle_favourites(count);
        self.settle_above(favourites.into_iter().fold(f32::INFINITY, f32::min));
    }

    /// Makes the `count` values exact whose estimates are the highest, and returns them: the `count` highest are as high
    /// as these or higher. All values when there are no more than `count`.
    pub fn settle_favourites(&mut self, count: usize) -> Vec<f32> {
        if count >= self.values.len() {
            self.settle(0..self.values.len());
            return self.values.clone();
        }
        let favourites = self.highest(count).into_iter();
        let exact = favourites.map(|output| {
            self.settle_one(output);
            self.values[output]
        });
        exact.collect()
    }

    /// Makes the values exact that may be `least` or more.
    pub fn settle_above(&mut self, least: f32) {
        let rivals = self.level.dispatch(Rivals {
            matrix: &self.matrix,
            values: &self.values,
            tops: &self.tops,
            length: self.length,
            step: self.step,
            least,
        });
        for output in rivals {
            self.settle_one(output);
        }
    }

    /// All values, exact.
    pub fn exact(mut self) -> Vec<f32> {
        self.settle(0..self.values.len());
        mem::take(&mut self.values)
    }

    fn settle_one(&mut self, output: usize) {
        let (word, bit) = (output / 64, 1 << (output % 64));
        if self.settled[word] & bit != 0 {
            return;
        }
        self.settled[word] |= bit;
        // What is forbidden stays so.
        if self.values[output] > f32::NEG_INFINITY {
            let near = self.level.dispatch(Exact {
                matrix: &self.matrix,
                output,
                x: &self.x,
            });
            let far = self.matrix.far_columns();
            let far = far.map(|(input, weights)| self.x[input] * weights[output]);
            let value = near + far.sum::<f32>();
            self.values[output] = value;
            let top = &mut self.tops[output / PANEL];
            *top = top.max(value);
        }
    }
}

impl Drop for Estimates {
    fn drop(&mut self) {
        self.matrix.spare.give(mem::take(&mut self.values));
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
        let x = self.x.as_chunks::<PAIR>().0;
        self.matrix.for_each_weights(self.output, |pair, weights| {
            for at in 0..PAIR {
                sums[at] = math::mul_add::<I>(weights[at], x[pair][at], sums[at]);
            }
        });
        sums.iter().sum::<f32>() * self.matrix.scales[self.output]
    }
}
