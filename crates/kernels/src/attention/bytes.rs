//! Attention in products of bytes, for CPUs that have an instruction for them.
//!
//! - Scores are products of rounded queries and keys, with a scale for each row. What all keys have in common is taken
//!   from them first: it adds the same to every score of a query, which the softmax does not see, and would cost
//!   precision (SageAttention, Zhang et al. 2024).
//! - Weights of the softmax have 16 bits below the largest of their row, in two bytes, whose products are taken apart
//!   from each other. With one byte, many small weights beside a large one would all become zero.
//! - Values are rounded with a scale for each column.

use super::Rows;
use crate::{
    int8::{self, Inputs, Int8Matrix, PANEL, Sums, Tiles, tile_rows},
    level::{Isa, Kernel, Level},
    math,
};

/// More positions than these could overflow a sum of bytes.
pub(super) const POSITIONS: usize = 1 << 16;
/// Bytes of a weight.
const PLANES: usize = 2;
/// The weight of a row's largest score.
const ONE: f32 = 65_535.0;

/// Keys and values of one head.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// `(positions, head width)`.
    keys: Int8Matrix,
    /// `(head width, positions padded to whole panels)`.
    values: Int8Matrix,
}

impl super::Head for Head {
    /// In whole tiles: with 1500 keys, scores of 24 are 144 kB and their weights 72 kB, beside 200 kB of keys and values.
    /// Each weight has two rows, so they are whole tiles, too.
    fn queries(level: Level) -> usize {
        24_usize.next_multiple_of(tile_rows(level))
    }

    type Scratch = Scratch;

    fn pack(
        level: Level,
        keys: Rows<'_>,
        values: Rows<'_>,
        positions: usize,
        width: usize,
    ) -> Self {
        let keys = level.dispatch(Centre {
            rows: keys,
            positions,
            width,
        });
        let padded = positions.next_multiple_of(PANEL);
        Self {
            keys: Int8Matrix::pack_with(level, &keys, width),
            values: Int8Matrix::pack_columns(
                level,
                values.parts(width).take(positions),
                [width, padded],
            ),
        }
    }

    fn positions(&self) -> usize {
        self.keys.outs()
    }

    fn attend(&self, level: Level, queries: Rows<'_>, scratch: &mut Scratch, out: &mut [f32]) {
        let count = out.len() / self.keys.ins();
        self.score(level, queries, count, scratch);
        level.dispatch(Soften {
            scores: &mut scratch.scores,
            positions: self.positions(),
            weights: &mut scratch.weights,
        });
        self.mix(level, &scratch.weights, out);
    }
}

#[derive(Default)]
pub(super) struct Scratch {
    /// The head's queries: `(queries, head width)`.
    own: Vec<f32>,
    /// The same in bytes.
    queries: Inputs,
    /// `(queries, positions padded to whole panels)`.
    scores: Vec<f32>,
    weights: Weights,
}

impl Head {
    /// Fills the scores.
    fn score(&self, level: Level, queries: Rows<'_>, count: usize, scratch: &mut Scratch) {
        let (positions, width) = (self.keys.outs(), self.keys.ins());
        let Scratch {
            own,
            queries: inputs,
            scores,
            ..
        } = scratch;
        own.clear();
        for query in queries.parts(width).take(count) {
            own.extend_from_slice(query);
        }
        inputs.fill_around_zero(level, own, width);
        let queries = &*inputs;
        let stride = positions.next_multiple_of(PANEL);
        scores.resize(count * stride, 0.0);
        let tiles = Tiles::new(level, count);
        let mut sums = Sums::default();
        for start in (0..positions).step_by(PANEL) {
            let panel = self.keys.panel(start / PANEL);
            let mut row = 0;
            while row < count {
                let rows = queries.rows(row, count - row);
                for row in (row..count).take(tile_rows(level)) {
                    int8::prefetch(&scores[row * stride + start..]);
                }
                let done = tiles.sums(panel.weights, panel.corrections, rows, &mut sums);
                level.dispatch(Scale {
                    sums: &sums[..done],
                    rows: &queries.scales[row..],
                    columns: panel.scales,
                    out: &mut scores[row * stride + start..],
                    stride,
                });
                row += done;
            }
        }
    }

