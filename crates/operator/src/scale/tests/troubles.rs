//! Pods that are broken, sick, silent or without a place, and loads that no replica can help.

use super::*;
use crate::scale::service::Service;
use crate::scale::wanted;

fn orders(decisions: &[Decision]) -> Vec<u32> {
    decisions.iter().map(|decision| decision.replicas).collect()
}

#[test]
fn a_broken_pod_guards_nothing() {
    // It is not ready, so it is the first that the ReplicaSet deletes.
    let seen = |_: u32, ordered: u32| {
        let broken = u32::from(ordered == 8);
        Observation {
            broken,
            ..fleet(ordered - broken, 0)
        }
    };
    let decisions = course(&policy(), 8, 200, seen);
    let orders = orders(&decisions);
    assert_eq!((orders[59], orders[60], orders[199]), (8, 6, 1));
}

#[test]
fn a_broken_pod_is_replaced_and_a_broken_fleet_is_not_multiplied() {
    // Four are wanted, one of those that are ordered never becomes ready.
    let one = course(&policy(), 4, 20, |_, ordered| Observation {
        broken: 1,
        ..fleet(ordered - 1, 15)
    });
    assert_eq!(last(&one).replicas, 5);
    let all = course(&policy(), 4, 50, |_, ordered| Observation {
        broken: ordered - 1,
        ..fleet(1, 16)
    });
    assert!(last(&all).replicas <= 6, "{:?}", orders(&all));
}

#[test]
fn a_broken_pod_says_nothing_about_how_long_a_start_takes() {
    let mut seen = fleet(2, 0);
    seen.broken = 1;
    let decisions = course(&policy(), 3, 1, |_, _| seen.clone());
    assert_eq!(last(&decisions).figures.startup, seconds(60));
}

#[test]
fn a_fleet_that_is_wholly_silent_grows_and_says_so() {
    let seen = |_: u32, ordered: u32| Observation {
        silent: (0..ordered).map(|index| format!("pod-{index}")).collect(),
        ..Observation::default()
    };
    let decisions = course(&policy(), 1, 70, seen);
    let at = |second: usize| &decisions[second / 5];
    assert_eq!((at(10).replicas, at(75).replicas), (1, 2));
    assert!(
        at(140).replicas >= 4 && at(140).replicas <= 6,
        "{:?}",
        orders(&decisions)
    );
    assert_eq!(last(&decisions).replicas, policy().max);
    assert_eq!(at(75).limited_by, LimitedBy::MetricsUnavailable);
    assert_eq!(at(75).blind_for, Some(seconds(75)));
    assert_eq!(at(75).figures.silent, 2);
}

#[test]
fn half_of_a_fleet_that_is_silent_is_taken_to_have_what_the_others_have() {
    let traffic = |silent: u32| {
        let decisions = course(&policy(), 8, 100, |round, _| {
            let mut seen = working(8, 16, round, 0.5, 2.0);
            let gone = seen
                .replicas
                .split_off(usize::try_from(8 - silent).unwrap());
            seen.silent = gone.into_iter().map(|it| it.pod).collect();
            seen
        });
        last(&decisions).figures.clone()
    };
    let (whole, half) = (traffic(0), traffic(4));
    assert!(
        (whole.arrival_rate - half.arrival_rate).abs() < 0.1,
        "{half:?}"
    );
    assert!((whole.depth - half.depth).abs() < 0.1, "{half:?}");
}

#[test]
fn what_comes_at_once_and_does_not_go_on_orders_nothing_that_comes_too_late() {
    let decisions = course(&policy(), 4, 100, |round, _| {
        let mut seen = working(4, if round == 50 { 68 } else { 2 }, round, 0.5, 1.0);
        for replica in &mut seen.replicas {
            replica.arrived += if round >= 50 { 125 } else { 0 };
        }
        seen
    });
    // One replica does 12.5 of its queue in 25 s, whatever comes beside it: 1 / (0.475 − 12.5 / 60) help.
    assert!(
        orders(&decisions).iter().all(|order| *order <= 4),
        "{:?}",
        orders(&decisions)
    );
}

