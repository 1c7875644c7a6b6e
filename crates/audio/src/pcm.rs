//! PCM bytes to samples, a partial frame carried over to the next bytes.

use crate::mix;

/// How PCM bytes are to be read, checked: what this crate can convert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PcmFormat {
    rate_hz: u32,
    width: Width,
    channels: u8,
}

/// Bytes of a sample. Width 1 is unsigned, the others are signed little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    U8,
    S16,
    S24,
    S32,
}

/// PCM that cannot be converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Outside of [`PcmFormat::RATES_HZ`].
    #[error("a sample rate of {rate_hz} Hz is not within 1000 to 384000 Hz")]
    Rate {
        /// What was asked for.
        rate_hz: u32,
    },
    /// None of 1, 2, 3, 4.
    #[error("a sample width of {width_bytes} bytes is not one of 1, 2, 3, 4")]
    Width {
        /// What was asked for.
        width_bytes: u8,
    },
    /// None, or more than [`PcmFormat::MAX_CHANNELS`].
    #[error("{channels} channels are not within 1 to 32")]
    Channels {
        /// What was asked for.
        channels: u8,
    },
}

impl PcmFormat {
    /// Sample rates that can be converted.
    pub const RATES_HZ: std::ops::RangeInclusive<u32> = 1_000..=384_000;
    /// The most channels that are mixed.
    pub const MAX_CHANNELS: u8 = 32;

    /// # Errors
    /// When a number is outside of what can be converted.
    pub fn new(rate_hz: u32, width_bytes: u8, channels: u8) -> Result<Self, FormatError> {
        if !Self::RATES_HZ.contains(&rate_hz) {
            return Err(FormatError::Rate { rate_hz });
        }
        let width = match width_bytes {
            1 => Width::U8,
            2 => Width::S16,
            3 => Width::S24,
            4 => Width::S32,
            _ => return Err(FormatError::Width { width_bytes }),
        };
        if !(1..=Self::MAX_CHANNELS).contains(&channels) {
            return Err(FormatError::Channels { channels });
        }
        Ok(Self {
            rate_hz,
            width,
            channels,
        })
    }

    /// Frames in a second.
    pub fn rate_hz(self) -> u32 {
        self.rate_hz
    }

    /// Samples in a frame.
    pub fn channels(self) -> u8 {
        self.channels
    }

    /// Bytes in one frame: a sample of each channel.
    pub fn frame_bytes(self) -> usize {
        self.width.bytes() * usize::from(self.channels)
    }
}

impl Width {
    fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::S16 => 2,
            Self::S24 => 3,
            Self::S32 => 4,
        }
    }

    /// One sample within −1.0..1.0; `bytes` has [`Width::bytes`] bytes.
    fn sample(self, bytes: &[u8]) -> f32 {
        match (self, bytes) {
            (Self::U8, &[byte]) => (f32::from(byte) - 128.0) / 128.0,
            (Self::S16, &[low, high]) => f32::from(i16::from_le_bytes([low, high])) / 32_768.0,
            (Self::S24, &[low, middle, high]) => {
                i32::from_le_bytes([0, low, middle, high]) as f32 / 2_147_483_648.0
            }
            (Self::S32, &[a, b, c, d]) => i32::from_le_bytes([a, b, c, d]) as f32 / 2_147_483_648.0,
            _ => 0.0,
        }
    }
}

/// Turns bytes of one format into mono samples, whatever the pieces they come in.
#[derive(Debug)]
pub(crate) struct PcmReader {
    format: PcmFormat,
    /// The beginning of a frame whose rest has not come; shorter than a frame.
    partial: Vec<u8>,
}

impl PcmReader {
    pub(crate) fn new(format: PcmFormat) -> Self {
        Self {
            format,
            partial: Vec::new(),
        }
    }

    pub(crate) fn format(&self) -> PcmFormat {
        self.format
    }

    /// Hands each whole frame, mixed to one channel, to `out`.
    pub(crate) fn read(&mut self, mut bytes: &[u8], mut out: impl FnMut(f32)) {
        let frame_bytes = self.format.frame_bytes();
        if !self.partial.is_empty() {
            let missing = (frame_bytes - self.partial.len()).min(bytes.len());
            let (head, rest) = bytes.split_at(missing);
            self.partial.extend_from_slice(head);
            bytes = rest;
            if self.partial.len() < frame_bytes {
                return;
            }
            out(self.mono(&self.partial));
            self.partial.clear();
        }
        let frames = bytes.chunks_exact(frame_bytes);
        self.partial.extend_from_slice(frames.remainder());
        for frame in frames {
            out(self.mono(frame));
        }
    }

    fn mono(&self, frame: &[u8]) -> f32 {
        let width = self.format.width;
        mix::to_mono(
            frame
                .chunks_exact(width.bytes())
                .map(|bytes| width.sample(bytes)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(width_bytes: u8, channels: u8, bytes: &[u8]) -> Vec<f32> {
        let mut samples = Vec::new();
        let format = PcmFormat::new(16_000, width_bytes, channels).unwrap();
        PcmReader::new(format).read(bytes, |sample| samples.push(sample));
        samples
    }

    #[test]
    fn each_width_spans_minus_one_to_one() {
        assert_eq!(samples(1, 1, &[0, 128, 255]), [-1.0, 0.0, 127.0 / 128.0]);
        assert_eq!(samples(2, 1, &[0, 0x80, 0, 0, 0, 0x40]), [-1.0, 0.0, 0.5]);
        assert_eq!(samples(3, 1, &[0, 0, 0x80, 0, 0, 0x40]), [-1.0, 0.5]);
        assert_eq!(samples(4, 1, &[0, 0, 0, 0x80, 0, 0, 0, 0x40]), [-1.0, 0.5]);
    }

    #[test]
    fn two_full_channels_do_not_clip() {
        assert_eq!(
            samples(2, 2, &[0xFF, 0x7F, 0xFF, 0x7F]),
            [32_767.0 / 32_768.0]
        );
    }

    #[test]
    fn impossible_formats_are_named() {
        assert_eq!(
            PcmFormat::new(999, 2, 1),
            Err(FormatError::Rate { rate_hz: 999 })
        );
        assert_eq!(
            PcmFormat::new(16_000, 5, 1),
            Err(FormatError::Width { width_bytes: 5 })
        );
        assert_eq!(
            PcmFormat::new(16_000, 2, 33),
            Err(FormatError::Channels { channels: 33 })
        );
    }
}
