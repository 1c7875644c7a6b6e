//! Every metric of the operator.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};
use telemetry::Meters;
use tokio::sync::watch;

use crate::api::{self, WyomingSttStatus};
use crate::controller::mirror::Owner;
use crate::controller::validate::{Replicas, ValidStt};
use crate::scale::LimitedBy;

/// What gauges tell of one object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Whether it is served as it was declared.
    pub is_ready: bool,
    /// Replicas that are ordered.
    pub desired: i32,
    /// Replicas that transcribe.
    pub ready: i32,
    /// Replicas that fit on no node.
    pub unschedulable: i32,
    /// Ready replicas that do not tell their load, with autoscaling.
    pub silent: Option<i32>,
    /// Ready replicas that are of no use, with autoscaling.
    pub sick: Option<i32>,
    /// Utterances waiting and running, with autoscaling.
    pub queue_depth: Option<i32>,
    /// Replicas that the load asks for, with autoscaling.
    pub recommended: Option<i32>,
    /// What keeps the order away from that.
    pub limited_by: Option<api::LimitedBy>,
    /// Utterances that arrive in 1000 seconds.
    pub arrival_milli: Option<i32>,
    /// Utterances that a replica finishes in 1000 seconds; none until that is known.
    pub service_milli: Option<i32>,
    /// Milliseconds that a replica takes to start.
    pub startup_milli: Option<i32>,
    /// Of 1000 utterances those that were answered as soon as they should be, with autoscaling.
    pub attained_milli: Option<i32>,
    /// How many of them should be.
    pub target_milli: Option<i32>,
}

impl Figures {
    /// What `status` says of an object that means `stt`.
    pub fn of(status: &WyomingSttStatus, stt: Option<&ValidStt>) -> Self {
        let auto = status.autoscaling.as_ref();
        let (fixed, target) = match stt.map(|stt| &stt.replicas) {
            Some(Replicas::Fixed(replicas)) => (i32::try_from(*replicas).ok(), None),
            Some(Replicas::Auto(auto)) => (None, Some(auto.policy.target.share_milli())),
            None => (None, None),
        };
        Self {
            is_ready: status
                .conditions
                .iter()
                .any(|condition| condition.type_ == "Ready" && condition.status == "True"),
            desired: fixed
                .or_else(|| auto.map(|auto| auto.desired_replicas))
                .unwrap_or(status.replicas),
            ready: status.ready_replicas,
            unschedulable: status.unschedulable_replicas,
            silent: auto.map(|auto| auto.silent_replicas),
            sick: auto.map(|auto| auto.sick_replicas),
            queue_depth: auto.map(|auto| auto.queue_depth),
            recommended: auto.map(|auto| auto.recommended_replicas),
            limited_by: auto.map(|auto| auto.limited_by),
            arrival_milli: auto.map(|auto| auto.arrival_rate_milli),
            service_milli: auto
                .map(|auto| auto.service_rate_milli)
                .filter(|rate| *rate > 0),
            startup_milli: auto.map(|auto| auto.startup_seconds.saturating_mul(1000)),
            attained_milli: auto.and_then(|auto| auto.attained_share_milli),
            target_milli: target,
        }
    }
}

/// An object's figures, and its labels.
#[derive(Debug)]
struct Object {
    labels: [KeyValue; 2],
    figures: Figures,
}

/// Figures of all objects.
#[derive(Clone, Debug, Default)]
struct Objects(Arc<Mutex<HashMap<Owner, Object>>>);