#[test]
fn queues_that_no_replica_can_shorten_are_said() {
    let slow = Policy {
        drain_target: seconds(20),
        startup_hint: seconds(20),
        ..policy()
    };
    let decisions = course(&slow, 4, 100, |round, _| working(4, 68, round, 0.5, 0.5));
    assert!(last(&decisions).is_beyond_help, "{:?}", last(&decisions));
    let decisions = course(&slow, 4, 100, |round, _| working(4, 8, round, 0.5, 0.5));
    assert!(!last(&decisions).is_beyond_help);
}

/// Four replicas at 0.5 a second, of which one is not like the others from round 40 on.
fn with_one_sick(change: impl Fn(&mut Replica, u64)) -> Vec<Decision> {
    let mut policy = policy();
    policy.min = 4;
    course(&policy, 4, 160, |round, ordered| {
        let mut seen = working(ordered.min(5), 0, round, 0.2, 0.2 * f64::from(ordered));
        for replica in &mut seen.replicas {
            replica.busy_s *= 0.4;
        }
        let age = u64::from(round.saturating_sub(40));
        // It goes as soon as fewer are ordered.
        if let Some(replica) = seen.replicas.iter_mut().find(|it| it.pod == "pod-2") {
            replica.arrived = replica.arrived.min(40) + age;
            replica.finished = replica.finished.min(40);
            replica.busy_s = replica.busy_s.min(80.0);
            if age > 0 {
                change(replica, age);
            }
        }
        seen
    })
}

#[test]
fn a_replica_that_answers_nothing_is_found_replaced_and_goes_first() {
    let decisions = with_one_sick(|replica, age| {
        replica.finished += age.saturating_sub(5);
        replica.expired = age.saturating_sub(5);
        replica.busy_s += age as f64 * 5.0;
        (replica.queued, replica.running) = (4, 1);
    });
    let sick = decisions.iter().find(|it| !it.figures.sick.is_empty());
    assert_eq!(sick.unwrap().figures.sick, ["pod-2"]);
    let most = orders(&decisions).into_iter().max();
    assert_eq!(most, Some(5), "one comes before it goes");
    let seen = fleet(5, 3);
    let victims = victims(&seen, &sick.unwrap().figures, 1);
    assert_eq!(victims[0].pod, "pod-2");
}

#[test]
fn a_replica_that_is_far_slower_than_the_others_and_loses_some_is_found() {
    let found = |lost: u64| {
        let decisions = with_one_sick(|replica, age| {
            replica.expired = lost * age / 6;
            replica.finished += age / 4 + replica.expired;
            replica.busy_s += age as f64 * 5.0;
        });
        let sick = decisions.iter().find(|it| !it.figures.sick.is_empty());
        sick.map(|it| it.figures.sick.clone())
    };
    assert_eq!(found(1), Some(vec!["pod-2".to_owned()]));
    // It may have long recordings.
    assert_eq!(found(0), None);
}

#[test]
fn a_replica_that_is_at_a_long_recording_is_not_sick() {
    // Three deadlines go by behind it, and then it answers again.
    let decisions = with_one_sick(|replica, age| {
        replica.expired = age.min(3);
        replica.finished += replica.expired + age.saturating_sub(6);
        replica.busy_s += age as f64 * 5.0;
        replica.running = 1;
    });
    assert!(decisions.iter().all(|it| it.figures.sick.is_empty()));
}

#[test]
fn a_server_that_does_not_tell_its_deadlines_is_found_by_its_oldest_utterance() {
    let decisions = with_one_sick(|replica, age| {
        replica.finished += age;
        replica.busy_s += age as f64 * 5.0 * 0.4;
        replica.oldest_wait_s = 22.0;
    });
    let sick = decisions.iter().find(|it| !it.figures.sick.is_empty());
    assert_eq!(sick.unwrap().figures.sick, ["pod-2"]);
}

