//! What is remembered between two decisions.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{BELIEVED, Observation, Policy};

/// Over which the arrival rate is averaged: seven rounds. Longer, and a step is believed late; shorter, and a spike
/// is taken for one (`simulate` has both).
const ARRIVALS: Duration = Duration::from_secs(35);
/// Over which the depth is averaged: two or three rounds.
const DEPTH: Duration = Duration::from_secs(10);
/// Utterances after which half of the measured service rate is new.
const SERVED_HALF_LIFE: f64 = 200.0;
/// Starts that the startup time is taken from.
const STARTS: usize = 10;
/// How long a demand of twice the replicas is remembered.
const BURST: Duration = Duration::from_secs(60);
/// How long pods must have had no node before fewer are ordered.
const PATIENCE: Duration = Duration::from_secs(30);
/// When more is tried again although no pending pod shows that there is room.
const TRY_AGAIN: Duration = Duration::from_secs(300);

/// Memory of one instance's scaling. It is lost with the process, and a new one is careful.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    since: Option<Duration>,
    last: Option<Duration>,
    totals: BTreeMap<String, Totals>,
    held: u32,
    arrivals: Average,
    served: f64,
    busy_s: f64,
    finished: f64,
    starts: VecDeque<(String, Duration)>,
    depths: VecDeque<(Duration, f64, f64)>,
    wanted: VecDeque<(Duration, u32)>,
    ups: VecDeque<(Duration, u32)>,
    last_down: Option<Duration>,
    burst: Option<Duration>,
    crowded_since: Option<Duration>,
    capped_at: Option<Duration>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Totals {
    arrived: u64,
    finished: u64,
    busy_s: f64,
}

/// An average whose past fades; exact from its first sample on.
#[derive(Clone, Debug, Default, PartialEq)]
struct Average {
    sum: f64,
    weight: f64,
}

impl Average {
    fn add(&mut self, value: f64, over: Duration, horizon: Duration) {
        let kept = (-over.as_secs_f64() / horizon.as_secs_f64()).exp();
        self.sum = self.sum * kept + value * (1.0 - kept);
        self.weight = self.weight * kept + (1.0 - kept);
    }

    fn get(&self) -> f64 {
        if self.weight > 0.0 {
            self.sum / self.weight
        } else {
            0.0
        }
    }
}

/// What a decision rests on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Utterances waiting, running and held, averaged over 10 s.
    pub depth: f64,
    /// Of these, those that wait.
    pub waiting: f64,
    /// Utterances that arrive in a second.
    pub arrival_rate: f64,
    /// Utterances that a busy replica finishes in a second; none until 20 were finished.
    pub service_rate: Option<f64>,
    /// How long nine of ten starts took at most.
    pub startup: Duration,
}

impl State {
    /// Takes in what was seen.
    pub(super) fn measure(
        &mut self,
        policy: &Policy,
        seen: &Observation,
        now: Duration,
    ) -> Figures {
        self.since.get_or_insert(now);
        self.count_traffic(seen, now);
        self.learn_starts(seen);
        let queued: u32 = seen.replicas.iter().map(|replica| replica.queued).sum();
        let running: u32 = seen.replicas.iter().map(|replica| replica.running).sum();
        let waiting = f64::from(queued + seen.held);
        self.depths
            .push_back((now, waiting + f64::from(running), waiting));
        while self
            .depths
            .front()
            .is_some_and(|(at, ..)| now.saturating_sub(*at) >= DEPTH)
        {
            self.depths.pop_front();
        }
        let samples = self.depths.len().max(1) as f64;
        Figures {
            depth: self.depths.iter().map(|(_, depth, _)| depth).sum::<f64>() / samples,
            waiting: self.depths.iter().map(|(.., waiting)| waiting).sum::<f64>() / samples,
            arrival_rate: self.arrivals.get().max(0.0),
            service_rate: (self.finished >= BELIEVED && self.busy_s > 0.0)
                .then(|| self.served / self.busy_s)
                .filter(|rate| *rate > 0.0),
            // A start that goes on for longer is already known to take longer.
            startup: self
                .startup()
                .unwrap_or(policy.startup_hint)
                .max(seen.starting_for),
        }
    }

    fn count_traffic(&mut self, seen: &Observation, now: Duration) {
        let mut arrived = 0.0;
        for replica in &seen.replicas {
            let new = Totals {
                arrived: replica.arrived,
                finished: replica.finished,
                busy_s: replica.busy_s,
            };
            if let Some(old) = self.totals.insert(replica.pod.clone(), new) {
                // Totals that went back belong to a process that started anew.
                let since = |new: u64, old: u64| new.saturating_sub(old) as f64;
                arrived += since(replica.arrived, old.arrived);
                self.count_served(
                    since(replica.finished, old.finished),
                    replica.busy_s - old.busy_s,
                );
            }
        }
        self.totals
            .retain(|pod, _| seen.replicas.iter().any(|replica| replica.pod == *pod));
        // What a gateway took in counts when it comes, not when a replica takes it from there.
        arrived += f64::from(seen.held) - f64::from(self.held);
        self.held = seen.held;
        if let Some(last) = self.last {
            let over = now.saturating_sub(last);
            // A silent pod's traffic is unknown, and a guess of none would look like a pause.
            if over > Duration::ZERO && seen.silent == 0 {
                self.arrivals
                    .add(arrived / over.as_secs_f64(), over, ARRIVALS);
            }
        }
        self.last = Some(now);
    }

