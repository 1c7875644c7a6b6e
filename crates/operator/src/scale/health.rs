//! Replicas that are sick: ready, and yet of no use to those who speak to them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::service::Fit;
use super::{Observation, Policy, Replica};

/// After which half of what a replica did is forgotten.
const HALF_LIFE: Duration = Duration::from_secs(60);
/// Deadlines that must have gone by before a replica counts as mute.
const MUTE: f64 = 2.5;
/// Deadlines for which it must have worked without an answer.
const PATIENT: f64 = 1.5;
/// Utterances that a replica must have had time for before it counts as slow.
const TRIED: f64 = 12.0;
/// Part of the others' speed below which it does.
const SLOW: f64 = 0.33;
/// Utterances that the others got on average while one that is not reached got none.
const EXPECTED: f64 = 12.0;

/// What was seen of one replica lately.
#[derive(Clone, Debug, Default, PartialEq)]
struct Lately {
    served: f64,
    expired: f64,
    busy_s: f64,
    /// Seconds that what it served should have taken.
    fair_s: f64,
    arrived: f64,
    /// Utterances that others got meanwhile, on average.
    others: f64,
    /// How long its oldest utterance has waited while the others had none like it, in seconds.
    stuck_s: f64,
    /// How long it has worked without an answer, in seconds.
    dry_s: f64,
}

/// What a replica did between two reports.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Step {
    pub(super) served: f64,
    pub(super) expired: f64,
    pub(super) busy_s: f64,
    pub(super) arrived: f64,
    pub(super) together: u32,
}

/// What was seen of all replicas lately.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Health(BTreeMap<String, Lately>);

impl Health {
    /// Takes in what each replica did `over` a time.
    pub(super) fn add(
        &mut self,
        steps: &BTreeMap<&str, Step>,
        fit: Option<Fit>,
        seen: &Observation,
        policy: &Policy,
        over: Duration,
    ) {
        let kept = 0.5_f64.powf(over.as_secs_f64() / HALF_LIFE.as_secs_f64());
        let all: f64 = steps.values().map(|step| step.arrived).sum();
        let waits = median(seen.replicas.iter().map(|it| it.oldest_wait_s));
        for replica in &seen.replicas {
            let Some(step) = steps.get(replica.pod.as_str()) else {
                continue;
            };
            let lately = self.0.entry(replica.pod.clone()).or_default();
            let others = (all - step.arrived) / (steps.len().max(2) - 1) as f64;
            let fair_s = fit.map_or(0.0, |fit| fit.seconds(step.together));
            for (sum, new) in [
                (&mut lately.served, step.served),
                (&mut lately.expired, step.expired),
                (&mut lately.busy_s, step.busy_s),
                (&mut lately.fair_s, step.served * fair_s),
                (&mut lately.arrived, step.arrived),
                (&mut lately.others, others),
            ] {
                *sum = *sum * kept + new;
            }
            let lasting = |so_far: f64, is_so: bool| {
                if is_so {
                    so_far + over.as_secs_f64()
                } else {
                    0.0
                }
            };
            lately.stuck_s = lasting(lately.stuck_s, is_stuck(replica, waits, policy));
            lately.dry_s = lasting(lately.dry_s, step.served < 0.5 && step.busy_s > 0.0);
        }
        self.0.retain(|pod, _| {
            seen.replicas.iter().any(|it| it.pod == *pod) || seen.silent.contains(pod)
        });
    }

    /// Names of those that are sick. When it is more than a third, the load or the model is to blame, and it is none.
    pub(super) fn sick(&self, fit: Option<Fit>, policy: &Policy) -> Vec<String> {
        let median_speed = median(
            self.0
                .values()
                .filter(|it| it.busy_s > 0.0 && it.served > 1.0)
                .map(|it| it.fair_s / it.busy_s),
        );
        let one_s = fit.map_or(f64::INFINITY, |fit| fit.seconds(policy.slots));
        let deadline_s = policy.deadline.as_secs_f64();
        let is_sick = |it: &Lately| {
            // One long recording may hold up others for a while.
            let is_mute = it.expired >= MUTE
                && it.served < 0.1 * it.expired
                && it.dry_s >= PATIENT * deadline_s;
            // One that is slow and loses nothing does its part.
            let is_slow = it.expired >= 1.0
                && it.busy_s > TRIED * one_s
                && it.fair_s < SLOW * median_speed * it.busy_s;
            let is_stuck = it.stuck_s >= deadline_s;
            is_mute || is_slow || is_stuck
        };
        let sick: Vec<String> = self
            .0
            .iter()
            .filter(|(_, it)| is_sick(it))
            .map(|(pod, _)| pod.clone())
            .collect();
        if sick.len() * 3 > self.0.len() {
            return Vec::new();
        }
        sick
    }

    /// Names of those that get no utterance while the others do.
    pub(super) fn unreached(&self) -> Vec<String> {
        let is_unreached = |it: &Lately| it.others >= EXPECTED && it.arrived < 0.5;
        self.0
            .iter()
            .filter(|(_, it)| is_unreached(it))
            .map(|(pod, _)| pod.clone())
            .collect()
    }
}

/// Whether its oldest utterance waits for its deadline while the others' hardly wait: a server that does not tell
/// which deadlines went by shows itself so.
fn is_stuck(replica: &Replica, others_wait_s: f64, policy: &Policy) -> bool {
    let deadline = policy.deadline.as_secs_f64();
    replica.oldest_wait_s > 0.6 * deadline && others_wait_s < 0.2 * deadline
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
