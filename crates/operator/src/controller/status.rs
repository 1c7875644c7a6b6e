//! What is reported: pure functions from what was seen to a status.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use telemetry::load::LoadReport;

use super::names::Names;
use super::pods::Pods;
use super::validate::{Fault, Replicas, ValidStt};
use crate::api::{
    AutoscalingStatus, Endpoint, LimitedBy, ModelStatus, WyomingStt, WyomingSttStatus,
};
use crate::scale::{self, Decision};

/// What a reconcile came upon.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The object, with the status that it has.
    pub object: &'a WyomingStt,
    /// Whether the operator may only look.
    pub is_paused: bool,
    /// What the object means, or its faults.
    pub valid: Result<&'a ValidStt, &'a [Fault]>,
    /// The replicas' Deployment.
    pub deployment: Option<&'a Deployment>,
    /// Its pods.
    pub pods: &'a Pods,
    /// What pods that answered told.
    pub reports: &'a [LoadReport],
    /// What the autoscaler decided.
    pub decision: Option<&'a Decision>,
    /// Why children could not be written.
    pub refusal: Option<Fault>,
    /// Now.
    pub now: Timestamp,
}

/// The status to report.
pub fn status(facts: &Facts<'_>) -> WyomingSttStatus {
    let object = facts.object;
    let before = object.status.clone().unwrap_or_default();
    let pods = facts.pods;
    let mut status = WyomingSttStatus {
        observed_generation: object.metadata.generation,
        replicas: signed(pods.count()),
        ready_replicas: signed(u32::try_from(pods.ready.len()).unwrap_or(u32::MAX)),
        starting_replicas: signed(pods.starting),
        unschedulable_replicas: signed(pods.unschedulable),
        updated_replicas: deployment_status(facts).updated_replicas.unwrap_or(0),
        selector: before.selector.clone(),
        endpoint: before.endpoint.clone(),
        model: model(facts.reports).or_else(|| before.model.clone()),
        image: before.image.clone(),
        autoscaling: before.autoscaling.clone(),
        conditions: Vec::new(),
    };
    if let Ok(stt) = facts.valid {
        status.selector = Some(stt.names.query());
        status.endpoint = Some(endpoint(&stt.names, stt.spec.service.port));
        status.image = Some(stt.image.clone());
        status.autoscaling = autoscaling(facts, stt, &before);
    }
    status.conditions = conditions(facts, &before.conditions);
    status
}

