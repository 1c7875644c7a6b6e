//! Weights of the parts that encoder and decoder share, and how they are read from a checkpoint.

use std::cell::RefCell;

use candle_core::{Device, Shape, Tensor};
use half::{f16, slice::HalfFloatSliceExt};

use kernels::{IntMatrix, Rounding, SplitMatrix};

use super::{
    ModelError,
    matrix::{Matrix, Room},
    norm::LayerNorm,
};
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
    fn tensor_of(
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

/// A linear layer: weight `(out, in)` as stored, which is the order that products of few rows read.
#[derive(Debug)]
pub(super) struct Linear {
    weight: Matrix,
    bias: Tensor,
}

impl Linear {
    pub(super) fn load(source: &Source<'_>, ins: usize, outs: usize) -> Result<Self, LoadError> {
        Ok(Self {
            weight: source.matrix("weight", [outs, ins], || {
                source.read("weight", &[outs, ins])
            })?,
            bias: source.tensor("bias", &[outs])?,
        })
    }

    /// A convolution of width 3 as a linear layer over [`ops::unfold`]: `(out, in, tap)` → `(out, tap * in)`.
    pub(super) fn load_convolution(
        source: &Source<'_>,
        ins: usize,
        outs: usize,
    ) -> Result<Self, LoadError> {
        const TAPS: usize = 3;
        let weight = || {
            let stored = source.read("weight", &[outs, ins, TAPS])?;
            let mut weight = Vec::with_capacity(stored.len());
            for filter in stored.chunks_exact(ins * TAPS) {
                for tap in 0..TAPS {
                    weight.extend(filter.iter().skip(tap).step_by(TAPS));
                }
            }
            Ok(weight)
        };
        Ok(Self {
            weight: source.matrix("weight", [outs, TAPS * ins], weight)?,
            bias: source.tensor("bias", &[outs])?,
        })
    }

    /// Several projections of one input as one product: their weights one below the other.
    pub(super) fn load_joined(
        source: &Source<'_>,
        width: usize,
        parts: &[Projection],
    ) -> Result<Self, LoadError> {
        let rows = parts.len() * width;
        let names: Vec<&str> = parts.iter().map(|part| part.name).collect();
        let joined = names.join("+");
        let weight = || {
            let mut weight = Vec::with_capacity(rows * width);
            for part in parts {
                let stored = source.at(part.name).read("weight", &[width, width])?;
                weight.extend(stored.into_iter().map(|value| value * part.scale));
            }
            Ok(weight)
        };
        let bias = || {
            let mut bias = Vec::with_capacity(rows);
            for part in parts {
                if part.has_bias {
                    let stored = source.at(part.name).read("bias", &[width])?;
                    bias.extend(stored.into_iter().map(|value| value * part.scale));
                } else {
                    bias.resize(bias.len() + width, 0.0);
                }
            }
            Ok(bias)
        };
        Ok(Self {
            weight: source.matrix(&format!("{joined}.weight"), [rows, width], weight)?,
            bias: source.tensor_of(&format!("{joined}.bias"), &[rows], bias)?,
        })
    }

    /// Weight and bias.
    pub(super) fn parts(&self) -> (&Matrix, &Tensor) {
        (&self.weight, &self.bias)
    }

    pub(super) fn forward(&self, x: &Tensor, room: &mut Room) -> candle_core::Result<Tensor> {
        self.weight.linear(x, None, &self.bias, false, room)
    }

    /// Of the norm of `x`.
    pub(super) fn forward_normed(
        &self,
        norm: &LayerNorm,
        x: &Tensor,
        room: &mut Room,
    ) -> candle_core::Result<Tensor> {
        self.weight.linear(x, Some(norm), &self.bias, false, room)
    }

    /// With a GELU behind.
    pub(super) fn forward_gelu(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let room = &mut Room::default();
        self.weight.linear(x, None, &self.bias, true, room)
    }

    /// Adds to `sum`, whose values may be overwritten.
    pub(super) fn add_to(&self, sum: Tensor, x: &Tensor) -> candle_core::Result<Tensor> {
        self.weight.add_linear(sum, x, &self.bias)
    }
}

/// One of the projections of an attention block.
pub(super) struct Projection {
    name: &'static str,
    scale: f32,
    has_bias: bool,
}

impl Projection {
    /// The queries, scaled by `1 / √head_width` at load so that attention need not.
    pub(super) fn queries(head_width: usize) -> Self {
        Self {
            name: "q_proj",
            scale: 1.0 / (head_width as f32).sqrt(),
            has_bias: true,
        }
    }

    /// The keys: the only projection of Whisper without a bias.
    pub(super) fn keys() -> Self {
        Self {
            name: "k_proj",
            scale: 1.0,
            has_bias: false,
        }
    }

    pub(super) fn values() -> Self {
        Self {
            name: "v_proj",
            scale: 1.0,
            has_bias: true,
        }
    }
}

/// The two linear layers behind attention, with their norm in front and the residual around: `x + f(norm(x))`.
#[derive(Debug)]
pub(super) struct FeedForward {
    norm: LayerNorm,
    widen: Linear,
    narrow: Linear,
}

impl FeedForward {
    /// `source`: the layer. The inner width is what the weights have: config.json's copy of it is not needed.
    /// `narrow`: how the second is rounded.
    pub(super) fn load(
        source: &Source<'_>,
        width: usize,
        narrow: Rounding,
    ) -> Result<Self, LoadError> {
        let inner = source.rows("fc1.weight")?;
        Ok(Self {
            norm: LayerNorm::load(&source.at("final_layer_norm"), width)?,
            widen: Linear::load(&source.at("fc1"), width, inner)?,
            narrow: Linear::load(&source.at("fc2").rounded(narrow), inner, width)?,
        })
    }

    /// The values of `x` may be overwritten.
    pub(super) fn forward(&self, x: Tensor) -> candle_core::Result<Tensor> {
        let layers = [&self.widen, &self.narrow].map(Linear::parts);
        Matrix::feed_forward(x, &self.norm, layers)
    }
}

/// Names the part of the network in an error.
pub(super) fn computing(operation: &'static str) -> impl Fn(candle_core::Error) -> ModelError {
    move |source| ModelError::Compute { operation, source }
}
