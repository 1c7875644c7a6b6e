//! Rows of inputs, and how they become integers.

use super::GROUP;
use crate::{
    int8::Rows,
    int16::WordRows,
    level::{Isa, Kernel, Level},
    math,
    memory::Lines,
};

/// Rows of values that a product reads.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    values: &'a [f32],
    /// From a row to the next; none where they are as long as the product's inputs.
    stride: Option<usize>,
    norm: Option<Norm<'a>>,
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
        Self {
            values,
            stride: None,
            norm: None,
        }
    }

    /// Rows that begin `stride` values after each other, and may overlap: the steps of a convolution over values that lie
    /// in the order of time.
    pub fn overlapping(values: &'a [f32], stride: usize) -> Self {
        Self {
            stride: Some(stride),
            ..Self::plain(values)
        }
    }

    /// The layer norm of each row. It is computed where a row is rounded, so that what it gives stays in the innermost
    /// cache.
    pub fn normed(values: &'a [f32], norm: Norm<'a>) -> Self {
        Self {
            norm: Some(norm),
            ..Self::plain(values)
        }
    }

    /// The rows, of `ins` values each.
    ///
    /// # Panics
    /// When there are no such rows, or the norm is of another width.
    pub(crate) fn rows(&self, ins: usize) -> usize {
        let count = self.values.len();
        if let Some(Norm { weight, bias }) = self.norm {
            assert!(weight.len() == ins && bias.len() == ins, "a norm of {ins}");
        }
        let Some(stride) = self.stride else {
            assert!(
                count.is_multiple_of(ins),
                "{count} values are not rows of {ins}"
            );
            return count / ins;
        };
        assert!(
            stride > 0 && count >= ins,
            "{count} values are no rows of {ins}, {stride} apart"
        );
        (count - ins) / stride + 1
    }

    /// The rows as they are, or their norms.
    pub(crate) fn to_rows(self, level: Level, ins: usize) -> Vec<f32> {
        level.dispatch(ToRows { x: self, ins })
    }

    /// Calls `each` with every row, or its norm in `memory`, and with what `outs` has for it.
    #[inline(always)]
    fn for_each_row<I: Isa, T>(
        self,
        ins: usize,
        memory: &mut Vec<f32>,
        outs: impl Iterator<Item = T>,
        mut each: impl FnMut(&[f32], T),
    ) {
        let apart = self.stride.unwrap_or(ins);
        memory.resize(if self.norm.is_some() { ins } else { 0 }, 0.0);
        for (row, out) in outs.enumerate() {
            let mut x = &self.values[row * apart..][..ins];
            if let Some(Norm { weight, bias }) = self.norm {
                math::layer_norm::<I>(x, weight, bias, memory);
                x = memory;
            }
            each(x, out);
        }
    }

    /// Up to `count` rows of `ins` values from `row` on.
    pub(crate) fn part(&self, ins: usize, row: usize, count: usize) -> Self {
        let stride = self.stride.unwrap_or(ins);
        let count = count.min(self.rows(ins) - row);
        Self {
            values: &self.values[row * stride..][..(count - 1) * stride + ins],
            ..*self
        }
    }
}

/// Rows of inputs as integers.
///
/// Bytes are from 1 to 255, padded to whole groups: `value ≈ centre + scale · (byte − OFFSET)`. Words of two bytes are
/// around zero: `value ≈ scale · word`.
#[derive(Default)]
pub(crate) struct Inputs {
    stride: usize,
    bytes: Lines<u8>,
    /// In their place, where inputs have two bytes; padded to pairs.
    words: Vec<i16>,
    /// The words again, in halves.
    halves: Halves,
    /// One for each row.
    pub(crate) scales: Vec<f32>,
    /// One for each row; none in rows for an attention.
    pub(crate) centres: Vec<f32>,
    /// Memory for the norm of one row.
    normed: Vec<f32>,
}

/// Words in halves: of each row the high ones, then the low ones, then a line of the cache that is not used.
#[derive(Default)]
struct Halves {
    bytes: Lines<u8>,
    ins: usize,
    stride: usize,
}

