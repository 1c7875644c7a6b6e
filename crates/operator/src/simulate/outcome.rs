//! What a run was like.

use std::time::Duration;

/// What a run was like.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Most replicas that were ordered.
    pub peak_ordered: u32,
    /// Longest time that an utterance waited for its turn; of lost ones until they were lost.
    pub worst_wait: Duration,
    /// Time that nine of ten utterances waited at most.
    pub p90_wait: Duration,
    /// Utterances that waited, on average over time.
    pub mean_backlog: f64,
    /// Time that GPUs were held, of all together.
    pub gpu_time: Duration,
    /// How often the order changed.
    pub changes: u32,
    /// Utterances that came.
    pub arrived: u32,
    /// Utterances that were transcribed, in time or late.
    pub answered: u32,
    /// Utterances that were transcribed within the scenario's `wait` after their last word.
    pub in_time: u32,
    /// Utterances whose deadline went by, in the queue or at work.
    pub expired: u32,
    /// Utterances that met a full queue.
    pub refused: u32,
    /// Utterances that met no ready replica.
    pub unserved: u32,
    /// The course of it, every 5 s.
    pub samples: Vec<Sample>,
}

/// One moment of a run.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When.
    pub at: Duration,
    /// Utterances a second.
    pub rate: f64,
    /// Replicas that were ordered.
    pub ordered: u32,
    /// Replicas that were ready.
    pub ready: u32,
    /// Utterances that waited.
    pub waiting: usize,
    /// How long the oldest of these had waited.
    pub oldest_wait: Duration,
}

impl Outcome {
    /// Utterances that were answered with an error, or not at all.
    pub fn lost(&self) -> u32 {
        self.expired + self.refused + self.unserved
    }

    /// [`Self::lost`] in percent of those that came.
    pub fn lost_percent(&self) -> f64 {
        f64::from(self.lost()) * 100.0 / f64::from(self.arrived.max(1))
    }

    /// Answers in time, in percent of the utterances that came.
    pub fn in_time_percent(&self) -> f64 {
        f64::from(self.in_time) * 100.0 / f64::from(self.arrived.max(1))
    }

    /// GPU-hours.
    pub fn gpu_hours(&self) -> f64 {
        self.gpu_time.as_secs_f64() / 3600.0
    }

    /// Answers in time for each GPU-hour.
    pub fn in_time_per_gpu_hour(&self) -> f64 {
        f64::from(self.in_time) / self.gpu_hours().max(1e-9)
    }

    /// When `replicas` were ready first.
    pub fn ready_at(&self, replicas: u32) -> Option<Duration> {
        let mut samples = self.samples.iter();
        samples
            .find(|sample| sample.ready >= replicas)
            .map(|sample| sample.at)
    }
}
