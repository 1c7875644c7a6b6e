//! What Symphonia leaves out of MP4 files: that they may be cut off, and where the sound begins in them.

use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom};

use symphonia::core::io::MediaSource;

use super::FileError;
use super::source::{Source, u32_be, u64_be};

/// An index of a recording of a day has a few megabytes.
const INDEX_BYTES: u64 = 256 << 20;

/// What an MP4 file's boxes say.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// Where the last box ends, which may be behind the file's end.
    pub(super) end: u64,
    /// For each track's number, how much of its time comes before the sound, in its own ticks.
    pub(super) skips: HashMap<u32, u64>,
}

/// Whether a file is one of them; `head` has eight bytes or more.
pub(super) fn is_mp4(head: &[u8]) -> bool {
    head.get(4..8) == Some(b"ftyp")
}

/// Reads the boxes. The source is at its beginning afterwards.
pub(super) fn layout(source: &mut Source) -> Result<Layout, FileError> {
    let mut layout = Layout::default();
    let mut has_index = false;
    let mut at = 0;
    while at < source.length() {
        source.go(at)?;
        let head = source.peek(16)?;
        let Some((name, start, end)) = head_of(&head, at, source.length()) else {
            break;
        };
        if &name == b"moov" {
            source.go(start)?;
            let index = source.read((end - start).min(INDEX_BYTES))?;
            has_index = end <= source.length();
            layout.skips = boxes(&index)
                .filter(|(name, _)| name == b"trak")
                .filter_map(|(_, track)| skip(track))
                .collect();
        }
        (layout.end, at) = (end, end);
    }
    source.go(0)?;
    if has_index {
        Ok(layout)
    } else {
        Err(FileError::NoIndex)
    }
}

/// A box's name, the beginning of its body, and its end; `None` for a size that cannot be.
fn head_of(head: &[u8], at: u64, length: u64) -> Option<([u8; 4], u64, u64)> {
    let name = head.get(4..8)?.try_into().ok()?;
    let (head_bytes, size) = match u32_be(head, 0)? {
        0 => (8, length.saturating_sub(at)),
        1 => (16, u64_be(head, 8)?),
        size => (8, u64::from(size)),
    };
    (size >= head_bytes).then_some((name, at + head_bytes, at.checked_add(size)?))
}

/// The boxes of a body, by name.
fn boxes(body: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let length = body.len() as u64;
        let head = body.get(usize::try_from(at).ok()?..)?;
        let (name, start, end) = head_of(head, at, length)?;
        let inner =
            body.get(usize::try_from(start).ok()?..usize::try_from(end.min(length)).ok()?)?;
        at = end;
        Some((name, inner))
    })
}

fn inner(body: &[u8], name: [u8; 4]) -> Option<&[u8]> {
    boxes(body)
        .find(|(other, _)| *other == name)
        .map(|(_, inner)| inner)
}

/// A track's number, and where its edit list begins to play it.
fn skip(track: &[u8]) -> Option<(u32, u64)> {
    let head = inner(track, *b"tkhd")?;
    let number = u32_be(head, if head.first()? == &1 { 20 } else { 12 })?;
    let edits = inner(inner(track, *b"edts")?, *b"elst")?;
    let is_long = edits.first()? == &1;
    let count = u32_be(edits, 4)?;
    // The first that is not empty: an empty one, with the time -1, only delays the sound.
    (0..count.min(16)).find_map(|edit| {
        let at = 8 + usize::try_from(edit).ok()? * if is_long { 20 } else { 12 };
        let begin = if is_long {
            i64::from_be_bytes(super::source::array(edits, at + 8)?)
        } else {
            i64::from(u32_be(edits, at + 4)?.cast_signed())
        };
        u64::try_from(begin).ok().map(|begin| (number, begin))
    })
}

/// A file that says it ends where its boxes do. What is behind its real end cannot be read.
pub(super) struct Stretched {
    inner: Box<dyn MediaSource>,
    end: u64,
}

impl Stretched {
    /// `end`: where the file should end.
    pub(super) fn new(inner: Box<dyn MediaSource>, end: u64) -> Self {
        Self { inner, end }
    }
}

impl Read for Stretched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer)
    }
}

impl Seek for Stretched {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match to {
            SeekFrom::End(offset) => {
                let at = self.end.checked_add_signed(offset);
                let at = at.ok_or(io::ErrorKind::InvalidInput)?;
                self.inner.seek(SeekFrom::Start(at))
            }
            to => self.inner.seek(to),
        }
    }
}

impl MediaSource for Stretched {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.end)
    }
}
