//! Audio files (WAV, FLAC, MP3, Ogg Vorbis, M4A/AAC) to a [`Waveform`].

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as DecodeError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;

use crate::ingest::append;
use crate::waveform::{in_range, samples_in};
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
    Container {
        format,
        decoder,
        track_id,
        audio: Audio::new(limit),
    }
    .read()
}

struct Container<'a> {
    format: Box<dyn FormatReader + 'a>,
    decoder: Box<dyn AudioDecoder>,
    track_id: u32,
    audio: Audio,
}

impl Container<'_> {
    /// Reads to the end, or to where the stream breaks off: what came before that is kept.
    fn read(mut self) -> Result<Option<Waveform>, FileError> {
        let mut is_damaged = false;
        loop {
            let packet = match self.format.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => break,
                Err(_) => {
                    is_damaged = true;
                    break;
                }
            };
            if packet.track_id != self.track_id {
                continue;
            }
            match self.decoder.decode(&packet) {
                Ok(buffer) => self.audio.push(&buffer)?,
                // A packet that cannot be decoded is left out; the next one may be sound.
                Err(DecodeError::DecodeError(_)) => is_damaged = true,
                Err(_) => {
                    is_damaged = true;
                    break;
                }
            }
        }
        match self.audio.finish()? {
            None if is_damaged => Err(FileError::Damaged),
            waveform => Ok(waveform),
        }
    }
}

/// Decoded buffers on their way to one [`Waveform`].
struct Audio {
    limit: Duration,
    samples: Vec<f32>,
    /// The rate of the buffers so far.
    source: Option<(u32, Resampler)>,
    /// Reused from buffer to buffer.
    interleaved: Vec<f32>,
    fresh: Vec<f32>,
}

impl Audio {
    fn new(limit: Duration) -> Self {
        Self {
            limit,
            samples: Vec::new(),
            source: None,
            interleaved: Vec::new(),
            fresh: Vec::new(),
        }
    }

    fn push(&mut self, buffer: &GenericAudioBufferRef<'_>) -> Result<(), FileError> {
        let rate_hz = buffer.spec().rate();
        let channels = buffer.spec().channels().count();
        if !PcmFormat::RATES_HZ.contains(&rate_hz)
            || !(1..=usize::from(PcmFormat::MAX_CHANNELS)).contains(&channels)
        {
            return Err(FileError::Format { rate_hz, channels });
        }
        if self
            .source
            .as_ref()
            .is_none_or(|(rate, _)| *rate != rate_hz)
        {
            self.end_source();
            self.source = Some((rate_hz, Resampler::new(rate_hz)));
        }
        buffer.copy_to_vec_interleaved(&mut self.interleaved);
        if let Some((_, resampler)) = &mut self.source {
            for frame in self.interleaved.chunks_exact(channels) {
                // Made finite first: one NaN would spread over the resampler's whole block.
                let sample = mix::to_mono(frame.iter().map(|&sample| in_range(sample)));
                resampler.push(sample, &mut self.fresh);
            }
        }
        append(&mut self.samples, &self.fresh);
        self.fresh.clear();
        self.check_length()
    }

    fn finish(mut self) -> Result<Option<Waveform>, FileError> {
        self.end_source();
        self.check_length()?;
        Ok(Waveform::new(self.samples))
    }

    fn end_source(&mut self) {
        if let Some((_, resampler)) = self.source.take() {
            resampler.finish(&mut self.fresh);
            append(&mut self.samples, &self.fresh);
            self.fresh.clear();
        }
    }

    fn check_length(&self) -> Result<(), FileError> {
        if self.samples.len() > samples_in(self.limit) {
            return Err(FileError::TooLong { limit: self.limit });
        }
        Ok(())
    }
}
