//! What this process looks after: the objects of its lease, but for those that another operator has.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::lease::Others;

/// The operator that wrote an object before has this long to see that it is ours: longer than from one look at leases
/// to the next, and than a round takes.
const HANDOVER: Duration = Duration::from_secs(10);
/// How soon an object that another operator has is looked at again; that costs no request.
pub const LEFT_AGAIN: Duration = Duration::from_secs(10);

/// What to do about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Share {
    /// It is ours.
    Ours,
    /// It is ours, and another operator wrote it so far: to be looked at in so long.
    Soon(Duration),
    /// It is the business of the operator that is named.
    Others(String),
}

/// The objects of one lease.
#[derive(Debug)]
pub struct Scope {
    lease: String,
    since: Instant,
    others: Arc<Others>,
}

impl Scope {
    /// From now on, with the lease `name` in `namespace`.
    pub fn new(namespace: &str, name: &str, others: Arc<Others>) -> Self {
        Self {
            lease: format!("{namespace}/{name}"),
            since: Instant::now(),
            others,
        }
    }

    /// The lease, as `status.operator` names it.
    pub fn lease(&self) -> &str {
        &self.lease
    }

    /// Whose the objects of `namespace` are, if not ours.
    pub fn other(&self, namespace: &str) -> Option<String> {
        self.others.in_namespace(namespace)
    }

    /// What to do about an object of `namespace`, whose status names the lease `written` of its last writer.
    pub fn of(&self, namespace: &str, written: Option<&str>) -> Share {
        if let Some(other) = self.other(namespace) {
            return Share::Others(other);
        }
        let left = HANDOVER.saturating_sub(self.since.elapsed());
        let is_new = written.is_some_and(|lease| lease != self.lease);
        if is_new && !left.is_zero() {
            Share::Soon(left)
        } else {
            Share::Ours
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_another_wrote_is_taken_over_once_that_one_knows() {
        let scope = Scope::new("home", "lease", Arc::default());
        assert_eq!(scope.of("home", None), Share::Ours);
        assert_eq!(scope.of("home", Some("home/lease")), Share::Ours);
        assert_eq!(
            scope.of("home", Some("system/cluster")),
            Share::Soon(HANDOVER)
        );
        tokio::time::advance(HANDOVER).await;
        assert_eq!(scope.of("home", Some("system/cluster")), Share::Ours);
    }
}