/// Rows of halves, `stride` bytes from one to the next: `ins` high ones and `ins` low ones.
#[derive(Clone, Copy)]
pub(crate) struct HalfRows<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) ins: usize,
    pub(crate) stride: usize,
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
    pub(crate) fn fill(&mut self, level: Level, x: Input<'_>, ins: usize) {
        let inputs = self;
        level.dispatch(Quantise { x, ins, inputs });
    }

    /// Rounds rows around zero, in the memory of earlier ones: the first `ins` values of each of `rows`.
    pub(crate) fn fill_around_zero<'a>(
        &mut self,
        level: Level,
        rows: impl Iterator<Item = &'a [f32]>,
        ins: usize,
    ) {
        let inputs = self;
        level.dispatch(QuantiseAroundZero { rows, ins, inputs });
    }

    /// Rounds rows of `ins` values around zero to integers of sizes up to `most`, in the memory of earlier ones.
    pub(crate) fn fill_words(&mut self, level: Level, x: Input<'_>, ins: usize, most: i16) {
        let inputs = self;
        level.dispatch(QuantiseToWords {
            x,
            ins,
            most: f32::from(most),
            inputs,
        });
    }

    /// Puts the words into halves too, each row padded to `ins` inputs, and their number to a multiple of `block`.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn split_words(&mut self, level: Level, ins: usize, block: usize) {
        // Rows that are a power of two apart would share few lines of the innermost cache.
        const LINE: usize = 64;
        let stride = 2 * ins + LINE;
        let rows = self.scales.len().next_multiple_of(block);
        let halves = &mut self.halves;
        (halves.ins, halves.stride) = (ins, stride);
        // What is padded keeps what was there: its weights are zero, and the sums of its rows are not looked at.
        halves.bytes.resize(rows * stride);
        level.dispatch(Split {
            words: &self.words,
            words_stride: self.stride,
            halves,
        });
    }

    /// The halves of the rows from `row` on.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn half_rows(&self, row: usize) -> HalfRows<'_> {
        let Halves { bytes, ins, stride } = &self.halves;
        HalfRows {
            bytes: &bytes[row * stride..],
            ins: *ins,
            stride: *stride,
        }
    }

    /// Forgets earlier rows; those that come have `ins` values. Returns their stride.
    fn start(&mut self, ins: usize) -> usize {
        self.stride = ins.next_multiple_of(GROUP);
        self.scales.clear();
        self.centres.clear();
        self.stride
    }

    /// The bytes of up to `count` rows from `row` on.
    pub(crate) fn rows(&self, row: usize, count: usize) -> Rows<'_> {
        Rows {
            bytes: &self.bytes[row * self.stride..][..count * self.stride],
            stride: self.stride,
        }
    }

    /// The words of the rows from `row` on.
    pub(crate) fn word_rows(&self, row: usize) -> WordRows<'_> {
        WordRows {
            words: &self.words[row * self.stride..],
            stride: self.stride,
        }
    }
}

struct Quantise<'a> {
    x: Input<'a>,
    ins: usize,
    inputs: &'a mut Inputs,
}

impl Kernel for Quantise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { x, ins, inputs } = self;
        let stride = inputs.start(ins);
        // Padding keeps what was there: its weights are zero.
        inputs.bytes.resize(x.rows(ins) * stride);
        let rows = inputs.bytes.chunks_exact_mut(stride);
        x.for_each_row::<I, _>(ins, &mut inputs.normed, rows, |x, bytes| {
            let (least, largest) = extremes(x);
            // Halves first: the difference could be too large for a number.
            let (low, high) = (least * 0.5, largest * 0.5);
            let (centre, scale) = (low + high, (high - low) / 127.0);
            let inverse = inverse(scale);
            for (byte, value) in bytes.iter_mut().zip(x) {
                *byte = to_offset_byte((value - centre) * inverse);
            }
            inputs.scales.push(scale);
            inputs.centres.push(centre);
        });
    }
}

