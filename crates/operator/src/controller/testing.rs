//! Objects for tests.

use serde_json::{Value, json};

use super::validate::Defaults;
use crate::api::WyomingStt;

/// An object as the API server would give it.
pub(crate) fn object(spec: &Value) -> WyomingStt {
    serde_json::from_value(json!({
        "apiVersion": "wyoming-stt.dev/v1alpha1",
        "kind": "WyomingStt",
        "metadata": {"name": "kitchen", "namespace": "home", "uid": "6f1c", "generation": 3},
        "spec": spec,
    }))
    .unwrap()
}

/// As `wyoming-stt-operator run` starts.
pub(crate) fn defaults() -> Defaults {
    Defaults {
        server_image: "wyoming-stt:0.1.0".to_owned(),
        server_image_cuda: "wyoming-stt:0.1.0-cuda".to_owned(),
        allow_host_path: false,
    }
}

/// A policy as a spec without further words has it.
pub(crate) fn policy() -> crate::scale::Policy {
    let stt = super::validate::validate(
        &object(&json!({"model": {"name": "demo"}, "autoscaling": {"maxReplicas": 4}})),
        &defaults(),
    );
    match stt.unwrap().replicas {
        super::validate::Replicas::Auto(auto) => auto.policy,
        super::validate::Replicas::Fixed(_) => unreachable!("the spec has autoscaling"),
    }
}
