//! The packets that a stream begins with, by codec.

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_FLAC, CODEC_ID_OPUS, CODEC_ID_VORBIS};

use crate::file::opus::Head;
use crate::file::source::u16_be;
use crate::file::track::Track;

/// What the first packet says.
pub(super) enum Kind {
    Playable(Stream),
    /// Sound that cannot be decoded, by name.
    Foreign(&'static str),
}

/// A stream whose headers come in.
pub(super) struct Stream {
    codec: Codec,
    /// Header packets that are still to come.
    owed: usize,
    /// What the decoder is to have.
    extra: Vec<u8>,
    skip: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Codec {
    Opus,
    Vorbis,
    Flac,
}

impl Kind {
    /// Reads the first packet of a stream; `None` if it is no sound.
    pub(super) fn of(packet: &[u8]) -> Option<Self> {
        let stream = |codec, owed, extra: &[u8], skip| {
            Some(Self::Playable(Stream {
                codec,
                owed,
                extra: extra.to_vec(),
                skip,
            }))
        };
        if let Some(head) = Head::read(packet) {
            return stream(Codec::Opus, 1, packet, u64::from(head.pre_skip));
        }
        if packet.starts_with(b"\x01vorbis") {
            return stream(Codec::Vorbis, 2, packet, 0);
        }
        if packet.starts_with(b"\x7FFLAC") {
            // The mark, its version, the number of packets to come, "fLaC", and a block's head.
            let owed = usize::from(u16_be(packet, 7)?);
            return stream(Codec::Flac, owed, packet.get(17..51)?, 0);
        }
        if packet.starts_with(b"Speex   ") {
            return Some(Self::Foreign("Speex"));
        }
        None
    }
}

impl Stream {
    pub(super) fn is_ready(&self) -> bool {
        self.owed == 0
    }

    /// Takes a header packet; the last one gives the track.
    pub(super) fn header(&mut self, packet: Vec<u8>) -> Option<Track> {
        self.owed = self.owed.saturating_sub(1);
        if self.codec == Codec::Vorbis && packet.starts_with(b"\x05vorbis") {
            self.extra.extend(packet);
        }
        self.is_ready().then(|| self.track())
    }

    fn track(&mut self) -> Track {
        let mut parameters = AudioCodecParameters::new();
        parameters
            .for_codec(match self.codec {
                Codec::Opus => CODEC_ID_OPUS,
                Codec::Vorbis => CODEC_ID_VORBIS,
                Codec::Flac => CODEC_ID_FLAC,
            })
            .with_extra_data(std::mem::take(&mut self.extra).into());
        let mut track = Track::new(parameters);
        track.skip = self.skip;
        track
    }
}
