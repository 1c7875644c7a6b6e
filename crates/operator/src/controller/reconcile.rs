//! One round for one object: validate → observe → decide → build → apply → status.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Api, Resource, ResourceExt};
use serde_json::json;
use tokio::time::Instant;
use tracing::Instrument;

use super::apply::{Target, apply};
use super::build::build;
use super::claims;
use super::events::{events, publish};
use super::memory::{Memory, Settled, Written};
use super::mirror::version;
use super::names::{MANAGER, Names};
use super::observe::{self, Seen};
use super::pods::{DELETION_COST, Pods};
use super::status::{Facts, interrupted, is_news, news_in, status};
use super::validate::{Fault, Replicas, ValidStt, is_paused, validate};
use super::watch::{Guarded, Missing};
use crate::api::{WyomingStt, WyomingSttStatus};
use crate::metrics::Figures;
use crate::scale::{self, Decision};

mod context;
mod error;
mod refusal;
mod retry;

pub use context::Context;
pub use error::ReconcileError;
use refusal::{dropped, refusal};
pub use retry::{Said, retry};

/// How often the load of pods is asked for.
const ROUND: Duration = Duration::from_secs(5);
/// How often an object is looked at when nothing happens.
pub const QUIET: Duration = Duration::from_secs(300);
/// The longest that one reconcile may take: the client itself tries again when it is told to slow down.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How soon what was refused is tried again.
const REFUSED: Duration = Duration::from_secs(20);
/// How soon the first lists are looked for again.
const NOT_YET: Duration = Duration::from_secs(1);

/// One round.
///
/// # Errors
/// [`ReconcileError`]; it is tried again with growing waits.
pub async fn reconcile(
    object: Arc<Guarded>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let object = match &object.0 {
        Ok(object) => object,
        Err(source) => {
            context.metrics.reconciled(Duration::ZERO, Some("object"));
            return Err(ReconcileError::Object {
                source: Box::new(source.clone()),
            });
        }
    };
    let names = Names::of(&object.name_any(), &object.namespace().unwrap_or_default());
    let (owner, uid) = (names.owner(), object.uid().unwrap_or_default());
    // What belongs to it goes with it; writing now would bring it back.
    if object.meta().deletion_timestamp.is_some() {
        context.forget(&owner);
        return Ok(Action::await_change());
    }
    let begun = Instant::now();
    let running = context.vitals.begin();
    let mut memory = context.memories.take(&owner, &uid);
    memory.catch_up(object);
    let round = traced(object, names, &context, &mut memory);
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
    context.memories.keep(owner, uid, memory);
    drop(running);
    result
}

/// A trace of its own for each round, with a span for each stage.
async fn traced(
    object: &WyomingStt,
    names: Names,
    context: &Context,
    memory: &mut Memory,
) -> Result<Action, ReconcileError> {
    let span = tracing::info_span!(
        parent: None,
        "reconcile",
        name = names.name,
        namespace = names.namespace,
        generation = object.metadata.generation,
        replicas = tracing::field::Empty,
        ready = tracing::field::Empty,
        outcome = tracing::field::Empty,
    );
    let result = Box::pin(round(object, names, context, memory).instrument(span.clone())).await;
    if let Err(error) = &result {
        span.record("outcome", error.category());
    }
    result
}

async fn round(
    object: &WyomingStt,
    names: Names,
    context: &Context,
    memory: &mut Memory,
) -> Result<Action, ReconcileError> {
    let clock = context.started.elapsed();
    let now = Timestamp::now();
    if let Some(missing) = context.mirrors.missing() {
        return wait_for(missing, object, context, memory, now).await;
    }
    let (valid, seen) = observe(object, context, &names, memory, clock, now).await?;
    let mut round = Round {
        object,
        context,
        names,
        seen,
        decision: None,
        refusal: None,
        outcome: "settled",
    };
    match &valid {
        Err(_) => round.outcome = "invalid",
        Ok(_) if is_paused(object) => round.outcome = "paused",
        Ok(stt) => Box::pin(round.act(stt, memory, clock)).await?,
    }
    let is_late = round
        .report(valid.as_ref().map_err(Vec::as_slice), memory, clock, now)
        .await?;
    let span = tracing::Span::current();
    span.record("replicas", round.seen.ordered());
    span.record("ready", round.seen.pods.ready.len());
    span.record("outcome", round.outcome);
    let rest = match &round.refusal {
        // Nothing tells when a quota was raised or a name became free.
        Some(_) => retry::spread(REFUSED, &object.uid().unwrap_or_default()),
        None => rest(object, &valid),
    };
    Ok(Action::requeue(is_late.map_or(rest, |late| late.min(rest))))
}

