//! Which pods go when replicas are taken away.

use super::Observation;

/// A pod and what deleting it costs, as `controller.kubernetes.io/pod-deletion-cost` says it: the ReplicaSet
/// deletes cheap ones first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Victim {
    /// Name of the pod.
    pub pod: String,
    /// 0 for an idle one; more for one that works, and more the longer its oldest utterance has waited.
    pub cost: i32,
}

/// Work that would be cut off or waited for costs more than none, whatever its age.
const BUSY: f64 = 10.0;

/// The cost of every pod that told its load, and of the `silent` ones, which are taken for busy, because nobody
/// knows.
pub fn victims(seen: &Observation, silent: &[String]) -> Vec<Victim> {
    let cost = |queued: u32, running: u32, oldest_wait_s: f64| {
        if queued + running == 0 {
            return 0;
        }
        #[expect(clippy::cast_possible_truncation, reason = "clamped to a million")]
        let cost = (BUSY + f64::from(queued + running) + oldest_wait_s).clamp(BUSY, 1e6) as i32;
        cost
    };
    let told = seen.replicas.iter().map(|replica| Victim {
        pod: replica.pod.clone(),
        cost: cost(replica.queued, replica.running, replica.oldest_wait_s),
    });
    let untold = silent.iter().map(|pod| Victim {
        pod: pod.clone(),
        cost: cost(0, 1, 0.0),
    });
    told.chain(untold).collect()
}
