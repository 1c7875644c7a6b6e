//! What a fleet was like at one moment.

use std::collections::BTreeMap;
use std::time::Duration;

use telemetry::load::LoadReport;
use tokio::time::Instant;

use crate::controller::pods::Pods;
use crate::controller::rollout::Rollout;
use crate::controller::validate::Fault;
use crate::scale::{Decision, Observation, Replica};

/// What a ready pod told.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// Its load, not long ago.
    Load(Box<LoadReport>),
    /// Nothing.
    Silent {
        /// Since when.
        since: Duration,
    },
}

/// What a fleet was like at one moment, and what was decided on it.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// When that was; none before anything was seen.
    pub at: Option<Instant>,
    /// Ready pods, and what each told.
    pub told: BTreeMap<String, Told>,
    /// What the rule saw.
    pub observation: Observation,
    /// What it decided; none where the number is fixed.
    pub decision: Option<Decision>,
    /// Why the order could not be written.
    pub refusal: Option<Fault>,
}

impl Snapshot {
    /// Reports of the pods that answered.
    pub fn reports(&self) -> impl Iterator<Item = &LoadReport> {
        self.told.values().filter_map(|told| match told {
            Told::Load(report) => Some(&**report),
            Told::Silent { .. } => None,
        })
    }

    /// How many ready pods did not tell their load.
    pub fn silent(&self) -> usize {
        self.told.len() - self.reports().count()
    }
}

/// What the scaling rule sees. `wait`: how soon answers should come.
pub(super) fn observation(
    rollout: Option<&Rollout>,
    pods: &Pods,
    told: &BTreeMap<String, Told>,
    wait: Duration,
) -> Observation {
    let mut seen = Observation {
        ordered: rollout.map_or(0, Rollout::ordered),
        starting: pods.starting,
        starting_for: pods.starting_for,
        broken: pods.broken,
        unschedulable: pods.unschedulable,
        rolling_out: rollout.is_some_and(Rollout::gets_on),
        placements: pods.placements.clone(),
        startups: pods
            .ready
            .iter()
            .filter_map(|pod| Some((pod.name.clone(), pod.startup?)))
            .collect(),
        ..Observation::default()
    };
    if rollout.is_some_and(|rollout| rollout.failure.is_some()) {
        seen.refused = seen.ordered.saturating_sub(pods.count());
    }
    for (pod, told) in told {
        match told {
            Told::Load(report) => seen.replicas.push(replica(pod, report, wait)),
            Told::Silent { .. } => seen.silent.push(pod.clone()),
        }
    }
    seen
}

fn replica(pod: &str, report: &LoadReport, wait: Duration) -> Replica {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count is not negative, and no more than those that were answered"
    )]
    let whole = |count: f64| (count.round() as u64).min(report.finished_total);
    let small = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Replica {
        pod: pod.to_owned(),
        // A server has a thousand at most; sums of more must not overflow.
        queued: small(report.queued).min(100_000),
        running: small(report.running).min(100_000),
        open: small(report.open_streams).min(100_000),
        slots: small(report.slots),
        arrived: report.accepted_total.saturating_add(report.refused_total),
        refused: report.refused_total,
        finished: report.finished_total,
        expired: report.expired_total,
        in_time: report.answered_in(wait).map(whole),
        busy_s: report.busy_s_total,
        oldest_wait_s: report.oldest_wait_s,
    }
}
