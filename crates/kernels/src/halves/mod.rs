//! Weights of 12 bits and inputs of 16 in two halves each, whose byte products AMX sums up.
//!
//! ```text
//! input  = 256 * high + low     high: −128..=127, low: 0..=255
//! weight =  16 * high + low     high: −128..=127, low: 0..=15
//!
//! packed weights:  panel 0                                               panel 1 …
//!                  inputs 0..64: high halves, low halves   inputs 64..128 …
//! halves:          inputs 0..4 of outputs 0..32, inputs 4..8 of outputs 0..32, …
//! ```
//!
//! The four sums of products of halves give the very sums of [`crate::int16`], four times as fast as its vector loops
//! on one core. Registers take 16 rows at a time, so only the rows of audio are worth it.

mod amx;
mod pack;

use crate::{
    amx::{INPUTS, ROWS, Registers},
    int16::Int16Matrix,
    level::{Instructions, Level},
    linear::{Columns, Input, Inputs, MOST_TILE_ROWS, PANEL, Product, Tile},
    memory::Lines,
};

/// Bytes of the weights of [`INPUTS`] inputs and a panel's outputs.
const STEP: usize = 2 * INPUTS * PANEL;

/// A weight matrix `(outs, ins)` of 12 bits in halves. There is one only where the CPU has AMX and this process may use
/// it.
#[derive(Clone, Debug)]
pub struct HalvesMatrix {
    ins: usize,
    outs: usize,
    /// `(panels, steps, 2, INPUTS / GROUP, PANEL, GROUP)`; inputs are padded with zeros to whole steps.
    weights: Lines<u8>,
    /// One for each output, padded to whole panels.
    scales: Vec<f32>,
    /// The largest size of an input.
    most: i16,
}

impl HalvesMatrix {
    /// The same weights; `None` for weights of bytes, and at levels without AMX.
    pub(crate) fn new(level: Level, matrix: &Int16Matrix) -> Option<Self> {
        if level.instructions() != Instructions::AmxInt8 {
            return None;
        }
        let [outs, ins] = matrix.shape();
        Some(Self {
            ins,
            outs,
            weights: pack::halves(matrix.words()?, ins),
            scales: matrix.scales().to_vec(),
            most: matrix.most(),
        })
    }

    /// As it was before.
    pub(crate) fn to_words(&self) -> Int16Matrix {
        Int16Matrix::of_words(
            [self.outs, self.ins],
            pack::words(&self.weights, self.ins),
            self.scales.clone(),
            self.most,
        )
    }

    fn panel_size(&self) -> usize {
        self.ins.div_ceil(INPUTS) * STEP
    }
}

impl Product for HalvesMatrix {
    type Tiles = Registers;

    const IN_BYTES: bool = false;

    fn shape(&self) -> [usize; 2] {
        [self.outs, self.ins]
    }

    fn tile_rows(_: Level) -> usize {
        MOST_TILE_ROWS
    }

    fn fill(&self, level: Level, x: Input<'_>, inputs: &mut Inputs) {
        inputs.fill_words(level, x, self.ins, self.most);
        inputs.split_words(level, self.ins.next_multiple_of(INPUTS), ROWS);
    }

    fn tiles(_: Level, _: usize) -> Registers {
        // SAFETY: there is such a matrix only where the CPU has AMX and this process may use it.
        unsafe { Registers::set_up() }
    }

    fn columns(&self, panel: usize, bias: &[f32]) -> Columns {
        let scales = &self.scales[panel * PANEL..][..PANEL];
        Columns::around_zero(scales, bias, panel * PANEL)
    }

    fn sums(
        &self,
        registers: &Registers,
        panel: usize,
        inputs: &Inputs,
        row: usize,
        sums: &mut Tile,
    ) -> usize {
        let panel = &self.weights[panel * self.panel_size()..][..self.panel_size()];
        let rows = (inputs.scales.len() - row).min(MOST_TILE_ROWS);
        registers.sums_of_halves(panel, inputs.half_rows(row), rows.div_ceil(ROWS), sums);
        rows
    }
}
