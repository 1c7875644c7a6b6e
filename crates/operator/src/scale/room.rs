//! How many pods the cluster has room for: nodes that are full or still to come, quotas.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Observation, Policy};

/// How long pods may be without a node before fewer are ordered, while it is not known how long a node takes.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long a refusal must last.
const REFUSED: Duration = Duration::from_secs(10);
/// When more is tried again although no pending pod shows that there is room.
const TRY_AGAIN: Duration = Duration::from_secs(300);
/// A pod that waited for less found a node that was there.
const NODE_CAME: Duration = Duration::from_secs(10);
/// Nodes that the time is taken from.
const NODES: usize = 10;

/// What is remembered of the room.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Room {
    came: VecDeque<(String, Duration)>,
    crowded_since: Option<Duration>,
    refused_since: Option<Duration>,
    /// When the cap was last found true, and how many pods there were.
    capped: Option<(Duration, u32)>,
    before: u32,
}

impl Room {
    /// Replicas beyond which there is no room, once that has shown itself; none when there may be more.
    pub(super) fn ceiling(
        &mut self,
        policy: &Policy,
        seen: &Observation,
        now: Duration,
    ) -> Option<u32> {
        self.learn(seen);
        let there = seen.on_nodes();
        // A node that came shows that nodes come.
        let is_progress = there > self.before;
        self.before = there;
        if is_progress {
            self.crowded_since = None;
        }
        if self.capped.is_some_and(|(_, then)| there > then) {
            self.capped = None;
        }
        let is_crowded = seen.unschedulable > policy.max_pending;
        let is_refused = seen.refused > policy.max_pending;
        let waited = lasting(&mut self.crowded_since, is_crowded, now);
        let refused = lasting(&mut self.refused_since, is_refused, now);
        let is_held = (seen.unschedulable > 0 || seen.refused > 0) && self.capped.is_some();
        if waited.is_some_and(|it| it >= self.patience())
            || refused.is_some_and(|it| it >= REFUSED)
            || is_held
        {
            self.capped = Some((now, there));
        }
        let hold = if policy.max_pending > 0 {
            REFUSED * 3
        } else {
            TRY_AGAIN
        };
        self.capped = self.capped.filter(|(at, _)| now.saturating_sub(*at) < hold);
        self.capped.map(|_| there + policy.max_pending)
    }

    fn learn(&mut self, seen: &Observation) {
        for (pod, took) in &seen.placements {
            if *took >= NODE_CAME && !self.came.iter().any(|(known, _)| known == pod) {
                self.came.push_back((pod.clone(), *took));
            }
        }
        while self.came.len() > NODES.max(seen.placements.len()) {
            self.came.pop_front();
        }
    }

    /// How long pods may wait for a node: twice as long as one took.
    fn patience(&self) -> Duration {
        let recent = self.came.iter().rev().take(NODES).map(|(_, took)| *took);
        recent
            .max()
            .map_or(PATIENCE, |longest| (2 * longest).max(PATIENCE))
    }
}

/// How long `is_so` has been true.
fn lasting(since: &mut Option<Duration>, is_so: bool, now: Duration) -> Option<Duration> {
    if is_so {
        Some(now.saturating_sub(*since.get_or_insert(now)))
    } else {
        *since = None;
        None
    }
}
