//! One writer at a time: a Lease that one process holds and renews.
//!
//! Our own, because the crates there are either ask for another kube (kube-leader-election) or judge expiry by
//! the writer's clock (kube-lease-manager), so that clocks that disagree make two leaders. Here a holder is
//! given up when its lease has not changed for a while by *our* monotonic clock, as client-go does. A lease
//! never fences writes; two leaders for a moment would apply the same objects. A [`Term`] keeps that moment short.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::causes::with_causes;
use crate::vitals::Vitals;

mod others;

use others::Block;
pub use others::Others;

/// Name of the lease of a namespace, in that namespace: all operators that watch it by name want this one.
pub const NAMESPACE: &str = "wyoming-stt-operator";
/// Name of the lease of an operator of the whole cluster, in the operator's own namespace.
pub const CLUSTER: &str = "wyoming-stt-operator-cluster";

/// A holder that shows no sign for this long is given up.
pub const DURATION: Duration = Duration::from_secs(15);
/// A holder that cannot renew for this long stops writing: before the others give it up.
const DEADLINE: Duration = Duration::from_secs(10);
/// Between two renewals: a write each, for as long as the operator runs.
const RENEWAL: Duration = Duration::from_secs(4);
/// Between two looks of those who wait; they take over this much after [`DURATION`] at the latest.
const LOOK: Duration = Duration::from_secs(2);
/// Before a failed renewal is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// How long one look or renewal may take: one that hangs leaves time for another before [`DEADLINE`].
const PATIENCE: Duration = Duration::from_secs(3);

/// Until when the lease that was written last allows this process to write. Tasks of their own look here before each
/// write: a process that was stopped for a while wakes up in all of its threads at once, and only one of them finds out
/// that another process leads by now.
#[derive(Clone, Debug, Default)]
pub struct Term(Arc<Mutex<Option<Instant>>>);

impl Term {
    /// One without end, where no lease is asked for.
    pub fn unlimited() -> Self {
        let term = Self::default();
        term.extend_to(Instant::now() + Duration::from_secs(u32::MAX.into()));
        term
    }

    /// Whether this process may write.
    pub fn is_running(&self) -> bool {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn extend_to(&self, until: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }
}

/// The holder that wants a lease, and which.
#[derive(Clone)]
pub struct Candidate {
    /// The API server.
    pub client: Client,
    /// Where the lease is.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Name of this process, different from every other's.
    pub identity: String,
    /// What each renewal extends.
    pub term: Term,
    /// Operators that may look after the same objects with another lease.
    pub others: Arc<Others>,
}

impl std::fmt::Debug for Candidate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Candidate")
            .field("name", &self.name)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// The lease was lost, and so is the right to write.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// The API server did not take the renewal.
    #[error("the lease {name} could not be renewed for {} s", DEADLINE.as_secs())]
    Late {
        /// Of the lease.
        name: String,
    },
    /// Another process has it.
    #[error("the lease {name} is held by {holder} now")]
    Taken {
        /// Of the lease.
        name: String,
        /// Its holder.
        holder: String,
    },
}

/// What is to be done about a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// There is none.
    Create,
    /// It is ours.
    Renew,
    /// No process holds it, or none that shows a sign.
    Take,
    /// A process holds it.
    Wait,
}

/// The last change of a lease, and when we saw it.
#[derive(Clone, Debug, Default)]
struct Watched {
    version: Option<String>,
    since: Option<Duration>,
}

fn holder(lease: &Lease) -> &str {
    let spec = lease.spec.as_ref();
    let holder = spec.and_then(|spec| spec.holder_identity.as_deref());
    holder.unwrap_or_default()
}

impl Watched {
    /// What to do about `lease`, `now` being the time since any fixed moment.
    fn judge(&mut self, lease: Option<&Lease>, identity: &str, now: Duration) -> Step {
        let Some(lease) = lease else {
            return Step::Create;
        };
        let version = lease.metadata.resource_version.clone();
        if self.version != version || self.since.is_none() {
            self.version = version;
            self.since = Some(now);
        }
        match holder(lease) {
            "" => Step::Take,
            holder if holder == identity => Step::Renew,
            _ => {
                let quiet = now.saturating_sub(self.since.unwrap_or(now));
                if quiet >= DURATION {
                    Step::Take
                } else {
                    Step::Wait
                }
            }
        }
    }
}

/// How a look ended.
#[derive(Debug)]
enum Looked {
    /// The lease is ours, as it was written.
    Ours(Box<Lease>),
    /// Another process holds it.
    Held(String),
}

