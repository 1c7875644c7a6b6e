//! Attention in f32 on panels of f32 or bf16, in blocks whose scores stay in the cache.
//!
//! The softmax runs along with the blocks of keys: a row keeps its largest score and its sum so far, and what it has
//! is scaled when a larger score comes (online softmax, Milakov and Gimelshein 2018; FlashAttention, Dao et al. 2022).
//!
//! Keys are in panels of 32 positions, values in panels of 32 dimensions, so that neither product needs a sum across
//! a vector.

use super::{Out, Repeats, Rows, Shape};
use crate::{
    level::{Isa, Kernel, Level},
    math,
    panel::{self, COLUMNS, Element, PanelRow},
};

/// Queries of one task: their scores, of one block of keys, are 96 kB beside 256 kB of keys and values.
const QUERIES: usize = 48;
/// Positions whose scores are in memory at once: a multiple of [`COLUMNS`].
const POSITIONS: usize = 512;

/// Keys and values of one head.
#[derive(Clone, Debug)]
pub(super) struct Head<E> {
    positions: usize,
    width: usize,
    /// `(positions / 32, width, 32)`, the last panel padded.
    keys: Vec<PanelRow<E>>,
    /// `(width / 32, positions, 32)`, the last panel padded.
    values: Vec<PanelRow<E>>,
    repeats: Option<Repeats>,
}

impl<E: Element> super::Head for Head<E> {
    fn queries(_: Level) -> usize {
        QUERIES
    }

    type Scratch = Scratch;

    fn pack(_: Level, from_keys: Rows<'_>, from_values: Rows<'_>, shape: Shape) -> Self {
        let Shape {
            positions,
            width,
            repeats,
        } = shape;
        let mut keys = vec![[E::default(); COLUMNS]; positions.div_ceil(COLUMNS) * width];
        for (position, key) in from_keys.parts(width).enumerate() {
            let panel = &mut keys[position / COLUMNS * width..][..width];
            for (row, value) in panel.iter_mut().zip(key) {
                row[position % COLUMNS] = E::narrow(*value);
            }
        }
        let mut values = vec![[E::default(); COLUMNS]; width.div_ceil(COLUMNS) * positions];
        for (position, value) in from_values.parts(width).enumerate() {
            for (panel, value) in value.chunks(COLUMNS).enumerate() {
                for (to, from) in values[panel * positions + position].iter_mut().zip(value) {
                    *to = E::narrow(*from);
                }
            }
        }
        Self {
            positions,
            width,
            keys,
            values,
            repeats,
        }
    }

    fn positions(&self) -> usize {
        self.positions
    }

    fn attend(&self, level: Level, queries: Rows<'_>, scratch: &mut Scratch, out: Out<'_>) {
        level.dispatch(Block {
            head: self,
            queries,
            scratch,
            out,
        });
    }
}

#[derive(Default)]
pub(super) struct Scratch {
    /// `(queries, positions of a block padded to whole panels)`.
    scores: Vec<f32>,
    /// `(panels of values, queries)`.
    sums: Vec<PanelRow<f32>>,
}

/// Up to [`QUERIES`] queries over one head.
struct Block<'a, E> {
    head: &'a Head<E>,
    /// The head's queries are the first columns.
    queries: Rows<'a>,
    scratch: &'a mut Scratch,
    out: Out<'a>,
}

impl<E: Element> Kernel for Block<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Head {
            positions,
            width,
            ref keys,
            ref values,
            repeats,
        } = *self.head;
        let count = self.out.rows;
        let mut softmax = [(f32::NEG_INFINITY, 0.0_f32); QUERIES];
        let stride = POSITIONS.min(positions.next_multiple_of(COLUMNS));
        let Scratch { scores, sums } = self.scratch;
        scores.resize(count * stride, 0.0);
        let mut tile = [[0.0; COLUMNS]; QUERIES];
        let value_panels = width.div_ceil(COLUMNS);
        sums.clear();
        sums.resize(value_panels * count, [0.0; COLUMNS]);
        let mut first = 0;
        while first < positions {
            let most = stride.min(positions - first);
            let (seen, times) = Repeats::block(repeats, first, most);
            let shift = times.ln();
            for start in (0..seen).step_by(COLUMNS) {
                let panel = &keys[(first + start) / COLUMNS * width..][..width];
                let tile = &mut tile[..count];
                tile.fill([0.0; COLUMNS]);
                panel::add_products::<I, E>(
                    self.queries.values,
                    self.queries.stride,
                    0,
                    panel,
                    tile,
                );
                for (row, tile) in scores.chunks_exact_mut(stride).zip(tile.iter()) {
                    row[start..][..COLUMNS].copy_from_slice(tile);
                }
            }
            for (row, (scores, state)) in scores
                .chunks_exact_mut(stride)
                .zip(&mut softmax)
                .enumerate()
            {
                if shift > 0.0 {
                    for score in &mut scores[..seen] {
                        *score += shift;
                    }
                }
                let factor = soften::<I>(&mut scores[..seen], state);
                if factor < 1.0 {
                    for panel in 0..value_panels {
                        for sum in &mut sums[panel * count + row] {
                            *sum *= factor;
                        }
                    }
                }
            }
            for (panel, sums) in sums.chunks_exact_mut(count).enumerate() {
                let values = &values[panel * positions + first..][..seen];
                panel::add_products::<I, E>(scores, stride, 0, values, sums);
            }
            first += seen;
        }
        let rows = self.out.values.chunks_mut(self.out.stride);
        for (row, (out, (_, total))) in rows.zip(softmax).take(count).enumerate() {
            let scale = 1.0 / total;
            for (panel, out) in out[..width].chunks_mut(COLUMNS).enumerate() {
                for (out, sum) in out.iter_mut().zip(&sums[panel * count + row]) {
                    *out = sum * scale;
                }
            }
        }
    }
}

/// Scores → weights `e^(score − largest)`, where `state` has the largest score so far and the sum of the weights.
/// Returns what earlier weights are to be multiplied with.
#[inline(always)]
fn soften<I: Isa>(scores: &mut [f32], state: &mut (f32, f32)) -> f32 {
    const LANES: usize = 16;
    let (before, total) = *state;
    let largest = math::maximum(before, scores);
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = scores.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            chunk[lane] = math::exp::<I>(chunk[lane] - largest);
            lanes[lane] += chunk[lane];
        }
    }
    let mut sum = 0.0;
    for value in rest {
        *value = math::exp::<I>(*value - largest);
        sum += *value;
    }
    for lane in lanes {
        sum += lane;
    }
    let factor = if before < largest {
        math::exp::<I>(before - largest)
    } else {
        1.0
    };
    *state = (largest, total * factor + sum);
    factor
}
