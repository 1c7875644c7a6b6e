//! A transcript in the formats of OpenAI's API.

use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use whisper::{Segment, Task, Transcript};

use super::form::Wanted;
use super::format::Format;
use super::timings::TimedTranscript;
use crate::{language, subtitles};

/// The text alone.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Transcription)]
pub(super) struct Short {
    text: String,
    usage: Usage,
}

/// What was transcribed.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct Usage {
    /// Always `duration`.
    r#type: &'static str,
    /// Length of the audio.
    seconds: f64,
}

/// The text, and when what was said.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VerboseTranscription)]
pub(super) struct Verbose {
    /// `transcribe` or `translate`.
    task: &'static str,
    /// The language's English name in lower case, such as `english`.
    language: String,
    /// Length of the audio in seconds.
    duration: f64,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<Vec<Part>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<Word>>,
    usage: Usage,
}

/// A part of the text. Times are seconds from the beginning of the audio.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Segment)]
struct Part {
    id: usize,
    /// Where the window of it begins, in hundredths of a second.
    seek: usize,
    start: f64,
    end: f64,
    text: String,
    tokens: Vec<u32>,
    temperature: f32,
    avg_logprob: f32,
    compression_ratio: f32,
    no_speech_prob: f32,
}

/// A word. Times are seconds from the beginning of the audio.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the API's names")]
struct Word {
    word: String,
    start: f64,
    end: f64,
}

impl Usage {
    pub(super) fn of(transcript: &Transcript) -> Self {
        Self {
            r#type: "duration",
            seconds: hundredths(transcript.audio.as_secs_f64()),
        }
    }
}

/// The answer to a request that was `wanted`.
pub(super) fn answer(wanted: &Wanted, task: Task, timed: TimedTranscript) -> Response {
    let (name, value) = timed.timings.header();
    let mut response = formatted(wanted, task, timed.transcript);
    response.headers_mut().insert(name, value);
    response
}

fn formatted(wanted: &Wanted, task: Task, transcript: Transcript) -> Response {
    match wanted.format {
        Format::Json => Json(Short {
            usage: Usage::of(&transcript),
            text: transcript.text,
        })
        .into_response(),
        Format::Text => plain("text/plain", format!("{}\n", transcript.text)),
        Format::Srt => plain("application/x-subrip", subtitles::srt(&transcript)),
        Format::Vtt => plain("text/vtt", subtitles::vtt(&transcript)),
        Format::VerboseJson => Json(verbose(wanted, task, transcript)).into_response(),
    }
}

fn plain(kind: &str, text: String) -> Response {
    let kind = format!("{kind}; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

fn verbose(wanted: &Wanted, task: Task, transcript: Transcript) -> Verbose {
    let segments = &transcript.segments;
    let parts = || (0..).zip(segments).map(|(id, segment)| part(id, segment));
    let words = || {
        let words = segments.iter().flat_map(|segment| &segment.words);
        words.map(|word| Word {
            word: word.text.trim().to_owned(),
            start: hundredths(word.start_s),
            end: hundredths(word.end_s),
        })
    };
    Verbose {
        task: match task {
            Task::Transcribe => "transcribe",
            Task::Translate => "translate",
        },
        language: language::english_name(&transcript.language)
            .unwrap_or(&transcript.language)
            .to_owned(),
        duration: hundredths(transcript.audio.as_secs_f64()),
        segments: wanted.segments.then(|| parts().collect()),
        words: wanted.words.then(|| words().collect()),
        usage: Usage::of(&transcript),
        text: transcript.text,
    }
}

fn part(id: usize, segment: &Segment) -> Part {
    Part {
        id,
        seek: segment.seek,
        start: hundredths(segment.start_s),
        end: hundredths(segment.end_s),
        text: segment.text.clone(),
        tokens: segment.tokens.clone(),
        temperature: segment.temperature,
        avg_logprob: segment.avg_log_prob,
        compression_ratio: segment.compression_ratio,
        no_speech_prob: segment.no_speech_prob,
    }
}

/// Times are known to 20 ms; sums of them end in …00001 otherwise.
fn hundredths(seconds: f64) -> f64 {
    (seconds * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    fn transcript() -> Transcript {
        let word = |text: &str, start_s, end_s| whisper::Word {
            text: text.to_owned(),
            start_s,
            end_s,
        };
        Transcript {
            text: "Lights on.".to_owned(),
            language: "en".to_owned(),
            audio: Duration::from_millis(1_500),
            segments: vec![Segment {
                seek: 3_000,
                start_s: 0.1 + 0.2,
                end_s: 1.5,
                text: " Lights on.".to_owned(),
                tokens: vec![1, 2],
                words: vec![word(" Lights", 0.3, 0.9), word(" on.", 0.9, 1.5)],
                ..Segment::default()
            }],
            ..Transcript::default()
        }
    }

    fn shown(wanted: &Wanted) -> Value {
        serde_json::to_value(verbose(wanted, Task::Transcribe, transcript())).unwrap()
    }

    #[test]
    fn verbose_json_has_what_was_asked_for() {
        let segments = Wanted {
            segments: true,
            ..Wanted::default()
        };
        let found = shown(&segments);
        assert_eq!(found["language"], "english");
        assert_eq!(found["duration"], 1.5);
        assert_eq!(found["segments"][0]["start"], 0.3);
        assert_eq!(found["segments"][0]["seek"], 3_000);
        assert_eq!(found["segments"][0]["text"], " Lights on.");
        assert_eq!(found.get("words"), None);
        let words = Wanted {
            words: true,
            ..Wanted::default()
        };
        let found = shown(&words);
        assert_eq!(
            found["words"][1],
            json!({"word": "on.", "start": 0.9, "end": 1.5})
        );
        assert_eq!(found.get("segments"), None);
    }
}
