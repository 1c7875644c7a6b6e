//! Watches every kind that belongs to objects, and asks for rounds when something changed.

use std::collections::HashSet;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt, stream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::mirror::{Kept, Mirror, Owner, Source};
use super::mirrors::Mirrors;
use super::names::{MANAGED_BY, MANAGER};
use crate::api::WyomingStt;
use crate::causes::with_causes;

/// Changes within this time make one round: a rollout changes a Deployment and its pods many times a second.
const GATHER: Duration = Duration::from_millis(200);
/// First wait after a watch failed; it doubles up to [`MOST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Not longer, so that a definition or a permission that comes late is noticed soon.
const MOST_WAIT: Duration = Duration::from_secs(15);
/// Objects of one answer to a list: the whole of it is in memory at once.
const PAGE: u32 = 100;

/// An object as it is read; one that is not understood does not stop the others.
pub type Guarded = DeserializeGuard<WyomingStt>;

/// Watches everything in `namespace`, or everywhere, for as long as it is polled.
pub async fn follow_all(
    mirrors: &Mirrors,
    client: &Client,
    namespace: Option<&str>,
    triggers: &Triggers,
) {
    let all = &format!("{MANAGED_BY}={MANAGER}");
    tokio::join!(
        follow(
            &mirrors.deployments,
            api::<Deployment>(client, namespace),
            all,
            triggers
        ),
        follow(
            &mirrors.services,
            api::<Service>(client, namespace),
            all,
            triggers
        ),
        follow(
            &mirrors.service_accounts,
            api::<ServiceAccount>(client, namespace),
            all,
            triggers
        ),
        follow(
            &mirrors.claims,
            api::<PersistentVolumeClaim>(client, namespace),
            all,
            triggers
        ),
        follow(
            &mirrors.network_policies,
            api::<NetworkPolicy>(client, namespace),
            all,
            triggers
        ),
        follow(
            &mirrors.disruption_budgets,
            api::<PodDisruptionBudget>(client, namespace),
            all,
            triggers
        ),
        follow(&mirrors.pods, api::<Pod>(client, namespace), all, triggers),
    );
}

/// Keeps `mirror` as the API server has it.
async fn follow<K, T>(mirror: &Mirror<T>, api: Api<K>, labels: &str, triggers: &Triggers)
where
    T: Kept,
    K: Source<Kept = T>
        + Resource<DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    let config = watcher::Config::default()
        .labels(labels)
        .any_semantic()
        .page_size(PAGE);
    let kind = K::plural(&());
    let mut events = pin!(watched(api, config, |why| {
        if mirror.set_trouble(why.clone()) {
            tell(&kind, why.as_deref());
        }
    }));
    while let Some(event) = events.next().await {
        for owner in mirror.take(event) {
            triggers.add(&owner);
        }
    }
}

/// The objects themselves: a store of them, and their references as they change. `said` hears why they cannot
/// be watched, and none when they can.
pub fn objects(
    client: &Client,
    namespace: Option<&str>,
    mut said: impl FnMut(Option<String>) + Send + 'static,
) -> (
    Store<Guarded>,
    impl Stream<Item = ObjectRef<Guarded>> + Send + 'static,
) {
    let (store, mut writer) = reflector::store();
    let api: Api<Guarded> = api(client, namespace);
    let config = watcher::Config::default().any_semantic().page_size(PAGE);
    let mut last: Option<Option<String>> = None;
    let events = watched(api, config, move |why| {
        if last.as_ref() != Some(&why) {
            tell("wyomingstts", why.as_deref());
            said(why.clone());
            last = Some(why);
        }
    });
    let touched = events.filter_map(move |mut event| {
        slim(&mut event);
        writer.apply_watcher_event(&event);
        let touched = match &event {
            watcher::Event::Apply(object)
            | watcher::Event::InitApply(object)
            | watcher::Event::Delete(object) => Some(ObjectRef::from_obj(object)),
            watcher::Event::Init | watcher::Event::InitDone => None,
        };
        futures::future::ready(touched)
    });
    (store, touched)
}

