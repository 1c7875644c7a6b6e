//! Packets to samples: Symphonia's decoders, and Opus.

use symphonia::core::codecs::audio::well_known::{CODEC_ID_AAC, CODEC_ID_FLAC, CODEC_ID_OPUS};
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as DecodeError;
use symphonia::core::packet::PacketRef;
use symphonia::core::units::{Duration as Frames, Timestamp};

use super::FileError;
use super::adpcm::Adpcm;
use super::opus::Opus;
use super::track::{Packet, Undecodable};

/// A decoder and the samples of the last packet.
pub(super) struct Decoder {
    inner: Inner,
    samples: Vec<f32>,
}

enum Inner {
    Symphonia(Box<dyn AudioDecoder>),
    Opus(Box<Opus>),
    Adpcm(Adpcm),
    /// With a checksum behind each packet.
    Flac(Box<dyn AudioDecoder>),
}

/// What one packet decodes to: interleaved samples, nominally within ±1.
#[derive(Debug)]
pub(super) struct Sound<'a> {
    pub(super) rate_hz: u32,
    pub(super) channels: usize,
    pub(super) samples: &'a [f32],
}

impl Sound<'_> {
    pub(super) fn frames(&self) -> usize {
        self.samples.len().checked_div(self.channels).unwrap_or(0)
    }
}

impl Decoder {
    pub(super) fn new(parameters: &AudioCodecParameters) -> Result<Self, FileError> {
        let inner = if parameters.codec == CODEC_ID_OPUS {
            Inner::Opus(Box::new(Opus::new(parameters.extra_data.as_deref())?))
        } else if Adpcm::has(parameters.codec) {
            Inner::Adpcm(Adpcm::new(parameters)?)
        } else if parameters.codec == CODEC_ID_FLAC {
            let decoder = symphonia(parameters).map_err(|source| FileError::Codec { source })?;
            Inner::Flac(decoder)
        } else {
            let decoder = symphonia(parameters).or_else(|error| {
                core_of_he_aac(parameters).map_or(Err(error), |core| symphonia(&core))
            });
            Inner::Symphonia(decoder.map_err(|source| FileError::Codec { source })?)
        };
        Ok(Self {
            inner,
            samples: Vec::new(),
        })
    }

    pub(super) fn decode(&mut self, packet: &Packet) -> Result<Sound<'_>, Undecodable> {
        match &mut self.inner {
            Inner::Opus(opus) => {
                let channels = opus.channels();
                opus.decode(&packet.data, &mut self.samples)?;
                Ok(Sound {
                    rate_hz: Opus::RATE_HZ,
                    channels,
                    samples: &self.samples,
                })
            }
            Inner::Adpcm(adpcm) => {
                adpcm.decode(&packet.data, &mut self.samples)?;
                Ok(Sound {
                    rate_hz: adpcm.rate_hz,
                    channels: adpcm.channels,
                    samples: &self.samples,
                })
            }
            Inner::Flac(_) if !has_checksum(&packet.data) => Err(Undecodable),
            Inner::Symphonia(decoder) | Inner::Flac(decoder) => {
                let packet =
                    PacketRef::new(0, Timestamp::ZERO, Frames::new(packet.frames), &packet.data);
                let buffer = decoder.decode_ref(&packet).map_err(|_| Undecodable)?;
                buffer.copy_to_vec_interleaved(&mut self.samples);
                Ok(Sound {
                    rate_hz: buffer.spec().rate(),
                    channels: buffer.spec().channels().count(),
                    samples: &self.samples,
                })
            }
        }
    }
}

/// Whether a frame of FLAC ends with its checksum (RFC 9639, 9.3): a CRC of 16 bits with the polynomial 0x8005, from 0.
fn has_checksum(frame: &[u8]) -> bool {
    let sum = frame.iter().fold(0_u16, |sum, &byte| {
        (0..8).fold(sum ^ (u16::from(byte) << 8), |sum, _| {
            (sum << 1) ^ if sum >> 15 == 1 { 0x8005 } else { 0 }
        })
    });
    // Over the checksum too, what is left is nothing.
    sum == 0 && frame.len() > 2
}

fn symphonia(parameters: &AudioCodecParameters) -> Result<Box<dyn AudioDecoder>, DecodeError> {
    symphonia::default::get_codecs().make_audio_decoder(parameters, &AudioDecoderOptions::default())
}

/// HE-AAC is AAC-LC at half of the rate and data to guess the upper half of the spectrum from. That half is
/// above 11 kHz, beyond what Whisper's 16 kHz hold, so the lower one is decoded alone.
fn core_of_he_aac(parameters: &AudioCodecParameters) -> Option<AudioCodecParameters> {
    const LOW_COMPLEXITY: u64 = 2;
    const SPECTRAL_BAND_REPLICATION: u64 = 5;
    const PARAMETRIC_STEREO: u64 = 29;
    if parameters.codec != CODEC_ID_AAC {
        return None;
    }
    let mut bits = Bits::new(parameters.extra_data.as_deref()?);
    let object = bits.take(5)?;
    if ![SPECTRAL_BAND_REPLICATION, PARAMETRIC_STEREO].contains(&object) {
        return None;
    }
    let rate = bits.take(4)?;
    // 15 stands for a rate in plain numbers, which no recorder writes.
    let channels = (rate != 15).then(|| bits.take(4)).flatten()?;
    let config = (LOW_COMPLEXITY << 11) | (rate << 7) | (channels << 3);
    let mut core = parameters.clone();
    core.extra_data = Some(Box::new(u16::try_from(config).ok()?.to_be_bytes()));
    Some(core)
}

/// The first eight bytes of a slice as bits, the highest first.
struct Bits {
    bits: u64,
    left: u32,
}

impl Bits {
    fn new(bytes: &[u8]) -> Self {
        let taken = &bytes[..bytes.len().min(8)];
        Self {
            bits: taken
                .iter()
                .fold(0, |bits, &byte| (bits << 8) | u64::from(byte)),
            left: 8 * u32::try_from(taken.len()).unwrap_or(0),
        }
    }

    fn take(&mut self, count: u32) -> Option<u64> {
        self.left = self.left.checked_sub(count)?;
        Some((self.bits >> self.left) & ((1 << count) - 1))
    }
}
