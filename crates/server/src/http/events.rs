//! Words as windows are done, as server-sent events in OpenAI's shape.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use futures::stream::unfold;
use serde::Serialize;
use tokio::sync::Notify;
use utoipa::ToSchema;
use whisper::Progress;

use super::answer::Usage;
use super::problem::Problem;
use super::timings::{TimedTranscript, Timings};
use crate::blocklist::Blocklist;

/// A comment is sent after so long without an event: proxies close connections that are silent, and a client that is
/// gone is seen.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// More of the text.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TextDelta {
    /// Always `transcript.text.delta`.
    r#type: &'static str,
    /// What follows the text so far; never taken back.
    delta: String,
}

/// The whole text.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TextDone {
    /// Always `transcript.text.done`.
    r#type: &'static str,
    text: String,
    usage: Usage,
    /// Code of the language that was spoken; empty where there was no speech. Not a field of OpenAI's.
    language: String,
    /// Not a field of OpenAI's.
    timings: Timings,
}

/// The words of windows that are done and have not been sent, from the device's thread. There are never more than the
/// transcript has, whose length the audio bounds; a client that reads slowly gets them in larger parts.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts(Arc<Unsent>);

#[derive(Debug, Default)]
struct Unsent {
    text: Mutex<String>,
    more: Notify,
}

impl Parts {
    fn add(&self, part: &str) {
        self.text().push_str(part);
        self.0.more.notify_one();
    }

    /// What there is; may be empty.
    fn take(&self) -> String {
        std::mem::take(&mut *self.text())
    }

    /// Waits for more.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped before it is ready.
    async fn next(&self) -> String {
        loop {
            let part = self.take();
            if !part.is_empty() {
                return part;
            }
            self.0.more.notified().await;
        }
    }

    fn text(&self) -> MutexGuard<'_, String> {
        self.0.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For the utterance, and for the events: what the first is told, the second sends.
pub(super) fn parts(blocklist: Arc<Blocklist>) -> (Progress, Parts) {
    let parts = Parts::default();
    (Progress::new(told(blocklist, parts.clone())), parts)
}

fn told(
    blocklist: Arc<Blocklist>,
    parts: Parts,
) -> impl Fn(&str, &[whisper::Segment]) + Send + Sync + 'static {
    move |_, segments| {
        let kept = blocklist.kept(segments);
        let text: String = kept.iter().map(|segment| &*segment.text).collect();
        parts.add(&text);
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<TimedTranscript, Problem>> + Send>>;

/// What is still to be sent.
enum Stage {
    Words {
        parts: Parts,
        answer: Answer,
        sent: bool,
    },
    /// All of the words were sent.
    Answer(Result<TimedTranscript, Problem>),
    Nothing,
}

/// Sends the parts as they come, then the answer. Dropping the response drops `answer`.
pub(super) fn respond(
    parts: Parts,
    answer: impl Future<Output = Result<TimedTranscript, Problem>> + Send + 'static,
) -> Response {
    let stage = Stage::Words {
        parts,
        answer: Box::pin(answer),
        sent: false,
    };
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Sse::new(events(stage))
        .keep_alive(keep_alive)
        .into_response()
}

fn events(stage: Stage) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    unfold(stage, |stage| async {
        let (event, stage) = next(stage).await?;
        Some((Ok(event), stage))
    })
}

async fn next(stage: Stage) -> Option<(Event, Stage)> {
    match stage {
        Stage::Nothing => None,
        Stage::Answer(answer) => Some((last(answer), Stage::Nothing)),
        Stage::Words {
            parts,
            mut answer,
            sent,
        } => {
            // Parts are waited for without loss, and the answer is polled in place.
            let answered = tokio::select! {
                biased;
                part = parts.next() => {
                    let event = delta(&part, sent);
                    let stage = Stage::Words { parts, answer, sent: true };
                    return Some((event, stage));
                }
                answered = &mut answer => answered,
            };
            let mut rest = parts.take();
            if let Ok(timed) = &answered
                && rest.is_empty()
                && !sent
            {
                // Nothing was told of on the way.
                rest.clone_from(&timed.transcript.text);
            }
            if rest.is_empty() {
                return Some((last(answered), Stage::Nothing));
            }
            Some((delta(&rest, sent), Stage::Answer(answered)))
        }
    }
}

fn last(answer: Result<TimedTranscript, Problem>) -> Event {
    match answer {
        Err(problem) => event(&problem.body()),
        Ok(TimedTranscript {
            transcript,
            timings,
        }) => event(&TextDone {
            r#type: "transcript.text.done",
            usage: Usage::of(&transcript),
            text: transcript.text,
            language: transcript.language,
            timings,
        }),
    }
}

/// All of them together are the text, which begins without a space.
fn delta(part: &str, is_sent: bool) -> Event {
    let part = if is_sent { part } else { part.trim_start() };
    event(&TextDelta {
        r#type: "transcript.text.delta",
        delta: part.to_owned(),
    })
}

fn event(data: &impl Serialize) -> Event {
    // Strings and numbers always become JSON.
    Event::default().json_data(data).unwrap_or_default()
}
