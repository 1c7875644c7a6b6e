//! The objects that make an endpoint, built from what is valid and what was decided. No client, no clock.

mod container;
mod deployment;
mod disruption;
mod files;
mod http;
mod names;
mod network_policy;
mod service;
mod storage;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::validate::ValidStt;

/// Everything that belongs to one object. What is none must not be there.
#[derive(Clone, Debug, PartialEq)]
pub struct Resources {
    /// The identity of the pods; without rights and without a token.
    pub service_account: Option<ServiceAccount>,
    /// Where downloads are kept.
    pub claim: Option<PersistentVolumeClaim>,
    /// Which clients may connect.
    pub network_policy: Option<NetworkPolicy>,
    /// The address.
    pub service: Service,
    /// What a node drain may take away.
    pub disruption_budget: PodDisruptionBudget,
    /// The replicas.
    pub deployment: Deployment,
}

/// Builds everything, with `replicas` replicas; none leaves their number to the fleet.
pub fn build(stt: &ValidStt, replicas: Option<u32>) -> Resources {
    Resources {
        service_account: service_account(stt),
        claim: storage::claim(stt),
        network_policy: network_policy::build(stt),
        service: service::build(stt),
        disruption_budget: disruption::build(stt),
        deployment: deployment::build(stt, replicas),
    }
}

fn metadata(stt: &ValidStt) -> ObjectMeta {
    ObjectMeta {
        name: Some(stt.names.name.clone()),
        namespace: Some(stt.names.namespace.clone()),
        labels: Some(stt.names.labels()),
        owner_references: Some(vec![stt.owner.clone()]),
        ..ObjectMeta::default()
    }
}

fn selector(stt: &ValidStt) -> LabelSelector {
    LabelSelector {
        match_labels: Some(stt.names.selector()),
        match_expressions: None,
    }
}

fn service_account(stt: &ValidStt) -> Option<ServiceAccount> {
    stt.spec
        .service_account_name
        .is_none()
        .then(|| ServiceAccount {
            metadata: metadata(stt),
            automount_service_account_token: Some(false),
            ..ServiceAccount::default()
        })
}

/// Counts of replicas are at most 1000.
fn signed(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
