//! What a replica tells about its load: read by programs that choose replicas or size a fleet.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::BuildInfo;

/// What [`LoadReport::schema`] is now. It is raised when a field changes its meaning; a reader takes a report with a
/// higher number than it knows for none.
pub const SCHEMA: u32 = 1;

/// Bounds of [`LoadReport::answered_within`], in seconds: close together where a person waits, and up to the longest
/// deadline.
pub const ANSWER_BOUNDS_S: [u32; 20] = [
    1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 45, 60, 90, 120, 180, 300, 600,
];

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
    /// Of `finished_total`, those that were answered with words, by how long after the end of their audio: each
    /// figure has those of the ones before it. Empty from a process that does not say.
    pub answered_within: Vec<AnsweredWithin>,
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

/// Utterances that were answered within some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AnsweredWithin {
    /// At most so many seconds after the end of the audio.
    pub s: u32,
    /// So many, since the process started.
    pub total: u64,
}

impl LoadReport {
    /// Utterances that were answered with words within `wait`; between two bounds by a straight line. `None` from a
    /// process that does not say.
    pub fn answered_in(&self, wait: Duration) -> Option<f64> {
        let wait = wait.as_secs_f64();
        let (mut below, mut count) = (0.0, 0.0);
        for within in &self.answered_within {
            let (bound, total) = (f64::from(within.s), within.total as f64);
            if wait <= bound {
                let part = (wait - below) / (bound - below).max(1e-9);
                return Some(count + (total - count).max(0.0) * part.clamp(0.0, 1.0));
            }
            (below, count) = (bound, total);
        }
        (!self.answered_within.is_empty()).then_some(count)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_answered_in_time_is_read_between_bounds() {
        let within = |s, total| AnsweredWithin { s, total };
        let report = LoadReport {
            answered_within: vec![within(1, 10), within(2, 30), within(8, 90)],
            ..LoadReport::default()
        };
        for (seconds, count) in [
            (0.0, 0.0),
            (0.5, 5.0),
            (1.0, 10.0),
            (1.5, 20.0),
            (5.0, 60.0),
            (8.0, 90.0),
            (60.0, 90.0),
        ] {
            let found = report
                .answered_in(Duration::from_secs_f64(seconds))
                .unwrap();
            assert!((found - count).abs() < 1e-6, "{seconds} s: {found}");
        }
        assert_eq!(
            LoadReport::default().answered_in(Duration::from_secs(1)),
            None
        );
    }

    #[test]
    fn bounds_that_make_no_sense_give_no_nonsense() {
        let within = |s, total| AnsweredWithin { s, total };
        let report = LoadReport {
            answered_within: vec![within(2, 30), within(2, 10), within(0, u64::MAX)],
            ..LoadReport::default()
        };
        for seconds in [0, 1, 2, 3] {
            let found = report.answered_in(Duration::from_secs(seconds)).unwrap();
            assert!(found.is_finite() && found >= 0.0, "{found}");
        }
    }
}
