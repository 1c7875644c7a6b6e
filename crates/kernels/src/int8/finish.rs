//! What follows the integer sums of a tile.

use super::{OFFSET, PANEL, Panel, Then};
use crate::{
    level::{Isa, Kernel},
    math,
};

/// What follows a product, for the whole of it.
#[derive(Clone, Copy)]
pub(super) struct Rest<'a> {
    /// One for each output, or empty.
    pub(super) bias: &'a [f32],
    pub(super) then: Then,
}

/// Integer sums of a tile → values.
pub(super) struct Finish<'a, 'b> {
    pub(super) sums: &'a [[i32; PANEL]],
    /// Of the inputs, one for each row.
    pub(super) input_scales: &'a [f32],
    pub(super) input_centres: &'a [f32],
    pub(super) panel: Panel<'a>,
    pub(super) rest: Rest<'a>,
    /// The first of the outputs.
    pub(super) output: usize,
    /// Where in each of `out` the outputs go.
    pub(super) start: usize,
    pub(super) out: &'a mut [&'b mut [f32]],
}

impl Kernel for Finish<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Some(columns) = Columns::new(self.panel, self.rest.bias, self.output) else {
            return;
        };
        for (index, sums) in self.sums.iter().enumerate() {
            let row = Row {
                sums,
                scale: self.input_scales[index],
                centre: self.input_centres[index],
            };
            let out = &mut self.out[index][self.start..];
            // A whole panel goes where it belongs at once; the last one may be less.
            if let Some(out) = out.first_chunk_mut::<PANEL>() {
                row.write::<I>(&columns, self.rest.then, out);
            } else {
                let mut padded = [0.0; PANEL];
                let count = out.len().min(PANEL);
                padded[..count].copy_from_slice(out);
                row.write::<I>(&columns, self.rest.then, &mut padded);
                out.copy_from_slice(&padded[..count]);
            }
        }
    }
}

/// What the rows of a tile share.
struct Columns {
    scales: [f32; PANEL],
    /// What an input of 1 everywhere would give.
    ones: [f32; PANEL],
    bias: [f32; PANEL],
}

impl Columns {
    #[inline(always)]
    fn new(panel: Panel<'_>, all_bias: &[f32], output: usize) -> Option<Self> {
        let scales = *panel.scales.first_chunk::<PANEL>()?;
        let corrections = panel.corrections.first_chunk::<PANEL>()?;
        let mut bias = [0.0; PANEL];
        if let Some(part) = all_bias.get(output..) {
            let count = part.len().min(PANEL);
            bias[..count].copy_from_slice(&part[..count]);
        }
        let mut ones = [0.0; PANEL];
        for lane in 0..PANEL {
            ones[lane] = corrections[lane] as f32 * (-1.0 / OFFSET as f32) * scales[lane];
        }
        Some(Self { scales, ones, bias })
    }
}

struct Row<'a> {
    sums: &'a [i32; PANEL],
    scale: f32,
    centre: f32,
}

impl Row<'_> {
    #[inline(always)]
    fn write<I: Isa>(&self, columns: &Columns, then: Then, out: &mut [f32; PANEL]) {
        // Each loop writes what it computes: an array in between would go through memory.
        match then {
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
