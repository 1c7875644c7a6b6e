//! Conditions by what was seen.

use serde_json::{Value, json};

use super::*;
use crate::controller::idle::{Busy, Wait};
use crate::controller::pods::Pods;
use crate::controller::pods::{ReadyPod, Trouble};
use crate::controller::reason::Reason;
use crate::controller::rollout::Rollout;
use crate::controller::testing::{defaults, object};
use crate::controller::validate::validate;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn ready_pods(count: usize) -> Pods {
    let pod = |index| ReadyPod {
        name: format!("pod-{index}"),
        ip: "10.0.0.1".to_owned(),
        startup: None,
        may_be_asked: true,
        deletion_cost: None,
    };
    Pods {
        ready: (0..count).map(pod).collect(),
        ..Pods::default()
    }
}

struct Given {
    spec: Value,
    pods: Pods,
    deployment: Value,
    is_paused: bool,
    refusal: Option<Fault>,
    decision: Option<Decision>,
    wait: Option<Wait>,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            spec: json!({"model": {"name": "demo"}}),
            pods: ready_pods(1),
            deployment: json!({}),
            is_paused: false,
            refusal: None,
            decision: None,
            wait: None,
        }
    }
}

impl Given {
    fn status(&self) -> WyomingSttStatus {
        let object = object(&self.spec);
        let valid = validate(&object, &defaults());
        let deployment: k8s_openapi::api::apps::v1::Deployment =
            serde_json::from_value(self.deployment.clone()).unwrap();
        status(&Facts {
            operator: "home/lease",
            object: &object,
            before: None,
            is_paused: self.is_paused,
            wait: self.wait.as_ref(),
            valid: valid.as_ref().map_err(Vec::as_slice),
            rollout: Some(&Rollout::of(&deployment)),
            pods: &self.pods,
            reports: &[],
            decision: self.decision.as_ref(),
            refusal: self.refusal.clone(),
            now: NOW,
        })
    }

    fn message(&self, type_: &str) -> String {
        let all = self.status().conditions;
        let found = all.into_iter().find(|condition| condition.type_ == type_);
        found.unwrap().message
    }

    fn check(&self, type_: &str, status: &str, reason: &str) {
        let all = self.status().conditions;
        let found = all
            .iter()
            .find(|condition| condition.type_ == type_)
            .unwrap();
        assert_eq!(
            (found.status.as_str(), found.reason.as_str()),
            (status, reason),
            "{found:?}"
        );
        assert_eq!(found.observed_generation, Some(3));
        assert!(!found.message.is_empty(), "{found:?}");
    }
}

fn trouble(reason: &str) -> Pods {
    Pods {
        starting: 1,
        trouble: Some(Trouble {
            reason: Reason::named(reason),
            message: "said by the node".to_owned(),
        }),
        ..Pods::default()
    }
}

#[test]
fn the_base_url_of_an_api_is_told() {
    let spec = json!({"model": {"name": "demo"}, "http": {"port": 80}});
    let status = Given {
        spec,
        ..Given::default()
    }
    .status();
    let url = status.endpoint.unwrap().api_url;
    assert_eq!(url.as_deref(), Some("http://kitchen.home.svc:80/v1"));
}

#[test]
fn a_served_endpoint_is_ready() {
    let given = Given::default();
    given.check("Ready", "True", "Reconciled");
    given.check("Available", "True", "ReplicasReady");
    given.check("SpecValid", "True", "Valid");
    given.check("Progressing", "False", "Settled");
    given.check("ModelReady", "True", "Loaded");
    given.check("AutoscalingActive", "False", "NotConfigured");
    given.check("CapacityLimited", "False", "Fits");
    let status = given.status();
    let endpoint = status.endpoint.unwrap();
    assert_eq!(endpoint.host, "kitchen.home.svc");
    assert_eq!(endpoint.api_url, None);
    assert!(
        status
            .selector
            .unwrap()
            .contains("app.kubernetes.io/instance=kitchen")
    );
}

#[test]
fn a_spec_that_cannot_work_says_why_and_keeps_what_serves() {
    let given = Given {
        spec: json!({"model": {"name": "demo"}, "cache": {"hostPath": {"path": "/srv"}}}),
        ..Given::default()
    };
    given.check("Ready", "False", "HostPathNotAllowed");
    given.check("SpecValid", "False", "HostPathNotAllowed");
    given.check("Available", "True", "ReplicasReady");
}

#[test]
fn what_keeps_pods_from_starting_is_told() {
    for reason in [
        "ImagePullFailed",
        "CrashLooping",
        "ContainerFailed",
        "PodsUnschedulable",
    ] {
        let given = Given {
            pods: trouble(reason),
            ..Given::default()
        };
        given.check("Ready", "False", reason);
        given.check("Available", "False", reason);
        given.check("ModelReady", "False", "NotLoaded");
    }
    let starting = Given {
        pods: Pods {
            starting: 1,
            ..Pods::default()
        },
        ..Given::default()
    };
    starting.check("Ready", "False", "Starting");
    starting.check("Progressing", "True", "ReplicasStarting");
}