    fn count_served(&mut self, finished: f64, busy_s: f64) {
        let kept = 0.5_f64.powf(finished / SERVED_HALF_LIFE);
        self.served = self.served * kept + finished;
        self.busy_s = self.busy_s * kept + busy_s.max(0.0);
        self.finished += finished;
    }

    fn learn_starts(&mut self, seen: &Observation) {
        for (pod, took) in &seen.startups {
            if !self.starts.iter().any(|(known, _)| known == pod) {
                self.starts.push_back((pod.clone(), *took));
            }
        }
        // Pods that are there stay known, or their start would be learned again and again.
        while self.starts.len() > STARTS.max(seen.startups.len()) {
            self.starts.pop_front();
        }
    }

    /// Nine of ten of the last starts took this long at most; none before the first.
    fn startup(&self) -> Option<Duration> {
        let mut took: Vec<Duration> = self
            .starts
            .iter()
            .rev()
            .take(STARTS)
            .map(|(_, took)| *took)
            .collect();
        took.sort_unstable();
        took.get((took.len() * 9).div_ceil(10).saturating_sub(1))
            .copied()
    }

    /// Keeps the recommendation for as long as a window looks back.
    pub(super) fn remember_wanted(&mut self, policy: &Policy, recommended: u32, now: Duration) {
        let longest = policy.down.stabilization.max(policy.up.stabilization);
        self.wanted.push_back((now, recommended));
        while self
            .wanted
            .front()
            .is_some_and(|(at, _)| now.saturating_sub(*at) > longest)
        {
            self.wanted.pop_front();
        }
    }

    /// Notes that the load asks for twice the replicas; `want` knows no lower bound, which is no load.
    pub(super) fn remember_burst(&mut self, want: u32, seen: &Observation, now: Duration) {
        if want >= 2 * seen.placed().max(1) {
            self.burst = Some(now);
        }
    }

    /// The most that was wanted within `window`; none while less than that has been seen.
    pub(super) fn most_wanted(&self, window: Duration, now: Duration) -> Option<u32> {
        let since = self.since?;
        let is_full = now.saturating_sub(since) >= window;
        let recent = self
            .wanted
            .iter()
            .filter(|(at, _)| now.saturating_sub(*at) <= window);
        is_full
            .then(|| recent.map(|(_, wanted)| *wanted).max())
            .flatten()
    }

    /// The least that was wanted within `window`.
    pub(super) fn least_wanted(&self, window: Duration, now: Duration) -> u32 {
        let recent = self
            .wanted
            .iter()
            .filter(|(at, _)| now.saturating_sub(*at) <= window);
        let least = recent.map(|(_, wanted)| *wanted).min().unwrap_or(0);
        let since = self.since.unwrap_or(now);
        if now.saturating_sub(since) >= window {
            least
        } else {
            0
        }
    }

    /// Whether twice the replicas were wanted a moment ago.
    pub(super) fn is_burst(&self, now: Duration) -> bool {
        self.burst.is_some_and(|at| now.saturating_sub(at) < BURST)
    }

    /// Replicas beyond which there is no node, once that has shown itself for a while. It holds as long as a
    /// pod is pending; with none pending, more is tried from time to time.
    pub(super) fn capacity(
        &mut self,
        policy: &Policy,
        seen: &Observation,
        now: Duration,
    ) -> Option<u32> {
        if seen.unschedulable > policy.max_pending {
            let since = *self.crowded_since.get_or_insert(now);
            if now.saturating_sub(since) >= PATIENCE {
                self.capped_at = Some(now);
            }
        } else {
            self.crowded_since = None;
        }
        if seen.unschedulable > 0 && self.capped_at.is_some() {
            self.capped_at = Some(now);
        }
        let is_pending_kept = policy.max_pending > 0;
        let hold = if is_pending_kept { PATIENCE } else { TRY_AGAIN };
        self.capped_at = self.capped_at.filter(|at| now.saturating_sub(*at) < hold);
        self.capped_at.map(|_| seen.placed() + policy.max_pending)
    }

    /// Replicas that were added within `period`.
    pub(super) fn added(&self, period: Duration, now: Duration) -> u32 {
        let recent = self
            .ups
            .iter()
            .filter(|(at, _)| now.saturating_sub(*at) < period);
        recent.map(|(_, added)| added).sum()
    }

    /// When replicas were taken away last.
    pub(super) fn last_down(&self) -> Option<Duration> {
        self.last_down
    }

    /// Notes what was ordered.
    pub(super) fn remember_order(
        &mut self,
        policy: &Policy,
        before: u32,
        after: u32,
        now: Duration,
    ) {
        if after > before {
            self.ups.push_back((now, after - before));
        }
        if after < before {
            self.last_down = Some(now);
        }
        let period = policy.up.period;
        while self
            .ups
            .front()
            .is_some_and(|(at, _)| now.saturating_sub(*at) >= period)
        {
            self.ups.pop_front();
        }
    }
}