/// When to look again although nothing happens.
fn rest(object: &WyomingStt, valid: &Result<ValidStt, Vec<Fault>>) -> Duration {
    match valid {
        Ok(_) if object.spec.autoscaling.is_some() => ROUND,
        Err(faults) if faults.iter().any(|fault| fault.reason == "ClaimMissing") => {
            claims::LOOK_AGAIN
        }
        _ => retry::spread(QUIET, &object.uid().unwrap_or_default()),
    }
}

/// Nothing is known of a kind: nothing is decided.
async fn wait_for(
    missing: Missing,
    object: &WyomingStt,
    context: &Context,
    memory: &mut Memory,
    now: Timestamp,
) -> Result<Action, ReconcileError> {
    let Missing { kind, why } = missing;
    let Some(why) = why else {
        return Ok(Action::requeue(NOT_YET));
    };
    let fault = Fault::new(
        "ClusterNotReadable",
        format!(
            "the operator cannot watch {kind}: {why}: give its role get, list and watch for them"
        ),
    );
    let new = interrupted(object, memory.status(object), &fault, now);
    if memory.status(object) != Some(&new) {
        let clock = context.started.elapsed();
        write(object, context, memory, new, clock).await?;
    }
    Err(ReconcileError::Unknown { kind, why })
}

/// What the object means, and what is there.
#[tracing::instrument(skip_all)]
async fn observe(
    object: &WyomingStt,
    context: &Context,
    names: &Names,
    memory: &mut Memory,
    clock: Duration,
    now: Timestamp,
) -> Result<(Result<ValidStt, Vec<Fault>>, Seen), ReconcileError> {
    let valid = match validate(object, &context.defaults) {
        Err(faults) => Err(faults),
        Ok(stt) => {
            let found = memory.claims.of(&context.client, &stt, clock).await;
            let found = found.map_err(|source| ReconcileError::Claims { source })?;
            claims::check(stt, found)
        }
    };
    let seen = observe::read(&context.mirrors, names, now);
    let port = u16::try_from(object.spec.telemetry.admin_port).unwrap_or_default();
    observe::ask(
        context.loads.as_ref(),
        &seen.pods,
        port,
        &mut memory.reports,
        clock,
    )
    .await;
    Ok((valid, seen))
}

struct Round<'a> {
    object: &'a WyomingStt,
    context: &'a Context,
    names: Names,
    seen: Seen,
    decision: Option<Decision>,
    refusal: Option<Fault>,
    outcome: &'static str,
}