#[test]
fn a_model_that_does_not_load_says_why_and_what_to_change() {
    let hub = json!({"model": {"name": "base"}});
    let volume = json!({"model": {"name": "base", "source": {"persistentVolumeClaim": {"claimName": "models"}}}});
    for (spec, reason) in [(hub, "ModelDownloadFailed"), (volume, "ModelLoadFailed")] {
        let given = Given {
            spec,
            pods: trouble("ModelLoadFailed"),
            ..Given::default()
        };
        given.check("Ready", "False", reason);
        given.check("ModelReady", "False", reason);
        assert!(given.message("ModelReady").starts_with("said by the node"));
    }
}

#[test]
fn a_new_spec_that_does_not_start_is_told_while_the_older_one_serves() {
    let given = Given {
        spec: json!({"model": {"name": "base"}}),
        pods: Pods {
            ready: ready_pods(1).ready,
            ..trouble("ModelLoadFailed")
        },
        deployment: json!({"status": {"replicas": 2, "updatedReplicas": 1}}),
        ..Given::default()
    };
    given.check("Ready", "True", "ModelDownloadFailed");
    given.check("Progressing", "True", "ModelDownloadFailed");
    given.check("Available", "True", "ReplicasReady");
    assert!(
        given
            .message("Ready")
            .starts_with("replicas of the older spec serve")
    );
}

#[test]
fn every_trouble_of_a_pod_has_a_sentence_of_advice() {
    for (reason, words) in [
        ("PodsUnschedulable", "add nodes"),
        ("ImagePullFailed", "spec.image"),
        ("ContainerFailed", "secrets and volumes"),
        ("CrashLooping", "log"),
        ("SettingsRefused", "field"),
        ("OutOfMemory", "resources.limits.memory"),
        ("Killed", "lifecycle.startupTimeoutSeconds"),
    ] {
        let given = Given {
            pods: trouble(reason),
            ..Given::default()
        };
        given.check("Available", "False", reason);
        assert!(given.message("Available").contains(words), "{reason}");
    }
}

#[test]
fn too_little_known_takes_back_ready_and_nothing_else() {
    let before = Given::default().status();
    let object = object(&json!({"model": {"name": "demo"}}));
    let fault = Fault::new(Reason::ClusterNotReadable, "give its role list and watch");
    let now = interrupted(&object, Some(&before), &fault, NOW);
    let ready = &now.conditions[0];
    assert_eq!(
        (ready.type_.as_str(), ready.status.as_str()),
        ("Ready", "False")
    );
    assert_eq!(now.conditions[1..], before.conditions[1..]);
    assert_eq!(now.ready_replicas, before.ready_replicas);
    let again = interrupted(&object, Some(&now), &fault, NOW);
    assert_eq!(again, now);
}

#[test]
fn the_deployments_own_troubles_are_told() {
    let told = |type_: &str, status: &str, message: &str| json!({"status": {"conditions": [{"type": type_, "status": status, "message": message}]}});
    for (message, reason, advice) in [
        (
            "exceeded quota: few",
            "QuotaExceeded",
            "raise the namespace's quota",
        ),
        (
            "violates PodSecurity \"restricted\"",
            "PodSecurityViolated",
            "podTemplate",
        ),
        (
            "denied by a webhook",
            "PodsRefused",
            "change what the message names",
        ),
    ] {
        let refused = Given {
            pods: Pods::default(),
            deployment: told("ReplicaFailure", "True", message),
            ..Given::default()
        };
        refused.check("Ready", "False", reason);
        let said = refused.message("Ready");
        assert!(said.contains(message) && said.contains(advice), "{said}");
    }
    let stuck = Given {
        deployment: told("Progressing", "False", "ReplicaSet has timed out"),
        ..Given::default()
    };
    stuck.check("Progressing", "False", "StartupTimeout");
    assert!(
        stuck
            .message("Progressing")
            .contains("lifecycle.startupTimeoutSeconds")
    );
    let rolling = Given {
        deployment: json!({"status": {"replicas": 2, "updatedReplicas": 1}}),
        ..Given::default()
    };
    rolling.check("Progressing", "True", "RolloutInProgress");
}

#[test]
fn pods_without_a_node_limit_the_capacity() {
    let mut pods = ready_pods(2);
    pods.unschedulable = 3;
    let given = Given {
        pods,
        ..Given::default()
    };
    given.check("CapacityLimited", "True", "PodsUnschedulable");
    given.check("Ready", "True", "Reconciled");
    assert_eq!(
        (
            given.status().replicas,
            given.status().unschedulable_replicas
        ),
        (5, 3)
    );
}

#[test]
fn a_pause_a_refusal_and_no_replicas_are_told() {
    let paused = Given {
        spec: json!({"model": {"name": "demo"}, "autoscaling": {"maxReplicas": 2}}),
        is_paused: true,
        ..Given::default()
    };
    paused.check("Ready", "True", "Paused");
    paused.check("AutoscalingActive", "False", "Paused");
    assert_eq!(
        paused.status().autoscaling.unwrap().limited_by,
        LimitedBy::Paused
    );
    let refused = Given {
        refusal: Some(Fault {
            reason: Reason::ApplyRefused,
            message: "no".to_owned(),
        }),
        ..Given::default()
    };
    refused.check("Ready", "False", "ApplyRefused");
    let none = Given {
        spec: json!({"model": {"name": "demo"}, "replicas": 0}),
        pods: Pods::default(),
        ..Given::default()
    };
    none.check("Ready", "False", "NoReplicas");
}

