//! Copies of every kind that belongs to objects.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use super::kept::Child;
use super::mirror::{Kept, Mirror, Owner, Source};
use super::pods::PodView;

/// Copies of what belongs to objects.
#[derive(Debug, Default)]
pub struct Mirrors {
    /// Replicas.
    pub deployments: Mirror<Child>,
    /// Addresses.
    pub services: Mirror<Child>,
    /// The identity of the pods.
    pub service_accounts: Mirror<Child>,
    /// Downloads.
    pub claims: Mirror<Child>,
    /// Which clients may connect.
    pub network_policies: Mirror<Child>,
    /// What node drains may take away.
    pub disruption_budgets: Mirror<Child>,
    /// Pods, in few words.
    pub pods: Mirror<PodView>,
}

/// A kind that is not known yet, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Its plural.
    pub kind: String,
    /// What the API server said; none while the first list is on its way.
    pub why: Option<String>,
}

impl Missing {
    fn of<T: Kept>(mirror: &Mirror<T>, kind: &str) -> Option<Self> {
        (!mirror.is_complete()).then(|| Self {
            kind: kind.to_owned(),
            why: mirror.trouble(),
        })
    }
}

impl Mirrors {
    /// The first kind that has not been listed yet; nothing can be decided before.
    pub fn missing(&self) -> Option<Missing> {
        // No `..`: a new kind must be waited for as well.
        let Self {
            deployments,
            services,
            service_accounts,
            claims,
            network_policies,
            disruption_budgets,
            pods,
        } = self;
        Missing::of(deployments, "deployments")
            .or_else(|| Missing::of(services, "services"))
            .or_else(|| Missing::of(service_accounts, "serviceaccounts"))
            .or_else(|| Missing::of(claims, "persistentvolumeclaims"))
            .or_else(|| Missing::of(network_policies, "networkpolicies"))
            .or_else(|| Missing::of(disruption_budgets, "poddisruptionbudgets"))
            .or_else(|| Missing::of(pods, "pods"))
    }

    /// Versions of all children of `owner`, which bear its name.
    pub fn versions(&self, owner: &Owner) -> [Option<u64>; 6] {
        [
            self.deployments.version(owner, &owner.name),
            self.services.version(owner, &owner.name),
            self.service_accounts.version(owner, &owner.name),
            self.claims.version(owner, &owner.name),
            self.network_policies.version(owner, &owner.name),
            self.disruption_budgets.version(owner, &owner.name),
        ]
    }
}

/// A kind of child, and where its copy is.
pub trait Mirrored: Source<Kept = Child> {
    /// The copy of this kind.
    fn mirror(mirrors: &Mirrors) -> &Mirror<Child>;
}

macro_rules! mirrored {
    ($($kind:ty => $field:ident),* $(,)?) => {
        $(impl Mirrored for $kind {
            fn mirror(mirrors: &Mirrors) -> &Mirror<Child> {
                &mirrors.$field
            }
        })*
    };
}

mirrored!(
    Deployment => deployments,
    Service => services,
    ServiceAccount => service_accounts,
    PersistentVolumeClaim => claims,
    NetworkPolicy => network_policies,
    PodDisruptionBudget => disruption_budgets,
);
