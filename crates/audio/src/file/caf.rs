//! CAF (Apple's Core Audio files, in which its messages keep Opus): chunks with sizes of 64 bits.

use std::collections::VecDeque;

use symphonia::core::audio::Channels;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known as id;

use super::blocks::{Blocks, Layout, Number, pcm};
use super::opus::Head;
use super::source::{Source, array, u32_be, u64_be};
use super::track::{Container, Packet, Part, Track};
use super::{DamageKind, FileError};

/// What the chunks say.
#[derive(Default)]
struct Found {
    description: Option<Description>,
    cookie: Vec<u8>,
    /// Sizes of packets, where they differ.
    table: Option<Table>,
    /// Where the samples begin and end.
    samples: Option<(u64, u64)>,
    is_cut: bool,
}

/// A "desc" chunk.
#[derive(Clone, Copy)]
struct Description {
    rate_hz: u32,
    format: [u8; 4],
    flags: u32,
    packet_bytes: u32,
    packet_frames: u32,
    channels: u16,
    bits: u32,
}

/// A "pakt" chunk.
struct Table {
    /// Frames of sound, and those before it.
    frames: u64,
    skip: u64,
    entries: VecDeque<u8>,
}

pub(super) fn open(mut source: Source) -> Result<Box<dyn Container>, FileError> {
    let fault = |fault| FileError::Head {
        container: "CAF",
        fault,
    };
    let found = find(&mut source)?;
    let description = found
        .description
        .ok_or_else(|| fault("its format is missing"))?;
    let (start, end) = found
        .samples
        .ok_or_else(|| fault("its samples are missing"))?;
    if let Some(layout) = description.layout() {
        return Blocks::open(
            source,
            layout?,
            std::iter::once(start..end).collect(),
            None,
            found.is_cut,
        );
    }
    if description.packet_bytes == 0 && found.table.is_none() {
        return Err(fault("its table of packets, which comes last, is missing"));
    }
    let track = description.track(found.cookie, found.table.as_ref())?;
    Ok(Box::new(Packets {
        source,
        at: start,
        end,
        description,
        entries: found.table.map(|table| table.entries),
        first: Some(track),
        last: found.is_cut.then_some(DamageKind::CutOff),
    }))
}

fn find(source: &mut Source) -> Result<Found, FileError> {
    let mut found = Found::default();
    let mut at = 8;
    loop {
        source.go(at)?;
        let head = source.read(12)?;
        let (Some(name), Some(size)) = (head.first_chunk::<4>(), u64_be(&head, 4)) else {
            return Ok(found);
        };
        let start = at + 12;
        // A recorder that writes still, or was killed, has -1.
        let is_known = i64::try_from(size).is_ok_and(|size| size > 0);
        let rest = source.rest();
        match name {
            b"desc" => found.description = Description::read(&source.peek(32)?),
            b"kuki" => found.cookie = source.peek(size.min(1 << 16))?,
            b"pakt" => found.table = Table::read(&source.peek(size)?),
            b"data" => {
                let bytes = if is_known { size.min(rest) } else { rest };
                // A number that counts edits comes first.
                found.samples = Some(((start + 4).min(start + bytes), start + bytes));
                found.is_cut = is_known && size > rest;
            }
            _ => {}
        }
        if !is_known && name == b"data" {
            return Ok(found);
        }
        at = start.saturating_add(size);
        if at >= source.length() {
            return Ok(found);
        }
    }
}

impl Description {
    fn read(body: &[u8]) -> Option<Self> {
        let rate = f64::from_be_bytes(array(body, 0)?);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it saturates, and is checked later"
        )]
        Some(Self {
            rate_hz: rate as u32,
            format: array(body, 8)?,
            flags: u32_be(body, 12)?,
            packet_bytes: u32_be(body, 16)?,
            packet_frames: u32_be(body, 20)?,
            channels: u16::try_from(u32_be(body, 24)?).unwrap_or(u16::MAX),
            bits: u32_be(body, 28)?,
        })
    }

    /// Codecs in blocks; `None` for the others.
    fn layout(&self) -> Option<Result<Layout, FileError>> {
        let plain = |codec, bytes| Layout::samples(codec, self.rate_hz, self.channels, bytes);
        Some(Ok(match &self.format {
            b"lpcm" => {
                let by_packet = self.packet_bytes / u32::from(self.channels.max(1));
                let bytes = if by_packet == 0 {
                    self.bits.div_ceil(8)
                } else {
                    by_packet
                };
                let number = if self.flags & 1 == 1 {
                    Number::Float
                } else {
                    Number::Signed
                };
                let Some(codec) = pcm(number, bytes, self.flags & 2 == 0) else {
                    return Some(Err(FileError::UnknownCodec {
                        codec: "PCM of such a width",
                    }));
                };
                plain(codec, bytes)
            }
            b"alaw" => plain(id::CODEC_ID_PCM_ALAW, 1),
            b"ulaw" => plain(id::CODEC_ID_PCM_MULAW, 1),
            b"ima4" => Layout {
                block_frames: 64,
                ..plain(id::CODEC_ID_ADPCM_IMA_QT, 34)
            },
            _ => return None,
        }))
    }

    fn track(&self, cookie: Vec<u8>, table: Option<&Table>) -> Result<Track, FileError> {
        let skip = table.map_or(0, |table| table.skip);
        let (codec, extra) = match &self.format {
            b"opus" => (id::CODEC_ID_OPUS, opus_head(cookie, self.channels)),
            b"alac" => (id::CODEC_ID_ALAC, alac_config(cookie)),
            b"aac " => (id::CODEC_ID_AAC, aac_config(&cookie)),
            b".mp3" => (id::CODEC_ID_MP3, cookie),
            b"flac" => (id::CODEC_ID_FLAC, flac_info(&cookie)),
            b"samr" => return Err(FileError::UnknownCodec { codec: "AMR" }),
            _ => {
                return Err(FileError::UnknownCodec {
                    codec: "an unknown codec",
                });
            }
        };
        let mut parameters = AudioCodecParameters::new();
        parameters
            .for_codec(codec)
            .with_sample_rate(self.rate_hz)
            .with_channels(Channels::Discrete(self.channels));
        if !extra.is_empty() {
            parameters.with_extra_data(extra.into());
        }
        let mut track = Track::new(parameters);
        // The table counts at the file's rate, Opus decodes to 48 kHz.
        let scaled = |frames: u64| match codec {
            id::CODEC_ID_OPUS => frames.saturating_mul(48_000) / u64::from(self.rate_hz.max(1)),
            _ => frames,
        };
        track.skip = scaled(skip);
        track.frames = table
            .filter(|table| table.frames > 0)
            .map(|table| scaled(table.frames.saturating_add(skip)));
        Ok(track)
    }
}

