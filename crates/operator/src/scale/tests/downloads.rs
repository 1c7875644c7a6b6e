//! Replicas that download their model, so many at once.

use super::*;

/// Replicas become ready three rounds after they were ordered.
fn orders(policy: &Policy) -> Vec<(u32, LimitedBy)> {
    let mut history = vec![1];
    let decisions = course(policy, 1, 24, |_, ordered| {
        history.push(ordered);
        let ready = history[history.len().saturating_sub(4)].max(1);
        Observation {
            starting: ordered - ready,
            ..fleet(ready, 40 * ready)
        }
    });
    let pairs = decisions.iter().map(|it| (it.replicas, it.limited_by));
    pairs.collect()
}

fn eager() -> Policy {
    let mut policy = policy();
    (policy.up.replicas, policy.min) = (1000, 20);
    policy
}

#[test]
fn twenty_new_replicas_start_four_at_a_time() {
    let all_at_once = orders(&eager());
    assert_eq!(all_at_once[0].0, 20);
    let bounded = Policy {
        max_starting: Some(4),
        ..eager()
    };
    let orders = orders(&bounded);
    assert_eq!(orders[0], (5, LimitedBy::Downloads));
    let mut before = vec![1; 4];
    for (replicas, _) in &orders {
        let ready = before[before.len() - 4].max(1);
        assert!(replicas - ready <= 4, "{orders:?}");
        before.push(*replicas);
    }
    assert_eq!(orders.last().unwrap().0, 20, "{orders:?}");
}

#[test]
fn pods_without_a_node_do_not_hold_back_further_ones() {
    assert_eq!(startable(Some(4), 10, 2 + 8), 14);
    assert_eq!(startable(Some(4), 10, 2), 10, "never fewer than there are");
    assert_eq!(startable(None, 1, 0), u32::MAX);
}
