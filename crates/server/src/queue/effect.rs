//! What a change of the queue's state leads to outside of it: answers and metrics. Emitted once the
//! lock is free.

use std::time::Duration;

use super::job::{Answer, Reply};
use crate::metrics::Metrics;

/// One thing to do.
#[derive(Debug)]
pub(super) enum Effect {
    /// A claim is answered.
    Answer(Reply, Answer),
    /// A client's job has waited for the device until now.
    Waited(Duration),
    /// So many jobs are on the device now that another has joined.
    Batch(usize),
    /// A client's job was transcribed.
    Transcribed {
        /// Length of the audio.
        audio: Duration,
        /// On the device.
        took: Duration,
    },
    /// A job entered without a claim.
    Speculated,
    /// It was claimed.
    Adopted,
    /// It was not.
    Discarded,
    /// Time on the device for a job that entered without a claim and was claimed.
    Useful(Duration),
    /// Time on the device for one that was not claimed.
    Wasted(Duration),
}

/// What is to be done, in order. A claim whose answer is not emitted is never answered.
#[derive(Debug, Default)]
#[must_use = "answers are among them"]
pub(super) struct Effects(Vec<Effect>);

impl Effects {
    pub(super) fn push(&mut self, effect: Effect) {
        self.0.push(effect);
    }

    /// Does it all.
    pub(super) fn emit(self, metrics: &Metrics) {
        for effect in self.0 {
            effect.emit(metrics);
        }
    }
}

impl IntoIterator for Effects {
    type Item = Effect;
    type IntoIter = std::vec::IntoIter<Effect>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromIterator<Effect> for Effects {
    fn from_iter<I: IntoIterator<Item = Effect>>(effects: I) -> Self {
        Self(effects.into_iter().collect())
    }
}

impl Effect {
    fn emit(self, metrics: &Metrics) {
        match self {
            // A client that is gone reads no answer.
            Self::Answer(reply, answer) => drop(reply.send(answer)),
            Self::Waited(waited) => metrics.waited(waited),
            Self::Batch(jobs) => metrics.batch(jobs),
            Self::Transcribed { audio, took } => metrics.transcribed(audio, took),
            Self::Speculated => metrics.speculation_started(),
            Self::Adopted => metrics.speculation_adopted(),
            Self::Discarded => metrics.speculation_discarded(),
            Self::Useful(took) => metrics.speculation_was_useful(took),
            Self::Wasted(took) => metrics.speculation_was_vain(took),
        }
    }
}