/// The cookie is a head, or something of Apple's own with the same meaning, which says nothing that is needed.
fn opus_head(cookie: Vec<u8>, channels: u16) -> Vec<u8> {
    if Head::read(&cookie).is_some() {
        return cookie;
    }
    Head::plain(u8::try_from(channels).unwrap_or(0), 0)
}

/// Apple's older writers put two boxes around the configuration: "frma" of 12 bytes, "alac" with 12 before it.
fn alac_config(mut cookie: Vec<u8>) -> Vec<u8> {
    if cookie.get(4..8) == Some(b"frma") {
        cookie.drain(..24.min(cookie.len()));
    }
    cookie
}

/// The decoder's configuration within MPEG-4's descriptors: tag 5, a size of one to four bytes, the bytes.
fn aac_config(cookie: &[u8]) -> Vec<u8> {
    let is_config = |at: &usize| cookie.get(*at) == Some(&5);
    for at in (0..cookie.len()).filter(is_config) {
        let rest = cookie.get(at + 1..).unwrap_or_default();
        let more = rest
            .iter()
            .take(3)
            .take_while(|&&byte| byte & 0x80 != 0)
            .count();
        let size = rest.get(more).copied().map_or(0, usize::from);
        if let Some(config @ [_, _, ..]) = rest.get(more + 1..more + 1 + size) {
            return config.to_vec();
        }
    }
    cookie.to_vec()
}

/// The first metadata block, without "fLaC" and its head where they are there.
fn flac_info(cookie: &[u8]) -> Vec<u8> {
    let at = cookie
        .windows(4)
        .position(|window| window == b"fLaC")
        .map_or(0, |at| at + 8);
    cookie
        .get(at..)
        .unwrap_or_default()
        .iter()
        .take(34)
        .copied()
        .collect()
}

impl Table {
    fn read(body: &[u8]) -> Option<Self> {
        let skip = u32_be(body, 16)?;
        Some(Self {
            frames: u64_be(body, 8).filter(|&frames| i64::try_from(frames).is_ok())?,
            skip: u64::from(skip),
            entries: body.get(24..)?.iter().copied().collect(),
        })
    }
}

struct Packets {
    source: Source,
    at: u64,
    end: u64,
    description: Description,
    /// Sizes, and frames where they differ too, seven bits a byte.
    entries: Option<VecDeque<u8>>,
    first: Option<Track>,
    last: Option<DamageKind>,
}

impl Packets {
    /// The next packet's size; `None` at the end.
    fn size(&mut self) -> Option<u64> {
        if self.description.packet_bytes > 0 {
            return Some(u64::from(self.description.packet_bytes));
        }
        let entries = self.entries.as_mut()?;
        let size = number(entries)?;
        if self.description.packet_frames == 0 {
            number(entries)?;
        }
        Some(size)
    }
}

fn number(entries: &mut VecDeque<u8>) -> Option<u64> {
    let mut number = 0_u64;
    loop {
        let byte = entries.pop_front()?;
        number = number.checked_mul(128)? | u64::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
}

impl Container for Packets {
    fn next(&mut self) -> Result<Option<Part>, FileError> {
        if let Some(track) = self.first.take() {
            return Ok(Some(track.part()));
        }
        let rest = self.end.saturating_sub(self.at);
        let size = if rest == 0 { None } else { self.size() };
        let Some(size) = size else {
            return Ok(self.last.take().map(Part::Fault));
        };
        self.source.go(self.at)?;
        let data = self.source.read(size.min(rest))?;
        self.at += data.len() as u64;
        if (data.len() as u64) < size {
            self.at = self.end;
            self.last = None;
            return Ok(Some(Part::Fault(DamageKind::CutOff)));
        }
        let frames = u64::from(self.description.packet_frames);
        Ok(Some(Part::Packet(Packet { data, frames })))
    }
}
