//! Audio files, as programs and devices leave them, to a [`Waveform`].
//!
//! A container ([`track::Container`]) hands over packets, a [`decoder`] makes samples of them, and
//! [`assembly`] mixes, resamples and limits them. Containers that recorders leave with wrong sizes or cut
//! off are read here (WAV and its kin, AIFF, AU, CAF, Ogg, WebM, MPEG audio), the others by Symphonia.
//! What cannot be decoded is left out of the waveform and listed in [`Recording::damage`].

mod adpcm;
mod aiff;
mod assembly;
mod au;
mod blocks;
mod caf;
mod chunks;
mod damage;
mod decoder;
mod matroska;
mod mp4;
mod mpeg;
mod ogg;
mod opus;
mod parsed;
mod source;
mod track;
mod wave;

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::time::Duration;

use symphonia::core::errors::Error as DecodeError;
use symphonia::core::io::MediaSource;

use crate::Waveform;
use assembly::Assembly;
pub use damage::{Damage, DamageKind};
use source::Source;
use track::Container;

/// The most bytes of what cannot be read twice (a pipe), which is kept in memory: three hours of CD quality.
const PIPE_LIMIT_BYTES: u64 = 1 << 31;

/// What a file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// The samples; `None` for a sound file without any.
    pub waveform: Option<Waveform>,
    /// Where samples are missing, in order. Of more than [`Damage::MOST`] places the last one takes the place of the one
    /// before it.
    pub damage: Vec<Damage>,
}

/// Why a file gave no audio.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file cannot be opened or read.
    #[error("cannot read the file")]
    Io {
        /// What the system said.
        source: io::Error,
    },
    /// None of the known containers.
    #[error("not a WAV, FLAC, MP3, AAC, Ogg, Opus, M4A, WebM, AIFF, AU or CAF file")]
    UnknownFormat {
        /// What the reader found.
        source: Option<DecodeError>,
    },
    /// A container without sound.
    #[error("the file has no audio track that can be decoded")]
    NoTrack,
    /// An MP4 file whose index was never written, or is cut off.
    #[error(
        "the file's index (its 'moov' box) is missing: the recording was cut off before its end was written"
    )]
    NoIndex,
    /// A container of a known kind whose head makes no sense.
    #[error("the {container} file's head is damaged: {fault}")]
    Head {
        /// The container's name.
        container: &'static str,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A codec that is not built in, by its name.
    #[error("audio coded as {codec} is not supported; convert the file to WAV or FLAC")]
    UnknownCodec {
        /// The codec.
        codec: &'static str,
    },
    /// A codec that is not built in.
    #[error("the audio codec is not supported; convert the file to WAV or FLAC")]
    Codec {
        /// What the decoder said.
        source: DecodeError,
    },
    /// The stream breaks off before the first sample.
    #[error("the file is damaged: no audio can be decoded")]
    Damaged,
    /// Rates or channels beyond what can be converted.
    #[error("{rate_hz} Hz with {channels} channels cannot be converted")]
    Format {
        /// Frames in a second.
        rate_hz: u32,
        /// Channels.
        channels: usize,
    },
    /// More audio than allowed.
    #[error("audio is longer than {limit:?}")]
    TooLong {
        /// The limit in force.
        limit: Duration,
    },
    /// More bytes than can be kept of a pipe.
    #[error("more than {limit_bytes} bytes through a pipe; write them to a file first")]
    TooLarge {
        /// The limit in force.
        limit_bytes: u64,
    },
}

/// Reads a file's first audio track, up to `limit`.
///
/// # Errors
/// See [`FileError`]. A stream that is damaged or cut off gives what can be decoded of it, and says so in
/// [`Recording::damage`].
pub fn open(path: &Path, limit: Duration) -> Result<Recording, FileError> {
    let file = File::open(path).map_err(|source| FileError::Io { source })?;
    if !file.is_seekable() {
        return stream(file, limit);
    }
    let extension = path.extension().and_then(|extension| extension.to_str());
    decode(Box::new(file), extension, limit)
}

/// As [`open`], from bytes that can be read once only: standard input, or a pipe.
///
/// # Errors
/// See [`FileError`].
pub fn stream(source: impl Read, limit: Duration) -> Result<Recording, FileError> {
    let mut bytes = Vec::new();
    source
        .take(PIPE_LIMIT_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| FileError::Io { source })?;
    if bytes.len() as u64 > PIPE_LIMIT_BYTES {
        return Err(FileError::TooLarge {
            limit_bytes: PIPE_LIMIT_BYTES,
        });
    }
    decode(Box::new(Cursor::new(bytes)), None, limit)
}

/// As [`open`], from any seekable bytes. `extension` helps to tell formats apart; it may be wrong.
///
/// # Errors
/// See [`FileError`].
pub fn decode(
    source: Box<dyn MediaSource>,
    extension: Option<&str>,
    limit: Duration,
) -> Result<Recording, FileError> {
    let mut container = container(Source::new(source)?, extension)?;
    let mut assembly = Assembly::new(limit);
    while let Some(part) = container.next()? {
        assembly.take(part)?;
    }
    assembly.finish()
}

/// The reader for what the file's first bytes are.
fn container(mut source: Source, extension: Option<&str>) -> Result<Box<dyn Container>, FileError> {
    let head = source.peek(16)?;
    let begins = |magic: &[u8]| head.starts_with(magic);
    if wave::is_wave(&head) {
        return wave::open(source);
    }
    if aiff::is_aiff(&head) {
        return aiff::open(source);
    }
    if begins(b".snd") {
        return au::open(source);
    }
    if begins(b"caff") {
        return caf::open(source);
    }
    if begins(b"OggS") {
        return Ok(ogg::open(source));
    }
    if matroska::is_matroska(&head) {
        return matroska::open(source);
    }
    if let Some(codec) = foreign(&head) {
        return Err(FileError::UnknownCodec { codec });
    }
    if mpeg::is_mpeg(&mut source)? {
        return Ok(mpeg::open(source));
    }
    parsed::open(source, extension)
}

/// Files of recorders that cannot be decoded here, by what they begin with.
fn foreign(head: &[u8]) -> Option<&'static str> {
    [
        (&b"#!AMR-WB"[..], "AMR wideband"),
        (b"#!AMR", "AMR"),
        (b"\x30\x26\xB2\x75\x8E\x66\xCF\x11", "Windows Media Audio"),
        (b"wvpk", "WavPack"),
        (b"MAC ", "Monkey's Audio"),
        (b"MPCK", "Musepack"),
        (b"#!SILK_V3", "SILK"),
        (b"\x02#!SILK_V3", "SILK"),
    ]
    .into_iter()
    .find_map(|(magic, codec)| head.starts_with(magic).then_some(codec))
}
