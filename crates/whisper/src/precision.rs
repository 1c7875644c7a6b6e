//! In which numbers the network computes.

use kernels::Level;

/// The precision that the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// The fastest one that was shown to give the reference's words; on the CPU this is f32 until int8 has been.
    #[default]
    Auto,
    /// The reference: weights and arithmetic in f32.
    F32,
    /// On the CPU: linear layers in int8, with a scale for each output and each row of inputs; the audio's keys and
    /// values for the decoder in bf16; the rest in f32.
    Int8,
}

/// What a precision came to on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    /// Candle's and our own f32.
    F32,
    /// The kernels of this level.
    Int8(Level),
}

impl Precision {
    /// `None` where the device cannot.
    pub(crate) fn on(self, is_cpu: bool, level: Level) -> Option<Arithmetic> {
        match self {
            Self::Auto | Self::F32 => Some(Arithmetic::F32),
            Self::Int8 => is_cpu.then_some(Arithmetic::Int8(level)),
        }
    }
}

impl Arithmetic {
    /// What reports call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Int8(_) => "int8",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn int8_is_for_the_cpu() {
        let level = Level::best();
        assert_eq!(Precision::Auto.on(true, level), Some(Arithmetic::F32));
        assert_eq!(
            Precision::Int8.on(true, level),
            Some(Arithmetic::Int8(level))
        );
        assert_eq!(Precision::Int8.on(false, level), None);
    }
}
