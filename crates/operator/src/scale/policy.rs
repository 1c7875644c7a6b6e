//! How an instance wants to be scaled.

use std::time::Duration;

/// How an instance wants to be scaled.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Never fewer replicas.
    pub min: u32,
    /// Never more replicas.
    pub max: u32,
    /// Utterances, waiting and running, for each replica.
    pub target_depth: u32,
    /// Within which a backlog should be gone.
    pub drain_target: Duration,
    /// How fast replicas are added.
    pub up: UpSteps,
    /// How fast replicas are taken away.
    pub down: DownSteps,
    /// Pods without a node that are kept ordered.
    pub max_pending: u32,
    /// Replicas that may start at once; none where that costs nothing but their own time.
    pub max_starting: Option<u32>,
    /// How long a replica takes to start, until that has been measured.
    pub startup_hint: Duration,
    /// Utterances that one replica recognises together.
    pub slots: u32,
    /// Utterances that wait in one replica at most.
    pub max_queue: u32,
    /// After which an utterance is answered with an error.
    pub deadline: Duration,
    /// How soon how many answers should come.
    pub target: Target,
    /// Utterances that should find room at once, beside the load.
    pub spare: u32,
}

/// How soon how many answers should come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// From the last word to the words.
    pub wait: Duration,
    /// Part of the utterances, within 0.5 to 0.9999.
    pub share: f64,
}

impl Target {
    /// What every instance wants: of a thousand utterances one may miss its deadline.
    pub fn of_deadline(deadline: Duration) -> Self {
        Self {
            wait: deadline,
            share: 0.999,
        }
    }

    /// [`Self::share`] in thousandths.
    pub fn share_milli(&self) -> i32 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a part of one, in thousandths"
        )]
        let milli = (self.share.clamp(0.0, 1.0) * 1000.0).round() as i32;
        milli
    }
}

/// How fast replicas are added.
#[derive(Clone, Debug, PartialEq)]
pub struct UpSteps {
    /// During which more must have been wanted all the time.
    pub stabilization: Duration,
    /// Replicas in one step.
    pub replicas: u32,
    /// Of a step.
    pub period: Duration,
}

/// How fast replicas are taken away.
#[derive(Clone, Debug, PartialEq)]
pub struct DownSteps {
    /// During which fewer must have been wanted all the time.
    pub stabilization: Duration,
    /// Percent of the replicas in one step, one replica at least.
    pub percent: u32,
    /// Of a step.
    pub period: Duration,
}
