//! The table of inputs that the schema cannot refuse.

use serde_json::{Value, json};

use super::*;
use crate::controller::testing::{defaults, object};

fn with(more: &Value) -> WyomingStt {
    let mut spec = json!({"model": {"name": "base"}});
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    object(&spec)
}

fn server(more: &Value) -> Value {
    let mut container = json!({"name": "server"});
    for (field, value) in more.as_object().unwrap() {
        container[field] = value.clone();
    }
    json!({"podTemplate": {"spec": {"containers": [container]}}})
}

#[test]
fn a_port_of_a_home_assistant_that_cannot_be_is_named() {
    let home = json!({"url": "http://hass:81230", "tokenSecretRef": {"name": "a", "key": "b"}});
    let object = with(&json!({"names": {"homeAssistant": home}}));
    let faults = validate(&object, &defaults()).unwrap_err();
    assert_eq!(faults[0].reason, "NamesInvalid");
    assert!(
        faults[0].message.contains("http://hass:81230"),
        "{faults:?}"
    );
}

#[test]
fn an_api_without_keys_that_is_open_to_the_outside_is_warned_of() {
    let reasons = |more: &Value| -> Vec<Reason> {
        let stt = validate(&with(more), &defaults()).unwrap();
        stt.warnings.iter().map(|warning| warning.reason).collect()
    };
    let open = json!({"http": {}, "service": {"type": "NodePort"}});
    assert_eq!(reasons(&open), ["HttpWithoutKeys"]);
    let keys = json!({"keysSecretRef": {"name": "api-keys", "key": "keys"}});
    let policy = |mode: &str, from: Value| json!({"http": {}, "service": {"type": "LoadBalancer"}, "networkPolicy": {"mode": mode, "from": from}});
    let home = json!([{"cidr": "192.168.1.0/24"}]);
    assert_eq!(
        reasons(&policy("Disabled", home.clone())),
        ["HttpWithoutKeys"]
    );
    assert_eq!(reasons(&policy("Ingress", json!([]))), ["HttpWithoutKeys"]);
    for closed in [
        json!({"http": {}}),
        json!({"http": keys, "service": {"type": "LoadBalancer"}}),
        policy("Ingress", home),
        json!({"service": {"type": "LoadBalancer"}}),
    ] {
        assert_eq!(reasons(&closed), Vec::<Reason>::new(), "{closed}");
    }
}

