//! An utterance whose audio is arriving: samples, their spectrogram, and the words that are looked for
//! at a pause.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use audio::{Ingest, IngestError, PcmFormat, Waveform};
use tokio::time::Instant;
use tracing::{Span, field, info_span};
use whisper::{Cancel, Input, MelStream, Options};
use wyoming::{Event, Excerpt};

use super::budget::Share;
use super::endpoint_rule::{Endpoint, EndpointRule};
use super::hearing::{Hearing, Part};
use super::partial::Partial;
use super::pause_rule::PauseRule;
use super::request::Request;
use super::service::Service;
use super::told::Told;
use crate::fault::Fault;
use crate::metrics::OpenGuard;
use crate::queue::{Speculation, Ticket};

/// Audio that arrived before the model did is turned into a spectrogram at once if it is short;
/// longer audio is left to the device's thread, so that other connections are served meanwhile.
const MEL_BACKLOG_SAMPLES: usize = 10 * audio::SAMPLE_RATE_HZ as usize;

/// What has arrived of it.
pub(super) struct Utterance {
    /// How it is wanted, as far as the client has said.
    request: Arc<Request>,
    /// What that comes to, worked out once.
    options: Option<Options>,
    ingest: Ingest,
    share: Share,
    /// The spectrogram so far, once the model is there to say how many bins it has.
    mel: Option<MelStream>,
    began: Instant,
    /// `None` when every utterance is heard to its end first.
    pause_rule: Option<PauseRule>,
    /// `None` when the client ends it.
    endpoint_rule: Option<Box<EndpointRule>>,
    /// What was begun at a pause.
    ahead: Option<Ahead>,
    /// What is told of its words while it goes on; `None` when nothing is.
    partial: Option<Partial>,
    service: Arc<Service>,
    /// From the first of its audio to its words, in traces.
    span: Span,
    _open: OpenGuard,
}

/// What was begun at a pause.
struct Ahead {
    speculation: Speculation,
    /// What it is about to tell.
    hearing: Option<Hearing>,
    samples: usize,
    /// Speech goes on: it will not be all of the audio.
    is_over: bool,
}

/// What an utterance was in the end.
pub(super) enum Heard {
    /// No sample came.
    Nothing,
    /// Audio to be transcribed.
    Audio(Box<Input>),
    /// Audio of this length, whose transcription began at a pause that lasted to its end.
    Ahead(Ticket, Duration),
}

impl Utterance {
    pub(super) fn begin(service: &Arc<Service>, request: &Arc<Request>) -> Self {
        service.open_streams.fetch_add(1, Ordering::Relaxed);
        Self {
            request: Arc::clone(request),
            options: None,
            ingest: Ingest::new(service.limits.utterance),
            share: Share::of(&service.open_audio),
            mel: None,
            began: Instant::now(),
            pause_rule: service
                .speculate_after
                .map(|length| PauseRule::new(length, service.tells_words)),
            endpoint_rule: service.endpoint_rule().map(Box::new),
            ahead: None,
            partial: service.tells_words.then(Partial::default),
            service: Arc::clone(service),
            span: span(),
            _open: service.metrics.stream(),
        }
    }

    /// From the first of its audio to its words, in traces.
    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    /// The client has sent another request, for this utterance or for the next.
    pub(super) fn is_wanted(&mut self, request: Arc<Request>) {
        if self.request != request {
            self.request = request;
            self.options = None;
            self.ahead = None;
        }
    }

    /// Takes the next part.
    pub(super) fn push(&mut self, format: PcmFormat, pcm: &[u8]) -> Result<(), Fault> {
        self.ingest.push(format, pcm).map_err(refused_audio)?;
        self.share
            .grow_to(self.ingest.samples().len())
            .map_err(|_exceeded| Fault::TooMuchAudio {
                limit_s: self.service.open_audio.limit_s(),
            })?;
        self.extend_mel();
        if let Some(rule) = &mut self.pause_rule {
            let fresh = self.ingest.samples().get(rule.samples()..);
            let pause_ended = rule.hear(fresh.unwrap_or_default(), self.began.elapsed());
            self.discard_if(pause_ended);
        }
        if let Some(rule) = &mut self.endpoint_rule {
            let fresh = self.ingest.samples().get(rule.samples()..);
            rule.hear(fresh.unwrap_or_default(), self.began.elapsed());
        }
        Ok(())
    }

    /// When to [`Utterance::speculate`], if nothing comes before.
    pub(super) fn due(&self) -> Option<Instant> {
        let due = self.pause_rule.as_ref()?.due()?;
        self.ahead.is_none().then(|| self.began + due)
    }

    /// When it ends without a word of the client, and why, if nothing comes before.
    pub(super) fn endpoint(&self) -> Option<(Instant, Endpoint)> {
        let (due, endpoint) = self.endpoint_rule.as_ref()?.due()?;
        Some((self.began + due, endpoint))
    }

