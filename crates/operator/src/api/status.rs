//! What the operator reports.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator saw and did last.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WyomingSttStatus {
    /// Generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The operator that writes this object and what belongs to it, by the lease that it holds: `NAMESPACE/NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// Pods that exist.
    #[serde(default)]
    pub replicas: i32,
    /// Of these, pods that transcribe.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Of these, pods that have a node and are not ready.
    #[serde(default)]
    pub starting_replicas: i32,
    /// Of these, pods that fit on no node.
    #[serde(default)]
    pub unschedulable_replicas: i32,
    /// Of these, pods of the present pod template.
    #[serde(default)]
    pub updated_replicas: i32,
    /// Labels of the pods, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Where clients connect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// What the pods say that they serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelStatus>,
    /// Image of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Since when a changed pod template has waited to be rolled out; `Progressing` tells for what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout_waiting_since: Option<Time>,
    /// What the autoscaler saw and did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<AutoscalingStatus>,
    /// `Ready` sums up; `Available`, `Progressing`, `SpecValid`, `ModelReady`, `AutoscalingActive`, `CapacityLimited`
    /// and `Degraded` tell more. Each message says what to change.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Where clients connect.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Name within the cluster.
    pub host: String,
    /// Port of Wyoming.
    pub port: i32,
    /// Base URL for OpenAI's clients within the cluster, with `spec.http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_url: Option<String>,
}

/// What the pods say that they serve.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ModelStatus {
    /// Name of the model, as it was asked for.
    pub name: String,
    /// Revision that was asked for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// SHA-256 of the weights.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sha256: String,
    /// Size of the weights in bytes.
    #[serde(default)]
    pub size_bytes: i64,
}

/// What the autoscaler saw and did.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AutoscalingStatus {
    /// Replicas that are ordered.
    pub desired_replicas: i32,
    /// Replicas that the load asks for, before windows and steps.
    pub recommended_replicas: i32,
    /// Utterances waiting and running, of all replicas.
    pub queue_depth: i32,
    /// Utterances that arrive in 1000 seconds.
    pub arrival_rate_milli: i32,
    /// Utterances that one replica finishes in 1000 seconds with all its slots; 0 until measured.
    pub service_rate_milli: i32,
    /// Seconds that a replica takes to start.
    pub startup_seconds: i32,
    /// Ready replicas that do not tell their load.
    #[serde(default)]
    pub silent_replicas: i32,
    /// Ready replicas that take work and do not do it, or far slower than the others; they are replaced.
    #[serde(default)]
    pub sick_replicas: i32,
    /// Of 1000 utterances of the last ten minutes, those that were answered with words within
    /// `autoscaling.target.waitSeconds`; without a target, before `capacity.queueTimeoutSeconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attained_share_milli: Option<i32>,
    /// What kept the order away from the recommendation.
    pub limited_by: LimitedBy,
    /// When the order changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_scale_time: Option<Time>,
    /// Why the order changed then.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_scale_reason: String,
}

/// What kept the order away from the recommendation.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LimitedBy {
    /// Nothing.
    #[default]
    None,
    /// The lower bound.
    MinReplicas,
    /// The upper bound.
    MaxReplicas,
    /// Pods that fit on no node, or that a quota refuses.
    Capacity,
    /// A window in which the recommendation must hold, or a start or rollout that must end first.
    Stabilization,
    /// The size of a step.
    StepLimit,
    /// Replicas that download the model: `cache.maxDownloads` at once.
    Downloads,
    /// Replicas that did not tell their load.
    MetricsUnavailable,
    /// The object is paused.
    Paused,
}