    /// Sums of values by their weights: `(queries, head width)`.
    fn mix(&self, level: Level, weights: &Weights, out: &mut [f32]) {
        let width = self.values.outs();
        let tiles = Tiles::new(level, PLANES * weights.totals.len());
        let mut sums = Sums::default();
        for start in (0..width).step_by(PANEL) {
            let panel = self.values.panel(start / PANEL);
            let mut query = 0;
            while query < weights.totals.len() {
                let rows = int8::Rows {
                    bytes: &weights.bytes[PLANES * query * weights.stride..],
                    stride: weights.stride,
                };
                let done = tiles.sums(panel.weights, &[0; PANEL], rows, &mut sums) / PLANES;
                level.dispatch(Join {
                    sums: &sums[..PLANES * done],
                    totals: &weights.totals[query..],
                    scales: panel.scales,
                    out: &mut out[query * width + start..],
                    width,
                    count: PANEL.min(width - start),
                });
                query += done;
            }
        }
    }
}

/// Rows without their mean.
struct Centre<'a> {
    rows: Rows<'a>,
    positions: usize,
    width: usize,
}

impl Kernel for Centre<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<I: Isa>(self) -> Vec<f32> {
        let mut mean = vec![0.0; self.width];
        let mut centred = Vec::with_capacity(self.positions * self.width);
        for row in self.rows.parts(self.width) {
            for (mean, value) in mean.iter_mut().zip(row) {
                *mean += value;
            }
            centred.extend_from_slice(row);
        }
        for mean in &mut mean {
            *mean /= self.positions as f32;
        }
        for row in centred.chunks_exact_mut(self.width) {
            for (value, mean) in row.iter_mut().zip(&mean) {
                *value -= mean;
            }
        }
        centred
    }
}

/// Sums → scores.
struct Scale<'a> {
    sums: &'a [[i32; PANEL]],
    rows: &'a [f32],
    columns: &'a [f32],
    /// Rows of `stride` values, of which the first [`PANEL`] are written.
    out: &'a mut [f32],
    stride: usize,
}

impl Kernel for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Some(columns) = self.columns.first_chunk::<PANEL>() else {
            return;
        };
        for ((sums, row), out) in self
            .sums
            .iter()
            .zip(self.rows)
            .zip(self.out.chunks_mut(self.stride))
        {
            for ((out, sum), column) in out.iter_mut().zip(sums).zip(columns) {
                *out = *sum as f32 * (row * column);
            }
        }
    }
}

/// Weights of some queries, not yet divided by their total.
#[derive(Default)]
struct Weights {
    /// `(queries, PLANES, positions padded to whole panels)`, high bytes before low ones.
    bytes: Vec<u8>,
    stride: usize,
    totals: Vec<f32>,
}

/// Rows of scores → weights `65535 · e^(score − largest)`.
struct Soften<'a> {
    /// `(queries, positions padded to whole panels)`.
    scores: &'a mut [f32],
    positions: usize,
    weights: &'a mut Weights,
}

impl Kernel for Soften<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let stride = self.positions.next_multiple_of(PANEL);
        let count = self.scores.len() / stride;
        let weights = self.weights;
        weights.stride = stride;
        weights.bytes.resize(count * PLANES * stride, 0);
        weights.totals.clear();
        for (scores, bytes) in self
            .scores
            .chunks_exact_mut(stride)
            .zip(weights.bytes.chunks_exact_mut(PLANES * stride))
        {
            scores[self.positions..].fill(f32::NEG_INFINITY);
            let largest = math::maximum(f32::NEG_INFINITY, scores);
            let (high, low) = bytes.split_at_mut(stride);
            weights.totals.push(soften::<I>(scores, largest, high, low));
        }
    }
}

