//! What the mirrors keep of each kind of child: all that a round compares, and nothing else.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::mirror::{Kept, Mirror, Owner};
use super::names::INSTANCE;
use super::watch::Mirrors;

/// A kind of child, and where its copy is.
pub trait Mirrored: Kept<Source = Self> {
    /// The copy of this kind.
    fn mirror(mirrors: &Mirrors) -> &Mirror<Self>;
}

/// Whose something with `metadata` is: as its label says, or by its name, since children bear their owner's.
pub(super) fn owner(metadata: &ObjectMeta) -> Option<(Owner, String)> {
    let name = metadata.name.clone()?;
    let labels = metadata.labels.as_ref();
    let instance = labels.and_then(|labels| labels.get(INSTANCE));
    let owner = Owner {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: instance.unwrap_or(&name).clone(),
    };
    Some((owner, name))
}

macro_rules! mirrored {
    ($kind:ty, $field:ident, $slim:expr) => {
        impl Kept for $kind {
            type Source = Self;

            fn keep(mut source: Self) -> Option<(Owner, String, Self)> {
                // Half of an object's size, and of no use here.
                source.metadata.managed_fields = None;
                let slim: fn(&mut Self) = $slim;
                slim(&mut source);
                let (owner, name) = owner(&source.metadata)?;
                Some((owner, name, source))
            }

            fn version(&self) -> Option<&str> {
                self.metadata.resource_version.as_deref()
            }

            fn is_news(&self, new: &Self) -> bool {
                self.metadata.resource_version != new.metadata.resource_version
            }
        }

        impl Mirrored for $kind {
            fn mirror(mirrors: &Mirrors) -> &Mirror<Self> {
                &mirrors.$field
            }
        }
    };
}

mirrored!(Deployment, deployments, |_| {});
mirrored!(Service, services, |service| service.status = None);
mirrored!(ServiceAccount, service_accounts, |_| {});
mirrored!(PersistentVolumeClaim, claims, |claim| claim.status = None);
mirrored!(NetworkPolicy, network_policies, |_| {});
mirrored!(PodDisruptionBudget, disruption_budgets, |budget| budget
    .status =
    None);
