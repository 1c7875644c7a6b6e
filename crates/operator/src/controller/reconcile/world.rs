//! A cluster in memory, with one endpoint, and rounds on it.

use std::net::IpAddr;

use futures::future::BoxFuture;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::core::DeserializeGuard;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::watcher::Event;
use serde_json::Value;
use telemetry::Meters;
use telemetry::load::LoadReport;
use tokio::sync::watch;

use super::*;
use crate::controller::fake::Fake;
use crate::controller::fleet::{self, Fleets, Loads};
use crate::controller::memory::Memories;
use crate::controller::mirror::{Mirror, Source};
use crate::controller::mirrors::Mirrors;
use crate::controller::rollouts::Rollouts;
use crate::controller::scope::Scope;
use crate::controller::testing::{defaults, object};
use crate::lease::Others;
use crate::metrics::Metrics;

/// Pods that all tell the same.
pub(super) struct Same(pub(super) Option<LoadReport>);

impl Loads for Same {
    fn load(&self, _: IpAddr, _: u16, _: bool) -> BoxFuture<'_, Option<LoadReport>> {
        Box::pin(async { self.0.clone() })
    }
}

pub(super) fn idle() -> Same {
    Same(Some(LoadReport {
        ready: true,
        ..LoadReport::default()
    }))
}

fn scope(others: &Arc<Others>) -> Arc<Scope> {
    Arc::new(Scope::new(
        "home",
        crate::lease::NAMESPACE,
        Arc::clone(others),
    ))
}

pub(super) struct World {
    pub(super) fake: Fake,
    pub(super) context: Arc<Context>,
    pub(super) others: Arc<Others>,
    pub(super) object: WyomingStt,
}

pub(super) fn names() -> Names {
    Names::of("kitchen", "home")
}

impl World {
    pub(super) fn new(spec: &Value, loads: Same) -> Self {
        let (fake, client) = Fake::start();
        let reporter = Reporter {
            controller: "test".to_owned(),
            instance: None,
        };
        let meters = Meters::new("test", "stt_operator", None).unwrap();
        let mirrors = Arc::new(empty_mirrors());
        let others = Arc::new(Others::default());
        let metrics = Metrics::new(&meters, false, watch::channel(true).1);
        let fleets = Fleets::by_hand(fleet::Shared {
            term: crate::lease::Term::unlimited(),
            scope: scope(&others),
            client: client.clone(),
            mirrors: Arc::clone(&mirrors),
            loads: Arc::new(loads),
            metrics: metrics.clone(),
            triggers: Arc::default(),
            started: Instant::now(),
        });
        let context = Context {
            client: client.clone(),
            mirrors,
            defaults: defaults(),
            fleets,
            scope: scope(&others),
            rollouts: Rollouts::new(1),
            recorder: Recorder::new(client, reporter),
            metrics,
            vitals: Arc::default(),
            started: Instant::now(),
            memories: Memories::default(),
            said: retry::Said::default(),
        };
        Self {
            fake,
            context: Arc::new(context),
            others,
            object: object(spec),
        }
    }

    /// The fleet looks, and a round follows.
    pub(super) async fn round(&mut self) -> Result<Action, ReconcileError> {
        self.context.fleets.look(&names().owner()).await;
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

    /// What another client did to the Deployment, as the API server and its watch have it.
    pub(super) fn change_deployment(&self, change: impl FnOnce(&mut Value)) {
        let mut deployment = self.fake.get(DEPLOYMENT).unwrap();
        change(&mut deployment);
        let changed = self.fake.put(DEPLOYMENT, deployment);
        let changed: Deployment = serde_json::from_value(changed).unwrap();
        self.context.mirrors.deployments.take(Event::Apply(changed));
    }

    pub(super) fn with_pods(&self, pods: &[Value]) {
        let mirror = &self.context.mirrors.pods;
        mirror.take(Event::<Pod>::Init);
        for pod in pods {
            let pod: Pod = serde_json::from_value(pod.clone()).unwrap();
            mirror.take(Event::InitApply(pod));
        }
        mirror.take(Event::<Pod>::InitDone);
    }

    pub(super) fn condition(&self, type_: &str) -> (String, String) {
        let status = self.object.status.clone().unwrap();
        let mut all = status.conditions.into_iter();
        let found = all.find(|condition| condition.type_ == type_).unwrap();
        (found.status, found.reason)
    }

    pub(super) fn ready(&self) -> (String, String) {
        self.condition("Ready")
    }

    pub(super) fn ready_message(&self) -> String {
        let status = self.object.status.clone().unwrap();
        let mut all = status.conditions.into_iter();
        all.find(|condition| condition.type_ == "Ready")
            .unwrap()
            .message
    }
}

fn list_nothing<K: Source>(mirror: &Mirror<K::Kept>) {
    mirror.take(Event::<K>::Init);
    mirror.take(Event::<K>::InitDone);
}

/// As when every kind has been listed, and there was nothing.
pub(super) fn empty_mirrors() -> Mirrors {
    let mirrors = Mirrors::default();
    list_nothing::<Deployment>(&mirrors.deployments);
    list_nothing::<Deployment>(&mirrors.services);
    list_nothing::<Deployment>(&mirrors.service_accounts);
    list_nothing::<Deployment>(&mirrors.claims);
    list_nothing::<Deployment>(&mirrors.network_policies);
    list_nothing::<Deployment>(&mirrors.disruption_budgets);
    list_nothing::<Pod>(&mirrors.pods);
    mirrors
}

pub(super) const HOME: &str = "/namespaces/home";
pub(super) const STATUS: &str =
    "PATCH /apis/wyoming-stt.dev/v1alpha1/namespaces/home/wyomingstts/kitchen/status";
pub(super) const EVENT: &str = "POST /apis/events.k8s.io/v1/namespaces/home/events";
pub(super) const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/home/deployments/kitchen";

pub(super) fn demo() -> Value {
    json!({"model": {"name": "demo"}})
}

pub(super) fn pod(name: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "home",
            "labels": {"app.kubernetes.io/instance": "kitchen", "pod-template-hash": "7f"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "kitchen-7f",
                "uid": "1", "controller": true}]},
        "status": {
            "phase": "Running", "podIP": "10.0.0.7",
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"},
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:20Z"},
            ],
        },
    })
}
