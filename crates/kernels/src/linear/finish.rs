//! What follows the integer sums of a tile.

use super::{OFFSET, PANEL, Then};
use crate::{
    level::{Isa, Kernel},
    math,
};

/// Integer sums of a tile → values.
pub(super) struct Finish<'a, 'b> {
    pub(super) sums: &'a [[i32; PANEL]],
    /// Of the inputs, one for each row.
    pub(super) input_scales: &'a [f32],
    pub(super) input_centres: &'a [f32],
    pub(super) columns: &'a Columns,
    pub(super) then: Then,
    /// Whether what a GELU gives is rounded to bytes again.
    pub(super) in_bytes: bool,
    /// Where in each of `out` the outputs go.
    pub(super) start: usize,
    pub(super) out: &'a mut [&'b mut [f32]],
}

impl Kernel for Finish<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        for (index, sums) in self.sums.iter().enumerate() {
            let row = Row {
                sums,
                scale: self.input_scales[index],
                centre: self.input_centres[index],
            };
            let out = &mut self.out[index][self.start..];
            // A whole panel goes where it belongs at once; the last one may be less.
            if let Some(out) = out.first_chunk_mut::<PANEL>() {
                row.write::<I>(self.columns, self.then, self.in_bytes, out);
            } else {
                let mut padded = [0.0; PANEL];
                let count = out.len().min(PANEL);
                padded[..count].copy_from_slice(out);
                row.write::<I>(self.columns, self.then, self.in_bytes, &mut padded);
                out.copy_from_slice(&padded[..count]);
            }
        }
    }
}

/// What all rows share of a panel.
pub(crate) struct Columns {
    scales: [f32; PANEL],
    /// What an input of 1 everywhere would give.
    ones: [f32; PANEL],
    bias: [f32; PANEL],
}

impl Columns {
    /// Of a panel, whose first output is `output`; `bias` is that of all outputs. `corrections`: what the offset of the
    /// inputs adds to its sums, taken away.
    pub(crate) fn new(scales: &[f32], corrections: &[i32], bias: &[f32], output: usize) -> Self {
        let mut columns = Self::around_zero(scales, bias, output);
        let ones = columns.ones.iter_mut().zip(corrections).zip(scales);
        for ((ones, correction), scale) in ones {
            *ones = *correction as f32 * (-1.0 / OFFSET as f32) * scale;
        }
        columns
    }

    /// The same for inputs that are rounded around zero.
    pub(crate) fn around_zero(scales: &[f32], bias: &[f32], output: usize) -> Self {
        let mut columns = Self {
            scales: [0.0; PANEL],
            ones: [0.0; PANEL],
            bias: [0.0; PANEL],
        };
        columns.scales.copy_from_slice(scales);
        for (to, bias) in columns.bias.iter_mut().zip(bias.iter().skip(output)) {
            *to = *bias;
        }
        columns
    }
}

struct Row<'a> {
    sums: &'a [i32; PANEL],
    scale: f32,
    centre: f32,
}

impl Row<'_> {
    #[inline(always)]
    fn write<I: Isa>(&self, columns: &Columns, then: Then, in_bytes: bool, out: &mut [f32; PANEL]) {
        // Each loop writes what it computes: an array in between would go through memory.
        match then {
            Then::Gelu if in_bytes => {
                for (lane, out) in out.iter_mut().enumerate() {
                    *out = math::gelu_for_bytes::<I>(self.value::<I>(columns, lane));
                }
            }
            Then::Gelu => {
                for (lane, out) in out.iter_mut().enumerate() {
                    *out = math::gelu::<I>(self.value::<I>(columns, lane));
                }
            }
            Then::Add => {
                for (lane, out) in out.iter_mut().enumerate() {
                    *out += self.value::<I>(columns, lane);
                }
            }
            Then::Nothing => {
                for (lane, out) in out.iter_mut().enumerate() {
                    *out = self.value::<I>(columns, lane);
                }
            }
        }
    }

    /// Sums stay below 2^31, and 24 bits of them are enough.
    #[inline(always)]
    fn value<I: Isa>(&self, columns: &Columns, lane: usize) -> f32 {
        let sum = self.sums[lane] as f32;
        let middle = math::mul_add::<I>(columns.ones[lane], self.centre, columns.bias[lane]);
        math::mul_add::<I>(sum, columns.scales[lane] * self.scale, middle)
    }
}
