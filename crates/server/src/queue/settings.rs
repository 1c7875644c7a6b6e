//! How the worker works.

use std::sync::Arc;

use super::policy::BatchLimits;
use crate::blocklist::Blocklist;

/// Bounds and habits of the worker.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// Bounds of what runs together.
    pub batch: BatchLimits,
    /// Hypotheses of an utterance, at most.
    pub beams: usize,
    /// Phrases that are taken for silence.
    pub blocklist: Arc<Blocklist>,
}
