//! Bytes of a file, with a position and an end.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use symphonia::core::io::MediaSource;

use super::FileError;

/// Zeros behind a file's end are looked at up to here.
const MOST_PADDING: u64 = 1 << 20;

/// A seekable file. Reads end at its end without an error.
pub(super) struct Source {
    inner: BufReader<Box<dyn MediaSource>>,
    length: u64,
    at: u64,
}

impl Source {
    pub(super) fn new(mut source: Box<dyn MediaSource>) -> Result<Self, FileError> {
        let length = source.seek(SeekFrom::End(0)).map_err(io_error)?;
        source.rewind().map_err(io_error)?;
        Ok(Self {
            inner: BufReader::with_capacity(64 << 10, source),
            length,
            at: 0,
        })
    }

    /// Bytes of the whole file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Bytes before the next that is read.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Bytes from here to the end.
    pub(super) fn rest(&self) -> u64 {
        self.length.saturating_sub(self.at)
    }

    /// Goes to a place, at most to the end.
    pub(super) fn go(&mut self, at: u64) -> Result<(), FileError> {
        let at = at.min(self.length);
        let step = i64::try_from(at).ok().zip(i64::try_from(self.at).ok());
        match step {
            Some((to, from)) => self.inner.seek_relative(to - from),
            None => self.inner.seek(SeekFrom::Start(at)).map(|_| ()),
        }
        .map_err(io_error)?;
        self.at = at;
        Ok(())
    }

    /// Up to `count` bytes; fewer at the end only. Memory grows with what is there, not with `count`.
    pub(super) fn read(&mut self, count: u64) -> Result<Vec<u8>, FileError> {
        let mut bytes = Vec::new();
        (&mut self.inner)
            .take(count)
            .read_to_end(&mut bytes)
            .map_err(io_error)?;
        self.at += bytes.len() as u64;
        Ok(bytes)
    }

    /// As [`Self::read`], without going forward.
    pub(super) fn peek(&mut self, count: u64) -> Result<Vec<u8>, FileError> {
        let at = self.at;
        let bytes = self.read(count)?;
        self.go(at)?;
        Ok(bytes)
    }

    /// Goes to the next place whose first bytes are one of `marks`, each of four bytes; `false` at the end,
    /// where it stays then.
    pub(super) fn find(&mut self, marks: &[[u8; 4]]) -> Result<bool, FileError> {
        const STEP: u64 = 32 << 10;
        loop {
            let bytes = self.peek(STEP)?;
            let found = bytes
                .windows(4)
                .position(|window| marks.iter().any(|mark| mark == window));
            if let Some(found) = found {
                self.go(self.at + found as u64)?;
                return Ok(true);
            }
            if (bytes.len() as u64) < STEP {
                self.go(self.length)?;
                return Ok(false);
            }
            // A mark may lie across two steps.
            self.go(self.at + STEP - 3)?;
        }
    }

    /// Whether nothing but zeros follows from `from` to `end`: padding, which some devices leave.
    pub(super) fn is_padding(&mut self, from: u64, end: u64) -> Result<bool, FileError> {
        self.go(from)?;
        let rest = self.read(MOST_PADDING.min(end.saturating_sub(from)))?;
        Ok(rest.iter().all(|&byte| byte == 0))
    }

    /// The file from its beginning.
    pub(super) fn into_inner(self) -> Result<Box<dyn MediaSource>, FileError> {
        let mut inner = self.inner.into_inner();
        inner.rewind().map_err(io_error)?;
        Ok(inner)
    }
}

/// A system's error while reading.
pub(super) fn io_error(source: io::Error) -> FileError {
    FileError::Io { source }
}

/// Numbers at a place of a byte slice; `None` beyond its end.
pub(super) fn u16_le(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(array(bytes, at)?))
}

pub(super) fn u32_le(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(array(bytes, at)?))
}

pub(super) fn u64_le(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(array(bytes, at)?))
}

pub(super) fn u16_be(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(array(bytes, at)?))
}

pub(super) fn u32_be(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(array(bytes, at)?))
}

pub(super) fn u64_be(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(array(bytes, at)?))
}

/// `N` bytes at a place; `None` beyond the end.
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}
