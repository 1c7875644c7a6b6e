//! The operations of the network on tensors: in f32 on the CPU by the loops of `vector` on host slices, else by Candle.
//!
//! This file and `vector` are the seam for faster kernels: `attention`, `encoder` and `decoder` only say what is
//! computed. All tensors are contiguous unless said otherwise. What Candle computes here must work on a GPU, where a
//! matrix product wants rows without gaps, and everything else contiguous values.

use candle_core::{
    CpuStorage, D, DType, Device, InplaceOp1, Layout, Result, Storage, Tensor, bail,
};
use half::{f16, slice::HalfFloatSliceExt};
use rayon::prelude::*;

#[cfg(feature = "testing")]
use super::elsewhere;
use super::{fused, prediction::Best, vector};

pub(super) use super::then::Then;

/// Below this many multiplications an operation stays on one thread: waking another one costs 10 to 50 µs.
pub(super) const PARALLEL_FROM: usize = 1 << 20;
/// The same for products of few rows, whose weights come from memory: one thread gets little more than half of what two
/// do.
const PARALLEL_PRODUCTS_FROM: usize = 1 << 16;

/// Up to this many rows a linear layer is read row by row; above, Candle's blocked product is faster.
const FEW_ROWS: usize = 16;

/// `x · weightᵀ + bias`, and what follows. `x`: `(rows, in)`, `weight`: `(out, in)`, `bias`: `(out)`. `has_fused`: whether
/// there are [kernels of our own](fused) for these tensors.
pub(super) fn linear(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    then: Then<'_>,
    has_fused: bool,
) -> Result<Tensor> {
    if !is_host(x) {
        let product = x.matmul(&weight.t()?)?;
        if has_fused && fused::can_finish(weight.dim(0)?) {
            fused::finish(&product, bias, then)?;
            return Ok(product);
        }
        return finish_by_candle(&product, bias, then);
    }
    let product = products(x, weight)?;
    let width = weight.dim(0)?;
    with_slice(bias, |bias| {
        for_rows(&product, width, |row| match then {
            Then::Gelu => vector::gelu(row, bias),
            Then::Nothing | Then::Add(_) => vector::add(row, bias),
        })
    })??;
    if let Then::Add(other) = then {
        add_in_place(&product, other)?;
    }
    Ok(product)
}

/// Adds `bias` to each row of a product, and does what comes then, on any device.
pub(super) fn finish_by_candle(product: &Tensor, bias: &Tensor, then: Then<'_>) -> Result<Tensor> {
    let sum = product.broadcast_add(bias)?;
    match then {
        Then::Nothing => Ok(sum),
        Then::Gelu => sum.gelu_erf(),
        Then::Add(other) => sum + other,
    }
}

/// `x · matrixᵀ`: `(rows, in)`, `(out, in)` → `(rows, out)`.
pub(super) fn products(x: &Tensor, matrix: &Tensor) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    let outs = matrix.dim(0)?;
    if !is_host(x) || rows > FEW_ROWS {
        return x.matmul(&matrix.t()?);
    }
    let mut out = vec![0.0; rows * outs];
    with_slice(x, |x| {
        with_slice(matrix, |matrix| {
            let inputs: Vec<&[f32]> = x.chunks_exact(width).collect();
            few_products(matrix, &inputs, &mut out);
        })
    })??;
    Tensor::from_vec(out, (rows, outs), &Device::Cpu)
}

/// Layer norm over the last dimension of `(rows, width)`.
pub(super) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    if !is_host(x) {
        return candle_nn::ops::layer_norm(x, weight, bias, kernels::math::LAYER_NORM_EPSILON);
    }
    let (rows, width) = x.dims2()?;
    let mut out = kernels::zeros(rows * width);
    with_slices([x, weight, bias].map(Some), |[x, weight, bias]| {
        let row = |(out, x): (&mut [f32], &[f32])| vector::layer_norm(x, weight, bias, out);
        if x.len() * NORM_COST < PARALLEL_FROM {
            out.chunks_mut(width).zip(x.chunks(width)).for_each(row);
        } else {
            out.par_chunks_mut(width)
                .zip(x.par_chunks(width))
                .with_min_len(ROWS_PER_TASK)
                .for_each(row);
        }
    })?;
    Tensor::from_vec(out, (rows, width), &Device::Cpu)
}

