//! What is built, as files that people can read, and what holds for every one of them.

use std::path::Path;

use serde_json::{Value, json};

use super::{Resources, build};
use crate::controller::testing::{defaults, object};
use crate::controller::validate::validate;

fn built(spec: &Value, replicas: u32) -> Resources {
    build(
        &validate(&object(spec), &defaults()).unwrap(),
        Some(replicas),
    )
}

fn yaml(resources: &Resources) -> String {
    let Resources {
        service_account,
        claim,
        network_policy,
        service,
        disruption_budget,
        deployment,
    } = resources;
    let values = [
        json!(service_account),
        json!(claim),
        json!(network_policy),
        json!(service),
        json!(disruption_budget),
        json!(deployment),
    ];
    let shown = values.iter().filter(|value| !value.is_null());
    let documents: Vec<String> = shown
        .map(|value| serde_saphyr::to_string(value).unwrap())
        .collect();
    documents.join("---\n")
}

/// Specs that cover every branch of the builders, by the name of their file.
fn cases() -> Vec<(&'static str, Value, u32)> {
    vec![
        ("demo", json!({"model": {"name": "demo"}}), 1),
        (
            "home-lab",
            json!({
                "model": {"name": "base"},
                "language": {"default": "de", "allowed": ["de", "en"]},
                "device": {"cpuThreads": 4},
                "decoding": {"beamSize": 5, "audioContext": "Dynamic", "initialPrompt": "Wohnzimmer"},
                "resources": {"requests": {"cpu": 2}, "limits": {"memory": "4Gi"}},
                "cache": {"volumeClaimTemplate": {"size": "10Gi", "storageClassName": "fast"}},
                "service": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "annotations": {"a": "b"}},
            }),
            1,
        ),
        (
            "gpu-fleet",
            json!({
                "model": {"name": "large-v3-turbo", "source": {"huggingFace": {
                    "revision": "0123abc", "endpoint": "https://mirror.example",
                    "tokenSecretRef": {"name": "hub", "key": "token"}}}},
                "device": {"type": "Cuda", "gpu": {"resourceName": "nvidia.com/mig-1g.10gb", "runtimeClassName": "nvidia"}},
                "autoscaling": {"minReplicas": 2, "maxReplicas": 16},
                "disruption": {"maxUnavailable": "25%"},
                "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
                "nodeSelector": {"pool": "gpu"},
                "priorityClassName": "speech",
                "imagePullSecrets": [{"name": "registry"}],
                "image": {"repository": "registry.example/stt", "tag": "1.2", "pullPolicy": "Always"},
                "networkPolicy": {"mode": "IngressAndEgress", "from": [{"cidr": "192.168.1.0/24"}, {"podSelector": {"matchLabels": {"app": "ha"}}}],
                    "modelSourceCidrs": ["10.1.0.0/16"]},
                "telemetry": {"otlpEndpoint": "http://collector:4317", "logLevel": "debug", "logFormat": "Text", "adminPort": 10391},
            }),
            3,
        ),
        (
            "names",
            json!({
                "model": {"name": "base"},
                "names": {
                    "configMapRef": {"name": "speech-names", "key": "names.txt"},
                    "homeAssistant": {"url": "https://[2001:db8::7]:8123",
                        "tokenSecretRef": {"name": "home-assistant", "key": "token"},
                        "caConfigMapRef": {"name": "home-ca", "key": "ca.crt"}},
                },
                "networkPolicy": {"mode": "IngressAndEgress"},
            }),
            1,
        ),
        (
            "api",
            json!({
                "model": {"name": "base"},
                "http": {"port": 80, "nodePort": 30080, "keysSecretRef": {"name": "api-keys", "key": "keys"}, "maxBodyMebibytes": 100},
                "service": {"type": "LoadBalancer", "nodePort": 30300},
                "networkPolicy": {"mode": "Ingress", "from": [{"cidr": "192.168.1.0/24"}]},
            }),
            1,
        ),
        (
            "gpu-claim",
            json!({
                "model": {"name": "org/model"},
                "device": {"type": "Cuda", "gpu": {"claim": {"resourceClaimTemplateName": "one-gpu", "request": "gpu"}}},
                "capacity": {"maxConcurrent": 8},
            }),
            1,
        ),
        (
            "air-gapped-image",
            json!({
                "model": {"name": "base", "source": {"image": {"reference": "registry.example/whisper-base:1", "path": "/whisper"}}},
                "serviceAccountName": "speech",
                "networkPolicy": {"mode": "Ingress"},
                "replicas": 2,
            }),
            2,
        ),
        (
            "air-gapped-volume",
            json!({
                "model": {"name": "base", "source": {"persistentVolumeClaim": {"claimName": "models", "path": "/base/"}}},
                "podTemplate": {
                    "metadata": {"annotations": {"example.com/owner": "me"}},
                    "spec": {
                        "containers": [
                            {"name": "a-sidecar", "image": "busybox"},
                            {"name": "server", "env": [{"name": "RUST_BACKTRACE", "value": "1"}]},
                        ],
                        "nodeSelector": {"disk": "ssd"},
                    },
                },
            }),
            1,
        ),
    ]
}

