//! Which pods go when replicas are taken away.

use super::{Figures, Observation};

/// A pod that should go, and what deleting it costs, as `controller.kubernetes.io/pod-deletion-cost` says it: the
/// ReplicaSet deletes cheap ones first, and one without a mark costs 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Victim {
    /// Name of the pod.
    pub pod: String,
    /// Below 0.
    pub cost: i32,
}

/// The cheapest victim's.
const CHEAPEST: i32 = -2000;

/// The ready pods to mark so that `fewer` pods can go: none for those that go by themselves, because they run nowhere
/// or are not ready. First sick ones, then those without clients, idle ones, those that listen, those with the
/// least work, and silent ones, of which nothing is known.
pub fn victims(seen: &Observation, figures: &Figures, fewer: u32) -> Vec<Victim> {
    let unready = seen.unschedulable + seen.refused + seen.starting + seen.broken;
    let wanted = usize::try_from(fewer.saturating_sub(unready)).unwrap_or(usize::MAX);
    let mut ranked: Vec<(u8, u32, &str)> = seen
        .replicas
        .iter()
        .map(|replica| {
            let work = replica.queued + replica.running;
            let rank = if figures.sick.contains(&replica.pod) {
                0
            } else if work == 0 && replica.open == 0 {
                u8::from(!figures.unreached.contains(&replica.pod)) + 1
            } else if work == 0 {
                3
            } else {
                4
            };
            (rank, work + replica.open, replica.pod.as_str())
        })
        .chain(seen.silent.iter().map(|pod| (5, 0, pod.as_str())))
        .collect();
    ranked.sort_unstable();
    let costs = CHEAPEST..0;
    ranked
        .into_iter()
        .zip(costs)
        .take(wanted)
        .map(|((.., pod), cost)| Victim {
            pod: pod.to_owned(),
            cost,
        })
        .collect()
}
