//! The `info` event: what a server offers, in answer to `describe`.
//!
//! Source: `wyoming/info.py` of the reference library. A required key that is missing makes its
//! reader raise inside the client, so every key is always written, null ones included; only
//! `satellite` is left out, because a client takes its presence for a satellite. Reading is
//! lenient: what later releases added has the reference's defaults, unknown keys are skipped.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a server offers. The first entry of a list is its default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Info {
    /// Speech-to-text programs.
    pub asr: Vec<AsrProgram>,
    /// Text-to-speech programs, kept unread like the rest.
    pub tts: Vec<Value>,
    /// Intent handlers.
    pub handle: Vec<Value>,
    /// Intent recognisers.
    pub intent: Vec<Value>,
    /// Wake word detectors.
    pub wake: Vec<Value>,
    /// Microphones.
    pub mic: Vec<Value>,
    /// Loudspeakers.
    pub snd: Vec<Value>,
}

/// The maker of a program or a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribution {
    /// Name of a person or project.
    pub name: String,
    /// Home page.
    pub url: String,
}

/// A speech-to-text program. Home Assistant shows `name` as the entity's name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the protocol's fields")]
pub struct AsrProgram {
    /// Name, also for `select-program`.
    pub name: String,
    /// Its maker.
    pub attribution: Attribution,
    /// False makes clients ignore it.
    pub installed: bool,
    /// One line for people.
    #[serde(default)]
    pub description: Option<String>,
    /// Version of the program.
    #[serde(default)]
    pub version: Option<String>,
    /// Models, the default first.
    pub models: Vec<AsrModel>,
    /// Whether `transcript-chunk`s are sent.
    #[serde(default)]
    pub supports_transcript_streaming: bool,
    /// False when the server itself decides where an utterance ends.
    #[serde(default = "yes")]
    pub requires_external_vad: bool,
    /// Whether automatic gain helps this program.
    #[serde(default = "yes")]
    pub prefers_auto_gain_enabled: bool,
    /// Whether noise reduction helps this program.
    #[serde(default = "yes")]
    pub prefers_noise_reduction_enabled: bool,
}

fn yes() -> bool {
    true
}

/// A model of a speech-to-text program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AsrModel {
    /// Name, also for `transcribe`.
    pub name: String,
    /// Its maker.
    pub attribution: Attribution,
    /// False makes clients ignore it.
    pub installed: bool,
    /// One line for people.
    #[serde(default)]
    pub description: Option<String>,
    /// Version of the model.
    #[serde(default)]
    pub version: Option<String>,
    /// What a client may ask for: two-letter codes, and `yue`, `haw`.
    pub languages: Vec<String>,
}
