//! The softmax over blocks of keys, in bytes.
//!
//! In a block, a weight is `254 · 2^(score − largest of the block)` in a byte, so a block of small weights keeps their
//! precision. What rounding takes from a weight goes to the one 32 further on, and what the first ones begin with is
//! spread over half a step to either side: so many weights below half a step are as much together as they should be,
//! where each by itself would become nothing. The sum that the result is divided by is that of the bytes, so weights
//! always make up one.

use crate::{
    level::{Isa, Kernel},
    linear::PANEL,
    math,
    memory::Lines,
};

/// The weight of a block's largest score. With what rounding adds at most, it stays a byte.
const ONE: f32 = 254.0;
/// Weights of a vector.
const LANES: usize = 16;
/// The softmax of some queries: of the last block its weights, of all blocks until then the sums of weights.
#[derive(Default)]
pub(super) struct Weights {
    /// `(queries, positions of the block padded to whole panels)`; padding is zero.
    bytes: Lines<u8>,
    stride: usize,
    /// The largest score so far, as an exponent of 2.
    largest: Vec<f32>,
    totals: Vec<f32>,
    /// What the sums so far, and those of the block, are to be multiplied with.
    factors: Vec<[f32; 2]>,
    /// Of the block.
    exponents: Vec<Exponents>,
}

impl Weights {
    /// Forgets all; so many queries follow.
    pub(super) fn start(&mut self, queries: usize) {
        for (values, start) in [
            (&mut self.largest, f32::NEG_INFINITY),
            (&mut self.totals, 0.0),
        ] {
            values.clear();
            values.resize(queries, start);
        }
        self.factors.clear();
        self.factors.resize(queries, [0.0; 2]);
    }

    pub(super) fn rows(&self) -> usize {
        self.totals.len()
    }

    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// From query `row` on.
    pub(super) fn bytes(&self, row: usize) -> &[u8] {
        &self.bytes[row * self.stride..]
    }

    /// From query `row` on.
    pub(super) fn factors(&self, row: usize) -> &[[f32; 2]] {
        &self.factors[row..]
    }

    pub(super) fn totals(&self) -> &[f32] {
        &self.totals
    }
}

/// Scores of a block → its weights.
pub(super) struct Soften<'a> {
    /// `(queries, positions padded to whole panels)`, without scales.
    pub(super) scores: &'a mut [i32],
    /// Positions.
    pub(super) count: usize,
    pub(super) query_scales: &'a [f32],
    pub(super) key_scale: f32,
    /// How often each position counts.
    pub(super) times: f32,
    pub(super) weights: &'a mut Weights,
}

impl Kernel for Soften<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let weights = self.weights;
        let stride = self.count.next_multiple_of(PANEL);
        weights.stride = stride;
        weights.bytes.resize(weights.totals.len() * stride);
        // One step for all queries after the other: the steps of one query wait for each other, those of many need not.
        weights.exponents.clear();
        for (scores, query_scale) in self.scores.chunks_exact(stride).zip(self.query_scales) {
            let highest = scores[..self.count].iter().copied().max().unwrap_or(0);
            let scale = query_scale * self.key_scale * std::f32::consts::LOG2_E;
            weights.exponents.push(Exponents { highest, scale });
        }
        for ((exponents, before), factors) in weights
            .exponents
            .iter()
            .zip(&mut weights.largest)
            .zip(&mut weights.factors)
        {
            let largest = exponents.largest();
            // NaN, which a scale may be, shows in the total.
            let now = before.max(largest);
            let [old, new] = [*before - now, largest - now].map(power::<I>);
            *factors = [old, new * self.times];
            *before = now;
        }
        for ((((scores, bytes), exponents), total), [before, new]) in self
            .scores
            .chunks_exact_mut(stride)
            .zip(weights.bytes.chunks_exact_mut(stride))
            .zip(&weights.exponents)
            .zip(&mut weights.totals)
            .zip(&weights.factors)
        {
            scores[self.count..].fill(exponents.highest);
            let mut own = soften::<I>(scores, *exponents, bytes);
            for byte in &mut bytes[self.count..] {
                own -= f32::from(*byte);
                *byte = 0;
            }
            *total = *total * before + own * new;
        }
    }
}

