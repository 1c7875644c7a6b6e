//! The fleet: arrivals, replicas that start, work and stop, and a rule that is asked now and then.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Rule, Scenario};
use crate::scale::{Observation, Replica};

/// How finely time is cut; utterances take whole multiples of it.
const TICK: Duration = Duration::from_millis(100);

/// What a run was like.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Most replicas that were ordered.
    pub peak_ordered: u32,
    /// Longest time that an utterance waited for a replica.
    pub worst_wait: Duration,
    /// Time that nine of ten utterances waited at most.
    pub p90_wait: Duration,
    /// Utterances that waited, on average over time.
    pub mean_backlog: f64,
    /// Time that GPUs were held, of all together.
    pub gpu_time: Duration,
    /// How often the order changed.
    pub changes: u32,
    /// Utterances that were answered.
    pub served: usize,
    /// The course of it, every 5 s.
    pub samples: Vec<Sample>,
}

/// One moment of a run.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When.
    pub at: Duration,
    /// Utterances a second.
    pub rate: f64,
    /// Replicas that were ordered.
    pub ordered: u32,
    /// Replicas that were ready.
    pub ready: u32,
    /// Utterances that waited.
    pub waiting: usize,
    /// How long the oldest of these had waited.
    pub oldest_wait: Duration,
}

#[derive(Debug)]
struct Pod {
    name: String,
    /// When it got a GPU; none while pending.
    placed: Option<Duration>,
    /// Until when it works on its utterance.
    busy_until: Option<Duration>,
    is_leaving: bool,
    arrived: u64,
    finished: u64,
    busy_s: f64,
}

struct Fleet<'a> {
    scenario: &'a Scenario,
    pods: Vec<Pod>,
    made: u32,
    ordered: u32,
    queue: VecDeque<Duration>,
    /// Whose turn it is to count the next arrival.
    turn: usize,
    waits: Vec<Duration>,
}

/// Lets `rule` size the fleet of `scenario`. It begins with one ready replica.
pub fn run(scenario: &Scenario, rule: &mut dyn Rule) -> Outcome {
    let mut fleet = Fleet::new(scenario);
    let mut outcome = Outcome::default();
    let mut arrivals = scenario.load.arrivals().into_iter().peekable();
    let (mut now, mut backlog, mut ticks) = (Duration::ZERO, 0, 0_u32);
    while now < scenario.load.length() {
        while arrivals.next_if(|at| *at <= now).is_some() {
            fleet.arrive(now);
        }
        fleet.work(now);
        if is_multiple(now, rule.period()) {
            let ordered = rule.order(&fleet.observe(now), now);
            outcome.changes += u32::from(ordered != fleet.ordered);
            fleet.order(ordered, now);
        }
        fleet.place(now);
        outcome.peak_ordered = outcome.peak_ordered.max(fleet.ordered);
        outcome.gpu_time += TICK * fleet.placed();
        backlog += fleet.queue.len();
        if is_multiple(now, Duration::from_secs(5)) {
            outcome.samples.push(fleet.sample(now));
        }
        now += TICK;
        ticks += 1;
    }
    outcome.mean_backlog = backlog as f64 / f64::from(ticks);
    fleet.finish(&mut outcome, now);
    outcome
}

fn is_multiple(now: Duration, period: Duration) -> bool {
    now.as_millis().is_multiple_of(period.as_millis())
}

