//! MPEG audio (MP3, MP2, MP1): frames one behind the other, with tags before, between and after them.

use std::ops::Range;

use symphonia::core::audio::Channels;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3};

use super::source::{Source, u32_be, u32_le};
use super::track::{Container, Packet, Part, Track};
use super::{DamageKind, FileError};

/// What a decoder is behind by, beside what the encoder says of itself.
const DECODER_DELAY: u64 = 529;
/// How far the first frame is looked for: behind pictures that are no tag, or the rest of a frame.
const SEARCHED: u64 = 1 << 20;
/// More bytes than any frame has.
const LONGEST_FRAME: u64 = 2_048;

/// Whether frames follow the tags at the file's beginning.
pub(super) fn is_mpeg(source: &mut Source) -> Result<bool, FileError> {
    let frames = Frames::new(source.length());
    skip_tags(source)?;
    let at = source.at();
    let head = source.peek(8)?;
    let is_frame = Header::read(&head).is_some() && frames.is_frame(source, at, None)?;
    source.go(0)?;
    Ok(is_frame)
}

pub(super) fn open(source: Source) -> Box<dyn Container> {
    let length = source.length();
    within(source, 0..length)
}

/// Frames in a part of a file.
pub(super) fn within(source: Source, range: Range<u64>) -> Box<dyn Container> {
    Box::new(Mpeg {
        frames: Frames::new(range.end),
        source,
        at: range.start,
        is_new: true,
        is_started: false,
        owed: 0,
        waiting: None,
        is_over: false,
    })
}

struct Mpeg {
    source: Source,
    frames: Frames,
    /// Where the next frame should be.
    at: u64,
    /// The next frame begins a track.
    is_new: bool,
    is_started: bool,
    /// Frames that the encoder says are still to come.
    owed: u64,
    /// A frame that waits behind the track that it begins.
    waiting: Option<Packet>,
    is_over: bool,
}

impl Container for Mpeg {
    fn next(&mut self) -> Result<Option<Part>, FileError> {
        if let Some(packet) = self.waiting.take() {
            return Ok(Some(Part::Packet(packet)));
        }
        if self.is_over {
            return Ok(None);
        }
        self.source.go(self.at)?;
        let has_tags = skip_tags(&mut self.source)?;
        if has_tags {
            self.begin_anew();
        }
        let from = self.source.at();
        let Some(header) = self.find(from)? else {
            self.is_over = true;
            return Ok(self.end(from)?.map(Part::Fault));
        };
        let at = self.source.at();
        if at > from && self.is_started && !has_tags {
            self.at = at;
            // The encoder's count is that of the whole file.
            self.owed = 0;
            return Ok(Some(Part::Fault(DamageKind::Lost)));
        }
        let data = self.source.read(header.bytes.min(self.frames.end - at))?;
        self.at = self.source.at();
        if (data.len() as u64) < header.bytes {
            self.is_over = true;
            return Ok(Some(Part::Fault(DamageKind::CutOff)));
        }
        Ok(Some(self.part(header, data)))
    }
}

impl Mpeg {
    /// What follows may be another file.
    fn begin_anew(&mut self) {
        self.frames.expected = None;
        self.is_new = true;
    }

    /// Goes to the next frame of this stream; else to the next of any.
    fn find(&mut self, from: u64) -> Result<Option<Header>, FileError> {
        let found = self.frames.find(&mut self.source)?;
        if found.is_some() || self.frames.expected.is_none() {
            return Ok(found);
        }
        self.begin_anew();
        self.source.go(from)?;
        self.frames.find(&mut self.source)
    }

    fn part(&mut self, header: Header, data: Vec<u8>) -> Part {
        let before = self.frames.expected.replace(header);
        let is_other = before.is_some_and(|before| before.sound() != header.sound());
        self.is_started = true;
        if !std::mem::take(&mut self.is_new) && !is_other {
            self.owed = self.owed.saturating_sub(1);
            return Part::Packet(header.packet(data));
        }
        let mut track = Track::new(header.parameters());
        if let Some(info) = Info::read(&data, &header) {
            track.skip = info.skip;
            track.frames = info.frames;
            self.owed = info.count;
        } else {
            self.owed = 0;
            self.waiting = Some(header.packet(data));
        }
        track.part()
    }

    /// What is wrong with the end: behind the last frame there is often a tag or padding, and seldom a frame
    /// that lost its head. `from`: where that frame ended.
    fn end(&mut self, from: u64) -> Result<Option<DamageKind>, FileError> {
        // Some encoders count one too many.
        if self.owed > 1 {
            return Ok(Some(DamageKind::CutOff));
        }
        if from >= self.frames.end || self.source.is_padding(from, self.frames.end)? {
            return Ok(None);
        }
        let is_part_of_a_frame = self.is_started && self.frames.end - from < LONGEST_FRAME;
        Ok(Some(if is_part_of_a_frame {
            DamageKind::CutOff
        } else {
            DamageKind::Lost
        }))
    }
}

