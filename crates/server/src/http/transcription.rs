//! `/v1/audio/transcriptions` and `/v1/audio/translations`: from an upload to its words.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::BodyDataStream;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;
use tracing::{Span, debug, field, info, info_span};
use whisper::{Cancel, Input, Options, Task};

use super::answer::answer;
use super::api::Api;
use super::body::{self, Held};
use super::form::{self, Wanted};
use super::problem::Problem;
use super::sound::{self, Sound};
use super::timings::{TimedTranscript, Timings};
use super::{events, models};
use crate::fault::Fault;
use crate::metrics::OpenGuard;
use crate::queue::{Answered, Ticket};
use crate::wyoming_server::{Service, Times};

/// Between two attempts at a result that is doubted, as openai-whisper has it.
const TEMPERATURE_STEP: f32 = 0.2;

/// Speech to text.
#[utoipa::path(post, path = "/v1/audio/transcriptions", tag = "audio",
    request_body(content = super::schema::TranscriptionForm, content_type = "multipart/form-data"),
    responses(super::schema::Answers))]
pub(super) async fn transcribe(State(api): State<Arc<Api>>, request: Request) -> Response {
    serve(api, Task::Transcribe, request).await
}

/// Speech to English text.
#[utoipa::path(post, path = "/v1/audio/translations", tag = "audio",
    request_body(content = super::schema::TranscriptionForm, content_type = "multipart/form-data"),
    responses(super::schema::Answers))]
pub(super) async fn translate(State(api): State<Arc<Api>>, request: Request) -> Response {
    serve(api, Task::Translate, request).await
}

async fn serve(api: Arc<Api>, task: Task, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let mut body = body.into_data_stream();
    // The end of the server waits for it from now on.
    let owed = api.service.unanswered.token();
    let end = api.service.abort.clone();
    let served = tokio::select! {
        biased;
        () = end.cancelled() => Err(api.service.end().into()),
        served = respond(&api, task, &head.headers, &mut body) => served,
    };
    let response = match served {
        Ok(response) => response,
        Err(problem) => {
            body::discard(&head.headers, &mut body, api.settings.max_body).await;
            refuse(&api, problem)
        }
    };
    drop(owed);
    response
}

fn refuse(api: &Api, problem: Problem) -> Response {
    if let Some(fault) = problem.fault() {
        api.service.metrics.fault(fault.code());
    }
    info!(code = problem.code(), "no words");
    problem.into_response()
}

async fn respond(
    api: &Arc<Api>,
    task: Task,
    headers: &HeaderMap,
    body: &mut BodyDataStream,
) -> Result<Response, Problem> {
    let span = info_span!("utterance", audio_s = field::Empty, damaged = field::Empty);
    telemetry::join_trace(&span, headers);
    let (wanted, sound) = receive(api, headers, body).await?;
    let prepared = Instant::now();
    let options = options(&api.service, &wanted, task)?;
    let audio = sound.waveform.as_ref().map(|waveform| waveform.duration());
    span.record("audio_s", audio.unwrap_or_default().as_secs_f64());
    span.record("damaged", sound.damaged);
    let Some(waveform) = sound.waveform else {
        let nothing = Answered::default();
        let nothing = finished(&api.service, &span, &times(prepared, prepared), nothing);
        if wanted.stream {
            return Ok(events::respond(
                events::Parts::default(),
                ready(Ok(nothing)),
            ));
        }
        return Ok(answer(&wanted, task, nothing));
    };
    let input = |progress| Input {
        waveform: Arc::clone(&waveform),
        mel: sound.mel.clone(),
        options: options.clone(),
        cancel: Cancel::default(),
        progress,
    };
    if wanted.stream {
        let (progress, parts) = events::parts(Arc::clone(&api.blocklist));
        let ticket = api.service.queue.submit(input(Some(progress)))?;
        let words = words(Arc::clone(&api.service), span, ticket, prepared);
        return Ok(events::respond(parts, words));
    }
    let ticket = api.service.queue.submit(input(None))?;
    drop(waveform);
    let timed = words(Arc::clone(&api.service), span, ticket, prepared).await?;
    Ok(answer(&wanted, task, timed))
}

/// Reads the form and decodes its file.
async fn receive(
    api: &Api,
    headers: &HeaderMap,
    body: &mut BodyDataStream,
) -> Result<(Wanted, Sound), Problem> {
    body::check_length(headers, api.settings.max_body)?;
    let held = Held::new(api);
    let _open = Open::new(&api.service);
    let longest = api.service.limits.utterance;
    let mut wanted = form::read(headers, body, &held, longest).await?;
    if let Some(model) = &wanted.model {
        models::check(api, model)?;
    }
    // What cannot be answered is not decoded either.
    api.service.standing_options(wanted.language.as_deref())?;
    debug!(bytes = held.bytes(), "body received");
    let sound = sound::decode(api, std::mem::take(&mut wanted.file), held).await?;
    Ok((wanted, sound))
}

/// Counts as an utterance whose audio is arriving.
struct Open<'a>(
    &'a Service,
    #[expect(dead_code, reason = "counts until it is dropped")] OpenGuard,
);

impl<'a> Open<'a> {
    fn new(service: &'a Service) -> Self {
        service.open_streams.fetch_add(1, Ordering::Relaxed);
        Self(service, service.metrics.stream())
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open_streams.fetch_sub(1, Ordering::Relaxed);
    }
}

fn options(service: &Service, wanted: &Wanted, task: Task) -> Result<Options, Fault> {
    let usual = service.standing_options(wanted.language.as_deref())?;
    Ok(Options {
        task: if task == Task::Translate {
            task
        } else {
            usual.task
        },
        initial_prompt: wanted.prompt.clone().or(usual.initial_prompt),
        temperatures: match wanted.temperature {
            Some(from) if from > 0.0 => temperatures(from),
            _ => usual.temperatures,
        },
        timestamps: wanted.format.has_times(),
        word_timestamps: wanted.words,
        ..usual
    })
}

/// That one, and higher ones for results that are doubted.
fn temperatures(from: f32) -> Vec<f32> {
    std::iter::successors(Some(from), |temperature| {
        Some(temperature + TEMPERATURE_STEP)
    })
    .take_while(|temperature| *temperature <= 1.0 + 1e-6)
    .collect()
}

/// Waits for the words.
async fn words(
    service: Arc<Service>,
    span: Span,
    ticket: Ticket,
    prepared: Instant,
) -> Result<TimedTranscript, Problem> {
    let queued = ticket.since();
    // A response that is streamed outlives its handler.
    let _owed = service.unanswered.token();
    let answered = ticket.wait(service.limits.answer).await?;
    Ok(finished(
        &service,
        &span,
        &times(prepared, queued),
        answered,
    ))
}

/// Logs and counts an answer.
fn finished(service: &Service, span: &Span, times: &Times, answered: Answered) -> TimedTranscript {
    let timings = Timings::of(times, &answered);
    TimedTranscript {
        transcript: service.answered(span, times, answered),
        timings,
    }
}

/// The times of words that are there now.
fn times(prepared: Instant, queued: Instant) -> Times {
    Times {
        ended: prepared,
        queued,
        now: Instant::now(),
        ahead: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temperature_is_followed_by_higher_ones() {
        assert_eq!(temperatures(1.0), [1.0]);
        assert_eq!(temperatures(0.4).len(), 4);
        assert_eq!(temperatures(0.9), [0.9]);
    }
}
