//! Operators of other scopes that look after the same objects.
//!
//! The lease of an operator is where its objects are: in each namespace that it watches. All operators that watch a
//! namespace by name want that one lease, so one of them writes there. An operator of the whole cluster holds a lease of
//! another name in its own namespace, and lists all leases of both names: it leaves a namespace that has an operator to
//! that operator, and waits while another operator of the whole cluster is alive. An operator is alive while its lease
//! changes, by our own clock. A change counts for longer than a restart takes, so that no object goes to and fro.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::time::Instant;

use super::{CLUSTER, DURATION, LOOK, NAMESPACE, PATIENCE, holder};
use crate::causes::with_causes;

/// After this long without a change of its lease, an operator of another scope is gone for good: releases restart and
/// are upgraded in less.
const GONE: Duration = Duration::from_secs(60);

/// What was seen of one lease.
#[derive(Clone, Debug)]
struct Sign {
    version: Option<String>,
    /// The process that has it, or had it last.
    holder: String,
    is_held: bool,
    since: Instant,
    /// Whether a process was seen to hold it.
    was_held: bool,
    /// Whether it was seen to change.
    has_moved: bool,
}

/// Leases by their namespaces.
type Signs = HashMap<String, Sign>;

#[derive(Debug, Default)]
struct State {
    /// Whether leases are to be looked at, and have not been yet.
    is_blind: bool,
    of_cluster: Signs,
    of_namespaces: Signs,
}

/// Operators of other scopes, as far as they were seen.
#[derive(Debug, Default)]
pub struct Others(Mutex<State>);

/// Why an operator of the whole cluster does not take its lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// Leases were not seen yet.
    Blind,
    /// Another operator of the whole cluster is there.
    Rival(String),
}

