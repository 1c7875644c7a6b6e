//! Troubles that a fleet has, each as a case with the figure to look at.

use std::time::Duration;

use super::load::{at_once, steady, step};
use super::{Ailment, Balance, Load, Scenario, Silence};

/// A trouble, and what to reach in it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The fleet and its load.
    pub scenario: Scenario,
    /// What it shows.
    pub about: &'static str,
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// An hour of `rate` a second, then a night of ten hours with little.
fn evening_and_night(rate: f64) -> Load {
    Load::new(
        vec![(0.0, 0.3), (300.0, rate), (3900.0, 0.1)],
        seconds(39_900),
        Some(11),
    )
}

/// All of them.
pub fn cases() -> Vec<Case> {
    [
        of_pods(),
        of_silence(),
        of_room(),
        of_rush(),
        of_steady_load(),
    ]
    .concat()
}

fn case(about: &'static str, scenario: Scenario) -> Case {
    Case { scenario, about }
}

fn sick(name: &'static str, ailment: Ailment) -> Scenario {
    Scenario {
        first: 4,
        min: 4,
        ailments: vec![(2, ailment)],
        ..Scenario::product(name, steady(0.4, 3600, 5), 60)
    }
}

/// Pods that do not do their part.
fn of_pods() -> Vec<Case> {
    vec![
        case(
            "an evening's peak and a night; one pod never becomes ready",
            Scenario {
                ailments: vec![(5, Ailment::NeverReady)],
                ..Scenario::product("broken pod", evening_and_night(4.0), 60)
            },
        ),
        case(
            "the same; all become ready",
            Scenario::product("evening, night", evening_and_night(4.0), 60),
        ),
        case(
            "one of four takes work and never answers",
            sick("mute replica", Ailment::Mute { from: seconds(300) }),
        ),
        case(
            "one of four takes ten times as long",
            sick(
                "slow replica",
                Ailment::Slow {
                    from: seconds(300),
                    factor: 10.0,
                },
            ),
        ),
    ]
}

/// Pods that do not tell their load.
fn of_silence() -> Vec<Case> {
    vec![
        case(
            "no pod tells its load, from the beginning",
            Scenario {
                silence: Silence::All(Duration::ZERO),
                ..Scenario::product("all silent", step(), 60)
            },
        ),
        case(
            "every second pod does not tell its load",
            Scenario {
                silence: Silence::Half(Duration::ZERO),
                ..Scenario::product("half silent", step(), 60)
            },
        ),
        case(
            "all tell their load",
            Scenario::product("none silent", step(), 60),
        ),
    ]
}

/// Pods that find no place.
fn of_room() -> Vec<Case> {
    vec![
        case(
            "a node for each GPU comes after 60 s",
            Scenario {
                node_start: Some(seconds(60)),
                ..Scenario::product("nodes, 60 s", steady(8.5, 3600, 3), 60)
            },
        ),
        case(
            "a node for each GPU comes after 180 s",
            Scenario {
                node_start: Some(seconds(180)),
                ..Scenario::product("nodes, 180 s", steady(8.5, 5400, 3), 60)
            },
        ),
        case(
            "a quota of 6 pods where more are wanted",
            Scenario {
                quota: Some(6),
                ..Scenario::product("quota", steady(4.0, 1800, 3), 60)
            },
        ),
    ]
}

/// More than can be done.
fn of_rush() -> Vec<Case> {
    vec![
        case(
            "as many as no number of replicas can take",
            Scenario {
                first: 4,
                ..Scenario::product("500 at once", at_once(1.2, 500, 600.0, 1.2, 1800), 60)
            },
        ),
        case(
            "more than all can do, from the beginning: what a replica is believed to do",
            Scenario {
                max: 4,
                gpus: 4,
                first: 4,
                ..Scenario::product("overload", steady(3.0, 1800, 3), 60)
            },
        ),
        case(
            "100 at once after a night",
            Scenario::product("07:00", at_once(0.02, 100, 7200.0, 0.3, 9000), 60),
        ),
        case(
            "the same with room kept for them",
            Scenario {
                spare: 100,
                ..Scenario::product("07:00, spare", at_once(0.02, 100, 7200.0, 0.3, 9000), 60)
            },
        ),
        case(
            "the same with 18 replicas by schedule",
            Scenario {
                schedule: Some((seconds(7200), seconds(9000), 18)),
                ..Scenario::product("07:00, schedule", at_once(0.02, 100, 7200.0, 0.3, 9000), 60)
            },
        ),
    ]
}

/// What a load costs that does not change.
fn of_steady_load() -> Vec<Case> {
    vec![
        case(
            "GPUs that recognise eight in little more than the time of one",
            Scenario {
                slots: 8,
                batch_cost: 0.1,
                target_depth: 8,
                ..Scenario::product("batches", steady(4.0, 7200, 3), 60)
            },
        ),
        case(
            "steady load by chance, a Service",
            Scenario {
                first: 10,
                ..Scenario::product("steady, random", steady(3.0, 14_400, 21), 60)
            },
        ),
        case(
            "the same with the least loaded",
            Scenario {
                first: 10,
                balance: Balance::LeastLoaded,
                ..Scenario::product("steady, least", steady(3.0, 14_400, 21), 60)
            },
        ),
    ]
}
