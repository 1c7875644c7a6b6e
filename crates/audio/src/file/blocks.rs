//! Codecs in blocks of a fixed size: PCM and ADPCM, wherever the file keeps them.

use std::collections::VecDeque;
use std::ops::Range;

use symphonia::core::audio::Channels;
use symphonia::core::codecs::audio::well_known as id;
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters};

use super::source::Source;
use super::track::{Container, Packet, Part, Track};
use super::{DamageKind, FileError};

/// Frames of a packet, or one block where that has more.
const PACKET_FRAMES: u64 = 4_096;

/// How samples lie in the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    pub(super) codec: AudioCodecId,
    pub(super) rate_hz: u32,
    pub(super) channels: u16,
    pub(super) block_bytes: u32,
    pub(super) block_frames: u32,
}

/// How one sample of PCM is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Unsigned,
    Signed,
    Float,
}

/// The codec of PCM with samples of some bytes; `None` for a width that no format has.
pub(super) fn pcm(number: Number, bytes: u32, is_big_endian: bool) -> Option<AudioCodecId> {
    Some(match (number, bytes, is_big_endian) {
        (Number::Unsigned, 1, _) => id::CODEC_ID_PCM_U8,
        (Number::Signed, 1, _) => id::CODEC_ID_PCM_S8,
        (Number::Signed, 2, false) => id::CODEC_ID_PCM_S16LE,
        (Number::Signed, 2, true) => id::CODEC_ID_PCM_S16BE,
        (Number::Signed, 3, false) => id::CODEC_ID_PCM_S24LE,
        (Number::Signed, 3, true) => id::CODEC_ID_PCM_S24BE,
        (Number::Signed, 4, false) => id::CODEC_ID_PCM_S32LE,
        (Number::Signed, 4, true) => id::CODEC_ID_PCM_S32BE,
        (Number::Float, 4, false) => id::CODEC_ID_PCM_F32LE,
        (Number::Float, 4, true) => id::CODEC_ID_PCM_F32BE,
        (Number::Float, 8, false) => id::CODEC_ID_PCM_F64LE,
        (Number::Float, 8, true) => id::CODEC_ID_PCM_F64BE,
        _ => return None,
    })
}

impl Layout {
    /// Samples of `bytes` each, interleaved.
    pub(super) fn samples(codec: AudioCodecId, rate_hz: u32, channels: u16, bytes: u32) -> Self {
        Self {
            codec,
            rate_hz,
            channels,
            block_bytes: bytes.saturating_mul(u32::from(channels)),
            block_frames: 1,
        }
    }

    fn blocks_in_a_packet(&self) -> u64 {
        (PACKET_FRAMES / u64::from(self.block_frames.max(1))).max(1)
    }

    fn parameters(&self) -> AudioCodecParameters {
        let mut parameters = AudioCodecParameters::new();
        parameters
            .for_codec(self.codec)
            .with_sample_rate(self.rate_hz)
            .with_channels(Channels::Discrete(self.channels))
            .with_frames_per_block(u64::from(self.block_frames))
            .with_max_frames_per_packet(self.blocks_in_a_packet() * u64::from(self.block_frames));
        parameters
    }
}

/// Reads ranges of a file as one track.
pub(super) struct Blocks {
    source: Source,
    layout: Layout,
    /// What is still to be read.
    ranges: VecDeque<Range<u64>>,
    /// What comes before the first packet.
    first: Option<Track>,
    /// Said after the last packet.
    last: Option<DamageKind>,
}

impl Blocks {
    /// `frames`: where the file says how many there are, and the last block is padded. `is_cut`: the file
    /// says that it is longer.
    pub(super) fn open(
        source: Source,
        layout: Layout,
        ranges: Vec<Range<u64>>,
        frames: Option<u64>,
        is_cut: bool,
    ) -> Result<Box<dyn Container>, FileError> {
        if layout.channels == 0
            || layout.channels > u16::from(crate::PcmFormat::MAX_CHANNELS)
            || layout.rate_hz == 0
        {
            return Err(FileError::Format {
                rate_hz: layout.rate_hz,
                channels: usize::from(layout.channels),
            });
        }
        if layout.block_bytes == 0 || layout.block_frames == 0 || layout.block_bytes > 1 << 20 {
            return Err(FileError::Head {
                container: "sound",
                fault: "the size of its blocks cannot be",
            });
        }
        let mut track = Track::new(layout.parameters());
        track.frames = frames;
        Ok(Box::new(Self {
            source,
            layout,
            ranges: ranges.into(),
            first: Some(track),
            last: is_cut.then_some(DamageKind::CutOff),
        }))
    }
}

impl Container for Blocks {
    fn next(&mut self) -> Result<Option<Part>, FileError> {
        if let Some(track) = self.first.take() {
            return Ok(Some(track.part()));
        }
        let block = u64::from(self.layout.block_bytes);
        while let Some(range) = self.ranges.front_mut() {
            let most = block * self.layout.blocks_in_a_packet();
            self.source.go(range.start)?;
            let mut data = self
                .source
                .read(most.min(range.end.saturating_sub(range.start)))?;
            range.start += data.len() as u64;
            // Bytes of a frame that is not whole.
            let partial = data.len() as u64 % block;
            if range.start >= range.end || data.is_empty() {
                self.ranges.pop_front();
            }
            data.truncate(data.len() - usize::try_from(partial).unwrap_or(0));
            if !data.is_empty() {
                let frames = data.len() as u64 / block * u64::from(self.layout.block_frames);
                return Ok(Some(Part::Packet(Packet { data, frames })));
            }
        }
        Ok(self.last.take().map(Part::Fault))
    }
}
