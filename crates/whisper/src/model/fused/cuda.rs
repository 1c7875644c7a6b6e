//! Starts the kernels on a GPU.
//!
//! Bounds are checked here, before a kernel is started: the kernels themselves trust what they are told.

use candle_core::cuda_backend::{
    CudaDType, CudaDevice, WrapErr,
    cudarc::driver::{CudaSlice, CudaView, DeviceRepr, LaunchArgs, LaunchConfig, PushKernelArg},
};
use candle_core::{
    CudaStorage, Layout, Result, Shape, Storage, Tensor, backend::BackendStorage, bail,
};
use half::f16;

use super::{AppendAndAttend, AttendToAll, BestTokens, FewShape, Finish, LOAD, Then};

/// What build.rs made of the sources, which the driver compiles for its GPU.
const ATTENTION: &str = include_str!(concat!(env!("OUT_DIR"), "/attention.ptx"));
const BEST: &str = include_str!(concat!(env!("OUT_DIR"), "/best.ptx"));
const FINISH: &str = include_str!(concat!(env!("OUT_DIR"), "/finish.ptx"));

/// As attention.cu has them.
const QUERIES_OF_BLOCK: usize = 64;
const THREADS_TO_ALL: u32 = 128;
const THREADS_OF_FEW: u32 = 512;
/// As best.cu has it.
const THREADS_OF_BEST: u32 = 1024;
/// As finish.cu has it.
const THREADS_OF_FINISH: u32 = 256;

pub(super) fn attend_to_all(
    op: &AttendToAll,
    qkv: &CudaStorage,
    layout: &Layout,
) -> Result<(CudaStorage, Shape)> {
    let shape = op.shape(layout)?;
    let name = for_heads(shape.head_width, ["attend_to_all_32", "attend_to_all_64"])?;
    let device = qkv.device();
    let out_shape = op.out_shape(&shape);
    let from = values::<f16>(qkv, layout)?;
    let out = room(device, out_shape.elem_count())?;
    let positions = i32::try_from(shape.positions)?;
    let function = device.get_or_load_custom_func(name, "attention", ATTENTION)?;
    let mut launch = function.builder();
    launch.arg(&from).arg(&out).arg(&positions);
    let config = LaunchConfig {
        grid_dim: (
            u32::try_from(shape.positions.div_ceil(QUERIES_OF_BLOCK))?,
            u32::try_from(op.heads)?,
            u32::try_from(op.windows)?,
        ),
        block_dim: (THREADS_TO_ALL, 1, 1),
        shared_mem_bytes: 0,
    };
    start(&mut launch, config)?;
    Ok((f16::wrap_cuda_slice(out, device.clone()), out_shape))
}

pub(super) fn attend_few(
    shape: &FewShape,
    storages: [&CudaStorage; 3],
    layouts: [&Layout; 3],
    seen: &Tensor,
) -> Result<(CudaStorage, Shape)> {
    let name = for_heads(shape.head_width, ["attend_few_32", "attend_few_64"])?;
    let strides = [shape.slot_stride, shape.query_stride, shape.head_stride];
    if strides.iter().any(|stride| stride % LOAD != 0) {
        bail!("expected queries at multiples of {LOAD}, found {shape:?}");
    }
    check_seen(shape, seen)?;
    let (seen_storage, seen_layout) = seen.storage_and_layout();
    let seen_storage = of_gpu(&seen_storage)?;
    let [queries, keys, values_of] = storages;
    let [of_queries, of_keys, of_values] = layouts;
    let device = queries.device();
    let out_shape = shape.out_shape();
    let out = room(device, out_shape.elem_count())?;
    let queries = values::<f16>(queries, of_queries)?;
    let keys = values::<f16>(keys, of_keys)?;
    let values = values::<f16>(values_of, of_values)?;
    let seen = self::values::<u32>(seen_storage, seen_layout)?;
    let [slot_stride, query_stride, head_stride] = strides.map(u32::try_from);
    let (slot_stride, query_stride, head_stride) = (slot_stride?, query_stride?, head_stride?);
    let capacity = u32::try_from(shape.capacity)?;
    let function = device.get_or_load_custom_func(name, "attention", ATTENTION)?;
    let mut launch = function.builder();
    launch
        .arg(&queries)
        .arg(&keys)
        .arg(&values)
        .arg(&seen)
        .arg(&out)
        .arg(&slot_stride)
        .arg(&query_stride)
        .arg(&head_stride)
        .arg(&capacity);
    start(&mut launch, blocks_of_few(shape)?)?;
    Ok((f16::wrap_cuda_slice(out, device.clone()), out_shape))
}