impl Objects {
    fn lock(&self) -> MutexGuard<'_, HashMap<Owner, Object>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Instruments. Names on the page begin with `stt_operator_`.
#[derive(Clone, Debug)]
pub struct Metrics {
    duration: Histogram<f64>,
    errors: Counter<u64>,
    fleet: Histogram<f64>,
    decisions: Counter<u64>,
    writes: Counter<u64>,
    objects: Objects,
    left: Left,
}

/// Objects that another operator looks after.
type Left = Arc<Mutex<HashSet<Owner>>>;

impl Metrics {
    /// Instruments of `meters`. Gauges are sums over all objects; with `is_per_object` each object has its own,
    /// by namespace and name. `leader` tells whether this process writes.
    pub fn new(meters: &Meters, is_per_object: bool, leader: watch::Receiver<bool>) -> Self {
        let meter = meters.meter("operator");
        let objects = Objects::default();
        observe_leader(&meter, leader);
        observe_objects(&meter, &objects);
        let left = Left::default();
        observe_left(&meter, &left);
        for (name, description, read) in GAUGES {
            observe(&meter, &objects, name, description, read, is_per_object);
        }
        // A sum of rates and parts says nothing.
        if is_per_object {
            for (name, unit, description, read) in LEARNED {
                observe_learned(&meter, &objects, (name, unit, description), read);
            }
            observe_limits(&meter, &objects);
        }
        let durations = |name, description| {
            let histogram = meter.f64_histogram(name).with_unit("s");
            let histogram = histogram.with_description(description);
            histogram.with_boundaries(DURATIONS.to_vec()).build()
        };
        Self {
            duration: durations("reconcile_duration", "Time that one reconcile took."),
            fleet: durations(
                "scale_duration",
                "Time from asking the pods of an endpoint for their load until its replicas are ordered.",
            ),
            errors: meter
                .u64_counter("reconcile_errors")
                .with_description("Reconciles that failed, by what failed.")
                .build(),
            decisions: meter
                .u64_counter("scale_decisions")
                .with_description(
                    "Decisions of the autoscaler, by what kept them from the recommendation.",
                )
                .build(),
            writes: meter
                .u64_counter("writes")
                .with_description("Objects written, by kind; none when nothing changes.")
                .build(),
            objects,
            left,
        }
    }

    /// A reconcile that took `took`, and what failed in it.
    pub fn reconciled(&self, took: Duration, failure: Option<&'static str>) {
        self.duration.record(took.as_secs_f64(), &[]);
        if let Some(failure) = failure {
            self.errors.add(1, &[KeyValue::new("reason", failure)]);
        }
    }

    /// The load of an endpoint was asked for, and its replicas ordered if they had to be, in `took`.
    pub fn scaled(&self, took: Duration) {
        self.fleet.record(took.as_secs_f64(), &[]);
    }

    /// A decision of the autoscaler.
    pub fn decided(&self, limited_by: LimitedBy) {
        let limited_by = match limited_by {
            LimitedBy::None => "none",
            LimitedBy::MinReplicas => "min_replicas",
            LimitedBy::MaxReplicas => "max_replicas",
            LimitedBy::Capacity => "capacity",
            LimitedBy::Stabilization => "stabilization",
            LimitedBy::StepLimit => "step_limit",
            LimitedBy::Downloads => "downloads",
            LimitedBy::MetricsUnavailable => "metrics_unavailable",
        };
        self.decisions
            .add(1, &[KeyValue::new("limited_by", limited_by)]);
    }

    /// An object of `kind` was written.
    pub fn wrote(&self, kind: &str) {
        self.writes
            .add(1, &[KeyValue::new("kind", kind.to_owned())]);
    }

    /// What an object is like now.
    pub fn seen(&self, owner: &Owner, figures: Figures) {
        lock(&self.left).remove(owner);
        let mut objects = self.objects.lock();
        if let Some(object) = objects.get_mut(owner) {
            object.figures = figures;
            return;
        }
        let labels = [
            KeyValue::new("namespace", owner.namespace.clone()),
            KeyValue::new("name", owner.name.clone()),
        ];
        objects.insert(owner.clone(), Object { labels, figures });
    }

    /// An object is gone.
    pub fn forget(&self, owner: &Owner) {
        self.objects.lock().remove(owner);
        lock(&self.left).remove(owner);
    }

