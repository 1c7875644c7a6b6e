//! Tensors as files store them, whatever the form of the file.

use std::{borrow::Cow, path::Path};

use half::{bf16, f16, slice::HalfFloatSliceExt};

use super::{ggml::Blocks, strided::gather};

/// One tensor of a weight file.
#[derive(Debug)]
pub(super) struct Stored<'a> {
    /// The name that transformers' `WhisperForConditionalGeneration` gives it, without `model.` before it:
    /// `encoder.conv1.weight`, `decoder.layers.0.fc1.bias`, `proj_out.weight`.
    pub(super) name: String,
    /// The file, for messages.
    pub(super) path: &'a Path,
    /// The name that the file gives it, for messages.
    pub(super) called: String,
    /// As transformers has it: `(out, in)` for a linear layer, `(out, in, 3)` for a convolution.
    pub(super) shape: Vec<usize>,
    /// Row-major, in the order of `shape`.
    pub(super) values: Values<'a>,
}

/// The values of a tensor. Lengths may lie: [`Values::to_f32`] checks them.
#[derive(Debug)]
pub(super) enum Values<'a> {
    /// Little-endian numbers.
    Numbers(Number, Cow<'a, [u8]>),
    /// Little-endian integers, each to be divided by the scale of its row: one for each row, or one for all.
    Scaled {
        integers: Integer,
        bytes: &'a [u8],
        scales: Vec<f32>,
    },
    /// Little-endian numbers that do not lie row by row: so many from one to the next in each dimension.
    Strided {
        number: Number,
        bytes: &'a [u8],
        strides: Vec<usize>,
    },
    /// Blocks of ggml's.
    Blocks(Blocks, &'a [u8]),
    /// Of a type that is not read, by its name.
    Unread(String),
}

/// Number types that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    F64,
    F32,
    F16,
    Bf16,
}

/// Integer types that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Integer {
    I8,
    I16,
}

/// Why values cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// By the name of the type.
    Type(String),
    /// There are more or fewer bytes, or scales, than the shape asks for.
    Length,
}

impl Values<'_> {
    /// The values in f32. `shape` must be trusted: it says how much memory is taken.
    pub(super) fn to_f32(&self, shape: &[usize]) -> Result<Vec<f32>, Unreadable> {
        let count: usize = shape.iter().product();
        let has = |bytes: &[u8], size: usize| {
            let fits = bytes.len() == count * size;
            fits.then_some(()).ok_or(Unreadable::Length)
        };
        match self {
            Self::Numbers(number, bytes) => {
                has(bytes, number.size())?;
                Ok(number.widen(bytes))
            }
            Self::Scaled {
                integers,
                bytes,
                scales,
            } => {
                has(bytes, integers.size())?;
                let rows = shape.first().copied().unwrap_or(1);
                if scales.len() != 1 && scales.len() != rows {
                    return Err(Unreadable::Length);
                }
                Ok(integers.divided(bytes, rows, scales))
            }
            Self::Strided {
                number,
                bytes,
                strides,
            } => {
                let gathered = gather(bytes, number.size(), shape, strides);
                Ok(number.widen(&gathered.ok_or(Unreadable::Length)?))
            }
            Self::Blocks(blocks, bytes) => {
                let values = blocks.decode(bytes);
                let fits = values.len() == count;
                fits.then_some(values).ok_or(Unreadable::Length)
            }
            Self::Unread(name) => Err(Unreadable::Type(name.clone())),
        }
    }
}

impl Number {
    /// In bytes.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    fn widen(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the network computes in f32; what that cannot hold is infinite, which is refused"
            )]
            Self::F64 => {
                let words = bytes.as_chunks::<8>().0.iter();
                words.map(|word| f64::from_le_bytes(*word) as f32).collect()
            }
            Self::F32 => {
                let words = bytes.as_chunks::<4>().0.iter();
                words.map(|word| f32::from_le_bytes(*word)).collect()
            }
            Self::F16 => widen(bytes, f16::from_le_bytes, |from, to| {
                from.convert_to_f32_slice(to);
            }),
            Self::Bf16 => widen(bytes, bf16::from_le_bytes, |from, to| {
                from.convert_to_f32_slice(to);
            }),
        }
    }
}

