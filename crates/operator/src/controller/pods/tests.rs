//! Pods as the API server shows them, and what is made of them.

use serde_json::{Value, json};

use super::*;

fn view(status: &Value) -> PodView {
    let pod = json!({
        "metadata": {"name": "a", "namespace": "home", "resourceVersion": "7",
            "labels": {"app.kubernetes.io/instance": "kitchen"}},
        "status": status,
    });
    let (owner, name, view) = serde_json::from_value::<Pod>(pod).unwrap().keep().unwrap();
    assert_eq!((owner.name.as_str(), name.as_str()), ("kitchen", "a"));
    view
}

fn sorted(status: &Value) -> Pods {
    let now = "2026-01-01T00:01:00Z".parse().unwrap();
    sort(&[Arc::new(view(status))], Duration::from_secs(55), now)
}

fn condition(type_: &str, status: &str, second: u32) -> Value {
    json!({"type": type_, "status": status, "message": "said by the scheduler",
        "lastTransitionTime": format!("2026-01-01T00:00:{second:02}Z")})
}

fn container(state: &Value, last: &Value) -> Value {
    json!({
        "phase": "Running", "podIP": "10.0.0.7",
        "conditions": [condition("PodScheduled", "True", 10)],
        "containerStatuses": [
            {"name": "a-sidecar", "image": "x", "imageID": "", "ready": true, "restartCount": 0},
            {"name": "server", "image": "x", "imageID": "", "ready": false, "restartCount": 3,
             "state": state, "lastState": last},
        ],
    })
}

#[test]
fn a_ready_pod_tells_how_long_it_took() {
    let pods = sorted(&json!({"podIP": "10.0.0.7", "conditions":
        [condition("PodScheduled", "True", 10), condition("Ready", "True", 35)]}));
    assert_eq!(pods.ready.len(), 1);
    let pod = &pods.ready[0];
    assert_eq!(
        (pod.ip.as_str(), pod.startup),
        ("10.0.0.7", Some(Duration::from_secs(25)))
    );
}

#[test]
fn pods_without_a_node_and_pods_on_their_way_are_counted() {
    let refused = sorted(&json!({"conditions": [condition("PodScheduled", "False", 10)]}));
    assert_eq!((refused.unschedulable, refused.starting), (1, 0));
    assert_eq!(refused.trouble.unwrap().reason, "PodsUnschedulable");
    let starting = sorted(&json!({"conditions": [condition("PodScheduled", "True", 10)]}));
    assert_eq!(
        (starting.starting, starting.starting_for.as_secs()),
        (1, 50)
    );
    assert_eq!(starting.trouble, None);
    assert_eq!(sorted(&json!({})).starting, 1);
    assert_eq!(sorted(&json!({"phase": "Failed"})).count(), 0);
}

#[test]
fn why_a_container_does_not_run_is_told() {
    let running = json!({"running": {"startedAt": "2026-01-01T00:00:50Z"}});
    let waiting =
        |reason: &str| json!({"waiting": {"reason": reason, "message": "said by the node"}});
    let ended = |code: i32, reason: &str, log: &str| json!({"terminated": {"exitCode": code, "reason": reason, "message": log}});
    let log = "{\"level\":\"INFO\"}\nwyoming-stt: the hub has no model a/b\n{\"level\":\"WARN\"}\n";
    for (state, last, reason, message) in [
        (
            waiting("ErrImagePull"),
            json!({}),
            "ImagePullFailed",
            "said by the node",
        ),
        (
            waiting("CreateContainerConfigError"),
            json!({}),
            "ContainerFailed",
            "said by the node",
        ),
        (
            waiting("CrashLoopBackOff"),
            json!({}),
            "CrashLooping",
            "said by the node",
        ),
        (
            waiting("CrashLoopBackOff"),
            ended(69, "Error", log),
            "ModelLoadFailed",
            "the hub has no model a/b",
        ),
        // Between two tries as well.
        (
            running.clone(),
            ended(69, "Error", log),
            "ModelLoadFailed",
            "the hub has no model a/b",
        ),
        (
            ended(64, "Error", "wyoming-stt: no such flag"),
            json!({}),
            "SettingsRefused",
            "no such flag",
        ),
        (
            running.clone(),
            ended(137, "OOMKilled", ""),
            "OutOfMemory",
            "the server ended with exit code 137",
        ),
        (
            running.clone(),
            ended(137, "Error", ""),
            "Killed",
            "the server ended with exit code 137",
        ),
        (
            running.clone(),
            ended(1, "Error", "last line"),
            "CrashLooping",
            "last line",
        ),
    ] {
        let trouble = sorted(&container(&state, &last)).trouble;
        let trouble = trouble.unwrap_or_else(|| panic!("{state} {last}"));
        assert_eq!(
            (trouble.reason.name(), trouble.message.as_str()),
            (reason, message)
        );
    }
    for (state, last) in [
        (waiting("ContainerCreating"), json!({})),
        (running.clone(), json!({})),
        (running, ended(0, "Completed", "")),
    ] {
        assert_eq!(
            sorted(&container(&state, &last)).trouble,
            None,
            "{state} {last}"
        );
    }
}

