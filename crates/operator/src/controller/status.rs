//! What is reported: pure functions from what was seen to a status.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use telemetry::load::LoadReport;

use super::conditions::{conditions, not_ready};
use super::facts::Facts;
use super::validate::{Fault, Replicas, ValidStt};
use crate::api::{
    AutoscalingStatus, Endpoint, LimitedBy, ModelStatus, WyomingStt, WyomingSttStatus,
};
use crate::scale::{self, Decision};

/// The status to report.
pub fn status(facts: &Facts<'_>) -> WyomingSttStatus {
    let object = facts.object;
    let before = facts.before.cloned().unwrap_or_default();
    let pods = facts.pods;
    let mut status = WyomingSttStatus {
        observed_generation: object.metadata.generation,
        operator: Some(facts.operator.to_owned()),
        replicas: signed(pods.count()),
        ready_replicas: signed(u32::try_from(pods.ready.len()).unwrap_or(u32::MAX)),
        starting_replicas: signed(pods.starting),
        unschedulable_replicas: signed(pods.unschedulable),
        updated_replicas: facts.rollout.map_or(0, |rollout| rollout.updated),
        selector: before.selector.clone(),
        endpoint: before.endpoint.clone(),
        model: model(facts.reports).or_else(|| before.model.clone()),
        image: before.image.clone(),
        autoscaling: before.autoscaling.clone(),
        rollout_waiting_since: facts.wait.map(|_| {
            let since = before.rollout_waiting_since.clone();
            since.unwrap_or(Time(facts.now))
        }),
        conditions: Vec::new(),
    };
    if let Ok(stt) = facts.valid {
        status.selector = Some(stt.names.query());
        status.endpoint = Some(endpoint(stt));
        status.image = Some(stt.image.clone());
        status.autoscaling = autoscaling(facts, stt, &before);
    }
    status.conditions = conditions(facts, &before.conditions);
    status
}

fn count(items: usize) -> i32 {
    i32::try_from(items).unwrap_or(i32::MAX)
}

fn signed(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn endpoint(stt: &ValidStt) -> Endpoint {
    let host = format!("{}.{}.svc", stt.names.name, stt.names.namespace);
    let api = stt.spec.http.as_ref();
    Endpoint {
        api_url: api.map(|http| format!("http://{host}:{}/v1", http.port)),
        host,
        port: stt.spec.service.port,
    }
}

fn model(reports: &[LoadReport]) -> Option<ModelStatus> {
    let told = reports.iter().find(|report| report.ready)?;
    Some(ModelStatus {
        name: told.model.name.clone(),
        revision: told.model.revision.clone(),
        sha256: told.model.sha256.clone(),
        size_bytes: i64::try_from(told.model.bytes).unwrap_or(i64::MAX),
    })
}

fn autoscaling(
    facts: &Facts<'_>,
    stt: &ValidStt,
    before: &WyomingSttStatus,
) -> Option<AutoscalingStatus> {
    if matches!(stt.replicas, Replicas::Fixed(_)) {
        return None;
    }
    let is_first = before.autoscaling.is_none();
    let before = before.autoscaling.clone().unwrap_or_default();
    let Some(decision) = facts.decision else {
        let limited_by = if facts.is_paused {
            LimitedBy::Paused
        } else {
            before.limited_by
        };
        return Some(AutoscalingStatus {
            limited_by,
            ..before
        });
    };
    let figures = &decision.figures;
    let is_news = !is_first && before.desired_replicas != signed(decision.replicas);
    Some(AutoscalingStatus {
        desired_replicas: signed(decision.replicas),
        recommended_replicas: signed(decision.recommended),
        queue_depth: rounded(figures.depth),
        arrival_rate_milli: rounded(figures.arrival_rate * 1000.0),
        service_rate_milli: rounded(figures.service_rate.unwrap_or(0.0) * 1000.0),
        startup_seconds: rounded(figures.startup.as_secs_f64()),
        silent_replicas: signed(figures.silent),
        sick_replicas: count(figures.sick.len()),
        attained_share_milli: figures.attained.map(|share| rounded(share * 1000.0)),
        limited_by: limited_by(decision.limited_by),
        last_scale_time: if is_news {
            Some(Time(facts.now))
        } else {
            before.last_scale_time
        },
        last_scale_reason: if is_news {
            scale_reason(decision)
        } else {
            before.last_scale_reason
        },
    })
}

/// What made the autoscaler order as it did, for people.
pub fn scale_reason(decision: &Decision) -> String {
    format!(
        "{:.0} utterances wait or run, {:.2} come in a second: {} replicas are recommended",
        decision.figures.depth, decision.figures.arrival_rate, decision.recommended
    )
}

fn rounded(value: f64) -> i32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "clamped to the range of i32"
    )]
    let rounded = value.round().clamp(0.0, f64::from(i32::MAX)) as i32;
    rounded
}

