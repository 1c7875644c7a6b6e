//! One row of estimated outputs, and what makes them exact.

use std::{mem, ops::Range, sync::Arc};

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
        let favourites = highest(self.level, count, &self.values);
        for output in &favourites {
            self.settle_one(*output);
        }
        let exact = favourites.iter().map(|output| self.values[*output]);
        let least = exact.fold(f32::INFINITY, f32::min);
        let rivals = self.level.dispatch(Rivals {
            matrix: &self.matrix,
            values: &self.values,
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
            self.values[output] = near + far.sum::<f32>();
        }
    }
}

impl Drop for Estimates {
    fn drop(&mut self) {
        self.matrix.spare.give(mem::take(&mut self.values));
    }
}

/// Where the `count` highest of `values` are, from the highest on; of equal ones the first.
pub fn highest(level: Level, count: usize, values: &[f32]) -> Vec<usize> {
    level.dispatch(Highest { count, values })
}

struct Highest<'a> {
    count: usize,
    values: &'a [f32],
}

impl Kernel for Highest<'_> {
    type Output = Vec<usize>;

    #[inline(always)]
    fn run<I: Isa>(self) -> Vec<usize> {
        let Self { count, values } = self;
        let mut best: Vec<(f32, usize)> = Vec::with_capacity(count.min(values.len()) + 1);
        // What a value has to exceed.
        let mut least = None;
        for (panel, part) in values.chunks(PANEL).enumerate() {
            let highest = math::maximum(f32::NEG_INFINITY, part);
            if least.is_some_and(|least| highest <= least) {
                continue;
            }
            for (lane, value) in part.iter().enumerate() {
                if least.is_none_or(|least| *value > least) {
                    let place = best.partition_point(|(other, _)| other >= value);
                    best.insert(place, (*value, panel * PANEL + lane));
                    best.truncate(count);
                    least = best.get(count.wrapping_sub(1)).map(|best| best.0);
                }
            }
        }
        best.into_iter().map(|(_, output)| output).collect()
    }
}

/// The outputs that may be `least` or more.
struct Rivals<'a> {
    matrix: &'a SplitMatrix,
    values: &'a [f32],
    length: f32,
    step: f32,
    least: f32,
}

impl Kernel for Rivals<'_> {
    type Output = Vec<usize>;

    #[inline(always)]
    fn run<I: Isa>(self) -> Vec<usize> {
        /// Standard deviation of what rounding to steps of 1 changes.
        const OF_ROUNDING: f32 = 0.288_675;
        let rounding = OF_ROUNDING * self.step;
        let of_outputs = self.matrix.left_out.chunks_exact(PANEL);
        let of_outputs = of_outputs.zip(self.matrix.lengths.chunks_exact(PANEL));
        let mut rivals = Vec::new();
        for (panel, (values, (left_out, lengths))) in
            self.values.chunks(PANEL).zip(of_outputs).enumerate()
        {
            let mut most = [f32::NEG_INFINITY; PANEL];
            for (lane, (most, value)) in most.iter_mut().zip(values).enumerate() {
                let parts = [left_out[lane] * self.length, lengths[lane] * rounding];
                let deviation = (parts[0] * parts[0] + parts[1] * parts[1]).sqrt();
                *most = value + DEVIATIONS * deviation;
            }
            if math::maximum(f32::NEG_INFINITY, &most) < self.least {
                continue;
            }
            let lanes = most.iter().enumerate();
            let reached = lanes.filter(|(_, most)| **most >= self.least);
            rivals.extend(reached.map(|(lane, _)| panel * PANEL + lane));
        }
        rivals
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
