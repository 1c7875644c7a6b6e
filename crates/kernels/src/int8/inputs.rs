//! Inputs as bytes.

use super::{GROUP, tile};
use crate::{
    level::{Isa, Kernel, Level},
    math,
};

/// Rows of values that a product reads.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    pub(super) values: &'a [f32],
    pub(super) norm: Option<Norm<'a>>,
}

/// A layer norm, see [`math::layer_norm`]: as many weights and biases as a row has values.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// What a value is multiplied with.
    pub weight: &'a [f32],
    /// What is added then.
    pub bias: &'a [f32],
}

impl<'a> Input<'a> {
    /// The values as they are.
    pub fn plain(values: &'a [f32]) -> Self {
        Self { values, norm: None }
    }

    /// The layer norm of each row. It is computed where a row is rounded, so that what it gives stays in the innermost
    /// cache.
    pub fn normed(values: &'a [f32], norm: Norm<'a>) -> Self {
        Self {
            values,
            norm: Some(norm),
        }
    }

    /// The rows, of `ins` values each.
    ///
    /// # Panics
    /// When there are no such rows, or the norm is of another width.
    pub(super) fn rows(&self, ins: usize) -> usize {
        assert!(
            self.values.len().is_multiple_of(ins),
            "{} values are not rows of {ins}",
            self.values.len()
        );
        if let Some(Norm { weight, bias }) = self.norm {
            assert!(weight.len() == ins && bias.len() == ins, "a norm of {ins}");
        }
        self.values.len() / ins
    }

    /// These rows instead, with the same norm.
    pub(super) fn of(&self, values: &'a [f32]) -> Self {
        Self { values, ..*self }
    }
}

/// Rows of inputs as bytes from 1 to 255, padded to whole groups: `value ≈ centre + scale · (byte − OFFSET)`.
#[derive(Default)]
pub(crate) struct Inputs {
    stride: usize,
    bytes: Vec<u8>,
    /// One for each row.
    pub(crate) scales: Vec<f32>,
    /// One for each row.
    pub(crate) centres: Vec<f32>,
    /// Memory for the norm of one row.
    normed: Vec<f32>,
}

impl Inputs {
    /// Rounds rows of `ins` values, each around the middle between its least and its largest: what a GELU gives has
    /// next to nothing below zero, and would use half of the bytes.
    pub(crate) fn quantise(level: Level, x: Input<'_>, ins: usize) -> Self {
        let mut inputs = Self::default();
        inputs.fill(level, x, ins);
        inputs
    }

    /// As [`Inputs::quantise`], in the memory of earlier ones.
    pub(super) fn fill(&mut self, level: Level, x: Input<'_>, ins: usize) {
        let inputs = self;
        level.dispatch(Quantise::<true> { x, ins, inputs });
    }

    /// Rounds rows of `ins` values around zero, in the memory of earlier ones.
    pub(crate) fn fill_around_zero(&mut self, level: Level, x: &[f32], ins: usize) {
        let (x, inputs) = (Input::plain(x), self);
        level.dispatch(Quantise::<false> { x, ins, inputs });
    }

    /// The bytes of up to `count` rows from `row` on.
    pub(crate) fn rows(&self, row: usize, count: usize) -> tile::Rows<'_> {
        tile::Rows {
            bytes: &self.bytes[row * self.stride..][..count * self.stride],
            stride: self.stride,
        }
    }
}

struct Quantise<'a, const CENTRED: bool> {
    x: Input<'a>,
    ins: usize,
    inputs: &'a mut Inputs,
}

impl<const CENTRED: bool> Kernel for Quantise<'_, CENTRED> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let inputs = self.inputs;
        let stride = self.ins.next_multiple_of(GROUP);
        let Input { values, norm } = self.x;
        let rows = values.len() / self.ins;
        inputs.stride = stride;
        // Padding keeps what was there: its weights are zero.
        inputs.bytes.resize(rows * stride, 0);
        inputs.scales.clear();
        inputs.centres.clear();
        let normed = &mut inputs.normed;
        normed.resize(if norm.is_some() { self.ins } else { 0 }, 0.0);
        for (mut x, bytes) in values
            .chunks_exact(self.ins)
            .zip(inputs.bytes.chunks_exact_mut(stride))
        {
            if let Some(Norm { weight, bias }) = norm {
                math::layer_norm::<I>(x, weight, bias, normed);
                x = normed;
            }
            let (centre, reach) = if CENTRED {
                let (least, largest) = extremes(x);
                // Halves first: the difference could be too large for a number.
                let (low, high) = (least * 0.5, largest * 0.5);
                (low + high, high - low)
            } else {
                (0.0, largest(x))
            };
            let scale = reach / 127.0;
            let inverse = inverse(scale);
            for (byte, value) in bytes.iter_mut().zip(x) {
                *byte = to_offset_byte((value - centre) * inverse);
            }
            inputs.scales.push(scale);
            inputs.centres.push(centre);
        }
    }
}

