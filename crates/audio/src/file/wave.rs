//! WAV and its kin: RIFF, RIFX (numbers the other way round), RF64 and BW64 (beyond 4 GiB), W64.

use std::ops::Range;

use symphonia::core::codecs::audio::well_known as id;

use super::FileError;
use super::blocks::{Blocks, Layout, Number, pcm};
use super::chunks::{Chunk, Chunks, Order};
use super::mpeg;
use super::source::{Source, u16_be, u16_le, u32_be, u32_le, u64_le};
use super::track::Container;

/// What a W64 file begins with: a number of 16 bytes in place of each name.
const W64_MAGIC: &[u8; 16] = b"riff\x2E\x91\xCF\x11\xA5\xD6\x28\xDB\x04\xC1\x00\x00";

/// The most chunks of samples of a file.
const MOST_PARTS: usize = 1_000;

/// Whether a file begins as one of them; `head` has 16 bytes.
pub(super) fn is_wave(head: &[u8]) -> bool {
    let is_riff = [b"RIFF", b"RIFX", b"RF64", b"BW64"]
        .iter()
        .any(|name| head.starts_with(*name));
    is_riff && head.get(8..12) == Some(b"WAVE") || head == W64_MAGIC
}

/// What the chunks before the samples say.
#[derive(Default)]
struct Found {
    format: Option<Vec<u8>>,
    /// Frames by the "fact" chunk.
    frames: Option<u64>,
    /// Bytes of samples by the "ds64" chunk, and of the whole file.
    long: Option<(u64, u64)>,
    samples: Vec<Range<u64>>,
    is_cut: bool,
}

pub(super) fn open(mut source: Source) -> Result<Box<dyn Container>, FileError> {
    let head = source.peek(12)?;
    if !head.starts_with(b"RI") && !head.starts_with(b"RF") && !head.starts_with(b"BW") {
        let found = find_w64(&mut source)?;
        return found.open(source, Order::Little);
    }
    let order = if head.starts_with(b"RIFX") {
        Order::Big
    } else {
        Order::Little
    };
    let mut chunks = Chunks::new(source, order);
    let found = find(&mut chunks)?;
    found.open(chunks.source, order)
}

/// Reads the chunks of a RIFF file.
fn find(chunks: &mut Chunks) -> Result<Found, FileError> {
    let mut found = Found::default();
    let riff = chunks.at(0)?.map_or(0, |riff| riff.size);
    let mut at = Some(12);
    while let Some(here) = at {
        at = match chunks.at(here)? {
            Some(chunk) => found.take(chunks, &chunk, riff)?,
            None if found.samples.is_empty() => chunks.search(here, &[*b"fmt ", *b"data"])?,
            None => None,
        };
    }
    Ok(found)
}

impl Found {
    /// Reads one chunk; returns where the next is.
    fn take(
        &mut self,
        chunks: &mut Chunks,
        chunk: &Chunk,
        riff: u64,
    ) -> Result<Option<u64>, FileError> {
        match &chunk.name {
            // Files that were put one behind the other.
            b"RIFF" | b"RIFX" | b"RF64" | b"BW64" => return Ok(Some(chunk.start + 4)),
            b"data" => {
                let (claimed, file_end) = match self.long {
                    Some((bytes, file)) if chunk.size == u64::from(u32::MAX) => (bytes, file),
                    _ => (chunk.size, riff),
                };
                let extent = chunks.extent(chunk.start, claimed, file_end.saturating_add(8))?;
                self.samples.push(extent.samples);
                self.is_cut |= extent.is_cut;
                let is_enough = self.samples.len() >= MOST_PARTS;
                return Ok(extent.next.filter(|_| !is_enough));
            }
            b"fmt " => {
                // Without its last number it has 14 bytes; a smaller size is wrong.
                let size = if chunk.size < 14 { 16 } else { chunk.size };
                let body = chunks.body(&Chunk { size, ..*chunk }, 64)?;
                // Samples that follow in another format are of another file.
                if !self.samples.is_empty() && self.format.as_ref() != Some(&body) {
                    return Ok(None);
                }
                self.format = Some(body);
            }
            b"fact" => {
                let body = chunks.body(chunk, 4)?;
                let frames = match chunks.order {
                    Order::Little => u32_le(&body, 0),
                    Order::Big => u32_be(&body, 0),
                };
                self.frames = frames.map(u64::from);
            }
            b"ds64" => {
                let body = chunks.body(chunk, 16)?;
                self.long = u64_le(&body, 8).zip(u64_le(&body, 0));
            }
            _ => {}
        }
        let next = chunks.after(chunk)?;
        if next.is_none() && self.samples.is_empty() {
            return chunks.search(chunk.start, &[*b"fmt ", *b"data"]);
        }
        Ok(next)
    }

    fn open(self, source: Source, order: Order) -> Result<Box<dyn Container>, FileError> {
        let fault = |fault| FileError::Head {
            container: "WAV",
            fault,
        };
        let format = self.format.ok_or_else(|| fault("its format is missing"))?;
        if self.samples.is_empty() {
            return Err(fault("its samples are missing"));
        }
        let format = Format::read(&format, order).ok_or_else(|| fault("its format is cut off"))?;
        if format.channels == 0 || format.rate_hz == 0 {
            return Err(FileError::Format {
                rate_hz: format.rate_hz,
                channels: usize::from(format.channels),
            });
        }
        if let (tag::MP3 | tag::MPEG, [samples]) = (format.tag, &self.samples[..]) {
            return Ok(mpeg::within(source, samples.clone()));
        }
        let layout = format.layout(order)?;
        let bytes: u64 = self
            .samples
            .iter()
            .map(|range| range.end - range.start)
            .sum();
        let block_frames = u64::from(layout.block_frames);
        let held = bytes / u64::from(layout.block_bytes.max(1)) * block_frames;
        let is_end = |&frames: &u64| frames <= held && held - frames < block_frames;
        let frames = self.frames.filter(is_end);
        Blocks::open(source, layout, self.samples, frames, self.is_cut)
    }
}

