//! What one replica takes on, and what it needs.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// Utterances at once, and how long they may wait.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Capacity {
    /// Utterances that one replica recognises together; 1 for `Cpu` and 4 for `Cuda` when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub max_concurrent: Option<i32>,
    /// Utterances that may wait in one replica; one more is refused at once.
    #[serde(default = "max_queue")]
    #[schemars(range(min = 1, max = 1024))]
    pub max_queue: i32,
    /// Seconds from the end of the audio to the words, after which it is given up: clients no longer wait for them. Home
    /// Assistant waits 300 s.
    #[serde(default = "queue_timeout")]
    #[schemars(range(min = 1, max = 600))]
    pub queue_timeout_seconds: i32,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            max_concurrent: None,
            max_queue: max_queue(),
            queue_timeout_seconds: queue_timeout(),
        }
    }
}

fn max_queue() -> i32 {
    16
}

fn queue_timeout() -> i32 {
    25
}

/// Requests and limits by resource name. Claims are made by `device.gpu.claim`.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What the scheduler sets aside for a replica. CPU and memory that are not given are as measured for the model, the
    /// precision (int8 on CPUs), `capacity.maxConcurrent`, and for replicas that rest or, with `autoscaling`, are kept at
    /// work.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::quantities")]
    pub requests: BTreeMap<String, IntOrString>,
    /// What a replica cannot exceed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::quantities")]
    pub limits: BTreeMap<String, IntOrString>,
}
