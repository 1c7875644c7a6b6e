//! What a load asks for.
//!
//! An utterance waits in the replica that it met and cannot move. So a replica more takes over arrivals, not queues:
//! with `n` replicas each gets `λ/n` a second, does `μ`, and is rid of its queue `q` within `τ` when
//! `μ − λ/n ≥ q/τ`. Where `q/τ` alone is more than `μ`, no number of replicas helps what waits.

use std::time::Duration;

use super::{Figures, Observation, Policy, ceil};

/// Replicas are meant to be busy for this part of their time at most: above it queues grow without end.
const SUSTAINED: f64 = 0.95;
/// Never less busy than this for a wait's sake: what asks for it asks for too much.
const LEAST_BUSY: f64 = 0.3;
/// The same while a shared backlog is worked off; the rest is headroom for chance.
const COMFORTABLE: f64 = 0.8;
/// How much larger an arrival rate may be than it is measured.
const TOLERANCE: f64 = 1.05;
/// How many standard deviations a replica may get above its share of what comes at once.
const CHANCE: f64 = 2.3;

/// Replicas that the load asks for, and whether more of them would be ordered if they could help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) replicas: u32,
    pub(super) is_beyond_help: bool,
}

/// As [`at`], but what is ordered is let go only when less would do for a somewhat larger load too: a load on the
/// border between two sizes is measured a hair above it and below, again and again.
pub(super) fn steady(policy: &Policy, seen: &Observation, figures: &Figures) -> Wanted {
    let wanted = at(policy, seen, figures);
    if wanted.replicas >= seen.ordered {
        return wanted;
    }
    // The queue is counted, not measured.
    let larger = Figures {
        arrival_rate: figures.arrival_rate * TOLERANCE,
        ..figures.clone()
    };
    Wanted {
        replicas: at(policy, seen, &larger).replicas.min(seen.ordered),
        ..wanted
    }
}

fn at(policy: &Policy, seen: &Observation, figures: &Figures) -> Wanted {
    let depth = ceil(figures.depth / f64::from(policy.target_depth.max(1)));
    let Some(rate) = figures.service_rate else {
        // Nothing is known about the replicas: no faster than doubling.
        let replicas = depth.min(2 * seen.placed().max(1));
        return Wanted {
            replicas: replicas.max(spare(policy, None)),
            is_beyond_help: false,
        };
    };
    let floor = ceil(figures.arrival_rate / (busy_part(policy, rate) * rate));
    // What waits for longer than its deadline is no work.
    let queue = figures.queue.min(rate * policy.deadline.as_secs_f64());
    let relief = relief(policy, figures, queue, rate);
    let useful = useful(depth.min(relief.unwrap_or(0)), seen, figures, queue, rate);
    let with_room = match policy.spare {
        0 => 0,
        _ => ceil(figures.arrival_rate / rate) + spare(policy, Some(rate)),
    };
    Wanted {
        replicas: floor.max(useful).max(with_room),
        is_beyond_help: relief.is_none() && depth > floor,
    }
}

/// Part of its time that a replica may be busy so that the target is met: of Poisson arrivals at a queue of equal
/// work `D`, the part that waits longer than `t` is below `e^(−x t / D)` with `ρ (e^x − 1) = x` (Lundberg's bound).
fn busy_part(policy: &Policy, rate: f64) -> f64 {
    let own_s = f64::from(policy.slots.max(1)) / rate;
    let patience_s = policy.target.wait.min(policy.deadline).as_secs_f64() - own_s;
    if patience_s <= 0.0 {
        return LEAST_BUSY;
    }
    let missed = 1.0 - policy.target.share.clamp(0.5, 0.9999);
    let x = missed.recip().ln() / (rate * patience_s);
    let part = if x < 1e-6 { 1.0 } else { x / x.exp_m1() };
    part.clamp(LEAST_BUSY, SUSTAINED)
}

/// Replicas with which the queues are gone in time; none when no number does that.
fn relief(policy: &Policy, figures: &Figures, queue: f64, rate: f64) -> Option<u32> {
    let within = policy.drain_target.max(figures.startup).as_secs_f64();
    let left = SUSTAINED * rate - queue / within;
    let shared = (figures.arrival_rate + figures.held / within) / (COMFORTABLE * rate);
    (left > 0.05 * rate).then(|| ceil((figures.arrival_rate / left).max(shared)))
}

/// Queues that are gone before a new replica is up are no reason for one.
fn useful(want: u32, seen: &Observation, figures: &Figures, queue: f64, rate: f64) -> u32 {
    let replicas = f64::from(figures.able.max(1));
    let spare = rate - figures.arrival_rate / replicas;
    let waiting = queue + figures.held / replicas;
    let gone_before_it_starts = spare > 0.0 && waiting / spare < figures.startup.as_secs_f64();
    if gone_before_it_starts {
        want.min(seen.ordered)
    } else {
        want
    }
}

/// Replicas that answer `policy.spare` utterances in time that come at once and meet replicas by chance.
fn spare(policy: &Policy, rate: Option<f64>) -> u32 {
    if policy.spare == 0 {
        return 0;
    }
    let room = policy.slots + policy.max_queue;
    let in_time = policy.target.wait.min(policy.deadline);
    let each = match rate {
        Some(rate) => (rate * in_time.as_secs_f64()).min(f64::from(room)),
        // Half of what finds room, until it is known how much of that is answered.
        None => f64::from(room) / 2.0,
    };
    // The most for which share + CHANCE √share ≤ each.
    let half = CHANCE / 2.0;
    let root = (half * half + each.max(0.0)).sqrt() - half;
    ceil(f64::from(policy.spare) / (root * root).max(0.1))
}

/// Replicas for a fleet of which nothing is known: twice as many every minute.
pub(super) fn blind(from: u32, silent_for: Duration, after: Duration) -> u32 {
    let doublings = silent_for.saturating_sub(after).as_secs_f64() / 60.0;
    ceil(f64::from(from.max(1)) * doublings.min(20.0).exp2())
}
