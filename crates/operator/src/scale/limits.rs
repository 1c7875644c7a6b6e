//! From a recommendation to an order: windows, steps, capacity.

use std::time::Duration;

use super::{LimitedBy, Observation, Policy, State};

/// What to order now, and what kept it away from `recommended`.
pub(super) fn order(
    policy: &Policy,
    seen: &Observation,
    state: &State,
    recommended: u32,
    ceiling: Option<u32>,
    now: Duration,
) -> (u32, LimitedBy) {
    // Bounds are a person's word and hold at once.
    let ordered = seen.ordered.clamp(policy.min, policy.max);
    let (want, is_capped) = match ceiling {
        Some(ceiling) if ceiling < recommended => (ceiling.max(policy.min), true),
        _ => (recommended, false),
    };
    let (replicas, limited_by) = if want > ordered {
        up(policy, state, ordered, want, now)
    } else if want < ordered && is_capped {
        // Only pods that run nowhere go.
        (want, LimitedBy::Capacity)
    } else if want < ordered {
        down(policy, seen, state, ordered, now)
    } else {
        (ordered, LimitedBy::None)
    };
    match limited_by {
        LimitedBy::None if is_capped => (replicas, LimitedBy::Capacity),
        limited_by => (replicas, limited_by),
    }
}

fn up(policy: &Policy, state: &State, ordered: u32, want: u32, now: Duration) -> (u32, LimitedBy) {
    let lasting = state.least_wanted(policy.up.stabilization, now).min(want);
    if lasting <= ordered {
        return (ordered, LimitedBy::Stabilization);
    }
    let step = policy
        .up
        .replicas
        .saturating_sub(state.added(policy.up.period, now));
    let reachable = ordered.saturating_add(step);
    if reachable < lasting {
        (reachable, LimitedBy::StepLimit)
    } else if lasting < want {
        (lasting, LimitedBy::Stabilization)
    } else {
        (lasting, LimitedBy::None)
    }
}

fn down(
    policy: &Policy,
    seen: &Observation,
    state: &State,
    ordered: u32,
    now: Duration,
) -> (u32, LimitedBy) {
    if seen.silent > 0 {
        return (ordered, LimitedBy::MetricsUnavailable);
    }
    if seen.starting > 0 || seen.rolling_out || state.is_burst(now) {
        return (ordered, LimitedBy::Stabilization);
    }
    let Some(most) = state.most_wanted(policy.down.stabilization, now) else {
        return (ordered, LimitedBy::Stabilization);
    };
    // A tenth is noise.
    if u64::from(most) * 10 >= u64::from(ordered) * 9 {
        return (ordered, LimitedBy::Stabilization);
    }
    let is_early = state
        .last_down()
        .is_some_and(|at| now.saturating_sub(at) < policy.down.period);
    if is_early {
        return (ordered, LimitedBy::StepLimit);
    }
    let step = (u64::from(ordered) * u64::from(policy.down.percent) / 100).max(1);
    let reachable = ordered.saturating_sub(u32::try_from(step).unwrap_or(u32::MAX));
    if reachable > most {
        (reachable, LimitedBy::StepLimit)
    } else {
        (most, LimitedBy::None)
    }
}
