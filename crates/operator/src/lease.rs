//! One writer at a time: a Lease that one process holds and renews.
//!
//! Our own, because the crates there are either ask for another kube (kube-leader-election) or judge expiry by
//! the writer's clock (kube-lease-manager), so that clocks that disagree make two leaders. Here a holder is
//! given up when its lease has not changed for a while by *our* monotonic clock, as client-go does. A lease
//! never fences writes; two leaders for a moment would apply the same objects.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A holder that shows no sign for this long is given up.
const DURATION: Duration = Duration::from_secs(15);
/// A holder that cannot renew for this long stops writing: before the others give it up.
const DEADLINE: Duration = Duration::from_secs(10);
/// Between two looks.
const PERIOD: Duration = Duration::from_secs(2);

/// Who wants to hold which lease.
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
#[error("the lease {name} could not be renewed for {} s", DEADLINE.as_secs())]
pub struct Lost {
    name: String,
}

/// What is to be done about a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// There is none.
    Create,
    /// It is ours.
    Renew,
    /// Nobody holds it, or nobody that shows a sign.
    Take,
    /// Somebody holds it.
    Wait,
}

/// The last change of a lease, and when we saw it.
#[derive(Clone, Debug, Default)]
struct Watched {
    version: Option<String>,
    since: Option<Duration>,
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
        let holder = lease
            .spec
            .as_ref()
            .and_then(|spec| spec.holder_identity.as_deref());
        match holder {
            None | Some("") => Step::Take,
            Some(holder) if holder == identity => Step::Renew,
            Some(_) => {
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

impl Candidate {
    /// Tries for the lease until `stop`, tells `leader` when it is held, renews it, and gives it back.
    ///
    /// # Errors
    /// [`Lost`] when it was held and could not be renewed in time: the process must not write any more.
    pub async fn hold(
        self,
        leader: watch::Sender<bool>,
        stop: CancellationToken,
    ) -> Result<(), Lost> {
        let started = Instant::now();
        let mut watched = Watched::default();
        let mut renewed = None;
        while !stop.is_cancelled() {
            match tokio::time::timeout(PERIOD, self.step(&mut watched, started.elapsed())).await {
                Ok(Ok(true)) => {
                    renewed = Some(Instant::now());
                    leader.send_replace(true);
                }
                Ok(Ok(false)) if renewed.is_some() => return Err(self.lost()),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::debug!(%error, "lease not reached"),
                Err(_) => tracing::debug!("lease not reached in time"),
            }
            if renewed.is_some_and(|at| at.elapsed() >= DEADLINE) {
                return Err(self.lost());
            }
            // Cancel-safe: neither branch holds anything.
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
        if renewed.is_some() {
            self.release().await;
        }
        Ok(())
    }

    fn lost(&self) -> Lost {
        Lost {
            name: self.name.clone(),
        }
    }

    fn api(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// One look; whether the lease is ours afterwards.
    async fn step(&self, watched: &mut Watched, now: Duration) -> Result<bool, kube::Error> {
        let found = self.api().get_opt(&self.name).await?;
        let written = match (watched.judge(found.as_ref(), &self.identity, now), found) {
            (Step::Wait, _) => return Ok(false),
            (Step::Create, _) | (_, None) => {
                let lease = self.written(Lease::default(), 0);
                self.api().create(&PostParams::default(), &lease).await
            }
            (step, Some(found)) => {
                let transitions = found
                    .spec
                    .as_ref()
                    .and_then(|spec| spec.lease_transitions)
                    .unwrap_or(0);
                let lease = self.written(found, transitions + i32::from(step == Step::Take));
                // With the version that was read: whoever wrote meanwhile wins.
                self.api()
                    .replace(&self.name, &PostParams::default(), &lease)
                    .await
            }
        };
        match written {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                // Somebody was faster; the next look tells who.
                Err(kube::Error::Api(status))
            }
            Err(error) => Err(error),
        }
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
        match tokio::time::timeout(PERIOD, give_back).await {
            Ok(Ok(())) => tracing::info!(lease = self.name, "lease released"),
            Ok(Err(error)) => tracing::warn!(%error, "lease not released"),
            Err(_) => tracing::warn!("lease not released in time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, version: &str) -> Lease {
        let mut lease = Lease::default();
        lease.metadata.resource_version = Some(version.to_owned());
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            // A clock that is far ahead changes nothing.
            renew_time: Some(MicroTime(Timestamp::MAX)),
            ..LeaseSpec::default()
        });
        lease
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_is_created_taken_renewed_or_left() {
        let judge =
            |lease: Option<Lease>| Watched::default().judge(lease.as_ref(), "me", seconds(0));
        assert_eq!(judge(None), Step::Create);
        assert_eq!(judge(Some(lease("", "1"))), Step::Take);
        assert_eq!(judge(Some(lease("me", "1"))), Step::Renew);
        assert_eq!(judge(Some(lease("you", "1"))), Step::Wait);
    }

    #[test]
    fn a_holder_is_given_up_when_it_shows_no_sign_by_our_clock() {
        let mut watched = Watched::default();
        let mut judge =
            |version: &str, at: u64| watched.judge(Some(&lease("you", version)), "me", seconds(at));
        assert_eq!(judge("1", 0), Step::Wait);
        assert_eq!(judge("1", 14), Step::Wait);
        assert_eq!(judge("2", 15), Step::Wait);
        assert_eq!(judge("2", 29), Step::Wait);
        assert_eq!(judge("2", 30), Step::Take);
    }
}
