//! The three numbers that say how PCM bytes are to be read.

use std::num::{NonZeroU8, NonZeroU32};

/// Format of interleaved little-endian PCM, as an event carries it. No number is zero; whether a
/// rate or width can be converted is for the audio code to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioFormat {
    rate_hz: NonZeroU32,
    width_bytes: NonZeroU8,
    channels: NonZeroU8,
}

impl AudioFormat {
    /// `None` when one of the numbers is zero.
    pub fn new(rate_hz: u32, width_bytes: u8, channels: u8) -> Option<Self> {
        Some(Self {
            rate_hz: NonZeroU32::new(rate_hz)?,
            width_bytes: NonZeroU8::new(width_bytes)?,
            channels: NonZeroU8::new(channels)?,
        })
    }

    /// Frames in a second.
    pub fn rate_hz(self) -> u32 {
        self.rate_hz.get()
    }

    /// Bytes in one sample of one channel.
    pub fn width_bytes(self) -> u8 {
        self.width_bytes.get()
    }

    /// Samples in a frame.
    pub fn channels(self) -> u8 {
        self.channels.get()
    }
}
