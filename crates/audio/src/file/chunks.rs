//! Chunks of RIFF and AIFF files: four letters, a size, a body, and often a pad byte.
//!
//! Recorders that are killed, programs that write into a pipe, and careless editors leave sizes that are 0,
//! all ones, too large, too small, or off by the pad byte. A size is believed here only when another chunk,
//! or the end of the file, is where it points to.

use std::ops::Range;

use super::FileError;
use super::source::{Source, u32_be, u32_le};

/// Sizes from here on are what a program writes that does not know the size yet: 2 GiB, less a head and a
/// remainder, or 4 GiB.
const PLACEHOLDER: u64 = 0x7FFF_0000;
/// How many bytes are looked through for the samples where a chunk before them has a wrong size.
const SEARCHED: u64 = 64 << 20;
/// A chain of more chunks is none.
const MOST_CHUNKS: usize = 1_000;
/// How often a file is searched: each time costs as much as reading it.
const MOST_SEARCHES: u32 = 20;

/// Chunks that a size may be checked by: several programs write them.
const KNOWN: &[&[u8; 4]] = &[
    b"LIST", b"fmt ", b"data", b"fact", b"ds64", b"bext", b"JUNK", b"junk", b"PAD ", b"FLLR",
    b"cue ", b"plst", b"smpl", b"inst", b"cart", b"iXML", b"axml", b"_PMX", b"id3 ", b"ID3 ",
    b"PEAK", b"DISP", b"levl", b"afsp", b"LGWV", b"chna", b"acid", b"strc", b"umid", b"minf",
    b"elm1", b"regn", b"MD5 ", b"COMM", b"SSND", b"FVER", b"MARK", b"COMT", b"INST", b"APPL",
    b"NAME", b"AUTH", b"(c) ", b"ANNO", b"CHAN", b"RIFF", b"RIFX", b"RF64", b"FORM",
];

/// Which byte of a number comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

/// A chunk's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) name: [u8; 4],
    /// Where its body begins.
    pub(super) start: u64,
    /// What its head says.
    pub(super) size: u64,
}

/// The samples' place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) samples: Range<u64>,
    /// Where chunks go on after them.
    pub(super) next: Option<u64>,
    /// The file is shorter than both of its sizes say.
    pub(super) is_cut: bool,
}

/// A file of chunks.
pub(super) struct Chunks {
    pub(super) source: Source,
    pub(super) order: Order,
    searches: u32,
}

impl Chunks {
    pub(super) fn new(source: Source, order: Order) -> Self {
        Self {
            source,
            order,
            searches: 0,
        }
    }

    /// The chunk whose head is at `at`; `None` where no name can be, or at the end.
    pub(super) fn at(&mut self, at: u64) -> Result<Option<Chunk>, FileError> {
        self.source.go(at)?;
        let head = self.source.peek(8)?;
        let size = match self.order {
            Order::Little => u32_le(&head, 4),
            Order::Big => u32_be(&head, 4),
        };
        let name = head.first_chunk::<4>().copied();
        Ok(name.zip(size).and_then(|(name, size)| {
            name.iter()
                .all(|byte| (b' '..=b'~').contains(byte))
                .then_some(Chunk {
                    name,
                    start: at + 8,
                    size: u64::from(size),
                })
        }))
    }

    /// Up to `most` bytes of a chunk's body.
    pub(super) fn body(&mut self, chunk: &Chunk, most: u64) -> Result<Vec<u8>, FileError> {
        self.source.go(chunk.start)?;
        self.source.peek(chunk.size.min(most))
    }

    /// Where the chunk after `chunk` is: past its pad byte, if it has one. `None` if there is none, or if the
    /// size is wrong.
    pub(super) fn after(&mut self, chunk: &Chunk) -> Result<Option<u64>, FileError> {
        let end = chunk.start.saturating_add(chunk.size);
        let pad = end % 2;
        // Some writers leave the pad byte out, others have one where none belongs.
        let places = [end + pad, end, end + 1];
        for is_known in [true, false] {
            for at in places {
                let next = self.at(at)?;
                let length = self.source.length();
                let is_like = next.is_some_and(|next| {
                    if is_known {
                        KNOWN.contains(&&next.name)
                    } else {
                        next.start.saturating_add(next.size) <= length + 1
                    }
                });
                if is_like {
                    return Ok(Some(at));
                }
            }
        }
        Ok(None)
    }

    /// Where one of the chunks `names` is, after a chunk whose size is wrong. One that fits in the file is
    /// taken before one that does not: "data" may be part of a word.
    pub(super) fn search(
        &mut self,
        from: u64,
        names: &[[u8; 4]],
    ) -> Result<Option<u64>, FileError> {
        self.searches += 1;
        if self.searches > MOST_SEARCHES {
            return Ok(None);
        }
        let mut second_best = None;
        self.source.go(from)?;
        while self.source.at() < from.saturating_add(SEARCHED) && self.source.find(names)? {
            let at = self.source.at();
            if let Some(chunk) = self.at(at)? {
                let rest = self.source.length().saturating_sub(chunk.start);
                if (1..=rest).contains(&chunk.size) {
                    return Ok(Some(at));
                }
                if chunk.size == 0 || chunk.size >= PLACEHOLDER {
                    second_best = second_best.or(Some(at));
                }
            }
            self.source.go(at + 1)?;
        }
        Ok(second_best)
    }

    /// Where the samples are that begin at `start` and are said to have `claimed` bytes, in a file that is
    /// said to end at `file_end`.
    pub(super) fn extent(
        &mut self,
        start: u64,
        claimed: u64,
        file_end: u64,
    ) -> Result<Extent, FileError> {
        let length = self.source.length();
        let rest = length.saturating_sub(start);
        let all = Extent {
            samples: start..length,
            next: None,
            is_cut: false,
        };
        if claimed >= rest {
            let is_known = claimed < PLACEHOLDER && file_end < PLACEHOLDER;
            let is_cut = is_known && claimed > rest && file_end > length;
            return Ok(Extent { is_cut, ..all });
        }
        let end = start + claimed;
        if claimed > 0 && length - end < 8 {
            return Ok(Extent {
                samples: start..end,
                ..all
            });
        }
        for at in [end + end % 2, end, end + 1] {
            if self.is_chain(at)? {
                return Ok(Extent {
                    samples: start..end,
                    next: Some(at),
                    is_cut: false,
                });
            }
        }
        if claimed > 0 && self.is_tag(end)? {
            return Ok(Extent {
                samples: start..end,
                ..all
            });
        }
        Ok(all)
    }

    /// Whether chunks follow each other from `at` to the end.
    fn is_chain(&mut self, mut at: u64) -> Result<bool, FileError> {
        for _ in 0..MOST_CHUNKS {
            let Some(chunk) = self.at(at)? else {
                return Ok(false);
            };
            let end = chunk.start.saturating_add(chunk.size);
            let length = self.source.length();
            if end >= length {
                return Ok(end <= length + 1 || KNOWN.contains(&&chunk.name));
            }
            match self.after(&chunk)? {
                Some(next) => at = next,
                None => return Ok(length - end < 8 && KNOWN.contains(&&chunk.name)),
            }
        }
        Ok(false)
    }

    /// Whether a music player's tag begins at `at`.
    fn is_tag(&mut self, at: u64) -> Result<bool, FileError> {
        self.source.go(at)?;
        let head = self.source.peek(8)?;
        Ok([&b"ID3"[..], b"TAG", b"APETAGEX"]
            .iter()
            .any(|tag| head.starts_with(tag)))
    }
}