fn limited_by(limited_by: scale::LimitedBy) -> LimitedBy {
    match limited_by {
        scale::LimitedBy::None => LimitedBy::None,
        scale::LimitedBy::MinReplicas => LimitedBy::MinReplicas,
        scale::LimitedBy::MaxReplicas => LimitedBy::MaxReplicas,
        scale::LimitedBy::Capacity => LimitedBy::Capacity,
        scale::LimitedBy::Stabilization => LimitedBy::Stabilization,
        scale::LimitedBy::StepLimit => LimitedBy::StepLimit,
        scale::LimitedBy::Downloads => LimitedBy::Downloads,
        scale::LimitedBy::MetricsUnavailable => LimitedBy::MetricsUnavailable,
    }
}

/// `before` with Ready taken back for `fault`: when too little is known to report anything else.
pub fn interrupted(
    object: &WyomingStt,
    before: Option<&WyomingSttStatus>,
    fault: &Fault,
    now: Timestamp,
) -> WyomingSttStatus {
    let before = before.cloned().unwrap_or_default();
    let generation = object.metadata.generation;
    WyomingSttStatus {
        conditions: not_ready(&before.conditions, fault, generation, now),
        ..before
    }
}

/// Figures alone are news no more often than this, so that watches and etcd stay quiet.
const FIGURES: Duration = Duration::from_secs(30);

/// Whether `new` should be written over `old`, which was written `ago`.
pub fn is_news(
    old: Option<&WyomingSttStatus>,
    new: &WyomingSttStatus,
    ago: Option<Duration>,
) -> bool {
    let Some(old) = old else { return true };
    if without_figures(old) != without_figures(new) {
        return true;
    }
    old != new && ago.is_none_or(|ago| ago >= FIGURES)
}

/// In how long `new` may be written over `old`, if it is no news now and still different.
pub fn news_in(
    old: Option<&WyomingSttStatus>,
    new: &WyomingSttStatus,
    ago: Option<Duration>,
) -> Option<Duration> {
    let is_other = old.is_some_and(|old| old != new);
    is_other.then(|| FIGURES.saturating_sub(ago.unwrap_or_default()))
}

fn without_figures(status: &WyomingSttStatus) -> WyomingSttStatus {
    let mut status = status.clone();
    for condition in &mut status.conditions {
        // The scheduler rewords its message whenever a node comes or goes.
        condition.message.clear();
    }
    if let Some(auto) = &mut status.autoscaling {
        (
            auto.queue_depth,
            auto.arrival_rate_milli,
            auto.service_rate_milli,
        ) = (0, 0, 0);
        (auto.recommended_replicas, auto.startup_seconds) = (0, 0);
        auto.attained_share_milli = None;
        if auto.limited_by != LimitedBy::MetricsUnavailable {
            auto.limited_by = LimitedBy::None;
        }
    }
    status
}

#[cfg(test)]
mod tests;
