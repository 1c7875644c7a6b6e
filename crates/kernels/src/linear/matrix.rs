//! A matrix rounded in one of several ways.

use super::{Input, Product, Rest, Then, products};
#[cfg(target_arch = "x86_64")]
use crate::halves::HalvesMatrix;
use crate::{int8::Int8Matrix, int16::Int16Matrix, level::Level};

/// How weights and their inputs are rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Both to one byte.
    Int8,
    /// Weights to one byte, inputs to two: for few rows, which wait for the weights to come from memory.
    Int8ByInt16,
    /// Weights to 12 bits, inputs to two bytes.
    Int16,
}

/// A weight matrix `(outs, ins)`, rounded and packed.
#[derive(Clone, Debug)]
pub enum IntMatrix {
    /// By [`Rounding::Int8`].
    Int8(Int8Matrix),
    /// By the others.
    Int16(Int16Matrix),
    /// By [`Rounding::Int16`], for many rows on AMX.
    #[cfg(target_arch = "x86_64")]
    Halves(HalvesMatrix),
}

impl IntMatrix {
    /// What a change of the packing changes, for packed matrices that are kept.
    pub const LAYOUT: u32 = 2;

    /// Rounds and packs `weight`, `(outs, ins)` row-major. Values must be finite.
    ///
    /// # Panics
    /// When `weight` is not whole rows of `ins` values.
    pub fn pack(rounding: Rounding, weight: &[f32], ins: usize) -> Self {
        match rounding {
            Rounding::Int8 => Self::Int8(Int8Matrix::pack(weight, ins)),
            _ => Self::Int16(Int16Matrix::pack(weight, ins, rounding == Rounding::Int16)),
        }
    }

    /// The same matrix, laid out for products of many rows, where `level` has faster ones for them: AMX has for
    /// [`Rounding::Int16`]. Products of a few rows are slower then.
    #[must_use]
    pub fn for_many_rows(self, level: Level) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Self::Int16(matrix) = &self
            && let Some(halves) = HalvesMatrix::new(level, matrix)
        {
            return Self::Halves(halves);
        }
        let _ = level;
        self
    }

    /// Outputs and inputs.
    pub fn shape(&self) -> [usize; 2] {
        match self {
            Self::Int8(matrix) => matrix.shape(),
            Self::Int16(matrix) => matrix.shape(),
            #[cfg(target_arch = "x86_64")]
            Self::Halves(matrix) => matrix.shape(),
        }
    }

    /// `x · weightᵀ + bias`, and what follows: `(rows, ins)` → `(rows, outs)`. An empty `bias` is none.
    ///
    /// A row of `x` that holds a value that is not finite gives a row of NaN.
    ///
    /// # Panics
    /// When the lengths of `x`, `bias` and `out` do not fit together.
    pub fn products(&self, level: Level, x: Input<'_>, bias: &[f32], then: Then, out: &mut [f32]) {
        let rest = Rest { bias, then };
        match self {
            Self::Int8(matrix) => products(matrix, level, x, rest, out),
            Self::Int16(matrix) => products(matrix, level, x, rest, out),
            #[cfg(target_arch = "x86_64")]
            Self::Halves(matrix) => products(matrix, level, x, rest, out),
        }
    }

    /// The packed matrix, to be kept: integers and floats from the lowest byte on.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Int8(matrix) => matrix.to_bytes(),
            Self::Int16(matrix) => matrix.to_bytes(),
            #[cfg(target_arch = "x86_64")]
            Self::Halves(matrix) => matrix.to_words().to_bytes(),
        }
    }

    /// Number of bytes of a matrix `(outs, ins)` that is kept.
    pub fn kept_bytes(rounding: Rounding, shape: [usize; 2]) -> usize {
        match rounding {
            Rounding::Int8 => Int8Matrix::kept_bytes(shape),
            _ => Int16Matrix::kept_bytes(shape, rounding == Rounding::Int16),
        }
    }

    /// What [`IntMatrix::to_bytes`] gave for a matrix `(outs, ins)`; `None` for another number of bytes.
    pub fn from_bytes(rounding: Rounding, shape: [usize; 2], bytes: &[u8]) -> Option<Self> {
        if bytes.len() != Self::kept_bytes(rounding, shape) {
            return None;
        }
        match rounding {
            Rounding::Int8 => Int8Matrix::from_bytes(shape, bytes).map(Self::Int8),
            _ => {
                Int16Matrix::from_bytes(shape, rounding == Rounding::Int16, bytes).map(Self::Int16)
            }
        }
    }
}

/// Numbers of four bytes each.
pub(crate) fn to_le_bytes<T: Copy>(values: &[T], write: impl Fn(T) -> [u8; 4]) -> Vec<u8> {
    values.iter().flat_map(|value| write(*value)).collect()
}

/// Numbers of four bytes each.
pub(crate) fn from_le_bytes<T>(bytes: &[u8], read: impl Fn([u8; 4]) -> T) -> Vec<T> {
    bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|word| read(*word))
        .collect()
}