pub(super) fn append_and_attend(
    op: &AppendAndAttend<'_>,
    qkv: &CudaStorage,
    layout: &Layout,
) -> Result<(CudaStorage, Shape)> {
    let shape = op.shape(layout)?;
    let name = for_heads(
        shape.head_width,
        ["append_and_attend_32", "append_and_attend_64"],
    )?;
    check_seen(&shape, op.seen)?;
    let device = qkv.device();
    let out_shape = shape.out_shape();
    let out = room(device, out_shape.elem_count())?;
    let qkv = values::<f16>(qkv, layout)?;
    let (shelf, shelf_layout) = op.shelf.storage_and_layout();
    let shelf = values::<f16>(of_gpu(&shelf)?, shelf_layout)?;
    // The kernel writes there. Other readers of a shelf wait for it, as all work does on the one stream of a device.
    let (keys, values_of) = (shelf.slice(..), shelf.slice(op.shelf.stride()[0]..));
    let (seen, seen_layout) = op.seen.storage_and_layout();
    let seen = values::<u32>(of_gpu(&seen)?, seen_layout)?;
    let capacity = u32::try_from(shape.capacity)?;
    let function = device.get_or_load_custom_func(name, "attention", ATTENTION)?;
    let mut launch = function.builder();
    launch
        .arg(&qkv)
        .arg(&keys)
        .arg(&values_of)
        .arg(&seen)
        .arg(&out)
        .arg(&capacity);
    start(&mut launch, blocks_of_few(&shape)?)?;
    Ok((f16::wrap_cuda_slice(out, device.clone()), out_shape))
}

pub(super) fn best_tokens(
    op: &BestTokens<'_>,
    logits: &CudaStorage,
    layout: &Layout,
) -> Result<(CudaStorage, Shape)> {
    let (rows, vocab) = layout.shape().dims2()?;
    let (mask, mask_layout) = op.mask.storage_and_layout();
    if layout.contiguous_offsets().is_none() || mask_layout.dims() != [vocab] {
        bail!("expected contiguous logits and a mask, found {layout:?} and {mask_layout:?}");
    }
    let device = logits.device();
    let logits = logits
        .as_cuda_slice::<f16>()?
        .slice(layout.start_offset()..);
    let mask = values::<f32>(of_gpu(&mask)?, mask_layout)?;
    let out = room::<f32>(device, 3 * rows)?;
    let width = u32::try_from(vocab)?;
    let function = device.get_or_load_custom_func("best_tokens", "best", BEST)?;
    let mut launch = function.builder();
    launch.arg(&logits).arg(&mask).arg(&out).arg(&width);
    let config = LaunchConfig {
        grid_dim: (u32::try_from(rows)?, 1, 1),
        block_dim: (THREADS_OF_BEST, 1, 1),
        shared_mem_bytes: 0,
    };
    start(&mut launch, config)?;
    Ok((f32::wrap_cuda_slice(out, device.clone()), (rows, 3).into()))
}

