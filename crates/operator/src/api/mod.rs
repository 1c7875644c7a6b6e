//! The resource that users write: `WyomingStt`, group `wyoming-stt.dev`, version `v1alpha1`.
//!
//! What can be refused is refused by the schema and its CEL rules, so that no webhook is needed. Defaults
//! that depend on another field stay unset here; `validate` resolves them. Only what the server can do
//! has a field; further fields will be optional ones.

mod capacity;
mod device;
mod http;
mod model;
mod names;
mod network;
mod placement;
mod runtime;
mod scaling;
mod schema;
mod status;
mod storage;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{LocalObjectReference, Toleration, TopologySpreadConstraint};
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use serde::{Deserialize, Serialize};

pub use capacity::{Capacity, Resources};
pub use device::{Claim, Device, DeviceType, Gpu};
pub use http::HttpSettings;
pub use model::{
    AudioContext, Decoding, HuggingFace, ImageVolume, Language, Model, ModelSource, SecretKey,
    Task, VolumeSource,
};
pub use names::{ConfigMapKey, HomeAssistant, NamesSettings};
pub use network::{
    Disruption, ExternalTrafficPolicy, NetworkPolicyMode, NetworkPolicySettings, Peer,
    ServiceSettings, ServiceType, TrafficDistribution,
};
pub use placement::PodTemplate;
pub use runtime::{
    Image, Lifecycle, LogFormat, LogLevel, ManagementState, PullPolicy, RolloutSettings,
    TelemetrySettings,
};
pub use scaling::{Autoscaling, ScaleDown, ScaleUp, ScalingSchedule, ScalingTarget};
pub use status::{AutoscalingStatus, Endpoint, LimitedBy, ModelStatus, WyomingSttStatus};
pub use storage::{AccessMode, Cache, EmptyDir, ExistingClaim, HostPath, VolumeClaimTemplate};

fn one() -> i32 {
    1
}

