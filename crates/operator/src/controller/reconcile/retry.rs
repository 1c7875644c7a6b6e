//! What happens after a failure: when it is tried again, and what is said of it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kube::Resource;
use kube::runtime::controller::Action;
use tokio::time::Instant;

use super::{Context, QUIET, ReconcileError};
use crate::causes::with_causes;
use crate::controller::names::Names;
use crate::controller::watch::Guarded;

/// First wait after a failure; it doubles.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// Times that it doubles at most: four minutes and a quarter.
const DOUBLINGS: u32 = 8;
/// How long the same thing is not said again.
const SAID_FOR: Duration = Duration::from_secs(300);

/// What was said in the log, and when: a thousand objects fail for one reason, and that is told once.
#[derive(Debug, Default)]
pub struct Said(Mutex<HashMap<String, Instant>>);

impl Said {
    /// Whether `text` is to be said now.
    pub fn is_new(&self, text: &str) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.retain(|_, at| at.elapsed() < SAID_FOR);
        let is_new = !said.contains_key(text);
        if is_new {
            said.insert(text.to_owned(), Instant::now());
        }
        is_new
    }
}

/// When to try again after a failure.
pub fn retry(object: &Guarded, error: &ReconcileError, context: &Context) -> Action {
    let name = object.meta().name.clone().unwrap_or_default();
    let namespace = object.meta().namespace.clone().unwrap_or_default();
    if matches!(error, ReconcileError::Object { .. }) {
        let error = error as &dyn std::error::Error;
        tracing::warn!(name, namespace, error, "object skipped");
        return Action::await_change();
    }
    let uid = object.meta().uid.clone().unwrap_or_default();
    let owner = Names::of(&name, &namespace).owner();
    let mut memory = context.memories.take(&owner, &uid);
    memory.failures = memory.failures.saturating_add(1);
    let wait = FIRST_RETRY
        .saturating_mul(1 << memory.failures.min(DOUBLINGS))
        .min(QUIET);
    // Another spread for each try, or objects that failed together would come back together.
    let wait = spread(wait, &format!("{uid}{}", memory.failures));
    context.memories.keep(owner, uid, memory);
    let why = with_causes(error);
    if context.said.is_new(&why) {
        tracing::warn!(
            name,
            namespace,
            why,
            retry_s = wait.as_secs(),
            "reconcile failed"
        );
    } else {
        tracing::debug!(name, namespace, why, "reconcile failed again");
    }
    Action::requeue(wait)
}

/// `wait`, a fifth shorter or longer at most, by chance that `seed` decides.
pub(super) fn spread(wait: Duration, seed: &str) -> Duration {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = seed.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    let thousandth = u32::try_from((hash >> 32) % 401).unwrap_or(200);
    wait * (800 + thousandth) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_spread_by_a_fifth() {
        let wait = Duration::from_secs(100);
        let spreads: Vec<u64> = (0..1000)
            .map(|seed| spread(wait, &format!("uid-{seed}")).as_secs())
            .collect();
        let (least, most) = (spreads.iter().min(), spreads.iter().max());
        assert!(least < Some(&82) && least >= Some(&80), "{least:?}");
        assert!(most > Some(&118) && most <= Some(&120), "{most:?}");
        assert_eq!(spread(wait, "a"), spread(wait, "a"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_thing_is_said_once_in_a_while() {
        let said = Said::default();
        assert!(said.is_new("a"));
        assert!(!said.is_new("a"));
        assert!(said.is_new("b"));
        tokio::time::advance(SAID_FOR).await;
        assert!(said.is_new("a"));
    }
}
