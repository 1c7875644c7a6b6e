//! ggml's blocks of 32 or 256 numbers that share a scale.
//!
//! Layouts and formulas follow ggml's `ggml-common.h` and `ggml-quants.c`. Candle has the same, but wants the bytes
//! of a file aligned, which they are not, and asserts it.

mod k;

use half::f16;

/// What blocks are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocks {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
}

/// Numbers in a block of the older types.
const SHORT: usize = 32;
/// And of the newer ones, whose blocks have scales within.
const LONG: usize = 256;

impl Blocks {
    /// By ggml's number of the type; `None` for what whisper.cpp does not write.
    pub(super) fn numbered(kind: u32) -> Option<Self> {
        Some(match kind {
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            10 => Self::Q2K,
            11 => Self::Q3K,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            _ => return None,
        })
    }

    /// Numbers and bytes of a block.
    pub(super) fn size(self) -> (usize, usize) {
        match self {
            Self::Q4_0 => (SHORT, 18),
            Self::Q4_1 => (SHORT, 20),
            Self::Q5_0 => (SHORT, 22),
            Self::Q5_1 => (SHORT, 24),
            Self::Q8_0 => (SHORT, 34),
            Self::Q2K => (LONG, 84),
            Self::Q3K => (LONG, 110),
            Self::Q4K => (LONG, 144),
            Self::Q5K => (LONG, 176),
            Self::Q6K => (LONG, 210),
        }
    }

    /// The numbers of whole blocks.
    pub(crate) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::Q4_0 => decode(bytes, q4_0),
            Self::Q4_1 => decode(bytes, q4_1),
            Self::Q5_0 => decode(bytes, q5_0),
            Self::Q5_1 => decode(bytes, q5_1),
            Self::Q8_0 => decode(bytes, q8_0),
            Self::Q2K => decode(bytes, k::q2),
            Self::Q3K => decode(bytes, k::q3),
            Self::Q4K => decode(bytes, k::q4),
            Self::Q5K => decode(bytes, k::q5),
            Self::Q6K => decode(bytes, k::q6),
        }
    }
}

/// Block after block, by what fills one.
fn decode<const BYTES: usize, const VALUES: usize>(
    bytes: &[u8],
    fill: fn(&[u8; BYTES], &mut [f32; VALUES]),
) -> Vec<f32> {
    let (blocks, _) = bytes.as_chunks::<BYTES>();
    let mut values = vec![0.0; VALUES * blocks.len()];
    let (filled, _) = values.as_chunks_mut::<VALUES>();
    for (block, values) in blocks.iter().zip(filled) {
        fill(block, values);
    }
    values
}

/// A half at a place of a block.
fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Scale, then four bits each: the lower halves of 16 bytes, then the upper ones.
fn q4_0(block: &[u8; 18], values: &mut [f32; SHORT]) {
    let scale = half_at(block, 0);
    for (at, byte) in block[2..].iter().enumerate() {
        values[at] = (f32::from(byte & 15) - 8.0) * scale;
        values[at + 16] = (f32::from(byte >> 4) - 8.0) * scale;
    }
}

/// Scale and minimum, then as above.
fn q4_1(block: &[u8; 20], values: &mut [f32; SHORT]) {
    let (scale, least) = (half_at(block, 0), half_at(block, 2));
    for (at, byte) in block[4..].iter().enumerate() {
        values[at] = f32::from(byte & 15) * scale + least;
        values[at + 16] = f32::from(byte >> 4) * scale + least;
    }
}

/// Scale, the fifth bits of all, then as above.
fn q5_0(block: &[u8; 22], values: &mut [f32; SHORT]) {
    let scale = half_at(block, 0);
    let fifth = [block[2], block[3], block[4], block[5]];
    five_bits(fifth, &block[6..], values, |number| (number - 16.0) * scale);
}

/// Scale and minimum, the fifth bits of all, then as above.
fn q5_1(block: &[u8; 24], values: &mut [f32; SHORT]) {
    let (scale, least) = (half_at(block, 0), half_at(block, 2));
    let fifth = [block[4], block[5], block[6], block[7]];
    five_bits(fifth, &block[8..], values, |number| number * scale + least);
}

fn five_bits(fifth: [u8; 4], fours: &[u8], values: &mut [f32; SHORT], value: impl Fn(f32) -> f32) {
    let fifth = u32::from_le_bytes(fifth);
    let bit = |at: usize| if fifth >> at & 1 == 1 { 16 } else { 0 };
    for (at, byte) in fours.iter().enumerate() {
        values[at] = value(f32::from(byte & 15 | bit(at)));
        values[at + 16] = value(f32::from(byte >> 4 | bit(at + 16)));
    }
}

/// Scale, then signed bytes.
fn q8_0(block: &[u8; 34], values: &mut [f32; SHORT]) {
    let scale = half_at(block, 0);
    for (value, byte) in values.iter_mut().zip(&block[2..]) {
        *value = f32::from(byte.cast_signed()) * scale;
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{
        Device, Tensor,
        quantized::{GgmlDType, QTensor},
    };

    use super::*;
    use crate::testing::small_integers;

    #[test]
    fn blocks_are_decoded_as_candle_does() {
        let types = [
            (Blocks::Q4_0, GgmlDType::Q4_0),
            (Blocks::Q4_1, GgmlDType::Q4_1),
            (Blocks::Q5_0, GgmlDType::Q5_0),
            (Blocks::Q5_1, GgmlDType::Q5_1),
            (Blocks::Q8_0, GgmlDType::Q8_0),
            (Blocks::Q2K, GgmlDType::Q2K),
            (Blocks::Q3K, GgmlDType::Q3K),
            (Blocks::Q4K, GgmlDType::Q4K),
            (Blocks::Q5K, GgmlDType::Q5K),
            (Blocks::Q6K, GgmlDType::Q6K),
        ];
        let shape = [3, 512];
        let values: Vec<f32> = small_integers(9, "blocks")
            .take(shape.iter().product())
            .map(|integer| f32::from(integer).powi(3) / 1e6)
            .collect();
        let plain = Tensor::from_vec(values.clone(), &shape, &Device::Cpu).unwrap();
        for (blocks, theirs) in types {
            let quantised = QTensor::quantize(&plain, theirs).unwrap();
            let bytes = quantised.data().unwrap();
            let (numbers, size) = blocks.size();
            assert_eq!(values.len() / numbers * size, bytes.len(), "{blocks:?}");
            let expected = quantised.dequantize(&Device::Cpu).unwrap();
            let expected: Vec<f32> = expected.flatten_all().unwrap().to_vec1().unwrap();
            let found = blocks.decode(&bytes);
            for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
                // The order of two products may be another.
                let tolerance = 1e-6 * expected.abs();
                assert!(
                    (found - expected).abs() <= tolerance,
                    "{blocks:?} {at}: {found} {expected}"
                );
            }
            assert_eq!(found.len(), values.len(), "{blocks:?}");
        }
    }
}
