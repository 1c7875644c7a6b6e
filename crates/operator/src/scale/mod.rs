//! How many replicas there should be: one pure function, [`decide`].
//!
//! Queue depth drives. Taken alone it misleads, because a queue goes on growing while a new replica loads its
//! model: so the measured rates bound it, from below by what sustains the load, from above by what can still
//! be useful. Demand is compared with what is ordered, never with what is ready. What is not known never
//! takes a replica away.

mod history;
mod limits;
mod victims;

use std::time::Duration;

pub use history::{Figures, State};
pub use victims::{Victim, victims};

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
    /// How long a replica takes to start, until that has been measured.
    pub startup_hint: Duration,
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

/// An instance as it was seen at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// Replicas that are ordered.
    pub ordered: u32,
    /// Ready pods that told their load.
    pub replicas: Vec<Replica>,
    /// Ready pods that did not.
    pub silent: u32,
    /// Pods that have a node and are not ready.
    pub starting: u32,
    /// Of these, how long the one that started first has been at it.
    pub starting_for: Duration,
    /// Pods that fit on no node.
    pub unschedulable: u32,
    /// Whether pods of an older template are being replaced.
    pub rolling_out: bool,
    /// Utterances that a gateway holds back for want of a replica.
    pub held: u32,
    /// Pods that are ready, and how long each took from its node to that.
    pub startups: Vec<(String, Duration)>,
}

impl Observation {
    /// Pods that have a node.
    fn placed(&self) -> u32 {
        count(self.replicas.len()) + self.silent + self.starting
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
    /// Utterances that came since the process started, those included that were refused: a full queue
    /// must not look like a small load.
    pub arrived: u64,
    /// Utterances that were answered since then.
    pub finished: u64,
    /// Time that the device worked since then, in seconds.
    pub busy_s: f64,
    /// How long the oldest utterance has waited, in seconds.
    pub oldest_wait_s: f64,
}

/// What should be ordered, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Replicas to order.
    pub replicas: u32,
    /// Replicas that the load asks for, within the bounds, before windows and steps.
    pub recommended: u32,
    /// What keeps the order away from that.
    pub limited_by: LimitedBy,
    /// What it was decided on.
    pub figures: Figures,
}

/// What keeps an order away from the recommendation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LimitedBy {
    /// Nothing.
    #[default]
    None,
    /// The lower bound.
    MinReplicas,
    /// The upper bound.
    MaxReplicas,
    /// Pods that fit on no node.
    Capacity,
    /// A window in which fewer must have been wanted, or a start or rollout that must end first.
    Stabilization,
    /// The size of a step.
    StepLimit,
    /// Pods that did not tell their load.
    MetricsUnavailable,
}

/// Replicas are meant to be busy for this part of their time at most: above it queues grow without end.
const SUSTAINED: f64 = 0.95;
/// The same while a backlog is worked off; the rest is headroom for chance.
const COMFORTABLE: f64 = 0.8;
/// How much larger an arrival rate may be than it is measured.
const TOLERANCE: f64 = 1.05;
/// Utterances that must have been finished before a service rate is believed.
const BELIEVED: f64 = 20.0;

/// The rule. `now` is the time since any fixed moment, the same one for one `state`. Returns what to order and
/// what to remember for the next time. A new [`State`] takes no replica away for one window of
/// [`DownSteps::stabilization`].
pub fn decide(
    policy: &Policy,
    seen: &Observation,
    state: &State,
    now: Duration,
) -> (Decision, State) {
    let mut next = state.clone();
    let figures = next.measure(policy, seen, now);
    let want = useful(steady(policy, seen, &figures), seen, &figures);
    let recommended = want.clamp(policy.min, policy.max);
    next.remember_wanted(policy, recommended, now);
    next.remember_burst(want.min(policy.max), seen, now);
    let ceiling = next.capacity(policy, seen, now);
    let (replicas, limited_by) = limits::order(policy, seen, &next, recommended, ceiling, now);
    next.remember_order(policy, seen.ordered, replicas, now);
    let limited_by = match limited_by {
        LimitedBy::None if want > policy.max => LimitedBy::MaxReplicas,
        LimitedBy::None if want < policy.min => LimitedBy::MinReplicas,
        limited_by => limited_by,
    };
    let decision = Decision {
        replicas,
        recommended,
        limited_by,
        figures,
    };
    (decision, next)
}

/// As [`wanted`], but what is ordered is let go only when less would do for a somewhat larger load too: a load on the
/// border between two sizes is measured a hair above it and below, again and again.
fn steady(policy: &Policy, seen: &Observation, figures: &Figures) -> u32 {
    let want = wanted(policy, seen, figures);
    if want >= seen.ordered {
        return want;
    }
    // The queue is counted, not measured.
    let larger = Figures {
        arrival_rate: figures.arrival_rate * TOLERANCE,
        ..figures.clone()
    };
    wanted(policy, seen, &larger).min(seen.ordered)
}

/// What the load asks for: the queue's answer, between what sustains the load and what can still help.
fn wanted(policy: &Policy, seen: &Observation, figures: &Figures) -> u32 {
    let depth = ceil(figures.depth / f64::from(policy.target_depth.max(1)));
    let Some(rate) = figures.service_rate else {
        // Nothing is known about the replicas: no faster than doubling.
        return depth.min(2 * (count(seen.replicas.len()) + seen.starting).max(1));
    };
    let backlog_rate = figures.waiting / policy.drain_target.max(figures.startup).as_secs_f64();
    let cap = ceil((figures.arrival_rate + backlog_rate) / (COMFORTABLE * rate));
    let floor = ceil(figures.arrival_rate / (SUSTAINED * rate));
    floor.max(depth.min(cap))
}

/// A backlog that is gone before a new replica is up is no reason for one.
fn useful(want: u32, seen: &Observation, figures: &Figures) -> u32 {
    let Some(rate) = figures.service_rate else {
        return want;
    };
    let spare = rate * seen.replicas.len() as f64 - figures.arrival_rate;
    let gone_before_it_starts =
        spare > 0.0 && figures.waiting / spare < figures.startup.as_secs_f64();
    if gone_before_it_starts {
        want.min(seen.ordered)
    } else {
        want
    }
}

/// The next whole number of replicas; a hair above one is rounding, not demand.
fn ceil(replicas: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the range of u32"
    )]
    let whole = (replicas - 1e-6).ceil().clamp(0.0, 1e6) as u32;
    whole
}

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
