//! Where downloaded models are kept.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The volume of downloads; an emptyDir when nothing is chosen.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(
    validation = (
        "[has(self.emptyDir), has(self.persistentVolumeClaim), has(self.volumeClaimTemplate), has(self.hostPath)].filter(given, given).size() <= 1",
        "cache takes one of emptyDir, persistentVolumeClaim, volumeClaimTemplate and hostPath"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct Cache {
    /// A folder that lives as long as the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir: Option<EmptyDir>,
    /// A PersistentVolumeClaim that exists in this namespace. Several replicas need one with `ReadWriteMany`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<ExistingClaim>,
    /// A PersistentVolumeClaim that the operator makes, deleted with this object. It can grow; its class and access
    /// modes cannot change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_claim_template: Option<VolumeClaimTemplate>,
    /// A folder of the node; only where the operator was started with `--allow-host-path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<HostPath>,
    /// Replicas that may start at once where each downloads the model into a volume of its own (an emptyDir); 4 when
    /// unset. Further ones are ordered when these are ready, so that a fleet is not that many downloads at once. Pods
    /// that wait for a node do not count, nor does a rollout, which `rollout` bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_downloads: Option<i32>,
}

/// A folder that lives as long as the pod.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct EmptyDir {
    /// Size, such as `5Gi`, beyond which the pod is evicted. By the model's size when unset: 12Gi for large ones, 5Gi
    /// for all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 32),
        regex(pattern = r"^[0-9]+(\.[0-9]+)?([KMGTPE]i?|k|m)?$")
    )]
    pub size_limit: Option<String>,
}

/// A claim that exists.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ExistingClaim {
    /// Name of the claim.
    #[schemars(length(min = 1, max = 253))]
    pub claim_name: String,
}

/// A claim that the operator makes and all replicas share.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = ("self.accessModes == oldSelf.accessModes && has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",
        "a volume cannot change its class or access modes: remove the cache and add it again"),
    validation = ("quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0",
        "a volume can grow, not shrink")
)]
#[serde(rename_all = "camelCase")]
pub struct VolumeClaimTemplate {
    /// Storage class; the cluster's default one when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
    /// Size of the volume, such as `10Gi`.
    #[schemars(
        length(max = 32),
        regex(pattern = r"^[0-9]+(\.[0-9]+)?([KMGTPE]i?|k)?$")
    )]
    pub size: String,
    /// How nodes mount the volume. Replicas on several nodes need `ReadWriteMany`.
    #[serde(default = "read_write_once")]
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub access_modes: Vec<AccessMode>,
}

fn read_write_once() -> Vec<AccessMode> {
    vec![AccessMode::ReadWriteOnce]
}

/// How nodes mount a volume.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessMode {
    /// One node.
    ReadWriteOnce,
    /// One pod.
    ReadWriteOncePod,
    /// Many nodes.
    ReadWriteMany,
}

/// A folder of the node.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HostPath {
    /// Where it is on the node; it must exist and be writable for user 65532.
    #[schemars(length(min = 2, max = 512), regex(pattern = "^/"))]
    #[x_kube(validation = ("!self.split('/').exists(part, part == '..')", "path must not contain '..'"))]
    pub path: String,
}

impl AccessMode {
    /// As Kubernetes has it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ReadWriteOnce => "ReadWriteOnce",
            Self::ReadWriteOncePod => "ReadWriteOncePod",
            Self::ReadWriteMany => "ReadWriteMany",
        }
    }
}
