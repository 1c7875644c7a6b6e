//! Weights by name.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    LoadError,
    files::WeightFile,
    forms::Form,
    stored::{Stored, Unreadable},
};

/// The tensors of a checkpoint by the names of transformers' `WhisperForConditionalGeneration`, without `model.`.
pub(crate) struct Tensors<'a> {
    stored: HashMap<String, Stored<'a>>,
    first_file: &'a Path,
    values_read: AtomicU64,
}

impl<'a> Tensors<'a> {
    pub(super) fn new(form: Form, files: &'a [WeightFile]) -> Result<Self, LoadError> {
        let stored = form.tensors(files)?.into_iter();
        Ok(Self {
            stored: stored.map(|tensor| (tensor.name.clone(), tensor)).collect(),
            values_read: AtomicU64::new(0),
            first_file: files
                .first()
                .map_or_else(|| Path::new("weights"), |file| file.path()),
        })
    }

    /// The values of `name` as f32, row-major, after checking shape and finiteness.
    pub(crate) fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LoadError> {
        let stored = self.stored(name)?;
        let path = || stored.path.to_path_buf();
        let tensor = || stored.called.clone();
        if stored.shape != shape {
            return Err(LoadError::TensorShape {
                path: path(),
                tensor: tensor(),
                expected: shape.to_vec(),
                found: stored.shape.clone(),
            });
        }
        let values = stored.values.to_f32(shape).map_err(|error| match error {
            Unreadable::Type(found) => LoadError::TensorType {
                path: path(),
                tensor: tensor(),
                found,
            },
            Unreadable::Length => LoadError::TensorLength {
                path: path(),
                tensor: tensor(),
            },
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
        let stored = self.stored(name)?;
        let first = stored.shape.first().copied();
        first.ok_or_else(|| missing(self.first_file, name))
    }

    fn stored(&self, name: &str) -> Result<&Stored<'a>, LoadError> {
        let stored = self.stored.get(name);
        stored.ok_or_else(|| missing(self.first_file, name))
    }
}

fn missing(file: &Path, name: &str) -> LoadError {
    LoadError::TensorMissing {
        path: PathBuf::from(file),
        tensor: name.to_owned(),
    }
}