    /// An object is left to another operator. Returns whether that is new.
    pub fn left(&self, owner: &Owner) -> bool {
        self.objects.lock().remove(owner);
        lock(&self.left).insert(owner.clone())
    }

    /// Objects that are known.
    pub fn objects(&self) -> usize {
        self.objects.lock().len()
    }
}

/// Bounds of the histograms of time, in seconds.
const DURATIONS: [f64; 15] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

type Read = fn(&Figures) -> Option<i32>;

const GAUGES: [(&str, &str, Read); 7] = [
    ("replicas_desired", "Replicas that are ordered.", |it| {
        Some(it.desired)
    }),
    (
        "replicas_recommended",
        "Replicas that the load asks for, where replicas follow the queue.",
        |it| it.recommended,
    ),
    ("replicas_ready", "Replicas that transcribe.", |it| {
        Some(it.ready)
    }),
    (
        "replicas_unschedulable",
        "Replicas that fit on no node.",
        |it| Some(it.unschedulable),
    ),
    (
        "replicas_silent",
        "Ready replicas that do not report their load.",
        |it| it.silent,
    ),
    (
        "replicas_sick",
        "Ready replicas that accept utterances and do not answer them, or far slower than the others.",
        |it| it.sick,
    ),
    (
        "queue_depth",
        "Utterances waiting and running where replicas follow the queue.",
        |it| it.queue_depth,
    ),
];

/// What the autoscaler has learned, in thousandths.
const LEARNED: [(&str, &str, &str, Read); 5] = [
    (
        "arrival_rate",
        "",
        "Utterances that arrive in a second.",
        |it| it.arrival_milli,
    ),
    (
        "service_rate",
        "",
        "Utterances that one replica finishes in a second with all its slots.",
        |it| it.service_milli,
    ),
    (
        "startup",
        "s",
        "Time that a replica takes to start.",
        |it| it.startup_milli,
    ),
    (
        "attained_ratio",
        "",
        "Utterances of the last ten minutes that were answered within the endpoint's target, as a part of all.",
        |it| it.attained_milli,
    ),
    (
        "target_ratio",
        "",
        "Part of the utterances that should be answered within the endpoint's target.",
        |it| it.target_milli,
    ),
];

fn lock(left: &Left) -> MutexGuard<'_, HashSet<Owner>> {
    left.lock().unwrap_or_else(PoisonError::into_inner)
}

fn observe_left(meter: &Meter, left: &Left) {
    let left = Arc::clone(left);
    meter
        .u64_observable_gauge("objects_left")
        .with_description(
            "Objects that are left to another operator, which watches their namespace alone.",
        )
        .with_callback(move |gauge| gauge.observe(lock(&left).len() as u64, &[]))
        .build();
}

fn observe_leader(meter: &Meter, leader: watch::Receiver<bool>) {
    meter
        .u64_observable_gauge("leader")
        .with_description("1 for the process that writes.")
        .with_callback(move |gauge| gauge.observe(u64::from(*leader.borrow()), &[]))
        .build();
}

fn observe_objects(meter: &Meter, objects: &Objects) {
    let objects = objects.clone();
    meter
        .u64_observable_gauge("objects")
        .with_description("Objects, by whether they are served as declared.")
        .with_callback(move |gauge| {
            let objects = objects.lock();
            let ready = objects.values().filter(|it| it.figures.is_ready).count();
            for (word, count) in [("true", ready), ("false", objects.len() - ready)] {
                gauge.observe(count as u64, &[KeyValue::new("ready", word)]);
            }
        })
        .build();
}

fn observe(
    meter: &Meter,
    objects: &Objects,
    name: &'static str,
    description: &'static str,
    read: Read,
    is_per_object: bool,
) {
    let objects = objects.clone();
    meter
        .i64_observable_gauge(name)
        .with_description(description)
        .with_callback(move |gauge| {
            let objects = objects.lock();
            if is_per_object {
                for object in objects.values() {
                    if let Some(figure) = read(&object.figures) {
                        gauge.observe(figure.into(), &object.labels);
                    }
                }
            } else {
                let figures = objects.values().filter_map(|object| read(&object.figures));
                gauge.observe(figures.map(i64::from).sum(), &[]);
            }
        })
        .build();
}