impl Candidate {
    /// Tries for the lease until `stop`, tells `leader` when it is held, renews it, and gives it back. `vitals`
    /// hear each time round.
    ///
    /// # Errors
    /// [`Lost`] when it was held and could not be renewed in time: the process must not write any more.
    pub async fn hold(
        self,
        leader: watch::Sender<bool>,
        vitals: &Vitals,
        stop: CancellationToken,
    ) -> Result<(), Lost> {
        let started = Instant::now();
        let mut watched = Watched::default();
        // The lease as we wrote it last, and when that was asked for.
        let mut ours: Option<(Lease, Instant)> = None;
        let mut said = String::new();
        while !stop.is_cancelled() {
            vitals.beat();
            let left = ours
                .as_ref()
                .map_or(DEADLINE, |(_, at)| DEADLINE.saturating_sub(at.elapsed()));
            if left.is_zero() {
                return Err(Lost::Late { name: self.name });
            }
            if ours.is_some() {
                if let Some(holder) = self.others.stronger(&self.namespace) {
                    self.release().await;
                    return Err(Lost::Taken {
                        name: self.name,
                        holder,
                    });
                }
            } else if let Some(block) = self.others.block() {
                let pause = self.blocked(block, &mut said);
                // Cancel-safe: neither branch holds anything.
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(pause) => {}
                }
                continue;
            }
            let begun = Instant::now();
            let look = self.look(
                ours.as_ref().map(|(lease, _)| lease),
                &mut watched,
                started.elapsed(),
            );
            let pause = match tokio::time::timeout(PATIENCE.min(left), look).await {
                Ok(Ok(Looked::Ours(lease))) => {
                    ours = Some((*lease, begun));
                    self.term.extend_to(begun + DEADLINE);
                    leader.send_if_modified(|is_leader| !std::mem::replace(is_leader, true));
                    RENEWAL
                }
                Ok(Ok(Looked::Held(holder))) if ours.is_some() => {
                    return Err(Lost::Taken {
                        name: self.name,
                        holder,
                    });
                }
                Ok(Ok(Looked::Held(holder))) => {
                    self.waits_for(&holder, &mut said);
                    LOOK
                }
                Ok(Err(error)) => self.again(&with_causes(&error), ours.is_some(), &mut said),
                Err(_) => self.again("no answer in time", ours.is_some(), &mut said),
            };
            let left = ours
                .as_ref()
                .map_or(pause, |(_, at)| DEADLINE.saturating_sub(at.elapsed()));
            // Cancel-safe: neither branch holds anything.
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause.min(left)) => {}
            }
        }
        if ours.is_some() {
            self.release().await;
        }
        Ok(())
    }

    /// A process that waits logs once which process holds the lease: another replica's or another release's.
    fn waits_for(&self, holder: &str, said: &mut String) {
        if said != holder {
            tracing::info!(
                lease = self.name,
                namespace = self.namespace,
                holder,
                "another operator looks after these objects; waiting until it is gone"
            );
            holder.clone_into(said);
        }
    }

    fn blocked(&self, block: Block, said: &mut String) -> Duration {
        match block {
            Block::Blind => AGAIN,
            Block::Rival(holder) => {
                self.waits_for(&holder, said);
                LOOK
            }
        }
    }

    /// A process that waits logs once why it cannot see the lease: there is no other sign that it will never lead.
    fn again(&self, why: &str, is_ours: bool, said: &mut String) -> Duration {
        if is_ours {
            tracing::warn!(lease = self.name, why, "lease not renewed; trying again");
        } else if said != why {
            tracing::warn!(lease = self.name, why, "lease not reached; trying again");
            why.clone_into(said);
        }
        AGAIN
    }

    fn api(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// One look, or one renewal of `ours`.
    async fn look(
        &self,
        ours: Option<&Lease>,
        watched: &mut Watched,
        now: Duration,
    ) -> Result<Looked, kube::Error> {
        if let Some(lease) = ours {
            // With the version that we wrote: another writer in between wins, and is looked at.
            match self.replace(lease.clone(), 0).await {
                Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => {}
                written => return written,
            }
        }
        let found = self.api().get_opt(&self.name).await?;
        match (watched.judge(found.as_ref(), &self.identity, now), found) {
            (Step::Wait, Some(found)) => Ok(Looked::Held(holder(&found).to_owned())),
            (Step::Take, Some(found)) => self.replace(found, 1).await,
            (Step::Renew, Some(found)) => self.replace(found, 0).await,
            (_, None) | (Step::Create, _) => {
                let lease = self.written(Lease::default(), 0);
                let made = self.api().create(&PostParams::default(), &lease).await?;
                Ok(Looked::Ours(Box::new(made)))
            }
        }
    }

    async fn replace(&self, lease: Lease, transitions: i32) -> Result<Looked, kube::Error> {
        let before = lease.spec.as_ref().and_then(|spec| spec.lease_transitions);
        let lease = self.written(lease, before.unwrap_or(0) + transitions);
        let params = PostParams::default();
        let written = self.api().replace(&self.name, &params, &lease).await?;
        Ok(Looked::Ours(Box::new(written)))
    }

    fn written(&self, mut lease: Lease, transitions: i32) -> Lease {
        let now = MicroTime(Timestamp::now());
        let is_ours = |spec: &LeaseSpec| spec.holder_identity.as_deref() == Some(&self.identity);
        let acquired = lease
            .spec
            .as_ref()
            .filter(|spec| is_ours(spec))
            .and_then(|spec| spec.acquire_time.clone());
        lease.metadata.name = Some(self.name.clone());
        lease.metadata.namespace = Some(self.namespace.clone());
        lease.spec = Some(LeaseSpec {
            acquire_time: acquired.or_else(|| Some(now.clone())),
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            lease_transitions: Some(transitions),
            renew_time: Some(now),
            ..LeaseSpec::default()
        });
        lease
    }

    /// So that the next one need not wait. Nothing is lost when it fails.
    async fn release(&self) {
        let give_back = async {
            let Some(mut lease) = self.api().get_opt(&self.name).await? else {
                return Ok(());
            };
            if let Some(spec) = &mut lease.spec
                && spec.holder_identity.as_deref() == Some(&self.identity)
            {
                spec.holder_identity = Some(String::new());
                self.api()
                    .replace(&self.name, &PostParams::default(), &lease)
                    .await?;
            }
            Ok::<(), kube::Error>(())
        };
        match tokio::time::timeout(PATIENCE, give_back).await {
            Ok(Ok(())) => tracing::info!(lease = self.name, "lease released"),
            Ok(Err(error)) => tracing::warn!(%error, "lease not released"),
            Err(_) => tracing::warn!("lease not released in time"),
        }
    }
}

#[cfg(test)]
mod tests;
