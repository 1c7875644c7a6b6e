//! How many endpoints replace their replicas at once: an operator of another version may want that of all of them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::mirror::Owner;
use super::mirrors::Mirrors;
use super::rollout::Rollout;

/// How long a rollout that was let begin counts although its Deployment does not show it yet.
const BEGINS: Duration = Duration::from_secs(10);

/// Rollouts of all endpoints of one watch.
#[derive(Debug)]
pub struct Rollouts {
    most: usize,
    begun: Mutex<HashMap<Owner, Instant>>,
}

impl Rollouts {
    /// `most` at once; 0 is no bound.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            begun: Mutex::default(),
        }
    }

    /// Whether `owner` may begin one now; it counts from then on. One that is stuck does not keep others waiting.
    pub fn may_begin(&self, owner: &Owner, mirrors: &Mirrors) -> bool {
        if self.most == 0 {
            return true;
        }
        let goes_on = |rollout: Option<&Rollout>| rollout.is_some_and(Rollout::gets_on);
        let mut going = mirrors
            .deployments
            .owners_where(|child| goes_on(child.rollout.as_ref()));
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.retain(|_, at| at.elapsed() < BEGINS);
        going.extend(begun.keys().cloned());
        going.sort_unstable();
        going.dedup();
        let may = going.contains(owner) || going.len() < self.most;
        if may {
            begun.insert(owner.clone(), Instant::now());
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::Deployment;
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::*;

    fn owner(name: &str) -> Owner {
        Owner {
            namespace: "home".to_owned(),
            name: name.to_owned(),
        }
    }

    fn rolling(mirrors: &Mirrors, name: &str, is_stuck: bool) {
        let deployment: Deployment = serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "home", "generation": 2, "resourceVersion": "1"},
            "status": {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 1, "conditions": [
                {"type": "Progressing", "status": if is_stuck { "False" } else { "True" }}]},
        }))
        .unwrap();
        mirrors.deployments.take(Event::Apply(deployment));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_begin_than_may_go_on() {
        let mirrors = Mirrors::default();
        let rollouts = Rollouts::new(3);
        rolling(&mirrors, "stuck", true);
        rolling(&mirrors, "a", false);
        assert!(rollouts.may_begin(&owner("b"), &mirrors));
        assert!(rollouts.may_begin(&owner("c"), &mirrors));
        assert!(!rollouts.may_begin(&owner("d"), &mirrors));
        // Those that are at it may change again.
        assert!(rollouts.may_begin(&owner("a"), &mirrors));
        tokio::time::advance(BEGINS).await;
        assert!(
            rollouts.may_begin(&owner("d"), &mirrors),
            "none was seen to go on"
        );
        assert!(Rollouts::new(0).may_begin(&owner("e"), &mirrors));
    }
}
