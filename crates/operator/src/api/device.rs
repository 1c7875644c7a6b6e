//! Where it computes.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The processor that the model runs on. There is no automatic choice: scheduling must know.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = ("self.type == 'Cuda' || !has(self.gpu)", "device.gpu needs device.type Cuda"))]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// `Cpu`: the node's own cores. `Cuda`: NVIDIA GPUs, which need the CUDA image.
    #[serde(rename = "type", default)]
    pub type_: DeviceType,
    /// Threads of the computation; as many as the container's CPU limit allows when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub cpu_threads: Option<i32>,
    /// Which GPU, for `Cuda`; one `nvidia.com/gpu` when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<Gpu>,
}

/// Kind of processor.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceType {
    /// The node's own cores.
    #[default]
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
}

/// A GPU by resource name and count, or by a claim.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = (
    "!has(self.claim) || (!has(self.count) && !has(self.resourceName))",
    "device.gpu.claim excludes resourceName and count"
))]
#[serde(rename_all = "camelCase")]
pub struct Gpu {
    /// Extended resource; `nvidia.com/gpu` when unset. MIG (`nvidia.com/mig-1g.10gb`) and shared
    /// (`nvidia.com/gpu.shared`) names work as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 253),
        regex(
            pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"
        )
    )]
    pub resource_name: Option<String>,
    /// How many of it for one replica; 1 when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 8))]
    pub count: Option<i32>,
    /// A claim of dynamic resource allocation instead of a resource and its count (Kubernetes 1.34).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// Runtime class of the pods, where NVIDIA's is not the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub runtime_class_name: Option<String>,
}

/// A claim of dynamic resource allocation.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = (
    "has(self.resourceClaimName) != has(self.resourceClaimTemplateName)",
    "device.gpu.claim takes resourceClaimName or resourceClaimTemplateName"
))]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// A claim that exists; all replicas share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub resource_claim_name: Option<String>,
    /// A template; each replica has a claim of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub resource_claim_template_name: Option<String>,
    /// One request of the claim; all of them when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub request: Option<String>,
}