/// Of the names of a kernel for heads of 32 and of 64 the one to start.
fn for_heads(head_width: usize, [of_32, of_64]: [&'static str; 2]) -> Result<&'static str> {
    match head_width {
        32 => Ok(of_32),
        64 => Ok(of_64),
        other => bail!("there is no kernel for heads of {other}"),
    }
}

/// A block for each head, query and slot.
fn blocks_of_few(shape: &FewShape) -> Result<LaunchConfig> {
    Ok(LaunchConfig {
        grid_dim: (
            u32::try_from(shape.heads)?,
            u32::try_from(shape.queries)?,
            u32::try_from(shape.slots)?,
        ),
        block_dim: (THREADS_OF_FEW, 1, 1),
        shared_mem_bytes: 0,
    })
}

fn check_seen(shape: &FewShape, seen: &Tensor) -> Result<()> {
    if seen.dims() == [shape.slots * shape.queries] {
        Ok(())
    } else {
        bail!("expected a count for each query of {shape:?}, found {seen:?}")
    }
}

fn of_gpu(storage: &Storage) -> Result<&CudaStorage> {
    match storage {
        Storage::Cuda(storage) => Ok(storage),
        _ => bail!("expected a tensor on the GPU"),
    }
}

pub(super) fn finish(op: &Finish<'_>, product: &mut CudaStorage, layout: &Layout) -> Result<()> {
    let (rows, width) = layout.shape().dims2()?;
    let Some((first, end)) = layout.contiguous_offsets() else {
        bail!("expected a contiguous product, found {layout:?}");
    };
    let (name, other) = match op.then {
        Then::Nothing => ("finish", None),
        Then::Gelu => ("finish_gelu", None),
        Then::Add(other) => ("finish_add", Some(other)),
    };
    // Of the same length as the product, which is read as another where there is none.
    let other = other.unwrap_or(op.bias);
    let (bias_storage, bias_layout) = op.bias.storage_and_layout();
    let (other_storage, other_layout) = other.storage_and_layout();
    let [bias_storage, other_storage] = [of_gpu(&bias_storage)?, of_gpu(&other_storage)?];
    let is_whole = matches!(op.then, Then::Add(_)).then_some([rows, width]);
    if width % LOAD != 0
        || op.bias.dims() != [width]
        || is_whole.is_some_and(|dims| other.dims() != dims || !other_layout.is_contiguous())
    {
        bail!("expected a bias for {layout:?}, and what is added of its shape");
    }
    let bias = values::<f16>(bias_storage, bias_layout)?;
    let other = values::<f16>(other_storage, other_layout)?;
    let device = product.device().clone();
    let product = product.as_cuda_slice_mut::<f16>()?;
    let mut product = product.slice_mut(first..end);
    let loads_of_row = u32::try_from(width / LOAD)?;
    let loads = u32::try_from(rows * width / LOAD)?;
    let function = device.get_or_load_custom_func(name, "finish", FINISH)?;
    let mut launch = function.builder();
    launch
        .arg(&mut product)
        .arg(&bias)
        .arg(&other)
        .arg(&loads_of_row)
        .arg(&loads);
    let config = LaunchConfig {
        grid_dim: (loads.div_ceil(THREADS_OF_FINISH), 1, 1),
        block_dim: (THREADS_OF_FINISH, 1, 1),
        shared_mem_bytes: 0,
    };
    start(&mut launch, config)
}

/// From where a tensor begins, which must be at whole loads.
fn values<'a, T: CudaDType>(storage: &'a CudaStorage, layout: &Layout) -> Result<CudaView<'a, T>> {
    let first = layout.start_offset();
    if first % LOAD != 0 {
        bail!("expected a tensor that begins at a multiple of {LOAD}, found {layout:?}");
    }
    Ok(storage.as_cuda_slice::<T>()?.slice(first..))
}

#[expect(
    unsafe_code,
    reason = "memory that a kernel is to fill is allocated without values"
)]
fn room<T: DeviceRepr>(device: &CudaDevice, count: usize) -> Result<CudaSlice<T>> {
    // SAFETY: callers hand it to a kernel that writes each value, and no value is read before.
    unsafe { device.alloc(count) }
}

#[expect(
    unsafe_code,
    reason = "nobody but us knows what a kernel reads and writes"
)]
fn start(launch: &mut LaunchArgs<'_>, config: LaunchConfig) -> Result<()> {
    // SAFETY: the arguments are those of the kernel in cuda/kernels, in its order, and the shapes that they were
    // checked against above bound what it reads and writes.
    unsafe { launch.launch(config) }.w()?;
    Ok(())
}
