//! What the kernels for GPUs compute, by plain loops on the CPU. Only tests come here: what they hand over is what a GPU's
//! kernels would get.

use candle_core::{CpuStorage, Layout, Result, Shape, Storage, Tensor, bail};
use half::f16;

use super::{AppendAndAttend, AttendToAll, BestTokens, FewShape, Finish, Then};
use crate::model::vector;

pub(super) fn attend_to_all(
    op: &AttendToAll,
    qkv: &CpuStorage,
    layout: &Layout,
) -> Result<(CpuStorage, Shape)> {
    let shape = op.shape(layout)?;
    let qkv = &halves(qkv)?[shape.start..];
    let width = op.heads * shape.head_width;
    let mut out = Vec::with_capacity(qkv.len() / 3);
    for row in 0..op.windows * shape.positions {
        let window = row / shape.positions * shape.positions;
        for head in 0..op.heads {
            let part = |row: usize, part: usize| {
                let at = row * 3 * width + part * width + head * shape.head_width;
                &qkv[at..][..shape.head_width]
            };
            let rows = window..window + shape.positions;
            let keys = rows.clone().map(|row| part(row, 1));
            out.extend(attend(part(row, 0), keys, rows.map(|row| part(row, 2))));
        }
    }
    Ok((CpuStorage::F16(out), op.out_shape(&shape)))
}

pub(super) fn attend_few(
    shape: &FewShape,
    storages: [&CpuStorage; 3],
    layouts: [&Layout; 3],
    seen: &Tensor,
) -> Result<(CpuStorage, Shape)> {
    let [queries, keys, values] = storages;
    let (queries, keys, values) = (halves(queries)?, halves(keys)?, halves(values)?);
    let [own, of_keys, of_values] = layouts.map(Layout::start_offset);
    let seen: Vec<u32> = seen.to_vec1()?;
    let mut out = Vec::new();
    for (row, seen) in (0..shape.slots * shape.queries).zip(seen) {
        let (slot, query) = (row / shape.queries, row % shape.queries);
        for head in 0..shape.heads {
            let at = own
                + slot * shape.slot_stride
                + query * shape.query_stride
                + head * shape.head_stride;
            let side = |values: &'_ [f16], start: usize| {
                let first = (slot * shape.heads + head) * shape.capacity * shape.head_width;
                values[start + first..][..seen as usize * shape.head_width].to_vec()
            };
            let (keys, values) = (side(keys, of_keys), side(values, of_values));
            out.extend(attend(
                &queries[at..][..shape.head_width],
                keys.chunks_exact(shape.head_width),
                values.chunks_exact(shape.head_width),
            ));
        }
    }
    Ok((CpuStorage::F16(out), shape.out_shape()))
}

pub(super) fn append_and_attend(
    op: &AppendAndAttend<'_>,
    qkv: &CpuStorage,
    layout: &Layout,
) -> Result<(CpuStorage, Shape)> {
    let shape = op.shape(layout)?;
    let qkv = &halves(qkv)?[layout.start_offset()..];
    let width = shape.heads * shape.head_width;
    let seen: Vec<u32> = op.seen.to_vec1()?;
    for (row, seen) in seen.iter().enumerate().filter(|(_, seen)| **seen > 0) {
        for part in 0..2 {
            let own = &qkv[row * 3 * width + (1 + part) * width..][..width];
            let own = Tensor::new(own, op.shelf.device())?;
            let own = own.reshape((1, shape.heads, 1, shape.head_width))?;
            op.shelf
                .get(part)?
                .narrow(0, row / shape.queries, 1)?
                .slice_set(&own, 2, *seen as usize - 1)?;
        }
    }
    let [keys, values] = [op.shelf.get(0)?, op.shelf.get(1)?];
    let queries = CpuStorage::F16(qkv.to_vec());
    let (keys, keys_layout) = keys.storage_and_layout();
    let (values, values_layout) = values.storage_and_layout();
    let (Storage::Cpu(keys), Storage::Cpu(values)) = (&*keys, &*values) else {
        bail!("expected a shelf on the CPU");
    };
    let layouts = [&Layout::contiguous(1), keys_layout, values_layout];
    attend_few(&shape, [&queries, keys, values], layouts, op.seen)
}

pub(super) fn best_tokens(
    op: &BestTokens<'_>,
    logits: &CpuStorage,
    layout: &Layout,
) -> Result<(CpuStorage, Shape)> {
    let (rows, vocab) = layout.shape().dims2()?;
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("expected contiguous logits, found {layout:?}");
    };
    let mask: Vec<f32> = op.mask.to_vec1()?;
    let mut out = Vec::with_capacity(3 * rows);
    for row in halves(logits)?[start..end].chunks_exact(vocab) {
        let masked = row.iter().zip(&mask);
        let logits: Vec<f32> = masked.map(|(logit, mask)| logit.to_f32() + mask).collect();
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let first = logits.iter().position(|logit| *logit >= highest);
        let total = vector::log_sum_exp(&logits);
        out.extend([first.unwrap_or(vocab) as f32, highest, total]);
    }
    Ok((CpuStorage::F32(out), (rows, 3).into()))
}

pub(super) fn finish(op: &Finish<'_>, product: &mut CpuStorage, layout: &Layout) -> Result<()> {
    let (CpuStorage::F16(product), Some((start, end))) = (product, layout.contiguous_offsets())
    else {
        bail!("expected contiguous halves, found {layout:?}");
    };
    let bias = of_tensor(op.bias)?;
    let other = match op.then {
        Then::Add(other) => of_tensor(other)?,
        Then::Nothing | Then::Gelu => vec![f16::ZERO; end - start],
    };
    for (index, (value, other)) in product[start..end].iter_mut().zip(other).enumerate() {
        let mut sum = [value.to_f32() + other.to_f32()];
        let bias = [bias[index % bias.len()].to_f32()];
        match op.then {
            Then::Gelu => vector::gelu(&mut sum, &bias),
            Then::Nothing | Then::Add(_) => vector::add(&mut sum, &bias),
        }
        *value = f16::from_f32(sum[0]);
    }
    Ok(())
}

fn attend<'a>(
    query: &[f16],
    keys: impl Iterator<Item = &'a [f16]>,
    values: impl Iterator<Item = &'a [f16]>,
) -> Vec<f16> {
    let product = |key: &[f16]| -> f32 {
        let pairs = query.iter().zip(key);
        pairs.map(|(a, b)| a.to_f32() * b.to_f32()).sum()
    };
    let mut weights: Vec<f32> = keys.map(product).collect();
    vector::softmax(&mut weights);
    let mut out = vec![0.0; query.len()];
    for (weight, value) in weights.into_iter().zip(values) {
        for (out, value) in out.iter_mut().zip(value) {
            *out += weight * value.to_f32();
        }
    }
    out.into_iter().map(f16::from_f32).collect()
}

fn halves(storage: &CpuStorage) -> Result<&[f16]> {
    match storage {
        CpuStorage::F16(values) => Ok(values),
        _ => bail!("expected halves"),
    }
}

fn of_tensor(x: &Tensor) -> Result<Vec<f16>> {
    let (storage, layout) = x.storage_and_layout();
    let (Storage::Cpu(storage), Some((start, end))) = (&*storage, layout.contiguous_offsets())
    else {
        bail!("expected contiguous values on the CPU, found {layout:?}");
    };
    Ok(halves(storage)?[start..end].to_vec())
}
