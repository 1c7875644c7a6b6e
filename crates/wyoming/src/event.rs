//! Frames to meaning: one variant for each event that a speech-to-text server or its client uses.
//!
//! Source: `wyoming/{asr,audio,info,error,ping}.py` of the reference library, release 1.10.2.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::info::Info;
use crate::number::whole;
use crate::{AudioFormat, Code, Excerpt, Form, Frame, json};

/// An event that means something to speech-to-text, or [`Event::Other`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Asks for [`Event::Info`].
    Describe,
    /// What a server offers.
    Info(Box<Info>),
    /// Chooses one of the programs for the rest of the connection.
    SelectProgram {
        /// A name from [`Info`].
        name: String,
    },
    /// Announces an utterance and how it is wanted.
    Transcribe(Transcribe),
    /// Audio begins.
    AudioStart(AudioStart),
    /// Some audio.
    AudioChunk(AudioChunk),
    /// Audio is over.
    AudioStop {
        /// Milliseconds, on the sender's clock.
        timestamp_ms: Option<i64>,
    },
    /// The words of an utterance.
    Transcript(Transcript),
    /// A transcript in pieces begins.
    TranscriptStart(TranscriptStart),
    /// A piece of a transcript.
    TranscriptChunk {
        /// The piece.
        text: String,
    },
    /// A transcript in pieces is over.
    TranscriptStop,
    /// Something went wrong.
    Error(ErrorEvent),
    /// Asks for [`Event::Pong`] with the same text.
    Ping {
        /// Any text.
        text: Option<String>,
    },
    /// Answers [`Event::Ping`].
    Pong {
        /// The ping's text.
        text: Option<String>,
    },
    /// An event of another kind of service, or of a later protocol: to be ignored.
    Other {
        /// The header's `type`.
        kind: String,
    },
}

/// How an utterance is wanted; each field may be absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transcribe {
    /// Model.
    pub name: Option<String>,
    /// Language, as the model advertises it.
    pub language: Option<String>,
    /// Opaque, from an earlier interaction.
    pub context: Option<Map<String, Value>>,
    /// `default`, `relaxed` or `aggressive`; other words are allowed.
    pub vad_sensitivity: Option<String>,
    /// Unique names to expect, before terms.
    pub transcript_names: Vec<String>,
    /// Words to expect.
    pub transcript_terms: Vec<String>,
}

/// Audio begins, in this format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioStart {
    /// How the chunks' PCM is to be read.
    pub format: AudioFormat,
    /// Milliseconds, on the sender's clock.
    pub timestamp_ms: Option<i64>,
}

/// Some audio. Its own format counts, whatever [`AudioStart`] said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioChunk {
    /// How `pcm` is to be read.
    pub format: AudioFormat,
    /// Milliseconds, on the sender's clock.
    pub timestamp_ms: Option<i64>,
    /// Interleaved little-endian PCM, signed except at width 1. It may end inside a sample.
    pub pcm: Bytes,
}

/// The words of an utterance.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Transcript {
    /// The words; empty when nothing was said.
    pub text: String,
    /// The language that was given or detected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Opaque, for the next interaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Map<String, Value>>,
}

/// A transcript in pieces begins.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TranscriptStart {
    /// The language that was given or detected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Opaque, for the next interaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Map<String, Value>>,
}

/// Something went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ErrorEvent {
    /// A sentence for people.
    pub text: String,
    /// A word for machines: one of [`Code`] when this project wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// A frame of a known kind whose fields are not what that kind needs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// A required field is missing or has the wrong JSON type.
    #[error("{kind}: field \"{field}\" must be {expected}")]
    Field {
        /// The event.
        kind: Excerpt,
        /// The field.
        field: &'static str,
        /// What it should have been.
        expected: &'static str,
    },
    /// An `info` that cannot be read.
    #[error("info does not have the expected fields: {reason}")]
    Info {
        /// What the reader missed. It quotes the peer, so it is cut.
        reason: Excerpt,
    },
}

impl EventError {
    /// What to tell the peer.
    pub fn code(&self) -> Code {
        Code::BadEvent
    }
}

