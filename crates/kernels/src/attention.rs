//! Attention of many queries to many keys without a mask, in blocks whose scores stay in the cache.
//!
//! The softmax runs along with the blocks of keys: a row keeps its largest score and its sum so far, and what it has
//! is scaled when a larger score comes (online softmax, Milakov and Gimelshein 2018; FlashAttention, Dao et al. 2022).
//!
//! Keys and values are packed for each head: keys in panels of 32 positions, values in panels of 32 dimensions, so
//! that neither product needs a sum across a vector. Scales belong to the queries; nothing here applies one.

use rayon::prelude::*;

use crate::{
    level::{Isa, Kernel, Level},
    math,
    panel::{self, Bf16, COLUMNS, Element, PanelRow},
};

/// Queries of one task: their scores, of one block of keys, are 96 kB beside 256 kB of keys and values.
const QUERIES: usize = 48;
/// Positions whose scores are in memory at once: a multiple of [`COLUMNS`].
const POSITIONS: usize = 512;
/// Below this many products a second thread is not worth waking.
const PARALLEL_FROM: usize = 1 << 21;

/// Attention of every position to every position.
///
/// `qkv`: `(positions, 3 * width)`, queries beside keys beside values. `out`: `(positions, width)`.
///
/// # Panics
/// When the lengths do not fit together, or `heads` does not divide `width`.
pub fn attend_to_all(level: Level, qkv: &[f32], width: usize, heads: usize, out: &mut [f32]) {
    assert!(
        width > 0 && heads > 0 && width.is_multiple_of(heads),
        "heads of {width}"
    );
    let positions = out.len() / width;
    assert!(
        out.len() == positions * width && qkv.len() == 3 * out.len(),
        "queries, keys and values of {positions} positions"
    );
    let rows = Rows {
        values: qkv,
        stride: 3 * width,
    };
    let packed: Vec<Head<f32>> = pack(rows, [width, 2 * width], positions, width / heads, heads);
    attend(level, &packed, rows, width, out);
}

/// Keys and values of all heads, packed and rounded to bf16, for queries that come later.
#[derive(Clone, Debug)]
pub struct KeysValues {
    width: usize,
    heads: Vec<Head<Bf16>>,
}

impl KeysValues {
    /// Packs `(positions, 2 * width)`, keys beside values.
    ///
    /// # Panics
    /// When there are no such rows, or `heads` does not divide `width`.
    pub fn pack(keys_values: &[f32], width: usize, heads: usize) -> Self {
        assert!(
            width > 0 && heads > 0 && width.is_multiple_of(heads),
            "heads of {width}"
        );
        let positions = keys_values.len() / (2 * width);
        assert!(
            positions > 0 && keys_values.len() == 2 * positions * width,
            "keys and values of {positions} positions"
        );
        let rows = Rows {
            values: keys_values,
            stride: 2 * width,
        };
        Self {
            width,
            heads: pack(rows, [0, width], positions, width / heads, heads),
        }
    }

    /// Attention of each query to all positions: `(queries, width)` → `(queries, width)`.
    ///
    /// # Panics
    /// When the lengths do not fit together.
    pub fn attend(&self, level: Level, queries: &[f32], out: &mut [f32]) {
        assert!(
            queries.len() == out.len() && out.len().is_multiple_of(self.width),
            "queries of width {}",
            self.width
        );
        let rows = Rows {
            values: queries,
            stride: self.width,
        };
        attend(level, &self.heads, rows, self.width, out);
    }
}

/// Rows of some width, of which parts are read.
#[derive(Clone, Copy)]
struct Rows<'a> {
    values: &'a [f32],
    stride: usize,
}

/// Keys and values of one head.
#[derive(Clone, Debug)]
struct Head<E> {
    positions: usize,
    width: usize,
    /// `(positions / 32, width, 32)`, the last panel padded.
    keys: Vec<PanelRow<E>>,
    /// `(width / 32, positions, 32)`, the last panel padded.
    values: Vec<PanelRow<E>>,
}