    /// Begins to transcribe what there is, unless the device has something better to do.
    pub(super) async fn speculate(&mut self) {
        let Some(rule) = &mut self.pause_rule else {
            return;
        };
        rule.tried();
        let service = Arc::clone(&self.service);
        if service.loaded().is_none() || !service.queue.may_speculate() {
            return;
        }
        let samples = self.ingest.samples().len();
        let waveform = Waveform::new(self.ingest.samples().to_vec());
        // What cannot be answered is told at the end of audio.
        let (Some(waveform), Ok(options)) = (waveform, self.options().await) else {
            return;
        };
        let (progress, hearing) = self
            .partial
            .as_ref()
            .map(|_| Hearing::new(&service.blocklist))
            .unzip();
        let speculation = service.queue.speculate(Input {
            waveform: Arc::new(waveform),
            mel: self.mel.clone(),
            options,
            cancel: Cancel::default(),
            progress,
        });
        self.ahead = speculation.map(|speculation| Ahead {
            speculation,
            hearing,
            samples,
            is_over: false,
        });
        if let (Some(_), Some(rule)) = (&self.ahead, &mut self.pause_rule) {
            rule.started();
        }
    }

    /// What is heard at a pause; never where nothing is told. `None` when it was all.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped before it is ready.
    pub(super) async fn heard(&mut self) -> Option<Part> {
        let hearing = self.ahead.as_mut().and_then(|ahead| ahead.hearing.as_mut());
        match hearing {
            Some(hearing) => hearing.next().await,
            None => std::future::pending().await,
        }
    }

    /// Takes what was [`Utterance::heard`]; what the client is told of it.
    pub(super) fn tell(&mut self, part: Option<&Part>) -> Vec<Event> {
        let (Some(ahead), Some(partial)) = (&mut self.ahead, &mut self.partial) else {
            return Vec::new();
        };
        let loaded = self.service.loaded();
        let vocabulary = loaded
            .as_ref()
            .and_then(|loaded| loaded.vocabulary.as_ref());
        let events = match (part, vocabulary) {
            (Some(part), Some(vocabulary)) => partial.hear(vocabulary, part, ahead.samples),
            _ => Vec::new(),
        };
        if !events.is_empty() {
            ahead.speculation.was_told();
        }
        if part.is_none() {
            ahead.hearing = None;
            self.discard_if(false);
        }
        events
    }

    /// What the client was told; nothing more is told until its audio has ended.
    pub(super) fn told(&mut self) -> Option<Told> {
        self.partial.take().map(Partial::into_told)
    }

    /// The audio has ended.
    pub(super) async fn end(&mut self) -> Result<Heard, Fault> {
        self.service.language(&self.request)?;
        let ingest = std::mem::replace(&mut self.ingest, Ingest::new(Duration::ZERO));
        let Some(waveform) = ingest.finish().map_err(refused_audio)? else {
            return Ok(Heard::Nothing);
        };
        // The resampler may have held a last word back.
        if let Some(rule) = &mut self.pause_rule {
            let rest = waveform.samples().get(rule.samples()..);
            let pause_ended = rule.hear(rest.unwrap_or_default(), self.began.elapsed());
            self.discard_if(pause_ended);
        }
        let ahead = self.ahead.take().filter(|ahead| !ahead.is_over);
        if let Some(ticket) = ahead.and_then(|ahead| ahead.speculation.adopt()) {
            return Ok(Heard::Ahead(ticket, waveform.duration()));
        }
        let mut mel = self.mel.take();
        if let Some(mel) = &mut mel {
            let fresh = waveform.samples().get(mel.samples()..);
            mel.push(fresh.unwrap_or_default());
        }
        Ok(Heard::Audio(Box::new(Input {
            waveform: Arc::new(waveform),
            mel,
            options: self.options().await?,
            cancel: Cancel::default(),
            progress: None,
        })))
    }

    async fn options(&mut self) -> Result<Options, Fault> {
        if self.options.is_none() {
            self.options = Some(self.service.options(&self.request).await?);
        }
        let mut options = self.options.clone().unwrap_or_default();
        if let Some(partial) = &self.partial {
            partial.hold(&mut options);
        }
        Ok(options)
    }

    /// What was begun is of no use when speech goes on, or another utterance needed the device.
    fn discard_if(&mut self, pause_ended: bool) {
        if let Some(ahead) = &mut self.ahead {
            ahead.is_over |= pause_ended;
        }
        // What it has heard may still be told, until another needs the device.
        let is_near = self.pause_rule.as_ref().is_some_and(PauseRule::is_near);
        let is_useless = |ahead: &mut Ahead| {
            let is_over = ahead.is_over && (ahead.hearing.is_none() || is_near);
            is_over || ahead.speculation.is_displaced()
        };
        drop(self.ahead.take_if(is_useless));
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

/// Of an utterance that begins now; how long its audio is, is known at its end.
pub(super) fn span() -> Span {
    info_span!("utterance", audio_s = field::Empty)
}

fn refused_audio(error: IngestError) -> Fault {
    match error {
        IngestError::TooLong { limit } => Fault::TooLong { limit },
        other => Fault::AudioFormat {
            reason: Excerpt::of(&other.to_string()),
        },
    }
}
