//! What an object's endpoint is like now: its Deployment, its pods, and what they tell of their load.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{StreamExt, stream};
use jiff::Timestamp;
use telemetry::load::LoadReport;

use super::names::Names;
use super::pods::{self, Pods};
use super::rollout::Rollout;
use super::watch::Mirrors;
use crate::scale::{Observation, Replica};

/// Pods of one object that are asked at once. Each answers at once or is given up after a second.
const ASKED_AT_ONCE: usize = 16;
/// How old a report may be: three rounds.
const FRESH: Duration = Duration::from_secs(15);
/// Pods are not asked more often, whatever asks for rounds.
const PAUSE: Duration = Duration::from_secs(1);

/// Asks pods for their load.
pub trait Loads: Send + Sync + 'static {
    /// The report at `ip`, admin port `port`; none when it does not answer.
    fn load(&self, ip: IpAddr, port: u16) -> BoxFuture<'_, Option<LoadReport>>;
}

/// Asks over HTTP.
#[derive(Debug)]
pub struct HttpLoads(reqwest::Client);

impl HttpLoads {
    /// With a second for each answer.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new() -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(1))
            // Each answer ends its connection.
            .pool_max_idle_per_host(0)
            .no_proxy()
            .build()?;
        Ok(Self(client))
    }
}

impl Loads for HttpLoads {
    fn load(&self, ip: IpAddr, port: u16) -> BoxFuture<'_, Option<LoadReport>> {
        let address = std::net::SocketAddr::new(ip, port);
        Box::pin(async move {
            let answer = self.0.get(format!("http://{address}/load")).send().await;
            answer.ok()?.error_for_status().ok()?.json().await.ok()
        })
    }
}

/// What pods told, by their name, and when they were asked last.
#[derive(Clone, Debug, Default)]
pub struct Reports {
    by_pod: BTreeMap<String, (Duration, LoadReport)>,
    asked: Option<Duration>,
}

impl Reports {
    /// What each told last.
    pub fn latest(&self) -> impl Iterator<Item = &LoadReport> {
        self.by_pod.values().map(|(_, report)| report)
    }

    fn is_early(&self, pods: &Pods, now: Duration) -> bool {
        let is_known = |name: &str| self.by_pod.contains_key(name);
        let is_asked = self.asked.is_some_and(|at| now.saturating_sub(at) < PAUSE);
        is_asked && pods.ready.iter().all(|pod| is_known(&pod.name))
    }
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// How far the Deployment has come.
    pub rollout: Option<Rollout>,
    /// By how far they have come.
    pub pods: Pods,
}

impl Seen {
    /// Replicas that are ordered.
    pub fn ordered(&self) -> u32 {
        let ordered = self.rollout.as_ref().and_then(|rollout| rollout.ordered);
        ordered.map_or(0, |ordered| u32::try_from(ordered).unwrap_or(0))
    }
}

/// Deployment and pods, from memory.
pub fn read(mirrors: &Mirrors, names: &Names, now: Timestamp) -> Seen {
    let owner = names.owner();
    Seen {
        rollout: mirrors
            .deployments
            .get(&owner, &names.name)
            .and_then(|deployment| deployment.rollout.clone()),
        pods: pods::sort(&mirrors.pods.all(&owner), now),
    }
}

/// Asks every ready pod at `port` and keeps what is fresh, `now` being the time since any fixed moment.
pub async fn ask(loads: &dyn Loads, pods: &Pods, port: u16, reports: &mut Reports, now: Duration) {
    if !reports.is_early(pods, now) {
        let answers: Vec<(String, Option<LoadReport>)> = stream::iter(pods.ready.clone())
            .map(|pod| async move {
                let report = match pod.ip.parse() {
                    Ok(ip) => loads.load(ip, port).await,
                    Err(_) => None,
                };
                (pod.name, report)
            })
            .buffer_unordered(ASKED_AT_ONCE)
            .collect()
            .await;
        for (pod, report) in answers {
            if let Some(report) = report {
                reports.by_pod.insert(pod, (now, report));
            }
        }
        reports.asked = Some(now);
    }
    reports.by_pod.retain(|name, (at, _)| {
        now.saturating_sub(*at) <= FRESH && pods.ready.iter().any(|pod| pod.name == *name)
    });
}

/// What the scaling rule sees.
pub fn observation(seen: &Seen, reports: &Reports) -> Observation {
    let known = |name: &str| reports.by_pod.contains_key(name);
    let silent = seen.pods.ready.iter().filter(|pod| !known(&pod.name));
    Observation {
        ordered: seen.ordered(),
        replicas: reports
            .by_pod
            .iter()
            .map(|(pod, (_, report))| replica(pod, report))
            .collect(),
        silent: u32::try_from(silent.count()).unwrap_or(u32::MAX),
        starting: seen.pods.starting,
        starting_for: seen.pods.starting_for,
        unschedulable: seen.pods.unschedulable,
        rolling_out: seen.rollout.as_ref().is_some_and(Rollout::is_going_on),
        held: 0,
        startups: seen
            .pods
            .ready
            .iter()
            .filter_map(|pod| Some((pod.name.clone(), pod.startup?)))
            .collect(),
    }
}

fn replica(pod: &str, report: &LoadReport) -> Replica {
    let small = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Replica {
        pod: pod.to_owned(),
        queued: small(report.queued),
        running: small(report.running),
        arrived: report.accepted_total + report.refused_total,
        finished: report.finished_total,
        busy_s: report.busy_s_total,
        oldest_wait_s: report.oldest_wait_s,
    }
}