// Both searches compare integers, which the compiler may do in any order and thus many at a time, unlike floats.

/// The largest size of a value; NaN when one is not finite.
#[inline(always)]
pub(super) fn largest(values: &[f32]) -> f32 {
    // Bits of positive floats are ordered as the floats are, with infinity and NaN above all.
    let size = |value: &f32| value.to_bits() & 0x7fff_ffff;
    let largest = f32::from_bits(values.iter().map(size).max().unwrap_or(0));
    if largest.is_finite() {
        largest
    } else {
        f32::NAN
    }
}

/// The least and the largest value; both NaN when one is not finite.
#[inline(always)]
fn extremes(values: &[f32]) -> (f32, f32) {
    let (mut least, mut largest) = (i32::MAX, i32::MIN);
    for value in values {
        let place = in_order(value.to_bits().cast_signed());
        least = least.min(place);
        largest = largest.max(place);
    }
    let [least, largest] =
        [least, largest].map(|place| f32::from_bits(in_order(place).cast_unsigned()));
    if least.is_finite() && largest.is_finite() {
        (least, largest)
    } else {
        (f32::NAN, f32::NAN)
    }
}

/// Bits of floats ↔ integers in the order of the floats, with infinities and NaN outside of all numbers: bits of
/// negative floats are ordered from zero on.
#[inline(always)]
fn in_order(bits: i32) -> i32 {
    bits ^ ((bits >> 31) & i32::MAX)
}

/// Rows of zeros keep the scale 0, and then any inverse gives zeros. So do rows whose inverse would be infinite.
#[inline(always)]
pub(super) fn inverse(scale: f32) -> f32 {
    let inverse = 1.0 / scale;
    if inverse.is_finite() { inverse } else { 0.0 }
}

/// 1.5 * 2^23: adding it rounds to the nearest integer, whose bits are then the low bits of the sum.
const ROUND: f32 = 12_582_912.0;

/// Rounds a value between −127 and 127; others, NaN among them, give any byte.
#[inline(always)]
pub(super) fn to_byte(value: f32) -> i8 {
    (value + ROUND).to_bits().to_le_bytes()[0].cast_signed()
}

#[inline(always)]
fn to_offset_byte(value: f32) -> u8 {
    // The low byte of ROUND is 0, so adding 128 to it is the same as to the integer.
    (value + (ROUND + 128.0)).to_bits().to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_are_found_and_what_is_not_finite_shows() {
        let values = [0.5, -3.0, 0.0, -0.0, 2.0, f32::MIN_POSITIVE];
        assert_eq!(extremes(&values), (-3.0, 2.0));
        assert_eq!(extremes(&[-1.0, -2.0]), (-2.0, -1.0));
        assert_eq!(extremes(&[f32::MIN, f32::MAX]), (f32::MIN, f32::MAX));
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let (least, largest) = extremes(&[1.0, bad, 2.0]);
            assert!(least.is_nan() && largest.is_nan(), "{bad}");
        }
    }

    #[test]
    fn values_come_back_within_half_a_step_of_their_own_range() {
        let x = [
            -0.17,
            0.0,
            4.0,
            1.3,
            2.7,
            f32::MAX,
            f32::MIN,
            0.0,
            5.0,
            1e30,
        ];
        for level in Level::available() {
            let inputs = Inputs::quantise(level, Input::plain(&x), 5);
            for (row, (x, range)) in x
                .chunks(5)
                .zip([4.17, 2.0 * f64::from(f32::MAX)])
                .enumerate()
            {
                for (value, byte) in x.iter().zip(inputs.rows(row, 1).bytes) {
                    let back = f64::from(inputs.centres[row])
                        + f64::from(inputs.scales[row]) * (f64::from(*byte) - 128.0);
                    let error = (back - f64::from(*value)).abs();
                    assert!(
                        error <= 0.501 * range / 254.0,
                        "{level}: {value} came back as {back}"
                    );
                }
            }
        }
    }
}