#[test]
fn a_fleet_in_which_many_are_slow_has_a_load_and_no_sickness() {
    let decisions = course(&policy(), 4, 100, |round, _| {
        let mut seen = working(4, 60, round, 0.5, 3.0);
        for replica in &mut seen.replicas[..2] {
            replica.expired = replica.finished;
            replica.oldest_wait_s = 24.0;
        }
        seen
    });
    assert!(decisions.iter().all(|it| it.figures.sick.is_empty()));
}

#[test]
fn the_rate_is_that_of_all_slots_and_not_of_what_happened_to_run() {
    // A batch of n takes 1 + 0.2 n seconds.
    let seconds_of = |together: u32| 1.0 + 0.2 * f64::from(together);
    let mut service = Service::default();
    for _ in 0..50 {
        service.add(1, 2.0, 2.0 * seconds_of(1));
    }
    // Until a batch was seen, each further utterance is taken to cost half.
    let unseen = service.rate(4).unwrap();
    assert!((unseen - 4.0 / (1.2 * 2.5)).abs() < 0.05, "{unseen}");
    for _ in 0..100 {
        service.add(3, 3.0, seconds_of(3));
    }
    let seen = service.rate(4).unwrap();
    let truth = 4.0 / seconds_of(4);
    assert!(
        (seen / truth - 1.0).abs() < 0.1,
        "{seen} is not about {truth}"
    );
    // With one slot there is nothing to fit.
    let mut single = Service::default();
    single.add(1, 40.0, 80.0);
    assert!((single.rate(1).unwrap() - 0.5).abs() < 1e-9);
}

#[test]
fn answers_that_were_errors_are_no_service() {
    // Of 0.29 answers a second 0.09 say that the deadline went by.
    let decisions = course(&policy(), 4, 200, |round, _| {
        let mut seen = working(4, 60, round, 0.29, 2.0);
        for replica in &mut seen.replicas {
            replica.expired = whole(0.09 * f64::from(round * 5));
        }
        seen
    });
    let figures = &last(&decisions).figures;
    assert!(
        (figures.service_rate.unwrap() - 0.2).abs() < 0.01,
        "{figures:?}"
    );
    assert!(
        (figures.attained.unwrap() - 0.69).abs() < 0.02,
        "{figures:?}"
    );
}

#[test]
fn what_is_attained_is_what_was_answered_within_the_target() {
    // Of 0.3 answers a second 0.1 come later than asked for, and one a minute is refused.
    let attained = |says: bool| {
        let decisions = course(&policy(), 4, 400, |round, _| {
            let mut seen = working(4, 60, round, 0.3, 2.0);
            for replica in &mut seen.replicas {
                replica.in_time = says.then(|| whole(0.2 * f64::from(round * 5)));
                replica.refused = u64::from(round * 5 / 60);
            }
            seen
        });
        last(&decisions).figures.attained.unwrap()
    };
    let all = 0.3 + 1.0 / 60.0;
    assert!(
        (attained(true) - 0.2 / all).abs() < 0.02,
        "{}",
        attained(true)
    );
    // A server of an older release says only what went by its deadline: nothing.
    assert!(
        (attained(false) - 0.3 / all).abs() < 0.02,
        "{}",
        attained(false)
    );
}

#[test]
fn a_target_that_changes_counts_no_utterance_twice() {
    let decisions = course(&policy(), 2, 40, |round, _| {
        let mut seen = working(2, 60, round, 0.3, 2.0);
        for replica in &mut seen.replicas {
            // As if all that was ever answered were in time from now on.
            replica.in_time = Some(if round < 20 { 0 } else { replica.finished });
        }
        seen
    });
    let attained = last(&decisions).figures.attained.unwrap();
    assert!(attained <= 0.6, "{attained}");
}

#[test]
fn pods_that_wait_for_nodes_that_come_are_not_withdrawn() {
    // A node for each comes 100 s after it was ordered.
    let seen = |round: u32, ordered: u32| {
        let ready = if round < 24 {
            2
        } else {
            ordered.min(2 + (round - 24))
        };
        Observation {
            unschedulable: ordered - ready,
            ..fleet(ready, 400)
        }
    };
    let decisions = course(&policy(), 2, 60, seen);
    assert!(orders(&decisions).is_sorted(), "{:?}", orders(&decisions));
    assert_eq!(last(&decisions).replicas, policy().max);
}

