//! A multipart form → what is wanted of which file.

use std::pin::pin;
use std::time::Duration;

use axum::body::BodyDataStream;
use axum::http::{HeaderMap, StatusCode, header};
use futures::StreamExt;
use multer::{Field, Multipart};

use super::body::{BodyError, Held, pieces};
use super::format::Format;
use super::problem::Problem;

/// Longest text of a field.
pub(super) const MOST_TEXT_BYTES: usize = 16 << 10;
/// OpenAI's clients send ten.
const MOST_PARTS: usize = 64;
/// By RFC 2046.
const MOST_BOUNDARY_BYTES: usize = 70;

/// An uploaded file.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Upload {
    pub(super) bytes: Vec<u8>,
    /// Of its name: a hint at its format, which may be wrong.
    pub(super) extension: Option<String>,
}

/// What a request asks for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Wanted {
    pub(super) file: Upload,
    pub(super) model: Option<String>,
    pub(super) language: Option<String>,
    pub(super) prompt: Option<String>,
    pub(super) format: Format,
    pub(super) temperature: Option<f32>,
    /// Words as they come, as server-sent events.
    pub(super) stream: bool,
    /// `verbose_json` has segments; words, if asked for.
    pub(super) segments: bool,
    pub(super) words: bool,
}

/// Reads the form of a request with these headers.
///
/// # Errors
/// A [`Problem`] that says what is wrong with it.
pub(super) async fn read(
    headers: &HeaderMap,
    body: &mut BodyDataStream,
    held: &Held,
    longest_audio: Duration,
) -> Result<Wanted, Problem> {
    let boundary = boundary(headers)?;
    let mut form = Multipart::new(pieces(body, held.clone(), longest_audio), boundary);
    let mut fields = Fields::default();
    let mut parts = 0;
    while let Some(field) = form.next_field().await.map_err(|error| bad_form(&error))? {
        held.parsed();
        parts += 1;
        if parts > MOST_PARTS {
            let message = format!("the form has more than {MOST_PARTS} parts");
            return Err(Problem::new(StatusCode::BAD_REQUEST, "bad-form", message));
        }
        read_field(field, held, &mut fields).await?;
    }
    // Only a body that was read to its end lets hyper see that the client is gone.
    drop(form);
    let mut rest = pin!(pieces(body, held.clone(), longest_audio));
    while let Some(piece) = rest.next().await {
        piece?;
    }
    fields.checked()
}

async fn read_field(mut field: Field<'_>, held: &Held, fields: &mut Fields) -> Result<(), Problem> {
    let name = field.name().unwrap_or_default().to_owned();
    if name == "file" {
        let extension = field.file_name().and_then(extension);
        let mut bytes = Vec::new();
        while let Some(piece) = field.chunk().await.map_err(|error| bad_form(&error))? {
            held.parsed();
            bytes.extend_from_slice(&piece);
        }
        return fields.set_file(Upload { bytes, extension });
    }
    let is_known = KNOWN.contains(&name.as_str());
    let mut text = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(|error| bad_form(&error))? {
        held.parsed();
        if !is_known {
            continue;
        }
        text.extend_from_slice(&piece);
        if text.len() > MOST_TEXT_BYTES {
            let message = format!("{name} is longer than {MOST_TEXT_BYTES} bytes");
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid_value",
                message,
            ));
        }
    }
    let text = String::from_utf8(text).map_err(|_| {
        let message = format!("{name} is not UTF-8");
        Problem::new(StatusCode::BAD_REQUEST, "invalid_value", message)
    })?;
    fields.set(&name, text.trim())
}

/// Fields that are read; others are passed over, as OpenAI does.
const KNOWN: [&str; 8] = [
    "model",
    "language",
    "prompt",
    "response_format",
    "temperature",
    "stream",
    "timestamp_granularities[]",
    "timestamp_granularities",
];

/// What has been read.
#[derive(Debug, Default)]
struct Fields {
    file: Option<Upload>,
    wanted: Wanted,
}

impl Fields {
    fn set_file(&mut self, upload: Upload) -> Result<(), Problem> {
        if self.file.replace(upload).is_some() {
            return Err(Problem::field("file", "the form has two files; send one"));
        }
        Ok(())
    }

    /// One that is empty says nothing.
    fn set(&mut self, name: &str, text: &str) -> Result<(), Problem> {
        if text.is_empty() {
            return Ok(());
        }
        let wanted = &mut self.wanted;
        match name {
            "model" => wanted.model = Some(text.to_owned()),
            "language" => wanted.language = Some(text.to_owned()),
            "prompt" => wanted.prompt = Some(text.to_owned()),
            "response_format" => wanted.format = format(text)?,
            "temperature" => wanted.temperature = Some(temperature(text)?),
            "stream" => wanted.stream = truth(text)?,
            "timestamp_granularities[]" | "timestamp_granularities" => match text {
                "segment" => wanted.segments = true,
                "word" => wanted.words = true,
                _ => {
                    return Err(Problem::field(
                        "timestamp_granularities",
                        "timestamp_granularities is neither word nor segment",
                    ));
                }
            },
            _ => {}
        }
        Ok(())
    }

