//! Matroska and WebM: elements within elements (RFC 8794, RFC 9559), of which few matter for sound.
//!
//! Browsers write WebM while they record, so sizes of the outer elements are often unknown. They are not
//! needed: the outer elements are entered and their children read one after the other.

mod codec;
mod element;
mod lacing;

use std::collections::VecDeque;

use super::opus::Head;
use super::source::Source;
use super::track::{Container, Packet, Part, Track};
use super::{DamageKind, FileError};
use codec::Entry;
use element::{Element, id, number};

/// What an element's body may have that is read as a whole. Blocks of sound have kilobytes.
const MOST_BYTES: u64 = 64 << 20;

/// How far a block is looked for behind damage.
const SEARCHED_BYTES: u64 = 256 << 10;

/// Whether a file is one of them.
pub(super) fn is_matroska(head: &[u8]) -> bool {
    head.starts_with(&[0x1A, 0x45, 0xDF, 0xA3])
}

pub(super) fn open(source: Source) -> Result<Box<dyn Container>, FileError> {
    let mut matroska = Matroska {
        source,
        entry: None,
        parts: VecDeque::new(),
        is_over: false,
    };
    while matroska.entry.is_none() {
        if !matroska.step()? {
            return Err(FileError::NoTrack);
        }
    }
    Ok(Box::new(matroska))
}

struct Matroska {
    source: Source,
    /// The track that is played.
    entry: Option<Entry>,
    parts: VecDeque<Part>,
    is_over: bool,
}

impl Container for Matroska {
    fn next(&mut self) -> Result<Option<Part>, FileError> {
        loop {
            if let Some(part) = self.parts.pop_front() {
                return Ok(Some(part));
            }
            if self.is_over || !self.step()? {
                self.is_over = true;
                return Ok(self.parts.pop_front());
            }
        }
    }
}

impl Matroska {
    /// Reads one element; `false` at the end.
    fn step(&mut self) -> Result<bool, FileError> {
        let at = self.source.at();
        if self.source.rest() == 0 {
            return Ok(false);
        }
        let head = self.source.peek(12)?;
        let Some(element) = Element::read(&head) else {
            return self.resume(at);
        };
        let start = at + element.head_bytes;
        match (element.id, element.size) {
            (id::SEGMENT | id::CLUSTER, _) => self.source.go(start)?,
            (_, Some(size)) if start.saturating_add(size) <= self.source.length() => {
                self.source.go(start)?;
                if [id::TRACKS, id::SIMPLE_BLOCK, id::BLOCK_GROUP].contains(&element.id) {
                    let body = self.source.read(size.min(MOST_BYTES))?;
                    self.take(element.id, &body)?;
                }
                self.source.go(start + size)?;
            }
            _ => return self.resume(at),
        }
        Ok(true)
    }

    /// Goes on at the next block or cluster: what is at `at` is damaged, or cut off.
    fn resume(&mut self, at: u64) -> Result<bool, FileError> {
        if self.source.is_padding(at, self.source.length())? {
            return Ok(false);
        }
        let is_found = self.find_next(at + 1)?;
        let kind = if is_found {
            DamageKind::Lost
        } else {
            DamageKind::CutOff
        };
        self.parts.push_back(Part::Fault(kind));
        Ok(is_found)
    }

    /// Goes to the next cluster, or to a block of the track that is played before it. A block's name is one
    /// byte, so another block or a cluster must follow it.
    fn find_next(&mut self, from: u64) -> Result<bool, FileError> {
        let number = self.entry.as_ref().map(|entry| entry.number);
        self.source.go(from)?;
        let bytes = self.source.peek(SEARCHED_BYTES)?;
        let found = (0..bytes.len()).find(|&at| {
            let rest = bytes.get(at..).unwrap_or_default();
            rest.starts_with(&id::CLUSTER.to_be_bytes()) || is_block(rest, number).is_some()
        });
        match found {
            Some(found) => self.source.go(from + found as u64).map(|()| true),
            None => self.source.find(&[id::CLUSTER.to_be_bytes()]),
        }
    }

    fn take(&mut self, id: u32, body: &[u8]) -> Result<(), FileError> {
        match id {
            id::TRACKS if self.entry.is_none() => {
                let (entry, track) = codec::choose(body)?;
                self.entry = Some(entry);
                self.parts.push_back(track.part());
            }
            id::SIMPLE_BLOCK => self.block(body, 0),
            id::BLOCK_GROUP => {
                let find = |id| element::children(body).find(|(other, _)| *other == id);
                let padding = find(id::DISCARD_PADDING).map_or(0, |(_, padding)| number(padding));
                if let Some((_, block)) = find(id::BLOCK) {
                    self.block(block, padding);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Packets of a block. The last one's end has `padding` nanoseconds that are no sound.
    fn block(&mut self, block: &[u8], padding: u64) {
        let Some(entry) = &self.entry else { return };
        let Some((track, frames)) = lacing::packets(block) else {
            self.parts.push_back(Part::Fault(DamageKind::Lost));
            return;
        };
        if track != entry.number {
            return;
        }
        let count = frames.len();
        for (index, frame) in frames.into_iter().enumerate() {
            if padding > 0 && index + 1 == count {
                self.parts
                    .push_back(Part::Padding(entry.frames_in(padding)));
            }
            let data = [&entry.prefix[..], frame].concat();
            self.parts
                .push_back(Part::Packet(Packet { data, frames: 0 }));
        }
    }
}

impl Entry {
    /// The track as a part begins it.
    fn track(&self, parameters: symphonia::core::codecs::audio::AudioCodecParameters) -> Track {
        // Opus says it in its head; some writers (ffmpeg 5.1) have another delay, at another rate.
        let head = parameters.extra_data.as_deref().and_then(Head::read);
        let mut track = Track::new(parameters);
        track.skip = head.map_or_else(
            || self.frames_in(self.delay_ns),
            |head| u64::from(head.pre_skip),
        );
        track
    }

    /// Frames in a time, rounded.
    fn frames_in(&self, nanoseconds: u64) -> u64 {
        let frames = u128::from(nanoseconds) * u128::from(self.rate_hz) + 500_000_000;
        u64::try_from(frames / 1_000_000_000).unwrap_or(u64::MAX)
    }
}

/// Whether a block of a track begins here, and something that may follow one is behind it.
fn is_block(bytes: &[u8], track: Option<u64>) -> Option<()> {
    let element = Element::read(bytes).filter(|element| element.id == id::SIMPLE_BLOCK)?;
    let body = bytes.get(usize::try_from(element.head_bytes).ok()?..)?;
    let behind = body.get(usize::try_from(element.size?).ok()?..)?;
    let next = Element::read(behind)?.id;
    let is_ours = Some(element::varint(body)?.0) == track;
    (is_ours && [id::SIMPLE_BLOCK, id::BLOCK_GROUP, id::CLUSTER].contains(&next)).then_some(())
}
