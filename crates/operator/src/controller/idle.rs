//! Whether a rollout waits for a moment without utterances: a pure decision on what the fleet was like a moment ago.

use std::time::Duration;

use jiff::Timestamp;

use super::fleet::{Snapshot, Told};
use super::pods::Pods;
use super::rollout::Rollout;

/// How old a snapshot may be: two of a fleet's rounds. Later, an utterance may have begun that it does not have.
const FRESH: Duration = Duration::from_secs(10);

/// What a rollout waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Rollouts of other endpoints (`--max-rollouts`).
    Others,
    /// A moment without utterances (`rollout.waitForIdleSeconds`).
    Idle {
        /// Why this is none.
        busy: Busy,
        /// It begins then in any case.
        until: Timestamp,
    },
}

/// Why a moment is not idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// Utterances are queued, running or spoken: so many in all replicas.
    Utterances(usize),
    /// The load of so many ready replicas is not known.
    Unknown(usize),
}

/// An endpoint as it is seen.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// Its pods.
    pub pods: &'a Pods,
    /// How far its Deployment has come.
    pub rollout: Option<&'a Rollout>,
    /// What its pods told.
    pub snapshot: &'a Snapshot,
    /// How long ago they did.
    pub age: Option<Duration>,
}

/// Why a rollout that has been wanted `since` may not begin `now`; it waits for `longest` at most. Without a ready
/// replica there is nothing to protect, and where replicas of the present template do not start, the new one may be
/// the cure.
pub fn wait(
    moment: Moment<'_>,
    longest: Duration,
    since: Timestamp,
    now: Timestamp,
) -> Option<Wait> {
    let until = since.checked_add(longest).unwrap_or(Timestamp::MAX);
    if now >= until || moment.pods.ready.is_empty() || is_broken(moment) {
        return None;
    }
    // What was seen before the rollout was wanted is older than what happened since. A status has whole seconds.
    let waited = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    let waited = waited.saturating_sub(Duration::from_secs(1));
    busy(moment, waited.min(FRESH)).map(|busy| Wait::Idle { busy, until })
}

/// Whether an older rollout goes on whose replicas do not start.
fn is_broken(moment: Moment<'_>) -> bool {
    moment.rollout.is_some_and(|rollout| {
        let has_trouble = moment.pods.broken > 0 || moment.pods.trouble.is_some();
        rollout.stuck.is_some() || (rollout.is_going_on() && has_trouble)
    })
}

