//! What has happened to all utterances so far.

use std::time::Duration;

use telemetry::load::{ANSWER_BOUNDS_S, AnsweredWithin, LoadReport};

/// Utterances since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) accepted: u64,
    pub(super) finished: u64,
    /// Of `finished`, errors because the deadline went by.
    pub(super) expired: u64,
    pub(super) refused: u64,
    pub(super) cancelled: u64,
    /// Of `finished`, those with words, by the first bound that their time is within.
    answered: [u64; ANSWER_BOUNDS_S.len()],
}

impl Totals {
    /// An utterance has its words, so long after its client began to wait for them.
    pub(super) fn has_words(&mut self, after: Duration) {
        let is_within = |bound: &u32| after <= Duration::from_secs((*bound).into());
        let bound = ANSWER_BOUNDS_S.iter().position(is_within);
        if let Some(answered) = bound.and_then(|bound| self.answered.get_mut(bound)) {
            *answered += 1;
        }
    }

    pub(super) fn report(&self, report: &mut LoadReport) {
        report.accepted_total = self.accepted;
        report.finished_total = self.finished;
        report.expired_total = self.expired;
        report.refused_total = self.refused;
        report.cancelled_total = self.cancelled;
        let mut total = 0;
        let counts = ANSWER_BOUNDS_S.iter().zip(self.answered);
        let within = counts.map(|(s, count)| {
            total += count;
            AnsweredWithin { s: *s, total }
        });
        report.answered_within = within.collect();
    }
}