/// Compares with `golden/NAME.yaml`. A file that is missing is written, for a person to read.
#[test]
fn children_are_as_written_down() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/controller/build/golden");
    for (name, spec, replicas) in cases() {
        let path = folder.join(format!("{name}.yaml"));
        let now = yaml(&built(&spec, replicas));
        let Ok(then) = std::fs::read_to_string(&path) else {
            std::fs::write(&path, now).unwrap();
            panic!("{} was missing and is written: read it", path.display());
        };
        assert!(
            now == then,
            "{name} changed; remove the file to write it anew:\n{now}"
        );
    }
}

#[test]
fn pods_are_restricted_whatever_is_asked_for() {
    for (name, spec, replicas) in cases() {
        let deployment = built(&spec, replicas).deployment;
        let pod = deployment.spec.unwrap().template.spec.unwrap();
        assert_eq!(pod.automount_service_account_token, Some(false), "{name}");
        assert_eq!(pod.enable_service_links, Some(false), "{name}");
        let context = pod.security_context.unwrap();
        assert_eq!(context.run_as_non_root, Some(true), "{name}");
        let container = &pod.containers[0];
        assert_eq!(container.name, "server", "{name}");
        let context = container.security_context.clone().unwrap();
        assert_eq!(context.read_only_root_filesystem, Some(true), "{name}");
        assert_eq!(context.allow_privilege_escalation, Some(false), "{name}");
        assert_eq!(
            context.capabilities.unwrap().drop,
            Some(vec!["ALL".to_owned()]),
            "{name}"
        );
        assert_eq!(
            context.seccomp_profile.unwrap().type_,
            "RuntimeDefault",
            "{name}"
        );
    }
}

#[test]
fn every_child_goes_with_its_owner() {
    for (name, spec, replicas) in cases() {
        let documents = yaml(&built(&spec, replicas));
        for document in documents.split("---\n") {
            assert!(document.contains("uid: 6f1c"), "{name}: {document}");
            assert!(document.contains("controller: true"), "{name}: {document}");
        }
    }
}

#[test]
fn pods_reach_a_home_assistant_where_it_is() {
    let peers = |url: &str, cidrs: Value| {
        let names = json!({"homeAssistant": {"url": url, "tokenSecretRef": {"name": "hass", "key": "token"}}});
        let policy = json!({"mode": "IngressAndEgress", "homeAssistantCidrs": cidrs});
        let built = built(
            &json!({"model": {"name": "demo"}, "names": names, "networkPolicy": policy}),
            1,
        );
        json!(built.network_policy.unwrap().spec.unwrap().egress.unwrap()[1])
    };
    let on = |port: u16| json!([{"port": port, "protocol": "TCP"}]);
    assert_eq!(
        peers("http://192.0.2.7:8123", json!([])),
        json!({"to": [{"ipBlock": {"cidr": "192.0.2.7/32"}}], "ports": on(8123)})
    );
    assert_eq!(
        peers("https://hass.example", json!(["192.0.2.0/28"])),
        json!({"to": [{"ipBlock": {"cidr": "192.0.2.0/28"}}], "ports": on(443)})
    );
    assert_eq!(
        peers("http://homeassistant.local:8123", json!([])),
        json!({"ports": on(8123)})
    );
}