#[cfg(target_arch = "x86_64")]
struct Split<'a> {
    words: &'a [i16],
    words_stride: usize,
    halves: &'a mut Halves,
}

#[cfg(target_arch = "x86_64")]
impl Kernel for Split<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Halves { bytes, ins, stride } = self.halves;
        let words = self.words.chunks_exact(self.words_stride);
        for (words, halves) in words.zip(bytes.chunks_exact_mut(*stride)) {
            let (high, low) = halves.split_at_mut(*ins);
            for ((word, high), low) in words.iter().zip(high).zip(low) {
                [*low, *high] = word.to_le_bytes();
            }
        }
    }
}

struct ToRows<'a> {
    x: Input<'a>,
    ins: usize,
}

impl Kernel for ToRows<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<I: Isa>(self) -> Vec<f32> {
        let Self { x, ins } = self;
        let mut out = vec![0.0; x.rows(ins) * ins];
        let rows = out.chunks_exact_mut(ins);
        x.for_each_row::<I, _>(ins, &mut Vec::new(), rows, |x, out| out.copy_from_slice(x));
        out
    }
}

struct QuantiseToWords<'a> {
    x: Input<'a>,
    ins: usize,
    most: f32,
    inputs: &'a mut Inputs,
}

impl Kernel for QuantiseToWords<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self {
            x,
            ins,
            most,
            inputs,
        } = self;
        inputs.start(ins);
        let rows = x.rows(ins);
        let stride = ins.next_multiple_of(2);
        inputs.stride = stride;
        // As above.
        inputs.words.resize(rows * stride, 0);
        inputs.centres.resize(rows, 0.0);
        let rows = inputs.words.chunks_exact_mut(stride);
        x.for_each_row::<I, _>(ins, &mut inputs.normed, rows, |x, words| {
            let scale = largest(x) / most;
            let inverse = inverse(scale);
            for (word, value) in words.iter_mut().zip(x) {
                *word = round_to_integer(value * inverse);
            }
            inputs.scales.push(scale);
        });
    }
}

struct QuantiseAroundZero<'a, R> {
    rows: R,
    ins: usize,
    inputs: &'a mut Inputs,
}

impl<'a, R: Iterator<Item = &'a [f32]>> Kernel for QuantiseAroundZero<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let inputs = self.inputs;
        let stride = inputs.start(self.ins);
        for (index, row) in self.rows.enumerate() {
            let row = &row[..self.ins];
            inputs.bytes.resize((index + 1) * stride);
            let scale = largest(row) / 127.0;
            let inverse = inverse(scale);
            for (byte, value) in inputs.bytes[index * stride..].iter_mut().zip(row) {
                *byte = to_offset_byte(value * inverse);
            }
            inputs.scales.push(scale);
        }
        inputs.bytes.resize(inputs.scales.len() * stride);
    }
}

// Both searches compare integers, which the compiler may do in any order and thus many at a time, unlike floats.

/// The largest size of a value; NaN when one is not finite.
#[inline(always)]
pub(crate) fn largest(values: &[f32]) -> f32 {
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
pub(crate) fn inverse(scale: f32) -> f32 {
    let inverse = 1.0 / scale;
    if inverse.is_finite() { inverse } else { 0.0 }
}

/// 1.5 * 2^23: adding it rounds to the nearest integer, whose bits are then the low bits of the sum.
const ROUND: f32 = 12_582_912.0;

/// Rounds a value between −127 and 127; others, NaN among them, give any byte.
#[inline(always)]
pub(crate) fn to_byte(value: f32) -> i8 {
    (value + ROUND).to_bits().to_le_bytes()[0].cast_signed()
}

/// Rounds a value between −32767 and 32767; others, NaN among them, give any integer.
#[inline(always)]
pub(crate) fn round_to_integer(value: f32) -> i16 {
    let [low, high, ..] = (value + ROUND).to_bits().to_le_bytes();
    i16::from_le_bytes([low, high])
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
