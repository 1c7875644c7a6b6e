//! Multi-head attention, in the three forms that Whisper needs.
//!
//! The scale `1 / √head_width` is part of the query projection's weights, so nothing here applies it.

use candle_core::{DType, Device, Result, Tensor};
use kernels::{KeysValues, Repeats};
use rayon::prelude::*;

use super::{
    fused,
    matrix::Room,
    ops::{self, change, with_slice, with_slices},
    vector,
};
use crate::precision::Arithmetic;

/// Queries whose scores are in memory at once: 128 × 1500 scores are 768 kB, which stays in the second-level cache.
const QUERY_BLOCK: usize = 128;

/// Up to this many queries, scores are dot products; above, blocked matrix products are faster.
const FEW_QUERIES: usize = 16;

/// Scores that another device has in memory at once: those of a whole window of the large models (20 heads, 1500 by
/// 1500), in f16 90 MB for them and as much for their softmax. A product of that size leaves no GPU idle.
const SCORES_AT_ONCE: usize = 48 << 20;

/// Attention of every position to every position of its window, without a mask.
///
/// `qkv`: `(windows * positions, 3 * width)`, queries beside keys beside values. Returns `(windows * positions, width)`.
/// `repeats`: on the host only.
pub(super) fn bidirectional(
    qkv: &Tensor,
    windows: usize,
    heads: usize,
    repeats: Option<Repeats>,
    arithmetic: Arithmetic,
    room: &mut Room,
) -> Result<Tensor> {
    if arithmetic.has_fused() {
        return fused::attend_to_all(qkv, windows, heads);
    }
    if !matches!(arithmetic, Arithmetic::Int8(_)) && !ops::is_host(qkv) {
        let [queries, keys, values] = split_heads(qkv, windows, heads)?;
        return attend(&queries, &keys, &values, None);
    }
    if windows == 1 {
        return attend_on_host(qkv, heads, repeats, arithmetic, room);
    }
    let positions = qkv.dim(0)? / windows;
    let parts = (0..windows).map(|window| {
        let own = qkv.narrow(0, window * positions, positions)?;
        attend_on_host(&own, heads, repeats, arithmetic, &mut Room::default())
    });
    join(parts.collect::<Result<_>>()?)
}

