//! Attention in products of bytes, for CPUs that have an instruction for them.
//!
//! Keys come in blocks, and the softmax runs along with them, as in `float.rs`.
//!
//! - Scores are products of rounded queries and keys, with a scale for each query and for each block of keys. What all
//!   keys have in common is taken from them first: it adds the same to every score of a query, which the softmax does
//!   not see, and would cost precision (SageAttention, Zhang et al. 2024).
//! - Weights of the softmax are bytes, of which a block's largest uses all: see `weights.rs`.
//! - Values are rounded with a scale for each column.

mod weights;

use super::{Out, Repeats, Rows, Shape};
use crate::{
    int8::{self, Int8Matrix, Sums, Tiles, tile_rows},
    level::{Isa, Kernel, Level},
    linear::{Inputs, PANEL, Tile},
    memory::prefetch,
};
use weights::{Soften, Weights};

/// Keys of a block, whole panels. 24 queries' scores of them are 24 kB, beside 16 kB of keys and as much of values.
const BLOCK: usize = 256;

/// Keys and values of one head.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// `(positions, head width)`, with one scale for each block.
    keys: Int8Matrix,
    /// `(head width, positions padded to whole panels)`.
    values: Int8Matrix,
    repeats: Option<Repeats>,
}

impl super::Head for Head {
    /// In whole tiles, so many that a block's keys and values come to the innermost cache for more than one.
    fn queries(level: Level) -> usize {
        24_usize.next_multiple_of(tile_rows(level))
    }

    type Scratch = Scratch;

    fn pack(level: Level, keys: Rows<'_>, values: Rows<'_>, shape: Shape) -> Self {
        let Shape {
            positions,
            width,
            repeats,
        } = shape;
        let [keys, values] = [keys, values].map(|rows| rows.parts(width).take(positions));
        let padded = positions.next_multiple_of(PANEL);
        Self {
            keys: Int8Matrix::pack_centred(level, keys, [positions, width], BLOCK),
            values: Int8Matrix::pack_columns(level, values, [width, padded]),
            repeats,
        }
    }

    fn positions(&self) -> usize {
        self.keys.outs()
    }

    fn attend(&self, level: Level, queries: Rows<'_>, scratch: &mut Scratch, out: Out<'_>) {
        let (positions, width) = (self.keys.outs(), self.keys.ins());
        let Scratch {
            queries: inputs,
            scores,
            weights,
            tile,
            sums,
        } = scratch;
        inputs.fill_around_zero(level, queries.parts(width).take(out.rows), width);
        // Those of the next call, most often, which lie far from each other.
        for query in queries.parts(width).skip(out.rows).take(out.rows) {
            prefetch(query);
        }
        weights.start(out.rows);
        sums.clear();
        sums.resize(out.rows * width.next_multiple_of(PANEL), 0.0);
        let mut first = 0;
        while first < positions {
            // A block has one scale of keys, so that none goes over the border of two.
            let most = (BLOCK - first % BLOCK).min(positions - first);
            let (count, times) = Repeats::block(self.repeats, first, most);
            let stride = count.next_multiple_of(PANEL);
            scores.resize(out.rows * stride, 0);
            self.score(level, inputs, first, scores);
            level.dispatch(Soften {
                scores,
                count,
                query_scales: &inputs.scales,
                key_scale: self.keys.panel(first / PANEL).scales[0],
                times,
                weights,
            });
            self.mix(level, weights, first, tile, sums);
            first += count;
        }
        level.dispatch(Divide {
            sums,
            totals: weights.totals(),
            scales: self.values.scales(),
            width,
            out,
        });
    }
}

#[derive(Default)]
pub(super) struct Scratch {
    /// The head's queries in bytes.
    queries: Inputs,
    /// `(queries, positions of a block padded to whole panels)`.
    scores: Vec<i32>,
    weights: Weights,
    tile: Tile,
    /// Sums of values by their weights so far: `(queries, head width padded to whole panels)`.
    sums: Vec<f32>,
}

impl Head {
    /// Fills the scores of the keys from `first` on, without scales.
    fn score(&self, level: Level, queries: &Inputs, first: usize, scores: &mut [i32]) {
        let count = queries.scales.len();
        let stride = scores.len() / count;
        let tiles = Tiles::new(level, count);
        for start in (0..stride).step_by(PANEL) {
            let panel = self.keys.panel((first + start) / PANEL);
            let mut row = 0;
            while row < count {
                let rows = queries.rows(row, count - row);
                let sums = Sums {
                    values: &mut scores[row * stride + start..],
                    stride,
                };
                row += tiles.sums(panel.weights, panel.corrections, rows, sums);
            }
        }
    }

    /// Adds values of the positions from `first` on by their weights.
    fn mix(
        &self,
        level: Level,
        weights: &Weights,
        first: usize,
        tile: &mut Tile,
        sums: &mut [f32],
    ) {
        let count = weights.rows();
        let stride = sums.len() / count;
        let tiles = Tiles::new(level, count);
        for start in (0..stride).step_by(PANEL) {
            let panel = self.values.panel(start / PANEL);
            let part = &panel.weights[first * PANEL..][..weights.stride() * PANEL];
            let mut row = 0;
            while row < count {
                let rows = int8::Rows {
                    bytes: weights.bytes(row),
                    stride: weights.stride(),
                };
                let done = tiles.sums(part, &[0; PANEL], rows, Sums::rows(tile));
                level.dispatch(Add {
                    tile: &tile[..done],
                    factors: weights.factors(row),
                    sums: &mut sums[row * stride + start..],
                    stride,
                });
                row += done;
            }
        }
    }
}

/// Adds the integer sums of a block.
struct Add<'a> {
    tile: &'a [[i32; PANEL]],
    /// Of what there is, and of what comes.
    factors: &'a [[f32; 2]],
    /// Rows of `stride` values, of which the first [`PANEL`] change.
    sums: &'a mut [f32],
    stride: usize,
}

impl Kernel for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        for ((tile, [before, new]), sums) in self
            .tile
            .iter()
            .zip(self.factors)
            .zip(self.sums.chunks_mut(self.stride))
        {
            for (sum, tile) in sums.iter_mut().zip(tile) {
                *sum = *sum * before + *tile as f32 * new;
            }
        }
    }
}

/// Sums → means of values.
struct Divide<'a> {
    /// `(queries, head width padded to whole panels)`.
    sums: &'a [f32],
    totals: &'a [f32],
    /// Of the values' columns.
    scales: &'a [f32],
    width: usize,
    out: Out<'a>,
}

impl Kernel for Divide<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let padded = self.width.next_multiple_of(PANEL);
        for ((sums, total), out) in self
            .sums
            .chunks_exact(padded)
            .zip(self.totals)
            .zip(self.out.values.chunks_mut(self.out.stride))
        {
            let inverse = 1.0 / total;
            for ((out, sum), scale) in out[..self.width].iter_mut().zip(sums).zip(self.scales) {
                *out = sum * (scale * inverse);
            }
        }
    }
}