/// What tells frames from other bytes.
struct Frames {
    /// The end of the bytes that may be frames.
    end: u64,
    /// The last frame's head.
    expected: Option<Header>,
}

impl Frames {
    fn new(end: u64) -> Self {
        Self {
            end,
            expected: None,
        }
    }

    /// Goes to the next frame; `None` if there is none any more.
    fn find(&self, source: &mut Source) -> Result<Option<Header>, FileError> {
        const STEP: u64 = 16 << 10;
        let from = source.at();
        loop {
            let at = source.at();
            let bytes = source.peek(STEP.min(self.end.saturating_sub(at)))?;
            for place in 0..bytes.len().saturating_sub(3) {
                let head = bytes.get(place..).unwrap_or_default();
                let is_like = Header::read(head).is_some();
                if is_like && self.is_frame(source, at + place as u64, self.expected)? {
                    source.go(at + place as u64)?;
                    return Ok(Header::read(head));
                }
            }
            let is_long_enough = self.expected.is_none() && at - from > SEARCHED;
            if (bytes.len() as u64) < STEP || is_long_enough {
                return Ok(None);
            }
            source.go(at + STEP - 3)?;
        }
    }

    /// Whether a frame is at `at`: a head like the ones before, and another behind it, a tag, or the end.
    fn is_frame(
        &self,
        source: &mut Source,
        at: u64,
        expected: Option<Header>,
    ) -> Result<bool, FileError> {
        source.go(at)?;
        let Some(header) = Header::read(&source.peek(4)?) else {
            return Ok(false);
        };
        let is_kin = |other: Header| header.kind() == other.kind();
        if expected.is_some_and(|expected| !is_kin(expected)) {
            return Ok(false);
        }
        let next = at + header.bytes;
        if next + 4 > self.end {
            // A single frame is not enough to take noise for music.
            return Ok(expected.is_some());
        }
        source.go(next)?;
        let behind = source.peek(32)?;
        let follows = Header::read(&behind).is_some_and(is_kin) || tag_bytes(&behind).is_some();
        Ok(follows || (expected.is_some() && source.is_padding(next, self.end)?))
    }
}

/// Goes past tags; whether there was one.
fn skip_tags(source: &mut Source) -> Result<bool, FileError> {
    let mut any = false;
    while let Some(bytes) = tag_bytes(&source.peek(32)?) {
        any = true;
        source.go(source.at().saturating_add(bytes))?;
    }
    Ok(any)
}

/// Bytes of the tag that `head` begins; `None` if it is none.
fn tag_bytes(head: &[u8]) -> Option<u64> {
    if head.starts_with(b"ID3") {
        // Four times seven bits; a flag adds a foot.
        let size = head
            .get(6..10)?
            .iter()
            .fold(0, |size, &byte| (size << 7) | u64::from(byte & 0x7F));
        let foot = if head.get(5)? & 0x10 == 0 { 0 } else { 10 };
        return Some(10 + size + foot);
    }
    if head.starts_with(b"APETAGEX") {
        let size = u64::from(u32_le(head, 12)?);
        // A head is not counted in the size, a foot is; the foot alone stands behind what was passed already.
        let is_head = u32_le(head, 20)? & (1 << 29) != 0;
        return Some(if is_head { 32 + size } else { 32 });
    }
    if head.starts_with(b"TAG") {
        return Some(128);
    }
    None
}

