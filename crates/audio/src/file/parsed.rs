//! Containers that Symphonia reads: FLAC, MP4, AAC in ADTS.

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::errors::Error as DecodeError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;

use super::decoder::Decoder;
use super::mp4::{self, Stretched};
use super::opus::Head;
use super::source::{Source, u32_be};
use super::track::{Container, Packet, Part, Track};
use super::{DamageKind, FileError};

/// Zeros behind the last frame are counted up to here.
const PADDING_BYTES: u64 = 1 << 20;

pub(super) fn open(
    mut source: Source,
    extension: Option<&str>,
) -> Result<Box<dyn Container>, FileError> {
    let head = source.peek(16)?;
    let is_mp4 = mp4::is_mp4(&head);
    let layout = if is_mp4 {
        mp4::layout(&mut source)?
    } else {
        mp4::Layout::default()
    };
    let length = source.length();
    let is_flac = head.starts_with(b"fLaC");
    let begin = if is_flac {
        flac_frames(&mut source)?
    } else {
        0
    };
    let padding = if is_flac {
        behind_flac(&mut source)?
    } else {
        0
    };
    let inner: Box<dyn MediaSource> =
        Box::new(Stretched::new(source.into_inner()?, layout.end.max(length)));
    let format = probe(inner, extension)?;
    let (number, mut track) = choose(&*format)?;
    if is_mp4 {
        track.skip = layout.skips.get(&number).copied().unwrap_or(0);
        if let (CODEC_ID_OPUS, Some(head)) = (track.parameters.codec, &track.parameters.extra_data)
        {
            let head = Head::from_mp4(head);
            track.parameters.extra_data = Some(head.into());
        }
    }
    if track.parameters.codec == CODEC_ID_OPUS && track.skip == 0 {
        let head = track.parameters.extra_data.as_deref().and_then(Head::read);
        track.skip = head.map_or(0, |head| u64::from(head.pre_skip));
    }
    Ok(Box::new(Parsed {
        has_clock: is_flac,
        unread: is_flac.then(|| length.saturating_sub(begin)),
        padding,
        is_cut: layout.end > length,
        format,
        number,
        first: Some(track),
        expected: 0,
        waiting: None,
        is_over: false,
    }))
}

/// Where the frames of a FLAC file begin: behind its metadata, of which the last block is marked.
fn flac_frames(source: &mut Source) -> Result<u64, FileError> {
    let mut at = 4;
    loop {
        source.go(at)?;
        let Some(head) = u32_be(&source.peek(4)?, 0) else {
            return Ok(source.length());
        };
        at += 4 + u64::from(head & 0x00FF_FFFF);
        if head >> 31 == 1 {
            return Ok(at);
        }
    }
}

/// Bytes behind a FLAC file's last frame: a tag, or padding.
fn behind_flac(source: &mut Source) -> Result<u64, FileError> {
    const TAG_BYTES: u64 = 128;
    source.go(source.length().saturating_sub(TAG_BYTES))?;
    let end = source.read(TAG_BYTES)?;
    if end.starts_with(b"TAG") {
        return Ok(TAG_BYTES);
    }
    source.go(source.length().saturating_sub(PADDING_BYTES))?;
    let end = source.read(PADDING_BYTES)?;
    Ok(end.iter().rev().take_while(|&&byte| byte == 0).count() as u64)
}

fn probe(
    source: Box<dyn MediaSource>,
    extension: Option<&str>,
) -> Result<Box<dyn FormatReader>, FileError> {
    let mut hint = Hint::new();
    if let Some(extension) = extension {
        hint.with_extension(extension);
    }
    symphonia::default::get_probe()
        .probe(
            &hint,
            MediaSourceStream::new(source, MediaSourceStreamOptions::default()),
            FormatOptions::default(),
            MetadataOptions::default(),
        )
        .map_err(|source| FileError::UnknownFormat {
            source: Some(source),
        })
}

/// The first sound that can be decoded, and its number in the file.
fn choose(format: &dyn FormatReader) -> Result<(u32, Track), FileError> {
    let mut fault = FileError::NoTrack;
    let sounds = format
        .tracks()
        .iter()
        .filter(|stream| stream.track_type() == Some(TrackType::Audio));
    for stream in sounds {
        let Some(CodecParameters::Audio(parameters)) = &stream.codec_params else {
            continue;
        };
        match Decoder::new(parameters) {
            Ok(_) => return Ok((stream.id, Track::new(parameters.clone()))),
            Err(error) => fault = error,
        }
    }
    Err(fault)
}

struct Parsed {
    format: Box<dyn FormatReader>,
    number: u32,
    first: Option<Track>,
    /// Packets carry times of their own, which jump where some are missing.
    has_clock: bool,
    expected: i64,
    /// Bytes of frames that no packet was made of yet, where every byte belongs to one.
    unread: Option<u64>,
    /// Those of them that are a tag.
    padding: u64,
    /// A packet behind a fault.
    waiting: Option<Packet>,
    is_cut: bool,
    is_over: bool,
}

impl Container for Parsed {
    fn next(&mut self) -> Result<Option<Part>, FileError> {
        if let Some(track) = self.first.take() {
            return Ok(Some(track.part()));
        }
        if let Some(packet) = self.waiting.take() {
            return Ok(Some(Part::Packet(packet)));
        }
        while !self.is_over {
            let packet = match self.format.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => {
                    self.is_over = true;
                    let is_left = self.unread.is_some_and(|unread| unread > self.padding);
                    return Ok((self.is_cut || is_left).then_some(Part::Fault(DamageKind::CutOff)));
                }
                Err(error) => {
                    self.is_over = true;
                    let kind = match error {
                        DecodeError::IoError(_) => DamageKind::CutOff,
                        _ => DamageKind::Lost,
                    };
                    return Ok(Some(Part::Fault(kind)));
                }
            };
            if packet.track_id != self.number {
                continue;
            }
            let frames = packet.dur.get();
            self.unread = self
                .unread
                .map(|unread| unread.saturating_sub(packet.data.len() as u64));
            let is_gap = self.has_clock && packet.pts.get() != self.expected;
            self.expected = packet.pts.get().saturating_add_unsigned(frames);
            let packet = Packet {
                data: packet.data.into_vec(),
                frames,
            };
            if is_gap {
                self.unread = None;
                self.waiting = Some(packet);
                return Ok(Some(Part::Fault(DamageKind::Lost)));
            }
            return Ok(Some(Part::Packet(packet)));
        }
        Ok(None)
    }
}
