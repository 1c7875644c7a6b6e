//! Which outputs are the highest, or may be: panels that cannot have one are passed over.

use super::{PANEL, SplitMatrix};
use crate::{
    level::{Isa, Kernel, Level},
    math,
};

/// Standard deviations that an estimate is trusted to. An output is missed that is more above its estimate, which a normal
/// error is once in three million times.
pub(super) const DEVIATIONS: f32 = 5.0;

/// What the errors of a panel's estimates are at most: the highest of its outputs.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    left_out: Vec<f32>,
    lengths: Vec<f32>,
}

impl Bounds {
    /// Of whole panels of outputs.
    pub(super) fn of(left_out: &[f32], lengths: &[f32]) -> Self {
        let [left_out, lengths] = [left_out, lengths].map(|values| tops(Level::best(), values));
        Self { left_out, lengths }
    }
}

/// The highest value of each panel.
pub(super) fn tops(level: Level, values: &[f32]) -> Vec<f32> {
    level.dispatch(Tops { values })
}

/// Where the `count` highest of `values` are, from the highest on; of equal ones the first.
pub fn highest(level: Level, count: usize, values: &[f32]) -> Vec<usize> {
    highest_below(level, count, values, &tops(level, values))
}

/// The same, where no value of a panel exceeds that of `tops`.
pub(super) fn highest_below(
    level: Level,
    count: usize,
    values: &[f32],
    tops: &[f32],
) -> Vec<usize> {
    level.dispatch(Highest {
        count,
        values,
        tops,
    })
}

struct Tops<'a> {
    values: &'a [f32],
}

impl Kernel for Tops<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<I: Isa>(self) -> Vec<f32> {
        let panels = self.values.chunks(PANEL);
        panels
            .map(|panel| math::maximum(f32::NEG_INFINITY, panel))
            .collect()
    }
}

struct Highest<'a> {
    count: usize,
    values: &'a [f32],
    tops: &'a [f32],
}

impl Kernel for Highest<'_> {
    type Output = Vec<usize>;

    #[inline(always)]
    fn run<I: Isa>(self) -> Vec<usize> {
        let Self {
            count,
            values,
            tops,
        } = self;
        let mut best: Vec<(f32, usize)> = Vec::with_capacity(count.min(values.len()) + 1);
        // What a value has to exceed.
        let mut least = None;
        for (panel, (part, top)) in values.chunks(PANEL).zip(tops).enumerate() {
            if least.is_some_and(|least| *top <= least) {
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
pub(super) struct Rivals<'a> {
    pub(super) matrix: &'a SplitMatrix,
    /// Estimates, and what no value of a panel exceeds.
    pub(super) values: &'a [f32],
    pub(super) tops: &'a [f32],
    pub(super) length: f32,
    pub(super) step: f32,
    pub(super) least: f32,
}

impl Rivals<'_> {
    /// How much an estimate may be too low, less how much it is below `least`, as squares: a root took longer than the
    /// rest. `left_out` and `lengths`: of the output.
    #[inline(always)]
    fn over(&self, value: f32, left_out: f32, lengths: f32) -> f32 {
        /// Standard deviation of what rounding to steps of 1 changes.
        const OF_ROUNDING: f32 = 0.288_675;
        let parts = [left_out * self.length, lengths * (OF_ROUNDING * self.step)];
        let variance = parts[0] * parts[0] + parts[1] * parts[1];
        let below = (self.least - value).max(0.0);
        DEVIATIONS * DEVIATIONS * variance - below * below
    }
}

impl Kernel for Rivals<'_> {
    type Output = Vec<usize>;

    #[inline(always)]
    fn run<I: Isa>(self) -> Vec<usize> {
        let Bounds { left_out, lengths } = &self.matrix.bounds;
        let of_panels = self.tops.iter().zip(left_out).zip(lengths).enumerate();
        let mut rivals = Vec::new();
        for (panel, ((top, left_out), lengths)) in of_panels {
            if self.over(*top, *left_out, *lengths) < 0.0 {
                continue;
            }
            let outputs = panel * PANEL..self.values.len().min((panel + 1) * PANEL);
            rivals.extend(outputs.filter(|&output| {
                let of_output = [&self.matrix.left_out, &self.matrix.lengths].map(|of| of[output]);
                self.over(self.values[output], of_output[0], of_output[1]) >= 0.0
            }));
        }
        rivals
    }
}