/// A frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    /// 1, 2, or 25 for the unofficial 2.5.
    version: u8,
    layer: u8,
    rate_hz: u32,
    channels: u16,
    bytes: u64,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let head = u32_be(bytes, 0)?;
        if head >> 21 != 0x7FF {
            return None;
        }
        let version = match (head >> 19) & 3 {
            0 => 25,
            2 => 2,
            3 => 1,
            _ => return None,
        };
        let layer = match (head >> 17) & 3 {
            0 => return None,
            code => u8::try_from(4 - code).ok()?,
        };
        let base: u32 = match (head >> 10) & 3 {
            0 => 44_100,
            1 => 48_000,
            2 => 32_000,
            _ => return None,
        };
        let rate_hz = match version {
            1 => base,
            2 => base / 2,
            _ => base / 4,
        };
        let bits_per_s = 1_000 * kilobits(version, layer, (head >> 12) & 15)?;
        let padding = (head >> 9) & 1;
        let bytes = match (version, layer) {
            (_, 1) => 4 * (12 * bits_per_s / rate_hz + padding),
            (2 | 25, 3) => 72 * bits_per_s / rate_hz + padding,
            _ => 144 * bits_per_s / rate_hz + padding,
        };
        Some(Self {
            version,
            layer,
            rate_hz,
            channels: if (head >> 6) & 3 == 3 { 1 } else { 2 },
            bytes: u64::from(bytes),
        })
    }

    /// What stays the same from frame to frame of one stream, and is checked to find one.
    fn kind(self) -> (u8, u8, u32) {
        (self.version, self.layer, self.rate_hz)
    }

    /// What a decoder is made for.
    fn sound(self) -> (u8, u32, u16) {
        (self.layer, self.rate_hz, self.channels)
    }

    fn frames(self) -> u64 {
        match (self.version, self.layer) {
            (_, 1) => 384,
            (2 | 25, 3) => 576,
            _ => 1_152,
        }
    }

    fn packet(self, data: Vec<u8>) -> Packet {
        Packet {
            data,
            frames: self.frames(),
        }
    }

    fn parameters(self) -> AudioCodecParameters {
        let mut parameters = AudioCodecParameters::new();
        parameters
            .for_codec(match self.layer {
                1 => CODEC_ID_MP1,
                2 => CODEC_ID_MP2,
                _ => CODEC_ID_MP3,
            })
            .with_sample_rate(self.rate_hz)
            .with_channels(Channels::Discrete(self.channels));
        parameters
    }
}

/// Bits a second of a frame, in thousands (ISO 11172-3, 2.4.2.3; ISO 13818-3, 2.4.2.3). Frames of a free
/// rate (0) say nothing of their size.
fn kilobits(version: u8, layer: u8, index: u32) -> Option<u32> {
    const TABLES: [[u32; 14]; 5] = [
        [
            32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448,
        ],
        [
            32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384,
        ],
        [
            32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
        ],
        [
            32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256,
        ],
        [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    ];
    let table = match (version, layer) {
        (1, 1) => &TABLES[0],
        (1, 2) => &TABLES[1],
        (1, _) => &TABLES[2],
        (_, 1) => &TABLES[3],
        _ => &TABLES[4],
    };
    table
        .get(usize::try_from(index.checked_sub(1)?).ok()?)
        .copied()
}

/// What an encoder says of the whole file in the first frame, which has no sound then.
#[derive(Debug, Default)]
struct Info {
    skip: u64,
    frames: Option<u64>,
    /// Frames of MPEG that follow; 0 if unknown.
    count: u64,
}

impl Info {
    fn read(frame: &[u8], header: &Header) -> Option<Self> {
        if header.layer != 3 {
            return None;
        }
        // Behind the head and the side information.
        let side = match (header.version, header.channels) {
            (1, 2) => 32,
            (1, _) | (_, 2) => 17,
            _ => 9,
        };
        if frame.get(36..40) == Some(b"VBRI") {
            return Some(Self::default());
        }
        let info = frame.get(4 + side..)?;
        if !info.starts_with(b"Xing") && !info.starts_with(b"Info") {
            return None;
        }
        let flags = u32_be(info, 4)?;
        let count = (flags & 1 != 0).then(|| u32_be(info, 8)).flatten();
        // The count, the bytes, the table of places, the quality: each if its flag is set.
        let tail = 8
            + 4 * (flags & 1)
            + 4 * ((flags >> 1) & 1)
            + 100 * ((flags >> 2) & 1)
            + 4 * ((flags >> 3) & 1);
        let encoder = info.get(usize::try_from(tail).ok()?..).unwrap_or_default();
        let delays = encoder
            .get(21..24)
            .filter(|_| encoder.first().is_some_and(u8::is_ascii_graphic));
        let Some(&[high, middle, low]) = delays.and_then(|delays| delays.first_chunk::<3>()) else {
            return Some(Self {
                count: count.map_or(0, u64::from),
                ..Self::default()
            });
        };
        // Two numbers of twelve bits: frames before the sound and behind it.
        let before = (u64::from(high) << 4) | u64::from(middle >> 4);
        let behind = (u64::from(middle & 15) << 8) | u64::from(low);
        let all = count.map(|count| u64::from(count) * header.frames());
        let end = all.and_then(|all| (all + DECODER_DELAY).checked_sub(behind));
        Some(Self {
            skip: before + DECODER_DELAY,
            // The decoder's own delay pushes the end out, but no frame follows to hold it.
            frames: end,
            count: count.map_or(0, u64::from),
        })
    }
}