/// `parts`: the first column of keys and of values.
fn pack<E: Element>(
    rows: Rows<'_>,
    parts: [usize; 2],
    positions: usize,
    width: usize,
    heads: usize,
) -> Vec<Head<E>> {
    (0..heads)
        .into_par_iter()
        .map(|head| {
            let part = |part: usize| {
                let first = part + head * width;
                rows.values
                    .chunks_exact(rows.stride)
                    .map(move |row| &row[first..][..width])
            };
            let mut keys = vec![[E::default(); COLUMNS]; positions.div_ceil(COLUMNS) * width];
            for (position, key) in part(parts[0]).enumerate() {
                let panel = &mut keys[position / COLUMNS * width..][..width];
                for (row, value) in panel.iter_mut().zip(key) {
                    row[position % COLUMNS] = E::narrow(*value);
                }
            }
            let mut values = vec![[E::default(); COLUMNS]; width.div_ceil(COLUMNS) * positions];
            for (position, value) in part(parts[1]).enumerate() {
                for (panel, value) in value.chunks(COLUMNS).enumerate() {
                    for (to, from) in values[panel * positions + position].iter_mut().zip(value) {
                        *to = E::narrow(*from);
                    }
                }
            }
            Head {
                positions,
                width,
                keys,
                values,
            }
        })
        .collect()
}

/// The queries are the first columns of `queries`, head beside head.
fn attend<E: Element>(
    level: Level,
    heads: &[Head<E>],
    queries: Rows<'_>,
    width: usize,
    out: &mut [f32],
) {
    let positions = heads.first().map_or(0, |head| head.positions);
    let count = out.len() / width;
    let one = |head: &Head<E>, column: usize, first: usize, out: &mut [f32]| {
        level.dispatch(Block {
            head,
            queries: Rows {
                values: &queries.values[first * queries.stride + column..],
                ..queries
            },
            out,
        });
    };
    // A thread stays with a head while there is work in it: its keys and values are then in that thread's cache.
    let head_width = width / heads.len();
    let mut by_head = vec![0.0; out.len()];
    let head_size = count * head_width;
    if positions * out.len() * 2 < PARALLEL_FROM {
        for (index, (head, out)) in heads
            .iter()
            .zip(by_head.chunks_exact_mut(head_size))
            .enumerate()
        {
            for (block, out) in out.chunks_mut(QUERIES * head_width).enumerate() {
                one(head, index * head_width, block * QUERIES, out);
            }
        }
    } else {
        by_head
            .par_chunks_exact_mut(head_size)
            .zip(heads)
            .enumerate()
            .for_each(|(index, (out, head))| {
                out.par_chunks_mut(QUERIES * head_width)
                    .enumerate()
                    .for_each(|(block, out)| one(head, index * head_width, block * QUERIES, out));
            });
    }
    for (index, from) in by_head.chunks_exact(head_size).enumerate() {
        for (to, from) in out
            .chunks_exact_mut(width)
            .zip(from.chunks_exact(head_width))
        {
            to[index * head_width..][..head_width].copy_from_slice(from);
        }
    }
}

