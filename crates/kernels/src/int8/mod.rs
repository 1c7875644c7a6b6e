//! Weights and inputs of one byte.
//!
//! Inputs have the middle of a row's values beside its scale. Otherwise this is the scheme of CTranslate2's int8, and of
//! LLM.int8 (Dettmers et al. 2022) without its outlier columns.
//!
//! ```text
//! packed weights:  panel 0                        panel 1 …
//!                  inputs 0..4 of outputs 0..32   inputs 4..8 of outputs 0..32  …
//! ```

#[cfg(target_arch = "x86_64")]
mod amx;
mod pack;
mod pack_audio;
mod rows;
mod tile;

#[cfg(target_arch = "x86_64")]
pub(crate) use tile::x86::group;
pub(crate) use tile::{Rows, Sums, Tiles, rows as tile_rows};

use crate::{
    level::Level,
    linear::{Columns, GROUP, Input, Inputs, OFFSET, PANEL, Product, Tile},
    memory::Lines,
};

/// A weight matrix `(outs, ins)` in packed bytes with one scale for each output.
#[derive(Clone, Debug)]
pub struct Int8Matrix {
    ins: usize,
    outs: usize,
    /// `(panels, groups, PANEL, GROUP)`.
    weights: Lines<i8>,
    /// One for each output, padded to whole panels.
    scales: Vec<f32>,
    /// `−OFFSET * Σ weights` of each output: what the offset of the inputs adds to its sums, taken away.
    corrections: Vec<i32>,
}

impl Int8Matrix {
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

    /// One for each output, padded to whole panels.
    pub(crate) fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// Size in memory.
    pub fn bytes(&self) -> usize {
        self.weights.len() + 8 * self.scales.len()
    }

    fn panel_size(&self) -> usize {
        self.ins.div_ceil(GROUP) * GROUP * PANEL
    }
}

impl Product for Int8Matrix {
    type Tiles = Tiles;

    const IN_BYTES: bool = true;

    fn shape(&self) -> [usize; 2] {
        [self.outs, self.ins]
    }

    fn tile_rows(level: Level) -> usize {
        tile_rows(level)
    }

    fn fill(&self, level: Level, x: Input<'_>, inputs: &mut Inputs) {
        inputs.fill(level, x, self.ins);
    }

    fn tiles(level: Level, rows: usize) -> Tiles {
        Tiles::new(level, rows)
    }

    fn columns(&self, panel: usize, bias: &[f32]) -> Columns {
        let Panel {
            corrections,
            scales,
            ..
        } = self.panel(panel);
        Columns::new(scales, corrections, bias, panel * PANEL)
    }

    fn sums(
        &self,
        tiles: &Tiles,
        panel: usize,
        inputs: &Inputs,
        row: usize,
        sums: &mut Tile,
    ) -> usize {
        let panel = self.panel(panel);
        let rows = inputs.rows(row, inputs.scales.len() - row);
        tiles.sums(panel.weights, panel.corrections, rows, Sums::rows(sums))
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

/// Where a panel has input `index` of its output `lane`.
#[cfg(test)]
fn at(index: usize, lane: usize) -> usize {
    (index / GROUP * PANEL + lane) * GROUP + index % GROUP
}
