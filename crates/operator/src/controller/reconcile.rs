//! One round for one object: validate → observe → decide → build → apply → status.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use tokio::time::Instant;

use super::apply::{ApplyError, apply};
use super::build::build;
use super::names::{MANAGER, Names};
use super::observe::{self, Loads, Reports, Seen};
use super::pods::{DELETION_COST, Pods};
use super::status::{Facts, is_news, scale_reason, status};
use super::validate::{Defaults, Fault, Replicas, ValidStt, is_paused, validate};
use crate::api::{WyomingStt, WyomingSttStatus};
use crate::metrics::Metrics;
use crate::scale::{self, Decision};

/// How often the load of pods is asked for.
const ROUND: Duration = Duration::from_secs(5);
/// How often an object is looked at when nothing happens.
const QUIET: Duration = Duration::from_secs(300);
/// The longest that one reconcile may take: the client itself tries again when it is told to slow down.
const PATIENCE: Duration = Duration::from_secs(60);
/// First wait after a failure; it doubles.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// What reconciles share.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What the operator was started with.
    pub defaults: Defaults,
    /// The pods' load.
    pub loads: Arc<dyn Loads>,
    /// Events on objects.
    pub recorder: Recorder,
    /// Counters.
    pub metrics: Metrics,
    /// Since when durations count.
    pub started: Instant,
    /// What is remembered of each object, by uid.
    pub memory: Mutex<HashMap<String, Memory>>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Context").finish_non_exhaustive()
    }
}

/// What is remembered of an object between two rounds; lost with the process.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    scaling: scale::State,
    reports: Reports,
    status_written: Option<Duration>,
    failures: u32,
}

/// Why a round could not be finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReconcileError {
    /// The object is not what the definition says.
    #[error("the object cannot be read")]
    Object {
        /// What is wrong.
        source: Box<kube::core::error_boundary::InvalidObject>,
    },
    /// Deployment or pods could not be read.
    #[error("cannot read what is there")]
    Observe {
        /// What went wrong.
        source: kube::Error,
    },
    /// Children could not be written.
    #[error("cannot settle what belongs to the object")]
    Apply {
        /// Which, and why.
        source: ApplyError,
    },
    /// Pods could not be marked before some are taken away.
    #[error("cannot mark idle pods")]
    Mark {
        /// What went wrong.
        source: kube::Error,
    },
    /// The status could not be written.
    #[error("cannot write the status")]
    Status {
        /// What went wrong.
        source: kube::Error,
    },
    /// It took too long.
    #[error("the API server did not answer within {} s", PATIENCE.as_secs())]
    Timeout,
}

impl ReconcileError {
    /// One word for a label.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Object { .. } => "object",
            Self::Observe { .. } => "observe",
            Self::Apply { .. } => "apply",
            Self::Mark { .. } => "mark",
            Self::Status { .. } => "status",
            Self::Timeout => "timeout",
        }
    }
}

/// One round.
///
/// # Errors
/// [`ReconcileError`]; it is tried again with growing waits.
pub async fn reconcile(
    object: Arc<DeserializeGuard<WyomingStt>>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let object = match &object.0 {
        Ok(object) => object,
        Err(source) => {
            return Err(ReconcileError::Object {
                source: Box::new(source.clone()),
            });
        }
    };
    let uid = object.uid().unwrap_or_default();
    // What belongs to it goes with it; writing now would bring it back.
    if object.meta().deletion_timestamp.is_some() {
        context.forget(&uid);
        return Ok(Action::await_change());
    }
    let begun = Instant::now();
    let mut memory = context.recall(&uid);
    // The objects that are built are large, and a task holds many of these.
    let round = Box::pin(round(object, &context, &mut memory));
    let result = tokio::time::timeout(PATIENCE, round)
        .await
        .unwrap_or(Err(ReconcileError::Timeout));
    context.metrics.reconciled(
        begun.elapsed(),
        result.as_ref().err().map(ReconcileError::category),
    );
    if result.is_ok() {
        memory.failures = 0;
    }
    context.remember(uid, memory);
    result
}

/// When to try again after a failure.
pub fn retry(
    object: &DeserializeGuard<WyomingStt>,
    error: &ReconcileError,
    context: &Context,
) -> Action {
    if matches!(error, ReconcileError::Object { .. }) {
        tracing::warn!(error = error as &dyn std::error::Error, "object skipped");
        return Action::await_change();
    }
    let uid = object.meta().uid.clone().unwrap_or_default();
    let mut memory = context.recall(&uid);
    memory.failures = memory.failures.saturating_add(1);
    let wait = FIRST_RETRY
        .saturating_mul(1 << memory.failures.min(9))
        .min(QUIET);
    // Once: what goes on failing is counted, not told again and again.
    if memory.failures == 1 {
        tracing::warn!(error = error as &dyn std::error::Error, "reconcile failed");
    }
    context.remember(uid, memory);
    Action::requeue(wait)
}