#[test]
fn what_cannot_work_has_a_reason_and_a_sentence() {
    for (spec, reason, words) in [
        (
            json!({"cache": {"hostPath": {"path": "/srv"}}}),
            "HostPathNotAllowed",
            "--allow-host-path",
        ),
        (
            json!({"replicas": 2, "cache": {"volumeClaimTemplate": {"size": "1Gi", "accessModes": ["ReadWriteOncePod"]}}}),
            "VolumeNotShared",
            "ReadWriteMany",
        ),
        (
            json!({"autoscaling": {"minReplicas": 0, "maxReplicas": 3}}),
            "ScaleToZeroUnsupported",
            "at least 1",
        ),
        (
            json!({"model": {"name": "bse"}}),
            "ModelUnknown",
            "OWNER/NAME",
        ),
        (
            json!({"device": {"type": "Cuda"}, "resources": {"limits": {"nvidia.com/gpu": 1}}}),
            "ResourcesInvalid",
            "device.gpu",
        ),
        (
            json!({"podTemplate": {"spec": {"hostNetwork": true}}}),
            "PodTemplateInvalid",
            "hostNetwork",
        ),
        (
            json!({"podTemplate": {"spec": {"hostPID": true}}}),
            "PodTemplateInvalid",
            "hostPID",
        ),
        (
            json!({"podTemplate": {"spec": {"hostIPC": true}}}),
            "PodTemplateInvalid",
            "hostIPC",
        ),
        (
            json!({"podTemplate": {"spec": {"contaners": [1]}}}),
            "PodTemplateInvalid",
            "podTemplate.spec.contaners",
        ),
        (
            json!({"podTemplate": {"spec": "text"}}),
            "PodTemplateInvalid",
            "not understood",
        ),
        (
            json!({"podTemplate": {"metadata": {"labels": {"app.kubernetes.io/name": "x"}}}}),
            "PodTemplateInvalid",
            "app.kubernetes.io/name",
        ),
        (
            json!({"podTemplate": {"spec": {"volumes": [{"name": "etc", "hostPath": {"path": "/etc"}}]}}}),
            "PodTemplateInvalid",
            "etc is a hostPath",
        ),
        (
            server(&json!({"command": ["sh"]})),
            "PodTemplateInvalid",
            "command and args",
        ),
        (
            server(&json!({"args": ["x"]})),
            "PodTemplateInvalid",
            "command and args",
        ),
        (
            server(&json!({"image": "x"})),
            "PodTemplateInvalid",
            "spec.image",
        ),
        (
            server(&json!({"securityContext": {"privileged": true}})),
            "PodTemplateInvalid",
            "privileged",
        ),
        (
            json!({"podTemplate": {"spec": {"initContainers": [{"name": "i", "securityContext": {"allowPrivilegeEscalation": true}}]}}}),
            "PodTemplateInvalid",
            "i must be neither",
        ),
    ] {
        let faults = validate(&with(&spec), &defaults()).unwrap_err();
        assert_eq!(faults.len(), 1, "{spec}: {faults:?}");
        assert_eq!(faults[0].reason, reason, "{spec}");
        assert!(
            faults[0].message.contains(words),
            "{spec}: {}",
            faults[0].message
        );
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let object = with(&json!({
        "model": {"name": "bse"},
        "cache": {"hostPath": {"path": "/srv"}},
        "podTemplate": {"spec": {"hostPID": true}},
    }));
    let reasons: Vec<Reason> = validate(&object, &defaults())
        .unwrap_err()
        .iter()
        .map(|fault| fault.reason)
        .collect();
    assert_eq!(
        reasons,
        ["HostPathNotAllowed", "ModelUnknown", "PodTemplateInvalid"]
    );
}

#[test]
fn host_paths_work_where_the_operator_allows_them() {
    let defaults = Defaults {
        allow_host_path: true,
        ..defaults()
    };
    let object = with(&json!({
        "cache": {"hostPath": {"path": "/srv"}},
        "podTemplate": {"spec": {"volumes": [{"name": "more", "hostPath": {"path": "/more"}}]}},
    }));
    assert!(validate(&object, &defaults).is_ok());
}

#[test]
fn what_works_and_may_not_be_meant_is_a_warning() {
    let object = with(&json!({
        "replicas": 2,
        "cache": {"volumeClaimTemplate": {"size": "1Gi"}},
        "capacity": {"queueTimeoutSeconds": 300},
        "lifecycle": {"terminationGracePeriodSeconds": 300},
    }));
    let warnings = validate(&object, &defaults()).unwrap().warnings;
    let reasons: Vec<Reason> = warnings.iter().map(|fault| fault.reason).collect();
    assert_eq!(reasons, ["VolumeOnOneNode", "QueueTimeoutTooLong"]);
}

#[test]
fn defaults_follow_the_device() {
    let policy = |device: &str| {
        let object = with(&json!({"device": {"type": device}, "autoscaling": {"maxReplicas": 4}}));
        let stt = validate(&object, &defaults()).unwrap();
        let Replicas::Auto(auto) = stt.replicas else {
            panic!("no policy")
        };
        (
            stt.slots,
            auto.policy.target_depth,
            auto.policy.down.stabilization.as_secs(),
            stt.image,
        )
    };
    assert_eq!(policy("Cpu"), (1, 1, 300, "wyoming-stt:0.1.0".to_owned()));
    assert_eq!(
        policy("Cuda"),
        (4, 4, 600, "wyoming-stt:0.1.0-cuda".to_owned())
    );
}

#[test]
fn names_of_models_lead_to_the_hub() {
    let repo = |name: &str| {
        let stt = validate(&with(&json!({"model": {"name": name}})), &defaults()).unwrap();
        let ModelFiles::Hub { repo, .. } = stt.model else {
            panic!("no hub")
        };
        repo
    };
    assert_eq!(repo("base.en"), "openai/whisper-base.en");
    assert_eq!(repo("org/model"), "org/model");
}

#[test]
fn what_autoscaling_asks_for_is_taken_over_and_a_bad_schedule_is_named() {
    let given = |schedule: &str| {
        json!({"model": {"name": "demo"}, "capacity": {"queueTimeoutSeconds": 20}, "autoscaling": {
            "maxReplicas": 9, "spare": 12, "target": {"waitSeconds": 4, "share": 95},
            "schedules": [{"cron": schedule, "minReplicas": 3, "timeZone": "Europe/Berlin"}]}})
    };
    let stt = validate(&object(&given("0 7 * * 1-5")), &defaults()).unwrap();
    let Replicas::Auto(auto) = stt.replicas else {
        panic!("{:?}", stt.replicas);
    };
    let policy = &auto.policy;
    assert_eq!((policy.spare, policy.deadline.as_secs()), (12, 20));
    assert_eq!(policy.target.wait.as_secs(), 4);
    assert!((policy.target.share - 0.95).abs() < 1e-9);
    assert_eq!(auto.schedules[0].min, 3);
    let faults = validate(&object(&given("0 25 * * *")), &defaults()).unwrap_err();
    assert_eq!(faults[0].reason, "ScheduleInvalid");
    assert!(faults[0].message.contains("schedules[0]"), "{faults:?}");
}
