//! Every metric of the operator.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};
use telemetry::Meters;

use crate::scale::LimitedBy;

/// Instruments. Names on the page begin with `stt_operator_`.
#[derive(Clone, Debug)]
pub struct Metrics {
    duration: Histogram<f64>,
    failures: Counter<u64>,
    decisions: Counter<u64>,
}

impl Metrics {
    /// Instruments of `meters`.
    pub fn new(meters: &Meters) -> Self {
        let meter = meters.meter("operator");
        Self {
            duration: meter
                .f64_histogram("reconcile_duration")
                .with_unit("s")
                .with_description("Time that one reconcile took.")
                .with_boundaries(vec![
                    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
                ])
                .build(),
            failures: meter
                .u64_counter("reconcile_failures")
                .with_description("Reconciles that failed, by what failed.")
                .build(),
            decisions: meter
                .u64_counter("scale_decisions")
                .with_description(
                    "Decisions of the autoscaler, by what kept them from the recommendation.",
                )
                .build(),
        }
    }

    /// A reconcile that took `took`, and what failed in it.
    pub fn reconciled(&self, took: Duration, failure: Option<&'static str>) {
        self.duration.record(took.as_secs_f64(), &[]);
        if let Some(failure) = failure {
            self.failures.add(1, &[KeyValue::new("what", failure)]);
        }
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
            LimitedBy::MetricsUnavailable => "metrics_unavailable",
        };
        self.decisions
            .add(1, &[KeyValue::new("limited_by", limited_by)]);
    }
}
