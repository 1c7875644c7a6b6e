//! Linear layers on weights and inputs that are rounded to integers: `x · weightᵀ + bias`, and what follows.
//!
//! Weights have one scale for each output; inputs have one for each row, found when they come. Sums of products are
//! exact integers, so every level gives the same sums; only the last steps in f32 may round in another way.
//!
//! A panel of weights is read from start to end while a tile of rows has its sums in registers, so the same packing
//! serves one token, where the weights come from memory, and a window of audio, where they come from the caches.

mod feed_forward;
mod finish;
mod inputs;
mod matrix;

use rayon::prelude::*;

pub use feed_forward::{Layer, feed_forward};
pub(crate) use finish::Columns;
use finish::Finish;
pub(crate) use inputs::{HalfRows, Inputs, inverse, largest, round_to_integer, to_byte};
pub use inputs::{Input, Norm};
pub use matrix::{IntMatrix, Rounding};
pub(crate) use matrix::{from_le_bytes, to_le_bytes};

use crate::level::Level;

/// Outputs side by side in a panel: two vectors of 16 sums.
pub(crate) const PANEL: usize = 32;
/// Bytes of a row's inputs that one instruction multiplies and sums up.
pub(crate) const GROUP: usize = 4;
/// Added to signed bytes for instructions that want one side unsigned.
pub(crate) const OFFSET: i32 = 128;
/// Rows of the largest tile of all levels.
pub(crate) const MOST_TILE_ROWS: usize = 32;

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

/// What follows a product, for the whole of it.
#[derive(Clone, Copy)]
pub(crate) struct Rest<'a> {
    /// One for each output, or empty.
    pub(crate) bias: &'a [f32],
    pub(crate) then: Then,
}

/// Sums of a tile.
pub(crate) type Tile = [[i32; PANEL]; MOST_TILE_ROWS];

/// A packed matrix, of which panels are multiplied with rows of inputs.
pub(crate) trait Product: Sync {
    /// What multiplies the tiles of one piece of work, on one thread.
    type Tiles;

    /// Whether results that a GELU follows are rounded to bytes again.
    const IN_BYTES: bool;

    /// Outputs and inputs.
    fn shape(&self) -> [usize; 2];

    /// Rows of the largest tile.
    fn tile_rows(level: Level) -> usize;

    /// Rounds rows of inputs.
    fn fill(&self, level: Level, x: Input<'_>, inputs: &mut Inputs);

    /// For work of `rows` rows.
    fn tiles(level: Level, rows: usize) -> Self::Tiles;

    /// What all rows share of a panel; `bias` is that of all outputs.
    fn columns(&self, panel: usize, bias: &[f32]) -> Columns;

    /// Sums of products of the rows from `row` on with all outputs of a panel; says how many rows it took.
    fn sums(
        &self,
        tiles: &Self::Tiles,
        panel: usize,
        inputs: &Inputs,
        row: usize,
        sums: &mut Tile,
    ) -> usize;
}

/// `x · weightᵀ + bias`, and what follows: `(rows, ins)` → `(rows, outs)`. An empty `bias` is none.
///
/// # Panics
/// When the lengths of `x`, `bias` and `out` do not fit together.
pub(crate) fn products(
    matrix: &impl Product,
    level: Level,
    x: Input<'_>,
    rest: Rest<'_>,
    out: &mut [f32],
) {
    let [outs, ins] = matrix.shape();
    let rows = x.rows(ins);
    assert!(
        out.len() == rows * outs,
        "{rows} rows in and {} values out do not fit a matrix ({outs}, {ins})",
        out.len(),
    );
    assert!(rest.bias.is_empty() || rest.bias.len() == outs, "bias");
    if rows <= FEW_ROWS {
        few(matrix, level, x, rest, out);
    } else {
        many(matrix, level, x, rest, out);
    }
}

/// Threads share the panels.
fn few(matrix: &impl Product, level: Level, x: Input<'_>, rest: Rest<'_>, out: &mut [f32]) {
    let [outs, ins] = matrix.shape();
    let mut inputs = Inputs::default();
    matrix.fill(level, x, &mut inputs);
    let rows = out.chunks_exact_mut(outs).collect();
    share_outputs(outs * ins * inputs.scales.len(), rows, |first, rows| {
        panels(matrix, level, &inputs, rest, first, rows);
    });
}

/// Threads share the rows.
fn many<P: Product>(matrix: &P, level: Level, x: Input<'_>, rest: Rest<'_>, out: &mut [f32]) {
    let [outs, ins] = matrix.shape();
    let task_rows = task_rows(P::tile_rows(level), out.len() / outs);
    out.par_chunks_mut(task_rows * outs)
        .enumerate()
        .for_each_init(Inputs::default, |inputs, (task, out)| {
            let x = x.part(ins, task * task_rows, task_rows);
            matrix.fill(level, x, inputs);
            all_outputs(matrix, level, inputs, rest, out);
        });
}

/// All outputs of the rows of one task.
fn all_outputs(
    matrix: &impl Product,
    level: Level,
    inputs: &Inputs,
    rest: Rest<'_>,
    out: &mut [f32],
) {
    let [outs, _] = matrix.shape();
    let rows = out.chunks_exact_mut(outs).collect();
    panels(matrix, level, inputs, rest, 0, rows);
}

/// Outputs from `first` on, a whole number of panels, as many as each of `out` has.
fn panels<P: Product>(
    matrix: &P,
    level: Level,
    inputs: &Inputs,
    rest: Rest<'_>,
    first: usize,
    mut out: Vec<&mut [f32]>,
) {
    let width = out.first().map_or(0, |row| row.len());
    let tiles = P::tiles(level, out.len());
    let mut sums = [[0; PANEL]; MOST_TILE_ROWS];
    for start in (0..width).step_by(PANEL) {
        let panel = (first + start) / PANEL;
        let columns = matrix.columns(panel, rest.bias);
        let mut row = 0;
        while row < out.len() {
            for out in out[row..].iter().take(P::tile_rows(level)) {
                prefetch(&out[start..]);
            }
            let count = matrix.sums(&tiles, panel, inputs, row, &mut sums);
            level.dispatch(Finish {
                sums: &sums[..count],
                input_scales: &inputs.scales[row..][..count],
                input_centres: &inputs.centres[row..][..count],
                columns: &columns,
                then: rest.then,
                in_bytes: P::IN_BYTES,
                start,
                out: &mut out[row..][..count],
            });
            row += count;
        }
    }
}

/// Asks for the memory that the sums of a row will go to, which is then there when they are. A tile writes to many rows
/// far from each other, and waiting for them took a third of its time.
#[inline(always)]
fn prefetch(out: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..=PANEL).step_by(16) {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        let at = out.as_ptr().wrapping_add(line.min(out.len()));
        // SAFETY: a hint, which may name any address.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(at.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = out;
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
fn task_rows(tile: usize, rows: usize) -> usize {
    // Bytes of 48 rows of 1536 inputs stay in the second-level cache beside the panel, and CPUs with AMX have more of it.
    const MOST: usize = 48;
    let threads = rayon::current_num_threads();
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

#[cfg(test)]
mod tests;
