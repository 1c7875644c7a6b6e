//! Tracks: which is played, and what its decoder is to know.

use symphonia::core::audio::Channels;
use symphonia::core::codecs::audio::well_known as id_of;
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters};

use super::element::{children, id, number};
use crate::file::FileError;
use crate::file::blocks::{Number, pcm};
use crate::file::decoder::Decoder;
use crate::file::source::array;
use crate::file::track::Track;

/// Sound, among the types of tracks.
const SOUND: u64 = 2;
/// Packets without bytes that they all begin with.
const HEADER_STRIPPING: u64 = 3;

/// A track that is played.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) rate_hz: u32,
    pub(super) delay_ns: u64,
    /// What each packet begins with.
    pub(super) prefix: Vec<u8>,
    codec: String,
    private: Vec<u8>,
    channels: u16,
    bits: u32,
    is_sound: bool,
    is_compressed: bool,
}

/// The first sound that can be decoded.
pub(super) fn choose(tracks: &[u8]) -> Result<(Entry, Track), FileError> {
    let mut fault = FileError::NoTrack;
    for (name, body) in children(tracks) {
        let entry = Entry::read(body);
        if name != id::TRACK_ENTRY || !entry.is_sound {
            continue;
        }
        match entry
            .parameters()
            .and_then(|parameters| Decoder::new(&parameters).map(|_| parameters))
        {
            Ok(parameters) => {
                let track = entry.track(parameters);
                return Ok((entry, track));
            }
            Err(error) => fault = error,
        }
    }
    Err(fault)
}

impl Entry {
    fn read(body: &[u8]) -> Self {
        let mut entry = Self {
            rate_hz: 8_000,
            channels: 1,
            ..Self::default()
        };
        for (name, body) in children(body) {
            match name {
                id::TRACK_NUMBER => entry.number = number(body),
                id::TRACK_TYPE => entry.is_sound = number(body) == SOUND,
                id::CODEC_ID => {
                    String::from_utf8_lossy(body)
                        .trim_end_matches('\0')
                        .clone_into(&mut entry.codec);
                }
                id::CODEC_PRIVATE => entry.private = body.to_vec(),
                id::CODEC_DELAY => entry.delay_ns = number(body),
                id::AUDIO => entry.read_audio(body),
                id::CONTENT_ENCODINGS => entry.read_encodings(body),
                _ => {}
            }
        }
        // Opus decodes to one rate, whatever was recorded.
        if entry.codec == "A_OPUS" {
            entry.rate_hz = 48_000;
        }
        entry
    }

    fn read_audio(&mut self, body: &[u8]) {
        for (name, body) in children(body) {
            match name {
                id::SAMPLING_FREQUENCY => self.rate_hz = rate(body),
                id::CHANNELS => self.channels = u16::try_from(number(body)).unwrap_or(u16::MAX),
                id::BIT_DEPTH => self.bits = u32::try_from(number(body)).unwrap_or(0),
                _ => {}
            }
        }
    }

    fn read_encodings(&mut self, body: &[u8]) {
        for (_, encoding) in children(body).filter(|(name, _)| *name == id::CONTENT_ENCODING) {
            let compression = children(encoding).find(|(name, _)| *name == id::CONTENT_COMPRESSION);
            let inner =
                |id| compression.and_then(|(_, body)| children(body).find(|(name, _)| *name == id));
            let algorithm = inner(id::COMPRESSION_ALGORITHM).map_or(0, |(_, body)| number(body));
            self.is_compressed |= algorithm != HEADER_STRIPPING;
            self.prefix =
                inner(id::COMPRESSION_SETTINGS).map_or(Vec::new(), |(_, body)| body.to_vec());
        }
    }

    fn parameters(&self) -> Result<AudioCodecParameters, FileError> {
        let (codec, extra) = self.codec()?;
        let mut parameters = AudioCodecParameters::new();
        parameters
            .for_codec(codec)
            .with_sample_rate(self.rate_hz)
            .with_channels(Channels::Discrete(self.channels));
        if let Some(extra) = extra {
            parameters.with_extra_data(extra.into());
        }
        Ok(parameters)
    }

    fn codec(&self) -> Result<(AudioCodecId, Option<Vec<u8>>), FileError> {
        if self.is_compressed {
            return Err(FileError::UnknownCodec {
                codec: "a compressed Matroska track",
            });
        }
        let private = || Some(self.private.clone()).filter(|private| !private.is_empty());
        let samples = |number, is_big_endian| {
            pcm(number, self.bits.div_ceil(8), is_big_endian)
                .map(|codec| (codec, None))
                .ok_or(FileError::UnknownCodec {
                    codec: "PCM of such a width",
                })
        };
        Ok(match self.codec.as_str() {
            "A_OPUS" => (id_of::CODEC_ID_OPUS, private()),
            "A_VORBIS" => (id_of::CODEC_ID_VORBIS, vorbis_headers(&self.private)),
            "A_FLAC" => (
                id_of::CODEC_ID_FLAC,
                self.private.get(8..42).map(<[u8]>::to_vec),
            ),
            "A_ALAC" => (id_of::CODEC_ID_ALAC, private()),
            "A_MPEG/L3" => (id_of::CODEC_ID_MP3, None),
            "A_MPEG/L2" => (id_of::CODEC_ID_MP2, None),
            "A_MPEG/L1" => (id_of::CODEC_ID_MP1, None),
            "A_PCM/INT/LIT" if self.bits == 8 => return samples(Number::Unsigned, false),
            "A_PCM/INT/LIT" => return samples(Number::Signed, false),
            "A_PCM/INT/BIG" => return samples(Number::Signed, true),
            "A_PCM/FLOAT/IEEE" => return samples(Number::Float, false),
            codec if codec.starts_with("A_AAC") => (id_of::CODEC_ID_AAC, private()),
            "A_AC3" | "A_EAC3" => return Err(FileError::UnknownCodec { codec: "AC-3" }),
            _ => {
                return Err(FileError::UnknownCodec {
                    codec: "an unknown Matroska codec",
                });
            }
        })
    }
}

/// A number with a point, of four or eight bytes.
fn rate(body: &[u8]) -> u32 {
    let short = || array(body, 0).map(f32::from_be_bytes).map(f64::from);
    let rate = array(body, 0)
        .map(f64::from_be_bytes)
        .or_else(short)
        .unwrap_or(0.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it saturates, and is checked later"
    )]
    let rate = rate.round() as u32;
    rate
}

/// The first and the third of three headers, laced as Xiph does: the decoder wants no comments.
fn vorbis_headers(private: &[u8]) -> Option<Vec<u8>> {
    let mut rest = private.strip_prefix(&[2])?;
    let mut size = || {
        let full = rest.iter().take_while(|&&byte| byte == 255).count();
        let last = usize::from(*rest.get(full)?);
        rest = rest.get(full + 1..)?;
        Some(255 * full + last)
    };
    let (first, second) = (size()?, size()?);
    let third = rest.get(first.checked_add(second)?..)?;
    Some([rest.get(..first)?, third].concat())
}
