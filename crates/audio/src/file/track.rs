//! What a container hands over.

use symphonia::core::codecs::audio::AudioCodecParameters;

use super::{DamageKind, FileError};

/// A file that is being read.
pub(super) trait Container {
    /// The next part; `None` at the end.
    fn next(&mut self) -> Result<Option<Part>, FileError>;
}

/// Parts of a file, in order. The first is a track.
#[derive(Debug)]
pub(super) enum Part {
    /// A stream begins: the only one, or the next in a chain.
    Track(Box<Track>),
    /// Coded samples of the track.
    Packet(Packet),
    /// The packets so far end here on the track's own clock, in frames.
    Position(u64),
    /// The packets that follow are the last, and end here on the track's own clock, in frames.
    Last(u64),
    /// The packet that follows ends with so many frames that are no sound.
    Padding(u64),
    /// Something is missing here.
    Fault(DamageKind),
}

/// A stream of one codec.
#[derive(Debug)]
pub(super) struct Track {
    /// What the decoder needs to know.
    pub(super) parameters: AudioCodecParameters,
    /// Frames before the recording's first, which the codec needs to settle.
    pub(super) skip: u64,
    /// Frames to the recording's end, those to skip included; `None` when the packets tell.
    pub(super) frames: Option<u64>,
}

impl Track {
    pub(super) fn new(parameters: AudioCodecParameters) -> Self {
        Self {
            parameters,
            skip: 0,
            frames: None,
        }
    }

    pub(super) fn part(self) -> Part {
        Part::Track(Box::new(self))
    }
}

/// A packet that cannot be decoded; the next may be sound.
#[derive(Debug)]
pub(super) struct Undecodable;

/// What one call of the decoder takes.
#[derive(Debug)]
pub(super) struct Packet {
    pub(super) data: Vec<u8>,
    /// How many frames it decodes to, where the container knows; else 0.
    pub(super) frames: u64,
}
