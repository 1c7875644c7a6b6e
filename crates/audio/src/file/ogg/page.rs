//! Pages: found, checked, and cut into pieces of packets.

use crate::file::source::{Source, array, u32_le, u64_le};
use crate::file::{DamageKind, FileError};

const MAGIC: [u8; 4] = *b"OggS";
const HEAD_BYTES: usize = 27;

/// What comes next in the file.
pub(super) enum Read {
    Page(Page),
    Fault(DamageKind),
    End,
}

/// Reads pages one after the other.
pub(super) struct Pages {
    source: Source,
    /// Bytes were passed that were no page.
    is_lost: bool,
}

/// A page whose checksum is right.
pub(super) struct Page {
    pub(super) serial: u32,
    pub(super) number: u32,
    /// Where the last packet that ends here ends, on the codec's clock.
    pub(super) position: Option<u64>,
    /// The first piece belongs to a packet that began before.
    pub(super) is_continued: bool,
    pub(super) is_first: bool,
    pub(super) is_last: bool,
    /// Lengths of the pieces, 255 for one that goes on.
    table: Vec<u8>,
    body: Vec<u8>,
}

/// A packet, or as much of it as a page has.
pub(super) struct Piece<'a> {
    pub(super) bytes: &'a [u8],
    /// It ends here.
    pub(super) is_whole: bool,
}

impl Pages {
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            is_lost: false,
        }
    }

    pub(super) fn next(&mut self) -> Result<Read, FileError> {
        loop {
            let at = self.source.at();
            if !self.source.find(&[MAGIC])? {
                return self.end(at);
            }
            self.is_lost |= self.source.at() != at;
            let at = self.source.at();
            let head = self.source.read(HEAD_BYTES as u64)?;
            let table = self
                .source
                .read(u64::from(head.get(26).copied().unwrap_or(0)))?;
            let length = table.iter().map(|&bytes| u64::from(bytes)).sum();
            let body = self.source.read(length)?;
            let is_whole = head.len() == HEAD_BYTES
                && table.len() == usize::from(head[26])
                && body.len() as u64 == length;
            if let Some(page) = is_whole.then(|| Page::read(&head, table, body)).flatten() {
                if std::mem::take(&mut self.is_lost) {
                    self.source.go(at)?;
                    return Ok(Read::Fault(DamageKind::Lost));
                }
                return Ok(Read::Page(page));
            }
            // The next page may be whole, and may begin within what this one claims.
            self.is_lost = true;
            self.source.go(at + 1)?;
        }
    }

    /// The end, and first of all what is wrong with it: `from` is where the last whole page ended.
    fn end(&mut self, from: u64) -> Result<Read, FileError> {
        let length = self.source.length();
        let is_lost = std::mem::take(&mut self.is_lost);
        let is_over = !is_lost && self.source.is_padding(from, length)?;
        self.source.go(length)?;
        Ok(if is_over {
            Read::End
        } else {
            Read::Fault(DamageKind::CutOff)
        })
    }
}

impl Page {
    fn read(head: &[u8], table: Vec<u8>, body: Vec<u8>) -> Option<Self> {
        let mut unsummed: [u8; HEAD_BYTES] = array(head, 0)?;
        unsummed[22..26].fill(0);
        let sum = [&unsummed[..], &table, &body]
            .iter()
            .fold(0, |sum, bytes| checksum(sum, bytes));
        let position = u64_le(head, 6)?;
        (u32_le(head, 22)? == sum).then_some(Self {
            is_continued: head[5] & 1 != 0,
            is_first: head[5] & 2 != 0,
            is_last: head[5] & 4 != 0,
            // All ones: no packet ends here. A clock that began below zero is none of ours.
            position: (position < 1 << 62).then_some(position),
            serial: u32_le(head, 14)?,
            number: u32_le(head, 18)?,
            table,
            body,
        })
    }

    pub(super) fn packets(&self) -> impl Iterator<Item = Piece<'_>> {
        let (mut table, mut body) = (&self.table[..], &self.body[..]);
        std::iter::from_fn(move || {
            let first = table.first()?;
            let more = table.iter().take_while(|&&bytes| bytes == 255).count();
            let is_whole = more < table.len();
            let taken = more + usize::from(is_whole);
            let length = table
                .iter()
                .take(taken)
                .map(|&bytes| usize::from(bytes))
                .sum::<usize>();
            debug_assert!(
                usize::from(*first) <= length,
                "a packet has its first piece"
            );
            let (bytes, rest) = body.split_at_checked(length)?;
            (table, body) = (table.get(taken..)?, rest);
            Some(Piece { bytes, is_whole })
        })
    }
}

/// Ogg's checksum: a CRC of 32 bits with the polynomial 0x04C11DB7, the highest bit first, from 0.
fn checksum(sum: u32, bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    bytes.iter().fold(sum, |sum, &byte| {
        let [high, ..] = sum.to_be_bytes();
        (sum << 8) ^ TABLE[usize::from(high ^ byte)]
    })
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte: u8 = 0;
    loop {
        let mut sum = (byte as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            sum = (sum << 1) ^ if sum >> 31 == 1 { 0x04C1_1DB7 } else { 0 };
            bit += 1;
        }
        table[byte as usize] = sum;
        if byte == u8::MAX {
            return table;
        }
        byte += 1;
    }
}
