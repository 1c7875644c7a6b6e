//! Rounds with a pod template that waits for a moment without utterances.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};
use telemetry::load::LoadReport;

use super::world::{DEPLOYMENT, Same, World, pod};
use super::{Action, Names, WAITING};

fn spec(longest: i32) -> Value {
    json!({"model": {"name": "demo"}, "rollout": {"maxSurge": 0, "maxUnavailable": 1, "waitForIdleSeconds": longest}})
}

fn spoken_to() -> Same {
    Same(Some(LoadReport {
        ready: true,
        open_streams: 1,
        ..LoadReport::default()
    }))
}

/// An endpoint that serves, and whose spec was changed.
async fn changed(loads: Same) -> World {
    let mut world = World::new(&spec(600), loads);
    world.with_pods(&[pod("a")]);
    world.round().await.unwrap();
    world.round().await.unwrap();
    world.object.spec.priority_class_name = Some("high".to_owned());
    world.object.metadata.generation = Some(4);
    world.fake.writes();
    world
}

fn is_rolled_out(world: &World) -> bool {
    let deployment = world.fake.get(DEPLOYMENT).unwrap();
    deployment["spec"]["template"]["spec"]["priorityClassName"] == "high"
}

fn since(world: &World) -> Option<Time> {
    let status = world.object.status.as_ref().unwrap();
    status.rollout_waiting_since.clone()
}

#[tokio::test]
async fn a_template_waits_while_a_client_speaks_and_not_for_longer_than_it_may() {
    let mut world = changed(spoken_to()).await;
    world.object.spec.service.port = 10777;
    let again = super::retry::spread(WAITING, "6f1c");
    let action = world.round().await.unwrap();
    assert_eq!(action, Action::requeue(again));
    assert!(!is_rolled_out(&world));
    let (status, reason) = world.condition("Progressing");
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("True", "RolloutWaitsForIdle")
    );
    assert_eq!(world.condition("Ready").1, "Reconciled");
    let writes = world.fake.writes();
    assert!(
        writes
            .iter()
            .any(|call| call.ends_with("/services/kitchen")),
        "all else is written: {writes:?}"
    );
    // Another edit does not begin the wait anew, nor does an operator that starts.
    let first = since(&world).unwrap();
    world.object.spec.priority_class_name = Some("highest".to_owned());
    world.object.metadata.generation = Some(5);
    world
        .context
        .memories
        .forget(&Names::of("kitchen", "home").owner());
    world.round().await.unwrap();
    assert_eq!(since(&world), Some(first));
    world.object.spec.priority_class_name = Some("high".to_owned());
    // Now it has waited for as long as it may.
    let status = world.object.status.as_mut().unwrap();
    let long_ago = Timestamp::now() - SignedDuration::from_secs(601);
    status.rollout_waiting_since = Some(Time(long_ago));
    world
        .context
        .memories
        .forget(&Names::of("kitchen", "home").owner());
    world.round().await.unwrap();
    assert!(is_rolled_out(&world));
    assert_eq!(since(&world), None);
}

#[tokio::test]
async fn the_number_of_replicas_does_not_wait_with_the_template() {
    let mut world = changed(spoken_to()).await;
    world.object.spec.replicas = 3;
    for writes in [1, 0] {
        world.round().await.unwrap();
        let call = format!("PATCH {DEPLOYMENT}");
        let written = world.fake.writes().iter().filter(|it| **it == call).count();
        assert_eq!(written, writes);
        let deployment = world.fake.get(DEPLOYMENT).unwrap();
        assert_eq!(deployment["spec"]["replicas"], 3);
        assert!(!is_rolled_out(&world));
        assert_eq!(world.condition("Progressing").1, "RolloutWaitsForIdle");
    }
}

#[tokio::test]
async fn a_template_is_rolled_out_in_an_idle_moment() {
    let idle = Same(Some(LoadReport {
        ready: true,
        ..LoadReport::default()
    }));
    let mut world = changed(idle).await;
    world.round().await.unwrap();
    assert!(
        !is_rolled_out(&world),
        "what was seen is older than the change"
    );
    let status = world.object.status.as_mut().unwrap();
    let before = Timestamp::now() - SignedDuration::from_secs(5);
    status.rollout_waiting_since = Some(Time(before));
    let owner = Names::of("kitchen", "home").owner();
    world.context.memories.forget(&owner);
    world.round().await.unwrap();
    assert!(is_rolled_out(&world));
}

#[tokio::test]
async fn silence_is_not_idle_and_an_endpoint_that_does_not_serve_does_not_wait() {
    let mut world = changed(Same(None)).await;
    world.round().await.unwrap();
    assert!(!is_rolled_out(&world));
    world.with_pods(&[]);
    world.round().await.unwrap();
    assert!(is_rolled_out(&world));
    // So does one that is to be stopped.
    let mut world = changed(Same(None)).await;
    world.object.spec.replicas = 0;
    world.round().await.unwrap();
    assert_eq!(world.fake.get(DEPLOYMENT).unwrap()["spec"]["replicas"], 0);
}

/// Six replicas, each of which downloads its model, two at a time.
#[tokio::test]
async fn replicas_of_a_fixed_number_are_ordered_as_their_downloads_end() {
    let mut world = World::new(
        &json!({"model": {"name": "base"}, "replicas": 6, "cache": {"maxDownloads": 2}}),
        Same(None),
    );
    let replicas = |world: &World| world.fake.get(DEPLOYMENT).unwrap()["spec"]["replicas"].clone();
    world.round().await.unwrap();
    assert_eq!(replicas(&world), 2);
    world.round().await.unwrap();
    assert_eq!(replicas(&world), 2, "they start");
    world.with_pods(&[pod("a")]);
    world.round().await.unwrap();
    assert_eq!(replicas(&world), 3);
    let names = ["a", "b", "c", "d", "e"];
    world.with_pods(&names.map(pod));
    world.round().await.unwrap();
    assert_eq!(replicas(&world), 6);
    world.with_pods(&[]);
    world.round().await.unwrap();
    assert_eq!(replicas(&world), 6, "those that restart are not taken away");
}