fn signed(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn deployment_status(facts: &Facts<'_>) -> k8s_openapi::api::apps::v1::DeploymentStatus {
    facts
        .deployment
        .and_then(|deployment| deployment.status.clone())
        .unwrap_or_default()
}

fn endpoint(names: &Names, port: i32) -> Endpoint {
    Endpoint {
        host: format!("{}.{}.svc", names.name, names.namespace),
        port,
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
    let ordered = facts
        .deployment
        .and_then(|deployment| deployment.spec.as_ref()?.replicas);
    let is_news = ordered.is_some_and(|ordered| ordered != signed(decision.replicas));
    Some(AutoscalingStatus {
        desired_replicas: signed(decision.replicas),
        recommended_replicas: signed(decision.recommended),
        queue_depth: rounded(figures.depth),
        arrival_rate_milli: rounded(figures.arrival_rate * 1000.0),
        service_rate_milli: rounded(figures.service_rate.unwrap_or(0.0) * 1000.0),
        startup_seconds: rounded(figures.startup.as_secs_f64()),
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
        scale::LimitedBy::MetricsUnavailable => LimitedBy::MetricsUnavailable,
    }
}

/// A condition before it knows its time.
struct Claim {
    type_: &'static str,
    status: &'static str,
    reason: String,
    message: String,
}

fn claim(type_: &'static str, is_true: bool, reason: &str, message: impl Into<String>) -> Claim {
    Claim {
        type_,
        status: if is_true { "True" } else { "False" },
        reason: reason.to_owned(),
        message: message.into(),
    }
}

fn conditions(facts: &Facts<'_>, before: &[Condition]) -> Vec<Condition> {
    let valid = spec_valid(facts);
    let available = available(facts);
    let ready = ready(facts, &valid, &available);
    let claims = [
        ready,
        available,
        progressing(facts),
        valid,
        model_ready(facts),
        autoscaling_active(facts),
        capacity_limited(facts),
    ];
    claims
        .into_iter()
        .map(|claim| dated(claim, facts, before))
        .collect()
}

fn dated(claim: Claim, facts: &Facts<'_>, before: &[Condition]) -> Condition {
    let same = before
        .iter()
        .find(|old| old.type_ == claim.type_ && old.status == claim.status);
    Condition {
        last_transition_time: same.map_or(Time(facts.now), |old| old.last_transition_time.clone()),
        message: claim.message,
        observed_generation: facts.object.metadata.generation,
        reason: claim.reason,
        status: claim.status.to_owned(),
        type_: claim.type_.to_owned(),
    }
}

fn spec_valid(facts: &Facts<'_>) -> Claim {
    let sentences = |faults: &[Fault]| {
        let messages: Vec<&str> = faults.iter().map(|fault| fault.message.as_str()).collect();
        messages.join("; ")
    };
    match facts.valid {
        Err(faults) => {
            let reason = faults.first().map_or("Invalid", |fault| fault.reason);
            claim("SpecValid", false, reason, sentences(faults))
        }
        Ok(stt) => match stt.warnings.first() {
            Some(warning) => claim("SpecValid", true, warning.reason, sentences(&stt.warnings)),
            None => claim("SpecValid", true, "Valid", "the spec can be acted on"),
        },
    }
}

fn available(facts: &Facts<'_>) -> Claim {
    let type_ = "Available";
    let pods = facts.pods;
    if !pods.ready.is_empty() {
        let message = format!(
            "{} of {} replicas are ready",
            pods.ready.len(),
            pods.count()
        );
        return claim(type_, true, "ReplicasReady", message);
    }
    if let Some(trouble) = &pods.trouble {
        return claim(type_, false, trouble.reason, trouble.message.clone());
    }
    if let Some(failure) = deployment_condition(facts, "ReplicaFailure", "True") {
        return claim(
            type_,
            false,
            "PodsRefused",
            failure.message.clone().unwrap_or_default(),
        );
    }
    if facts.valid.is_ok_and(|stt| stt.replicas.most() == 0) {
        return claim(type_, false, "NoReplicas", "spec.replicas is 0");
    }
    claim(type_, false, "Starting", "no replica is ready yet")
}

fn deployment_condition(
    facts: &Facts<'_>,
    type_: &str,
    status: &str,
) -> Option<DeploymentCondition> {
    let conditions = deployment_status(facts).conditions.unwrap_or_default();
    conditions
        .into_iter()
        .find(|condition| condition.type_ == type_ && condition.status == status)
}

/// Whether pods of an older template are being replaced.
pub fn is_rolling_out(deployment: &Deployment) -> bool {
    let status = deployment.status.clone().unwrap_or_default();
    let is_unseen = status.observed_generation < deployment.metadata.generation;
    is_unseen || status.updated_replicas.unwrap_or(0) < status.replicas.unwrap_or(0)
}

fn progressing(facts: &Facts<'_>) -> Claim {
    let type_ = "Progressing";
    if let Some(stuck) = deployment_condition(facts, "Progressing", "False") {
        return claim(
            type_,
            false,
            "StartupTimeout",
            stuck.message.unwrap_or_default(),
        );
    }
    if facts.deployment.is_some_and(is_rolling_out) {
        return claim(
            type_,
            true,
            "RolloutInProgress",
            "replicas of an older spec are being replaced",
        );
    }
    if facts.pods.starting > 0 {
        let message = format!("{} replicas are starting", facts.pods.starting);
        return claim(type_, true, "ReplicasStarting", message);
    }
    claim(type_, false, "Settled", "nothing is being changed")
}

fn model_ready(facts: &Facts<'_>) -> Claim {
    let type_ = "ModelReady";
    match facts.reports.iter().find(|report| report.ready) {
        Some(report) => claim(
            type_,
            true,
            "Loaded",
            format!("replicas serve {}", report.model.name),
        ),
        None if !facts.pods.ready.is_empty() => claim(type_, true, "Loaded", "replicas are ready"),
        None => claim(
            type_,
            false,
            "NotLoaded",
            "no replica has loaded the model yet",
        ),
    }
}

fn autoscaling_active(facts: &Facts<'_>) -> Claim {
    let type_ = "AutoscalingActive";
    let is_configured = facts.object.spec.autoscaling.is_some();
    match facts.decision {
        _ if !is_configured => claim(type_, false, "NotConfigured", "spec.autoscaling is not set"),
        _ if facts.is_paused => claim(type_, false, "Paused", "spec.managementState is Paused"),
        Some(decision) if decision.limited_by == scale::LimitedBy::MetricsUnavailable => claim(
            type_,
            false,
            "MetricsStale",
            "ready replicas do not tell their load: no replica is taken away until they do",
        ),
        Some(_) => claim(type_, true, "Active", "replicas follow the queue"),
        None => claim(
            type_,
            false,
            "NotDecided",
            "the autoscaler has not decided yet",
        ),
    }
}

fn capacity_limited(facts: &Facts<'_>) -> Claim {
    let pods = facts.pods;
    if pods.unschedulable > 0 {
        let said = pods
            .trouble
            .as_ref()
            .map_or("", |trouble| trouble.message.as_str());
        let message = format!("{} replicas fit on no node: {said}", pods.unschedulable);
        return claim("CapacityLimited", true, "PodsUnschedulable", message);
    }
    claim("CapacityLimited", false, "Fits", "every replica has a node")
}

fn ready(facts: &Facts<'_>, valid: &Claim, available: &Claim) -> Claim {
    let type_ = "Ready";
    if valid.status == "False" {
        return claim(type_, false, &valid.reason, valid.message.clone());
    }
    if let Some(refusal) = &facts.refusal {
        return claim(type_, false, refusal.reason, refusal.message.clone());
    }
    let is_available = available.status == "True";
    if facts.is_paused {
        return claim(
            type_,
            is_available,
            "Paused",
            "spec.managementState is Paused: nothing is changed",
        );
    }
    if !is_available {
        return claim(type_, false, &available.reason, available.message.clone());
    }
    claim(type_, true, "Reconciled", available.message.clone())
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

fn without_figures(status: &WyomingSttStatus) -> WyomingSttStatus {
    let mut status = status.clone();
    if let Some(auto) = &mut status.autoscaling {
        (
            auto.queue_depth,
            auto.arrival_rate_milli,
            auto.service_rate_milli,
        ) = (0, 0, 0);
        (auto.recommended_replicas, auto.startup_seconds) = (0, 0);
        auto.limited_by = LimitedBy::None;
    }
    status
}

#[cfg(test)]
mod tests;