impl Context {
    fn recall(&self, uid: &str) -> Memory {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.get(uid).cloned().unwrap_or_default()
    }

    fn remember(&self, uid: String, new: Memory) {
        self.memory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(uid, new);
    }

    fn forget(&self, uid: &str) {
        self.memory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(uid);
    }
}

#[tracing::instrument(name = "reconcile", skip_all, fields(name = object.name_any(), namespace = object.namespace()))]
async fn round(
    object: &WyomingStt,
    context: &Context,
    memory: &mut Memory,
) -> Result<Action, ReconcileError> {
    let names = Names::of(&object.name_any(), &object.namespace().unwrap_or_default());
    let clock = context.started.elapsed();
    let now = Timestamp::now();
    let valid = validate(object, &context.defaults);
    let seen = observe::read(&context.client, &names, now)
        .await
        .map_err(|source| ReconcileError::Observe { source })?;
    let port = u16::try_from(object.spec.telemetry.admin_port).unwrap_or_default();
    observe::ask(
        context.loads.as_ref(),
        &seen.pods,
        port,
        &mut memory.reports,
        clock,
    )
    .await;

    let mut round = Round {
        object,
        context,
        names,
        seen,
        decision: None,
        refusal: None,
    };
    if let Ok(stt) = &valid
        && !is_paused(object)
    {
        Box::pin(round.act(stt, memory, clock)).await?;
    }
    round
        .report(valid.as_ref().map_err(Vec::as_slice), memory, clock, now)
        .await?;
    let has_autoscaler = object.spec.autoscaling.is_some() && valid.is_ok();
    Ok(Action::requeue(if has_autoscaler { ROUND } else { QUIET }))
}

struct Round<'a> {
    object: &'a WyomingStt,
    context: &'a Context,
    names: Names,
    seen: Seen,
    decision: Option<Decision>,
    refusal: Option<Fault>,
}

