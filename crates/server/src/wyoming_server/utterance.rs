//! An utterance whose audio is arriving: samples and their spectrogram.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use audio::{Ingest, IngestError, PcmFormat, Waveform};
use whisper::MelStream;
use wyoming::AudioFormat;

use super::budget::Share;
use super::connection::Service;
use crate::fault::Fault;
use crate::metrics::OpenGuard;

/// Audio that arrived before the model did is turned into a spectrogram at once if it is short;
/// longer audio is left to the device's thread, so that other connections are served meanwhile.
const MEL_BACKLOG_SAMPLES: usize = 10 * audio::SAMPLE_RATE_HZ as usize;

/// What has arrived of it.
pub(super) struct Utterance {
    ingest: Ingest,
    share: Share,
    /// The spectrogram so far, once the model is there to say how many bins it has.
    mel: Option<MelStream>,
    service: Arc<Service>,
    _open: OpenGuard,
}

impl Utterance {
    pub(super) fn begin(service: &Arc<Service>) -> Self {
        service.open_streams.fetch_add(1, Ordering::Relaxed);
        Self {
            ingest: Ingest::new(service.limits.utterance),
            share: Share::of(&service.open_audio),
            mel: None,
            service: Arc::clone(service),
            _open: service.metrics.stream(),
        }
    }

    pub(super) fn push(&mut self, format: AudioFormat, pcm: &[u8]) -> Result<(), Fault> {
        let (rate, width, channels) = (format.rate_hz(), format.width_bytes(), format.channels());
        let format = PcmFormat::new(rate, width, channels).map_err(|error| Fault::AudioFormat {
            reason: error.to_string(),
        })?;
        self.ingest.push(format, pcm).map_err(refused_audio)?;
        self.share
            .grow_to(self.ingest.samples().len())
            .map_err(|_exceeded| Fault::TooMuchAudio {
                limit_s: self.service.open_audio.limit_s(),
            })?;
        self.extend_mel();
        Ok(())
    }

    fn extend_mel(&mut self) {
        if self.mel.is_none() && self.ingest.samples().len() <= MEL_BACKLOG_SAMPLES {
            self.mel = self
                .service
                .loaded()
                .map(|loaded| MelStream::new(Arc::clone(&loaded.mel)));
        }
        if let Some(mel) = &mut self.mel {
            let fresh = self.ingest.samples().get(mel.samples()..);
            mel.push(fresh.unwrap_or_default());
        }
    }

    /// The waveform with its spectrogram; `None` when no sample came.
    pub(super) fn end(mut self) -> Result<Option<(Waveform, Option<MelStream>)>, Fault> {
        let ingest = std::mem::replace(&mut self.ingest, Ingest::new(Duration::ZERO));
        let Some(waveform) = ingest.finish().map_err(refused_audio)? else {
            return Ok(None);
        };
        let mut mel = self.mel.take();
        if let Some(mel) = &mut mel {
            let fresh = waveform.samples().get(mel.samples()..);
            mel.push(fresh.unwrap_or_default());
        }
        Ok(Some((waveform, mel)))
    }
}

impl Drop for Utterance {
    fn drop(&mut self) {
        self.service.open_streams.fetch_sub(1, Ordering::Relaxed);
    }
}

fn refused_audio(error: IngestError) -> Fault {
    match error {
        IngestError::TooLong { limit } => Fault::TooLong { limit },
        other => Fault::AudioFormat {
            reason: other.to_string(),
        },
    }
}
