//! What is remembered between two decisions.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::health::{Health, Step};
use super::room::Room;
use super::service::Service;
use super::{Observation, Policy, Replica, count};

/// Over which the arrival rate is averaged: seven rounds. Longer, and a step is believed late; shorter, and a spike
/// is taken for one (`simulate` has both).
const ARRIVALS: Duration = Duration::from_secs(35);
/// Rounds of which the largest counts as much as the second largest: what comes at once and does not go on is over
/// before a replica starts.
const TRIMMED: usize = 7;
/// Rounds in each of which a rate must have been reached to count at once.
const LASTING: usize = 4;
/// Over which the depth is averaged: two or three rounds.
const DEPTH: Duration = Duration::from_secs(10);
/// Starts that the startup time is taken from.
const STARTS: usize = 10;
/// How long a demand of twice the replicas is remembered.
const BURST: Duration = Duration::from_secs(60);
/// Over which the part of utterances is told that was answered in time.
const ATTAINED: Duration = Duration::from_secs(600);

/// Memory of one instance's scaling. It is lost with the process, and a new one is careful.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    since: Option<Duration>,
    last: Option<Duration>,
    totals: BTreeMap<String, Replica>,
    held: u32,
    arrivals: Average,
    rates: VecDeque<f64>,
    service: Service,
    health: Health,
    in_time: Average,
    ended: Average,
    starts: VecDeque<(String, Duration)>,
    depths: VecDeque<Depth>,
    wanted: VecDeque<(Duration, u32)>,
    ups: VecDeque<(Duration, u32)>,
    last_down: Option<Duration>,
    burst: Option<Duration>,
    room: Room,
    /// Since when all pods have been silent, and what was ordered or wanted then.
    blind: Option<(Duration, u32)>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Depth {
    at: Duration,
    all: f64,
    queue: f64,
    held: f64,
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
    /// Utterances waiting, running and held, averaged over 10 s; those of silent pods are estimated.
    pub depth: f64,
    /// Of these, those that wait in one replica on average.
    pub queue: f64,
    /// Of these, those that a gateway holds.
    pub held: f64,
    /// Utterances that arrive in a second.
    pub arrival_rate: f64,
    /// Utterances that a replica finishes in a second with all its slots; none until 20 were finished.
    pub service_rate: Option<f64>,
    /// How long nine of ten starts took at most.
    pub startup: Duration,
    /// Ready replicas that are not known to be sick.
    pub able: u32,
    /// Ready pods that do not tell their load.
    pub silent: u32,
    /// Replicas that take work and do not do it, or far slower than the others.
    pub sick: Vec<String>,
    /// Replicas that get no utterance while the others do.
    pub unreached: Vec<String>,
    /// Part of the utterances of the last ten minutes that was answered with words within [`super::Target::wait`]; none
    /// without any.
    pub attained: Option<f64>,
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
        self.count_traffic(policy, seen, now);
        self.learn_starts(seen);
        let fit = self.service.fit(policy.slots);
        let sick = self.health.sick(fit, policy);
        let able = seen.ready().saturating_sub(count(sick.len()));
        self.look(seen, &sick, now);
        let samples = self.depths.len().max(1) as f64;
        let mean = |of: fn(&Depth) -> f64| self.depths.iter().map(of).sum::<f64>() / samples;
        Figures {
            depth: mean(|it| it.all),
            queue: mean(|it| it.queue),
            held: mean(|it| it.held),
            arrival_rate: self.arrivals.get().max(self.lasting()).max(0.0),
            service_rate: self.service.rate(policy.slots),
            // A start that goes on for longer is already known to take longer.
            startup: self.start_takes(policy).max(seen.starting_for),
            able,
            silent: count(seen.silent.len()),
            sick,
            unreached: self.health.unreached(),
            attained: (self.ended.get() > 0.0)
                .then(|| (self.in_time.get() / self.ended.get()).clamp(0.0, 1.0)),
        }
    }

    /// Keeps the depth of now. What waits in a sick replica is no reason for more of them; a silent pod is taken to
    /// have what the others have, or what it told last, if that was more.
    fn look(&mut self, seen: &Observation, sick: &[String], now: Duration) {
        let told: Vec<&Replica> = seen
            .replicas
            .iter()
            .filter(|it| !sick.contains(&it.pod))
            .collect();
        let replicas = told.len().max(1) as f64;
        let sum = |of: fn(&Replica) -> f64| told.iter().map(|it| of(it)).sum::<f64>();
        let (depth, queued) = (sum(Replica::depth), sum(|it| f64::from(it.queued)));
        let guess = |pod: &String| {
            let last = self.totals.get(pod).map_or(0.0, Replica::depth);
            last.max(depth / replicas)
        };
        let silent: f64 = seen.silent.iter().map(guess).sum();
        let held = f64::from(seen.held);
        self.depths.push_back(Depth {
            at: now,
            all: depth + silent + held,
            queue: queued / replicas,
            held,
        });
        while self
            .depths
            .front()
            .is_some_and(|it| now.saturating_sub(it.at) >= DEPTH)
        {
            self.depths.pop_front();
        }
    }

    fn count_traffic(&mut self, policy: &Policy, seen: &Observation, now: Duration) {
        let over = self.last.map(|last| now.saturating_sub(last));
        let fit = self.service.fit(policy.slots);
        let sick = self.health.sick(fit, policy);
        let (mut arrived, mut in_time, mut ended) = (0.0, 0.0, 0.0);
        let mut steps = BTreeMap::new();
        for replica in &seen.replicas {
            let old = self.totals.insert(replica.pod.clone(), replica.clone());
            let Some(old) = old else { continue };
            // Totals that went back belong to a process that started anew.
            let since = |new: u64, old: u64| new.saturating_sub(old) as f64;
            let expired = since(replica.expired, old.expired);
            let finished = since(replica.finished, old.finished);
            let step = Step {
                served: (finished - expired).max(0.0),
                expired,
                busy_s: (replica.busy_s - old.busy_s).max(0.0),
                arrived: since(replica.arrived, old.arrived),
                together: (replica.running + old.running).div_ceil(2).max(1),
            };
            arrived += step.arrived;
            in_time += match (replica.in_time, old.in_time) {
                // No more than there were, also where the target has changed meanwhile.
                (Some(new), Some(old)) => since(new, old).min(finished),
                _ => step.served,
            };
            ended += finished + since(replica.refused, old.refused);
            if !sick.contains(&replica.pod) {
                self.service.add(step.together, step.served, step.busy_s);
            }
            steps.insert(replica.pod.as_str(), step);
        }
        self.totals.retain(|pod, _| {
            seen.replicas.iter().any(|it| it.pod == *pod) || seen.silent.contains(pod)
        });
        // Silent pods get as much as the others.
        let told = seen.replicas.len().max(1) as f64;
        arrived *= 1.0 + seen.silent.len() as f64 / told;
        // What a gateway took in counts when it comes, not when a replica takes it from there.
        arrived += f64::from(seen.held) - f64::from(self.held);
        self.held = seen.held;
        if let Some(over) = over.filter(|over| *over > Duration::ZERO) {
            self.health.add(&steps, fit, seen, policy, over);
            self.in_time.add(in_time, over, ATTAINED);
            self.ended.add(ended, over, ATTAINED);
            // With all of them silent the traffic is unknown, and a guess of none would look like a pause.
            if !seen.replicas.is_empty() || seen.silent.is_empty() {
                let rate = self.trimmed(arrived / over.as_secs_f64());
                self.arrivals.add(rate, over, ARRIVALS);
            }
        }
        self.last = Some(now);
    }

    /// The rate that was reached in each of the last rounds: a step that lasts is believed before the average has it.
    fn lasting(&self) -> f64 {
        if self.rates.len() < LASTING {
            return 0.0;
        }
        let last = self.rates.iter().rev().take(LASTING).copied();
        last.fold(f64::INFINITY, f64::min)
    }

    /// `rate`, unless it is the largest of the last rounds: then the second largest.
    fn trimmed(&mut self, rate: f64) -> f64 {
        self.rates.push_back(rate);
        if self.rates.len() > TRIMMED {
            self.rates.pop_front();
        }
        // The first rounds have nothing to compare with.
        let others = self.rates.iter().rev().skip(1).copied();
        let largest = others.fold(0.0, f64::max);
        if self.rates.len() < 2 {
            rate
        } else {
            rate.min(largest)
        }
    }

    /// Since when all pods have been silent, if they are, and what was ordered or wanted then.
    pub(super) fn blind(
        &mut self,
        seen: &Observation,
        wanted: u32,
        now: Duration,
    ) -> Option<(u32, Duration)> {
        if seen.silent.is_empty() || !seen.replicas.is_empty() {
            self.blind = None;
            return None;
        }
        let last = self.wanted.back().map_or(0, |(_, wanted)| *wanted);
        let from = wanted.max(last).max(count(seen.silent.len()));
        let (since, from) = *self.blind.get_or_insert((now, from));
        Some((from, now.saturating_sub(since)))
    }

    /// Replicas beyond which the cluster has no room, once that has shown itself for a while.
    pub(super) fn ceiling(
        &mut self,
        policy: &Policy,
        seen: &Observation,
        now: Duration,
    ) -> Option<u32> {
        self.room.ceiling(policy, seen, now)
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

    /// How long a replica takes to start, as far as is known.
    pub fn start_takes(&self, policy: &Policy) -> Duration {
        self.startup().unwrap_or(policy.startup_hint)
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
