//! What a node drain may take away.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};

use super::{metadata, selector};
use crate::controller::validate::ValidStt;

/// A budget for every number of replicas: with one, a drain takes it away and a new one starts elsewhere. Replicas that
/// are not ready do not block drains.
pub(super) fn build(stt: &ValidStt) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: metadata(stt),
        spec: Some(PodDisruptionBudgetSpec {
            selector: Some(selector(stt)),
            max_unavailable: Some(stt.spec.disruption.max_unavailable.clone()),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}
