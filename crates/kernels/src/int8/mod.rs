//! Linear layers on int8 weights: `x · weightᵀ + bias`, and what follows.
//!
//! Weights have one scale for each output, inputs one for each row, found when they come (the scheme of CTranslate2's
//! int8 and of LLM.int8, Dettmers et al. 2022, without its outlier columns). Sums of byte products are exact integers,
//! so every level gives the same sums; only the last steps in f32 may round in another way.
//!
//! ```text
//! packed weights:  panel 0                        panel 1 …
//!                  inputs 0..4 of outputs 0..32   inputs 4..8 of outputs 0..32  …
//! ```
//!
//! A panel is read from start to end while a tile of rows has its sums in registers, so the same packing serves one
//! token, where the weights come from memory, and a window of audio, where they come from the caches.

mod feed_forward;
mod tile;

use rayon::prelude::*;

pub use feed_forward::{Layer, feed_forward};
pub(crate) use tile::{Rows, sums};

use crate::{
    level::{Isa, Kernel, Level},
    math,
};

/// Outputs side by side in a panel: two vectors of 16 sums.
pub(crate) const PANEL: usize = 32;
/// Inputs that one byte product instruction sums up.
pub(crate) const GROUP: usize = 4;
/// Added to signed bytes for instructions that want one side unsigned.
pub(crate) const OFFSET: i32 = 128;
/// Rows whose sums fit into the registers beside the weights: 24 of 32.
pub(crate) const TILE_ROWS: usize = 12;

/// Up to this many rows threads share the outputs; above, the rows.
const FEW_ROWS: usize = 2 * TILE_ROWS;
/// Rows of one task: bytes of 48 rows of 1536 inputs stay in the second-level cache beside the panel.
const TASK_ROWS: usize = 4 * TILE_ROWS;
/// Below this many products a second thread is not worth waking: about 50 µs of one.
const PARALLEL_FROM: usize = 1 << 23;

/// What follows a product, in the same pass over its result.
#[derive(Clone, Copy, Debug)]
pub enum Then<'a> {
    /// Nothing.
    Nothing,
    /// The exact GELU.
    Gelu,
    /// Adding these values, of the result's shape.
    Add(&'a [f32]),
}

/// A weight matrix `(outs, ins)` in packed bytes with one scale for each output.
#[derive(Clone, Debug)]
pub struct Int8Matrix {
    ins: usize,
    outs: usize,
    /// `(panels, groups, PANEL, GROUP)`.
    weights: Vec<i8>,
    /// One for each output, padded to whole panels.
    scales: Vec<f32>,
    /// `−OFFSET * Σ weights` of each output: what the offset of the inputs adds to its sums, taken away.
    corrections: Vec<i32>,
}

impl Int8Matrix {
    /// Rounds and packs `weight`, `(outs, ins)` row-major. Values must be finite.
    ///
    /// # Panics
    /// When `weight` is not whole rows of `ins` values.
    pub fn pack(weight: &[f32], ins: usize) -> Self {
        Self::pack_with(Level::best(), weight, ins)
    }

    /// As [`Int8Matrix::pack`], which gives the same bytes at any level. Here a row with a value that is not finite
    /// gets the scale NaN.
    pub(crate) fn pack_with(level: Level, weight: &[f32], ins: usize) -> Self {
        assert!(
            ins > 0 && weight.len().is_multiple_of(ins),
            "{} values are not rows of {ins}",
            weight.len()
        );
        let outs = weight.len() / ins;
        let panels = outs.div_ceil(PANEL);
        let panel_size = ins.div_ceil(GROUP) * GROUP * PANEL;
        let mut packed = Self {
            ins,
            outs,
            weights: vec![0; panels * panel_size],
            scales: vec![0.0; panels * PANEL],
            corrections: vec![0; panels * PANEL],
        };
        packed
            .weights
            .par_chunks_mut(panel_size)
            .zip(packed.scales.par_chunks_mut(PANEL))
            .zip(packed.corrections.par_chunks_mut(PANEL))
            .zip(weight.par_chunks(PANEL * ins))
            .for_each(|(((panel, scales), corrections), rows)| {
                level.dispatch(PackPanel {
                    rows,
                    ins,
                    panel,
                    scales,
                    corrections,
                });
            });
        packed
    }

