//! How many replicas there should be: one pure function, [`decide`].
//!
//! Queue depth drives. Taken alone it misleads, because a queue goes on growing while a new replica loads its
//! model, and what waits in one replica cannot move to another: so the measured rates bound it, from below by what
//! meets the target, from above by what can still help. Demand is compared with what is ordered, never with what is
//! ready. What is not known never takes a replica away, and what is broken never keeps one.

mod health;
mod history;
mod limits;
mod observation;
mod policy;
mod room;
mod service;
mod victims;
mod wanted;

use std::time::Duration;

pub use history::{Figures, State};
pub use limits::startable;
pub use observation::{Observation, Replica};
pub use policy::{DownSteps, Policy, Target, UpSteps};
pub use victims::{Victim, victims};

/// What should be ordered, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Replicas to order.
    pub replicas: u32,
    /// Replicas that the load asks for, within the bounds, before windows and steps.
    pub recommended: u32,
    /// What keeps the order away from that.
    pub limited_by: LimitedBy,
    /// Whether no number of replicas helps what waits now.
    pub is_beyond_help: bool,
    /// Since when no ready pod has told its load; none when one does.
    pub blind_for: Option<Duration>,
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
    /// Pods that fit on no node, or that a quota refuses.
    Capacity,
    /// A window in which fewer must have been wanted, or a start or rollout that must end first.
    Stabilization,
    /// The size of a step.
    StepLimit,
    /// Replicas that start and fetch their model meanwhile.
    Downloads,
    /// Pods that did not tell their load.
    MetricsUnavailable,
}

/// How long all pods may be silent before more are ordered: three rounds.
const BLIND: Duration = Duration::from_secs(15);

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
    let known = wanted::steady(policy, seen, &figures);
    let blind = next.blind(seen, known.replicas, now);
    let want = blind.map_or(known.replicas, |(from, age)| {
        wanted::blind(from, age, BLIND).max(from)
    });
    let recommended = want.clamp(policy.min, policy.max);
    next.remember_wanted(policy, recommended, now);
    next.remember_burst(want.min(policy.max), seen, now);
    let ceiling = next.ceiling(policy, seen, now);
    let wish = limits::Wish {
        recommended,
        ceiling,
        sick: count(figures.sick.len()),
    };
    let (replicas, limited_by) = limits::order(policy, seen, &next, wish, now);
    next.remember_order(policy, seen.ordered, replicas, now);
    let limited_by = match limited_by {
        LimitedBy::None if blind.is_some() => LimitedBy::MetricsUnavailable,
        LimitedBy::None if want > policy.max => LimitedBy::MaxReplicas,
        LimitedBy::None if want < policy.min => LimitedBy::MinReplicas,
        limited_by => limited_by,
    };
    let decision = Decision {
        replicas,
        recommended,
        limited_by,
        is_beyond_help: known.is_beyond_help && blind.is_none(),
        blind_for: blind.map(|(_, age)| age),
        figures,
    };
    (decision, next)
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