impl Integer {
    /// In bytes.
    pub(super) fn size(self) -> usize {
        match self {
            Self::I8 => 1,
            Self::I16 => 2,
        }
    }

    /// `scales`: one for each of `rows`, or one for all.
    fn divided(self, bytes: &[u8], rows: usize, scales: &[f32]) -> Vec<f32> {
        let mut values: Vec<f32> = match self {
            Self::I8 => bytes
                .iter()
                .map(|byte| f32::from(byte.cast_signed()))
                .collect(),
            Self::I16 => {
                let words = bytes.as_chunks::<2>().0.iter();
                words
                    .map(|word| f32::from(i16::from_le_bytes(*word)))
                    .collect()
            }
        };
        let width = values.len().checked_div(rows).unwrap_or(0).max(1);
        for (row, scale) in values
            .chunks_exact_mut(width)
            .zip(scales.iter().cycle().take(rows))
        {
            for value in row {
                *value /= scale;
            }
        }
        values
    }
}

/// Widens 16-bit values in pieces that stay in the cache: the vector conversion of `half` wants them aligned.
fn widen<T>(bytes: &[u8], read: fn([u8; 2]) -> T, convert: impl Fn(&[T], &mut [f32])) -> Vec<f32> {
    const PIECE: usize = 4096;
    let mut values = vec![0.0; bytes.len() / 2];
    let mut narrow = Vec::with_capacity(PIECE);
    for (from, to) in bytes.chunks(2 * PIECE).zip(values.chunks_mut(PIECE)) {
        narrow.clear();
        narrow.extend(from.as_chunks::<2>().0.iter().map(|word| read(*word)));
        convert(&narrow, to);
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_type_widen() {
        let check = |number, bytes: Vec<u8>| {
            let values = Values::Numbers(number, bytes.into());
            assert_eq!(
                values.to_f32(&[2]).unwrap(),
                [1.5, -2.0],
                "{number:?} {values:?}"
            );
            assert_eq!(values.to_f32(&[3]), Err(Unreadable::Length), "{number:?}");
        };
        let of = [1.5_f32, -2.0];
        check(
            Number::F64,
            of.iter()
                .flat_map(|v| f64::from(*v).to_le_bytes())
                .collect(),
        );
        check(
            Number::F32,
            of.iter().flat_map(|v| v.to_le_bytes()).collect(),
        );
        check(
            Number::F16,
            of.iter()
                .flat_map(|v| f16::from_f32(*v).to_le_bytes())
                .collect(),
        );
        check(
            Number::Bf16,
            of.iter()
                .flat_map(|v| bf16::from_f32(*v).to_le_bytes())
                .collect(),
        );
    }

    #[test]
    fn integers_are_divided_by_the_scale_of_their_row() {
        let scaled = |integers, bytes, scales: &[f32]| Values::Scaled {
            integers,
            bytes,
            scales: scales.to_vec(),
        };
        let bytes = [2, 4, 0xFE, 127];
        let by_row = scaled(Integer::I8, &bytes, &[2.0, 4.0]);
        assert_eq!(by_row.to_f32(&[2, 2]).unwrap(), [1.0, 2.0, -0.5, 31.75]);
        let by_one = scaled(Integer::I16, &bytes, &[2.0]);
        assert_eq!(by_one.to_f32(&[2]).unwrap(), [513.0, 16_383.0]);
        for (bytes, scales) in [(&bytes[..3], &[1.0][..]), (&bytes, &[1.0; 3])] {
            let lies = scaled(Integer::I8, bytes, scales);
            assert_eq!(lies.to_f32(&[2, 2]), Err(Unreadable::Length));
        }
    }
}