/// Utterances that are known count more than what is not known, which is all that was seen longer than `fresh` ago.
fn busy(moment: Moment<'_>, fresh: Duration) -> Option<Busy> {
    let ready = &moment.pods.ready;
    if moment.age.is_none_or(|age| age > fresh) {
        return Some(Busy::Unknown(ready.len()));
    }
    let (mut utterances, mut unknown) = (0_usize, 0);
    for pod in ready {
        match moment.snapshot.told.get(&pod.name) {
            Some(Told::Load(load)) => {
                for more in [load.queued, load.running, load.open_streams] {
                    utterances = utterances.saturating_add(more);
                }
            }
            Some(Told::Silent { .. }) | None => unknown += 1,
        }
    }
    match (utterances, unknown) {
        (0, 0) => None,
        (0, unknown) => Some(Busy::Unknown(unknown)),
        (utterances, _) => Some(Busy::Utterances(utterances)),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::Deployment;
    use serde_json::{Value, json};
    use telemetry::load::LoadReport;

    use super::*;
    use crate::controller::pods::{ReadyPod, Trouble};
    use crate::controller::reason::Reason;

    const LONGEST: Duration = Duration::from_secs(60);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1000 + second).unwrap()
    }

    fn ready(names: &[&str]) -> Pods {
        let pod = |name: &&str| ReadyPod {
            name: (*name).to_owned(),
            ip: String::new(),
            startup: None,
            may_be_asked: true,
            deletion_cost: None,
        };
        Pods {
            ready: names.iter().map(pod).collect(),
            ..Pods::default()
        }
    }

    fn told(loads: &[(&str, Option<LoadReport>)]) -> Snapshot {
        let told = |(name, load): &(&str, Option<LoadReport>)| {
            let told = match load {
                Some(load) => Told::Load(Box::new(load.clone())),
                None => Told::Silent {
                    since: Duration::ZERO,
                },
            };
            ((*name).to_owned(), told)
        };
        Snapshot {
            told: loads.iter().map(told).collect(),
            ..Snapshot::default()
        }
    }

    fn rollout(status: &Value) -> Rollout {
        let deployment: Deployment =
            serde_json::from_value(json!({"metadata": {"generation": 2}, "status": status}))
                .unwrap();
        Rollout::of(&deployment)
    }

    /// Why the rollout waits 30 s after it was wanted.
    fn why(pods: &Pods, snapshot: &Snapshot, age: u64) -> Option<Busy> {
        let moment = Moment {
            pods,
            rollout: None,
            snapshot,
            age: Some(Duration::from_secs(age)),
        };
        wait(moment, LONGEST, at(0), at(30)).map(|wait| match wait {
            Wait::Idle { busy, until } => {
                assert_eq!(until, at(60));
                busy
            }
            Wait::Others => panic!("no other endpoint is known here"),
        })
    }

    #[test]
    fn whatever_a_client_waits_for_or_says_is_not_idle() {
        let idle = LoadReport::default();
        let (queued, running, spoken) = (
            LoadReport {
                queued: 2,
                ..LoadReport::default()
            },
            LoadReport {
                running: 1,
                ..LoadReport::default()
            },
            LoadReport {
                open_streams: 1,
                ..LoadReport::default()
            },
        );
        let pods = ready(&["a", "b"]);
        let with =
            |load: &LoadReport| told(&[("a", Some(idle.clone())), ("b", Some(load.clone()))]);
        assert_eq!(why(&pods, &with(&idle), 0), None);
        assert_eq!(why(&pods, &with(&queued), 0), Some(Busy::Utterances(2)));
        assert_eq!(why(&pods, &with(&running), 0), Some(Busy::Utterances(1)));
        assert_eq!(why(&pods, &with(&spoken), 0), Some(Busy::Utterances(1)));
    }

    #[test]
    fn what_is_not_known_is_not_idle() {
        let idle = || Some(LoadReport::default());
        let pods = ready(&["a", "b"]);
        let all = told(&[("a", idle()), ("b", idle())]);
        assert_eq!(why(&pods, &all, 10), None);
        assert_eq!(why(&pods, &all, 11), Some(Busy::Unknown(2)), "too old");
        let moment = Moment {
            pods: &pods,
            rollout: None,
            snapshot: &all,
            age: Some(Duration::from_secs(3)),
        };
        assert!(
            wait(moment, LONGEST, at(0), at(3)).is_some(),
            "older than the wish"
        );
        assert!(wait(moment, LONGEST, at(0), at(4)).is_none());
        let silent = told(&[("a", idle()), ("b", None)]);
        assert_eq!(why(&pods, &silent, 0), Some(Busy::Unknown(1)));
        let new = told(&[("a", idle())]);
        assert_eq!(why(&pods, &new, 0), Some(Busy::Unknown(1)), "a pod more");
    }

    #[test]
    fn it_ends_in_time_and_protects_no_endpoint_that_does_not_serve() {
        let pods = ready(&["a"]);
        let busy = told(&[(
            "a",
            Some(LoadReport {
                running: 1,
                ..LoadReport::default()
            }),
        )]);
        let waits = |pods: &Pods, rollout: Option<&Rollout>, second: i64| {
            let moment = Moment {
                pods,
                rollout,
                snapshot: &busy,
                age: Some(Duration::ZERO),
            };
            wait(moment, LONGEST, at(0), at(second)).is_some()
        };
        assert!(waits(&pods, None, 59));
        assert!(!waits(&pods, None, 60));
        assert!(!waits(&ready(&[]), None, 0));
        let going_on = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1});
        assert!(waits(&pods, Some(&rollout(&going_on)), 0));
        let stuck = json!({"observedGeneration": 2, "conditions": [
            {"type": "Progressing", "status": "False", "message": "too long"}]});
        assert!(!waits(&pods, Some(&rollout(&stuck)), 0));
        let broken = Pods {
            trouble: Some(Trouble {
                reason: Reason::CrashLooping,
                message: String::new(),
            }),
            broken: 1,
            ..pods
        };
        assert!(!waits(&broken, Some(&rollout(&going_on)), 0));
        assert!(waits(&broken, None, 0), "no rollout: another replica fails");
    }
}
