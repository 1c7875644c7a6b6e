//! In which numbers the network computes.

use candle_core::DType;
use kernels::Level;

/// The precision that the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// The fastest one that was shown to give the reference's words: int8 where the CPU has instructions for it, f16 on
    /// a GPU, else f32.
    #[default]
    Auto,
    /// The reference: weights and arithmetic in f32.
    F32,
    /// On a GPU: weights and values in f16; products, norms and softmax are summed in f32.
    F16,
    /// On the CPU: linear layers and convolutions in int8, with a scale for each output, and a scale and a middle for each
    /// row of inputs. Attention over audio is in int8 too where the CPU has an instruction for byte products; elsewhere
    /// the encoder's is in f32, and the decoder keeps the audio's keys and values in bf16. The rest is in f32.
    Int8,
}

/// What a precision came to on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    /// Candle's and our own f32.
    F32,
    /// Candle's f16; and whether the device has kernels of our own beside.
    F16 {
        /// That they are used.
        fused: bool,
    },
    /// The kernels of this level.
    Int8(Level),
}

impl Precision {
    /// `None` where the device cannot. Whether it has kernels of our own is for others to say.
    pub(crate) fn on(self, is_cpu: bool, level: Level) -> Option<Arithmetic> {
        match self {
            Self::Auto if !is_cpu => Some(Arithmetic::F16 { fused: false }),
            // Without instructions for it, int8 is slower than f32.
            Self::Auto if level > Level::PORTABLE => Some(Arithmetic::Int8(level)),
            Self::Auto | Self::F32 => Some(Arithmetic::F32),
            Self::F16 => (!is_cpu).then_some(Arithmetic::F16 { fused: false }),
            Self::Int8 => is_cpu.then_some(Arithmetic::Int8(level)),
        }
    }

    /// As [`Arithmetic::name`].
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        }
    }
}

impl Arithmetic {
    /// What reports call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 { .. } => "f16",
            Self::Int8(_) => "int8",
        }
    }

    /// Whether kernels of our own compute on a device other than the host.
    pub(crate) fn has_fused(self) -> bool {
        self == Self::F16 { fused: true }
    }

    /// Number type of the tensors between two operations.
    pub(crate) fn number_type(self) -> DType {
        match self {
            Self::F32 | Self::Int8(_) => DType::F32,
            Self::F16 { .. } => DType::F16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn int8_is_for_the_cpu_and_f16_for_other_devices() {
        for level in Level::available() {
            let int8 = Some(Arithmetic::Int8(level));
            let f32 = Some(Arithmetic::F32);
            let f16 = Some(Arithmetic::F16 { fused: false });
            let fastest = if level > Level::PORTABLE { int8 } else { f32 };
            for (precision, on_cpu, elsewhere) in [
                (Precision::Auto, fastest, f16),
                (Precision::F32, f32, f32),
                (Precision::F16, None, f16),
                (Precision::Int8, int8, None),
            ] {
                assert_eq!(precision.on(true, level), on_cpu, "{precision:?}");
                assert_eq!(precision.on(false, level), elsewhere, "{precision:?}");
            }
        }
    }
}
