//! Audio files (WAV, FLAC, MP3, Ogg Vorbis, M4A/AAC) to a [`Waveform`].

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as DecodeError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;

use crate::waveform::samples_in;
use crate::{PcmFormat, Resampler, Waveform, mix};

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
    #[error("not a WAV, FLAC, MP3, Ogg Vorbis or M4A file")]
    UnknownFormat {
        /// What the reader found.
        source: DecodeError,
    },
    /// A container without sound.
    #[error("the file has no audio track that can be decoded")]
    NoTrack,
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
}

/// Reads a file's first audio track, up to `limit`. `None` stands for a sound file without samples.
///
/// # Errors
/// See [`FileError`]. A stream that breaks off after its first samples gives what was there.
pub fn open(path: &Path, limit: Duration) -> Result<Option<Waveform>, FileError> {
    let file = File::open(path).map_err(|source| FileError::Io { source })?;
    decode(
        Box::new(file),
        path.extension().and_then(|e| e.to_str()),
        limit,
    )
}

/// As [`open`], from any seekable bytes. `extension` helps to tell formats apart; it may be wrong.
///
/// # Errors
/// See [`FileError`].
pub fn decode(
    source: Box<dyn MediaSource>,
    extension: Option<&str>,
    limit: Duration,
) -> Result<Option<Waveform>, FileError> {
    let mut hint = Hint::new();
    if let Some(extension) = extension {
        hint.with_extension(extension);
    }
    let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
    let format = symphonia::default::get_probe()
        .probe(
            &hint,
            stream,
            FormatOptions::default(),
            MetadataOptions::default(),
        )
        .map_err(|source| FileError::UnknownFormat { source })?;
    let track = format
        .default_track(TrackType::Audio)
        .ok_or(FileError::NoTrack)?;
    let track_id = track.id;
    let parameters = track
        .codec_params
        .as_ref()
        .and_then(|parameters| parameters.audio())
        .ok_or(FileError::NoTrack)?;
    let decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &AudioDecoderOptions::default())
        .map_err(|source| FileError::Codec { source })?;
    Track {
        format,
        decoder,
        track_id,
        limit,
    }
    .read()
}

struct Track<'a> {
    format: Box<dyn FormatReader + 'a>,
    decoder: Box<dyn AudioDecoder>,
    track_id: u32,
    limit: Duration,
}

impl Track<'_> {
    fn read(mut self) -> Result<Option<Waveform>, FileError> {
        let limit_samples = samples_in(self.limit);
        let mut samples = Vec::new();
        let mut interleaved: Vec<f32> = Vec::new();
        let mut current: Option<(u32, Resampler)> = None;
        let mut broken = false;
        loop {
            // A stream that breaks off, or whose format changes, ends here with what it gave.
            let packet = match self.format.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => break,
                Err(_) => {
                    broken = true;
                    break;
                }
            };
            if packet.track_id != self.track_id {
                continue;
            }
            let buffer = match self.decoder.decode(&packet) {
                Ok(buffer) => buffer,
                Err(DecodeError::DecodeError(_)) => {
                    broken = true;
                    continue;
                }
                Err(_) => {
                    broken = true;
                    break;
                }
            };
            let rate_hz = buffer.spec().rate();
            let channels = buffer.spec().channels().count();
            if !PcmFormat::RATES_HZ.contains(&rate_hz) || channels == 0 {
                return Err(FileError::Format { rate_hz, channels });
            }
            buffer.copy_to_vec_interleaved(&mut interleaved);
            if current.as_ref().is_none_or(|(rate, _)| *rate != rate_hz) {
                if let Some((_, done)) = current.take() {
                    done.finish(&mut samples);
                }
                current = Some((rate_hz, Resampler::new(rate_hz)));
            }
            if let Some((_, resampler)) = &mut current {
                for frame in interleaved.chunks_exact(channels) {
                    resampler.push(mix::to_mono(frame.iter().copied()), &mut samples);
                }
            }
            if samples.len() > limit_samples {
                return Err(FileError::TooLong { limit: self.limit });
            }
        }
        if let Some((_, resampler)) = current {
            resampler.finish(&mut samples);
        }
        if samples.len() > limit_samples {
            return Err(FileError::TooLong { limit: self.limit });
        }
        if samples.is_empty() && broken {
            return Err(FileError::Damaged);
        }
        Ok(Waveform::new(samples))
    }
}
