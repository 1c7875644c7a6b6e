//! A discrete-event simulation of a fleet: the scaling rule beside others, on loads that hurt.
//!
//! Replicas serve one shared queue, one utterance at a time, and take their time to start; there are only so
//! many GPUs. What comes out are waits of single utterances, not estimates from rates.

mod fleet;
mod load;
mod report;
mod rules;

use std::time::Duration;

pub use fleet::{Outcome, Sample, run};
pub use load::Load;
pub use report::{svg, table};
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
    /// How long a replica works on an utterance.
    pub service: Duration,
    /// Replicas that have room.
    pub gpus: u32,
    /// Utterances, waiting and running, for each replica.
    pub target_depth: u32,
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

/// Utterances take 2 s, a fleet has 16 GPUs, 4 utterances are meant for each replica.
fn scenario(name: &'static str, load: Load, startup_s: u64) -> Scenario {
    Scenario {
        name,
        load,
        startup: Duration::from_secs(startup_s),
        service: Duration::from_secs(2),
        gpus: 16,
        target_depth: 4,
    }
}

/// The loads that rules are compared on.
pub fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("step", load::step(), 20),
        scenario("step", load::step(), 120),
        scenario("saw", load::saw(), 120),
        scenario("spike", load::spike(), 120),
        scenario("evening", load::evening(), 120),
    ]
}

/// Every rule on every scenario.
pub fn compare() -> Vec<Row> {
    let mut rows = Vec::new();
    for scenario in scenarios() {
        let rules: [Box<dyn Rule>; 4] = [
            Box::new(HpaLike::new(&scenario)),
            Box::new(KpaLike::new(&scenario)),
            Box::new(OneByOne::new(&scenario)),
            Box::new(Ours::new(&scenario)),
        ];
        for mut rule in rules {
            let name = rule.name();
            rows.push(Row {
                scenario: scenario.name,
                startup: scenario.startup,
                rule: name,
                outcome: run(&scenario, rule.as_mut()),
            });
        }
    }
    rows
}

#[cfg(test)]
mod tests;
