//! In which numbers the network computes.

use kernels::Level;

/// The precision that the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// The fastest one that was shown to give the reference's words: int8 where the CPU has instructions for it,
    /// else f32.
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
            // Without instructions for it, int8 is slower than f32.
            Self::Auto if is_cpu && level > Level::PORTABLE => Some(Arithmetic::Int8(level)),
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
    fn int8_is_for_the_cpu_and_chosen_where_it_is_fast() {
        let auto = |level| Precision::Auto.on(true, level);
        assert_eq!(auto(Level::PORTABLE), Some(Arithmetic::F32));
        for level in Level::available() {
            assert!(level == Level::PORTABLE || auto(level) == Some(Arithmetic::Int8(level)));
        }
        let level = Level::best();
        assert_eq!(Precision::Auto.on(false, level), Some(Arithmetic::F32));
        assert_eq!(
            Precision::Int8.on(true, level),
            Some(Arithmetic::Int8(level))
        );
        assert_eq!(Precision::Int8.on(false, level), None);
    }
}
