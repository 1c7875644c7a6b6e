//! One round for one object: validate → build → apply → status. It reads memory and writes to the API server; pods are
//! the business of `fleet`, whose snapshot the status tells.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Api, Resource, ResourceExt};
use serde_json::json;
use telemetry::load::LoadReport;
use tokio::time::Instant;
use tracing::Instrument;

use super::apply::{ApplyError, Target, apply};
use super::build::build;
use super::claims;
use super::events::{events, left_to, publish};
use super::facts::Facts;
use super::fleet::{Orders, Snapshot, mark};
use super::idle::{self, Moment, Wait};
use super::memory::{Memory, Settled, Written};
use super::mirror::{Owner, version};
use super::mirrors::Missing;
use super::names::{MANAGER, Names};
use super::pods::{self, Pods};
use super::reason::Reason;
use super::rollout::Rollout;
use super::scope::{LEFT_AGAIN, Share};
use super::status::{interrupted, is_news, news_in, status};
use super::validate::{Fault, Replicas, ValidStt, is_paused, validate};
use super::watch::Guarded;
use crate::api::{WyomingStt, WyomingSttStatus};
use crate::metrics::Figures;
use crate::scale;

mod context;
mod error;
mod refusal;
mod retry;

pub use context::Context;
pub use error::ReconcileError;
use refusal::{dropped, refusal};
pub use retry::{Said, retry};

