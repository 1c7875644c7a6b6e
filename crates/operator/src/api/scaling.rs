//! Replicas by queue depth.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The autoscaler of this instance. `scale::decide` is the rule.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = ("self.minReplicas <= self.maxReplicas",
        "autoscaling.minReplicas must not exceed autoscaling.maxReplicas"),
    validation = ("self.minReplicas >= 1",
        "autoscaling.minReplicas must be at least 1: scaling to zero needs a gateway that holds the audio, which this version does not have; to stop an endpoint, remove autoscaling and set replicas to 0")
)]
#[serde(rename_all = "camelCase")]
pub struct Autoscaling {
    /// Never fewer replicas. At least 1: scaling to zero needs a gateway that holds the audio meanwhile, which this version does not have.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 1000))]
    pub min_replicas: i32,
    /// Never more replicas. Required: GPUs are not unlimited.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,
    /// Utterances, waiting and running, for each replica: more of them order more replicas.
    /// `capacity.maxConcurrent` when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub target_queue_depth: Option<i32>,
    /// Seconds within which a backlog should be gone; a replica's start, if that takes longer. Smaller orders more.
    #[serde(default = "drain_target")]
    #[schemars(range(min = 5, max = 3600))]
    pub drain_target_seconds: i32,
    /// How fast replicas are added.
    #[serde(default)]
    pub scale_up: ScaleUp,
    /// How fast replicas are taken away.
    #[serde(default)]
    pub scale_down: ScaleDown,
    /// How soon how many answers should come: fewer seconds and a larger share order more replicas. When unset, 999 of
    /// 1000 utterances should be answered before `capacity.queueTimeoutSeconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<ScalingTarget>,
    /// Utterances that find room at once beside the load, whenever they come: replicas for them are kept ready. It is
    /// the only cure for a first wait as long as a replica's start.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10000))]
    pub spare: i32,
    /// More replicas at some times, such as before people come home.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub schedules: Vec<ScalingSchedule>,
    /// Pods without a node that are kept ordered, so that a cluster autoscaler sees the demand.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 100))]
    pub max_pending_replicas: i32,
    /// Seconds that a replica takes to start, until that has been measured.
    #[serde(default = "startup_hint")]
    #[schemars(range(min = 1, max = 7200))]
    pub startup_seconds_hint: i32,
}

/// How soon how many answers should come.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScalingTarget {
    /// Seconds from the last word to the words.
    #[schemars(range(min = 1, max = 600))]
    pub wait_seconds: i32,
    /// Percent of the utterances that are answered within them.
    #[serde(default = "most")]
    #[schemars(range(min = 50, max = 99))]
    pub share: i32,
}

/// A least number of replicas for some time.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScalingSchedule {
    /// When it begins: minute, hour, day, month and weekday, as cron has them. Replicas begin to start earlier, so that
    /// they are ready then.
    #[schemars(length(min = 9, max = 120))]
    pub cron: String,
    /// Never fewer replicas while it lasts; `maxReplicas` still holds.
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: i32,
    /// How long it lasts.
    #[serde(default = "hour")]
    #[schemars(range(min = 60, max = 86400))]
    pub duration_seconds: i32,
    /// Whose clock counts, such as Europe/Berlin.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
}

fn hour() -> i32 {
    3600
}

fn utc() -> String {
    "Etc/UTC".to_owned()
}

fn most() -> i32 {
    99
}

fn one() -> i32 {
    1
}

fn drain_target() -> i32 {
    60
}

fn startup_hint() -> i32 {
    60
}

/// How fast replicas are added.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScaleUp {
    /// Seconds during which more must have been wanted all the time.
    #[serde(default)]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_seconds: i32,
    /// Replicas that are added in one step at most.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas_per_step: i32,
    /// Length of a step in seconds.
    #[serde(default = "up_step")]
    #[schemars(range(min = 1, max = 3600))]
    pub step_seconds: i32,
}

impl Default for ScaleUp {
    fn default() -> Self {
        Self {
            stabilization_seconds: 0,
            max_replicas_per_step: four(),
            step_seconds: up_step(),
        }
    }
}

fn four() -> i32 {
    4
}

fn up_step() -> i32 {
    15
}

/// How fast replicas are taken away.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScaleDown {
    /// Seconds during which fewer must have been wanted all the time; 300 for Cpu and 600 for Cuda when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_seconds: Option<i32>,
    /// Percent of the replicas that are taken away in one step at most; one replica at least.
    #[serde(default = "quarter")]
    #[schemars(range(min = 1, max = 100))]
    pub max_percent_per_step: i32,
    /// Length of a step in seconds.
    #[serde(default = "down_step")]
    #[schemars(range(min = 1, max = 3600))]
    pub step_seconds: i32,
}

impl Default for ScaleDown {
    fn default() -> Self {
        Self {
            stabilization_seconds: None,
            max_percent_per_step: quarter(),
            step_seconds: down_step(),
        }
    }
}

fn quarter() -> i32 {
    25
}

fn down_step() -> i32 {
    60
}
