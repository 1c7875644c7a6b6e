//! Keeps one fleet: one look at it, one decision, one order.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::reports::Reports;
use super::snapshot::{Snapshot, observation};
use super::{Orders, Shared, mark, order};
use crate::causes::with_causes;
use crate::controller::kept::Child;
use crate::controller::pods::{self, Pods};
use crate::controller::validate::{Fault, Replicas};
use crate::scale::{self, Decision, Observation};

/// How soon what was refused is tried again.
const REFUSED: Duration = Duration::from_secs(20);

/// What is remembered of one fleet between two looks; it is lost with the process.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    reports: Reports,
    scaling: scale::State,
    /// Since when orders have been refused, and why.
    refused: Option<(Duration, Fault)>,
    told: Option<News>,
}

/// What of a decision is worth a round, which writes the status.
#[derive(Clone, Debug, PartialEq)]
struct News {
    orders: (u32, u32, scale::LimitedBy),
    troubles: (u32, Vec<String>, bool, bool),
    load: [i64; 4],
    refusal: Option<Fault>,
}

impl Keeper {
    /// Looks, decides and orders. Returns what was seen, and whether that is worth a round; none while too little is
    /// known of the cluster.
    pub(super) async fn look(
        &mut self,
        shared: &Shared,
        orders: &Orders,
    ) -> Option<(Snapshot, bool)> {
        if shared.mirrors.missing().is_some() {
            return None;
        }
        let (clock, now) = (shared.started.elapsed(), Timestamp::now());
        let owner = orders.names.owner();
        let read = || {
            let pods = shared.mirrors.pods.all(&owner);
            pods::sort(&pods, orders.startup_timeout, now)
        };
        let loads = shared.loads.as_ref();
        let asked = Instant::now();
        self.reports.ask(loads, &read(), orders.port, clock).await;
        // Asking took time.
        let pods = read();
        let mut told = self.reports.told(clock);
        told.retain(|name, _| pods.ready.iter().any(|pod| pod.name == *name));
        let deployment = shared.mirrors.deployments.get(&owner, &orders.names.name);
        let rollout = deployment.as_ref().and_then(|it| it.rollout.as_ref());
        let wait = match &orders.replicas {
            Replicas::Auto(auto) => auto.policy.target.wait,
            Replicas::Fixed(_) => Duration::ZERO,
        };
        let observation = observation(rollout, &pods, &told, wait);
        let mut snapshot = Snapshot {
            at: Some(asked),
            told,
            observation,
            decision: None,
            refusal: None,
        };
        if let (Replicas::Auto(auto), Some(deployment)) = (&orders.replicas, &deployment)
            && deployment.controller.as_ref() == Some(&orders.uid)
            && !deployment.is_leaving
        {
            let policy = auto.at(now, self.scaling.start_takes(&auto.policy));
            let (decision, scaling) =
                scale::decide(&policy, &snapshot.observation, &self.scaling, clock);
            self.scaling = scaling;
            shared.metrics.decided(decision.limited_by);
            let seen = &snapshot.observation;
            self.carry_out(
                shared,
                orders,
                (deployment, &pods),
                (seen, &decision),
                clock,
            )
            .await;
            snapshot.refusal = self.refused.as_ref().map(|(_, fault)| fault.clone());
            snapshot.decision = Some(decision);
        }
        let is_news = self.is_news(&snapshot);
        Some((snapshot, is_news))
    }

    /// Marks victims and writes the order, if it is another one than what is there.
    async fn carry_out(
        &mut self,
        shared: &Shared,
        orders: &Orders,
        (deployment, pods): (&Child, &Pods),
        (seen, decision): (&Observation, &Decision),
        clock: Duration,
    ) {
        if decision.replicas == seen.ordered && deployment.is_scaled_apart {
            self.refused = None;
            return;
        }
        let is_early = |at: Duration| clock.saturating_sub(at) < REFUSED;
        if self.refused.as_ref().is_some_and(|(at, _)| is_early(*at)) {
            return;
        }
        let namespace = &orders.names.namespace;
        if !shared.term.is_running() || shared.scope.other(namespace).is_some() {
            return;
        }
        let (client, names) = (&shared.client, &orders.names);
        if decision.replicas < seen.ordered {
            let fewer = seen.ordered - decision.replicas;
            let figures = (seen, &decision.figures);
            let marked = mark(
                client,
                &shared.mirrors,
                &names.namespace,
                pods,
                figures,
                fewer,
            );
            if let Err(error) = marked.await {
                // An unmarked pod might be one that works.
                tracing::warn!(
                    name = names.name,
                    namespace = names.namespace,
                    error = with_causes(&error),
                    "pods cannot be marked, none is taken away"
                );
                return;
            }
        }
        match order::write(client, names, deployment.uid.as_deref(), decision.replicas).await {
            Ok(written) => {
                self.refused = None;
                if let Some(written) = written {
                    shared.mirrors.deployments.put(written);
                    shared.metrics.wrote("Deployment");
                    tracing::info!(
                        name = names.name,
                        namespace = names.namespace,
                        from = seen.ordered,
                        to = decision.replicas,
                        "replicas ordered"
                    );
                }
            }
            Err(error) => {
                self.refused = order::refusal(&error).map(|fault| (clock, fault));
                tracing::warn!(
                    name = names.name,
                    namespace = names.namespace,
                    error = with_causes(&error),
                    "replicas cannot be ordered"
                );
            }
        }
    }

    fn is_news(&mut self, snapshot: &Snapshot) -> bool {
        let Some(decision) = &snapshot.decision else {
            return self.told.take().is_some();
        };
        let figures = &decision.figures;
        let new = News {
            orders: (decision.replicas, decision.recommended, decision.limited_by),
            troubles: (
                figures.silent,
                figures.sick.clone(),
                decision.is_beyond_help,
                decision.blind_for.is_some(),
            ),
            load: [
                rounded(figures.depth),
                rounded(figures.arrival_rate * 100.0),
                rounded(figures.service_rate.unwrap_or(0.0) * 100.0),
                rounded(figures.startup.as_secs_f64()),
            ],
            refusal: snapshot.refusal.clone(),
        };
        let is_news = self.told.as_ref() != Some(&new);
        self.told = Some(new);
        is_news
    }
}

fn rounded(value: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "clamped")]
    let rounded = value.round().clamp(0.0, 1e12) as i64;
    rounded
}