impl Event {
    /// Gives a frame its meaning.
    ///
    /// # Errors
    /// When the kind is known and a field that it needs is missing or of the wrong type. An
    /// optional field of the wrong type counts as absent.
    pub fn from_frame(frame: Frame) -> Result<Self, EventError> {
        let fields = Fields(&frame);
        Ok(match frame.kind.as_str() {
            "describe" => Self::Describe,
            "info" => {
                let data = Value::Object(frame.data);
                let info = serde_json::from_value(data).map_err(|error| EventError::Info {
                    reason: Excerpt::of(&error.to_string()),
                })?;
                Self::Info(Box::new(info))
            }
            "select-program" => Self::SelectProgram {
                name: fields.text("name")?,
            },
            // Releases 1.0.0 to 1.2.0 write the misspelt word.
            "transcribe" | "transcibe" => Self::Transcribe(fields.transcribe()),
            "audio-start" => Self::AudioStart(AudioStart {
                format: fields.audio_format()?,
                timestamp_ms: fields.timestamp(),
            }),
            "audio-chunk" => Self::AudioChunk(AudioChunk {
                format: fields.audio_format()?,
                timestamp_ms: fields.timestamp(),
                pcm: frame.payload.clone(),
            }),
            "audio-stop" => Self::AudioStop {
                timestamp_ms: fields.timestamp(),
            },
            "transcript" => Self::Transcript(Transcript {
                text: fields.text("text")?,
                language: fields.optional_text("language"),
                context: fields.object("context"),
            }),
            "transcript-start" => Self::TranscriptStart(TranscriptStart {
                language: fields.optional_text("language"),
                context: fields.object("context"),
            }),
            "transcript-chunk" => Self::TranscriptChunk {
                text: fields.text("text")?,
            },
            "transcript-stop" => Self::TranscriptStop,
            "error" => Self::Error(ErrorEvent {
                text: fields.text("text")?,
                code: fields.optional_text("code"),
            }),
            "ping" => Self::Ping {
                text: fields.optional_text("text"),
            },
            "pong" => Self::Pong {
                text: fields.optional_text("text"),
            },
            _ => Self::Other { kind: frame.kind },
        })
    }

    /// An `error` event with one of our codes.
    pub fn error(code: Code, text: impl Into<String>) -> Self {
        Self::Error(ErrorEvent {
            text: text.into(),
            code: Some(code.as_str().to_owned()),
        })
    }

    /// The header's `type`.
    pub fn kind(&self) -> &str {
        match self {
            Self::Describe => "describe",
            Self::Info(_) => "info",
            Self::SelectProgram { .. } => "select-program",
            Self::Transcribe(_) => "transcribe",
            Self::AudioStart(_) => "audio-start",
            Self::AudioChunk(_) => "audio-chunk",
            Self::AudioStop { .. } => "audio-stop",
            Self::Transcript(_) => "transcript",
            Self::TranscriptStart(_) => "transcript-start",
            Self::TranscriptChunk { .. } => "transcript-chunk",
            Self::TranscriptStop => "transcript-stop",
            Self::Error(_) => "error",
            Self::Ping { .. } => "ping",
            Self::Pong { .. } => "pong",
            Self::Other { kind } => kind,
        }
    }

    /// The event as the frame that a reader of its bytes gets.
    ///
    /// # Errors
    /// As the writer: none for fields that came from JSON.
    pub fn into_frame(self, form: Form) -> Result<Frame, serde_json::Error> {
        let fields = self.write_fields()?;
        let data = if fields.is_empty() {
            Map::new()
        } else {
            serde_json::from_slice(&fields)?
        };
        Ok(Frame {
            kind: self.kind().to_owned(),
            data,
            payload: self.payload().clone(),
            form,
        })
    }

    pub(crate) fn payload(&self) -> &Bytes {
        static NONE: Bytes = Bytes::new();
        match self {
            Self::AudioChunk(chunk) => &chunk.pcm,
            _ => &NONE,
        }
    }

    /// The fields as JSON text in the reference's order; empty when there are none.
    pub(crate) fn write_fields(&self) -> Result<Vec<u8>, serde_json::Error> {
        match self {
            Self::Describe | Self::TranscriptStop | Self::Other { .. } => Ok(Vec::new()),
            Self::Info(info) => json::write(info),
            Self::SelectProgram { name } => json::write(&WrittenName { name }),
            Self::Transcribe(transcribe) => {
                unless_empty(json::write(&WrittenTranscribe::from(transcribe)))
            }
            Self::AudioStart(start) => {
                json::write(&WrittenAudio::new(start.format, start.timestamp_ms))
            }
            Self::AudioChunk(chunk) => {
                json::write(&WrittenAudio::new(chunk.format, chunk.timestamp_ms))
            }
            Self::AudioStop { timestamp_ms } => json::write(&WrittenStop {
                timestamp: *timestamp_ms,
            }),
            Self::Transcript(transcript) => json::write(transcript),
            Self::TranscriptStart(start) => unless_empty(json::write(start)),
            Self::TranscriptChunk { text } => json::write(&WrittenText { text: Some(text) }),
            Self::Error(error) => json::write(error),
            Self::Ping { text } | Self::Pong { text } => json::write(&WrittenText {
                text: text.as_deref(),
            }),
        }
    }
}

