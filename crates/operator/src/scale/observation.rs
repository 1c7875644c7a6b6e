//! An instance as it was seen at one moment.

use std::time::Duration;

use super::count;

/// An instance as it was seen at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// Replicas that are ordered.
    pub ordered: u32,
    /// Ready pods that told their load.
    pub replicas: Vec<Replica>,
    /// Ready pods that did not.
    pub silent: Vec<String>,
    /// Pods that have a node and are on their way to being ready.
    pub starting: u32,
    /// Of these, how long the one that started first has been at it.
    pub starting_for: Duration,
    /// Pods that have a node and will not be ready: something keeps them, or they took too long.
    pub broken: u32,
    /// Pods that fit on no node.
    pub unschedulable: u32,
    /// Replicas that are ordered and have no pod, because the cluster refuses it.
    pub refused: u32,
    /// Whether pods of an older template are being replaced, and that gets on.
    pub rolling_out: bool,
    /// Utterances that a gateway holds back for want of a replica.
    pub held: u32,
    /// Pods that are ready, and how long each took from its node to that.
    pub startups: Vec<(String, Duration)>,
    /// Pods that have a node, and how long each waited for it.
    pub placements: Vec<(String, Duration)>,
}

impl Observation {
    /// Pods that take utterances.
    pub(super) fn ready(&self) -> u32 {
        count(self.replicas.len() + self.silent.len())
    }

    /// Pods that take utterances, or will.
    pub(super) fn placed(&self) -> u32 {
        self.ready() + self.starting
    }

    /// Pods that have a node.
    pub(super) fn on_nodes(&self) -> u32 {
        self.placed() + self.broken
    }
}

/// What a ready pod told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replica {
    /// Name of the pod.
    pub pod: String,
    /// Utterances that wait.
    pub queued: u32,
    /// Utterances that are being transcribed.
    pub running: u32,
    /// Utterances whose audio is still arriving.
    pub open: u32,
    /// Utterances that can run together.
    pub slots: u32,
    /// Utterances that came since the process started, those included that were refused: a full queue
    /// must not look like a small load.
    pub arrived: u64,
    /// Of these, those that were refused.
    pub refused: u64,
    /// Utterances that were answered since then.
    pub finished: u64,
    /// Of `finished`, answers that were errors because the deadline went by: no service.
    pub expired: u64,
    /// Of `finished`, answers with words within [`Target::wait`](super::Target::wait); none from a server that does
    /// not say.
    pub in_time: Option<u64>,
    /// Time that the device worked since then, in seconds.
    pub busy_s: f64,
    /// How long the oldest utterance has waited, in seconds.
    pub oldest_wait_s: f64,
}

impl Replica {
    /// Utterances that wait and run.
    pub(super) fn depth(&self) -> f64 {
        f64::from(self.queued + self.running)
    }
}
