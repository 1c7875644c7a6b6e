//! Rounds against an API server in memory that writes down every call.

use std::net::IpAddr;

use futures::future::BoxFuture;
use http::StatusCode;
use kube::runtime::events::Reporter;
use serde_json::Value;
use telemetry::Meters;
use telemetry::load::LoadReport;

use super::*;
use crate::controller::fake::Fake;
use crate::controller::testing::{defaults, object};

/// Pods that all tell the same.
struct Same(Option<LoadReport>);

impl Loads for Same {
    fn load(&self, _: IpAddr, _: u16) -> BoxFuture<'_, Option<LoadReport>> {
        Box::pin(async { self.0.clone() })
    }
}

fn idle() -> Same {
    Same(Some(LoadReport {
        ready: true,
        ..LoadReport::default()
    }))
}

struct World {
    fake: Fake,
    context: Arc<Context>,
    object: WyomingStt,
}

impl World {
    fn new(spec: &Value, loads: Same) -> Self {
        let (fake, client) = Fake::start();
        let reporter = Reporter {
            controller: "test".to_owned(),
            instance: None,
        };
        let context = Context {
            client: client.clone(),
            defaults: defaults(),
            loads: Arc::new(loads),
            recorder: Recorder::new(client, reporter),
            metrics: Metrics::new(&Meters::new("test", "stt_operator", None).unwrap()),
            started: Instant::now(),
            memory: Mutex::default(),
        };
        Self {
            fake,
            context: Arc::new(context),
            object: object(spec),
        }
    }

    async fn round(&mut self) -> Result<Action, ReconcileError> {
        let guard = Arc::new(DeserializeGuard(Ok(self.object.clone())));
        let result = reconcile(guard, Arc::clone(&self.context)).await;
        // The next round sees the status that this one wrote, as a watch would bring it.
        if let Some(body) = self
            .fake
            .bodies()
            .iter()
            .rev()
            .find(|body| body.get("status").is_some())
        {
            self.object.status = serde_json::from_value(body["status"].clone()).unwrap();
        }
        result
    }

    fn ready(&self) -> (String, String) {
        let status = self.object.status.clone().unwrap();
        let ready = status
            .conditions
            .into_iter()
            .find(|condition| condition.type_ == "Ready")
            .unwrap();
        (ready.status, ready.reason)
    }
}

const HOME: &str = "/namespaces/home";
const STATUS: &str =
    "PATCH /apis/wyoming-stt.dev/v1alpha1/namespaces/home/wyomingstts/kitchen/status";
const EVENT: &str = "POST /apis/events.k8s.io/v1/namespaces/home/events";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/home/deployments/kitchen";

fn demo() -> Value {
    json!({"model": {"name": "demo"}})
}

fn pod(name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "status": {
            "phase": "Running", "podIP": "10.0.0.7",
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"},
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:20Z"},
            ],
        },
    })
}

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
    let mut deployment = world.fake.get(DEPLOYMENT).unwrap();
    deployment["spec"]["replicas"] = json!(7);
    world.fake.put(DEPLOYMENT, deployment);
    world.fake.writes();
    world.round().await.unwrap();
    assert_eq!(world.fake.writes(), [format!("PATCH {DEPLOYMENT}")]);
}

