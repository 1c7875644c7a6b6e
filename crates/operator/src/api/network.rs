//! How clients reach it, and who may.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// The address that clients use.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = ("!has(self.nodePort) || self.type in ['NodePort', 'LoadBalancer']",
        "service.nodePort needs service.type NodePort or LoadBalancer"),
    validation = ("!has(self.loadBalancerClass) || self.type == 'LoadBalancer'",
        "service.loadBalancerClass needs service.type LoadBalancer"),
    validation = ("!has(self.externalTrafficPolicy) || self.type in ['NodePort', 'LoadBalancer']",
        "service.externalTrafficPolicy needs service.type NodePort or LoadBalancer")
)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSettings {
    /// What can reach the Service: pods (`ClusterIP`), clients of any node (`NodePort`), or clients of the load
    /// balancer (`LoadBalancer`).
    #[serde(rename = "type", default)]
    pub type_: ServiceType,
    /// Port of the Service, where Wyoming is spoken.
    #[serde(default = "wyoming_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Port on every node, for `NodePort` and `LoadBalancer`; chosen by the cluster when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub node_port: Option<i32>,
    /// Annotations of the Service, for load balancers and DNS controllers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 50))]
    pub annotations: BTreeMap<String, String>,
    /// Class of the load balancer, where the cluster has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub load_balancer_class: Option<String>,
    /// `Cluster`: nodes hand connections to other nodes. `Local`: they do not, and the client's address is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<ExternalTrafficPolicy>,
    /// `PreferClose`: replicas nearby are preferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_distribution: Option<TrafficDistribution>,
}

impl Default for ServiceSettings {
    fn default() -> Self {
        Self {
            type_: ServiceType::default(),
            port: wyoming_port(),
            node_port: None,
            annotations: BTreeMap::new(),
            load_balancer_class: None,
            external_traffic_policy: None,
            traffic_distribution: None,
        }
    }
}

fn wyoming_port() -> i32 {
    10300
}

/// Which clients can reach a Service.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceType {
    /// Pods of the cluster.
    #[default]
    ClusterIP,
    /// Clients that reach a node.
    NodePort,
    /// Clients that reach the load balancer.
    LoadBalancer,
}

/// Whether nodes hand connections to other nodes.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExternalTrafficPolicy {
    /// They do.
    Cluster,
    /// They do not, and the client's address is kept.
    Local,
}

/// Which replicas are preferred.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrafficDistribution {
    /// Those nearby.
    PreferClose,
}

/// A NetworkPolicy for the replicas.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicySettings {
    /// What is restricted: nothing (`Disabled`), which clients may connect (`Ingress`), or also what the replicas may reach
    /// (`IngressAndEgress`). Home Assistant may be outside of the cluster, so nothing by default.
    #[serde(default)]
    pub mode: NetworkPolicyMode,
    /// Clients that may speak Wyoming, and use the HTTP API where there is one; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub from: Vec<Peer>,
    /// Networks that models are fetched from, for IngressAndEgress; any address on port 443 when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(max = 43), regex(pattern = "^[0-9a-fA-F:.]+/[0-9]{1,3}$"))
    )]
    pub model_source_cidrs: Vec<String>,
    /// Networks that the Home Assistant of `names` is in, for IngressAndEgress. When empty: its address, where the URL
    /// has one, otherwise any address on its port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(max = 43), regex(pattern = "^[0-9a-fA-F:.]+/[0-9]{1,3}$"))
    )]
    pub home_assistant_cidrs: Vec<String>,
}

/// What is restricted.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NetworkPolicyMode {
    /// Nothing.
    #[default]
    Disabled,
    /// Which clients may connect.
    Ingress,
    /// Which clients may connect, and what the replicas may reach.
    IngressAndEgress,
}

/// Pods, or a network.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = (
    "has(self.cidr) != (has(self.podSelector) || has(self.namespaceSelector))",
    "a peer is a cidr, or a podSelector and namespaceSelector"
))]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// A network, such as `192.168.1.0/24`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 43), regex(pattern = "^[0-9a-fA-F:.]+/[0-9]{1,3}$"))]
    pub cidr: Option<String>,
    /// Pods; of this namespace when no namespace is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,
    /// Namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
}

/// What a node drain may take away.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Disruption {
    /// Replicas that may be away at once, a number or a percentage. The PodDisruptionBudget is always there; with one
    /// replica and the default of 1 a node drain evicts that one.
    #[serde(default = "one")]
    #[schemars(schema_with = "schema::int_or_percent")]
    pub max_unavailable: IntOrString,
}

impl Default for Disruption {
    fn default() -> Self {
        Self {
            max_unavailable: one(),
        }
    }
}

fn one() -> IntOrString {
    IntOrString::Int(1)
}