impl<'a> Fleet<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let mut fleet = Self {
            scenario,
            pods: Vec::new(),
            made: 0,
            ordered: 0,
            queue: VecDeque::new(),
            turn: 0,
            waits: Vec::new(),
        };
        fleet.order(1, Duration::ZERO);
        // The first one has been there for long.
        if let Some(pod) = fleet.pods.first_mut() {
            pod.placed = Some(Duration::ZERO);
        }
        fleet
    }

    fn is_ready(&self, pod: &Pod, now: Duration) -> bool {
        let is_first = pod.name == "pod-0";
        pod.placed
            .is_some_and(|at| is_first || now >= at + self.scenario.startup)
    }

    fn placed(&self) -> u32 {
        let placed = self.pods.iter().filter(|pod| pod.placed.is_some()).count();
        u32::try_from(placed).unwrap_or(u32::MAX)
    }

    fn arrive(&mut self, now: Duration) {
        self.queue.push_back(now);
        let ready: Vec<usize> = (0..self.pods.len())
            .filter(|index| !self.pods[*index].is_leaving && self.is_ready(&self.pods[*index], now))
            .collect();
        if let Some(index) = ready.get(self.turn % ready.len().max(1)) {
            self.pods[*index].arrived += 1;
            self.turn += 1;
        }
    }

    /// Ends what is done, lets those who leave go, and gives idle replicas work.
    fn work(&mut self, now: Duration) {
        for pod in &mut self.pods {
            if pod.busy_until.is_some_and(|until| until <= now) {
                pod.busy_until = None;
                pod.finished += 1;
                pod.busy_s += self.scenario.service.as_secs_f64();
            }
        }
        self.pods
            .retain(|pod| !pod.is_leaving || pod.busy_until.is_some());
        for index in 0..self.pods.len() {
            let pod = &self.pods[index];
            let is_free = !pod.is_leaving && pod.busy_until.is_none() && self.is_ready(pod, now);
            if is_free && let Some(arrived) = self.queue.pop_front() {
                self.waits.push(now.saturating_sub(arrived));
                self.pods[index].busy_until = Some(now + self.scenario.service);
            }
        }
    }

    /// Adds pods, or takes those away that cost least: pending, starting, idle, busy; the youngest first.
    fn order(&mut self, ordered: u32, now: Duration) {
        self.ordered = ordered;
        let staying = self.pods.iter().filter(|pod| !pod.is_leaving).count();
        let wanted = usize::try_from(ordered).unwrap_or(usize::MAX);
        for _ in staying..wanted {
            self.pods.push(Pod {
                name: format!("pod-{}", self.made),
                placed: None,
                busy_until: None,
                is_leaving: false,
                arrived: 0,
                finished: 0,
                busy_s: 0.0,
            });
            self.made += 1;
        }
        for _ in wanted..staying {
            let cost = |pod: &Pod| {
                (
                    pod.placed.is_some(),
                    self.is_ready(pod, now),
                    pod.busy_until.is_some(),
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
        self.pods
            .retain(|pod| !pod.is_leaving || pod.busy_until.is_some());
    }

    /// Gives pending pods the GPUs that are free.
    fn place(&mut self, now: Duration) {
        let mut free = self.scenario.gpus.saturating_sub(self.placed());
        for pod in &mut self.pods {
            if free > 0 && pod.placed.is_none() {
                pod.placed = Some(now);
                free -= 1;
            }
        }
    }

    fn observe(&self, now: Duration) -> Observation {
        let mut seen = Observation {
            ordered: self.ordered,
            ..Observation::default()
        };
        let staying = self.pods.iter().filter(|pod| !pod.is_leaving);
        let (ready, rest): (Vec<&Pod>, Vec<&Pod>) =
            staying.partition(|pod| self.is_ready(pod, now));
        for (index, pod) in ready.iter().enumerate() {
            // The shared queue, as if it were dealt out.
            let queued = self.queue.len() / ready.len()
                + usize::from(index < self.queue.len() % ready.len());
            seen.replicas.push(Replica {
                pod: pod.name.clone(),
                queued: u32::try_from(queued).unwrap_or(u32::MAX),
                running: u32::from(pod.busy_until.is_some()),
                arrived: pod.arrived,
                finished: pod.finished,
                busy_s: pod.busy_s,
                oldest_wait_s: 0.0,
            });
            // The first one's start was long ago, and still stands in its conditions.
            seen.startups
                .push((pod.name.clone(), self.scenario.startup));
        }
        let since = rest.iter().filter_map(|pod| pod.placed).min();
        seen.starting_for = since.map_or(Duration::ZERO, |at| now.saturating_sub(at));
        let starting = rest.iter().filter(|pod| pod.placed.is_some()).count();
        seen.starting = u32::try_from(starting).unwrap_or(u32::MAX);
        seen.unschedulable = u32::try_from(rest.len() - starting).unwrap_or(u32::MAX);
        seen
    }

    fn sample(&self, now: Duration) -> Sample {
        let ready = self
            .pods
            .iter()
            .filter(|pod| self.is_ready(pod, now))
            .count();
        Sample {
            at: now,
            rate: self.scenario.load.rate(now),
            ordered: self.ordered,
            ready: u32::try_from(ready).unwrap_or(u32::MAX),
            waiting: self.queue.len(),
            oldest_wait: self
                .queue
                .front()
                .map_or(Duration::ZERO, |at| now.saturating_sub(*at)),
        }
    }

    fn finish(mut self, outcome: &mut Outcome, now: Duration) {
        outcome.served = self.waits.len();
        // Those who still wait have waited that long at least.
        self.waits
            .extend(self.queue.iter().map(|at| now.saturating_sub(*at)));
        self.waits.sort_unstable();
        outcome.worst_wait = self.waits.last().copied().unwrap_or_default();
        outcome.p90_wait = self
            .waits
            .get(self.waits.len() * 9 / 10)
            .copied()
            .unwrap_or_default();
    }
}