/// Reads the chunks of a W64 file: names and sizes of 16 and 8 bytes, each chunk at a multiple of 8.
fn find_w64(source: &mut Source) -> Result<Found, FileError> {
    let mut found = Found::default();
    let mut at = 40;
    loop {
        source.go(at)?;
        let head = source.peek(24)?;
        let (Some(name), Some(size)) = (head.first_chunk::<4>(), u64_le(&head, 16)) else {
            return Ok(found);
        };
        let (start, rest) = (at + 24, source.rest().saturating_sub(24));
        // The size counts the head too.
        let size = size.saturating_sub(24);
        source.go(start)?;
        match name {
            b"fmt " => found.format = Some(source.peek(64)?),
            b"fact" => found.frames = u64_le(&source.peek(8)?, 0),
            b"data" => {
                let size = if size == 0 { rest } else { size.min(rest) };
                found.samples.push(start..start + size);
                return Ok(found);
            }
            _ => {}
        }
        at = start.saturating_add(size).next_multiple_of(8);
    }
}

/// Codecs by the numbers that WAV has for them.
mod tag {
    pub(super) const PCM: u16 = 1;
    pub(super) const ADPCM_MS: u16 = 2;
    pub(super) const FLOAT: u16 = 3;
    pub(super) const A_LAW: u16 = 6;
    pub(super) const MU_LAW: u16 = 7;
    pub(super) const ADPCM_IMA: u16 = 0x11;
    pub(super) const GSM: u16 = 0x31;
    pub(super) const G721: u16 = 0x40;
    pub(super) const G726: u16 = 0x45;
    pub(super) const MPEG: u16 = 0x50;
    pub(super) const MP3: u16 = 0x55;
    pub(super) const WMA: u16 = 0x161;
    /// The number is in the 16 bytes that follow.
    pub(super) const EXTENSIBLE: u16 = 0xFFFE;
}

/// A "fmt " chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Format {
    tag: u16,
    channels: u16,
    rate_hz: u32,
    block_bytes: u16,
    bits: u16,
}

impl Format {
    fn read(body: &[u8], order: Order) -> Option<Self> {
        let short = |at| match order {
            Order::Little => u16_le(body, at),
            Order::Big => u16_be(body, at),
        };
        let long = |at| match order {
            Order::Little => u32_le(body, at),
            Order::Big => u32_be(body, at),
        };
        let tag = match short(0)? {
            tag::EXTENSIBLE => short(24).unwrap_or(tag::PCM),
            tag => tag,
        };
        Some(Self {
            tag,
            channels: short(2)?,
            rate_hz: long(4)?,
            block_bytes: short(12)?,
            bits: short(14).unwrap_or(0),
        })
    }

    /// Bytes of a sample: the block's share, unless that cannot be.
    fn sample_bytes(self) -> u32 {
        let by_bits = u32::from(self.bits).div_ceil(8);
        let by_block = u32::from(self.block_bytes / self.channels.max(1));
        let is_whole = self.block_bytes.is_multiple_of(self.channels.max(1));
        if is_whole && (by_bits.max(1)..=8).contains(&by_block) {
            by_block
        } else {
            by_bits
        }
    }

    fn layout(self, order: Order) -> Result<Layout, FileError> {
        let plain = |codec, bytes| Layout::samples(codec, self.rate_hz, self.channels, bytes);
        let bytes = self.sample_bytes();
        let number = match (self.tag, bytes) {
            (tag::FLOAT, _) => Number::Float,
            (_, 1) => Number::Unsigned,
            _ => Number::Signed,
        };
        match self.tag {
            tag::PCM | tag::FLOAT => pcm(number, bytes, order == Order::Big)
                .map(|codec| plain(codec, bytes))
                .ok_or(FileError::UnknownCodec {
                    codec: "PCM of such a width",
                }),
            tag::A_LAW => Ok(plain(id::CODEC_ID_PCM_ALAW, 1)),
            tag::MU_LAW => Ok(plain(id::CODEC_ID_PCM_MULAW, 1)),
            tag::ADPCM_MS => self.adpcm(id::CODEC_ID_ADPCM_MS, 7, 2),
            tag::ADPCM_IMA => self.adpcm(id::CODEC_ID_ADPCM_IMA_WAV, 4, 1),
            unknown => Err(FileError::UnknownCodec {
                codec: name(unknown),
            }),
        }
    }

    /// ADPCM: each block has a head of some bytes and frames a channel, then half a byte for each sample.
    fn adpcm(
        self,
        codec: symphonia::core::codecs::audio::AudioCodecId,
        head_bytes: u32,
        head_frames: u32,
    ) -> Result<Layout, FileError> {
        let channels = u32::from(self.channels);
        let block_bytes = u32::from(self.block_bytes);
        let coded = block_bytes
            .checked_sub(head_bytes * channels)
            .ok_or(FileError::Head {
                container: "WAV",
                fault: "the size of its blocks cannot be",
            })?;
        Ok(Layout {
            codec,
            rate_hz: self.rate_hz,
            channels: self.channels,
            block_bytes,
            block_frames: 2 * coded / channels.max(1) + head_frames,
        })
    }
}

/// What a codec is called that cannot be decoded.
fn name(tag: u16) -> &'static str {
    match tag {
        tag::GSM => "GSM 6.10",
        tag::G721 | tag::G726 => "G.726",
        tag::WMA => "Windows Media Audio",
        _ => "an unknown codec",
    }
}