/// Rows that are handled together by one thread, so that a task is worth its dispatch.
pub(super) const ROWS_PER_TASK: usize = 32;
/// Multiplications per value that a norm or an activation is worth.
const NORM_COST: usize = 8;

/// The three taps of a convolution of width 3 with padding 1 beside each other: `(windows, length, channels)` →
/// `(windows * length / stride, 3 * channels)`, tap by tap, for stride 1 or 2 and an even length.
pub(super) fn unfold(x: &Tensor, stride: usize) -> Result<Tensor> {
    let (windows, length, channels) = x.dims3()?;
    let steps = length / stride;
    if !is_host(x) {
        let padded = x.pad_with_zeros(1, 1, 1)?;
        let tap = |tap: usize| {
            padded
                .narrow(1, tap, steps * stride)?
                .reshape((windows * steps, stride, channels))?
                .narrow(1, 0, 1)?
                .squeeze(1)
        };
        return Tensor::cat(&[tap(0)?, tap(1)?, tap(2)?], 1);
    }
    let mut out = kernels::zeros(windows * steps * 3 * channels);
    with_slice(x, |x| {
        let row = |(row, out): (usize, &mut [f32])| {
            let (window, step) = (row / steps, row % steps);
            let x = &x[window * length * channels..];
            for (tap, out) in out.chunks_exact_mut(channels).enumerate() {
                // Position −1 and position `length` are the padding, already zero.
                if let Some(position) = (step * stride + tap).checked_sub(1)
                    && position < length
                {
                    out.copy_from_slice(&x[position * channels..][..channels]);
                }
            }
        };
        out.par_chunks_mut(3 * channels)
            .enumerate()
            .with_min_len(ROWS_PER_TASK)
            .for_each(row);
    })?;
    Tensor::from_vec(out, (windows * steps, 3 * channels), &Device::Cpu)
}

/// Softmax over the last dimension; on the CPU in place, so `x` must be the only owner of its values.
pub(super) fn softmax(x: Tensor) -> Result<Tensor> {
    if !is_host(&x) {
        // Candle's CUDA kernel sums in f32 whatever it reads; its loop for the CPU, which only tests come to, sums in
        // the number type of `x`, and f16 stops growing at a thousand positions.
        if x.device().is_cpu() {
            let wide = candle_nn::ops::softmax_last_dim(&x.to_dtype(DType::F32)?)?;
            return wide.to_dtype(x.dtype());
        }
        return candle_nn::ops::softmax_last_dim(&x);
    }
    let width = x.dim(D::Minus1)?;
    for_rows(&x, width, vector::softmax)?;
    Ok(x)
}

/// Rows `tokens` of the embedding plus rows `positions` of the position table: `(tokens, width)`.
pub(super) fn embed(
    table: &Tensor,
    position_table: &Tensor,
    tokens: &[u32],
    positions: &[u32],
) -> Result<Tensor> {
    let pick =
        |table: &Tensor, rows: &[u32]| table.index_select(&Tensor::new(rows, table.device())?, 0);
    pick(table, tokens)? + pick(position_table, positions)?
}

/// The rows of `(rows, width)` as host vectors, in f32.
pub(super) fn to_host_rows(x: &Tensor) -> Result<Vec<Vec<f32>>> {
    if is_host(x) {
        let width = x.dim(1)?;
        return with_slice(x, |x| x.chunks_exact(width).map(<[f32]>::to_vec).collect());
    }
    if x.dtype() != DType::F16 {
        return x.to_vec2();
    }
    // Widened here: half as much has to come from the device.
    let narrow: Vec<Vec<f16>> = x.to_vec2()?;
    let widen = |narrow: Vec<f16>| {
        let mut wide = vec![0.0; narrow.len()];
        narrow.convert_to_f32_slice(&mut wide);
        wide
    };
    Ok(narrow.into_par_iter().map(widen).collect())
}

