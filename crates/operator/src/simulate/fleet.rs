//! The fleet: arrivals, replicas that start, work and stop, nodes that come, and a rule that is asked now and then.

use std::collections::VecDeque;
use std::time::Duration;

use super::chance::Random;
use super::nodes::Nodes;
use super::outcome::{Outcome, Sample};
use super::pod::{Ends, Pod, Utterance};
use super::{Ailment, Balance, Rule, Scenario};
use crate::scale::Observation;

/// How finely time is cut.
pub(super) const TICK: Duration = Duration::from_millis(100);

struct Fleet<'a> {
    scenario: &'a Scenario,
    pods: Vec<Pod>,
    nodes: Nodes,
    made: u32,
    ordered: u32,
    /// What waits where all replicas share one queue.
    shared: VecDeque<Utterance>,
    chance: Random,
    waits: Vec<Duration>,
    outcome: Outcome,
}

/// Lets `rule` size the fleet of `scenario`.
pub fn run(scenario: &Scenario, rule: &mut dyn Rule) -> Outcome {
    let mut fleet = Fleet::new(scenario);
    let mut arrivals = scenario.load.arrivals().into_iter().peekable();
    let (mut now, mut backlog, mut ticks) = (Duration::ZERO, 0, 0_u32);
    while now < scenario.load.length() {
        while let Some(arrival) = arrivals.next_if(|it| it.at <= now) {
            fleet.arrive(now, arrival.length);
        }
        fleet.work(now);
        if is_multiple(now, rule.period()) {
            let ordered = rule.order(&fleet.observe(now), now);
            fleet.outcome.changes += u32::from(ordered != fleet.ordered);
            fleet.order(ordered, rule, now);
        }
        fleet.place(now);
        fleet.outcome.peak_ordered = fleet.outcome.peak_ordered.max(fleet.ordered);
        fleet.outcome.gpu_time += TICK * fleet.placed();
        backlog += fleet.waiting();
        if is_multiple(now, Duration::from_secs(5)) {
            let sample = fleet.sample(now);
            fleet.outcome.samples.push(sample);
        }
        now += TICK;
        ticks += 1;
    }
    fleet.outcome.mean_backlog = backlog as f64 / f64::from(ticks);
    fleet.finish(now)
}

