//! Writes how many replicas there should be, and nothing else of the Deployment.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use crate::controller::names::{Names, SCALER};
use crate::controller::reason::Reason;
use crate::controller::validate::Fault;

/// Orders `replicas` of the Deployment `uid`. Returns it as it is then; none when it is gone, or another one is there.
///
/// # Errors
/// When the API server does not take it.
pub(super) async fn write(
    client: &Client,
    names: &Names,
    uid: Option<&str>,
    replicas: u32,
) -> Result<Option<Deployment>, kube::Error> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &names.namespace);
    let params = PatchParams::apply(SCALER).force();
    let patch = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": names.name, "uid": uid},
        "spec": {"replicas": replicas},
    });
    let patch = Patch::Apply(patch);
    match deployments.patch(&names.name, &params, &patch).await {
        Ok(deployment) => Ok(Some(deployment)),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a person must change, if it is no passing trouble.
pub(super) fn refusal(error: &kube::Error) -> Option<Fault> {
    match error {
        kube::Error::Api(status) if status.is_forbidden() || status.is_invalid() => {
            Some(Fault::new(
                Reason::ScaleRefused,
                format!(
                    "the cluster refuses another number of replicas: {}: let the operator patch deployments, or change what refuses it",
                    status.message
                ),
            ))
        }
        _ => None,
    }
}
