//! What holds, as conditions: each with a word for machines and a sentence that says what to change.

use jiff::Unit;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::facts::Facts;
use super::idle::{Busy, Wait};
use super::reason::{Kind, Reason};
use super::rollout::Rollout;
use super::validate::{Fault, ModelFiles};

/// A condition before it knows its time.
struct Claim {
    kind: Kind,
    status: &'static str,
    reason: Reason,
    message: String,
}

fn claim(kind: Kind, is_true: bool, reason: Reason, message: impl Into<String>) -> Claim {
    debug_assert!(
        reason.kinds().contains(&kind),
        "{reason} is not documented as a reason of {kind:?}"
    );
    Claim {
        kind,
        status: if is_true { "True" } else { "False" },
        reason,
        message: message.into(),
    }
}

/// All conditions; those of `before` that still hold keep their time.
pub(super) fn conditions(facts: &Facts<'_>, before: &[Condition]) -> Vec<Condition> {
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
        degraded(facts),
    ];
    let generation = facts.object.metadata.generation;
    claims
        .iter()
        .map(|claim| dated(claim, generation, facts.now, before))
        .collect()
}

/// `before` with Ready taken back for `fault`: when too little is known to say anything else.
pub(super) fn not_ready(
    before: &[Condition],
    fault: &Fault,
    generation: Option<i64>,
    now: jiff::Timestamp,
) -> Vec<Condition> {
    let ready = claim(Kind::Ready, false, fault.reason, fault.message.clone());
    let ready = dated(&ready, generation, now, before);
    let others = before.iter().filter(|old| old.type_ != Kind::Ready.name());
    std::iter::once(ready).chain(others.cloned()).collect()
}

/// The API server takes this much of a message.
const LONGEST: usize = 4000;

fn dated(
    claim: &Claim,
    generation: Option<i64>,
    now: jiff::Timestamp,
    before: &[Condition],
) -> Condition {
    let same = before
        .iter()
        .find(|old| old.type_ == claim.kind.name() && old.status == claim.status);
    Condition {
        last_transition_time: same.map_or(Time(now), |old| old.last_transition_time.clone()),
        message: claim.message.chars().take(LONGEST).collect(),
        observed_generation: generation,
        reason: claim.reason.name().to_owned(),
        status: claim.status.to_owned(),
        type_: claim.kind.name().to_owned(),
    }
}

fn spec_valid(facts: &Facts<'_>) -> Claim {
    let sentences = |faults: &[Fault]| {
        let messages: Vec<&str> = faults.iter().map(|fault| fault.message.as_str()).collect();
        messages.join("; ")
    };
    match facts.valid {
        Err(faults) => {
            let reason = faults
                .first()
                .map_or(Reason::Incomplete, |fault| fault.reason);
            claim(Kind::SpecValid, false, reason, sentences(faults))
        }
        Ok(stt) => match stt.warnings.first() {
            Some(warning) => claim(
                Kind::SpecValid,
                true,
                warning.reason,
                sentences(&stt.warnings),
            ),
            None => claim(
                Kind::SpecValid,
                true,
                Reason::Valid,
                "the spec can be acted on",
            ),
        },
    }
}

fn available(facts: &Facts<'_>) -> Claim {
    let kind = Kind::Available;
    let pods = facts.pods;
    if !pods.ready.is_empty() {
        let message = format!("ready replicas: {} of {}", pods.ready.len(), pods.count());
        return claim(kind, true, Reason::ReplicasReady, message);
    }
    if let Some(trouble) = &pods.trouble {
        let reason = reason_of(trouble.reason, facts);
        let message = advised(&trouble.message, reason.advice());
        return claim(kind, false, reason, message);
    }
    if let Some(message) = facts.rollout.and_then(|rollout| rollout.failure.as_ref()) {
        let reason = refused_reason(message);
        return claim(kind, false, reason, advised(message, reason.advice()));
    }
    if facts.valid.is_ok_and(|stt| stt.replicas.most() == 0) {
        return claim(
            kind,
            false,
            Reason::NoReplicas,
            "spec.replicas is 0: set it to 1 or more to serve",
        );
    }
    claim(kind, false, Reason::Starting, "no replica is ready yet")
}

/// A replica without its model failed at what it was told to do: to download it, or to read it.
fn reason_of(reason: Reason, facts: &Facts<'_>) -> Reason {
    let is_hub = facts
        .valid
        .is_ok_and(|stt| matches!(stt.model, ModelFiles::Hub { .. }));
    match reason {
        Reason::ModelLoadFailed if is_hub => Reason::ModelDownloadFailed,
        other => other,
    }
}