#[test]
fn a_drain_is_never_blocked_by_what_is_not_ready_or_by_a_single_replica() {
    let budget = built(&json!({"model": {"name": "demo"}}), 1).disruption_budget;
    let spec = budget.spec.unwrap();
    assert_eq!(
        spec.unhealthy_pod_eviction_policy.as_deref(),
        Some("AlwaysAllow")
    );
    assert_eq!(json!(spec.max_unavailable), json!(1));
}

#[test]
fn the_strategy_and_the_place_of_pods_follow_what_can_mount_the_volume() {
    let with = |cache: Value| {
        let spec = json!({"model": {"name": "base"}, "cache": cache});
        let pod = built(&spec, 1).deployment.spec.unwrap();
        let rolling = pod.strategy.unwrap().rolling_update.unwrap();
        let template = pod.template.spec.unwrap();
        (
            json!([rolling.max_surge, rolling.max_unavailable]),
            template.affinity.is_some(),
            template.topology_spread_constraints.is_some(),
        )
    };
    let claim = |mode: &str| json!({"volumeClaimTemplate": {"size": "5Gi", "accessModes": [mode]}});
    assert_eq!(with(json!({})), (json!([1, 0]), false, true));
    assert_eq!(with(claim("ReadWriteMany")), (json!([1, 0]), false, true));
    // A rollout is two pods: both on the node of the volume.
    assert_eq!(with(claim("ReadWriteOnce")), (json!([1, 0]), true, false));
    // Only one can have it, so one goes before the next comes.
    assert_eq!(
        with(claim("ReadWriteOncePod")),
        (json!([0, 1]), false, false)
    );
}

#[test]
fn a_rollout_goes_as_it_is_asked_to() {
    let spec =
        json!({"model": {"name": "demo"}, "device": {"type": "Cuda"}, "rollout": {"maxSurge": 2}});
    let rolling = built(&spec, 1).deployment.spec.unwrap().strategy.unwrap();
    let rolling = rolling.rolling_update.unwrap();
    assert_eq!(
        json!([rolling.max_surge, rolling.max_unavailable]),
        json!([2, 0])
    );
}

#[test]
fn a_large_model_fits_into_its_volume() {
    let limit = |spec: Value| {
        let pod = built(&spec, 1)
            .deployment
            .spec
            .unwrap()
            .template
            .spec
            .unwrap();
        let mut volumes = pod.volumes.unwrap().into_iter();
        volumes
            .find_map(|it| it.empty_dir)
            .unwrap()
            .size_limit
            .unwrap()
            .0
    };
    for (model, size) in [
        ("base", "5Gi"),
        ("large-v2", "12Gi"),
        ("openai/whisper-large-v3", "12Gi"),
        ("large-v3-turbo", "5Gi"),
    ] {
        assert_eq!(limit(json!({"model": {"name": model}})), size, "{model}");
    }
    let given = json!({"model": {"name": "large"}, "cache": {"emptyDir": {"sizeLimit": "7Gi"}}});
    assert_eq!(limit(given), "7Gi");
}

#[test]
fn an_api_without_keys_listens_where_the_service_leads() {
    let built = built(&json!({"model": {"name": "demo"}, "http": {}}), 1);
    let pod = built.deployment.spec.unwrap().template.spec.unwrap();
    let env = pod.containers[0].env.clone().unwrap();
    let value = |name: &str| {
        let found = env.iter().find(|it| it.name == name);
        found.and_then(|it| it.value.clone())
    };
    assert_eq!(value("STT_HTTP").as_deref(), Some("*:8080"));
    assert_eq!(value("STT_HTTP_KEYS"), None);
    assert!(pod.volumes.is_none(), "{:?}", pod.volumes);
    let ports = built.service.spec.unwrap().ports.unwrap();
    let ports: Vec<(Option<&str>, i32)> = ports
        .iter()
        .map(|port| (port.name.as_deref(), port.port))
        .collect();
    assert_eq!(ports, [(Some("wyoming"), 10300), (Some("http"), 8080)]);
    // Health is asked elsewhere.
    let probed = pod.containers[0].readiness_probe.clone().unwrap();
    assert_eq!(json!(probed.http_get.unwrap().port), json!("admin"));
}
