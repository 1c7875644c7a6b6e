//! A simulation of a fleet: the scaling rule beside others, on loads and troubles that hurt.
//!
//! An utterance waits in the replica that its connection met, and cannot move; a Service chooses at random when
//! speech begins; an utterance whose deadline goes by is lost. Replicas and nodes take their time to start, some
//! are sick, some do not tell their load. What comes out are waits and losses of single utterances, not estimates
//! from rates. The five scenarios of one shared queue, as a gateway in front has it, are kept beside.

mod cases;
mod chance;
mod fleet;
mod load;
mod nodes;
mod outcome;
mod pod;
mod report;
mod rules;

use std::time::Duration;

pub use cases::{Case, cases};
pub use fleet::run;
pub use load::{Arrival, Load, LoadError};
pub use outcome::{Outcome, Sample};
pub use report::{case_table, svg, table};
pub use rules::{HpaLike, KpaLike, OneByOne, Ours, Rule};

/// A load, and a fleet to carry it.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// For the table.
    pub name: &'static str,
    /// When utterances come.
    pub load: Load,
    /// How long a replica takes to start.
    pub startup: Duration,
    /// After which one that is not ready is broken.
    pub startup_timeout: Duration,
    /// How long a replica works on one utterance alone, whatever its length.
    pub service: Duration,
    /// Seconds of work for each second of speech, on top of that.
    pub service_per_second: f64,
    /// What each further utterance of a batch adds to its time: 0 costs nothing, 1 as much as alone.
    pub batch_cost: f64,
    /// Utterances of a batch at most.
    pub slots: usize,
    /// Utterances that wait in one replica at most; one more is refused.
    pub max_queue: usize,
    /// After which an utterance is lost; none waits for ever.
    pub deadline: Option<Duration>,
    /// What counts as in time, from the last word of the speech to the words.
    pub wait: Duration,
    /// Which replica gets an utterance.
    pub balance: Balance,
    /// Replicas that are ready at the beginning.
    pub first: u32,
    /// Never fewer replicas.
    pub min: u32,
    /// Never more replicas.
    pub max: u32,
    /// Replicas that have room.
    pub gpus: u32,
    /// How long a node takes that brings room for one more; none when all of it is there.
    pub node_start: Option<Duration>,
    /// Pods that a quota allows.
    pub quota: Option<u32>,
    /// Pods by their number, and what they suffer from.
    pub ailments: Vec<(u32, Ailment)>,
    /// Which ready pods do not tell their load.
    pub silence: Silence,
    /// Utterances, waiting and running, for each replica.
    pub target_depth: u32,
    /// Utterances that should find room at once.
    pub spare: u32,
    /// From when on, until when, and how many replicas there should be at least.
    pub schedule: Option<(Duration, Duration, u32)>,
    /// Decides who a Service sends to.
    pub seed: u64,
}

/// Which replica gets an utterance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// Whichever replica is free first: one queue for all, as in a gateway.
    Shared,
    /// Any ready replica, by chance, when speech begins: a Service.
    Random,
    /// The replica with the fewest outstanding utterances when speech begins.
    LeastLoaded,
}

/// What a replica suffers from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ailment {
    /// It has a node and never becomes ready.
    NeverReady,
    /// It takes `factor` times as long as others.
    Slow {
        /// From when on.
        from: Duration,
        /// How much longer.
        factor: f64,
    },
    /// It takes work and never answers.
    Mute {
        /// From when on.
        from: Duration,
    },
}

/// Which ready pods do not tell their load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Silence {
    /// None.
    #[default]
    None,
    /// Every second one, from then on.
    Half(Duration),
    /// All, from then on.
    All(Duration),
}

/// One rule on one scenario.
#[derive(Clone, Debug)]
pub struct Row {
    /// Of the scenario.
    pub scenario: &'static str,
    /// Time to start.
    pub startup: Duration,
    /// Of the rule.
    pub rule: &'static str,
    /// What came out.
    pub outcome: Outcome,
}

impl Scenario {
    /// Utterances take 2 s, a fleet has 16 GPUs, 4 utterances are meant for each replica, and all share one queue.
    fn shared(name: &'static str, load: Load, startup_s: u64) -> Self {
        Self {
            name,
            load,
            startup: Duration::from_secs(startup_s),
            startup_timeout: Duration::from_secs(600),
            service: Duration::from_secs(2),
            service_per_second: 0.0,
            batch_cost: 1.0,
            slots: 1,
            max_queue: usize::MAX,
            deadline: None,
            wait: Duration::from_secs(10),
            balance: Balance::Shared,
            first: 1,
            min: 1,
            max: 100,
            gpus: 16,
            node_start: None,
            quota: None,
            ailments: Vec::new(),
            silence: Silence::None,
            target_depth: 4,
            spare: 0,
            schedule: None,
            seed: 1,
        }
    }

    /// As the product has it: a queue of 16 in each replica, 25 s to the deadline, a Service that chooses at random.
    pub fn product(name: &'static str, load: Load, startup_s: u64) -> Self {
        Self {
            max_queue: 16,
            deadline: Some(Duration::from_secs(25)),
            balance: Balance::Random,
            max: 24,
            gpus: 24,
            ..Self::shared(name, load, startup_s)
        }
    }

    /// How long a batch of utterances of these lengths takes.
    fn time_of(&self, lengths: impl Iterator<Item = Duration>) -> Duration {
        let alone = lengths.map(|length| self.service + length.mul_f64(self.service_per_second));
        let (mut longest, mut sum) = (Duration::ZERO, Duration::ZERO);
        for time in alone {
            longest = longest.max(time);
            sum += time;
        }
        longest + sum.saturating_sub(longest).mul_f64(self.batch_cost)
    }

    fn ailment_of(&self, number: u32) -> Option<Ailment> {
        let mut all = self.ailments.iter();
        all.find(|(sick, _)| *sick == number)
            .map(|(_, ailment)| *ailment)
    }

    fn is_silent(&self, index: usize, now: Duration) -> bool {
        match self.silence {
            Silence::None => false,
            Silence::Half(from) => now >= from && index % 2 == 1,
            Silence::All(from) => now >= from,
        }
    }
}

/// The loads that rules are compared on.
pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::shared("step", load::step(), 20),
        Scenario::shared("step", load::step(), 120),
        Scenario::shared("saw", load::saw(), 120),
        Scenario::shared("spike", load::spike(), 120),
        Scenario::shared("evening", load::evening(), 120),
    ]
}

/// Every rule on every one of `scenarios`.
pub fn compare(scenarios: &[Scenario]) -> Vec<Row> {
    let mut rows = Vec::new();
    for scenario in scenarios {
        let rules: [Box<dyn Rule>; 4] = [
            Box::new(HpaLike::new(scenario)),
            Box::new(KpaLike::new(scenario)),
            Box::new(OneByOne::new(scenario)),
            Box::new(Ours::new(scenario)),
        ];
        for mut rule in rules {
            rows.push(row(scenario, rule.as_mut()));
        }
    }
    rows
}

/// Our rule on every case.
pub fn run_cases() -> Vec<(Case, Row)> {
    let ours = |case: Case| {
        let row = row(&case.scenario, &mut Ours::new(&case.scenario));
        (case, row)
    };
    cases().into_iter().map(ours).collect()
}

/// `rule` on `scenario`.
pub fn row(scenario: &Scenario, rule: &mut dyn Rule) -> Row {
    Row {
        scenario: scenario.name,
        startup: scenario.startup,
        rule: rule.name(),
        outcome: run(scenario, rule),
    }
}

#[cfg(test)]
mod tests;