impl Round<'_> {
    /// Decide, build, apply.
    async fn act(
        &mut self,
        stt: &ValidStt,
        memory: &mut Memory,
        clock: Duration,
    ) -> Result<(), ReconcileError> {
        let observation = observe::observation(&self.seen, &memory.reports);
        let replicas = self.decide(stt, &observation, memory, clock);
        let owner = self.names.owner();
        let settled = Settled {
            generation: self.object.metadata.generation,
            replicas,
            versions: self.context.mirrors.versions(&owner),
        };
        if memory.settled.as_ref() == Some(&settled) {
            self.refusal = dropped(stt, &memory.unkept);
            return Ok(());
        }
        memory.settled = None;
        if replicas < observation.ordered {
            self.mark_idle(&observation).await?;
        }
        let built = tracing::info_span!("build").in_scope(|| build(stt, replicas));
        let uid = self.object.uid().unwrap_or_default();
        let target = Target {
            mirrors: &self.context.mirrors,
            metrics: &self.context.metrics,
            names: &self.names,
            uid: &uid,
        };
        let applied = Box::pin(apply(
            &self.context.client,
            &target,
            built,
            &mut memory.unkept,
        ));
        match applied.await {
            Ok(()) => {
                let versions = self.context.mirrors.versions(&owner);
                if versions != settled.versions {
                    self.outcome = "applied";
                }
                memory.settled = Some(Settled {
                    versions,
                    ..settled
                });
                self.refusal = dropped(stt, &memory.unkept);
                Ok(())
            }
            Err(error) => {
                let fault = refusal(stt, &error);
                let fault = fault.ok_or(ReconcileError::Apply { source: error })?;
                self.outcome = "refused";
                self.refusal = Some(fault);
                Ok(())
            }
        }
    }

    #[tracing::instrument(skip_all)]
    fn decide(
        &mut self,
        stt: &ValidStt,
        observation: &scale::Observation,
        memory: &mut Memory,
        clock: Duration,
    ) -> u32 {
        match &stt.replicas {
            Replicas::Fixed(replicas) => *replicas,
            Replicas::Auto(policy) => {
                let (decision, scaling) =
                    scale::decide(policy, observation, &memory.scaling, clock);
                memory.scaling = scaling;
                self.context.metrics.decided(decision.limited_by);
                let replicas = decision.replicas;
                self.decision = Some(decision);
                replicas
            }
        }
    }

    /// Tells the ReplicaSet which pods cost least, just before it takes some away.
    async fn mark_idle(&self, observation: &scale::Observation) -> Result<(), ReconcileError> {
        let pods: Api<Pod> = Api::namespaced(self.context.client.clone(), &self.names.namespace);
        let told = |name: &str| observation.replicas.iter().any(|it| it.pod == name);
        let ready = self.seen.pods.ready.iter();
        let silent: Vec<String> = ready
            .filter(|pod| !told(&pod.name))
            .map(|pod| pod.name.clone())
            .collect();
        for victim in scale::victims(observation, &silent) {
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
                Err(source) => return Err(ReconcileError::Mark { source }),
                Ok(pod) => self.context.mirrors.pods.put(pod),
            }
        }
        Ok(())
    }

    /// Writes the status if it is news, and events on transitions. Returns when figures that differ may be
    /// written.
    #[tracing::instrument(name = "status", skip_all)]
    async fn report(
        &self,
        valid: Result<&ValidStt, &[Fault]>,
        memory: &mut Memory,
        clock: Duration,
        now: Timestamp,
    ) -> Result<Option<Duration>, ReconcileError> {
        let reports: Vec<_> = memory.reports.latest().cloned().collect();
        let before = memory.status(self.object);
        let new = status(&Facts {
            object: self.object,
            before,
            is_paused: is_paused(self.object),
            valid,
            rollout: self.seen.rollout.as_ref(),
            pods: &self.seen.pods,
            reports: &reports,
            decision: self.decision.as_ref(),
            refusal: self.refusal.clone(),
            now,
        });
        let figures = Figures::of(&new, valid.ok());
        self.context.metrics.seen(&self.names.owner(), figures);
        let ago = memory
            .written
            .as_ref()
            .map(|written| clock.saturating_sub(written.at));
        if !is_news(before, &new, ago) {
            return Ok(news_in(before, &new, ago));
        }
        let events = events(before, &new, self.decision.as_ref());
        write(self.object, self.context, memory, new, clock).await?;
        publish(&self.context.recorder, self.object, events).await;
        Ok(None)
    }
}

/// Writes `status`, and remembers it until the watch brings it.
async fn write(
    object: &WyomingStt,
    context: &Context,
    memory: &mut Memory,
    status: WyomingSttStatus,
    clock: Duration,
) -> Result<(), ReconcileError> {
    let namespace = object.namespace().unwrap_or_default();
    let objects: Api<WyomingStt> = Api::namespaced(context.client.clone(), &namespace);
    // A manager of its own, so that spec and status are never mixed up.
    let params = PatchParams::apply(&format!("{MANAGER}-status")).force();
    let patch = json!({
        "apiVersion": WyomingStt::api_version(&()),
        "kind": WyomingStt::kind(&()),
        // Not another one of that name that came meanwhile.
        "metadata": {"uid": object.uid()},
        "status": status,
    });
    let written = objects
        .patch_status(&object.name_any(), &params, &Patch::Apply(patch))
        .await;
    let made = match written {
        Ok(written) => written.resource_version(),
        // It is gone, or another one is there: the watch tells.
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {
            return Ok(());
        }
        Err(source) => return Err(ReconcileError::Status { source }),
    };
    context.metrics.wrote("WyomingStt");
    memory.written = Some(Written {
        at: clock,
        ahead: Some((version(made.as_deref()), status)),
    });
    Ok(())
}

fn cost_of(pods: &Pods, name: &str) -> Option<i32> {
    pods.ready
        .iter()
        .find(|pod| pod.name == name)?
        .deletion_cost
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod traces;