/// One series for each object: 1 for what limits it now.
fn observe_limits(meter: &Meter, objects: &Objects) {
    let objects = objects.clone();
    meter
        .u64_observable_gauge("limited")
        .with_description(
            "1 for what keeps the replicas of an endpoint from what its load asks for; none where nothing does.",
        )
        .with_callback(move |gauge| {
            for object in objects.lock().values() {
                if let Some(word) = object.figures.limited_by.and_then(limit) {
                    let [namespace, name] = object.labels.clone();
                    gauge.observe(1, &[namespace, name, KeyValue::new("limited_by", word)]);
                }
            }
        })
        .build();
}

fn limit(limited_by: api::LimitedBy) -> Option<&'static str> {
    match limited_by {
        api::LimitedBy::None => None,
        api::LimitedBy::MinReplicas => Some("min_replicas"),
        api::LimitedBy::MaxReplicas => Some("max_replicas"),
        api::LimitedBy::Capacity => Some("capacity"),
        api::LimitedBy::Stabilization => Some("stabilization"),
        api::LimitedBy::StepLimit => Some("step_limit"),
        api::LimitedBy::Downloads => Some("downloads"),
        api::LimitedBy::MetricsUnavailable => Some("metrics_unavailable"),
        api::LimitedBy::Paused => Some("paused"),
    }
}

