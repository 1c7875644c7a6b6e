//! Ogg: pages that carry packets of Opus, Vorbis or FLAC (RFC 3533), one stream or a chain of them.

mod page;
mod stream;

use std::collections::VecDeque;

use super::source::Source;
use super::track::{Container, Packet, Part};
use super::{DamageKind, FileError};
use page::{Page, Pages, Read};
use stream::{Kind, Stream};

pub(super) fn open(source: Source) -> Box<dyn Container> {
    Box::new(Ogg {
        pages: Pages::new(source),
        link: None,
        parts: VecDeque::new(),
        is_started: false,
        foreign: None,
        is_over: false,
    })
}

/// A file of one or several links, each with streams side by side, of which one is played.
struct Ogg {
    pages: Pages,
    /// The stream that is played in this link.
    link: Option<Link>,
    parts: VecDeque<Part>,
    /// Whether a stream was found anywhere.
    is_started: bool,
    /// A codec that was found and cannot be decoded.
    foreign: Option<&'static str>,
    is_over: bool,
}

struct Link {
    serial: u32,
    stream: Stream,
    /// The next page's number.
    number: u32,
    /// The beginning of a packet that ends on a later page.
    partial: Option<Vec<u8>>,
}

impl Container for Ogg {
    fn next(&mut self) -> Result<Option<Part>, FileError> {
        loop {
            if let Some(part) = self.parts.pop_front() {
                return Ok(Some(part));
            }
            if self.is_over {
                return self.end();
            }
            match self.pages.next()? {
                Read::Page(page) => self.take(&page),
                Read::Fault(kind) => {
                    if let Some(link) = &mut self.link {
                        link.partial = None;
                    }
                    self.parts.push_back(Part::Fault(kind));
                }
                Read::End => self.is_over = true,
            }
        }
    }
}

impl Ogg {
    fn end(&self) -> Result<Option<Part>, FileError> {
        match self.foreign {
            _ if self.is_started => Ok(None),
            Some(codec) => Err(FileError::UnknownCodec { codec }),
            None => Err(FileError::NoTrack),
        }
    }

    fn take(&mut self, page: &Page) {
        if page.is_first {
            self.begin(page);
            return;
        }
        let Some(link) = &mut self.link else { return };
        if link.serial == page.serial {
            link.take(page, &mut self.parts);
            self.is_started |= link.stream.is_ready();
        }
    }

    /// A page that begins a stream: of this link, or of the next one.
    fn begin(&mut self, page: &Page) {
        // Within a link all streams begin before any goes on.
        let is_beside = self
            .link
            .as_ref()
            .is_some_and(|link| link.number == page.number + 1 && !link.stream.is_ready());
        let Some(head) = page.packets().next() else {
            return;
        };
        match Kind::of(head.bytes) {
            Some(Kind::Playable(stream)) if !is_beside => {
                self.link = Some(Link {
                    serial: page.serial,
                    stream,
                    number: page.number.wrapping_add(1),
                    partial: None,
                });
            }
            Some(Kind::Foreign(codec)) => self.foreign = self.foreign.or(Some(codec)),
            _ => {}
        }
    }
}

impl Link {
    fn take(&mut self, page: &Page, parts: &mut VecDeque<Part>) {
        if page.number != self.number {
            self.partial = None;
            parts.push_back(Part::Fault(DamageKind::Lost));
        }
        self.number = page.number.wrapping_add(1);
        if !page.is_continued {
            self.partial = None;
        }
        if let (true, Some(position)) = (page.is_last, page.position) {
            parts.push_back(Part::Last(position));
        }
        // The rest of a packet whose beginning is missing.
        let mut is_headless = page.is_continued && self.partial.is_none();
        for piece in page.packets() {
            let mut packet = self.partial.take().unwrap_or_default();
            packet.extend_from_slice(piece.bytes);
            if !piece.is_whole {
                self.partial = (!is_headless).then_some(packet);
            } else if !std::mem::take(&mut is_headless) {
                self.packet(packet, parts);
            }
        }
        if let (false, Some(position)) = (page.is_last, page.position) {
            parts.push_back(Part::Position(position));
        }
    }

    fn packet(&mut self, packet: Vec<u8>, parts: &mut VecDeque<Part>) {
        if self.stream.is_ready() {
            // An empty packet stands for no sound.
            if !packet.is_empty() {
                parts.push_back(Part::Packet(Packet {
                    data: packet,
                    frames: 0,
                }));
            }
        } else if let Some(track) = self.stream.header(packet) {
            parts.push_back(track.part());
        }
    }
}