#[test]
fn news_is_what_counts_for_a_round() {
    let before =
        json!({"podIP": "10.0.0.7", "conditions": [condition("PodScheduled", "True", 10)]});
    let mut more = before.clone();
    more["startTime"] = json!("2026-01-01T00:00:11Z");
    assert!(!view(&before).is_news(&view(&more)));
    more["conditions"] = json!([
        condition("PodScheduled", "True", 10),
        condition("Ready", "True", 35)
    ]);
    assert!(view(&before).is_news(&view(&more)));
    let cost = PodView {
        deletion_cost: Some(3),
        ..view(&before)
    };
    assert!(!view(&before).is_news(&cost));
}

#[test]
fn a_pod_that_took_too_long_or_whose_container_fails_is_broken() {
    let slow = sorted(&json!({"conditions": [condition("PodScheduled", "True", 4)]}));
    assert_eq!((slow.broken, slow.starting, slow.count()), (1, 0, 1));
    assert_eq!(slow.starting_for, Duration::ZERO);
    let waiting = json!({"waiting": {"reason": "ErrImagePull"}});
    let failed = sorted(&container(&waiting, &json!({})));
    assert_eq!((failed.broken, failed.starting), (1, 0));
    let creating = json!({"waiting": {"reason": "ContainerCreating"}});
    let starting = sorted(&container(&creating, &json!({})));
    assert_eq!((starting.broken, starting.starting), (0, 1));
}

#[test]
fn a_pod_is_asked_only_when_our_replica_set_made_it_and_its_address_is_its_own() {
    let pod = json!({
        "metadata": {"name": "kitchen-7f-a", "namespace": "home",
            "labels": {"app.kubernetes.io/instance": "kitchen", "pod-template-hash": "7f"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "kitchen-7f",
                "uid": "1", "controller": true}]},
        "spec": {"containers": []},
    });
    let may = |change: &dyn Fn(&mut Value)| {
        let mut pod = pod.clone();
        change(&mut pod);
        PodView::of(&serde_json::from_value(pod).unwrap()).may_be_asked
    };
    assert!(may(&|_| {}));
    for change in [
        &(|it: &mut Value| it["spec"]["hostNetwork"] = json!(true)) as &dyn Fn(&mut Value),
        &|it| it["metadata"]["ownerReferences"] = json!([]),
        &|it| it["metadata"]["ownerReferences"][0]["name"] = json!("other-7f"),
        &|it| it["metadata"]["ownerReferences"][0]["kind"] = json!("Job"),
        &|it| it["metadata"]["ownerReferences"][0]["controller"] = json!(false),
        &|it| it["metadata"]["labels"] = json!({"app.kubernetes.io/instance": "kitchen"}),
    ] {
        assert!(!may(change));
    }
}

#[test]
fn why_a_pod_was_thrown_out_is_told_while_the_next_one_starts() {
    let now = "2026-01-01T00:00:30Z".parse().unwrap();
    let evicted = view(&json!({"phase": "Failed", "reason": "Evicted",
        "message": "Usage of EmptyDir volume exceeds the limit"}));
    let starting = view(&json!({"conditions": [condition("PodScheduled", "True", 10)]}));
    let ready = view(&json!({"conditions":
        [condition("PodScheduled", "True", 10), condition("Ready", "True", 20)]}));
    let sorted = |pods: Vec<PodView>| {
        let pods: Vec<_> = pods.into_iter().map(Arc::new).collect();
        sort(&pods, Duration::from_secs(600), now)
    };
    let pods = sorted(vec![evicted.clone(), starting]);
    assert_eq!((pods.count(), pods.broken), (1, 0));
    let trouble = pods.trouble.unwrap();
    assert_eq!(trouble.reason, "PodsEvicted");
    assert!(trouble.message.contains("EmptyDir"));
    assert_eq!(sorted(vec![evicted, ready]).trouble, None);
}