    /// Outputs `PANEL * index` and those after it.
    pub(crate) fn panel(&self, index: usize) -> Panel<'_> {
        Panel {
            weights: &self.weights[index * self.panel_size()..][..self.panel_size()],
            corrections: &self.corrections[index * PANEL..][..PANEL],
            scales: &self.scales[index * PANEL..][..PANEL],
        }
    }

    /// Inputs.
    pub fn ins(&self) -> usize {
        self.ins
    }

    /// Outputs.
    pub fn outs(&self) -> usize {
        self.outs
    }

    /// Size in memory.
    pub fn bytes(&self) -> usize {
        self.weights.len() + 8 * self.scales.len()
    }

    /// Writes row `index` of the matrix, as it was rounded, to `out` of `ins` values.
    ///
    /// # Panics
    /// When there is no such row, or `out` has another length.
    pub fn row(&self, index: usize, out: &mut [f32]) {
        assert!(index < self.outs && out.len() == self.ins, "row {index}");
        let panel = &self.weights[index / PANEL * self.panel_size()..][..self.panel_size()];
        for (input, out) in out.iter_mut().enumerate() {
            *out = f32::from(panel[at(input, index % PANEL)]) * self.scales[index];
        }
    }

    /// `x · weightᵀ + bias`, and what follows: `(rows, ins)` → `(rows, outs)`. An empty `bias` is none.
    ///
    /// A row of `x` that holds a value that is not finite gives a row of NaN.
    ///
    /// # Panics
    /// When the lengths of `x`, `bias`, `out` and the values of `then` do not fit together.
    pub fn products(&self, level: Level, x: &[f32], bias: &[f32], then: Then<'_>, out: &mut [f32]) {
        let rows = x.len() / self.ins;
        assert!(
            x.len() == rows * self.ins && out.len() == rows * self.outs,
            "{} values in and {} out do not fit a matrix ({}, {})",
            x.len(),
            out.len(),
            self.outs,
            self.ins
        );
        assert!(bias.is_empty() || bias.len() == self.outs, "bias");
        if let Then::Add(other) = then {
            assert_eq!(other.len(), out.len(), "values to add");
        }
        let rest = Rest { bias, then };
        if rows <= FEW_ROWS {
            self.few(level, x, rest, out);
        } else {
            self.many(level, x, rest, out);
        }
    }

    /// Threads share the panels.
    fn few(&self, level: Level, x: &[f32], rest: Rest<'_>, out: &mut [f32]) {
        let inputs = Inputs::quantise(level, x, self.ins);
        let threads = rayon::current_num_threads();
        let rows: Vec<&mut [f32]> = out.chunks_exact_mut(self.outs).collect();
        if threads == 1 || self.weights.len() * inputs.scales.len() < PARALLEL_FROM {
            return self.panels(level, &inputs, rest, 0, rows);
        }
        let per_task = self.outs.div_ceil(PANEL).div_ceil(2 * threads) * PANEL;
        let mut tasks: Vec<Vec<&mut [f32]>> = Vec::new();
        tasks.resize_with(self.outs.div_ceil(per_task), Vec::new);
        for row in rows {
            for (task, part) in tasks.iter_mut().zip(row.chunks_mut(per_task)) {
                task.push(part);
            }
        }
        tasks.into_par_iter().enumerate().for_each(|(task, rows)| {
            self.panels(level, &inputs, rest, task * per_task, rows);
        });
    }

    /// Threads share the rows.
    fn many(&self, level: Level, x: &[f32], rest: Rest<'_>, out: &mut [f32]) {
        x.par_chunks(TASK_ROWS * self.ins)
            .zip(out.par_chunks_mut(TASK_ROWS * self.outs))
            .enumerate()
            .for_each(|(task, (x, out))| {
                self.rows(level, x, rest.from(task * TASK_ROWS * self.outs), out);
            });
    }

    /// All outputs of the rows of one task.
    fn rows(&self, level: Level, x: &[f32], rest: Rest<'_>, out: &mut [f32]) {
        let inputs = Inputs::quantise(level, x, self.ins);
        let rows = out.chunks_exact_mut(self.outs).collect();
        self.panels(level, &inputs, rest, 0, rows);
    }

    /// Outputs from `first` on, a whole number of panels, as many as each of `out` has.
    fn panels(
        &self,
        level: Level,
        inputs: &Inputs,
        rest: Rest<'_>,
        first: usize,
        mut out: Vec<&mut [f32]>,
    ) {
        let width = out.first().map_or(0, |row| row.len());
        let mut sums = [[0; PANEL]; TILE_ROWS];
        for start in (0..width).step_by(PANEL) {
            let panel = self.panel((first + start) / PANEL);
            let mut row = 0;
            while row < out.len() {
                let left = out.len() - row;
                let inputs_left = inputs.rows(row, left);
                let count = tile::sums(
                    level,
                    panel.weights,
                    panel.corrections,
                    inputs_left,
                    &mut sums,
                );
                level.dispatch(Finish {
                    sums: &sums[..count],
                    input_scales: &inputs.scales[row..][..count],
                    scales: panel.scales,
                    rest,
                    output: first + start,
                    row,
                    outs: self.outs,
                    start,
                    out: &mut out[row..][..count],
                });
                row += count;
            }
        }
    }

    fn panel_size(&self) -> usize {
        self.ins.div_ceil(GROUP) * GROUP * PANEL
    }
}

