//! An utterance whose audio is arriving: samples, their spectrogram, and the words that are looked for
//! at a pause.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use audio::{Ingest, IngestError, PcmFormat, Waveform};
use tokio::time::Instant;
use whisper::{Cancel, Input, MelStream};
use wyoming::Excerpt;

use super::budget::Share;

use super::pause_rule::PauseRule;
use super::request::Request;
use super::service::Service;
use crate::fault::Fault;
use crate::metrics::OpenGuard;
use crate::queue::{Speculation, Ticket};

/// Audio that arrived before the model did is turned into a spectrogram at once if it is short;
/// longer audio is left to the device's thread, so that other connections are served meanwhile.
const MEL_BACKLOG_SAMPLES: usize = 10 * audio::SAMPLE_RATE_HZ as usize;

/// What has arrived of it.
pub(super) struct Utterance {
    ingest: Ingest,
    share: Share,
    /// The spectrogram so far, once the model is there to say how many bins it has.
    mel: Option<MelStream>,
    began: Instant,
    /// `None` when every utterance is heard to its end first.
    pause_rule: Option<PauseRule>,
    /// What was begun at the pause that goes on.
    ahead: Option<Ahead>,
    service: Arc<Service>,
    _open: OpenGuard,
}

/// A transcription of what there was at a pause.
struct Ahead {
    speculation: Speculation,
    /// How it is done.
    request: Arc<Request>,
    pause_start: usize,
}

impl Ahead {
    /// Whether it still is one of the whole utterance.
    fn holds(&self, request: &Arc<Request>, pause_start: Option<usize>) -> bool {
        pause_start == Some(self.pause_start)
            && self.request == *request
            && !self.speculation.is_displaced()
    }
}

/// What an utterance was in the end.
pub(super) enum Heard {
    /// No sample came.
    Nothing,
    /// Audio to be transcribed.
    Audio(Waveform, Option<MelStream>),
    /// Audio of this length, whose transcription began at a pause that lasted to its end.
    Ahead(Ticket, Duration),
}

impl Utterance {
    pub(super) fn begin(service: &Arc<Service>) -> Self {
        service.open_streams.fetch_add(1, Ordering::Relaxed);
        Self {
            ingest: Ingest::new(service.limits.utterance),
            share: Share::of(&service.open_audio),
            mel: None,
            began: Instant::now(),
            pause_rule: service.speculate_after.map(PauseRule::new),
            ahead: None,
            service: Arc::clone(service),
            _open: service.metrics.stream(),
        }
    }

    /// Takes the next part. `request` is how the utterance is wanted as far as is known.
    pub(super) fn push(
        &mut self,
        format: PcmFormat,
        pcm: &[u8],
        request: &Arc<Request>,
    ) -> Result<(), Fault> {
        self.ingest.push(format, pcm).map_err(refused_audio)?;
        self.share
            .grow_to(self.ingest.samples().len())
            .map_err(|_exceeded| Fault::TooMuchAudio {
                limit_s: self.service.open_audio.limit_s(),
            })?;
        self.extend_mel();
        if let Some(rule) = &mut self.pause_rule {
            let fresh = self.ingest.samples().get(rule.samples()..);
            rule.hear(fresh.unwrap_or_default(), self.began.elapsed());
        }
        self.discard_what_is_over(request);
        Ok(())
    }

    /// When to [`Utterance::speculate`], if nothing comes before.
    pub(super) fn due(&self) -> Option<Instant> {
        let due = self.pause_rule.as_ref()?.due()?;
        self.ahead.is_none().then(|| self.began + due)
    }

    /// Begins to transcribe what there is, unless the device has something better to do.
    pub(super) async fn speculate(&mut self, request: &Arc<Request>) {
        let Some(rule) = &mut self.pause_rule else {
            return;
        };
        rule.tried();
        let service = &self.service;
        let is_possible = service.loaded().is_some() && service.queue.may_speculate();
        let (Some(pause_start), true) = (rule.pause_start(), is_possible) else {
            return;
        };
        let options = service.options(request).await;
        let waveform = Waveform::new(self.ingest.samples().to_vec());
        // What cannot be answered is told at the end of audio.
        let (Some(waveform), Ok(options)) = (waveform, options) else {
            return;
        };
        let speculation = service.queue.speculate(Input {
            waveform: Arc::new(waveform),
            mel: self.mel.clone(),
            options,
            cancel: Cancel::default(),
        });
        if let Some(speculation) = speculation {
            rule.started();
            self.ahead = Some(Ahead {
                speculation,
                request: Arc::clone(request),
                pause_start,
            });
        }
    }

    /// The audio has ended.
    pub(super) fn end(mut self, request: &Arc<Request>) -> Result<Heard, Fault> {
        let ingest = std::mem::replace(&mut self.ingest, Ingest::new(Duration::ZERO));
        let Some(waveform) = ingest.finish().map_err(refused_audio)? else {
            return Ok(Heard::Nothing);
        };
        // The resampler may have held a last word back.
        if let Some(rule) = &mut self.pause_rule {
            let rest = waveform.samples().get(rule.samples()..);
            rule.hear(rest.unwrap_or_default(), self.began.elapsed());
        }
        self.discard_what_is_over(request);
        let ahead = self.ahead.take();
        if let Some(ticket) = ahead.and_then(|ahead| ahead.speculation.adopt()) {
            return Ok(Heard::Ahead(ticket, waveform.duration()));
        }
        let mut mel = self.mel.take();
        if let Some(mel) = &mut mel {
            let fresh = waveform.samples().get(mel.samples()..);
            mel.push(fresh.unwrap_or_default());
        }
        Ok(Heard::Audio(waveform, mel))
    }

    fn discard_what_is_over(&mut self, request: &Arc<Request>) {
        let pause_start = self.pause_rule.as_ref().and_then(PauseRule::pause_start);
        let holds = |ahead: &Ahead| ahead.holds(request, pause_start);
        self.ahead = self.ahead.take().filter(holds);
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
            reason: Excerpt::of(&other.to_string()),
        },
    }
}
