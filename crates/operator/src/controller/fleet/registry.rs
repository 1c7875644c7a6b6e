//! One task for each object's fleet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::Client;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::keeper::Keeper;
use super::{Loads, Orders, Snapshot};
use crate::controller::mirror::Owner;
use crate::controller::mirrors::Mirrors;
use crate::controller::scope::Scope;
use crate::controller::validate::Replicas;
use crate::controller::watch::Triggers;
use crate::lease::Term;
use crate::metrics::Metrics;

/// How often the load of pods is asked for where replicas follow it.
const ROUND: Duration = Duration::from_secs(5);
/// The same where their number is fixed, unless something changes.
const QUIET: Duration = Duration::from_secs(300);
/// Pods are not asked more often, whatever asks for it.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest that one look may take: the client itself tries again when it is told to slow down.
const PATIENCE: Duration = Duration::from_secs(60);

/// What all fleets share.
pub struct Shared {
    /// The API server.
    pub client: Client,
    /// Until when this process may write.
    pub term: Term,
    /// Whose objects are whose.
    pub scope: Arc<Scope>,
    /// What it has, kept by watching.
    pub mirrors: Arc<Mirrors>,
    /// The pods' load.
    pub loads: Arc<dyn Loads>,
    /// Counters.
    pub metrics: Metrics,
    /// Asks for a round when the status has something new to say.
    pub triggers: Arc<Triggers>,
    /// Since when durations count.
    pub started: Instant,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// One fleet, as its task and the registry have it.
#[derive(Debug)]
struct Fleet {
    orders: Mutex<Orders>,
    seen: Mutex<Option<Arc<Snapshot>>>,
    poke: Notify,
    keeper: tokio::sync::Mutex<Keeper>,
}

#[derive(Debug)]
struct Task {
    fleet: Arc<Fleet>,
    /// None in tests, which look by hand.
    abort: Option<AbortHandle>,
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(abort) = &self.abort {
            abort.abort();
        }
    }
}

/// All fleets; they end with it.
#[derive(Debug)]
pub struct Fleets {
    shared: Arc<Shared>,
    tasks: Mutex<HashMap<Owner, Task>>,
    is_by_hand: bool,
}