/// Returns the sum of what was written.
#[inline(always)]
fn soften<I: Isa>(scores: &[f32], largest: f32, high: &mut [u8], low: &mut [u8]) -> f32 {
    /// 1.5 * 2^23: adding it rounds to the nearest integer, whose bits are then the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    /// Divides [`PANEL`], so there is no rest.
    const LANES: usize = 16;
    let mut lanes = [0.0; LANES];
    for ((scores, high), low) in scores
        .as_chunks::<LANES>()
        .0
        .iter()
        .zip(high.as_chunks_mut::<LANES>().0)
        .zip(low.as_chunks_mut::<LANES>().0)
    {
        let mut rounded = [0; LANES];
        for lane in 0..LANES {
            let weight = weight::<I>(scores[lane] - largest);
            lanes[lane] += weight;
            rounded[lane] = (weight + ROUND).to_bits();
        }
        for lane in 0..LANES {
            let [first, second, ..] = rounded[lane].to_le_bytes();
            low[lane] = first;
            high[lane] = second;
        }
    }
    lanes.iter().sum()
}

/// `65535 · e^x` for x ≤ 0, within 3e-6 of relative error, which is less than the rounding to 16 bits that follows:
/// 2^n times a polynomial (minimax of degree 4 for 2^r) of the rest.
#[inline(always)]
fn weight<I: Isa>(x: f32) -> f32 {
    const SERIES: [f32; 5] = [
        0.999_999_3,
        0.693_121_8,
        0.240_247_44,
        0.055_917_86,
        0.009_570_097,
    ];
    /// Rounds to the nearest integer, which the low bits of the sum then are.
    const ROUND: f32 = 12_582_912.0;
    let x = x * std::f32::consts::LOG2_E;
    // A comparison that fails on NaN, which is to stay.
    let x = if x < -100.0 { -100.0 } else { x };
    let rounded = x + ROUND;
    let r = x - (rounded - ROUND);
    let mut series = SERIES[4] * ONE;
    for coefficient in [SERIES[3], SERIES[2], SERIES[1], SERIES[0]] {
        series = math::mul_add::<I>(series, r, coefficient * ONE);
    }
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits());
    series * f32::from_bits(exponent.wrapping_add(127) << 23)
}

/// Sums of both bytes of each weight → values.
struct Join<'a> {
    sums: &'a [[i32; PANEL]],
    totals: &'a [f32],
    scales: &'a [f32],
    /// Rows of `width` values, of which the first `count` are written.
    out: &'a mut [f32],
    width: usize,
    count: usize,
}

impl Kernel for Join<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Some(scales) = self.scales.first_chunk::<PANEL>() else {
            return;
        };
        let pairs = self.sums.as_chunks::<PLANES>().0;
        for (([high, low], total), out) in pairs
            .iter()
            .zip(self.totals)
            .zip(self.out.chunks_mut(self.width))
        {
            let mut values = [0.0; PANEL];
            for lane in 0..PANEL {
                // In f32, as the sum of large weights over many positions would not fit an integer.
                let sum = high[lane] as f32 * 256.0 + low[lane] as f32;
                values[lane] = sum * (scales[lane] / total);
            }
            match out.first_chunk_mut::<PANEL>() {
                Some(out) if self.count == PANEL => *out = values,
                _ => out[..self.count].copy_from_slice(&values[..self.count]),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::{Fused, Plain};

    #[test]
    fn weights_are_powers_of_e() {
        for i in 0..=4000_i16 {
            let x = f32::from(-i) / 200.0;
            let exact = 65_535.0 * f64::from(x).exp();
            for found in [weight::<Plain>(x), weight::<Fused>(x)] {
                let error = (f64::from(found) - exact).abs() / exact;
                assert!(error < 4e-6, "e^{x}: relative error {error:e}");
                assert!(found.round() <= ONE, "e^{x} does not fit");
            }
        }
        assert!(weight::<Fused>(f32::NEG_INFINITY) < 0.01);
        assert!(weight::<Fused>(f32::NAN).is_nan());
    }
}