fn refused_reason(message: &str) -> Reason {
    if message.contains("exceeded quota") {
        Reason::QuotaExceeded
    } else if message.contains("violates PodSecurity") {
        Reason::PodSecurityViolated
    } else {
        Reason::PodsRefused
    }
}

fn advised(message: &str, advice: &str) -> String {
    match (message, advice) {
        ("", advice) => advice.to_owned(),
        (message, "") => message.to_owned(),
        (message, advice) => format!("{}: {advice}", message.trim_end_matches(['.', ' '])),
    }
}

fn progressing(facts: &Facts<'_>) -> Claim {
    let kind = Kind::Progressing;
    if let Some(message) = facts.rollout.and_then(|rollout| rollout.stuck.as_ref()) {
        return claim(
            kind,
            false,
            Reason::StartupTimeout,
            advised(message, Reason::StartupTimeout.advice()),
        );
    }
    if let Some(wait) = facts.wait {
        return waits(wait);
    }
    if facts.rollout.is_some_and(Rollout::is_going_on) {
        let (reason, message) = rollout_trouble(facts).unwrap_or_else(|| {
            let message = "replicas of an older spec are being replaced";
            (Reason::RolloutInProgress, message.to_owned())
        });
        return claim(kind, true, reason, message);
    }
    if facts.pods.starting > 0 {
        let message = format!(
            "replicas that are starting: {}{}",
            facts.pods.starting,
            downloads(facts)
        );
        return claim(kind, true, Reason::ReplicasStarting, message);
    }
    claim(kind, false, Reason::Settled, "nothing is being changed")
}

/// What a start costs where replicas share no volume.
fn downloads(facts: &Facts<'_>) -> String {
    let most = facts.valid.ok().and_then(|stt| stt.max_downloads);
    let Some(most) = most else {
        return String::new();
    };
    let model = facts.before.and_then(|status| status.model.as_ref());
    let size = model
        .filter(|model| model.size_bytes > 0)
        .map_or_else(String::new, |model| {
            format!(" ({} MB)", (model.size_bytes + 500_000) / 1_000_000)
        });
    format!(
        "; each downloads the model{size}, at most {most} of them at once (cache.maxDownloads); a volume that they share (cache.volumeClaimTemplate with ReadWriteMany) has it once"
    )
}

/// A changed pod template that is not rolled out yet.
fn waits(wait: &Wait) -> Claim {
    let (reason, message) = match wait {
        Wait::Others => (
            Reason::RolloutWaits,
            "so many other endpoints replace their replicas that this one waits: the operator's --max-rollouts bounds them".to_owned(),
        ),
        Wait::Idle { busy, until } => {
            let why = match busy {
                Busy::Utterances(count) => {
                    format!("utterances that are queued, running or spoken: {count}")
                }
                Busy::Unknown(count) => {
                    format!("replicas whose load is not known yet: {count}")
                }
            };
            let until = until.round(Unit::Second).unwrap_or(*until);
            let message = format!(
                "the changed pod template waits for a moment without utterances, until {until} at the latest (rollout.waitForIdleSeconds); {why}"
            );
            (Reason::RolloutWaitsForIdle, message)
        }
    };
    claim(Kind::Progressing, true, reason, message)
}

/// What keeps replicas of the new spec from starting, while those of the older one serve.
fn rollout_trouble(facts: &Facts<'_>) -> Option<(Reason, String)> {
    let trouble = facts.pods.trouble.as_ref()?;
    let is_rollout = facts.rollout.is_some_and(Rollout::is_going_on);
    let reason = reason_of(trouble.reason, facts);
    (is_rollout && !facts.pods.ready.is_empty()).then(|| {
        let message = advised(&trouble.message, reason.advice());
        (
            reason,
            format!(
                "replicas of the older spec serve, those of the new one do not start: {message}"
            ),
        )
    })
}

fn model_ready(facts: &Facts<'_>) -> Claim {
    let kind = Kind::ModelReady;
    if let Some(report) = facts.reports.iter().find(|report| report.ready) {
        let message = format!("replicas serve {}", report.model.name);
        return claim(kind, true, Reason::Loaded, message);
    }
    if !facts.pods.ready.is_empty() {
        return claim(kind, true, Reason::Loaded, "replicas are ready");
    }
    let trouble = facts.pods.trouble.as_ref();
    match trouble.map(|trouble| (reason_of(trouble.reason, facts), &trouble.message)) {
        Some((reason @ (Reason::ModelDownloadFailed | Reason::ModelLoadFailed), message)) => {
            claim(kind, false, reason, advised(message, reason.advice()))
        }
        _ => claim(
            kind,
            false,
            Reason::NotLoaded,
            "no replica has loaded the model yet",
        ),
    }
}

