//! Rounds against an API server in memory that writes down every call.

use http::StatusCode;
use k8s_openapi::api::apps::v1::Deployment;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::Event;
use serde_json::Value;
use telemetry::load::LoadReport;

use super::world::*;
use super::*;
use crate::controller::mirrors::Mirrors;
use crate::controller::testing::object;

#[tokio::test]
async fn a_first_round_writes_in_order_and_a_second_one_nothing() {
    let mut world = World::new(
        &json!({
            "model": {"name": "base"}, "replicas": 2,
            "cache": {"volumeClaimTemplate": {"size": "1024Mi", "accessModes": ["ReadWriteMany"]}},
            "networkPolicy": {"mode": "Ingress"},
        }),
        idle(),
    );
    world.round().await.unwrap();
    let expected = [
        format!("PATCH /api/v1{HOME}/serviceaccounts/kitchen"),
        format!("PATCH /api/v1{HOME}/persistentvolumeclaims/kitchen"),
        format!("PATCH /apis/networking.k8s.io/v1{HOME}/networkpolicies/kitchen"),
        format!("PATCH /api/v1{HOME}/services/kitchen"),
        format!("PATCH /apis/policy/v1{HOME}/poddisruptionbudgets/kitchen"),
        format!("PATCH {DEPLOYMENT}"),
        STATUS.to_owned(),
        EVENT.to_owned(),
    ];
    assert_eq!(world.fake.writes(), expected);
    // Status says what the Deployment is, which the first round could not know yet.
    world.round().await.unwrap();
    world.fake.writes();
    for _ in 0..3 {
        world.round().await.unwrap();
        assert_eq!(world.fake.writes(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn drift_is_repaired_and_nothing_else_written() {
    let mut world = World::new(&demo(), idle());
    world.round().await.unwrap();
    world.round().await.unwrap();
    world.change_deployment(|it| it["spec"]["replicas"] = json!(7));
    world.fake.writes();
    world.round().await.unwrap();
    assert_eq!(world.fake.writes(), [format!("PATCH {DEPLOYMENT}")]);
}

#[tokio::test]
async fn what_the_spec_no_longer_says_is_taken_back_and_deleted() {
    let mut world = World::new(
        &json!({"model": {"name": "demo"}, "networkPolicy": {"mode": "Ingress"}, "priorityClassName": "high"}),
        idle(),
    );
    world.round().await.unwrap();
    world.round().await.unwrap();
    world.fake.writes();
    world.object.spec.network_policy.mode = crate::api::NetworkPolicyMode::Disabled;
    world.object.spec.priority_class_name = None;
    world.object.metadata.generation = Some(4);
    world.round().await.unwrap();
    let writes = world.fake.writes();
    let policy = format!("DELETE /apis/networking.k8s.io/v1{HOME}/networkpolicies/kitchen");
    assert!(
        writes.contains(&policy) && writes.contains(&format!("PATCH {DEPLOYMENT}")),
        "{writes:?}"
    );
    let pod = world.fake.get(DEPLOYMENT).unwrap()["spec"]["template"]["spec"].clone();
    assert_eq!(pod.get("priorityClassName"), None);
}

#[tokio::test]
async fn an_object_that_is_being_deleted_is_left_alone() {
    let mut world = World::new(&demo(), idle());
    let time = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    world.object.metadata.deletion_timestamp = Some(time);
    assert_eq!(world.round().await.unwrap(), Action::await_change());
    assert_eq!(world.fake.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_pause_only_reports() {
    let mut world = World::new(
        &json!({"model": {"name": "demo"}, "managementState": "Paused"}),
        idle(),
    );
    world.round().await.unwrap();
    assert_eq!(world.fake.writes(), [STATUS, EVENT]);
    assert_eq!(world.ready(), ("False".to_owned(), "Paused".to_owned()));
}

#[tokio::test]
async fn a_bad_spec_is_told_and_the_last_good_deployment_stays() {
    let mut world = World::new(&demo(), idle());
    world.round().await.unwrap();
    let before = world.fake.get(DEPLOYMENT);
    world.fake.writes();
    world.object =
        object(&json!({"model": {"name": "demo"}, "podTemplate": {"spec": {"hostNetwork": true}}}));
    world.round().await.unwrap();
    assert_eq!(world.fake.writes(), [STATUS, EVENT]);
    assert_eq!(
        world.ready(),
        ("False".to_owned(), "PodTemplateInvalid".to_owned())
    );
    assert_eq!(world.fake.get(DEPLOYMENT), before);
}

#[tokio::test]
async fn what_belongs_to_somebody_else_is_not_touched() {
    let mut world = World::new(&demo(), idle());
    let path = format!("/api/v1{HOME}/services/kitchen");
    world.fake.put(
        &path,
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "kitchen"}}),
    );
    world.round().await.unwrap();
    assert_eq!(world.ready(), ("False".to_owned(), "NameTaken".to_owned()));
    assert!(
        world.fake.get(DEPLOYMENT).is_some(),
        "the others are written"
    );
    assert!(!world.fake.writes().contains(&format!("PATCH {path}")));
}

#[tokio::test]
async fn a_refusal_becomes_a_condition_and_a_busy_server_a_retry() {
    for (status, reason) in [
        (StatusCode::UNPROCESSABLE_ENTITY, "ApplyRefused"),
        (StatusCode::FORBIDDEN, "ApplyRefused"),
    ] {
        let mut world = World::new(&demo(), idle());
        world.fake.fail_next(&format!("PATCH {DEPLOYMENT}"), status);
        world.round().await.unwrap();
        assert_eq!(
            world.ready(),
            ("False".to_owned(), reason.to_owned()),
            "{status}"
        );
    }
    for status in [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::CONFLICT,
        StatusCode::SERVICE_UNAVAILABLE,
    ] {
        let mut world = World::new(&demo(), idle());
        world.fake.fail_next(&format!("PATCH {DEPLOYMENT}"), status);
        let error = world.round().await.unwrap_err();
        assert_eq!(error.category(), "apply", "{status}");
        let guard = DeserializeGuard(Ok(world.object.clone()));
        for seconds in [2, 4, 8, 16, 32, 64, 128, 256, 256] {
            // A fifth more or less, so that what failed together does not come back together.
            let wait = retry(&guard, &error, &world.context);
            let about = Duration::from_secs(seconds);
            let within = |wait: &Action| {
                (800..=1200).any(|part| *wait == Action::requeue(about * part / 1000))
            };
            assert!(within(&wait), "{status}: {wait:?} is not about {about:?}");
        }
        world.round().await.unwrap();
        assert!(world.fake.get(DEPLOYMENT).is_some(), "{status}");
    }
}

#[tokio::test]
async fn an_object_that_cannot_be_read_waits_for_its_change() {
    let world = World::new(&demo(), idle());
    let guard: DeserializeGuard<WyomingStt> = serde_json::from_value(json!({
        "apiVersion": "wyoming-stt.dev/v1alpha1", "kind": "WyomingStt",
        "metadata": {"name": "broken", "namespace": "home"}, "spec": {"model": 3},
    }))
    .unwrap();
    let guard = Arc::new(guard);
    let error = reconcile(Arc::clone(&guard), Arc::clone(&world.context))
        .await
        .unwrap_err();
    assert_eq!(
        retry(&guard, &error, &world.context),
        Action::await_change()
    );
    assert_eq!(world.fake.writes(), Vec::<String>::new());
}

fn at_work(depth: usize) -> Same {
    Same(Some(LoadReport {
        ready: true,
        queued: depth,
        running: 1,
        ..LoadReport::default()
    }))
}

#[tokio::test]
async fn a_queue_orders_replicas_in_the_round_that_sees_it() {
    let mut world = World::new(
        &json!({"model": {"name": "demo"}, "autoscaling": {"maxReplicas": 5}}),
        at_work(9),
    );
    world.round().await.unwrap();
    world.with_pods(&[pod("a")]);
    world.round().await.unwrap();
    let replicas = world.fake.get(DEPLOYMENT).unwrap()["spec"]["replicas"].clone();
    assert_eq!(
        replicas, 2,
        "no faster than doubling while the rate is unknown"
    );
    let status = world.object.status.clone().unwrap().autoscaling.unwrap();
    assert_eq!((status.desired_replicas, status.queue_depth), (2, 10));
}

#[tokio::test]
async fn pods_that_do_not_answer_are_kept_and_told() {
    let mut world = World::new(
        &json!({"model": {"name": "demo"}, "autoscaling": {"maxReplicas": 5, "scaleDown": {"stabilizationSeconds": 0}}}),
        Same(None),
    );
    world.round().await.unwrap();
    world.change_deployment(|it| it["spec"]["replicas"] = json!(3));
    world.with_pods(&[pod("a"), pod("b"), pod("c")]);
    world.round().await.unwrap();
    assert_eq!(world.fake.get(DEPLOYMENT).unwrap()["spec"]["replicas"], 3);
    let conditions = world.object.status.clone().unwrap().conditions;
    let active = conditions
        .iter()
        .find(|condition| condition.type_ == "AutoscalingActive")
        .unwrap();
    assert_eq!(active.reason, "MetricsSilent");
}

#[tokio::test]
async fn pods_are_marked_only_when_some_are_taken_away() {
    let mut world = World::new(
        &json!({"model": {"name": "demo"}, "autoscaling": {"maxReplicas": 5, "scaleDown": {"stabilizationSeconds": 0}}}),
        idle(),
    );
    world.round().await.unwrap();
    world.change_deployment(|it| it["spec"]["replicas"] = json!(2));
    world.with_pods(&[pod("a"), pod("b")]);
    world.fake.writes();
    world.round().await.unwrap();
    let writes = world.fake.writes();
    let expected = [
        format!("PATCH /api/v1{HOME}/pods/a"),
        format!("PATCH {DEPLOYMENT}"),
    ];
    assert_eq!(writes.get(..2), Some(&expected[..]), "{writes:?}");
    assert_eq!(world.fake.get(DEPLOYMENT).unwrap()["spec"]["replicas"], 1);
}

#[tokio::test]
async fn fields_that_the_cluster_does_not_know_are_told_and_not_fought_over() {
    let template = json!({"model": {"name": "demo"},
        "device": {"type": "Cuda", "gpu": {"claim": {"resourceClaimTemplateName": "one"}}}});
    for (spec, unknown, reason) in [
        (
            json!({"model": {"name": "base", "source": {"image": {"reference": "r/base:1"}}}}),
            "/spec/template/spec/volumes/0/image",
            "ImageVolumeUnsupported",
        ),
        (
            template,
            "/spec/template/spec/resourceClaims",
            "ResourceClaimsUnsupported",
        ),
    ] {
        let mut world = World::new(&spec, idle());
        world.fake.does_not_know(unknown);
        world.round().await.unwrap();
        assert_eq!(world.ready(), ("False".to_owned(), reason.to_owned()));
        world.round().await.unwrap();
        world.fake.writes();
        // Neither a quiet round nor one after a change of something else writes it again.
        world.round().await.unwrap();
        world.change_deployment(|it| it["metadata"]["labels"]["more"] = json!("x"));
        world.round().await.unwrap();
        assert_eq!(world.fake.writes(), Vec::<String>::new(), "{reason}");
        assert_eq!(world.ready(), ("False".to_owned(), reason.to_owned()));
        // Drift of what it does know is repaired all the same.
        world.change_deployment(|it| it["spec"]["replicas"] = json!(7));
        world.round().await.unwrap();
        assert_eq!(world.fake.writes(), [format!("PATCH {DEPLOYMENT}")]);
    }
}

#[tokio::test]
async fn a_settled_object_costs_no_call_at_all() {
    let mut world = World::new(
        &json!({"model": {"name": "demo"}, "autoscaling": {"maxReplicas": 5}}),
        idle(),
    );
    world.round().await.unwrap();
    world.with_pods(&[pod("a")]);
    world.round().await.unwrap();
    world.fake.calls();
    for _ in 0..10 {
        world.round().await.unwrap();
    }
    assert_eq!(world.fake.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn a_status_that_the_watch_has_not_brought_yet_is_not_written_again() {
    let mut world = World::new(&demo(), idle());
    world.object.metadata.resource_version = Some("1".to_owned());
    world.round().await.unwrap();
    world.round().await.unwrap();
    world.fake.writes();
    world.object.status = None;
    world.round().await.unwrap();
    assert_eq!(world.fake.writes(), Vec::<String>::new());
    // Once the watch has gone further, what it says counts.
    world.object.status = None;
    world.object.metadata.resource_version = Some("999".to_owned());
    world.round().await.unwrap();
    assert_eq!(world.fake.writes().first(), Some(&STATUS.to_owned()));
}

#[tokio::test]
async fn children_without_an_owner_that_bear_our_labels_are_taken_back() {
    let mut world = World::new(&demo(), idle());
    world.round().await.unwrap();
    world.change_deployment(|it| {
        it["metadata"]
            .as_object_mut()
            .unwrap()
            .remove("ownerReferences");
    });
    world.round().await.unwrap();
    let owner = &world.fake.get(DEPLOYMENT).unwrap()["metadata"]["ownerReferences"][0];
    assert_eq!(owner["uid"], "6f1c");
}

#[tokio::test]
async fn a_child_that_is_being_deleted_is_waited_for() {
    let mut world = World::new(&demo(), idle());
    world.round().await.unwrap();
    world.round().await.unwrap();
    world.change_deployment(|it| {
        it["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        it["spec"]["replicas"] = json!(7);
    });
    world.fake.writes();
    world.round().await.unwrap();
    assert_eq!(world.fake.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn nothing_is_decided_before_every_kind_is_known() {
    let mut world = World::new(&demo(), idle());
    let context = Arc::get_mut(&mut world.context).unwrap();
    context.mirrors = Arc::new(Mirrors::default());
    assert_eq!(world.round().await.unwrap(), Action::requeue(NOT_YET));
    assert_eq!(world.fake.writes(), Vec::<String>::new());
    let mirrors = Arc::clone(&world.context.mirrors);
    mirrors
        .deployments
        .set_trouble(Some("deployments.apps is forbidden".to_owned()));
    for writes in [vec![STATUS.to_owned()], Vec::new()] {
        let error = world.round().await.unwrap_err();
        assert_eq!(error.category(), "watch");
        assert_eq!(world.fake.writes(), writes, "said once");
    }
    assert_eq!(
        world.ready(),
        ("False".to_owned(), "ClusterNotReadable".to_owned())
    );
    let message = world.ready_message();
    assert!(
        message.contains("deployments.apps is forbidden"),
        "{message}"
    );
}

#[tokio::test]
async fn a_claim_that_does_not_exist_is_told_and_looked_for_again() {
    let mut world = World::new(
        &json!({"model": {"name": "base"}, "cache": {"persistentVolumeClaim": {"claimName": "models"}}}),
        idle(),
    );
    let action = world.round().await.unwrap();
    assert_eq!(action, Action::requeue(claims::LOOK_AGAIN));
    assert_eq!(
        world.ready(),
        ("False".to_owned(), "ClaimMissing".to_owned())
    );
    assert!(world.fake.get(DEPLOYMENT).is_none());
    let path = format!("/api/v1{HOME}/persistentvolumeclaims/models");
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "models"}, "spec": {"accessModes": ["ReadWriteMany"]}});
    world.fake.put(&path, claim);
    tokio::time::pause();
    tokio::time::advance(claims::LOOK_AGAIN).await;
    tokio::time::resume();
    world.round().await.unwrap();
    assert!(world.fake.get(DEPLOYMENT).is_some());
}

#[tokio::test]
async fn fewer_replicas_by_hand_take_the_idle_ones_too() {
    let mut world = World::new(&json!({"model": {"name": "demo"}, "replicas": 2}), idle());
    world.round().await.unwrap();
    world.with_pods(&[pod("a"), pod("b")]);
    world.round().await.unwrap();
    world.object.spec.replicas = 1;
    world.object.metadata.generation = Some(4);
    world.fake.writes();
    world.round().await.unwrap();
    let writes = world.fake.writes();
    assert_eq!(
        writes.first(),
        Some(&format!("PATCH /api/v1{HOME}/pods/a")),
        "{writes:?}"
    );
}

#[tokio::test]
async fn what_a_role_does_not_allow_is_told_apart_from_what_the_cluster_refuses() {
    for (message, reason) in [
        (
            "services is forbidden: User \"x\" cannot patch resource",
            "OperatorNotPermitted",
        ),
        (
            "exceeded quota: few, requested: count/services=1",
            "QuotaExceeded",
        ),
        ("spec.ports: Invalid value", "ApplyRefused"),
    ] {
        let mut world = World::new(&demo(), idle());
        let call = format!("PATCH /api/v1{HOME}/services");
        world
            .fake
            .refuse_next(&call, StatusCode::FORBIDDEN, message);
        world.round().await.unwrap();
        assert_eq!(world.ready(), ("False".to_owned(), reason.to_owned()));
        assert!(world.ready_message().contains(message));
        // It goes on where it stopped as soon as it may.
        world.round().await.unwrap();
        assert!(world.fake.get(DEPLOYMENT).is_some(), "{reason}");
    }
}

fn follows() -> Value {
    json!({"model": {"name": "demo"}, "autoscaling": {"maxReplicas": 5}})
}

/// The last Deployment that was applied by the rounds, not by the fleet.
fn applied(world: &World) -> Value {
    let bodies = world.fake.bodies();
    let mut all = bodies.into_iter().rev();
    let of_round =
        |body: &Value| body["kind"] == "Deployment" && body["spec"].get("template").is_some();
    all.find(of_round).unwrap()
}

#[tokio::test]
async fn the_number_of_replicas_is_handed_over_to_the_fleet_and_taken_back() {
    let mut world = World::new(&follows(), at_work(9));
    world.round().await.unwrap();
    assert_eq!(applied(&world)["spec"]["replicas"], 1, "a first number");
    world.with_pods(&[pod("a")]);
    world.round().await.unwrap();
    world.round().await.unwrap();
    assert_eq!(applied(&world)["spec"].get("replicas"), None);
    let replicas = || world.fake.get(DEPLOYMENT).unwrap()["spec"]["replicas"].clone();
    assert_eq!(replicas(), 2, "what the fleet ordered stays");
    (world.object.spec.autoscaling, world.object.spec.replicas) = (None, 3);
    world.object.metadata.generation = Some(4);
    world.round().await.unwrap();
    assert_eq!(world.fake.get(DEPLOYMENT).unwrap()["spec"]["replicas"], 3);
}

#[tokio::test]
async fn a_typo_and_a_refused_child_do_not_stop_the_fleet() {
    // A spec that is not valid any more.
    let mut world = World::new(&follows(), at_work(9));
    world.round().await.unwrap();
    world.object.spec.pod_template =
        serde_json::from_value(json!({"spec": {"hostPID": true}})).unwrap();
    world.with_pods(&[pod("a")]);
    world.round().await.unwrap();
    assert_eq!(world.ready().1, "PodTemplateInvalid");
    assert_eq!(world.fake.get(DEPLOYMENT).unwrap()["spec"]["replicas"], 2);
    // A child that the cluster refuses.
    let mut world = World::new(&follows(), at_work(9));
    let call = format!("PATCH /api/v1{HOME}/services");
    for _ in 0..3 {
        world
            .fake
            .refuse_next(&call, StatusCode::FORBIDDEN, "exceeded quota: few");
        world.round().await.unwrap();
        world.with_pods(&[pod("a")]);
    }
    assert_eq!(world.ready().1, "QuotaExceeded");
    assert_eq!(world.fake.get(DEPLOYMENT).unwrap()["spec"]["replicas"], 2);
}

#[tokio::test]
async fn a_pause_stops_the_fleet() {
    let mut world = World::new(&follows(), at_work(9));
    world.round().await.unwrap();
    world.object.spec.management_state = crate::api::ManagementState::Paused;
    world.round().await.unwrap();
    world.with_pods(&[pod("a")]);
    world.fake.writes();
    world.round().await.unwrap();
    assert!(!world.fake.writes().contains(&format!("PATCH {DEPLOYMENT}")));
}

#[tokio::test]
async fn an_order_that_is_refused_is_told() {
    let mut world = World::new(&follows(), at_work(9));
    world.round().await.unwrap();
    world.with_pods(&[pod("a")]);
    let call = format!("PATCH {DEPLOYMENT}");
    world
        .fake
        .refuse_next(&call, StatusCode::FORBIDDEN, "a policy says no");
    world.round().await.unwrap();
    assert_eq!(world.ready().1, "ScaleRefused");
    assert!(world.ready_message().contains("a policy says no"));
}

#[tokio::test]
async fn a_strangers_pod_is_not_asked() {
    let mut world = World::new(&follows(), at_work(9));
    world.round().await.unwrap();
    let mut stranger = pod("a");
    stranger["metadata"]["ownerReferences"] = json!([]);
    world.with_pods(&[stranger]);
    world.round().await.unwrap();
    let status = world.object.status.clone().unwrap().autoscaling.unwrap();
    assert_eq!((status.silent_replicas, status.queue_depth), (1, 0));
}

#[tokio::test]
async fn an_edit_is_not_settled_before_it_is_rolled_out() {
    let mut world = World::new(&demo(), idle());
    world.round().await.unwrap();
    world.change_deployment(|it| {
        it["metadata"]["generation"] = json!(1);
        it["status"] = json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1});
    });
    world.with_pods(&[pod("a")]);
    world.round().await.unwrap();
    assert_eq!(world.condition("Progressing").1, "Settled");
    world.object.spec.priority_class_name = Some("high".to_owned());
    world.object.metadata.generation = Some(4);
    world.fake.bump_generation();
    world.round().await.unwrap();
    assert_eq!(world.condition("Progressing").1, "RolloutInProgress");
}

#[tokio::test]
async fn a_volume_that_may_not_grow_holds_nothing_else_back() {
    let mut world = World::new(
        &json!({"model": {"name": "base"}, "cache": {"volumeClaimTemplate": {"size": "10Gi"}}}),
        idle(),
    );
    let call = format!("PATCH /api/v1{HOME}/persistentvolumeclaims");
    world.fake.refuse_next(
        &call,
        StatusCode::FORBIDDEN,
        "only dynamically provisioned pvc can be resized",
    );
    world.round().await.unwrap();
    assert_eq!(world.ready().1, "VolumeRefused");
    assert!(world.fake.get(DEPLOYMENT).is_some());
}

#[tokio::test]
async fn a_rollout_waits_for_those_of_other_endpoints() {
    let mut world = World::new(&demo(), idle());
    world.round().await.unwrap();
    let other: Deployment = serde_json::from_value(json!({
        "metadata": {"name": "other", "namespace": "home", "generation": 2},
        "status": {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1},
    }))
    .unwrap();
    let mirror = &world.context.mirrors.deployments;
    mirror.take(Event::Apply(other.clone()));
    world.object.spec.priority_class_name = Some("high".to_owned());
    world.object.spec.service.port = 10777;
    world.object.metadata.generation = Some(4);
    world.fake.writes();
    world.round().await.unwrap();
    let writes = world.fake.writes();
    assert!(
        !writes.contains(&format!("PATCH {DEPLOYMENT}")),
        "{writes:?}"
    );
    assert!(writes.contains(&format!("PATCH /api/v1{HOME}/services/kitchen")));
    assert_eq!(world.condition("Progressing").1, "RolloutWaits");
    // Another number of replicas of the same template is no rollout.
    world.object.spec.priority_class_name = None;
    world.object.spec.replicas = 2;
    world.object.metadata.generation = Some(5);
    world.round().await.unwrap();
    assert_eq!(world.fake.get(DEPLOYMENT).unwrap()["spec"]["replicas"], 2);
    world.object.spec.priority_class_name = Some("high".to_owned());
    world.object.metadata.generation = Some(6);
    world.context.mirrors.deployments.take(Event::Delete(other));
    world.round().await.unwrap();
    let template = world.fake.get(DEPLOYMENT).unwrap()["spec"]["template"].clone();
    assert_eq!(template["spec"]["priorityClassName"], "high");
}