/// Finds the best token of rows of logits on their device, where what would come to the host is a ten-thousandth.
#[derive(Debug)]
pub(super) struct BestTokens {
    /// 0 for tokens that may be said, −∞ for others.
    mask: Tensor,
    /// Each token's number, which f32 holds exactly.
    numbers: Tensor,
    /// A number behind all.
    none: Tensor,
    /// Whether there is a [kernel of our own](fused::best_tokens) for logits in f16.
    has_fused: bool,
}

impl BestTokens {
    /// `forbidden` may not be said, of `vocab_size` tokens.
    pub(super) fn new(
        forbidden: &[u32],
        vocab_size: usize,
        device: &Device,
        has_fused: bool,
    ) -> Result<Self> {
        let mut mask = vec![0.0_f32; vocab_size];
        for token in forbidden {
            if let Some(value) = mask.get_mut(*token as usize) {
                *value = f32::NEG_INFINITY;
            }
        }
        let behind = vocab_size as f32;
        Ok(Self {
            mask: Tensor::from_vec(mask, vocab_size, device)?,
            numbers: Tensor::arange(0.0, behind, device)?,
            none: Tensor::full(behind, vocab_size, device)?,
            has_fused,
        })
    }

    /// `(rows, vocab)`. Of equal logits the first is the best, which is why `argmax` will not do: it takes any of them
    /// on a GPU, and in f16 many are equal.
    pub(super) fn of_rows(&self, logits: &Tensor) -> Result<Vec<Best>> {
        let found: Vec<Vec<f32>> = self.found(logits)?.to_vec2()?;
        let best = |row: &Vec<f32>| match row[..] {
            [token, logit, total] => Best {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "the number of a token"
                )]
                token: token as u32,
                logit,
                total,
            },
            _ => unreachable!("three columns were put together"),
        };
        Ok(found.iter().map(best).collect())
    }

    /// `(rows, 3)`: tokens, their logits, and the logarithms of the sums.
    pub(super) fn found(&self, logits: &Tensor) -> Result<Tensor> {
        if self.has_fused {
            return fused::best_tokens(logits, &self.mask);
        }
        self.found_by_candle(logits)
    }

    /// On any device.
    pub(super) fn found_by_candle(&self, logits: &Tensor) -> Result<Tensor> {
        let logits = logits.to_dtype(DType::F32)?.broadcast_add(&self.mask)?;
        let highest = logits.max_keepdim(1)?;
        let sums = logits.broadcast_sub(&highest)?.exp()?.sum_keepdim(1)?;
        let totals = (sums.log()? + &highest)?;
        let numbers = self.numbers.broadcast_as(logits.shape())?;
        let none = self.none.broadcast_as(logits.shape())?;
        let is_highest = logits.broadcast_eq(&highest)?;
        let tokens = is_highest.where_cond(&numbers, &none)?.min_keepdim(1)?;
        Tensor::cat(&[tokens, highest, totals], 1)
    }
}

/// Whether the loops of `vector` work on this tensor.
pub(super) fn is_host(x: &Tensor) -> bool {
    are_host(x.dtype(), x.device())
}

/// Whether the loops of `vector` work on tensors of this number type and device.
pub(crate) fn are_host(number_type: DType, device: &Device) -> bool {
    number_type == DType::F32 && is_host_device(device)
}

/// Whether the loops of `vector` work on f32 tensors of this device.
pub(super) fn is_host_device(device: &Device) -> bool {
    #[cfg(feature = "testing")]
    if elsewhere::is_pretended() {
        return false;
    }
    device.is_cpu()
}

