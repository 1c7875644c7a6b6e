//! The rules that are compared: ours, and the ideas of others in their plainest form.

use std::collections::VecDeque;
use std::time::Duration;

use super::Scenario;
use crate::scale::{DownSteps, Observation, Policy, State, Target, UpSteps, decide, victims};

/// Sizes a fleet.
pub trait Rule {
    /// For the table.
    fn name(&self) -> &'static str;
    /// How often it is asked.
    fn period(&self) -> Duration;
    /// Replicas to order.
    fn order(&mut self, seen: &Observation, now: Duration) -> u32;
    /// What deleting a pod costs, by its name, for the last order: 0 for one that has no mark.
    fn costs(&self) -> Vec<(String, i32)> {
        Vec::new()
    }
}

const MAX: u32 = 100;

fn depth(seen: &Observation) -> f64 {
    let depth: u32 = seen
        .replicas
        .iter()
        .map(|replica| replica.queued + replica.running)
        .sum();
    f64::from(depth + seen.held)
}

fn ceil(value: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the range of u32"
    )]
    let whole = value.ceil().clamp(0.0, f64::from(MAX)) as u32;
    whole
}

/// `scale::decide` with its defaults for GPUs but for a window of 300 s, as the others have.
#[derive(Debug)]
pub struct Ours {
    policy: Policy,
    schedule: Option<(Duration, Duration, u32)>,
    state: State,
    costs: Vec<(String, i32)>,
}

impl Ours {
    /// With the target of `scenario`; it has to learn the startup time.
    pub fn new(scenario: &Scenario) -> Self {
        let deadline = scenario.deadline.unwrap_or(Duration::from_secs(3600));
        let policy = Policy {
            min: scenario.min,
            max: scenario.max,
            target_depth: scenario.target_depth,
            drain_target: Duration::from_secs(60),
            up: UpSteps {
                stabilization: Duration::ZERO,
                replicas: 4,
                period: Duration::from_secs(15),
            },
            down: DownSteps {
                stabilization: Duration::from_secs(300),
                percent: 25,
                period: Duration::from_secs(60),
            },
            max_pending: 1,
            max_starting: None,
            startup_hint: Duration::from_secs(60),
            slots: u32::try_from(scenario.slots).unwrap_or(1),
            max_queue: u32::try_from(scenario.max_queue).unwrap_or(1024),
            deadline,
            target: Target::of_deadline(deadline),
            spare: scenario.spare,
        };
        Self {
            policy,
            schedule: scenario.schedule,
            state: State::default(),
            costs: Vec::new(),
        }
    }
}

impl Rule for Ours {
    fn name(&self) -> &'static str {
        "wyoming-stt"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn order(&mut self, seen: &Observation, now: Duration) -> u32 {
        let mut policy = self.policy.clone();
        if let Some((from, to, min)) = self.schedule {
            let soon = now + self.state.start_takes(&policy);
            let is_active = now < to && soon >= from;
            policy.min = if is_active {
                policy.min.max(min)
            } else {
                policy.min
            };
        }
        let (decision, state) = decide(&policy, seen, &self.state, now);
        self.state = state;
        let fewer = seen.ordered.saturating_sub(decision.replicas);
        self.costs = victims(seen, &decision.figures, fewer)
            .into_iter()
            .map(|victim| (victim.pod, victim.cost))
            .collect();
        decision.replicas
    }

    fn costs(&self) -> Vec<(String, i32)> {
        self.costs.clone()
    }
}

/// Like a HorizontalPodAutoscaler on an external metric: depth by target, a tolerance of 10 %, up by 100 % or
/// 4 in 15 s, down to the highest recommendation of 300 s.
#[derive(Debug)]
pub struct HpaLike {
    target: f64,
    wanted: VecDeque<(Duration, u32)>,
}

impl HpaLike {
    /// With the target of `scenario`.
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            target: f64::from(scenario.target_depth),
            wanted: VecDeque::new(),
        }
    }
}