#[tokio::test]
async fn what_the_spec_no_longer_says_is_taken_back_and_deleted() {
    let mut world = World::new(
        &json!({"model": {"name": "demo"}, "replicas": 2, "priorityClassName": "high"}),
        idle(),
    );
    world.round().await.unwrap();
    world.round().await.unwrap();
    world.fake.writes();
    (
        world.object.spec.replicas,
        world.object.spec.priority_class_name,
    ) = (Some(1), None);
    world.round().await.unwrap();
    let writes = world.fake.writes();
    let budget = format!("DELETE /apis/policy/v1{HOME}/poddisruptionbudgets/kitchen");
    assert!(
        writes.contains(&budget) && writes.contains(&format!("PATCH {DEPLOYMENT}")),
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
    assert!(world.fake.get(DEPLOYMENT).is_none());
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
        let waits: Vec<Action> = (0..3)
            .map(|_| retry(&guard, &error, &world.context))
            .collect();
        let seconds = [2, 4, 8].map(|wait| Action::requeue(Duration::from_secs(wait)));
        assert_eq!(waits, seconds, "{status}");
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

fn fleet(depth: usize) -> Same {
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
        fleet(9),
    );
    world.round().await.unwrap();
    world.fake.with_pods(vec![pod("a")]);
    let action = world.round().await.unwrap();
    assert_eq!(action, Action::requeue(ROUND));
    let replicas = world.fake.get(DEPLOYMENT).unwrap()["spec"]["replicas"].clone();
    assert_eq!(
        replicas, 2,
        "no faster than doubling while the rate is unknown"
    );
    let status = world.object.status.clone().unwrap().autoscaling.unwrap();
    // Averaged with the round before, which saw no pod.
    assert_eq!((status.desired_replicas, status.queue_depth), (2, 5));
    assert!(
        status.last_scale_reason.contains("5 utterances"),
        "{status:?}"
    );
}

#[tokio::test]
async fn pods_that_do_not_answer_are_kept_and_told() {
    let mut world = World::new(
        &json!({"model": {"name": "demo"}, "autoscaling": {"maxReplicas": 5, "scaleDown": {"stabilizationSeconds": 0}}}),
        Same(None),
    );
    world.round().await.unwrap();
    let mut deployment = world.fake.get(DEPLOYMENT).unwrap();
    deployment["spec"]["replicas"] = json!(3);
    world.fake.put(DEPLOYMENT, deployment);
    world.fake.with_pods(vec![pod("a"), pod("b"), pod("c")]);
    world.round().await.unwrap();
    assert_eq!(world.fake.get(DEPLOYMENT).unwrap()["spec"]["replicas"], 3);
    let conditions = world.object.status.clone().unwrap().conditions;
    let active = conditions
        .iter()
        .find(|condition| condition.type_ == "AutoscalingActive")
        .unwrap();
    assert_eq!(active.reason, "MetricsStale");
}

#[tokio::test]
async fn pods_are_marked_only_when_some_are_taken_away() {
    let mut world = World::new(
        &json!({"model": {"name": "demo"}, "autoscaling": {"maxReplicas": 5, "scaleDown": {"stabilizationSeconds": 0}}}),
        idle(),
    );
    world.round().await.unwrap();
    let mut deployment = world.fake.get(DEPLOYMENT).unwrap();
    deployment["spec"]["replicas"] = json!(2);
    world.fake.put(DEPLOYMENT, deployment);
    world.fake.with_pods(vec![pod("a"), pod("b")]);
    world.fake.writes();
    world.round().await.unwrap();
    let writes = world.fake.writes();
    let expected = [
        format!("PATCH /api/v1{HOME}/pods/a"),
        format!("PATCH /api/v1{HOME}/pods/b"),
        format!("PATCH {DEPLOYMENT}"),
    ];
    assert_eq!(writes.get(..3), Some(&expected[..]), "{writes:?}");
    assert_eq!(world.fake.get(DEPLOYMENT).unwrap()["spec"]["replicas"], 1);
}

#[tokio::test]
async fn an_image_volume_that_the_cluster_drops_is_told() {
    let mut world = World::new(
        &json!({"model": {"name": "base", "source": {"image": {"reference": "r/base:1"}}}}),
        idle(),
    );
    world.round().await.unwrap();
    assert_ne!(world.ready().1, "ImageVolumeUnsupported");
    let mut deployment = world.fake.get(DEPLOYMENT).unwrap();
    deployment["spec"]["template"]["spec"]["volumes"] = json!([{"name": "model", "emptyDir": {}}]);
    let stt = validate(&world.object, &defaults()).unwrap();
    let deployment = serde_json::from_value(deployment).unwrap();
    assert_eq!(
        lost_volume(&stt, &deployment).unwrap().reason,
        "ImageVolumeUnsupported"
    );
}
