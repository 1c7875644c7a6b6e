//! From a recommendation to an order: windows, steps, capacity.

use std::time::Duration;

use super::{LimitedBy, Observation, Policy, State};

/// What the load asks for, and what stands beside it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    /// Replicas that the load asks for, within the bounds.
    pub(super) recommended: u32,
    /// Replicas beyond which there is no room.
    pub(super) ceiling: Option<u32>,
    /// Ready replicas that are of no use.
    pub(super) sick: u32,
}

/// What to order now, and what kept it away from what is recommended.
pub(super) fn order(
    policy: &Policy,
    seen: &Observation,
    state: &State,
    wish: Wish,
    now: Duration,
) -> (u32, LimitedBy) {
    // Bounds are a person's word and hold at once.
    let ordered = seen.ordered.clamp(policy.min, policy.max);
    let substitutes = in_place_of(seen, wish);
    let recommended = wish.recommended.saturating_add(substitutes).min(policy.max);
    let (want, is_capped) = match wish.ceiling {
        Some(ceiling) if ceiling < recommended => (ceiling.max(policy.min), true),
        _ => (recommended, false),
    };
    let (replicas, limited_by) = if let Some(fewer) = replaced(policy, seen, wish, ordered) {
        (fewer, LimitedBy::None)
    } else if want > ordered {
        up(policy, state, ordered, want, substitutes, now)
    } else if want < ordered && is_capped {
        // Only pods that run nowhere go.
        (want, LimitedBy::Capacity)
    } else if want < ordered {
        down(policy, seen, state, ordered, now)
    } else {
        (ordered, LimitedBy::None)
    };
    let done = seen.ready() + seen.broken + seen.unschedulable + seen.refused;
    let startable = startable(policy.max_starting, seen.ordered, done);
    match limited_by {
        _ if replicas > startable => (startable, LimitedBy::Downloads),
        LimitedBy::None if is_capped => (replicas, LimitedBy::Capacity),
        limited_by => (replicas, limited_by),
    }
}

/// The most that may be ordered where `most` replicas may start at once. `done` of those that are `ordered` do not
/// start: they are ready, or broken, or have no node, which a replica needs before it fetches anything.
pub fn startable(most: Option<u32>, ordered: u32, done: u32) -> u32 {
    most.map_or(u32::MAX, |most| done.saturating_add(most).max(ordered))
}

/// Replicas to add in the place of sick and broken ones, a quarter and one at most: where all are broken, more of them
/// are no help.
fn in_place_of(seen: &Observation, wish: Wish) -> u32 {
    let useless = wish.sick + seen.broken;
    let able = seen.placed().saturating_sub(wish.sick);
    useless
        .min(wish.recommended.saturating_sub(able))
        .min(1 + wish.recommended / 4)
}

/// The order without the sick ones, when those that are able are enough; at the upper bound, where none can come
/// before, one at a time.
fn replaced(policy: &Policy, seen: &Observation, wish: Wish, ordered: u32) -> Option<u32> {
    if wish.sick == 0 || seen.rolling_out {
        return None;
    }
    let able = seen.ready().saturating_sub(wish.sick);
    let fewer = if able >= wish.recommended {
        ordered.saturating_sub(wish.sick).max(wish.recommended)
    } else if ordered >= policy.max && able >= 1 && seen.starting + seen.unschedulable == 0 {
        ordered - 1
    } else {
        return None;
    };
    (fewer < ordered && fewer >= policy.min).then_some(fewer)
}

/// `substitutes` of `want` stand in the place of useless replicas, and no load has to last for them.
fn up(
    policy: &Policy,
    state: &State,
    ordered: u32,
    want: u32,
    substitutes: u32,
    now: Duration,
) -> (u32, LimitedBy) {
    let lasting = state
        .least_wanted(policy.up.stabilization, now)
        .saturating_add(substitutes)
        .min(want);
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
    if !seen.silent.is_empty() {
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
