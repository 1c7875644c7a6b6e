//! An uploaded file → samples, off the runtime.

use std::io::Cursor;
use std::sync::Arc;

use audio::Waveform;
use audio::file::{FileError, Recording};
use axum::http::StatusCode;
use tokio::task::spawn_blocking;
use whisper::MelStream;

use super::api::Api;
use super::body::Held;
use super::form::Upload;
use super::problem::Problem;
use crate::fault::Fault;

/// The spectrogram of longer audio is left to the device's thread.
const MEL_SAMPLES: usize = 30 * audio::SAMPLE_RATE_HZ as usize;

/// What a file holds.
#[derive(Debug)]
pub(super) struct Sound {
    /// `None` for a sound file without samples.
    pub(super) waveform: Option<Arc<Waveform>>,
    pub(super) mel: Option<MelStream>,
    /// Places where samples are missing.
    pub(super) damaged: usize,
}

/// Decodes a file; as many at a time as there are processors.
///
/// # Errors
/// A [`Problem`] that says why it gives no audio.
pub(super) async fn decode(api: &Api, file: Upload, held: Held) -> Result<Sound, Problem> {
    let permit = Arc::clone(&api.decoders).acquire_owned().await;
    let limit = api.service.limits.utterance;
    let extractor = api.service.loaded().map(|loaded| Arc::clone(&loaded.mel));
    let work = move || {
        // Both are given back when the work ends, whether its client is there or not.
        let _kept = (permit, held);
        let Upload { bytes, extension } = file;
        let recording =
            audio::file::decode(Box::new(Cursor::new(bytes)), extension.as_deref(), limit)?;
        let Recording { waveform, damage } = recording;
        let mel = waveform
            .as_ref()
            .zip(extractor)
            .and_then(|(waveform, extractor)| {
                let samples = waveform.samples();
                (samples.len() <= MEL_SAMPLES).then(|| {
                    let mut mel = MelStream::new(extractor);
                    mel.push(samples);
                    mel
                })
            });
        Ok(Sound {
            waveform: waveform.map(Arc::new),
            mel,
            damaged: damage.len(),
        })
    };
    let decoded = spawn_blocking(work).await;
    decoded
        .map_err(|error| {
            tracing::error!(%error, "decoding a file panicked");
            Problem::from(Fault::Internal)
        })?
        .map_err(|error| refused(&error))
}

fn refused(error: &FileError) -> Problem {
    let message = error.to_string();
    let (status, code) = match error {
        FileError::TooLong { limit } => return Fault::TooLong { limit: *limit }.into(),
        FileError::UnknownFormat { .. }
        | FileError::UnknownCodec { .. }
        | FileError::Codec { .. }
        | FileError::Format { .. } => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-audio"),
        _ => (StatusCode::UNPROCESSABLE_ENTITY, "damaged-audio"),
    };
    let message = if matches!(error, FileError::UnknownFormat { .. }) {
        format!("the file is {message}")
    } else {
        message
    };
    Problem::new(status, code, message).about("file")
}
