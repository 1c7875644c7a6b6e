//! Tells the ReplicaSet which pods to delete first, just before it deletes some.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::controller::mirrors::Mirrors;
use crate::controller::pods::{DELETION_COST, Pods};
use crate::scale::{Figures, Observation, victims};

/// Marks as many pods as go when `fewer` replicas are ordered, and takes back marks that stand on others.
///
/// # Errors
/// The first pod that cannot be marked.
pub async fn mark(
    client: &Client,
    mirrors: &Mirrors,
    namespace: &str,
    pods: &Pods,
    (seen, figures): (&Observation, &Figures),
    fewer: u32,
) -> Result<(), kube::Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let victims = victims(seen, figures, fewer);
    for pod in &pods.ready {
        let wanted = victims.iter().find(|it| it.pod == pod.name);
        let wanted = wanted.map(|victim| victim.cost);
        if wanted == pod.deletion_cost {
            continue;
        }
        // Null takes an annotation away.
        let cost = wanted.map_or(Value::Null, |cost| Value::String(cost.to_string()));
        let patch = json!({"metadata": {"annotations": {DELETION_COST: cost}}});
        let patch = Patch::Merge(patch);
        match api.patch(&pod.name, &PatchParams::default(), &patch).await {
            // It is gone already.
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => return Err(error),
            Ok(pod) => mirrors.pods.put(pod),
        }
    }
    Ok(())
}