/// Weights of one query, in whole panels; returns the sum of what was written.
#[inline(always)]
fn soften<I: Isa>(scores: &[i32], exponents: Exponents, bytes: &mut [u8]) -> f32 {
    let exponents = exponents.bounded();
    let (lowest, scale, largest) = (exponents.lowest(), exponents.scale, exponents.largest());
    let exponent = |score: i32| math::mul_add::<I>(score.max(lowest) as f32, scale, -largest);
    // Two, so that one need not wait for the other.
    let (mut even, mut odd) = (Chain::new(0), Chain::new(1));
    let scores = scores.as_chunks::<LANES>().0.as_chunks::<2>().0;
    let bytes = bytes.as_chunks_mut::<LANES>().0.as_chunks_mut::<2>().0;
    for ([first, second], [first_bytes, second_bytes]) in scores.iter().zip(bytes) {
        even.round::<I>(first, exponent, first_bytes);
        odd.round::<I>(second, exponent, second_bytes);
    }
    let mut totals = even.totals;
    for (total, more) in totals.iter_mut().zip(odd.totals) {
        *total += more;
    }
    sum(totals)
}

/// Halves onto each other: in a row, each would wait for the one before.
#[inline(always)]
fn sum(mut lanes: [f32; LANES]) -> f32 {
    let mut count = LANES;
    while count > 1 {
        count /= 2;
        for lane in 0..count {
            lanes[lane] += lanes[lane + count];
        }
    }
    lanes[0]
}

/// Scores of one query and one block → exponents of 2, at most 0.
#[derive(Clone, Copy, Debug)]
struct Exponents {
    highest: i32,
    scale: f32,
}

/// Weights of lower exponents are nothing.
const LOWEST: f32 = -125.0;

impl Exponents {
    /// The exponent of the highest score, which is taken from all.
    #[inline(always)]
    fn largest(self) -> f32 {
        self.highest as f32 * self.scale
    }

    /// The same where one step of the scores is all the way to the lowest exponent at most, which makes no difference.
    #[inline(always)]
    fn bounded(self) -> Self {
        // A comparison that fails on NaN, which is to stay.
        let scale = if self.scale > -LOWEST {
            -LOWEST
        } else {
            self.scale
        };
        Self { scale, ..self }
    }

    /// What lower scores count as.
    #[inline(always)]
    fn lowest(self) -> i32 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the least or the largest integer will do, and any for NaN"
        )]
        let reach = (-LOWEST / self.scale) as i32;
        self.highest.saturating_sub(reach)
    }
}

/// Every other vector of weights, of which each hands on to the next what rounding took away.
struct Chain {
    rests: [f32; LANES],
    totals: [f32; LANES],
}

impl Chain {
    /// `index`: 0 or 1.
    #[inline(always)]
    fn new(index: usize) -> Self {
        let mut rests = [0.0; LANES];
        for (lane, rest) in rests.iter_mut().enumerate() {
            let place = (lane * 2 + index) as f32;
            *rest = (place + 0.5) / (2 * LANES) as f32 - 0.5;
        }
        Self {
            rests,
            totals: [0.0; LANES],
        }
    }

    #[inline(always)]
    fn round<I: Isa>(
        &mut self,
        scores: &[i32; LANES],
        exponent: impl Fn(i32) -> f32,
        bytes: &mut [u8; LANES],
    ) {
        let mut rounded = [0; LANES];
        for lane in 0..LANES {
            let [series, power] = power_in_parts::<I>(exponent(scores[lane]));
            let weight = math::mul_add::<I>(ONE * series, power, self.rests[lane]);
            let shifted = weight + ROUND;
            let whole = shifted - ROUND;
            self.rests[lane] = weight - whole;
            self.totals[lane] += whole;
            rounded[lane] = shifted.to_bits();
        }
        for lane in 0..LANES {
            bytes[lane] = rounded[lane].to_le_bytes()[0];
        }
    }
}

/// 1.5 * 2^23: adding it rounds to the nearest integer, whose bits are then the low bits of the sum.
const ROUND: f32 = 12_582_912.0;

