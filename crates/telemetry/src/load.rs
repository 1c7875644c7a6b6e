//! What a replica tells about its load: read by whoever chooses replicas or sizes a fleet.

use serde::{Deserialize, Serialize};

use crate::BuildInfo;

/// What [`LoadReport::schema`] is now. It is raised when a field changes its meaning; a reader takes a report with a
/// higher number than it knows for none.
pub const SCHEMA: u32 = 1;

/// Load of one process now, and its totals since it started. JSON on `/load`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoadReport {
    /// [`SCHEMA`] of the process; 0 of one that does not say.
    pub schema: u32,
    /// Whether utterances are transcribed now.
    pub ready: bool,
    /// Whether the process is shutting down.
    pub draining: bool,
    /// Utterances that can be transcribed at once.
    pub slots: usize,
    /// Utterances that wait.
    pub queued: usize,
    /// Utterances that are being transcribed.
    pub running: usize,
    /// Utterances whose audio is still arriving.
    pub open_streams: usize,
    /// Utterances held back for want of a replica; a gateway's figure.
    pub held: usize,
    /// How long the oldest waiting utterance has waited, in seconds.
    pub oldest_wait_s: f64,
    /// Audio of the utterances that wait, in seconds.
    pub waiting_audio_s: f64,
    /// Utterances taken into the queue.
    pub accepted_total: u64,
    /// Utterances answered, with words or an error.
    pub finished_total: u64,
    /// Of `finished_total`, those whose error was that their deadline went by: no service was done for them.
    pub expired_total: u64,
    /// Utterances refused because the queue was full.
    pub refused_total: u64,
    /// Utterances whose client went away.
    pub cancelled_total: u64,
    /// Time spent transcribing, in seconds.
    pub busy_s_total: f64,
    /// What is served.
    pub model: ModelReport,
    /// Where it computes; empty until the model is loaded.
    pub device: String,
    /// What was built.
    pub build: BuildInfo,
}

/// Identity of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelReport {
    /// As it was asked for.
    pub name: String,
    /// Revision that was asked for.
    pub revision: String,
    /// Of the weights, in hexadecimal; empty until loaded.
    pub sha256: String,
    /// Size of the weights; 0 until loaded.
    pub bytes: u64,
}
