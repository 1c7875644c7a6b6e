//! How weights are read from a checkpoint.

use std::cell::RefCell;

use candle_core::{Device, Shape, Tensor};
use half::{f16, slice::HalfFloatSliceExt};

use kernels::{IntMatrix, Rounding, SplitMatrix};

use super::{matrix::Matrix, norm::LayerNorm, rounding};
use crate::{
    checkpoint::{LoadError, PackedFile, Packing, Tensors},
    precision::Arithmetic,
};

/// Reads tensors below one name and puts them on the device.
#[derive(Clone)]
pub(super) struct Source<'a> {
    tensors: &'a Tensors<'a>,
    device: &'a Device,
    arithmetic: Arithmetic,
    rounding: Rounding,
    has_many_rows: bool,
    kept: Kept<'a>,
    name: String,
}

/// What becomes of weights as the model has them.
#[derive(Clone, Copy)]
pub(crate) enum Kept<'a> {
    /// They are made of the checkpoint.
    No,
    /// An earlier start kept them.
    Read(&'a PackedFile),
    /// They are kept for later starts.
    Write(&'a RefCell<Packing>),
}

impl<'a> Source<'a> {
    pub(super) fn new(
        tensors: &'a Tensors<'a>,
        device: &'a Device,
        arithmetic: Arithmetic,
        kept: Kept<'a>,
    ) -> Self {
        Self {
            tensors,
            device,
            arithmetic,
            rounding: Rounding::Int8,
            has_many_rows: false,
            kept,
            name: String::new(),
        }
    }

    /// The tensors below `name`.
    pub(super) fn at(&self, name: &str) -> Self {
        Self {
            name: self.full(name),
            ..self.clone()
        }
    }

    /// The same, where matrices in int8 are rounded so.
    pub(super) fn rounded(&self, rounding: Rounding) -> Self {
        Self {
            rounding,
            ..self.clone()
        }
    }

    /// The same, for matrices that all positions of the audio of a model of this width are multiplied with.
    pub(super) fn for_audio(&self, width: usize) -> Self {
        Self {
            has_many_rows: true,
            ..self.rounded(rounding::of_audio(width))
        }
    }

    pub(super) fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LoadError> {
        self.tensors.read(&self.full(name), shape)
    }

    /// Length of the first dimension of a tensor.
    pub(super) fn rows(&self, name: &str) -> Result<usize, LoadError> {
        self.tensors.rows(&self.full(name))
    }

    /// A tensor of the checkpoint.
    pub(super) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, LoadError> {
        self.tensor_of(name, shape, || self.read(name, shape))
    }

    /// What `compute` makes of tensors of the checkpoint.
    pub(super) fn tensor_of(
        &self,
        name: &str,
        shape: &[usize],
        compute: impl FnOnce() -> Result<Vec<f32>, LoadError>,
    ) -> Result<Tensor, LoadError> {
        let values = match self.kept {
            Kept::No => compute()?,
            Kept::Read(packed) => packed.values(&self.full(name), shape)?,
            Kept::Write(packing) => {
                let values = compute()?;
                let mut packing = packing.borrow_mut();
                packing.add_values(&self.full(name), shape, &values);
                values
            }
        };
        self.put(name, values, shape)
    }

    /// Puts `values` on the device, in the model's number type.
    pub(super) fn put(
        &self,
        name: &str,
        values: Vec<f32>,
        shape: impl Into<Shape>,
    ) -> Result<Tensor, LoadError> {
        let shape = shape.into();
        let put = match self.arithmetic {
            Arithmetic::F32 | Arithmetic::Int8(_) => Tensor::from_vec(values, shape, self.device),
            // Here and not on the device, which would need room for both.
            Arithmetic::F16 { .. } => {
                Tensor::from_vec(self.narrow(name, &values)?, shape, self.device)
            }
        };
        put.map_err(|source| LoadError::Device {
            tensor: self.full(name),
            source,
        })
    }

    fn narrow(&self, name: &str, values: &[f32]) -> Result<Vec<f16>, LoadError> {
        let mut narrow = vec![f16::ZERO; values.len()];
        narrow.convert_from_f32_slice(values);
        match narrow.iter().position(|value| !value.is_finite()) {
            None => Ok(narrow),
            Some(index) => Err(LoadError::TooLarge {
                tensor: self.full(name),
                index,
                found: values.get(index).copied().unwrap_or(f32::NAN),
            }),
        }
    }

    /// What `compute` makes of tensors of the checkpoint, `(outs, ins)`, as the model's precision has it.
    pub(super) fn matrix(
        &self,
        name: &str,
        shape: [usize; 2],
        compute: impl FnOnce() -> Result<Vec<f32>, LoadError>,
    ) -> Result<Matrix, LoadError> {
        let [_, ins] = shape;
        let Arithmetic::Int8(level) = self.arithmetic else {
            let tensor = self.put(name, compute()?, &shape[..])?;
            return Ok(Matrix::Tensor(tensor, self.arithmetic.has_fused()));
        };
        let matrix = match self.kept {
            Kept::No => IntMatrix::pack(self.rounding, &compute()?, ins),
            Kept::Read(packed) => packed.matrix(&self.full(name), self.rounding, shape)?,
            Kept::Write(packing) => {
                let matrix = IntMatrix::pack(self.rounding, &compute()?, ins);
                let mut packing = packing.borrow_mut();
                packing.add_matrix(&self.full(name), self.rounding, shape, &matrix);
                matrix
            }
        };
        let matrix = if self.has_many_rows {
            matrix.for_many_rows(level)
        } else {
            matrix
        };
        Ok(Matrix::Int(matrix, level))
    }

    /// What `compute` makes of tensors of the checkpoint, `(outs, ins)`, in two parts.
    pub(super) fn split_matrix(
        &self,
        name: &str,
        shape: [usize; 2],
        compute: impl FnOnce() -> Result<Vec<f32>, LoadError>,
    ) -> Result<SplitMatrix, LoadError> {
        let [_, ins] = shape;
        match self.kept {
            Kept::No => Ok(SplitMatrix::pack(compute()?, ins)),
            Kept::Read(packed) => packed.split_matrix(&self.full(name), shape),
            Kept::Write(packing) => {
                let matrix = SplitMatrix::pack(compute()?, ins);
                let mut packing = packing.borrow_mut();
                packing.add_split_matrix(&self.full(name), shape, &matrix);
                Ok(matrix)
            }
        }
    }

    /// The model's precision.
    pub(super) fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    fn full(&self, name: &str) -> String {
        if self.name.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.name)
        }
    }
}

impl LayerNorm {
    pub(super) fn load(source: &Source<'_>, width: usize) -> Result<Self, LoadError> {
        Ok(Self {
            weight: source.tensor("weight", &[width])?,
            bias: source.tensor("bias", &[width])?,
        })
    }
}