impl Round<'_> {
    /// Decide, build, apply.
    async fn act(
        &mut self,
        stt: &ValidStt,
        memory: &mut Memory,
        clock: Duration,
    ) -> Result<(), ReconcileError> {
        let replicas = match &stt.replicas {
            Replicas::Fixed(replicas) => *replicas,
            Replicas::Auto(policy) => {
                let observation = observe::observation(&self.seen, &memory.reports);
                let (decision, scaling) =
                    scale::decide(policy, &observation, &memory.scaling, clock);
                memory.scaling = scaling;
                if decision.replicas < observation.ordered {
                    self.mark_idle(&observation).await?;
                }
                self.context.metrics.decided(decision.limited_by);
                let replicas = decision.replicas;
                self.decision = Some(decision);
                replicas
            }
        };
        let built = build(stt, replicas);
        let uid = self.object.uid().unwrap_or_default();
        let before = self.seen.deployment.clone();
        let applied = Box::pin(apply(
            &self.context.client,
            &self.names,
            &uid,
            before,
            built,
        ));
        match applied.await {
            Ok(deployment) => {
                self.refusal = lost_volume(stt, &deployment);
                Ok(())
            }
            Err(error @ ApplyError::Foreign { .. }) => {
                self.refusal = Some(Fault {
                    reason: "NameTaken",
                    message: error.to_string(),
                });
                Ok(())
            }
            Err(error @ ApplyError::Refused { .. }) => {
                self.refusal = Some(Fault {
                    reason: "ApplyRefused",
                    message: error.to_string(),
                });
                Ok(())
            }
            Err(source) => Err(ReconcileError::Apply { source }),
        }
    }

    /// Tells the ReplicaSet which pods cost least, just before it takes some away.
    async fn mark_idle(&self, observation: &scale::Observation) -> Result<(), ReconcileError> {
        let pods: Api<Pod> = Api::namespaced(self.context.client.clone(), &self.names.namespace);
        for victim in scale::victims(observation) {
            if cost_of(&self.seen.pods, &victim.pod) == Some(victim.cost) {
                continue;
            }
            let patch =
                json!({"metadata": {"annotations": {DELETION_COST: victim.cost.to_string()}}});
            match pods
                .patch(&victim.pod, &PatchParams::default(), &Patch::Merge(patch))
                .await
            {
                // It is gone already.
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                result => {
                    result.map_err(|source| ReconcileError::Mark { source })?;
                }
            }
        }
        Ok(())
    }

    /// Writes the status if it is news, and events on transitions.
    async fn report(
        &self,
        valid: Result<&ValidStt, &[Fault]>,
        memory: &mut Memory,
        clock: Duration,
        now: Timestamp,
    ) -> Result<(), ReconcileError> {
        let reports: Vec<_> = memory
            .reports
            .values()
            .map(|(_, report)| report.clone())
            .collect();
        let new = status(&Facts {
            object: self.object,
            is_paused: is_paused(self.object),
            valid,
            deployment: self.seen.deployment.as_ref(),
            pods: &self.seen.pods,
            reports: &reports,
            decision: self.decision.as_ref(),
            refusal: self.refusal.clone(),
            now,
        });
        let ago = memory.status_written.map(|at| clock.saturating_sub(at));
        if !is_news(self.object.status.as_ref(), &new, ago) {
            return Ok(());
        }
        self.write(&new)
            .await
            .map_err(|source| ReconcileError::Status { source })?;
        memory.status_written = Some(clock);
        self.tell(&new).await;
        Ok(())
    }

    async fn write(&self, status: &WyomingSttStatus) -> Result<(), kube::Error> {
        let objects: Api<WyomingStt> =
            Api::namespaced(self.context.client.clone(), &self.names.namespace);
        // A manager of its own, so that spec and status are never mixed up.
        let params = PatchParams::apply(&format!("{MANAGER}-status")).force();
        let patch = json!({
            "apiVersion": WyomingStt::api_version(&()),
            "kind": WyomingStt::kind(&()),
            "status": status,
        });
        objects
            .patch_status(&self.names.name, &params, &Patch::Apply(patch))
            .await
            .map(drop)
    }

    /// Events: when Ready changes its reason, and when the autoscaler changes its order.
    async fn tell(&self, new: &WyomingSttStatus) {
        let reason = |status: &WyomingSttStatus| {
            let ready = status
                .conditions
                .iter()
                .find(|condition| condition.type_ == "Ready");
            ready.map(|ready| {
                (
                    ready.status.clone(),
                    ready.reason.clone(),
                    ready.message.clone(),
                )
            })
        };
        let old = self.object.status.as_ref();
        if let Some((status, word, message)) = reason(new)
            && old
                .and_then(reason)
                .is_none_or(|(old, old_word, _)| (old, old_word) != (status.clone(), word.clone()))
        {
            let type_ = if status == "True" {
                EventType::Normal
            } else {
                EventType::Warning
            };
            self.publish(type_, word, message, "Reconcile").await;
        }
        if let Some(decision) = &self.decision {
            let before = old.and_then(|status| Some(status.autoscaling.as_ref()?.desired_replicas));
            let after = new.autoscaling.as_ref().map(|auto| auto.desired_replicas);
            if let (Some(before), Some(after)) = (before, after)
                && before != after
            {
                let message = format!(
                    "from {before} to {after} replicas: {}",
                    scale_reason(decision)
                );
                self.publish(EventType::Normal, "Scaled".to_owned(), message, "Scale")
                    .await;
            }
        }
    }

    async fn publish(&self, type_: EventType, reason: String, note: String, action: &str) {
        // An event's note holds 1 kB.
        let note: String = note.chars().take(250).collect();
        let event = Event {
            type_,
            reason,
            note: Some(note),
            action: action.to_owned(),
            secondary: None,
        };
        let result = self
            .context
            .recorder
            .publish(&event, &self.object.object_ref(&()))
            .await;
        if let Err(error) = result {
            // The status says the same.
            tracing::debug!(%error, "event not published");
        }
    }
}

fn cost_of(pods: &Pods, name: &str) -> Option<i32> {
    pods.ready
        .iter()
        .find(|pod| pod.name == name)?
        .deletion_cost
}

/// An API server that does not know image volumes drops the field instead of refusing it.
fn lost_volume(stt: &ValidStt, deployment: &Deployment) -> Option<Fault> {
    let wants_image = stt
        .spec
        .model
        .source
        .as_ref()
        .is_some_and(|source| source.image.is_some());
    let volumes = deployment
        .spec
        .as_ref()?
        .template
        .spec
        .as_ref()?
        .volumes
        .clone()
        .unwrap_or_default();
    let has_image = volumes.iter().any(|volume| volume.image.is_some());
    (wants_image && !has_image).then(|| Fault {
        reason: "ImageVolumeUnsupported",
        message: "this cluster does not know image volumes (Kubernetes 1.35, or the feature gate ImageVolume): use model.source.persistentVolumeClaim".to_owned(),
    })
}

#[cfg(test)]
mod tests;
