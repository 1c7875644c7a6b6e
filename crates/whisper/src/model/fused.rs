//! Kernels of our own for NVIDIA GPUs, in f16, each in the place of several of Candle's: `cuda/kernels` has their
//! sources.
//!
//! ```text
//! attend_to_all       split heads, queries · keysᵀ, softmax, · values, merge heads   scores are never in memory
//! attend_few          queries · keysᵀ, mask, softmax, · values, merge heads          a decoder's tokens to audio
//! append_and_attend   the same behind keys and values that are put on a shelf        a decoder's tokens to each other
//! finish              bias, then GELU or the residual                                behind each product
//! best_tokens         mask, the highest, the first of these, sum of exponentials     greedy decoding
//! ```
//!
//! A token of a small model takes as long as its kernels take to be started: 17 for each layer of the decoder, where
//! Candle has 27, and one instead of 14 for its choice. A model has them when they gave what Candle's give in a
//! [`check`] on its device. On a CPU the same operations are the loops of [`host`], by which tests see that the right
//! things are handed over.

pub(super) mod check;
#[cfg(feature = "cuda")]
mod cuda;
mod host;

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{
    CpuStorage, CustomOp1, CustomOp3, InplaceOp1, Layout, Result, Shape, Tensor, bail,
};

use super::then::Then;

/// More queries of a slot than this are a matrix that a blocked product reads less often.
const FEW_QUERIES: usize = 16;

/// Halves that a thread reads at once: rows must be so many, or a multiple.
const LOAD: usize = 8;

/// Whether this build has them.
const ARE_BUILT: bool = cfg!(feature = "cuda");

/// What became of this program's own kernels for GPUs when a model was loaded.
#[derive(Debug, Default)]
#[non_exhaustive]
pub enum Fused {
    /// They are not for its device or precision, or were not wanted.
    #[default]
    None,
    /// They are used.
    Used,
    /// They are not used, since one of them gave something else than Candle's.
    Wrong {
        /// Its name.
        kernel: &'static str,
        /// By how much, of values about 1.
        off: f32,
    },
    /// They are not used, since they could not be started.
    Failed {
        /// What the driver said.
        error: candle_core::Error,
    },
}

/// Whether [`attend_few`] is for slots of so many queries.
pub(super) fn are_few(queries: usize) -> bool {
    queries <= FEW_QUERIES
}

/// Whether [`finish`] is for rows of this width.
pub(super) fn can_finish(width: usize) -> bool {
    width.is_multiple_of(LOAD)
}

/// Attention of every position to every position of its window: `(windows * positions, 3 * width)`, queries beside keys
/// beside values → `(windows * positions, width)`.
pub(super) fn attend_to_all(qkv: &Tensor, windows: usize, heads: usize) -> Result<Tensor> {
    qkv.apply_op1_no_bwd(&AttendToAll { windows, heads })
}

/// Attention of a few queries for each slot: `queries` `(slots, heads, queries, head_width)`, `keys` and `values`
/// `(slots, heads, positions, head_width)`, all of them views of any gaps, `seen` `(slots * queries)` in u32: how many
/// positions a query sees, at most all of these; nothing is zeros. Returns `(slots * queries, heads * head_width)`.
pub(super) fn attend_few(
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    seen: &Tensor,
) -> Result<Tensor> {
    queries.apply_op3_no_bwd(keys, values, &AttendFew { seen })
}

/// As [`attend_few`] for tokens of a decoder, `qkv` `(slots * queries, 3 * width)`: puts their keys and values in `shelf`,
/// `(2, slots, heads, capacity, head_width)`, at the last position that each sees. The tokens of a slot follow each
/// other, and each sees one position more than the one before it.
pub(super) fn append_and_attend(qkv: &Tensor, shelf: &Tensor, seen: &Tensor) -> Result<Tensor> {
    qkv.apply_op1_no_bwd(&AppendAndAttend { shelf, seen })
}

/// Of each row of `logits`, `(rows, vocab)`, with `mask` `(vocab)`, in f32, added to it: the first of the highest ones,
/// its logit, and the logarithm of the sum of all exponentials, `(rows, 3)` in f32. `vocab` where none is a number.
pub(super) fn best_tokens(logits: &Tensor, mask: &Tensor) -> Result<Tensor> {
    logits.apply_op1_no_bwd(&BestTokens { mask })
}

/// Adds `bias` to each row of a product that has no other user, and does what comes then, in its place.
pub(super) fn finish(product: &Tensor, bias: &Tensor, then: Then<'_>) -> Result<()> {
    product.inplace_op1(&Finish { bias, then })
}

struct AttendToAll {
    windows: usize,
    heads: usize,
}

struct AttendFew<'a> {
    seen: &'a Tensor,
}

struct AppendAndAttend<'a> {
    shelf: &'a Tensor,
    seen: &'a Tensor,
}

struct BestTokens<'a> {
    mask: &'a Tensor,
}

struct Finish<'a> {
    bias: &'a Tensor,
    then: Then<'a>,
}

/// The window of an [`AttendToAll`], of contiguous values.
#[derive(Debug)]
struct AllShape {
    start: usize,
    positions: usize,
    head_width: usize,
}

