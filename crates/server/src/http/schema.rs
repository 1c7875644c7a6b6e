//! What a file is sent with and answered with, as the API's description shows it.

use std::collections::BTreeMap;

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{ContentBuilder, OneOfBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

/// A file and how it is to be transcribed. Fields that are not named here are ignored.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "read by the macro alone")]
pub(super) struct TranscriptionForm {
    /// WAV, FLAC, MP3, AAC, Ogg, Opus, M4A, WebM, AIFF, AU or CAF.
    #[schema(format = Binary, value_type = String)]
    file: Vec<u8>,
    /// The model that is served, or `whisper-1`; may be left out.
    #[schema(nullable = false)]
    model: Option<String>,
    /// Code or English name of the language that is spoken; detected otherwise.
    #[schema(nullable = false)]
    language: Option<String>,
    /// Text that is taken to come before the audio: names and spellings to expect.
    #[schema(nullable = false)]
    prompt: Option<String>,
    /// How the text is returned.
    #[schema(value_type = ResponseFormat, required = false)]
    response_format: Option<String>,
    /// 0 chooses the most probable words; more draws them at random.
    #[schema(nullable = false, minimum = 0, maximum = 1)]
    temperature: Option<f32>,
    /// Sends the words of long audio as they come, as server-sent events; with `json` and `text` only.
    #[schema(nullable = false)]
    stream: Option<bool>,
    /// What `verbose_json` has times of.
    #[schema(rename = "timestamp_granularities[]", value_type = Vec<Granularity>, required = false)]
    timestamp_granularities: Option<Vec<String>>,
}

/// How the text is returned.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "read by the macro alone")]
enum ResponseFormat {
    Json,
    Text,
    Srt,
    Vtt,
    VerboseJson,
}

/// What has times.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "read by the macro alone")]
enum Granularity {
    Word,
    Segment,
}

/// What a file is answered with.
pub(super) struct Answers;

/// Statuses of errors, and when they are sent.
const ERRORS: [(&str, &str); 10] = [
    (
        "400",
        "The form is broken, or a field has a value that cannot be used",
    ),
    ("401", "No API key, or one that is not known"),
    ("404", "Another model is served"),
    ("408", "The body did not arrive in time"),
    (
        "413",
        "The body, or its audio, is longer than the server takes",
    ),
    (
        "415",
        "The body is no form, or the file is of no format that is read",
    ),
    (
        "422",
        "The file is damaged: it has no audio that can be decoded",
    ),
    ("429", "Too many wrong API keys came from this address"),
    ("500", "The server failed"),
    (
        "503",
        "The server is busy, has no model or shuts down; Retry-After says when to try again",
    ),
];

impl IntoResponses for Answers {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let schema = |name: &str| Ref::from_schema_name(name);
        let content = |schema: RefOr<Schema>| ContentBuilder::new().schema(Some(schema)).build();
        let either = OneOfBuilder::new()
            .item(schema("Transcription"))
            .item(schema("VerboseTranscription"));
        let events = OneOfBuilder::new()
            .item(schema("TextDelta"))
            .item(schema("TextDone"));
        let text = || content(String::schema());
        let timing = HeaderBuilder::new()
            .schema(Some(String::schema()))
            .description(Some(
                "Milliseconds from the end of the upload, by part; events have them in the last one",
            ))
            .build();
        let words = ResponseBuilder::new()
            .description("The text: JSON, plain text, subtitles or events, as asked for")
            .content("application/json", content(either.into()))
            .content("text/plain", text())
            .content("application/x-subrip", text())
            .content("text/vtt", text())
            .content("text/event-stream", content(events.into()))
            .header("Server-Timing", timing)
            .build();
        let errors = ERRORS.into_iter().map(|(status, when)| {
            let error = content(schema("Error").into());
            let response = ResponseBuilder::new()
                .description(when)
                .content("application/json", error);
            (status.to_owned(), response.build().into())
        });
        std::iter::once(("200".to_owned(), words.into()))
            .chain(errors)
            .collect()
    }
}