fn autoscaling_active(facts: &Facts<'_>) -> Claim {
    let kind = Kind::AutoscalingActive;
    let is_configured = facts.object.spec.autoscaling.is_some();
    match facts.decision {
        _ if !is_configured => claim(
            kind,
            false,
            Reason::NotConfigured,
            "spec.autoscaling is not set",
        ),
        _ if facts.is_paused => claim(
            kind,
            false,
            Reason::Paused,
            "spec.managementState is Paused",
        ),
        Some(decision) if decision.blind_for.is_some() => claim(
            kind,
            false,
            Reason::MetricsSilent,
            format!(
                "no ready replica has told its load for {} s, so more are ordered, up to maxReplicas: let the operator reach their admin port",
                decision.blind_for.map_or(0, |silent| silent.as_secs())
            ),
        ),
        Some(decision) if decision.figures.silent > 0 => claim(
            kind,
            false,
            Reason::MetricsStale,
            format!(
                "ready replicas that do not tell their load: {}: they are taken to have what the others have, and none is taken away: let the operator reach their admin port",
                decision.figures.silent
            ),
        ),
        Some(decision) if decision.is_beyond_help => claim(
            kind,
            true,
            Reason::BeyondHelp,
            "what waits cannot be answered in time by any number of replicas, because it cannot move to others: keep room for it with autoscaling.spare or autoscaling.schedules",
        ),
        Some(_) => claim(kind, true, Reason::Active, "replicas follow the queue"),
        None => claim(
            kind,
            false,
            Reason::NotDecided,
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
            .filter(|trouble| trouble.reason == Reason::PodsUnschedulable)
            .map_or("", |trouble| trouble.message.as_str());
        let message = format!(
            "replicas that fit on no node: {}: {said}",
            pods.unschedulable
        );
        return claim(
            Kind::CapacityLimited,
            true,
            Reason::PodsUnschedulable,
            advised(&message, Reason::PodsUnschedulable.advice()),
        );
    }
    let refused = facts.rollout.and_then(|rollout| rollout.failure.as_ref());
    if let Some(message) = refused {
        let reason = refused_reason(message);
        let message = advised(message, reason.advice());
        return claim(Kind::CapacityLimited, true, reason, message);
    }
    claim(
        Kind::CapacityLimited,
        false,
        Reason::Fits,
        "every replica has a node",
    )
}

/// What does not keep the endpoint from serving, and should not be so.
fn degraded(facts: &Facts<'_>) -> Claim {
    let kind = Kind::Degraded;
    if let Some(message) = facts.rollout.and_then(|rollout| rollout.stuck.as_ref()) {
        let message = advised(message, Reason::StartupTimeout.advice());
        return claim(kind, true, Reason::RolloutStuck, message);
    }
    let sick = facts.decision.map_or(&[][..], |it| &it.figures.sick);
    if !sick.is_empty() {
        let message = format!(
            "replicas that take work and do not do it, or far slower than the others: {}: they are replaced; look at their logs and nodes",
            sick.join(", ")
        );
        return claim(kind, true, Reason::ReplicasSick, message);
    }
    if facts.pods.broken > 0 {
        let trouble = facts.pods.trouble.as_ref();
        let said = trouble.map_or("they took too long to start", |it| it.message.as_str());
        let reason = trouble.map_or(Reason::StartupTimeout, |it| reason_of(it.reason, facts));
        let message = format!("replicas that do not start: {}: {said}", facts.pods.broken);
        return claim(
            kind,
            true,
            Reason::ReplicasBroken,
            advised(&message, reason.advice()),
        );
    }
    claim(kind, false, Reason::Healthy, "every replica does its part")
}

fn ready(facts: &Facts<'_>, valid: &Claim, available: &Claim) -> Claim {
    let kind = Kind::Ready;
    if valid.status == "False" {
        return claim(kind, false, valid.reason, valid.message.clone());
    }
    if let Some(refusal) = &facts.refusal {
        return claim(kind, false, refusal.reason, refusal.message.clone());
    }
    let is_available = available.status == "True";
    if facts.is_paused {
        return claim(
            kind,
            is_available,
            Reason::Paused,
            "spec.managementState is Paused, so nothing is changed: set it to Managed to go on",
        );
    }
    if !is_available {
        return claim(kind, false, available.reason, available.message.clone());
    }
    if let Some((reason, message)) = rollout_trouble(facts) {
        return claim(kind, true, reason, message);
    }
    claim(kind, true, Reason::Reconciled, available.message.clone())
}
