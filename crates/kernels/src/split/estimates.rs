//! One row of estimated outputs, and what makes them exact.

use std::{ops::Range, sync::Arc};

use super::{PAIR, PANEL, SplitMatrix};
use crate::{
    level::{Isa, Kernel, Level},
    math,
};

/// Standard deviations that an estimate is trusted to. An output is missed that is more above its estimate, which a normal
/// error is once in three million times.
pub(super) const DEVIATIONS: f32 = 5.0;

/// Outputs of a [`SplitMatrix`] for one row of inputs: estimates, of which those that matter can be settled.
#[derive(Clone, Debug)]
pub struct Estimates {
    matrix: Arc<SplitMatrix>,
    level: Level,
    values: Vec<f32>,
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
        // What the favourites are exactly is what others have to reach.
        let favourites = highest(count, &self.values);
        for output in &favourites {
            self.settle_one(*output);
        }
        let exact = favourites.iter().map(|output| self.values[*output]);
        let least = exact.fold(f32::INFINITY, f32::min);
        let most = self.level.dispatch(AtMost {
            matrix: &self.matrix,
            values: &self.values,
            length: self.length,
            step: self.step,
        });
        for (panel, most) in most.chunks(PANEL).enumerate() {
            if math::maximum(f32::NEG_INFINITY, most) < least {
                continue;
            }
            for (lane, most) in most.iter().enumerate() {
                if *most >= least {
                    self.settle_one(panel * PANEL + lane);
                }
            }
        }
    }

    /// All values, exact.
    pub fn exact(mut self) -> Vec<f32> {
        self.settle(0..self.values.len());
        self.values
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
            self.values[output] = near + far.sum::<f32>();
        }
    }
}

/// Where the `count` highest of `values` are, from the highest on.
fn highest(count: usize, values: &[f32]) -> Vec<usize> {
    let mut best: Vec<(f32, usize)> = Vec::with_capacity(count + 1);
    for (panel, part) in values.chunks(PANEL).enumerate() {
        let least = |best: &[(f32, usize)]| best.get(count.wrapping_sub(1)).map(|best| best.0);
        let highest = math::maximum(f32::NEG_INFINITY, part);
        if least(&best).is_some_and(|least| highest <= least) {
            continue;
        }
        for (lane, value) in part.iter().enumerate() {
            if least(&best).is_none_or(|least| *value > least) {
                let place = best.partition_point(|(other, _)| other >= value);
                best.insert(place, (*value, panel * PANEL + lane));
                best.truncate(count);
            }
        }
    }
    best.into_iter().map(|(_, output)| output).collect()
}

/// What each output is at most.
struct AtMost<'a> {
    matrix: &'a SplitMatrix,
    values: &'a [f32],
    length: f32,
    step: f32,
}

impl Kernel for AtMost<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<I: Isa>(self) -> Vec<f32> {
        /// Standard deviation of what rounding to steps of 1 changes.
        const OF_ROUNDING: f32 = 0.288_675;
        let rounding = OF_ROUNDING * self.step;
        let mut most = self.values.to_vec();
        let of_outputs = self.matrix.left_out.iter().zip(&self.matrix.lengths);
        for (most, (left_out, length)) in most.iter_mut().zip(of_outputs) {
            let parts = [left_out * self.length, length * rounding];
            *most += DEVIATIONS * (parts[0] * parts[0] + parts[1] * parts[1]).sqrt();
        }
        most
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