fn unless_empty(written: Result<Vec<u8>, serde_json::Error>) -> Result<Vec<u8>, serde_json::Error> {
    written.map(|bytes| if bytes == b"{}" { Vec::new() } else { bytes })
}

/// Reads a frame's fields by name and type.
struct Fields<'a>(&'a Frame);

impl Fields<'_> {
    fn wrong(&self, field: &'static str, expected: &'static str) -> EventError {
        EventError::Field {
            kind: Excerpt::of(&self.0.kind),
            field,
            expected,
        }
    }

    fn text(&self, field: &'static str) -> Result<String, EventError> {
        self.optional_text(field)
            .ok_or_else(|| self.wrong(field, "a string"))
    }

    fn optional_text(&self, field: &str) -> Option<String> {
        self.0.data.get(field)?.as_str().map(str::to_owned)
    }

    fn object(&self, field: &str) -> Option<Map<String, Value>> {
        self.0.data.get(field)?.as_object().cloned()
    }

    fn texts(&self, field: &str) -> Vec<String> {
        let items = self.0.data.get(field).and_then(Value::as_array);
        items
            .into_iter()
            .flatten()
            .filter_map(|item| item.as_str().map(str::to_owned))
            .collect()
    }

    fn timestamp(&self) -> Option<i64> {
        whole(self.0.data.get("timestamp")?.as_number()?)
    }

    fn positive<T: TryFrom<i64>>(
        &self,
        field: &'static str,
        expected: &'static str,
    ) -> Result<T, EventError> {
        let number = self.0.data.get(field).and_then(Value::as_number);
        number
            .and_then(whole)
            .filter(|&number| number > 0)
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| self.wrong(field, expected))
    }

    fn audio_format(&self) -> Result<AudioFormat, EventError> {
        let rate = self.positive("rate", "a positive integer, in Hz")?;
        let width = self.positive("width", "a positive integer, in bytes per sample")?;
        let channels = self.positive("channels", "a positive integer up to 255")?;
        AudioFormat::new(rate, width, channels).ok_or_else(|| self.wrong("rate", "positive"))
    }

    fn transcribe(&self) -> Transcribe {
        Transcribe {
            name: self.optional_text("name"),
            language: self.optional_text("language"),
            context: self.object("context"),
            vad_sensitivity: self.optional_text("vad_sensitivity"),
            transcript_names: self.texts("transcript_names"),
            transcript_terms: self.texts("transcript_terms"),
        }
    }
}

#[derive(Serialize)]
struct WrittenName<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct WrittenText<'a> {
    text: Option<&'a str>,
}

#[derive(Serialize)]
struct WrittenStop {
    timestamp: Option<i64>,
}

#[derive(Serialize)]
struct WrittenAudio {
    rate: u32,
    width: u8,
    channels: u8,
    timestamp: Option<i64>,
}

impl WrittenAudio {
    fn new(format: AudioFormat, timestamp: Option<i64>) -> Self {
        Self {
            rate: format.rate_hz(),
            width: format.width_bytes(),
            channels: format.channels(),
            timestamp,
        }
    }
}

#[derive(Serialize)]
struct WrittenTranscribe<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vad_sensitivity: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    transcript_names: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    transcript_terms: &'a [String],
}

impl<'a> From<&'a Transcribe> for WrittenTranscribe<'a> {
    fn from(transcribe: &'a Transcribe) -> Self {
        Self {
            name: transcribe.name.as_deref(),
            language: transcribe.language.as_deref(),
            context: transcribe.context.as_ref(),
            vad_sensitivity: transcribe.vad_sensitivity.as_deref(),
            transcript_names: &transcribe.transcript_names,
            transcript_terms: &transcribe.transcript_terms,
        }
    }
}