/// Reads the values of a contiguous f32 tensor on the CPU.
pub(super) fn with_slice<R>(x: &Tensor, read: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let (storage, layout) = x.storage_and_layout();
    let Storage::Cpu(CpuStorage::F32(values)) = &*storage else {
        bail!("expected f32 values on the CPU, found {:?}", x.dtype());
    };
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("expected a contiguous tensor, found {layout:?}");
    };
    Ok(read(&values[start..end]))
}

/// As [`with_slice`] for several tensors; no values for one that is not there.
pub(super) fn with_slices<R, const N: usize>(
    tensors: [Option<&Tensor>; N],
    read: impl FnOnce([&[f32]; N]) -> R,
) -> Result<R> {
    let guards = tensors.map(|tensor| tensor.map(Tensor::storage_and_layout));
    let mut slices: [&[f32]; N] = [&[]; N];
    for (slice, guard) in slices.iter_mut().zip(&guards) {
        let Some((storage, layout)) = guard else {
            continue;
        };
        let (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) =
            (&**storage, layout.contiguous_offsets())
        else {
            bail!("expected contiguous f32 values on the CPU, found {layout:?}");
        };
        *slice = &values[start..end];
    }
    Ok(read(slices))
}

/// The products of a few inputs with a matrix, split over threads when the matrix is large.
fn few_products(matrix: &[f32], inputs: &[&[f32]], out: &mut [f32]) {
    let width = inputs.first().map_or(1, |input| input.len());
    let outs = matrix.len() / width;
    let mut rows: Vec<&mut [f32]> = out.chunks_exact_mut(outs).collect();
    if matrix.len() * inputs.len() < PARALLEL_PRODUCTS_FROM {
        return vector::products(matrix, inputs, &mut rows);
    }
    let per_task = outs.div_ceil(2 * rayon::current_num_threads());
    let mut tasks: Vec<Vec<&mut [f32]>> = Vec::new();
    tasks.resize_with(outs.div_ceil(per_task), Vec::new);
    for row in rows {
        for (task, part) in tasks.iter_mut().zip(row.chunks_mut(per_task)) {
            task.push(part);
        }
    }
    tasks
        .par_iter_mut()
        .zip(matrix.par_chunks(per_task * width))
        .for_each(|(parts, matrix)| vector::products(matrix, inputs, parts));
}

/// Changes the values of a contiguous f32 tensor on the CPU, which no tensor that is still needed may share.
pub(super) fn change(x: &Tensor, change: impl Fn(&mut [f32])) -> Result<()> {
    x.inplace_op1(&InPlace(change))
}

/// Changes each row of `width` values of a freshly made tensor on the CPU.
fn for_rows(x: &Tensor, width: usize, change_row: impl Fn(&mut [f32]) + Sync) -> Result<()> {
    change(x, |values| {
        if values.len() * NORM_COST < PARALLEL_FROM {
            values.chunks_mut(width).for_each(&change_row);
        } else {
            let rows_per_task = ROWS_PER_TASK.min(values.len() / width / 2 + 1);
            values
                .par_chunks_mut(width)
                .with_min_len(rows_per_task)
                .for_each(&change_row);
        }
    })
}

fn add_in_place(x: &Tensor, other: &Tensor) -> Result<()> {
    with_slice(other, |other| {
        change(x, |values| {
            const PIECE: usize = 1 << 14;
            if values.len() * NORM_COST < PARALLEL_FROM {
                vector::add(values, other);
            } else {
                values
                    .par_chunks_mut(PIECE)
                    .zip(other.par_chunks(PIECE))
                    .for_each(|(values, other)| vector::add(values, other));
            }
        })
    })?
}

/// A change of the values of a contiguous f32 tensor on the CPU.
struct InPlace<F>(F);

impl<F: Fn(&mut [f32])> InplaceOp1 for InPlace<F> {
    fn name(&self) -> &'static str {
        "in-place loop"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let CpuStorage::F32(values) = storage else {
            bail!("expected f32 values");
        };
        let Some((start, end)) = layout.contiguous_offsets() else {
            bail!("expected a contiguous tensor, found {layout:?}");
        };
        (self.0)(&mut values[start..end]);
        Ok(())
    }
}
