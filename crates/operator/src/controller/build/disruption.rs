//! What a node drain may take away.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};

use super::{metadata, selector};
use crate::controller::validate::ValidStt;

/// A budget, if two replicas are guaranteed: with one it would block every node drain.
pub(super) fn build(stt: &ValidStt) -> Option<PodDisruptionBudget> {
    (stt.replicas.least() >= 2).then(|| PodDisruptionBudget {
        metadata: metadata(stt),
        spec: Some(PodDisruptionBudgetSpec {
            selector: Some(selector(stt)),
            max_unavailable: Some(stt.spec.disruption.max_unavailable.clone()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    })
}