fn is_multiple(now: Duration, period: Duration) -> bool {
    now.as_millis().is_multiple_of(period.as_millis())
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl<'a> Fleet<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let mut fleet = Self {
            scenario,
            pods: Vec::new(),
            nodes: Nodes::new(scenario),
            made: 0,
            ordered: 0,
            shared: VecDeque::new(),
            chance: Random::new(scenario.seed),
            waits: Vec::new(),
            outcome: Outcome::default(),
        };
        fleet.add(scenario.first, Duration::ZERO);
        // The first ones have been there for long.
        for pod in &mut fleet.pods {
            pod.placed = Some(Duration::ZERO);
            pod.is_first = true;
        }
        fleet.ordered = scenario.first;
        fleet
    }

    fn is_ready(&self, pod: &Pod, now: Duration) -> bool {
        let is_up = |at| pod.is_first || now >= at + self.scenario.startup;
        pod.ailment != Some(Ailment::NeverReady) && pod.placed.is_some_and(is_up)
    }

    fn placed(&self) -> u32 {
        small(self.pods.iter().filter(|pod| pod.placed.is_some()).count())
    }

    fn waiting(&self) -> usize {
        self.shared.len() + self.pods.iter().map(|pod| pod.queue.len()).sum::<usize>()
    }

    /// Replicas that new connections can meet.
    fn serving(&self, now: Duration) -> Vec<usize> {
        (0..self.pods.len())
            .filter(|index| !self.pods[*index].is_leaving && self.is_ready(&self.pods[*index], now))
            .collect()
    }

    fn arrive(&mut self, now: Duration, length: Duration) {
        self.outcome.arrived += 1;
        let serving = self.serving(now);
        let chosen = match self.scenario.balance {
            Balance::Shared => {
                self.shared.push_back(Utterance {
                    spoken: now,
                    length,
                });
                return;
            }
            Balance::Random => serving.get(self.chance.below(serving.len())).copied(),
            Balance::LeastLoaded => serving
                .into_iter()
                .min_by_key(|index| self.pods[*index].outstanding()),
        };
        match chosen {
            Some(index) => self.pods[index].connect(Utterance {
                spoken: now + length,
                length,
            }),
            None => self.outcome.unserved += 1,
        }
    }

    fn work(&mut self, now: Duration) {
        let mut ends = Ends::default();
        for index in 0..self.pods.len() {
            if self.is_ready(&self.pods[index], now) {
                self.pods[index].work(self.scenario, &mut self.shared, now, &mut ends);
            }
        }
        self.pods.retain(|pod| !pod.is_leaving || pod.is_at_work());
        let in_time = ends.answered.iter().filter(|it| **it <= self.scenario.wait);
        self.outcome.in_time += small(in_time.count());
        self.outcome.answered += small(ends.answered.len());
        self.outcome.expired += ends.expired;
        self.outcome.refused += ends.refused;
        self.waits.extend(ends.waits);
    }

    fn add(&mut self, count: u32, now: Duration) {
        for _ in 0..count {
            let ailment = self.scenario.ailment_of(self.made);
            let name = format!("pod-{}", self.made);
            self.pods.push(Pod::new(name, now, ailment));
            self.made += 1;
        }
    }

    /// Adds pods as far as a quota lets them be, or takes some away as a ReplicaSet does: pending, not ready, by what
    /// their deletion costs, those without work; the youngest first.
    fn order(&mut self, ordered: u32, rule: &dyn Rule, now: Duration) {
        let is_fewer = ordered < self.ordered;
        self.ordered = ordered;
        let staying = small(self.pods.iter().filter(|pod| !pod.is_leaving).count());
        let wanted = ordered.min(self.scenario.quota.unwrap_or(u32::MAX));
        self.add(wanted.saturating_sub(staying), now);
        let costs = if is_fewer { rule.costs() } else { Vec::new() };
        for _ in wanted..staying {
            let cost = |pod: &Pod| {
                let marked = costs.iter().find(|(name, _)| *name == pod.name);
                let is_at_work = costs.is_empty() && pod.is_at_work();
                (
                    pod.placed.is_some(),
                    self.is_ready(pod, now),
                    marked.map_or(0, |(_, cost)| *cost),
                    is_at_work,
                )
            };
            let cheapest = (0..self.pods.len())
                .rev()
                .filter(|index| !self.pods[*index].is_leaving)
                .min_by_key(|index| cost(&self.pods[*index]));
            if let Some(index) = cheapest {
                self.pods[index].is_leaving = true;
            }
        }
        self.pods.retain(|pod| !pod.is_leaving || pod.is_at_work());
    }

    /// Gives pending pods the GPUs that are free, and lets the node autoscaler see the rest.
    fn place(&mut self, now: Duration) {
        let mut free = self.nodes.there(now).saturating_sub(self.placed());
        let mut pending = 0;
        for pod in &mut self.pods {
            if pod.placed.is_none() {
                if free > 0 {
                    pod.placed = Some(now);
                    free -= 1;
                } else {
                    pending += 1;
                }
            }
        }
        self.nodes.look(pending, now);
    }

    fn observe(&self, now: Duration) -> Observation {
        let mut seen = Observation {
            ordered: self.ordered,
            ..Observation::default()
        };
        let staying = self.pods.iter().filter(|pod| !pod.is_leaving);
        let (ready, rest): (Vec<&Pod>, Vec<&Pod>) =
            staying.partition(|pod| self.is_ready(pod, now));
        seen.held = small(self.shared.len());
        for (index, pod) in ready.iter().enumerate() {
            if self.scenario.is_silent(index, now) {
                seen.silent.push(pod.name.clone());
            } else {
                seen.replicas.push(pod.report(self.scenario, now));
            }
            // The first one's start was long ago, and still stands in its conditions.
            seen.startups
                .push((pod.name.clone(), self.scenario.startup));
        }
        for pod in rest {
            let Some(at) = pod.placed else {
                seen.unschedulable += 1;
                continue;
            };
            let age = now.saturating_sub(at);
            if age > self.scenario.startup_timeout {
                seen.broken += 1;
            } else {
                seen.starting += 1;
                seen.starting_for = seen.starting_for.max(age);
            }
        }
        let staying = self.pods.iter().filter(|pod| !pod.is_leaving);
        seen.placements = staying
            .filter_map(|pod| Some((pod.name.clone(), pod.placed?.saturating_sub(pod.created))))
            .collect();
        seen.refused = match self.scenario.quota {
            Some(quota) => self.ordered.saturating_sub(quota),
            None => 0,
        };
        seen
    }

    fn sample(&self, now: Duration) -> Sample {
        let ready = self.pods.iter().filter(|pod| self.is_ready(pod, now));
        let queues = self.pods.iter().filter_map(|pod| pod.queue.front());
        let oldest = queues.chain(self.shared.front()).map(|it| it.spoken).min();
        Sample {
            at: now,
            rate: self.scenario.load.rate(now),
            ordered: self.ordered,
            ready: small(ready.count()),
            waiting: self.waiting(),
            oldest_wait: oldest.map_or(Duration::ZERO, |at| now.saturating_sub(at)),
        }
    }

    fn finish(mut self, now: Duration) -> Outcome {
        // Those who still wait have waited that long at least.
        let queues = self.pods.iter().flat_map(|pod| &pod.queue);
        let waiting = queues.chain(&self.shared);
        let waited: Vec<Duration> = waiting.map(|it| now.saturating_sub(it.spoken)).collect();
        self.waits.extend(waited);
        self.waits.sort_unstable();
        let at = |index: usize| self.waits.get(index).copied().unwrap_or_default();
        Outcome {
            worst_wait: self.waits.last().copied().unwrap_or_default(),
            p90_wait: at(self.waits.len() * 9 / 10),
            ..self.outcome
        }
    }
}