/// Where an [`AttendFew`] finds what, counted in halves.
#[derive(Debug)]
struct FewShape {
    slots: usize,
    heads: usize,
    queries: usize,
    head_width: usize,
    /// Of the queries.
    slot_stride: usize,
    query_stride: usize,
    head_stride: usize,
    /// Positions from a head's keys to those of the next head; the same for values.
    capacity: usize,
}

impl AttendToAll {
    fn shape(&self, layout: &Layout) -> Result<AllShape> {
        let (rows, all) = layout.shape().dims2()?;
        let Some((start, _)) = layout.contiguous_offsets() else {
            bail!("expected contiguous queries, keys and values, found {layout:?}");
        };
        Ok(AllShape {
            start,
            positions: rows / self.windows,
            head_width: all / 3 / self.heads,
        })
    }

    fn out_shape(&self, shape: &AllShape) -> Shape {
        let width = self.heads * shape.head_width;
        (self.windows * shape.positions, width).into()
    }
}

impl AppendAndAttend<'_> {
    fn shape(&self, qkv: &Layout) -> Result<FewShape> {
        let (rows, all) = qkv.shape().dims2()?;
        let (_, slots, heads, capacity, head_width) = self.shelf.dims5()?;
        let width = heads * head_width;
        let strides = [capacity * head_width, head_width, 1];
        if qkv.contiguous_offsets().is_none()
            || all != 3 * width
            || self.shelf.stride()[1..] != [&[heads * capacity * head_width], &strides[..]].concat()
        {
            bail!(
                "expected contiguous values for a shelf, found {qkv:?} for {:?}",
                self.shelf.layout()
            );
        }
        let queries = rows / slots;
        Ok(FewShape {
            slots,
            heads,
            queries,
            head_width,
            slot_stride: queries * all,
            query_stride: all,
            head_stride: head_width,
            capacity,
        })
    }
}

impl FewShape {
    fn new(queries: &Layout, keys: &Layout, values: &Layout) -> Result<Self> {
        let (slots, heads, count, head_width) = queries.shape().dims4()?;
        let (_, _, positions, _) = keys.shape().dims4()?;
        let [slot_stride, head_stride, query_stride, 1] = *queries.stride() else {
            bail!("expected the values of a query beside each other, found {queries:?}");
        };
        let capacity = keys
            .stride()
            .get(1)
            .map_or(0, |of_head| of_head / head_width);
        let strides = [
            heads * capacity * head_width,
            capacity * head_width,
            head_width,
            1,
        ];
        for side in [keys, values] {
            if side.dims() != [slots, heads, positions, head_width]
                || side.stride() != strides
                || capacity < positions
            {
                bail!("expected keys and values of a shelf, found {side:?}");
            }
        }
        Ok(Self {
            slots,
            heads,
            queries: count,
            head_width,
            slot_stride,
            query_stride,
            head_stride,
            capacity,
        })
    }

    fn out_shape(&self) -> Shape {
        (self.slots * self.queries, self.heads * self.head_width).into()
    }
}

impl CustomOp1 for AttendToAll {
    fn name(&self) -> &'static str {
        "attend_to_all"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        host::attend_to_all(self, qkv, layout)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, qkv: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        cuda::attend_to_all(self, qkv, layout)
    }
}

impl CustomOp3 for AttendFew<'_> {
    fn name(&self) -> &'static str {
        "attend_few"
    }

    fn cpu_fwd(
        &self,
        queries: &CpuStorage,
        queries_layout: &Layout,
        keys: &CpuStorage,
        keys_layout: &Layout,
        values: &CpuStorage,
        values_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = FewShape::new(queries_layout, keys_layout, values_layout)?;
        let layouts = [queries_layout, keys_layout, values_layout];
        host::attend_few(&shape, [queries, keys, values], layouts, self.seen)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        queries: &CudaStorage,
        queries_layout: &Layout,
        keys: &CudaStorage,
        keys_layout: &Layout,
        values: &CudaStorage,
        values_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let shape = FewShape::new(queries_layout, keys_layout, values_layout)?;
        let layouts = [queries_layout, keys_layout, values_layout];
        cuda::attend_few(&shape, [queries, keys, values], layouts, self.seen)
    }
}

impl CustomOp1 for AppendAndAttend<'_> {
    fn name(&self) -> &'static str {
        "append_and_attend"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        host::append_and_attend(self, qkv, layout)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, qkv: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        cuda::append_and_attend(self, qkv, layout)
    }
}

impl CustomOp1 for BestTokens<'_> {
    fn name(&self) -> &'static str {
        "best_tokens"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        host::best_tokens(self, logits, layout)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, logits: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        cuda::best_tokens(self, logits, layout)
    }
}

impl InplaceOp1 for Finish<'_> {
    fn name(&self) -> &'static str {
        "finish"
    }

    fn cpu_fwd(&self, product: &mut CpuStorage, layout: &Layout) -> Result<()> {
        host::finish(self, product, layout)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, product: &mut CudaStorage, layout: &Layout) -> Result<()> {
        cuda::finish(self, product, layout)
    }
}
