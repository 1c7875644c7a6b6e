//! Attention of many queries to many keys without a mask.
//!
//! Each head is packed by itself, and its queries come in blocks. Scales belong to the queries; nothing here applies
//! one.

mod bytes;
mod float;

use rayon::prelude::*;

use crate::{level::Level, linear::PANEL, panel::Bf16};

/// Below this many products threads do not share: with keys and values that come from memory, so many take 10 µs.
const PARALLEL_FROM: usize = 1 << 17;

/// Blocks of queries that a thread takes at once: enough to make up for what a head's keys and values cost to come.
const MOST_BLOCKS_PER_TASK: usize = 4;
/// Positions that count more than once begin with a panel, of bytes as of f32.
const REPEATS_STEP: usize = PANEL;
/// So many tasks that the threads end about together.
const TASKS_PER_THREAD: usize = 4;

/// Positions at the end that stand for several each: the softmax counts each of them so many times.
///
/// What lies behind the audio of a window is silence, which differs by its place only. A few positions of it, counted
/// as often as there are left out, weigh in an attention what all of them would.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Repeats {
    /// The first of these positions, a multiple of 32; all behind it are such.
    pub from: usize,
    /// How many each of them stands for.
    pub times: f32,
}

impl Repeats {
    /// The next positions to attend to from `first` on, at most `most`: none before `from` together with one behind it.
    /// Returns their number, and how often each counts.
    fn block(repeats: Option<Self>, first: usize, most: usize) -> (usize, f32) {
        match repeats {
            Some(Self { from, .. }) if first < from => (most.min(from - first), 1.0),
            Some(Self { times, .. }) => (most, times),
            None => (most, 1.0),
        }
    }

    fn assert_fits(repeats: Option<Self>) {
        if let Some(Self { from, times }) = repeats {
            assert!(
                from.is_multiple_of(REPEATS_STEP) && times >= 1.0,
                "positions from {from} on that count {times} times"
            );
        }
    }
}

/// Attention of every position to every position.
///
/// Where the level multiplies bytes, products are of bytes (see `bytes.rs` for what is rounded how); elsewhere they
/// are f32's, which are as fast there.
///
/// `qkv`: `(positions, 3 * width)`, queries beside keys beside values. `out`: `(positions, width)`.
///
/// # Panics
/// When the lengths do not fit together, or `heads` does not divide `width`.
pub fn attend_to_all(
    level: Level,
    qkv: &[f32],
    width: usize,
    heads: usize,
    repeats: Option<Repeats>,
    out: &mut [f32],
) {
    assert_heads(width, heads);
    Repeats::assert_fits(repeats);
    let positions = out.len() / width;
    assert!(
        out.len() == positions * width && qkv.len() == 3 * out.len(),
        "queries, keys and values of {positions} positions"
    );
    if positions == 0 {
        return;
    }
    let rows = Rows {
        values: qkv,
        stride: 3 * width,
    };
    let parts = [width, 2 * width];
    let shape = Shape {
        positions,
        width: width / heads,
        repeats,
    };
    if level.multiplies_bytes() {
        let packed: Vec<bytes::Head> = pack(level, rows, parts, shape, heads);
        attend(level, &packed, rows, width, out);
    } else {
        let packed: Vec<float::Head<f32>> = pack(level, rows, parts, shape, heads);
        attend(level, &packed, rows, width, out);
    }
}

/// Keys and values of all heads, packed for queries that come later: in bytes where the level multiplies them (see
/// `bytes.rs`), else rounded to bf16. What few queries wait for is memory, and these are a quarter and a half of it.
#[derive(Clone, Debug)]
pub struct KeysValues {
    level: Level,
    width: usize,
    heads: Heads,
}

#[derive(Clone, Debug)]
enum Heads {
    Bytes(Vec<bytes::Head>),
    Bf16(Vec<float::Head<Bf16>>),
}

impl KeysValues {
    /// Packs `(positions, 2 * width)`, keys beside values, for this level.
    ///
    /// # Panics
    /// When there are no such rows, or `heads` does not divide `width`.
    pub fn pack(
        level: Level,
        keys_values: &[f32],
        width: usize,
        heads: usize,
        repeats: Option<Repeats>,
    ) -> Self {
        assert_heads(width, heads);
        Repeats::assert_fits(repeats);
        let positions = keys_values.len() / (2 * width);
        assert!(
            positions > 0 && keys_values.len() == 2 * positions * width,
            "keys and values of {positions} positions"
        );
        let rows = Rows {
            values: keys_values,
            stride: 2 * width,
        };
        let parts = [0, width];
        let shape = Shape {
            positions,
            width: width / heads,
            repeats,
        };
        let heads = if level.multiplies_bytes() {
            Heads::Bytes(pack(level, rows, parts, shape, heads))
        } else {
            Heads::Bf16(pack(level, rows, parts, shape, heads))
        };
        Self {
            level,
            width,
            heads,
        }
    }

