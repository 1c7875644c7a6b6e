//! Weights by name.

use std::{
    collections::HashMap,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use half::{bf16, f16, slice::HalfFloatSliceExt};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::{LoadError, WEIGHTS, files::WeightFile};

/// The tensors of a checkpoint by the names of transformers' `WhisperForConditionalGeneration`, without `model.`.
pub(crate) struct Tensors<'a> {
    views: HashMap<String, (&'a Path, TensorView<'a>)>,
    first_file: &'a Path,
    values_read: AtomicU64,
    /// `model.` where the checkpoint was saved with its output head, empty where it was saved without.
    prefix: &'static str,
}

impl<'a> Tensors<'a> {
    pub(super) fn new(files: &'a [WeightFile]) -> Result<Self, LoadError> {
        let mut views = HashMap::new();
        for file in files {
            let header =
                SafeTensors::deserialize(file.bytes()).map_err(|source| LoadError::Header {
                    path: file.path().to_owned(),
                    source,
                })?;
            for (name, view) in header.tensors() {
                views.insert(name, (file.path(), view));
            }
        }
        let with_prefix = views.keys().any(|name| name.starts_with("model."));
        Ok(Self {
            views,
            values_read: AtomicU64::new(0),
            first_file: files
                .first()
                .map_or_else(|| Path::new(WEIGHTS), |file| file.path()),
            prefix: if with_prefix { "model." } else { "" },
        })
    }

    /// The values of `name` as f32, row-major, after checking shape and finiteness.
    pub(crate) fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LoadError> {
        self.read_stored(&format!("{}{name}", self.prefix), shape)
    }

    /// As [`Tensors::read`], for a tensor outside of the `model.` prefix.
    pub(crate) fn read_stored(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LoadError> {
        let tensor = || name.to_owned();
        let Some((path, view)) = self.views.get(name) else {
            return Err(LoadError::TensorMissing {
                path: self.first_file.to_owned(),
                tensor: tensor(),
            });
        };
        let path = || path.to_path_buf();
        if view.shape() != shape {
            return Err(LoadError::TensorShape {
                path: path(),
                tensor: tensor(),
                expected: shape.to_vec(),
                found: view.shape().to_vec(),
            });
        }
        let values = to_f32(view).ok_or_else(|| LoadError::TensorType {
            path: path(),
            tensor: tensor(),
            found: view.dtype(),
        })?;
        // Without an early end the loop becomes vector instructions; a damaged file is the rare case.
        let all_finite = values
            .iter()
            .fold(true, |finite, value| finite & value.is_finite());
        if !all_finite {
            let index = values.iter().take_while(|value| value.is_finite()).count();
            return Err(LoadError::NotFinite {
                path: path(),
                tensor: tensor(),
                index,
                found: values.get(index).copied().unwrap_or(f32::NAN),
            });
        }
        self.values_read
            .fetch_add(values.len() as u64, Ordering::Relaxed);
        Ok(values)
    }

    /// Number of values handed out so far.
    pub(crate) fn values_read(&self) -> u64 {
        self.values_read.load(Ordering::Relaxed)
    }

    /// Length of the first dimension of `name`, which config.json may not say (the feed-forward width).
    pub(crate) fn rows(&self, name: &str) -> Result<usize, LoadError> {
        let name = format!("{}{name}", self.prefix);
        self.views
            .get(&name)
            .and_then(|(_, view)| view.shape().first().copied())
            .ok_or_else(|| LoadError::TensorMissing {
                path: self.first_file.to_owned(),
                tensor: name,
            })
    }
}

/// `None` for a number type that is not read.
fn to_f32(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let bytes = view.data();
    match view.dtype() {
        Dtype::F32 => Some(
            bytes
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
        ),
        Dtype::F16 => Some(widen(bytes, f16::from_le_bytes, |from, to| {
            from.convert_to_f32_slice(to);
        })),
        Dtype::BF16 => Some(widen(bytes, bf16::from_le_bytes, |from, to| {
            from.convert_to_f32_slice(to);
        })),
        _ => None,
    }
}

/// Widens 16-bit values in pieces that stay in the cache: the vector conversion of `half` wants them aligned.
fn widen<T>(bytes: &[u8], read: fn([u8; 2]) -> T, convert: impl Fn(&[T], &mut [f32])) -> Vec<f32> {
    const PIECE: usize = 4096;
    let mut values = vec![0.0; bytes.len() / 2];
    let mut narrow = Vec::with_capacity(PIECE);
    for (from, to) in bytes.chunks(2 * PIECE).zip(values.chunks_mut(PIECE)) {
        narrow.clear();
        narrow.extend(from.chunks_exact(2).map(|b| read([b[0], b[1]])));
        convert(&narrow, to);
    }
    values
}
