//! What the mirrors keep of each kind of child: all that a round compares, in few bytes.
//!
//! As Kubernetes' own types a Deployment takes some 20 kB; as the JSON that it came in, 4.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::mirror::{Kept, Owner, Source, version};
use super::names::{INSTANCE, MANAGED_BY, MANAGER, SCALER};
use super::rollout::Rollout;

/// A child as it is in the cluster.
#[derive(Clone, Debug)]
pub struct Child {
    version: Option<u64>,
    /// Which one it is.
    pub uid: Option<String>,
    /// Uid of the object that it belongs to.
    pub controller: Option<String>,
    /// Whether it bears the labels of what the operator makes for its owner.
    pub is_labelled: bool,
    /// Whether it is being deleted.
    pub is_leaving: bool,
    /// Whether a Deployment's number of replicas is written apart from the rest.
    pub is_scaled_apart: bool,
    /// How far a Deployment has come.
    pub rollout: Option<Rollout>,
    json: Box<str>,
}

impl Child {
    /// All of it but its status, and who wrote which field.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.json).unwrap_or_default()
    }
}

impl Kept for Child {
    fn version(&self) -> Option<u64> {
        self.version
    }

    fn is_news(&self, new: &Self) -> bool {
        self.version.is_none() || self.version != new.version
    }
}

/// Whether the fleet owns `spec.replicas`.
fn is_scaled_apart(metadata: &ObjectMeta) -> bool {
    let mut managers = metadata.managed_fields.iter().flatten();
    managers.any(|entry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        entry.manager.as_deref() == Some(SCALER)
            && fields.is_some_and(|fields| fields["f:spec"].get("f:replicas").is_some())
    })
}

fn child(
    metadata: &ObjectMeta,
    is_scaled_apart: bool,
    rollout: Option<Rollout>,
    json: String,
) -> Option<(Owner, String, Child)> {
    let name = metadata.name.clone()?;
    let label = |name: &str| metadata.labels.as_ref().and_then(|labels| labels.get(name));
    let owner = Owner {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        // Children bear their owner's name.
        name: label(INSTANCE).unwrap_or(&name).clone(),
    };
    let mut owners = metadata.owner_references.iter().flatten();
    let child = Child {
        version: version(metadata.resource_version.as_deref()),
        uid: metadata.uid.clone(),
        controller: owners
            .find(|owner| owner.controller == Some(true))
            .map(|owner| owner.uid.clone()),
        is_labelled: label(MANAGED_BY).is_some_and(|it| it == MANAGER)
            && label(INSTANCE) == Some(&name),
        is_leaving: metadata.deletion_timestamp.is_some(),
        is_scaled_apart,
        rollout,
        json: json.into_boxed_str(),
    };
    Some((owner, name, child))
}

macro_rules! kept {
    ($kind:ty, $slim:expr, $rollout:expr) => {
        impl Source for $kind {
            type Kept = Child;

            fn keep(mut self) -> Option<(Owner, String, Child)> {
                let is_scaled_apart = is_scaled_apart(&self.metadata);
                // Half of an object's size, and of no further use here.
                self.metadata.managed_fields = None;
                let rollout: fn(&Self) -> Option<Rollout> = $rollout;
                let rollout = rollout(&self);
                let slim: fn(&mut Self) = $slim;
                slim(&mut self);
                // Objects of the API are JSON.
                let json = serde_json::to_string(&self).unwrap_or_default();
                child(&self.metadata, is_scaled_apart, rollout, json)
            }
        }
    };
}

kept!(Deployment, |it| it.status = None, |it| Some(Rollout::of(
    it
)));
kept!(Service, |it| it.status = None, |_| None);
kept!(ServiceAccount, |_| {}, |_| None);
kept!(PersistentVolumeClaim, |it| it.status = None, |_| { None });
kept!(NetworkPolicy, |_| {}, |_| None);
kept!(PodDisruptionBudget, |it| it.status = None, |_| None);
