//! What reconciles share.

use std::sync::Arc;

use kube::Client;
use kube::runtime::events::Recorder;
use tokio::time::Instant;

use super::Said;
use crate::controller::fleet::Fleets;
use crate::controller::memory::Memories;
use crate::controller::mirror::Owner;
use crate::controller::mirrors::Mirrors;
use crate::controller::rollouts::Rollouts;
use crate::controller::scope::Scope;
use crate::controller::validate::Defaults;
use crate::metrics::Metrics;
use crate::vitals::Vitals;

/// What reconciles share.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What it has, kept by watching.
    pub mirrors: Arc<Mirrors>,
    /// What the operator was started with.
    pub defaults: Defaults,
    /// Whose objects are whose.
    pub scope: Arc<Scope>,
    /// Keeps the number of replicas.
    pub fleets: Fleets,
    /// Endpoints that replace their replicas.
    pub rollouts: Rollouts,
    /// Events on objects.
    pub recorder: Recorder,
    /// Counters.
    pub metrics: Metrics,
    /// What tells that rounds come to an end.
    pub vitals: Arc<Vitals>,
    /// Since when durations count.
    pub started: Instant,
    /// What is remembered of each object.
    pub memories: Memories,
    /// What was said in the log.
    pub said: Said,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Context").finish_non_exhaustive()
    }
}

impl Context {
    /// Forgets an object that is gone.
    pub fn forget(&self, owner: &Owner) {
        self.fleets.stop(owner);
        self.memories.forget(owner);
        self.metrics.forget(owner);
    }
}