/// Up to [`QUERIES`] queries over one head.
struct Block<'a, E> {
    head: &'a Head<E>,
    /// The head's queries are the first columns.
    queries: Rows<'a>,
    /// `(queries, head width)`.
    out: &'a mut [f32],
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
        } = *self.head;
        let count = self.out.len() / width;
        let mut softmax = [(f32::NEG_INFINITY, 0.0_f32); QUERIES];
        let mut scores = vec![0.0; count * POSITIONS.min(positions.next_multiple_of(COLUMNS))];
        let stride = scores.len() / count;
        let mut tile = [[0.0; COLUMNS]; QUERIES];
        let value_panels = width.div_ceil(COLUMNS);
        let mut sums = vec![[0.0; COLUMNS]; value_panels * count];
        for first in (0..positions).step_by(stride) {
            let seen = stride.min(positions - first);
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
                panel::add_products::<I, E>(&scores, stride, 0, values, sums);
            }
        }
        for (row, (out, (_, total))) in self.out.chunks_exact_mut(width).zip(softmax).enumerate() {
            let scale = 1.0 / total;
            for (panel, out) in out.chunks_mut(COLUMNS).enumerate() {
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
    let mut lanes = [before; LANES];
    let (chunks, rest) = scores.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            // A comparison that fails on NaN; NaN comes through `exp` anyway.
            lanes[lane] = if chunk[lane] > lanes[lane] {
                chunk[lane]
            } else {
                lanes[lane]
            };
        }
    }
    let mut largest = before;
    for value in lanes.iter().chain(rest) {
        largest = largest.max(*value);
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(seed: u32, count: usize) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f32::from(u16::try_from(state >> 16).unwrap()) / 16_384.0 - 2.0
            })
            .collect()
    }

    /// One query of one head, in f64.
    fn plain(query: &[f32], keys: &[&[f32]], values: &[&[f32]]) -> Vec<f64> {
        let dot = |key: &&[f32]| -> f64 {
            key.iter()
                .zip(query)
                .map(|(a, b)| f64::from(*a) * f64::from(*b))
                .sum()
        };
        let scores: Vec<f64> = keys.iter().map(dot).collect();
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
        let total: f64 = weights.iter().sum();
        (0..query.len())
            .map(|column| {
                let parts = weights.iter().zip(values);
                parts
                    .map(|(weight, row)| weight * f64::from(row[column]))
                    .sum::<f64>()
                    / total
            })
            .collect()
    }

    fn check(positions: usize, heads: usize, head_width: usize, queries: usize, seed: u32) {
        let width = heads * head_width;
        let qkv = values(seed, positions * 3 * width);
        let later = values(seed + 1, queries * width);
        let keys_values: Vec<f32> = qkv
            .chunks(3 * width)
            .flat_map(|row| &row[width..])
            .copied()
            .collect();
        for level in Level::available() {
            let mut out = vec![f32::NAN; positions * width];
            attend_to_all(level, &qkv, width, heads, &mut out);
            // Exponentials and sums in f32, of scores up to 4 * head_width.
            let own: Vec<&[f32]> = qkv.chunks(3 * width).map(|row| &row[..width]).collect();
            compare(
                &out,
                &own,
                &qkv,
                width,
                heads,
                1e-6 * (head_width as f64 + 20.0),
                level,
            );
            let mut out = vec![f32::NAN; queries * width];
            KeysValues::pack(&keys_values, width, heads).attend(level, &later, &mut out);
            let rounded: Vec<f32> = qkv
                .iter()
                .map(|value| Bf16::narrow(*value).widen())
                .collect();
            let later: Vec<&[f32]> = later.chunks(width).collect();
            compare(
                &out,
                &later,
                &rounded,
                width,
                heads,
                1e-6 * (head_width as f64 + 20.0),
                level,
            );
        }
    }

    fn compare(
        out: &[f32],
        queries: &[&[f32]],
        qkv: &[f32],
        width: usize,
        heads: usize,
        tolerance: f64,
        level: Level,
    ) {
        let head_width = width / heads;
        for (found, query) in out.chunks(width).zip(queries) {
            for head in 0..heads {
                let part = |first: usize| -> Vec<&[f32]> {
                    qkv.chunks(3 * width)
                        .map(|row| &row[first + head * head_width..][..head_width])
                        .collect()
                };
                let query = &query[head * head_width..][..head_width];
                let expected = plain(query, &part(width), &part(2 * width));
                for (found, expected) in found[head * head_width..].iter().zip(expected) {
                    assert!(
                        (f64::from(*found) - expected).abs() < tolerance,
                        "{level}: {found} for {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_level_equals_plain_loops_over_several_blocks() {
        check(1, 1, 1, 1, 1);
        check(33, 2, 16, 5, 2);
        check(530, 1, 64, 50, 3);
        check(1100, 2, 12, 13, 4);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
        #[test]
        fn every_level_equals_plain_loops(positions in 1_usize..70, heads in 1_usize..4, head_width in 1_usize..70, queries in 1_usize..20, seed in 0_u32..1000) {
            check(positions, heads, head_width, queries, seed);
        }
    }

    #[test]
    fn rounding_to_bf16_is_to_the_nearest() {
        for (value, expected) in [
            (1.0, 1.0),
            (1.003_906_3, 1.0),
            (1.011_718_8, 1.015_625),
            (-2.01, -2.015_625),
        ] {
            assert_eq!(
                Bf16::narrow(value).widen().to_bits(),
                f32::to_bits(expected)
            );
        }
        assert!(Bf16::narrow(f32::NAN).widen().is_nan());
        assert!(Bf16::narrow(f32::INFINITY).widen().is_infinite());
    }

    #[test]
    fn what_is_not_finite_shows() {
        let mut qkv = values(1, 40 * 3 * 8);
        qkv[8 + 3 * 24] = f32::NAN;
        for level in Level::available() {
            let mut out = vec![0.0; 40 * 8];
            attend_to_all(level, &qkv, 8, 1, &mut out);
            assert!(out.iter().all(|value| value.is_nan()), "{level}");
        }
    }
}
