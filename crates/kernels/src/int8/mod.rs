//! Linear layers on int8 weights: `x · weightᵀ + bias`, and what follows.
//!
//! Weights have one scale for each output; inputs have one for each row, and the middle of its values, found when they
//! come (the scheme of CTranslate2's int8, and of LLM.int8, Dettmers et al. 2022, without its outlier columns, but for
//! the middle). Sums of byte products are exact integers, so every level gives the same sums; only the last steps in f32
//! may round in another way.
//!
//! ```text
//! packed weights:  panel 0                        panel 1 …
//!                  inputs 0..4 of outputs 0..32   inputs 4..8 of outputs 0..32  …
//! ```
//!
//! A panel is read from start to end while a tile of rows has its sums in registers, so the same packing serves one
//! token, where the weights come from memory, and a window of audio, where they come from the caches.

#[cfg(target_arch = "x86_64")]
mod amx;
mod feed_forward;
mod finish;
mod inputs;
mod pack;
mod pack_audio;
mod rows;
mod tile;

use rayon::prelude::*;

pub use feed_forward::{Layer, feed_forward};
pub(crate) use inputs::Inputs;
pub use inputs::{Input, Norm};
#[cfg(target_arch = "x86_64")]
pub(crate) use tile::x86::group;
pub(crate) use tile::{
    MOST_ROWS as MOST_TILE_ROWS, Rows, Sums, Tiles, prefetch, rows as tile_rows,
};

use crate::level::Level;
use finish::{Columns, Finish, Rest};

/// Outputs side by side in a panel: two vectors of 16 sums.
pub(crate) const PANEL: usize = 32;
/// Inputs that one byte product instruction sums up.
pub(crate) const GROUP: usize = 4;
/// Added to signed bytes for instructions that want one side unsigned.
pub(crate) const OFFSET: i32 = 128;

/// Up to this many rows threads share the outputs; above, the rows.
const FEW_ROWS: usize = 24;
/// Products of one task, at least, where threads share the outputs of few rows. Weights come from memory then, and one
/// thread gets little more than half of what two do; so many take it some 5 µs. With tasks of 2^23 products, which left
/// all layers of a single token to one thread, a command of 3 s took a third longer or more.
const TASK_PRODUCTS: usize = 1 << 16;

/// What follows a product, in the same pass over its result.
#[derive(Clone, Copy, Debug)]
pub enum Then {
    /// Nothing.
    Nothing,
    /// The exact GELU.
    Gelu,
    /// Adding it to what the result's memory holds.
    Add,
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

    /// `x · weightᵀ + bias`, and what follows: `(rows, ins)` → `(rows, outs)`. An empty `bias` is none.
    ///
    /// A row of `x` that holds a value that is not finite gives a row of NaN.
    ///
    /// # Panics
    /// When the lengths of `x`, `bias` and `out` do not fit together.
    pub fn products(&self, level: Level, x: Input<'_>, bias: &[f32], then: Then, out: &mut [f32]) {
        let rows = x.rows(self.ins);
        assert!(
            out.len() == rows * self.outs,
            "{rows} rows in and {} values out do not fit a matrix ({}, {})",
            out.len(),
            self.outs,
            self.ins
        );
        assert!(bias.is_empty() || bias.len() == self.outs, "bias");
        let rest = Rest { bias, then };
        if rows <= FEW_ROWS {
            self.few(level, x, rest, out);
        } else {
            self.many(level, x, rest, out);
        }
    }

    /// Threads share the panels.
    fn few(&self, level: Level, x: Input<'_>, rest: Rest<'_>, out: &mut [f32]) {
        let inputs = Inputs::quantise(level, x, self.ins);
        let products = self.weights.len() * inputs.scales.len();
        let rows = out.chunks_exact_mut(self.outs).collect();
        share_outputs(products, rows, |first, rows| {
            self.panels(level, &inputs, rest, first, rows);
        });
    }

    /// Threads share the rows.
    fn many(&self, level: Level, x: Input<'_>, rest: Rest<'_>, out: &mut [f32]) {
        let task_rows = task_rows(level, out.len() / self.outs);
        out.par_chunks_mut(task_rows * self.outs)
            .enumerate()
            .for_each_init(Inputs::default, |inputs, (task, out)| {
                let x = x.part(self.ins, task * task_rows, task_rows);
                inputs.fill(level, x, self.ins);
                self.rows(level, inputs, rest, out);
            });
    }

    /// All outputs of the rows of one task.
    fn rows(&self, level: Level, inputs: &Inputs, rest: Rest<'_>, out: &mut [f32]) {
        let rows = out.chunks_exact_mut(self.outs).collect();
        self.panels(level, inputs, rest, 0, rows);
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
        let tiles = Tiles::new(level, out.len());
        let mut sums = [[0; PANEL]; MOST_TILE_ROWS];
        for start in (0..width).step_by(PANEL) {
            let panel = self.panel((first + start) / PANEL);
            let columns = Columns::new(panel, rest.bias, first + start);
            let mut row = 0;
            while row < out.len() {
                let left = out.len() - row;
                let inputs_left = inputs.rows(row, left);
                for out in out[row..].iter().take(tile_rows(level)) {
                    prefetch(&out[start..]);
                }
                let count = tiles.sums(
                    panel.weights,
                    panel.corrections,
                    inputs_left,
                    Sums::rows(&mut sums),
                );
                level.dispatch(Finish {
                    sums: &sums[..count],
                    input_scales: &inputs.scales[row..][..count],
                    input_centres: &inputs.centres[row..][..count],
                    columns: &columns,
                    then: rest.then,
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

/// Calls `compute` with parts of rows of outputs, and with the number of the first output of each part, which begins a
/// panel: threads share what is worth it.
pub(crate) fn share_outputs(
    products: usize,
    rows: Vec<&mut [f32]>,
    compute: impl Fn(usize, Vec<&mut [f32]>) + Sync,
) {
    let threads = rayon::current_num_threads();
    let tasks = (products / TASK_PRODUCTS).min(2 * threads);
    if threads == 1 || tasks < 2 {
        return compute(0, rows);
    }
    let outs = rows.first().map_or(0, |row| row.len());
    let per_task = outs.div_ceil(PANEL).div_ceil(tasks) * PANEL;
    let mut tasks: Vec<Vec<&mut [f32]>> = Vec::new();
    tasks.resize_with(outs.div_ceil(per_task), Vec::new);
    for row in rows {
        for (task, part) in tasks.iter_mut().zip(row.chunks_mut(per_task)) {
            task.push(part);
        }
    }
    tasks.into_par_iter().enumerate().for_each(|(task, rows)| {
        compute(task * per_task, rows);
    });
}

/// Rows of one task where threads share `rows` rows: whole tiles, so many that the threads end about together.
fn task_rows(level: Level, rows: usize) -> usize {
    // Bytes of 48 rows of 1536 inputs stay in the second-level cache beside the panel, and CPUs with AMX have more of it.
    const MOST: usize = 48;
    let (tile, threads) = (tile_rows(level), rayon::current_num_threads());
    // What the weights cost to come to the thread, in rows.
    let weights = tile / 4;
    let longest = |task: &usize| {
        let (whole, rest) = (rows / task, rows % task);
        let rounds = whole.div_ceil(threads) * (task + weights);
        let has_more = rest > 0 && whole.is_multiple_of(threads);
        rounds + if has_more { rest + weights } else { 0 }
    };
    let sizes = (1..=MOST.div_ceil(tile)).rev().map(|tiles| tiles * tile);
    sizes.min_by_key(longest).unwrap_or(tile)
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

#[cfg(test)]
mod tests;
