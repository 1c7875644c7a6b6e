//! The process: image, start, stop, and how it is seen.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The server's image.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(
    validation = ("!has(self.repository) || has(self.tag) || has(self.digest)",
        "image.repository needs image.tag or image.digest"),
    validation = ("has(self.repository) || !(has(self.tag) || has(self.digest))",
        "image.tag and image.digest need image.repository")
)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Name of the image without its tag, such as `registry.example/wyoming-stt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[^\s@]+$"))]
    pub repository: Option<String>,
    /// Tag of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$"))]
    pub tag: Option<String>,
    /// Digest of the image (`sha256:…`); wins over the tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^sha256:[0-9a-f]{64}$"))]
    pub digest: Option<String>,
    /// When a node fetches the image.
    #[serde(default)]
    pub pull_policy: PullPolicy,
}

/// When an image is fetched.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Whenever a pod starts.
    Always,
    /// When the node does not have it.
    #[default]
    IfNotPresent,
    /// The node must have it.
    Never,
}

/// Start and stop.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Lifecycle {
    /// Seconds that a replica may take to fetch its model and to load it, before it is started anew.
    #[serde(default = "startup_timeout")]
    #[schemars(range(min = 10, max = 7200))]
    pub startup_timeout_seconds: i32,
    /// Seconds that a replica has to stop: 10 in which it goes on accepting until every node knows, then open
    /// utterances are finished, and 5 are kept to end in.
    #[serde(default = "grace_period")]
    #[schemars(range(min = 20, max = 3600))]
    pub termination_grace_period_seconds: i32,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            startup_timeout_seconds: startup_timeout(),
            termination_grace_period_seconds: grace_period(),
        }
    }
}

fn startup_timeout() -> i32 {
    600
}

fn grace_period() -> i32 {
    60
}

/// Logs, traces and the admin port.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = ("self.adminPort != 10300", "telemetry.adminPort must not be 10300, which speaks Wyoming"))]
#[serde(rename_all = "camelCase")]
pub struct TelemetrySettings {
    /// Least important lines that are logged.
    #[serde(default)]
    pub log_level: LogLevel,
    /// Log lines for people (`Text`) or for machines (`Json`).
    #[serde(default)]
    pub log_format: LogFormat,
    /// Port of `/health`, `/ready`, `/metrics` and `/load` in the pods.
    #[serde(default = "admin_port")]
    #[schemars(range(min = 1024, max = 65535))]
    pub admin_port: i32,
    /// Collector of traces, logs and metrics (OTLP over gRPC), such as `http://collector:4317`, or `https://…` where the
    /// authorities of the server's image know its certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = r"^https?://[^\s]+$"))]
    pub otlp_endpoint: Option<String>,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self {
            log_level: LogLevel::default(),
            log_format: LogFormat::default(),
            admin_port: admin_port(),
            otlp_endpoint: None,
        }
    }
}

fn admin_port() -> i32 {
    10390
}

/// What is logged. Transcripts are logged at debug.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// A person must act.
    Error,
    /// It coped.
    Warn,
    /// Life cycle, and one line for each utterance.
    #[default]
    Info,
    /// Each event.
    Debug,
}

/// How a log line looks.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    #[default]
    Json,
}

/// Whether the operator acts on an object.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ManagementState {
    /// It does.
    #[default]
    Managed,
    /// It changes nothing, and only reports.
    Paused,
}

/// How replicas of a changed spec take the place of the older ones. With `waitForIdleSeconds` alone, how many at once is
/// as without `rollout`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = ("self.maxSurge > 0 || self.maxUnavailable > 0 || has(self.waitForIdleSeconds)",
        "rollout.maxSurge and rollout.maxUnavailable must not both be 0: no replica could be replaced")
)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSettings {
    /// Replicas beyond their number while it goes on. On GPUs each needs one that is free.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub max_surge: i32,
    /// Replicas that may be missing while it goes on. With one replica, 1 is an outage as long as a start.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub max_unavailable: i32,
    /// Seconds that a changed pod template waits for a moment in which no utterance is queued, running or spoken; then
    /// it is rolled out in any case. It is not rolled out later when unset. Replicas that do not tell their load are
    /// taken to be at work; a broken rollout, or an endpoint without a ready replica, does not wait, nor does a
    /// number of replicas that is changed meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub wait_for_idle_seconds: Option<i32>,
}
