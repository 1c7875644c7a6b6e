//! Whether the operator is alive: what `/health` and `/ready` say.
//!
//! Health fails where only a new process helps: a round or the lease's loop that hangs, or rounds that do not
//! come any more. An API server that cannot be reached, a definition or a permission that is missing is not
//! cured by a restart: that is what ready tells. A process that waits for the lease is ready, so that a rollout
//! of the operator itself can go on.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::controller::mirrors::Mirrors;
use crate::controller::reconcile::{PATIENCE, QUIET};

/// Rounds are bounded by themselves; twice that is past hope.
const HANGS: Duration = Duration::from_secs(2 * PATIENCE.as_secs());
/// Each object has its round every [`QUIET`], give or take a fifth, and with failures no later.
const TOO_QUIET: Duration = Duration::from_secs(3 * QUIET.as_secs());
/// The lease is looked at every few seconds.
const LEASE_HANGS: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct State {
    running: HashMap<u64, Instant>,
    begun: u64,
    finished: Option<Instant>,
    lease: Option<Instant>,
    watching: BTreeMap<String, Scope>,
}

/// One namespace, or all of them.
#[derive(Debug)]
struct Scope {
    mirrors: Arc<Mirrors>,
    /// Why the objects themselves cannot be watched.
    trouble: Option<String>,
}

/// Signs of life.
#[derive(Debug, Default)]
pub struct Vitals(Mutex<State>);

/// A round that goes on until this is dropped.
#[derive(Debug)]
pub struct Running {
    vitals: Arc<Vitals>,
    number: u64,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.vitals.lock();
        state.running.remove(&self.number);
        state.finished = Some(Instant::now());
    }
}

impl Vitals {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A round begins.
    pub fn begin(self: &Arc<Self>) -> Running {
        let mut state = self.lock();
        state.begun += 1;
        let number = state.begun;
        state.running.insert(number, Instant::now());
        Running {
            vitals: Arc::clone(self),
            number,
        }
    }

    /// The lease's loop went round.
    pub fn beat(&self) {
        self.lock().lease = Some(Instant::now());
    }

    /// `mirrors` are kept in `namespace`, or everywhere.
    pub fn watching(&self, namespace: Option<&str>, mirrors: Arc<Mirrors>) {
        let scope = Scope {
            mirrors,
            trouble: None,
        };
        let name = namespace.unwrap_or_default().to_owned();
        self.lock().watching.insert(name, scope);
    }

    /// Why objects in `namespace` cannot be watched; none when they can.
    pub fn set_trouble(&self, namespace: Option<&str>, trouble: Option<String>) {
        if let Some(scope) = self.lock().watching.get_mut(namespace.unwrap_or_default()) {
            scope.trouble = trouble;
        }
    }

    /// Whether the process can go on, with `objects` to look after.
    ///
    /// # Errors
    /// What hangs.
    pub fn health(&self, objects: usize) -> Result<(), String> {
        let state = self.lock();
        if let Some(oldest) = state.running.values().map(Instant::elapsed).max()
            && oldest > HANGS
        {
            return Err(format!("a round has hung for {} s", oldest.as_secs()));
        }
        if let Some(quiet) = state.lease.map(|at| at.elapsed())
            && quiet > LEASE_HANGS
        {
            return Err(format!(
                "the lease was not looked at for {} s",
                quiet.as_secs()
            ));
        }
        if objects > 0
            && state.running.is_empty()
            && let Some(quiet) = state.finished.map(|at| at.elapsed())
            && quiet > TOO_QUIET
        {
            return Err(format!("no round has ended for {} s", quiet.as_secs()));
        }
        Ok(())
    }

    /// Whether objects can be acted on, if this is the process to do it.
    ///
    /// # Errors
    /// What is missing.
    pub fn ready(&self) -> Result<(), String> {
        let state = self.lock();
        for (namespace, scope) in &state.watching {
            let place = if namespace.is_empty() {
                String::new()
            } else {
                format!(" in {namespace}")
            };
            if let Some(why) = &scope.trouble {
                return Err(format!("wyomingstts{place} cannot be watched: {why}"));
            }
            if let Some(missing) = scope.mirrors.missing() {
                let why = missing
                    .why
                    .unwrap_or_else(|| "the first list is on its way".to_owned());
                return Err(format!("{}{place} cannot be watched: {why}", missing.kind));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_round_that_hangs_is_noticed() {
        let vitals = Arc::new(Vitals::default());
        let running = vitals.begin();
        tokio::time::advance(HANGS).await;
        assert_eq!(vitals.health(1), Ok(()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(
            vitals.health(1),
            Err("a round has hung for 121 s".to_owned())
        );
        drop(running);
        assert_eq!(vitals.health(1), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn rounds_that_do_not_come_any_more_are_noticed_where_there_are_objects() {
        let vitals = Arc::new(Vitals::default());
        drop(vitals.begin());
        tokio::time::advance(TOO_QUIET + Duration::from_secs(1)).await;
        assert_eq!(vitals.health(0), Ok(()));
        assert_eq!(
            vitals.health(1),
            Err("no round has ended for 901 s".to_owned())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_is_not_looked_at_is_noticed() {
        let vitals = Vitals::default();
        tokio::time::advance(LEASE_HANGS).await;
        assert_eq!(vitals.health(0), Ok(()), "without election there is none");
        vitals.beat();
        tokio::time::advance(LEASE_HANGS + Duration::from_secs(1)).await;
        let said = vitals.health(0).unwrap_err();
        assert_eq!(said, "the lease was not looked at for 61 s");
    }

    #[test]
    fn who_waits_is_ready_and_who_cannot_watch_is_not() {
        let vitals = Vitals::default();
        assert_eq!(vitals.ready(), Ok(()));
        let mirrors = Arc::new(Mirrors::default());
        vitals.watching(Some("home"), Arc::clone(&mirrors));
        let said = vitals.ready().unwrap_err();
        assert_eq!(
            said,
            "deployments in home cannot be watched: the first list is on its way"
        );
        mirrors
            .deployments
            .set_trouble(Some("forbidden".to_owned()));
        assert!(vitals.ready().unwrap_err().ends_with("forbidden"));
        vitals.set_trouble(Some("home"), Some("not found".to_owned()));
        let said = vitals.ready().unwrap_err();
        assert_eq!(said, "wyomingstts in home cannot be watched: not found");
    }
}
