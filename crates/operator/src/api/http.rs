//! The HTTP API that OpenAI's clients understand, beside Wyoming.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretKey;

/// The HTTP API of the replicas. Its rules stand at the spec: they compare it with other fields.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HttpSettings {
    /// Port of the Service for the API; the base URL of clients is `http://NAME.NAMESPACE.svc:PORT/v1`.
    #[serde(default = "api_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Port of the API on every node, for `NodePort` and `LoadBalancer`; chosen by the cluster when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub node_port: Option<i32>,
    /// API keys in a Secret: one on each line; lines that begin with `#` are comments. The replicas read them, and
    /// read them again when they change; the operator never does. Without it, each client that reaches the Service is
    /// served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_secret_ref: Option<SecretKey>,
    /// Mebibytes of one request; 64 when unset. Four times as much may be in memory for all requests together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16384))]
    pub max_body_mebibytes: Option<i32>,
}

fn api_port() -> i32 {
    8080
}