/// [`PANEL`] outputs of a matrix.
#[derive(Clone, Copy)]
pub(crate) struct Panel<'a> {
    /// `(groups, PANEL, GROUP)`.
    pub(crate) weights: &'a [i8],
    /// What inputs with the offset begin with.
    pub(crate) corrections: &'a [i32],
    pub(crate) scales: &'a [f32],
}

/// Rows of weights → a panel.
struct PackPanel<'a> {
    /// Up to [`PANEL`] rows of `ins` values.
    rows: &'a [f32],
    ins: usize,
    panel: &'a mut [i8],
    scales: &'a mut [f32],
    corrections: &'a mut [i32],
}

impl Kernel for PackPanel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let mut bytes = vec![0; self.ins.next_multiple_of(GROUP)];
        let groups = self.panel.as_chunks_mut::<GROUP>().0;
        for (lane, row) in self.rows.chunks_exact(self.ins).enumerate() {
            let scale = largest(row) / 127.0;
            let inverse = inverse(scale);
            let mut sum = 0;
            for (byte, value) in bytes.iter_mut().zip(row) {
                *byte = to_byte(value * inverse);
                sum += i32::from(*byte);
            }
            for (group, bytes) in bytes.as_chunks::<GROUP>().0.iter().enumerate() {
                groups[group * PANEL + lane] = *bytes;
            }
            self.scales[lane] = scale;
            self.corrections[lane] = -OFFSET * sum;
        }
    }
}

/// Where a panel has input `index` of its output `lane`.
fn at(index: usize, lane: usize) -> usize {
    (index / GROUP * PANEL + lane) * GROUP + index % GROUP
}

#[derive(Clone, Copy)]
struct Rest<'a> {
    bias: &'a [f32],
    then: Then<'a>,
}

impl Rest<'_> {
    /// The same for values from `first` on.
    fn from(self, first: usize) -> Self {
        let then = match self.then {
            Then::Add(other) => Then::Add(&other[first..]),
            other => other,
        };
        Self { then, ..self }
    }
}

/// Rows of inputs as bytes from 1 to 255, padded to whole groups, with a scale for each row.
pub(crate) struct Inputs {
    stride: usize,
    bytes: Vec<u8>,
    pub(crate) scales: Vec<f32>,
}

impl Inputs {
    /// Rounds rows of `ins` values.
    pub(crate) fn quantise(level: Level, x: &[f32], ins: usize) -> Self {
        level.dispatch(Quantise { x, ins })
    }

    /// The bytes of up to `count` rows from `row` on.
    pub(crate) fn rows(&self, row: usize, count: usize) -> tile::Rows<'_> {
        tile::Rows {
            bytes: &self.bytes[row * self.stride..][..count * self.stride],
            stride: self.stride,
        }
    }
}

struct Quantise<'a> {
    x: &'a [f32],
    ins: usize,
}