/// How often an object is looked at when nothing happens.
pub const QUIET: Duration = Duration::from_secs(300);
/// The longest that one reconcile may take: the client itself tries again when it is told to slow down.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How soon what was refused is tried again.
const REFUSED: Duration = Duration::from_secs(20);
/// How soon a rollout that waits for others tries again.
const WAITING: Duration = Duration::from_secs(5);
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
    let written = object.status.as_ref().and_then(|it| it.operator.as_deref());
    match context.scope.of(&owner.namespace, written) {
        Share::Ours => {}
        Share::Soon(left) => return Ok(Action::requeue(left)),
        Share::Others(other) => {
            leave(object, &context, &owner, &other).await;
            return Ok(Action::requeue(LEFT_AGAIN));
        }
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

/// Leaves an object to the operator of its namespace, and says so once.
async fn leave(object: &WyomingStt, context: &Context, owner: &Owner, other: &str) {
    context.fleets.stop(owner);
    context.memories.forget(owner);
    if context.metrics.left(owner) {
        tracing::info!(
            name = owner.name,
            namespace = owner.namespace,
            other,
            "left to the operator of its namespace"
        );
        publish(&context.recorder, object, vec![left_to(other)]).await;
    }
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
    let valid = validate(object, &context.defaults);
    follow(object, &valid, context, &names);
    let valid = with_claims(valid, context, memory, clock).await?;
    let mut round = Round {
        seen: read(object, context, &names, now),
        snapshot: context.fleets.snapshot(&names.owner()).unwrap_or_default(),
        object,
        context,
        names,
        refusal: None,
        wait: None,
        outcome: "settled",
    };
    let applied = match &valid {
        Err(_) => {
            round.outcome = "invalid";
            Ok(())
        }
        Ok(_) if is_paused(object) => {
            round.outcome = "paused";
            Ok(())
        }
        Ok(stt) => Box::pin(round.act(stt, memory, now)).await,
    };
    // What was applied is not yet rolled out.
    round.seen = read(object, context, &round.names, now);
    let is_late = round
        .report(valid.as_ref().map_err(Vec::as_slice), memory, clock, now)
        .await?;
    applied?;
    let span = tracing::Span::current();
    span.record("replicas", round.seen.ordered());
    span.record("ready", round.seen.pods.ready.len());
    span.record("outcome", round.outcome);
    let rest = match (&round.refusal, &round.wait) {
        // Nothing tells when a quota was raised or a name became free.
        (Some(_), _) => retry::spread(REFUSED, &object.uid().unwrap_or_default()),
        (None, Some(_)) => retry::spread(WAITING, &object.uid().unwrap_or_default()),
        (None, None) => rest(object, &valid),
    };
    Ok(Action::requeue(is_late.map_or(rest, |late| late.min(rest))))
}

/// When to look again although nothing happens.
fn rest(object: &WyomingStt, valid: &Result<ValidStt, Vec<Fault>>) -> Duration {
    match valid {
        Err(faults)
            if faults
                .iter()
                .any(|fault| fault.reason == Reason::ClaimMissing) =>
        {
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
        Reason::ClusterNotReadable,
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

/// Lets the fleet follow what the object means. With a spec that is not valid it goes on as before; while the object is
/// paused it only looks.
fn follow(
    object: &WyomingStt,
    valid: &Result<ValidStt, Vec<Fault>>,
    context: &Context,
    names: &Names,
) {
    let Ok(stt) = valid else { return };
    let seconds = u64::try_from(object.spec.lifecycle.startup_timeout_seconds).unwrap_or(0);
    let orders = Orders {
        names: names.clone(),
        uid: object.uid().unwrap_or_default(),
        replicas: if is_paused(object) {
            Replicas::Fixed(0)
        } else {
            stt.replicas.clone()
        },
        port: u16::try_from(object.spec.telemetry.admin_port).unwrap_or_default(),
        startup_timeout: Duration::from_secs(seconds),
    };
    context.fleets.follow(&names.owner(), orders);
}

/// `valid`, if the volumes that it names are as it needs them.
async fn with_claims(
    valid: Result<ValidStt, Vec<Fault>>,
    context: &Context,
    memory: &mut Memory,
    clock: Duration,
) -> Result<Result<ValidStt, Vec<Fault>>, ReconcileError> {
    let stt = match valid {
        Ok(stt) => stt,
        Err(faults) => return Ok(Err(faults)),
    };
    let found = memory.claims.of(&context.client, &stt, clock).await;
    let found = found.map_err(|source| ReconcileError::Claims { source })?;
    Ok(claims::check(stt, found))
}

/// What was seen.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// How far the Deployment has come.
    rollout: Option<Rollout>,
    /// Whether the fleet owns its number of replicas.
    is_scaled_apart: bool,
    /// By how far they have come.
    pods: Pods,
}

impl Seen {
    /// Replicas that are ordered.
    fn ordered(&self) -> u32 {
        self.rollout.as_ref().map_or(0, Rollout::ordered)
    }
}

/// Deployment and pods, from memory.
fn read(object: &WyomingStt, context: &Context, names: &Names, now: Timestamp) -> Seen {
    let owner = names.owner();
    let deployment = context.mirrors.deployments.get(&owner, &names.name);
    let seconds = u64::try_from(object.spec.lifecycle.startup_timeout_seconds).unwrap_or(0);
    let patience = Duration::from_secs(seconds);
    Seen {
        is_scaled_apart: deployment.as_ref().is_some_and(|it| it.is_scaled_apart),
        rollout: deployment.and_then(|it| it.rollout.clone()),
        pods: pods::sort(&context.mirrors.pods.all(&owner), patience, now),
    }
}

struct Round<'a> {
    object: &'a WyomingStt,
    context: &'a Context,
    names: Names,
    seen: Seen,
    snapshot: Arc<Snapshot>,
    refusal: Option<Fault>,
    /// What its rollout waits for.
    wait: Option<Wait>,
    outcome: &'static str,
}

impl Round<'_> {
    /// Build and apply.
    async fn act(
        &mut self,
        stt: &ValidStt,
        memory: &mut Memory,
        now: Timestamp,
    ) -> Result<(), ReconcileError> {
        let replicas = self.replicas(stt);
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
        if let Some(fewer) = replicas.and_then(|it| self.seen.ordered().checked_sub(it))
            && fewer > 0
        {
            self.mark(fewer).await?;
        }
        let built = tracing::info_span!("build").in_scope(|| build(stt, replicas));
        let uid = self.object.uid().unwrap_or_default();
        let wait = self.waits_for_idle(memory, now);
        let target = Target {
            mirrors: &self.context.mirrors,
            metrics: &self.context.metrics,
            names: &self.names,
            uid: &uid,
            rollouts: &self.context.rollouts,
            wait: wait.as_ref(),
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
            Err(errors) => self.refused(stt, errors),
        }
    }

    /// Why a rollout, if there is one, would have to wait for a moment without utterances.
    fn waits_for_idle(&self, memory: &Memory, now: Timestamp) -> Option<Wait> {
        let longest = self.object.spec.rollout.as_ref()?.wait_for_idle_seconds?;
        let longest = Duration::from_secs(u64::try_from(longest).unwrap_or(0));
        let before = memory.status(self.object);
        let since = before.and_then(|status| status.rollout_waiting_since.as_ref());
        let moment = Moment {
            pods: &self.seen.pods,
            rollout: self.seen.rollout.as_ref(),
            snapshot: &self.snapshot,
            age: self.snapshot.at.map(|at| at.elapsed()),
        };
        idle::wait(moment, longest, since.map_or(now, |since| since.0), now)
    }

    /// What is written of the number of replicas: nothing once the fleet does that, and before what is there.
    fn replicas(&self, stt: &ValidStt) -> Option<u32> {
        match &stt.replicas {
            Replicas::Fixed(replicas) => Some(self.startable(stt, *replicas)),
            Replicas::Auto(_) if self.seen.is_scaled_apart => None,
            Replicas::Auto(auto) => {
                let (least, most) = (auto.policy.min, auto.policy.max);
                let replicas = self.seen.ordered().clamp(least, most);
                Some(self.startable(stt, replicas))
            }
        }
    }

    /// Of `wanted` replicas, those that may be ordered while others download their model. A pod that becomes ready
    /// makes a round, which orders more.
    fn startable(&self, stt: &ValidStt, wanted: u32) -> u32 {
        let pods = &self.seen.pods;
        let ordered = self.seen.ordered();
        let is_refused = (self.seen.rollout.as_ref()).is_some_and(|it| it.failure.is_some());
        let refused = if is_refused {
            ordered.saturating_sub(pods.count())
        } else {
            0
        };
        let done = pods.count() - pods.starting + refused;
        wanted.min(scale::startable(stt.max_downloads, ordered, done))
    }

    /// What a person must change is told; what may pass is tried again.
    fn refused(&mut self, stt: &ValidStt, errors: Vec<ApplyError>) -> Result<(), ReconcileError> {
        self.outcome = "refused";
        let mut passing = None;
        for error in errors {
            if let ApplyError::Waits { wait } = error {
                self.wait = Some(wait);
                continue;
            }
            match (refusal(stt, &error), &mut self.refusal) {
                (Some(fault), None) => self.refusal = Some(fault),
                (Some(fault), Some(first)) => {
                    first.message = format!("{}; {}", first.message, fault.message);
                }
                (None, _) => passing = Some(error),
            }
        }
        match passing {
            Some(source) => Err(ReconcileError::Apply { source }),
            None => Ok(()),
        }
    }

    /// Tells the ReplicaSet which pods cost least, just before it takes some away.
    async fn mark(&self, fewer: u32) -> Result<(), ReconcileError> {
        let figures = self.snapshot.decision.as_ref().map(|it| it.figures.clone());
        let figures: scale::Figures = figures.unwrap_or_default();
        mark(
            &self.context.client,
            &self.context.mirrors,
            &self.names.namespace,
            &self.seen.pods,
            (&self.snapshot.observation, &figures),
            fewer,
        )
        .await
        .map_err(|source| ReconcileError::Mark { source })
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
        let reports: Vec<LoadReport> = self.snapshot.reports().cloned().collect();
        let before = memory.status(self.object);
        let new = status(&Facts {
            object: self.object,
            operator: self.context.scope.lease(),
            before,
            is_paused: is_paused(self.object),
            wait: self.wait.as_ref(),
            valid,
            rollout: self.seen.rollout.as_ref(),
            pods: &self.seen.pods,
            reports: &reports,
            decision: self.snapshot.decision.as_ref(),
            refusal: self
                .refusal
                .clone()
                .or_else(|| self.snapshot.refusal.clone()),
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
        let events = events(before, &new, self.snapshot.decision.as_ref());
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

#[cfg(test)]
mod overlap;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod traces;
#[cfg(test)]
mod waiting;
#[cfg(test)]
mod world;
