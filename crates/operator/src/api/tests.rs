//! What the definition says, and what it makes of objects, as the API server would.

mod cases;
mod grown;

use kube::core::cel;
use kube::{CustomResourceExt, ResourceExt};
use serde_json::{Value, json};

use super::{WyomingStt, crd_yaml};

/// An object whose spec is a model and `more`.
fn object(more: &Value) -> WyomingStt {
    let mut spec = json!({"model": {"name": "base"}});
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    serde_json::from_value(json!({
        "apiVersion": "wyoming-stt.dev/v1alpha1",
        "kind": "WyomingStt",
        "metadata": {"name": "kitchen", "namespace": "home"},
        "spec": spec,
    }))
    .unwrap()
}

fn checked(result: &Result<(), cel::ValidationErrors>, refused: Option<&str>, about: &Value) {
    match (result, refused) {
        (Ok(()), None) => {}
        (Err(errors), Some(words)) => {
            let text = errors.to_string();
            assert!(text.contains(words), "{about}: {text}");
        }
        (Ok(()), Some(words)) => panic!("{about} was accepted, not refused for {words:?}"),
        (Err(errors), None) => panic!("{about} was refused: {errors}"),
    }
}

#[test]
fn the_manifest_has_the_bytes_that_the_program_prints() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../manifests/crd.yaml");
    let file = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        file == crd_yaml(),
        "run: wyoming-stt-operator crd > manifests/crd.yaml"
    );
}

#[test]
fn the_definition_is_small_enough_for_client_side_apply() {
    assert!(crd_yaml().len() < 200_000, "{} bytes", crd_yaml().len());
}

/// The part of the definition under `path`, such as `spec.model`.
fn schema_of(path: &str) -> Value {
    let crd = serde_json::to_value(WyomingStt::crd()).unwrap();
    let mut schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    for part in path.split('.') {
        schema = schema["properties"][part].clone();
    }
    schema
}

#[test]
fn the_schema_holds_defaults_and_bounds() {
    assert_eq!(schema_of("spec.capacity.maxQueue")["default"], 16);
    assert_eq!(
        schema_of("spec.capacity.maxQueue")["maximum"].as_f64(),
        Some(1024.0)
    );
    assert_eq!(
        schema_of("spec.capacity")["default"]["queueTimeoutSeconds"],
        25
    );
    assert_eq!(schema_of("spec.device")["default"]["type"], "Cpu");
    assert_eq!(
        schema_of("spec.device.type")["enum"],
        json!(["Cpu", "Cuda"])
    );
    assert_eq!(schema_of("spec.model.name")["maxLength"], 128);
    assert_eq!(
        schema_of("spec.podTemplate")["x-kubernetes-preserve-unknown-fields"],
        true
    );
    // It is there when it is written, and only then.
    assert!(schema_of("spec.http").get("default").is_none());
    assert_eq!(schema_of("spec.http.port")["default"], 8080);
    assert_eq!(
        schema_of("status.conditions")["x-kubernetes-list-type"],
        "map"
    );
    assert_eq!(
        schema_of("status.conditions")["x-kubernetes-list-map-keys"],
        json!(["type"])
    );
    assert_eq!(
        schema_of("spec.language.allowed")["x-kubernetes-list-type"],
        "set"
    );
}

/// Lists, maps and texts without a bound, under our own part of the spec: CEL's cost is estimated from bounds.
fn without_bound(path: &str, schema: &Value, found: &mut Vec<String>) {
    let is = |name: &str| schema["type"] == name;
    let has = |name: &str| schema.get(name).is_some();
    let open = (is("array") && !has("maxItems"))
        || (is("string") && !has("maxLength") && !has("enum") && !has("pattern"));
    if open {
        found.push(path.to_owned());
    }
    // Kubernetes' own types bound nothing, and no rule of ours looks into them.
    let foreign = [
        "tolerations",
        "topologySpreadConstraints",
        "imagePullSecrets",
        "podSelector",
        "namespaceSelector",
    ];
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        if !foreign.contains(&name.as_str()) {
            without_bound(&format!("{path}.{name}"), field, found);
        }
    }
    if is("array") && schema["items"].is_object() {
        without_bound(&format!("{path}[]"), &schema["items"], found);
    }
}

#[test]
fn every_list_and_text_has_a_bound() {
    let mut found = Vec::new();
    without_bound("spec", &schema_of("spec"), &mut found);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn the_definition_has_its_names_columns_and_subresources() {
    let crd = WyomingStt::crd();
    assert_eq!(crd.name_any(), "wyomingstts.wyoming-stt.dev");
    let names = crd.spec.names;
    assert_eq!(names.short_names, Some(vec!["wstt".to_owned()]));
    assert_eq!(names.categories, Some(vec!["wyoming".to_owned()]));
    let version = crd.spec.versions.first().unwrap();
    let columns = version.additional_printer_columns.as_ref().unwrap();
    let columns: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(
        columns,
        [
            "Model",
            "Device",
            "Replicas",
            "Available",
            "Queue",
            "Ready",
            "Reason",
            "Age",
            "Endpoint"
        ]
    );
    let subresources = version.subresources.as_ref().unwrap();
    let scale = subresources.scale.as_ref().unwrap();
    assert_eq!(
        scale.label_selector_path.as_deref(),
        Some(".status.selector")
    );
    assert!(subresources.status.is_some());
}

#[test]
fn a_pod_template_is_understood_or_its_mistake_is_named() {
    let parse = |template: Value| {
        let object = object(&json!({"podTemplate": template}));
        object.spec.pod_template.unwrap().parse()
    };
    assert!(parse(json!({"spec": {"containers": [{"name": "server", "env": [{"name": "A", "value": "b"}]}]}})).is_ok());
    assert!(parse(json!({"spec": {"containers": []}})).is_ok());
    for (template, words) in [
        (json!({"spec": {"hostname": 3}}), "not understood"),
        (
            json!({"spec": {"containers": [], "nodeSelectr": {"a": "b"}}}),
            "podTemplate.spec.nodeSelectr",
        ),
        (
            json!({"spec": {"containers": [{"name": "server", "envs": [1]}]}}),
            "podTemplate.spec.containers[0].envs",
        ),
    ] {
        let error = parse(template).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

fn manifest(path: &str) -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../manifests/");
    std::fs::read_to_string(format!("{root}{path}")).unwrap()
}

#[test]
fn every_example_is_accepted() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../manifests/examples");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let object: WyomingStt =
            serde_saphyr::from_str(&manifest(&format!("examples/{name}"))).unwrap();
        checked(&cel::validate_cel(&object), None, &json!(name));
        names.push(name);
    }
    assert!(names.len() >= 7, "{names:?}");
}

#[test]
fn the_operators_role_has_no_wildcard_no_secrets_and_no_commands_in_pods() {
    let text = manifest("install.yaml");
    for word in [
        "*",
        "secrets",
        "exec",
        "customresourcedefinitions",
        "impersonate",
        "escalate",
    ] {
        assert!(!text.contains(word), "install.yaml has {word}");
    }
}