impl Kernel for Quantise<'_> {
    type Output = Inputs;

    #[inline(always)]
    fn run<I: Isa>(self) -> Inputs {
        let stride = self.ins.div_ceil(GROUP) * GROUP;
        let rows = self.x.len() / self.ins;
        let mut inputs = Inputs {
            stride,
            bytes: vec![0; rows * stride],
            scales: Vec::with_capacity(rows),
        };
        for (x, bytes) in self
            .x
            .chunks_exact(self.ins)
            .zip(inputs.bytes.chunks_exact_mut(stride))
        {
            let scale = largest(x) / 127.0;
            let inverse = inverse(scale);
            for (byte, value) in bytes.iter_mut().zip(x) {
                *byte = to_offset_byte(value * inverse);
            }
            inputs.scales.push(scale);
        }
        inputs
    }
}

/// The largest size of a value; NaN when one is not finite.
#[inline(always)]
fn largest(values: &[f32]) -> f32 {
    const LANES: usize = 16;
    // Bits of positive floats are ordered as the floats are, with infinity and NaN above all.
    let mut lanes = [0_u32; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] = lanes[lane].max(chunk[lane].to_bits() & 0x7fff_ffff);
        }
    }
    let mut largest = 0;
    for value in rest {
        largest = largest.max(value.to_bits() & 0x7fff_ffff);
    }
    for lane in lanes {
        largest = largest.max(lane);
    }
    let largest = f32::from_bits(largest);
    if largest.is_finite() {
        largest
    } else {
        f32::NAN
    }
}

/// Rows of zeros keep the scale 0, and then any inverse gives zeros. So do rows whose inverse would be infinite.
#[inline(always)]
fn inverse(scale: f32) -> f32 {
    let inverse = 1.0 / scale;
    if inverse.is_finite() { inverse } else { 0.0 }
}

/// 1.5 * 2^23: adding it rounds to the nearest integer, whose bits are then the low bits of the sum.
const ROUND: f32 = 12_582_912.0;

/// Rounds a value between −127 and 127; others, NaN among them, give any byte.
#[inline(always)]
fn to_byte(value: f32) -> i8 {
    (value + ROUND).to_bits().to_le_bytes()[0].cast_signed()
}

#[inline(always)]
fn to_offset_byte(value: f32) -> u8 {
    // The low byte of ROUND is 0, so adding 128 to it is the same as to the integer.
    (value + (ROUND + 128.0)).to_bits().to_le_bytes()[0]
}

/// Integer sums of a tile → values.
struct Finish<'a, 'b> {
    sums: &'a [[i32; PANEL]],
    input_scales: &'a [f32],
    scales: &'a [f32],
    rest: Rest<'a>,
    /// The first of the outputs.
    output: usize,
    /// The first of the rows.
    row: usize,
    outs: usize,
    /// Where in each of `out` the outputs go.
    start: usize,
    out: &'a mut [&'b mut [f32]],
}

impl Kernel for Finish<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Ok(scales) = <&[f32; PANEL]>::try_from(self.scales) else {
            return;
        };
        let mut bias = [0.0; PANEL];
        if let Some(part) = self.rest.bias.get(self.output..) {
            let count = part.len().min(PANEL);
            bias[..count].copy_from_slice(&part[..count]);
        }
        for (index, sums) in self.sums.iter().enumerate() {
            let mut values = [0.0; PANEL];
            for lane in 0..PANEL {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "sums stay below 2^31, and 24 bits of them are enough"
                )]
                let sum = sums[lane] as f32;
                let scale = scales[lane] * self.input_scales[index];
                values[lane] = math::mul_add::<I>(sum, scale, bias[lane]);
            }
            let out = &mut self.out[index][self.start..];
            let other = match self.rest.then {
                Then::Add(other) => &other[(self.row + index) * self.outs + self.output..],
                Then::Nothing | Then::Gelu => &[],
            };
            if let Then::Gelu = self.rest.then {
                for value in &mut values {
                    *value = math::gelu::<I>(*value);
                }
            }
            // A whole panel is a loop without a rest; the last one may be less.
            if let Some(out) = out.first_chunk_mut::<PANEL>() {
                if let Some(other) = other.first_chunk::<PANEL>() {
                    for lane in 0..PANEL {
                        values[lane] += other[lane];
                    }
                }
                *out = values;
            } else {
                for (value, other) in values.iter_mut().zip(other) {
                    *value += other;
                }
                let count = out.len();
                out.copy_from_slice(&values[..count]);
            }
        }
    }
}

#[cfg(test)]
mod tests;