/// 2^x for x ≤ 0 within 8e-5 of relative error, a fiftieth of a byte's step; what is lower than 2^[`LOWEST`] is that, as
/// processors are slow with numbers that are not normal.
#[inline(always)]
fn power<I: Isa>(x: f32) -> f32 {
    // A comparison that fails on NaN, which is to stay.
    let [series, power] = power_in_parts::<I>(if x < LOWEST { LOWEST } else { x });
    series * power
}

/// Factors of 2^x for x from −126 to 0: a polynomial (minimax of degree 3) of what is left when x is rounded, and a power
/// of 2.
#[inline(always)]
fn power_in_parts<I: Isa>(x: f32) -> [f32; 2] {
    const SERIES: [f32; 4] = [0.999_928_1, 0.693_261, 0.242_611_1, 0.055_171_67];
    /// Rounds, and adds the exponent that 1 has in an f32.
    const ROUND_BIASED: f32 = ROUND + 127.0;
    let rounded = x + ROUND_BIASED;
    let r = x - (rounded - ROUND_BIASED);
    let mut series = SERIES[3];
    for coefficient in [SERIES[2], SERIES[1], SERIES[0]] {
        series = math::mul_add::<I>(series, r, coefficient);
    }
    [series, f32::from_bits(rounded.to_bits() << 23)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::{Fused, Plain};

    #[test]
    fn powers_of_two_are_near() {
        for i in 0..=12_500_i16 {
            let x = f32::from(-i) / 100.0;
            let exact = f64::from(x).exp2();
            for found in [power::<Plain>(x), power::<Fused>(x)] {
                let error = (f64::from(found) - exact).abs() / exact;
                assert!(error < 8e-5, "2^{x}: relative error {error:e}");
            }
        }
        // Of the block before the first.
        for nothing in [
            power::<Plain>(f32::NEG_INFINITY),
            power::<Fused>(f32::NEG_INFINITY),
        ] {
            assert!(nothing < 1e-37 && nothing.is_normal(), "{nothing:e}");
        }
        assert!(power::<Fused>(f32::NAN).is_nan());
    }

    /// Of one query.
    fn weights(own: &[i32], scale: f32) -> Weights {
        let mut weights = Weights::default();
        weights.start(1);
        let mut scores = own.to_vec();
        scores.resize(own.len().next_multiple_of(PANEL), 0);
        Soften {
            scores: &mut scores,
            count: own.len(),
            query_scales: &[scale / std::f32::consts::LOG2_E],
            key_scale: 1.0,
            times: 1.0,
            weights: &mut weights,
        }
        .run::<Fused>();
        weights
    }

    #[test]
    fn the_total_is_that_of_the_bytes() {
        for count in [1, 15, 16, 17, 255, 256] {
            let scores: Vec<i32> = (0..count).map(|i| (i * 7919) % 1000).collect();
            let weights = weights(&scores, 0.01);
            let (own, padding) = weights.bytes.split_at(scores.len());
            let sum: u32 = own.iter().copied().map(u32::from).sum();
            let off = (f64::from(weights.totals[0]) / f64::from(sum) - 1.0).abs();
            assert!(off < 1e-4, "{count}: {off}");
            assert!(own.iter().any(|byte| *byte >= 253), "{count}");
            assert!(padding.iter().all(|byte| *byte == 0), "{count}");
        }
    }

    #[test]
    fn scores_far_below_the_highest_are_nothing_however_far() {
        let mut scores = vec![0; 64];
        scores[40] = 1;
        for scale in [20.0, 100.0, 126.0, 1000.0, 1e30] {
            let weights = weights(&scores, scale);
            let shown = weights.bytes.iter().filter(|byte| **byte > 0).count();
            assert_eq!(shown, 1, "{scale}");
            assert!(weights.bytes[40] >= 253, "{scale}");
        }
        let all = weights(&scores, 0.0);
        assert!(all.bytes.iter().all(|byte| *byte >= 253), "{:?}", all.bytes);
    }

    /// Each by itself would be nothing: 0.05 of a step.
    #[test]
    fn many_small_weights_are_what_they_are_together() {
        let mut scores = vec![0; 256];
        scores[100] = 1000;
        let scale = (ONE / 0.05).log2() / 1000.0;
        let total = weights(&scores, scale).totals[0];
        let expected = ONE + 255.0 * 0.05;
        assert!((total - expected).abs() < 2.0, "{total} for {expected}");
    }
}