fn slim(event: &mut watcher::Event<Guarded>) {
    use kube::ResourceExt;
    if let watcher::Event::Apply(object) | watcher::Event::InitApply(object) = event {
        object.managed_fields_mut().clear();
    }
}

/// A watch that goes on for ever; `said` hears each failure, and none after it.
fn watched<K>(
    api: Api<K>,
    config: watcher::Config,
    said: impl FnMut(Option<String>) + Send,
) -> impl Stream<Item = watcher::Event<K>> + Send
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let events = watcher::watcher(api, config).boxed();
    stream::unfold(
        (events, Failures::default(), said),
        |(mut events, mut failures, mut said)| async move {
            loop {
                match events.try_next().await {
                    // A try begins with this; it tells nothing about how it ends.
                    Ok(Some(watcher::Event::Init)) => {
                        return Some((watcher::Event::Init, (events, failures, said)));
                    }
                    Ok(Some(event)) => {
                        said(None);
                        return Some((event, (events, Failures::default(), said)));
                    }
                    Ok(None) => return None,
                    Err(error) => {
                        // A watch that ends because its version is too old begins anew at once, as it should.
                        if !is_expired(&error) {
                            let wait = wait(failures.count);
                            said(Some(failures.add(&error)));
                            tokio::time::sleep(wait).await;
                        }
                    }
                }
            }
        },
    )
}

/// Failures in a row.
#[derive(Debug, Default)]
struct Failures {
    count: u32,
    /// What was said of an API server that does not answer. It can be gone in several ways, one after the other, which
    /// is no news.
    silence: Option<String>,
}

impl Failures {
    /// Counts one. Returns what is to be said of it.
    fn add(&mut self, error: &watcher::Error) -> String {
        self.count = self.count.saturating_add(1);
        if is_answer(error) {
            self.silence = None;
            return why(error);
        }
        self.silence.get_or_insert_with(|| why(error)).clone()
    }
}

/// Whether the API server said it.
fn is_answer(error: &watcher::Error) -> bool {
    matches!(
        error,
        watcher::Error::InitialListFailed(kube::Error::Api(_))
            | watcher::Error::WatchStartFailed(kube::Error::Api(_))
            | watcher::Error::WatchFailed(kube::Error::Api(_))
            | watcher::Error::WatchError(_)
    )
}

fn wait(failures: u32) -> Duration {
    FIRST_WAIT
        .saturating_mul(1 << failures.min(10))
        .min(MOST_WAIT)
}

fn is_expired(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchError(status) if status.code == 410)
}

/// For people: what the API server said, without the words around it.
fn why(error: &watcher::Error) -> String {
    match error {
        // The answer of an API server that does not have the kind is no sentence.
        watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404 => {
            "the cluster does not know it: apply its definition".to_owned()
        }
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status.message.clone(),
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => with_causes(error),
        error @ watcher::Error::NoResourceVersion => error.to_string(),
    }
}

/// Once for each change: what goes on failing is not told again and again.
fn tell(kind: &str, why: Option<&str>) {
    if let Some(why) = why {
        tracing::warn!(kind, why, "kind cannot be watched; trying again");
    } else {
        tracing::info!(kind, "kind is watched");
    }
}

/// `K` in `namespace`, or everywhere.
pub fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Objects that are to have a round, gathered for a moment.
#[derive(Debug, Default)]
pub struct Triggers {
    waiting: Mutex<HashSet<Owner>>,
    something: Notify,
}

impl Triggers {
    /// Asks for a round of `owner`.
    pub fn add(&self, owner: &Owner) {
        if self.lock().insert(owner.clone()) {
            self.something.notify_one();
        }
    }

    /// What is asked for, each object once within a moment; for ever.
    pub fn gathered(self: Arc<Self>) -> impl Stream<Item = Owner> + Send {
        let moments = stream::unfold(self, |triggers| async move {
            triggers.something.notified().await;
            tokio::time::sleep(GATHER).await;
            let gathered: Vec<Owner> = triggers.lock().drain().collect();
            Some((stream::iter(gathered), triggers))
        });
        moments.flatten()
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Owner>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