#[test]
fn what_a_node_takes_is_learned() {
    let withdrawn_at = |node_s: u64| {
        let seen = |_: u32, ordered: u32| Observation {
            unschedulable: ordered - 2,
            placements: vec![("pod-1".to_owned(), seconds(node_s))],
            ..fleet(2, 400)
        };
        let decisions = course(&policy(), 2, 200, seen);
        let orders = orders(&decisions);
        let index = (1..orders.len()).find(|index| orders[*index] < orders[index - 1]);
        index.unwrap() * 5
    };
    assert_eq!(withdrawn_at(2), 185);
    assert_eq!(withdrawn_at(300), 605);
}

#[test]
fn a_quota_that_is_reached_with_some_ready_ends_the_ordering() {
    let decisions = course(&policy(), 4, 60, |_, ordered| Observation {
        refused: ordered.saturating_sub(6),
        ..fleet(ordered.min(6), 400)
    });
    assert_eq!(
        (last(&decisions).replicas, last(&decisions).limited_by),
        (7, LimitedBy::Capacity)
    );
}

#[test]
fn room_for_what_may_come_at_once_is_kept() {
    let spare = Policy {
        spare: 100,
        max: 40,
        ..policy()
    };
    // 12.5 are answered by each within 25 s, and chance gives some replicas twice their share.
    let decisions = course(&spare, 1, 100, |round, ordered| {
        working(ordered, 0, round, 0.5, 0.1)
    });
    let figures = &last(&decisions).figures;
    let replicas = last(&decisions).recommended;
    assert!((15..=18).contains(&replicas), "{replicas}: {figures:?}");
}

#[test]
fn a_shorter_target_orders_more() {
    let replicas = |wait: u64, share: f64| {
        let policy = Policy {
            target: Target {
                wait: seconds(wait),
                share,
            },
            ..policy()
        };
        let decisions = course(&policy, 4, 100, |round, _| working(4, 4, round, 0.5, 2.0));
        last(&decisions).recommended
    };
    assert_eq!(
        [replicas(25, 0.999), replicas(10, 0.99), replicas(5, 0.99)],
        [6, 8, 14]
    );
    // What one utterance takes itself cannot be had by more replicas.
    assert_eq!(replicas(1, 0.99), 14);
}

#[test]
fn victims_are_as_many_as_go_and_no_more() {
    let mut seen = fleet(5, 2);
    seen.replicas[2].open = 1;
    seen.replicas[3].queued = 3;
    seen.silent = vec!["silent".to_owned()];
    let marked = |fewer: u32, seen: &Observation| {
        let victims = victims(seen, &Figures::default(), fewer);
        assert!(victims.iter().all(|victim| victim.cost < 0));
        assert!(victims.is_sorted_by_key(|victim| victim.cost));
        let names = victims.into_iter().map(|victim| victim.pod);
        names.collect::<Vec<String>>()
    };
    assert_eq!(marked(1, &seen), ["pod-4"]);
    let all = ["pod-4", "pod-2", "pod-0", "pod-1", "pod-3", "silent"];
    assert_eq!(marked(9, &seen), all);
    // Those that are not ready go by themselves.
    (seen.unschedulable, seen.starting, seen.broken) = (1, 1, 1);
    assert_eq!(marked(3, &seen), Vec::<String>::new());
    assert_eq!(marked(4, &seen), ["pod-4"]);
}

#[test]
fn nothing_is_doubled_without_end() {
    assert_eq!(wanted::blind(3, seconds(10), seconds(15)), 3);
    assert_eq!(wanted::blind(3, seconds(75), seconds(15)), 6);
    assert_eq!(
        wanted::blind(u32::MAX, seconds(1_000_000), seconds(15)),
        1_000_000
    );
}