#[test]
fn a_condition_keeps_its_time_until_its_status_changes() {
    let earlier = Timestamp::from_second(-500).unwrap();
    let mut first = Given::default().status();
    for condition in &mut first.conditions {
        condition.last_transition_time = Time(earlier);
    }
    let object = object(&json!({"model": {"name": "demo"}}));
    let valid = validate(&object, &defaults()).unwrap();
    let pods = Pods::default();
    let second = status(&Facts {
        operator: "home/lease",
        object: &object,
        before: Some(&first),
        is_paused: false,
        wait: None,
        valid: Ok(&valid),
        rollout: None,
        pods: &pods,
        reports: &[],
        decision: None,
        refusal: None,
        now: NOW,
    });
    let time = |type_: &str| {
        let found = second
            .conditions
            .iter()
            .find(|condition| condition.type_ == type_)
            .unwrap();
        found.last_transition_time.0
    };
    assert_eq!((time("Available"), time("SpecValid")), (NOW, earlier));
}

#[test]
fn figures_alone_are_news_twice_a_minute() {
    let with = |queue_depth: i32, desired_replicas: i32| WyomingSttStatus {
        autoscaling: Some(AutoscalingStatus {
            desired_replicas,
            queue_depth,
            ..AutoscalingStatus::default()
        }),
        ..WyomingSttStatus::default()
    };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert!(is_news(None, &with(1, 1), seconds(0)));
    assert!(!is_news(Some(&with(1, 1)), &with(1, 1), seconds(300)));
    assert!(!is_news(Some(&with(1, 1)), &with(2, 1), seconds(29)));
    assert!(is_news(Some(&with(1, 1)), &with(2, 1), seconds(30)));
    assert!(is_news(Some(&with(1, 1)), &with(1, 2), seconds(0)));
}

fn decision(change: impl FnOnce(&mut Decision)) -> Decision {
    let mut decision = Decision {
        replicas: 2,
        recommended: 2,
        limited_by: scale::LimitedBy::None,
        is_beyond_help: false,
        blind_for: None,
        figures: scale::Figures::default(),
    };
    change(&mut decision);
    decision
}

#[test]
fn what_the_autoscaler_does_not_know_or_cannot_help_is_told() {
    for (change, status, reason) in [
        (
            (|it| it.blind_for = Some(Duration::from_secs(40))) as fn(&mut Decision),
            "False",
            "MetricsSilent",
        ),
        (|it| it.figures.silent = 1, "False", "MetricsStale"),
        (|it| it.is_beyond_help = true, "True", "BeyondHelp"),
        (|_| {}, "True", "Active"),
    ] {
        let given = Given {
            spec: json!({"model": {"name": "demo"}, "autoscaling": {"maxReplicas": 5}}),
            decision: Some(decision(change)),
            ..Given::default()
        };
        given.check("AutoscalingActive", status, reason);
    }
}

#[test]
fn what_should_not_be_so_is_degraded() {
    Given::default().check("Degraded", "False", "Healthy");
    let sick = Given {
        decision: Some(decision(|it| it.figures.sick = vec!["pod-3".to_owned()])),
        ..Given::default()
    };
    sick.check("Degraded", "True", "ReplicasSick");
    let mut broken = Given::default();
    broken.pods.broken = 1;
    broken.check("Degraded", "True", "ReplicasBroken");
    let stuck = Given {
        deployment: json!({"status": {"conditions": [
            {"type": "Progressing", "status": "False", "message": "timed out"}]}}),
        ..Given::default()
    };
    stuck.check("Degraded", "True", "RolloutStuck");
}

#[test]
fn a_quota_that_is_reached_with_some_ready_limits_capacity() {
    let given = Given {
        deployment: json!({"status": {"conditions": [
            {"type": "ReplicaFailure", "status": "True", "message": "pods \"x\" is forbidden: exceeded quota: few"}]}}),
        ..Given::default()
    };
    given.check("CapacityLimited", "True", "QuotaExceeded");
}

#[test]
fn a_rollout_that_waits_says_for_what_and_until_when() {
    let given = Given {
        wait: Some(Wait::Idle {
            busy: Busy::Utterances(3),
            until: Timestamp::from_second(60).unwrap(),
        }),
        ..Given::default()
    };
    given.check("Progressing", "True", "RolloutWaitsForIdle");
    given.check("Ready", "True", "Reconciled");
    let message = given.message("Progressing");
    assert!(message.contains("until 1970-01-01T00:01:00Z"), "{message}");
    assert!(message.ends_with("spoken: 3"), "{message}");
    assert_eq!(given.status().rollout_waiting_since, Some(Time(NOW)));
    let given = Given {
        wait: Some(Wait::Others),
        ..Given::default()
    };
    given.check("Progressing", "True", "RolloutWaits");
}