impl Rule for HpaLike {
    fn name(&self) -> &'static str {
        "HPA-like"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(15)
    }

    fn order(&mut self, seen: &Observation, now: Duration) -> u32 {
        let ordered = seen.ordered.max(1);
        let ratio = depth(seen) / self.target / f64::from(ordered);
        let want = if (ratio - 1.0).abs() <= 0.1 {
            ordered
        } else {
            ceil(depth(seen) / self.target).max(1)
        };
        self.wanted.push_back((now, want));
        while self
            .wanted
            .front()
            .is_some_and(|(at, _)| now.saturating_sub(*at) > Duration::from_secs(300))
        {
            self.wanted.pop_front();
        }
        let most = self
            .wanted
            .iter()
            .map(|(_, want)| *want)
            .max()
            .unwrap_or(want);
        if want > ordered {
            want.min((ordered * 2).max(ordered + 4))
        } else {
            most.min(ordered)
        }
    }
}

/// Like Knative's autoscaler: averages over 60 s and 6 s, panic at twice what the ready ones carry.
#[derive(Debug)]
pub struct KpaLike {
    target: f64,
    depths: VecDeque<(Duration, f64)>,
    panic: Option<(Duration, u32)>,
}

impl KpaLike {
    /// With the target of `scenario`.
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            target: f64::from(scenario.target_depth),
            depths: VecDeque::new(),
            panic: None,
        }
    }

    fn average(&self, window: Duration, now: Duration) -> f64 {
        let recent = self
            .depths
            .iter()
            .filter(|(at, _)| now.saturating_sub(*at) < window);
        let (sum, samples) = recent.fold((0.0, 0.0), |(sum, samples), (_, depth)| {
            (sum + depth, samples + 1.0)
        });
        sum / f64::max(samples, 1.0)
    }
}

impl Rule for KpaLike {
    fn name(&self) -> &'static str {
        "KPA-like"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn order(&mut self, seen: &Observation, now: Duration) -> u32 {
        const STABLE: Duration = Duration::from_secs(60);
        self.depths.push_back((now, depth(seen)));
        while self
            .depths
            .front()
            .is_some_and(|(at, _)| now.saturating_sub(*at) >= STABLE)
        {
            self.depths.pop_front();
        }
        let ready = u32::try_from(seen.replicas.len()).unwrap_or(MAX).max(1);
        let stable = ceil(self.average(STABLE, now) / self.target)
            .max(1)
            .max(ready / 2);
        let panic = ceil(self.average(Duration::from_secs(6), now) / self.target).max(1);
        if panic >= 2 * ready {
            let floor = self.panic.map_or(0, |(_, floor)| floor);
            self.panic = Some((now, floor.max(seen.ordered)));
        } else if self
            .panic
            .is_some_and(|(at, _)| now.saturating_sub(at) >= STABLE)
        {
            self.panic = None;
        }
        match &mut self.panic {
            Some((_, floor)) => {
                *floor = (*floor).max(panic);
                *floor
            }
            None => stable,
        }
    }
}

/// Like llm-d's variant autoscaler: one more when nothing is pending, one fewer after a quiet window.
#[derive(Debug)]
pub struct OneByOne {
    target: f64,
    quiet_since: Option<Duration>,
}

impl OneByOne {
    /// With the target of `scenario`.
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            target: f64::from(scenario.target_depth),
            quiet_since: None,
        }
    }
}

impl Rule for OneByOne {
    fn name(&self) -> &'static str {
        "one by one"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn order(&mut self, seen: &Observation, now: Duration) -> u32 {
        let want = ceil(depth(seen) / self.target).max(1);
        if want >= seen.ordered {
            self.quiet_since = None;
        }
        if want > seen.ordered && seen.starting + seen.unschedulable == 0 {
            return seen.ordered + 1;
        }
        if want < seen.ordered {
            let since = *self.quiet_since.get_or_insert(now);
            if now.saturating_sub(since) >= Duration::from_secs(300) {
                self.quiet_since = None;
                return seen.ordered - 1;
            }
        }
        seen.ordered
    }
}