    /// Attention of each query to all positions: `(queries, width)` → `(queries, width)`.
    ///
    /// # Panics
    /// When the lengths do not fit together.
    pub fn attend(&self, queries: &[f32], out: &mut [f32]) {
        assert!(
            queries.len() == out.len() && out.len().is_multiple_of(self.width),
            "queries of width {}",
            self.width
        );
        let rows = Rows {
            values: queries,
            stride: self.width,
        };
        match &self.heads {
            Heads::Bytes(heads) => attend(self.level, heads, rows, self.width, out),
            Heads::Bf16(heads) => attend(self.level, heads, rows, self.width, out),
        }
    }
}

fn assert_heads(width: usize, heads: usize) {
    assert!(
        width > 0 && heads > 0 && width.is_multiple_of(heads),
        "heads of {width}"
    );
}

/// Rows of some width, of which parts are read.
#[derive(Clone, Copy)]
struct Rows<'a> {
    values: &'a [f32],
    stride: usize,
}

impl<'a> Rows<'a> {
    /// The same from `row` and `column` on.
    fn from(self, row: usize, column: usize) -> Self {
        Self {
            values: &self.values[row * self.stride + column..],
            ..self
        }
    }

    /// The first `width` columns of all rows.
    fn parts(self, width: usize) -> impl Iterator<Item = &'a [f32]> + Clone {
        self.values
            .chunks(self.stride)
            .map(move |row| &row[..width])
    }
}

/// Of the keys and values of one head.
#[derive(Clone, Copy, Debug)]
struct Shape {
    positions: usize,
    width: usize,
    repeats: Option<Repeats>,
}

/// Keys and values of one head, packed.
trait Head: Send + Sync {
    /// Memory for the tasks of one thread, one after the other. What it holds before a task is of no meaning.
    type Scratch: Default;

    /// Queries of one task.
    fn queries(level: Level) -> usize;

    /// `keys` and `values` begin with the head's first column and row, and have as many rows as `shape` has positions.
    fn pack(level: Level, keys: Rows<'_>, values: Rows<'_>, shape: Shape) -> Self;

    fn positions(&self) -> usize;

    /// Up to [`Head::queries`] queries, which begin with the head's first column, as many as `out` has rows.
    fn attend(&self, level: Level, queries: Rows<'_>, scratch: &mut Self::Scratch, out: Out<'_>);
}

/// Where the attention of one head goes: its width of values at the beginning of each row, rows `stride` apart.
struct Out<'a> {
    values: &'a mut [f32],
    stride: usize,
    rows: usize,
}

/// `parts`: the first column of keys and of values.
fn pack<H: Head>(
    level: Level,
    rows: Rows<'_>,
    parts: [usize; 2],
    shape: Shape,
    heads: usize,
) -> Vec<H> {
    (0..heads)
        .into_par_iter()
        .map(|head| {
            let [keys, values] = parts.map(|part| rows.from(0, part + head * shape.width));
            H::pack(level, keys, values, shape)
        })
        .collect()
}

/// The queries are the first columns of `queries`, head beside head.
fn attend<H: Head>(level: Level, heads: &[H], queries: Rows<'_>, width: usize, out: &mut [f32]) {
    let positions = heads.first().map_or(0, H::positions);
    let count = out.len() / width;
    if count == 0 {
        return;
    }
    let head_width = width / heads.len();
    let block_rows = H::queries(level);
    let one = |scratch: &mut H::Scratch, head: usize, first: usize, out: Out<'_>| {
        let queries = queries.from(first, head * head_width);
        heads[head].attend(level, queries, scratch, out);
    };
    let is_much = positions * out.len() * 2 >= PARALLEL_FROM;
    if is_much && count <= block_rows {
        // A single block: threads share the heads.
        let mut by_head = vec![0.0; out.len()];
        by_head
            .par_chunks_exact_mut(count * head_width)
            .enumerate()
            .for_each_init(H::Scratch::default, |scratch, (head, values)| {
                let out = Out {
                    values,
                    stride: head_width,
                    rows: count,
                };
                one(scratch, head, 0, out);
            });
        for (head, from) in by_head.chunks_exact(count * head_width).enumerate() {
            for (from, out) in from
                .chunks_exact(head_width)
                .zip(out.chunks_exact_mut(width))
            {
                out[head * head_width..][..head_width].copy_from_slice(from);
            }
        }
        return;
    }
    // Threads share the rows. A task has several blocks for each head, whose keys and values then come to the thread's
    // cache once for all of them.
    let tasks = TASKS_PER_THREAD * rayon::current_num_threads();
    let task_rows = block_rows * (count / block_rows / tasks).clamp(1, MOST_BLOCKS_PER_TASK);
    let task = |scratch: &mut H::Scratch, task: usize, out: &mut [f32]| {
        for head in 0..heads.len() {
            for (block, out) in out.chunks_mut(block_rows * width).enumerate() {
                let rows = out.len() / width;
                let out = Out {
                    values: &mut out[head * head_width..],
                    stride: width,
                    rows,
                };
                one(scratch, head, task * task_rows + block * block_rows, out);
            }
        }
    };
    if is_much {
        out.par_chunks_mut(task_rows * width)
            .enumerate()
            .for_each_init(Default::default, |scratch, (index, out)| {
                task(scratch, index, out);
            });
    } else {
        let mut scratch = Default::default();
        for (index, out) in out.chunks_mut(task_rows * width).enumerate() {
            task(&mut scratch, index, out);
        }
    }
}

#[cfg(test)]
mod tests;
