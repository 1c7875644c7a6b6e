//! Opus: its head and its packets (RFC 6716, RFC 7845).

use opus_pure::{OpusDecoder, OpusMSDecoder};

use super::FileError;
use super::source::{array, u16_le};
use super::track::Undecodable;

/// The longest packet: 120 ms.
const MOST_FRAMES: usize = 5_760;

/// An Opus decoder at 48 kHz.
pub(super) struct Opus {
    streams: Streams,
    channels: usize,
    /// What the head asks samples to be multiplied with.
    gain: f32,
}

enum Streams {
    One(Box<OpusDecoder>),
    Many(Box<OpusMSDecoder>),
}

/// An Opus head, as in Ogg and Matroska.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Head {
    pub(super) channels: u8,
    /// Frames at 48 kHz before the recording's first.
    pub(super) pre_skip: u16,
    /// In 1/256 dB.
    gain: i16,
    family: u8,
}

impl Head {
    const MAGIC: &'static [u8] = b"OpusHead";

    /// Reads a head in Ogg's byte order; `None` if it is none.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let version = *bytes.strip_prefix(Self::MAGIC)?.first()?;
        let channels = *bytes.get(9)?;
        // The upper four bits are for changes that older readers cannot stand.
        (version < 16 && channels > 0).then_some(Self {
            channels,
            pre_skip: u16_le(bytes, 10)?,
            gain: i16::from_le_bytes(array(bytes, 16)?),
            family: *bytes.get(18)?,
        })
    }

    /// The head of a plain stream, where a container has none.
    pub(super) fn plain(channels: u8, pre_skip: u16) -> Vec<u8> {
        let mut head = Self::MAGIC.to_vec();
        head.extend([1, channels]);
        head.extend(pre_skip.to_le_bytes());
        head.extend(Opus::RATE_HZ.to_le_bytes());
        head.extend([0; 3]);
        head
    }

    /// MP4 keeps the head's numbers in the other byte order: this turns them, in a head that has the magic.
    pub(super) fn from_mp4(head: &[u8]) -> Vec<u8> {
        let mut turned = head.to_vec();
        for range in [10..12, 12..16, 16..18] {
            if let Some(number) = turned.get_mut(range) {
                number.reverse();
            }
        }
        turned
    }
}

impl Opus {
    /// Opus decodes to this, whatever was recorded.
    pub(super) const RATE_HZ: u32 = 48_000;

    pub(super) fn new(head: Option<&[u8]>) -> Result<Self, FileError> {
        let head = head.and_then(Head::read).ok_or(FileError::Head {
            container: "Opus",
            fault: "no channels in it",
        })?;
        let channels = usize::from(head.channels);
        // Pure decisions of the crate's on small numbers: it refuses layouts that are none.
        let rate = Self::RATE_HZ.cast_signed();
        let streams = if head.family == 0 && channels <= 2 {
            OpusDecoder::new(rate, channels).map(|decoder| Streams::One(Box::new(decoder)))
        } else {
            OpusMSDecoder::new(rate, channels, head.family)
                .map(|decoder| Streams::Many(Box::new(decoder)))
        };
        Ok(Self {
            streams: streams.map_err(|_| FileError::UnknownCodec {
                codec: "Opus in such an arrangement of channels",
            })?,
            channels,
            gain: 10_f32.powf(f32::from(head.gain) / (20.0 * 256.0)),
        })
    }

    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// Decodes one packet, in place of what `samples` has.
    pub(super) fn decode(
        &mut self,
        packet: &[u8],
        samples: &mut Vec<f32>,
    ) -> Result<(), Undecodable> {
        samples.clear();
        if packet.is_empty() {
            return Err(Undecodable);
        }
        samples.resize(MOST_FRAMES * self.channels, 0.0);
        let frames = match &mut self.streams {
            Streams::One(decoder) => decoder.decode(packet, MOST_FRAMES, samples),
            Streams::Many(decoder) => decoder.decode(packet, MOST_FRAMES, samples),
        }
        .map_err(|_| Undecodable)?;
        samples.truncate(frames * self.channels);
        if self.gain.to_bits() != 1_f32.to_bits() {
            for sample in samples.iter_mut() {
                *sample *= self.gain;
            }
        }
        Ok(())
    }
}