/// One window's [`bidirectional`].
fn attend_on_host(
    qkv: &Tensor,
    heads: usize,
    repeats: Option<Repeats>,
    arithmetic: Arithmetic,
    room: &mut Room,
) -> Result<Tensor> {
    let width = qkv.dim(1)? / 3;
    if let Arithmetic::Int8(level) = arithmetic {
        let out = room.tensor(qkv.dim(0)?, width)?;
        with_slice(qkv, |qkv| {
            change(&out, |out| {
                kernels::attend_to_all(level, qkv, width, heads, repeats, out);
            })
        })??;
        return Ok(out);
    }
    let head_width = width / heads;
    let part =
        |part: usize, head: usize| qkv.narrow(1, part * width + head * head_width, head_width);
    let heads = (0..heads)
        .map(|head| {
            Ok(Head {
                queries: part(0, head)?,
                keys: part(1, head)?,
                values: part(2, head)?,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    attend_in_blocks(&heads, qkv.dim(0)?, head_width, repeats)
}

/// The audio side of cross-attention on the host: keys and values of one item.
#[derive(Debug)]
pub(crate) enum AudioKeys {
    /// In f32.
    Split(SplitKeys),
    /// Rounded and packed for the kernels of the CPU.
    Packed(KeysValues),
}

impl AudioKeys {
    /// Splits `(positions, 2 * width)`, keys beside values, into heads.
    pub(crate) fn new(
        keys_values: &Tensor,
        heads: usize,
        repeats: Option<Repeats>,
        arithmetic: Arithmetic,
    ) -> Result<Self> {
        match arithmetic {
            Arithmetic::F32 | Arithmetic::F16 { .. } => {
                Ok(Self::Split(SplitKeys::new(keys_values, heads, repeats)?))
            }
            Arithmetic::Int8(level) => {
                let width = keys_values.dim(1)? / 2;
                let pack = |values: &[f32]| KeysValues::pack(level, values, width, heads, repeats);
                Ok(Self::Packed(with_slice(keys_values, pack)?))
            }
        }
    }

    /// Attention of `queries` `(queries, width)` to all audio positions.
    pub(super) fn attend(&self, queries: &Tensor) -> Result<Tensor> {
        match self {
            Self::Split(keys) => keys.attend(queries),
            Self::Packed(keys) => {
                let mut out = vec![0.0; queries.elem_count()];
                with_slice(queries, |queries| keys.attend(queries, &mut out))?;
                Tensor::from_vec(out, queries.dims2()?, &Device::Cpu)
            }
        }
    }
}

/// Keys and values, each `(heads, positions, head_width)`.
#[derive(Debug)]
pub(crate) struct SplitKeys {
    keys: Tensor,
    values: Tensor,
    repeats: Option<Repeats>,
}

impl SplitKeys {
    fn new(keys_values: &Tensor, heads: usize, repeats: Option<Repeats>) -> Result<Self> {
        let [keys, values] = split_heads(keys_values, 1, heads)?;
        Ok(Self {
            keys: keys.squeeze(0)?,
            values: values.squeeze(0)?,
            repeats,
        })
    }

    fn attend(&self, queries: &Tensor) -> Result<Tensor> {
        let (heads, positions, head_width) = self.keys.dims3()?;
        let count = queries.dim(0)?;
        if count > FEW_QUERIES {
            let heads = (0..heads)
                .map(|head| {
                    Ok(Head {
                        queries: queries.narrow(1, head * head_width, head_width)?,
                        keys: self.keys.get(head)?,
                        values: self.values.get(head)?,
                    })
                })
                .collect::<Result<Vec<_>>>()?;
            return attend_in_blocks(&heads, count, head_width, self.repeats);
        }
        let width = heads * head_width;
        let mut out = vec![0.0; count * width];
        with_slices(
            [queries, &self.keys, &self.values].map(Some),
            |[queries, keys, values]| {
                let size = positions * head_width;
                let is_small = 2 * keys.len() * count < ops::PARALLEL_FROM;
                let heads_per_task = if is_small { heads } else { 1 };
                let heads: Vec<Vec<f32>> = (0..heads)
                    .into_par_iter()
                    .with_min_len(heads_per_task)
                    .map(|head| {
                        let queries: Vec<&[f32]> = queries
                            .chunks_exact(width)
                            .map(|query| &query[head * head_width..][..head_width])
                            .collect();
                        let part = head * size..(head + 1) * size;
                        attend_few(&queries, &keys[part.clone()], &values[part], self.repeats)
                    })
                    .collect();
                merge_heads(&heads, head_width, &mut out);
            },
        )?;
        Tensor::from_vec(out, (count, width), &Device::Cpu)
    }
}

/// What caches are made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CacheShape {
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) head_width: usize,
    /// Most of a row.
    pub(crate) tokens: usize,
    /// Most of an item's audio.
    pub(crate) positions: usize,
    pub(crate) number_type: DType,
    /// Whether [kernels of our own](fused) read the caches.
    pub(crate) has_fused: bool,
}

/// Views of one head: `(positions, head_width)` each, any strides.
struct Head {
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
}

/// `(items * positions, parts * width)` → its parts, each `(items, heads, positions, head_width)`.
pub(super) fn split_heads<const PARTS: usize>(
    x: &Tensor,
    items: usize,
    heads: usize,
) -> Result<[Tensor; PARTS]> {
    let (rows, all) = x.dims2()?;
    let (positions, head_width) = (rows / items, all / PARTS / heads);
    let x = x
        .reshape((items, positions, PARTS, heads, head_width))?
        .permute((2, 0, 3, 1, 4))?
        .contiguous()?;
    let parts = (0..PARTS).map(|part| x.get(part));
    let parts = parts.collect::<Result<Vec<_>>>()?;
    let wrong = |parts: Vec<Tensor>| candle_core::Error::Msg(format!("{} parts", parts.len()));
    parts.try_into().map_err(wrong)
}

/// Queries `(items * count, width)` by their heads, without being moved: `(items, heads, count, head_width)`.
pub(super) fn views_of_heads(queries: &Tensor, items: usize, heads: usize) -> Result<Tensor> {
    let (rows, width) = queries.dims2()?;
    queries
        .reshape((items, rows / items, heads, width / heads))?
        .transpose(1, 2)
}

/// Attention of all items and heads in one product, or a few that bound the memory: `queries`
/// `(items, heads, queries, head_width)`, `keys` and `values` `(items, heads, positions, head_width)`, which may be the
/// front of longer ones, `mask` `(items, 1, queries, positions)`, added to the scores. Returns
/// `(items * queries, heads * head_width)`.
pub(super) fn attend(
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    mask: Option<&Tensor>,
) -> Result<Tensor> {
    let (items, heads, count, head_width) = queries.dims4()?;
    let scores_of_item = heads * count * keys.dim(2)?;
    let at_once = (SCORES_AT_ONCE / scores_of_item.max(1)).clamp(1, items);
    let parts = (0..items).step_by(at_once).map(|first| {
        let part = |x: &Tensor| x.narrow(0, first, at_once.min(items - first));
        let mut scores = part(queries)?.matmul(&part(keys)?.t()?)?;
        if let Some(mask) = mask {
            scores = scores.broadcast_add(&part(mask)?)?;
        }
        ops::softmax(scores)?
            .matmul(&part(values)?)?
            .transpose(1, 2)?
            .contiguous()?
            .reshape(((), heads * head_width))
    });
    join(parts.collect::<Result<_>>()?)
}

/// One below the other.
pub(super) fn join(mut parts: Vec<Tensor>) -> Result<Tensor> {
    match parts.len() {
        1 => Ok(parts.remove(0)),
        _ => Tensor::cat(&parts, 0),
    }
}

/// Every query to every key on the CPU, a block of queries at a time, so that the scores are never in memory as a whole.
fn attend_in_blocks(
    heads: &[Head],
    count: usize,
    head_width: usize,
    repeats: Option<Repeats>,
) -> Result<Tensor> {
    let width = heads.len() * head_width;
    let shifts = match (repeats, heads.first()) {
        (Some(repeats), Some(head)) => Some(shifts(repeats, head.keys.dim(0)?)?),
        _ => None,
    };
    let block = |first: usize, rows: usize, head: &Head| {
        let mut scores = head
            .queries
            .narrow(0, first, rows)?
            .matmul(&head.keys.t()?)?;
        if let Some(shifts) = &shifts {
            scores = scores.broadcast_add(shifts)?;
        }
        ops::softmax(scores)?.matmul(&head.values)
    };
    let mut out = vec![0.0; count * width];
    out.par_chunks_mut(QUERY_BLOCK * width)
        .enumerate()
        .try_for_each(|(index, out)| {
            let rows = out.len() / width;
            for (column, head) in heads.iter().enumerate() {
                let attended = block(index * QUERY_BLOCK, rows, head)?;
                with_slice(&attended, |attended| {
                    let to = out.chunks_exact_mut(width);
                    for (to, from) in to.zip(attended.chunks_exact(head_width)) {
                        to[column * head_width..][..head_width].copy_from_slice(from);
                    }
                })?;
            }
            Ok::<_, candle_core::Error>(())
        })?;
    Tensor::from_vec(out, (count, width), &Device::Cpu)
}

/// What is added to the scores of each position: `(1, positions)`. Counted `times` times is `ln(times)` more.
fn shifts(repeats: Repeats, positions: usize) -> Result<Tensor> {
    let shift = |position| {
        if position < repeats.from {
            0.0
        } else {
            repeats.times.ln()
        }
    };
    let shifts: Vec<f32> = (0..positions).map(shift).collect();
    Tensor::from_vec(shifts, (1, positions), &Device::Cpu)
}

/// Attention of a few queries to all of `keys`, `(positions, head_width)`: `(queries, head_width)`.
pub(super) fn attend_few(
    queries: &[&[f32]],
    keys: &[f32],
    values: &[f32],
    repeats: Option<Repeats>,
) -> Vec<f32> {
    let head_width = queries.first().map_or(1, |query| query.len());
    let positions = keys.len() / head_width;
    let mut scores = vec![0.0; queries.len() * positions];
    let mut rows: Vec<&mut [f32]> = scores.chunks_exact_mut(positions).collect();
    vector::products(keys, queries, &mut rows);
    let mut out = vec![0.0; queries.len() * head_width];
    for (scores, out) in rows.into_iter().zip(out.chunks_exact_mut(head_width)) {
        if let Some(Repeats { from, times }) = repeats {
            for score in &mut scores[from..] {
                *score += times.ln();
            }
        }
        vector::softmax(scores);
        vector::weighted_sum(scores, values, out);
    }
    out
}

/// Heads one after the other, `(rows, head_width)` each → `(rows, heads * head_width)`.
fn merge_heads(heads: &[Vec<f32>], head_width: usize, out: &mut [f32]) {
    let width = heads.len() * head_width;
    for (column, head) in heads.iter().enumerate() {
        for (to, from) in out
            .chunks_exact_mut(width)
            .zip(head.chunks_exact(head_width))
        {
            to[column * head_width..][..head_width].copy_from_slice(from);
        }
    }
}