/// A speech-to-text endpoint: replicas of the wyoming-stt server behind one Service.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "wyoming-stt.dev",
    version = "v1alpha1",
    kind = "WyomingStt",
    plural = "wyomingstts",
    singular = "wyomingstt",
    shortname = "wstt",
    category = "wyoming",
    namespaced,
    doc = "A speech-to-text endpoint: replicas of the wyoming-stt server behind one Service.",
    derive = "PartialEq",
    status = "WyomingSttStatus",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.model.name"),
    printcolumn(name = "Device", type_ = "string", json_path = ".spec.device.type"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.replicas"),
    printcolumn(name = "Available", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(
        name = "Queue",
        type_ = "integer",
        json_path = ".status.autoscaling.queueDepth"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Endpoint",
        type_ = "string",
        json_path = ".status.endpoint.host",
        priority = 1
    ),
    validation = (
        "self.metadata.name.size() <= 40",
        "metadata.name must have 40 characters at most, because names are derived from it"
    ),
    validation = (
        "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "metadata.name must be fit for a Service: lower case letters, digits and '-', a letter first"
    )
)]
#[x_kube(
    validation = ("!has(self.autoscaling) || !has(self.replicas) || self.replicas == 1",
        "replicas and autoscaling exclude each other: remove one"),
    validation = ("self.lifecycle.terminationGracePeriodSeconds >= self.capacity.queueTimeoutSeconds + 15",
        "lifecycle.terminationGracePeriodSeconds must be at least capacity.queueTimeoutSeconds + 15, or a stopping replica drops what it has accepted: fifteen seconds go into being noticed and into ending"),
    validation = ("!has(self.device.gpu) || !has(self.device.gpu.claim) || !has(self.device.gpu.claim.resourceClaimName) || (has(self.autoscaling) ? self.autoscaling.maxReplicas == 1 : (!has(self.replicas) || self.replicas <= 1))",
        "a named resource claim is shared by all replicas: use resourceClaimTemplateName, or allow one replica only"),
    validation = ("!has(self.model.source) || self.model.name != 'demo'",
        "the model demo is built into the server: remove model.source"),
    validation = ("!has(self.http) || self.http.port != self.service.port",
        "http.port must not be service.port, where Wyoming is spoken"),
    validation = ("!has(self.http) || self.telemetry.adminPort != 8080",
        "telemetry.adminPort must not be 8080 with http, whose port that is in the pods"),
    validation = ("!has(self.http) || !has(self.http.nodePort) || self.service.type in ['NodePort', 'LoadBalancer']",
        "http.nodePort needs service.type NodePort or LoadBalancer"),
    validation = ("!has(self.http) || !has(self.http.nodePort) || !has(self.service.nodePort) || self.http.nodePort != self.service.nodePort",
        "http.nodePort must not be service.nodePort: a node has each port once")
)]
#[serde(rename_all = "camelCase")]
pub struct WyomingSttSpec {
    /// Which Whisper model is served, and where its files come from.
    pub model: Model,
    /// Which languages are expected, forced or allowed.
    #[serde(default)]
    pub language: Language,
    /// What is written down: `Transcribe` what is said, or `Translate` it into English.
    #[serde(default)]
    pub task: Task,
    /// How words are chosen: accuracy against speed.
    #[serde(default)]
    pub decoding: Decoding,
    /// Names that speech may contain: of a ConfigMap, of a Home Assistant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<NamesSettings>,
    /// Where the model computes: on CPUs, or on NVIDIA GPUs.
    #[serde(default)]
    pub device: Device,
    /// How many utterances one replica takes on, and how long they may wait.
    #[serde(default)]
    pub capacity: Capacity,
    /// Requests and limits of the server's container; requests come from the size of the model when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Number of replicas without autoscaling; 0 to stop. The scale subresource (`kubectl scale`, an own
    /// HorizontalPodAutoscaler, KEDA) writes it.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: i32,
    /// Lets the operator choose the number of replicas by how many utterances wait and run; `replicas` stays 1 then,
    /// and has no effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// Where downloaded models are kept; one kind of volume. An emptyDir when unset, so that each new pod downloads
    /// anew. Not used with `model.source.persistentVolumeClaim` or `model.source.image`.
    #[serde(default)]
    pub cache: Cache,
    /// How replicas of a changed spec take the place of the older ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutSettings>,
    /// The Service that clients such as Home Assistant connect to.
    #[serde(default)]
    pub service: ServiceSettings,
    /// An HTTP API that OpenAI's clients understand, at a second port of the Service; none when unset. It has the
    /// queue and the bounds of Wyoming's clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSettings>,
    /// A NetworkPolicy for the replicas; none by default.
    #[serde(default)]
    pub network_policy: NetworkPolicySettings,
    /// How many replicas a node drain may take away at once.
    #[serde(default)]
    pub disruption: Disruption,
    /// Logs and traces of the replicas, and the port of their health and metrics.
    #[serde(default)]
    pub telemetry: TelemetrySettings,
    /// How long replicas may take to start and to stop.
    #[serde(default)]
    pub lifecycle: Lifecycle,
    /// The server's image; the one that the operator was started with when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// Secrets of private registries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// Service account of the pods; one without rights is made when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub service_account_name: Option<String>,
    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pods tolerate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// How the pods spread; over hosts where it can be for Cpu, not at all for Cuda, when unset.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// Priority class of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// A pod template (metadata and spec) that is merged over the one that the operator builds; containers merge by
    /// name, and the server's is `server`. What would break the server or reach the host is refused with a condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_object")]
    pub pod_template: Option<PodTemplate>,
    /// `Managed`: the operator acts on this object. `Paused`: it only reports, and changes nothing.
    #[serde(default)]
    pub management_state: ManagementState,
}

/// The definition as YAML, the bytes of `manifests/crd.yaml`.
///
/// # Panics
/// Never: the schema is made of JSON values, which YAML can always show.
pub fn crd_yaml() -> String {
    let mut crd = serde_json::to_value(WyomingStt::crd()).expect("a definition is JSON");
    schema::shorten_descriptions(&mut crd);
    let yaml = serde_saphyr::to_string(&crd).expect("JSON can be shown as YAML");
    format!("# Made by `wyoming-stt-operator crd`; a test compares.\n{yaml}")
}

#[cfg(test)]
mod tests;