    /// What fits together.
    fn checked(self) -> Result<Wanted, Problem> {
        let mut wanted = self.wanted;
        wanted.file = self.file.ok_or_else(|| {
            Problem::field(
                "file",
                "the form has no file; send the audio as the field named file",
            )
        })?;
        if wanted.file.bytes.is_empty() {
            return Err(Problem::field("file", "the file is empty"));
        }
        if wanted.words && wanted.format != Format::VerboseJson {
            return Err(Problem::field(
                "timestamp_granularities",
                "times of words need response_format=verbose_json",
            ));
        }
        if wanted.stream && !matches!(wanted.format, Format::Json | Format::Text) {
            return Err(Problem::field(
                "stream",
                "stream=true sends the text alone; leave response_format out, or set it to json or text",
            ));
        }
        wanted.segments |= !wanted.words;
        Ok(wanted)
    }
}

fn format(text: &str) -> Result<Format, Problem> {
    Format::of(text).ok_or_else(|| {
        Problem::field(
            "response_format",
            "response_format is none of json, text, srt, vtt and verbose_json",
        )
    })
}

fn temperature(text: &str) -> Result<f32, Problem> {
    let temperature = text.parse().ok();
    let temperature = temperature.filter(|temperature| (0.0..=1.0).contains(temperature));
    temperature
        .ok_or_else(|| Problem::field("temperature", "temperature is not a number from 0 to 1"))
}

fn truth(text: &str) -> Result<bool, Problem> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Problem::field("stream", "stream is neither true nor false")),
    }
}

fn extension(name: &str) -> Option<String> {
    let (_, extension) = name.rsplit_once('.')?;
    let is_one = extension.len() <= 8 && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_one.then(|| extension.to_ascii_lowercase())
}

fn boundary(headers: &HeaderMap) -> Result<String, Problem> {
    let wrong_type = || {
        let message = "the body is not multipart/form-data with a boundary; send the file as a form, as OpenAI's clients do";
        Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            message,
        )
    };
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let boundary = content_type.and_then(|value| multer::parse_boundary(value).ok());
    boundary
        .filter(|boundary| (1..=MOST_BOUNDARY_BYTES).contains(&boundary.len()))
        .ok_or_else(wrong_type)
}

/// What the parser said, or why its input ended.
fn bad_form(error: &multer::Error) -> Problem {
    if let multer::Error::StreamReadFailed(source) = error
        && let Some(source) = source.downcast_ref::<BodyError>()
    {
        return (*source).into();
    }
    let reason = match error {
        multer::Error::IncompleteFieldData { .. }
        | multer::Error::IncompleteHeaders
        | multer::Error::IncompleteStream => "it ends before its last boundary",
        _ => "the head of a part cannot be read",
    };
    let message = format!("the multipart form is broken: {reason}");
    Problem::new(StatusCode::BAD_REQUEST, "bad-form", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(fields: &[(&str, &str)]) -> Result<Wanted, String> {
        let mut read = Fields::default();
        let upload = Upload {
            bytes: b"RIFF".to_vec(),
            ..Upload::default()
        };
        read.set_file(upload).unwrap();
        let set: Result<(), Problem> = fields
            .iter()
            .try_for_each(|(name, text)| read.set(name, text));
        let checked = set.and_then(|()| read.checked());
        checked.map_err(|problem| serde_json::to_string(&problem.body()).unwrap())
    }

    #[test]
    fn fields_mean_what_they_mean_to_openai() {
        let usual = checked(&[
            ("model", "whisper-1"),
            ("temperature", ""),
            ("chunking_strategy", "auto"),
        ])
        .unwrap();
        assert_eq!(
            (usual.format, usual.temperature, usual.stream),
            (Format::Json, None, false)
        );
        let verbose = checked(&[
            ("response_format", "verbose_json"),
            ("timestamp_granularities[]", "word"),
            ("temperature", "0.4"),
        ])
        .unwrap();
        assert_eq!(
            (verbose.words, verbose.segments, verbose.temperature),
            (true, false, Some(0.4))
        );
        let both = checked(&[
            ("response_format", "verbose_json"),
            ("timestamp_granularities[]", "segment"),
            ("timestamp_granularities[]", "word"),
        ]);
        assert!(both.is_ok_and(|both| both.words && both.segments));
        assert!(checked(&[("stream", "True")]).unwrap().stream);
    }

    #[test]
    fn what_cannot_be_done_names_its_field() {
        for (fields, named) in [
            (&[("response_format", "docx")][..], "response_format"),
            (&[("temperature", "warm")], "temperature"),
            (&[("temperature", "nan")], "temperature"),
            (&[("temperature", "1.5")], "temperature"),
            (&[("stream", "maybe")], "stream"),
            (&[("stream", "true"), ("response_format", "srt")], "stream"),
            (
                &[("timestamp_granularities[]", "letter")],
                "timestamp_granularities",
            ),
            (
                &[("timestamp_granularities[]", "word")],
                "timestamp_granularities",
            ),
        ] {
            let error = checked(fields).unwrap_err();
            assert!(
                error.contains(&format!("\"param\":\"{named}\"")),
                "{fields:?}: {error}"
            );
        }
        let without_file = Fields::default().checked().unwrap_err();
        assert!(
            serde_json::to_string(&without_file.body())
                .unwrap()
                .contains("\"file\"")
        );
    }

    #[test]
    fn an_extension_is_short_and_plain() {
        for (name, expected) in [
            ("a.WAV", Some("wav")),
            ("a.tar.gz", Some("gz")),
            ("../../etc/passwd", None),
            ("a.../x", None),
            ("wav", None),
        ] {
            assert_eq!(extension(name).as_deref(), expected, "{name}");
        }
    }
}
