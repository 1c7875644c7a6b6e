//! How far a Deployment has come.

use k8s_openapi::api::apps::v1::Deployment;

/// What a Deployment's controller tells, and what it was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Replicas that are ordered.
    ordered: Option<i32>,
    /// Pods of the present template.
    pub updated: i32,
    /// Pods of any template.
    replicas: i32,
    generation: Option<i64>,
    observed: Option<i64>,
    /// Why pods could not be made.
    pub failure: Option<String>,
    /// Why it does not get on.
    pub stuck: Option<String>,
}

impl Rollout {
    /// Of `deployment`.
    pub fn of(deployment: &Deployment) -> Self {
        let status = deployment.status.clone().unwrap_or_default();
        let said = |type_: &str, is: &str| {
            let mut all = status.conditions.iter().flatten();
            let found = all.find(|condition| condition.type_ == type_ && condition.status == is);
            found.map(|condition| condition.message.clone().unwrap_or_default())
        };
        Self {
            ordered: deployment.spec.as_ref().and_then(|spec| spec.replicas),
            updated: status.updated_replicas.unwrap_or(0),
            replicas: status.replicas.unwrap_or(0),
            generation: deployment.metadata.generation,
            observed: status.observed_generation,
            failure: said("ReplicaFailure", "True"),
            stuck: said("Progressing", "False"),
        }
    }

    /// Replicas that are ordered.
    pub fn ordered(&self) -> u32 {
        let ordered = self.ordered.and_then(|ordered| u32::try_from(ordered).ok());
        ordered.unwrap_or(0)
    }

    /// Whether that gets on: a rollout that does not is no reason to keep anything.
    pub fn gets_on(&self) -> bool {
        self.is_going_on() && self.stuck.is_none()
    }

    /// Whether pods of an older template are being replaced.
    pub fn is_going_on(&self) -> bool {
        self.observed < self.generation || self.updated < self.replicas
    }
}