fn observe_learned(
    meter: &Meter,
    objects: &Objects,
    (name, unit, description): (&'static str, &'static str, &'static str),
    read: Read,
) {
    let objects = objects.clone();
    meter
        .f64_observable_gauge(name)
        .with_unit(unit)
        .with_description(description)
        .with_callback(move |gauge| {
            for object in objects.lock().values() {
                if let Some(milli) = read(&object.figures) {
                    gauge.observe(f64::from(milli) / 1000.0, &object.labels);
                }
            }
        })
        .build();
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn page(is_per_object: bool) -> String {
        let meters = Meters::new("test", "stt_operator", None).unwrap();
        let (_sender, leader) = watch::channel(true);
        let metrics = Metrics::new(&meters, is_per_object, leader);
        metrics.reconciled(Duration::from_millis(3), None);
        metrics.reconciled(Duration::from_millis(3), Some("apply"));
        metrics.scaled(Duration::from_millis(3));
        metrics.decided(LimitedBy::StepLimit);
        metrics.decided(LimitedBy::MaxReplicas);
        metrics.wrote("Deployment");
        let owner = |name: &str| Owner {
            namespace: "home".to_owned(),
            name: name.to_owned(),
        };
        for (name, ready) in [("stt-1", 2), ("stt-2", 3)] {
            let figures = Figures {
                is_ready: ready == 3,
                desired: 3,
                ready,
                unschedulable: 3 - ready,
                silent: Some(1),
                sick: Some(0),
                queue_depth: Some(ready),
                recommended: Some(4),
                limited_by: Some(api::LimitedBy::Capacity),
                arrival_milli: Some(1500),
                service_milli: (ready == 3).then_some(500),
                startup_milli: Some(20_000),
                attained_milli: Some(950 + ready),
                target_milli: Some(990),
            };
            metrics.seen(&owner(name), figures);
        }
        metrics.seen(&owner("gone"), Figures::default());
        metrics.forget(&owner("gone"));
        assert_eq!(metrics.objects(), 2);
        meters.page().unwrap()
    }

    #[test]
    fn the_page_tells_sums_and_counts() {
        let page = page(false);
        for line in [
            "stt_operator_reconcile_duration_seconds_count 2",
            "stt_operator_reconcile_errors_total{reason=\"apply\"} 1",
            "stt_operator_scale_duration_seconds_count 1",
            "stt_operator_scale_decisions_total{limited_by=\"step_limit\"} 1",
            "stt_operator_writes_total{kind=\"Deployment\"} 1",
            "stt_operator_leader 1",
            "stt_operator_objects{ready=\"true\"} 1",
            "stt_operator_objects{ready=\"false\"} 1",
            "stt_operator_replicas_desired 6",
            "stt_operator_replicas_ready 5",
            "stt_operator_replicas_unschedulable 1",
            "stt_operator_replicas_silent 2",
            "stt_operator_replicas_sick 0",
            "stt_operator_queue_depth 5",
            "stt_operator_replicas_recommended 8",
        ] {
            assert!(
                page.lines().any(|it| it == line),
                "{line} is not in:\n{page}"
            );
        }
        assert!(!page.contains("home") && !page.contains("_rat"), "{page}");
    }

    #[test]
    fn objects_that_are_left_count_until_they_are_ours() {
        let meters = Meters::new("test", "stt_operator", None).unwrap();
        let metrics = Metrics::new(&meters, false, watch::channel(true).1);
        let owner = Owner {
            namespace: "home".to_owned(),
            name: "kitchen".to_owned(),
        };
        let left = || {
            meters
                .page()
                .unwrap()
                .lines()
                .any(|it| it == "stt_operator_objects_left 1")
        };
        metrics.seen(&owner, Figures::default());
        assert!(metrics.left(&owner) && !metrics.left(&owner));
        assert_eq!((metrics.objects(), left()), (0, true));
        metrics.seen(&owner, Figures::default());
        assert_eq!((metrics.objects(), left()), (1, false));
    }

    #[test]
    fn objects_have_lines_of_their_own_where_asked() {
        let page = page(true);
        for line in [
            "stt_operator_replicas_ready{name=\"stt-1\",namespace=\"home\"} 2",
            "stt_operator_replicas_ready{name=\"stt-2\",namespace=\"home\"} 3",
            "stt_operator_attained_ratio{name=\"stt-1\",namespace=\"home\"} 0.952",
            "stt_operator_target_ratio{name=\"stt-1\",namespace=\"home\"} 0.99",
            "stt_operator_arrival_rate{name=\"stt-1\",namespace=\"home\"} 1.5",
            "stt_operator_service_rate{name=\"stt-2\",namespace=\"home\"} 0.5",
            "stt_operator_startup_seconds{name=\"stt-1\",namespace=\"home\"} 20",
            "stt_operator_limited{limited_by=\"capacity\",name=\"stt-1\",namespace=\"home\"} 1",
        ] {
            assert!(
                page.lines().any(|it| it == line),
                "{line} is not in:\n{page}"
            );
        }
        let unknown = "stt_operator_service_rate{name=\"stt-1\"";
        assert!(!page.contains("gone") && !page.contains(unknown), "{page}");
    }

    /// The names and labels of a page, which alerts and dashboards are held to (`tests/chart/test_alerts.py`). A file
    /// that is missing is written, for a person to read.
    #[test]
    fn names_and_labels_are_as_written_down() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/chart/pages/operator.txt"
        );
        let shown = |line: &str| match line.rsplit_once(' ') {
            _ if line.starts_with('#') => line.to_owned(),
            Some((series, _)) => series.to_owned(),
            None => line.to_owned(),
        };
        let now: String = page(true)
            .lines()
            .filter(|line| !line.contains("le=\"") || line.contains("le=\"+Inf\""))
            .map(|line| shown(line) + "\n")
            .collect();
        let Ok(then) = std::fs::read_to_string(path) else {
            std::fs::write(path, now).unwrap();
            panic!("{path} was missing and is written: read it");
        };
        assert!(
            now == then,
            "the metrics changed; remove the file to write it anew:\n{now}"
        );
    }
}