impl Fleets {
    /// None yet.
    pub fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
            tasks: Mutex::default(),
            is_by_hand: false,
        }
    }

    /// As [`Self::new`], but nothing looks until [`Self::look`] is called.
    #[cfg(test)]
    pub(crate) fn by_hand(shared: Shared) -> Self {
        Self {
            is_by_hand: true,
            ..Self::new(shared)
        }
    }

    /// Follows `orders` from now on. Another object of that name has another fleet.
    pub fn follow(&self, owner: &Owner, orders: Orders) {
        let mut tasks = lock(&self.tasks);
        if let Some(task) = tasks.get(owner) {
            let mut known = lock(&task.fleet.orders);
            if known.uid == orders.uid {
                let is_new = *known != orders;
                let is_fixed = matches!(orders.replicas, Replicas::Fixed(_));
                *known = orders;
                drop(known);
                // A fixed fleet is looked at when something changed, which is when this is called.
                if is_new || is_fixed {
                    task.fleet.poke.notify_one();
                }
                return;
            }
        }
        let fleet = Arc::new(Fleet {
            orders: Mutex::new(orders),
            seen: Mutex::default(),
            poke: Notify::new(),
            keeper: tokio::sync::Mutex::default(),
        });
        let abort = (!self.is_by_hand).then(|| {
            let task = follow(Arc::clone(&self.shared), owner.clone(), Arc::clone(&fleet));
            tokio::spawn(task).abort_handle()
        });
        tasks.insert(owner.clone(), Task { fleet, abort });
    }

    /// Lets go of an object's fleet: nothing is ordered for it any more.
    pub fn stop(&self, owner: &Owner) {
        lock(&self.tasks).remove(owner);
    }

    /// What was seen of an object's fleet last.
    pub fn snapshot(&self, owner: &Owner) -> Option<Arc<Snapshot>> {
        let tasks = lock(&self.tasks);
        lock(&tasks.get(owner)?.fleet.seen).clone()
    }

    /// One look.
    #[cfg(test)]
    pub(crate) async fn look(&self, owner: &Owner) {
        let fleet = lock(&self.tasks)
            .get(owner)
            .map(|task| Arc::clone(&task.fleet));
        if let Some(fleet) = fleet {
            look(&self.shared, owner, &fleet).await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks at `fleet` again and again, until it is aborted.
async fn follow(shared: Arc<Shared>, owner: Owner, fleet: Arc<Fleet>) {
    let mut again = PAUSE;
    loop {
        let begun = Instant::now();
        if tokio::time::timeout(PATIENCE, look(&shared, &owner, &fleet))
            .await
            .is_err()
        {
            tracing::warn!(
                name = owner.name,
                namespace = owner.namespace,
                "the load of the replicas could not be read in time"
            );
        }
        let is_fixed = matches!(lock(&fleet.orders).replicas, Replicas::Fixed(_));
        let silent = lock(&fleet.seen).as_ref().map(|seen| seen.silent());
        // Pods that do not answer are asked again, less and less often.
        again = match silent {
            Some(1..) => (2 * again).min(QUIET),
            _ => PAUSE,
        };
        let rest = match (silent, is_fixed) {
            // The first lists are on their way.
            (None, _) => PAUSE,
            (Some(0), true) => QUIET,
            (Some(_), true) => again,
            (Some(_), false) => ROUND,
        };
        tokio::time::sleep_until(begun + PAUSE).await;
        // Cancel-safe: both only wait, and a poke that comes meanwhile stays.
        tokio::select! {
            () = fleet.poke.notified() => {}
            () = tokio::time::sleep_until(begun + rest) => {}
        }
    }
}

async fn look(shared: &Shared, owner: &Owner, fleet: &Fleet) {
    let orders = lock(&fleet.orders).clone();
    let begun = Instant::now();
    let looked = fleet.keeper.lock().await.look(shared, &orders).await;
    let Some((snapshot, is_news)) = looked else {
        return;
    };
    shared.metrics.scaled(begun.elapsed());
    let models = |snapshot: &Snapshot| {
        let models = snapshot.reports().map(|report| report.model.clone());
        models.collect::<Vec<_>>()
    };
    let mut seen = lock(&fleet.seen);
    // What a fixed fleet serves is in the status as well.
    let is_other = seen.as_ref().map(|seen| models(seen)) != Some(models(&snapshot));
    *seen = Some(Arc::new(snapshot));
    drop(seen);
    if is_news || is_other {
        shared.triggers.add(owner);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use futures::future::BoxFuture;
    use telemetry::Meters;
    use telemetry::load::LoadReport;

    use super::*;
    use crate::controller::fake::Fake;
    use crate::controller::names::Names;

    struct Never;

    impl Loads for Never {
        fn load(&self, _: IpAddr, _: u16, _: bool) -> BoxFuture<'_, Option<LoadReport>> {
            Box::pin(async { None })
        }
    }

    fn fleets() -> Fleets {
        let meters = Meters::new("test", "stt_operator", None).unwrap();
        let leader = tokio::sync::watch::channel(true).1;
        Fleets::by_hand(Shared {
            term: Term::unlimited(),
            scope: Arc::new(Scope::new("home", "lease", Arc::default())),
            client: Fake::start().1,
            mirrors: Arc::default(),
            loads: Arc::new(Never),
            metrics: Metrics::new(&meters, false, leader),
            triggers: Arc::default(),
            started: Instant::now(),
        })
    }

    fn orders(uid: &str) -> Orders {
        Orders {
            names: Names::of("kitchen", "home"),
            uid: uid.to_owned(),
            replicas: Replicas::Fixed(1),
            port: 1,
            startup_timeout: Duration::from_secs(60),
        }
    }

    #[tokio::test]
    async fn another_object_of_that_name_has_another_fleet_and_a_stopped_one_has_none() {
        let fleets = fleets();
        let owner = Names::of("kitchen", "home").owner();
        let fleet = |fleets: &Fleets| {
            let tasks = lock(&fleets.tasks);
            tasks.get(&owner).map(|task| Arc::as_ptr(&task.fleet))
        };
        fleets.follow(&owner, orders("1"));
        let first = fleet(&fleets);
        fleets.follow(&owner, orders("1"));
        assert_eq!(fleet(&fleets), first);
        fleets.follow(&owner, orders("2"));
        assert_ne!(fleet(&fleets), first);
        fleets.stop(&owner);
        assert_eq!(fleet(&fleets), None);
    }

    #[tokio::test]
    async fn nothing_is_seen_before_every_kind_is_known() {
        let fleets = fleets();
        let owner = Names::of("kitchen", "home").owner();
        fleets.follow(&owner, orders("1"));
        fleets.look(&owner).await;
        assert!(fleets.snapshot(&owner).is_none());
    }
}