impl Others {
    /// For an operator of the whole cluster, which waits until it has looked: call [`Self::follow`].
    pub fn of_cluster() -> Self {
        Self(Mutex::new(State {
            is_blind: true,
            ..State::default()
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process that holds the lease of `namespace` itself, if one is alive.
    pub fn in_namespace(&self, namespace: &str) -> Option<String> {
        let state = self.lock();
        let sign = state.of_namespaces.get(namespace)?;
        sign.counts().then(|| sign.holder.clone())
    }

    /// What keeps this process from taking the lease of the whole cluster.
    pub(super) fn block(&self) -> Option<Block> {
        let state = self.lock();
        if state.is_blind {
            return Some(Block::Blind);
        }
        let mut signs = state.of_cluster.iter();
        let (namespace, sign) = signs.find(|(_, sign)| sign.counts())?;
        Some(Block::Rival(format!("{} in {namespace}", sign.holder)))
    }

    /// The one that goes on of several that took their leases at the same time, if that is not this process: the one whose
    /// namespace comes first.
    pub(super) fn stronger(&self, own: &str) -> Option<String> {
        let state = self.lock();
        let mut signs = state.of_cluster.iter();
        let (namespace, sign) = signs.find(|(namespace, sign)| {
            let is_fresh = sign.is_held && sign.since.elapsed() < DURATION;
            namespace.as_str() < own && sign.has_moved && is_fresh
        })?;
        Some(format!("{} in {namespace}", sign.holder))
    }

    /// Looks at all leases, again and again. `own` is where this process has its own.
    pub async fn follow(&self, client: &Client, own: &str) {
        let leases: Api<Lease> = Api::all(client.clone());
        let mut said = String::new();
        loop {
            let look = async { tokio::try_join!(list(&leases, CLUSTER), list(&leases, NAMESPACE)) };
            let why = match tokio::time::timeout(PATIENCE, look).await {
                Ok(Ok((of_cluster, of_namespaces))) => {
                    self.saw(own, of_cluster, of_namespaces);
                    String::new()
                }
                Ok(Err(error)) => {
                    // The role does not allow it: this process works as if it were alone, and logs that.
                    if matches!(&error, kube::Error::Api(status) if status.is_forbidden()) {
                        self.lock().is_blind = false;
                    }
                    with_causes(&error)
                }
                Err(_) => "no answer in time".to_owned(),
            };
            if !why.is_empty() && said != why {
                tracing::warn!(why, "leases of other operators cannot be seen");
            }
            said = why;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Takes in all leases of both names.
    pub(crate) fn saw(&self, own: &str, of_cluster: Vec<Lease>, of_namespaces: Vec<Lease>) {
        let mut state = self.lock();
        state.of_cluster = noted(&state.of_cluster, of_cluster);
        state.of_cluster.remove(own);
        state.of_namespaces = noted(&state.of_namespaces, of_namespaces);
        state.is_blind = false;
    }
}

impl Sign {
    fn counts(&self) -> bool {
        self.was_held && self.since.elapsed() < GONE
    }
}

async fn list(leases: &Api<Lease>, name: &str) -> Result<Vec<Lease>, kube::Error> {
    // A role can allow lists of one name.
    let params = ListParams::default().fields(&format!("metadata.name={name}"));
    Ok(leases.list(&params).await?.items)
}

/// `leases`, with what was seen of them before.
fn noted(before: &Signs, leases: Vec<Lease>) -> Signs {
    let noted = leases.into_iter().filter_map(|lease| {
        let namespace = lease.metadata.namespace.clone()?;
        let old = before.get(&namespace);
        let version = lease.metadata.resource_version.clone();
        let holder = holder(&lease).to_owned();
        if let Some(old) = old.filter(|old| old.version == version) {
            return Some((namespace, old.clone()));
        }
        let sign = Sign {
            is_held: !holder.is_empty(),
            was_held: !holder.is_empty() || old.is_some_and(|old| old.was_held),
            // The process that gave it back is named until another takes it.
            holder: old
                .filter(|_| holder.is_empty())
                .map_or(holder, |old| old.holder.clone()),
            version,
            since: Instant::now(),
            has_moved: old.is_some(),
        };
        Some((namespace, sign))
    });
    noted.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lease(namespace: &str, holder: &str, version: u32) -> Lease {
        serde_json::from_value(json!({
            "metadata": {"namespace": namespace, "name": "any", "resourceVersion": version.to_string()},
            "spec": {"holderIdentity": holder, "renewTime": "2001-01-01T00:00:00.000000Z"},
        }))
        .unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_with_its_own_operator_is_left_to_it_until_that_is_gone_for_good() {
        let others = Others::of_cluster();
        let see = |leases| others.saw("system", Vec::new(), leases);
        see(vec![lease("team", "one", 1), lease("old", "", 1)]);
        assert_eq!(others.in_namespace("team").as_deref(), Some("one"));
        assert_eq!(others.in_namespace("home"), None);
        assert_eq!(others.in_namespace("old"), None, "given back long ago");
        // It restarts: nothing goes to and fro.
        tokio::time::advance(Duration::from_secs(59)).await;
        see(vec![lease("team", "", 2)]);
        assert_eq!(others.in_namespace("team").as_deref(), Some("one"));
        tokio::time::advance(Duration::from_secs(20)).await;
        see(vec![lease("team", "two", 3)]);
        assert_eq!(others.in_namespace("team").as_deref(), Some("two"));
        // Its clock says nothing, and looking is no sign of life.
        tokio::time::advance(GONE).await;
        see(vec![lease("team", "two", 3)]);
        assert_eq!(others.in_namespace("team"), None);
        see(vec![lease("team", "two", 4)]);
        assert_eq!(others.in_namespace("team").as_deref(), Some("two"));
        see(Vec::new());
        assert_eq!(others.in_namespace("team"), None, "the lease was deleted");
    }

    #[tokio::test(start_paused = true)]
    async fn one_operator_of_the_whole_cluster_leads() {
        let others = Others::of_cluster();
        assert_eq!(others.block(), Some(Block::Blind));
        let see = |leases| others.saw("m", leases, Vec::new());
        see(vec![lease("m", "me", 1), lease("a", "", 1)]);
        assert_eq!(others.block(), None, "its own, and one that was given back");
        see(vec![lease("z", "other", 1)]);
        assert_eq!(others.block(), Some(Block::Rival("other in z".to_owned())));
        tokio::time::advance(GONE).await;
        see(vec![lease("z", "other", 1)]);
        assert_eq!(others.block(), None);
        assert_eq!(Others::default().block(), None, "of one namespace");
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_that_began_at_once_the_first_by_name_goes_on() {
        let others = Others::of_cluster();
        let see = |leases| others.saw("m", leases, Vec::new());
        see(vec![lease("a", "first", 1), lease("z", "last", 1)]);
        assert_eq!(others.stronger("m"), None, "neither was seen to live");
        see(vec![lease("a", "first", 2), lease("z", "last", 2)]);
        assert_eq!(others.stronger("m").as_deref(), Some("first in a"));
        tokio::time::advance(DURATION).await;
        assert_eq!(others.stronger("m"), None);
        see(vec![lease("z", "last", 3)]);
        assert_eq!(others.stronger("m"), None, "that one gives up");
    }
}
