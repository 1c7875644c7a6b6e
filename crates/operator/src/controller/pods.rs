//! What the cluster says about the pods of one object.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition, PodStatus};
use kube::ResourceExt;

use super::mirror::{Kept, Owner, Source, version};
use super::names::{INSTANCE, SERVER};
use super::reason::Reason;

/// The little of a pod that counts here: thousands of these are in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodView {
    version: Option<u64>,
    name: String,
    ip: String,
    /// Whether it is being deleted, or has ended.
    is_leaving: bool,
    /// Since when it has been ready; none when it is not.
    ready_since: Option<Timestamp>,
    placement: Placement,
    created: Option<Timestamp>,
    /// Whether the operator may ask it: a ReplicaSet of the object's Deployment made it, and its address is its own.
    may_be_asked: bool,
    has_restarted: bool,
    deletion_cost: Option<i32>,
    trouble: Option<Trouble>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Placement {
    /// The scheduler has not said anything.
    #[default]
    Unknown,
    /// It has had a node since then.
    Placed(Option<Timestamp>),
    /// It fits on no node, in the scheduler's words.
    Refused(String),
}

impl Source for Pod {
    type Kept = PodView;

    fn keep(self) -> Option<(Owner, String, PodView)> {
        let owner = Owner {
            namespace: self.namespace().unwrap_or_default(),
            name: self.labels().get(INSTANCE)?.clone(),
        };
        let view = PodView::of(&self);
        Some((owner, view.name.clone(), view))
    }
}

impl Kept for PodView {
    fn version(&self) -> Option<u64> {
        self.version
    }

    /// What a deletion costs is our own word.
    fn is_news(&self, new: &Self) -> bool {
        let fact = |view: &Self| Self {
            version: None,
            deletion_cost: None,
            ..view.clone()
        };
        fact(self) != fact(new)
    }
}

impl PodView {
    /// What counts of `pod`.
    pub fn of(pod: &Pod) -> Self {
        let status = pod.status.clone().unwrap_or_default();
        let is_over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        let condition = |name: &str| {
            let conditions = status.conditions.iter().flatten();
            let mut of_type = conditions.filter(|condition| condition.type_ == name);
            of_type.next()
        };
        let ready = condition("Ready").filter(|ready| ready.status == "True");
        let containers = status.container_statuses.as_deref().unwrap_or_default();
        Self {
            version: version(pod.metadata.resource_version.as_deref()),
            name: pod.name_any(),
            ip: status.pod_ip.clone().unwrap_or_default(),
            is_leaving: pod.metadata.deletion_timestamp.is_some() || is_over,
            ready_since: ready.map(|ready| at(ready).unwrap_or(Timestamp::UNIX_EPOCH)),
            placement: condition("PodScheduled").map(placement).unwrap_or_default(),
            created: pod.metadata.creation_timestamp.as_ref().map(|it| it.0),
            may_be_asked: may_be_asked(pod),
            has_restarted: containers
                .iter()
                .any(|container| container.restart_count > 0),
            deletion_cost: pod
                .annotations()
                .get(DELETION_COST)
                .and_then(|cost| cost.parse().ok()),
            trouble: evicted(&status).or_else(|| {
                containers
                    .iter()
                    .find(|container| container.name == SERVER)
                    .or_else(|| containers.first())
                    .and_then(trouble)
            }),
        }
    }
}

/// A pod that its node threw out stays as it was then, beside the one that came in its place.
fn evicted(status: &PodStatus) -> Option<Trouble> {
    let is_evicted = status.reason.as_deref() == Some("Evicted");
    is_evicted.then(|| Trouble {
        reason: Reason::PodsEvicted,
        message: status.message.clone().unwrap_or_default(),
    })
}

/// Every user may set labels, and a pod on its node's network has the node's address.
fn may_be_asked(pod: &Pod) -> bool {
    let label = |name: &str| pod.labels().get(name).map(String::as_str);
    let (Some(instance), Some(hash)) = (label(INSTANCE), label(TEMPLATE_HASH)) else {
        return false;
    };
    let replica_set = format!("{instance}-{hash}");
    let is_ours = pod.owner_references().iter().any(|owner| {
        owner.controller == Some(true)
            && (owner.api_version.as_str(), owner.kind.as_str()) == ("apps/v1", "ReplicaSet")
            && owner.name == replica_set
    });
    let is_on_host = pod
        .spec
        .as_ref()
        .is_some_and(|spec| spec.host_network == Some(true));
    is_ours && !is_on_host
}

fn placement(scheduled: &PodCondition) -> Placement {
    if scheduled.status == "False" {
        Placement::Refused(scheduled.message.clone().unwrap_or_default())
    } else {
        Placement::Placed(at(scheduled))
    }
}

fn at(condition: &PodCondition) -> Option<Timestamp> {
    condition.last_transition_time.as_ref().map(|time| time.0)
}

/// Pods by how far they have come; those that are being deleted are in none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pods {
    /// Those that take utterances.
    pub ready: Vec<ReadyPod>,
    /// Those that have a node and are not ready.
    pub starting: u32,
    /// How long the first of these has been at it.
    pub starting_for: Duration,
    /// Those that have a node and will not be ready: something keeps them, or they took too long.
    pub broken: u32,
    /// How long each of those that have a node waited for it.
    pub placements: Vec<(String, Duration)>,
    /// Those that fit on no node.
    pub unschedulable: u32,
    /// Why one does not start, in the words of its node, of the scheduler or of the server itself.
    pub trouble: Option<Trouble>,
}

impl Pods {
    /// How many there are.
    pub fn count(&self) -> u32 {
        u32::try_from(self.ready.len()).unwrap_or(u32::MAX)
            + self.starting
            + self.broken
            + self.unschedulable
    }
}

/// A pod that takes utterances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyPod {
    /// Its name.
    pub name: String,
    /// Where it can be asked.
    pub ip: String,
    /// How long it took from its node to being ready; none after a restart, which hides the first start.
    pub startup: Option<Duration>,
    /// Whether the operator may ask it for its load.
    pub may_be_asked: bool,
    /// What deleting it costs, as it was written last.
    pub deletion_cost: Option<i32>,
}

/// Why a pod does not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// For a condition.
    pub reason: Reason,
    /// For people.
    pub message: String,
}

/// Where the ReplicaSet reads which pods to delete first.
pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Where a Deployment's controller writes which template a pod is of.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// Sorts `pods` as they are at `now`. One that is not ready `patience` after it got its node is broken, and so is one
/// whose container does not run.
pub fn sort(pods: &[Arc<PodView>], patience: Duration, now: Timestamp) -> Pods {
    let mut sorted = Pods::default();
    for pod in pods.iter().filter(|pod| !pod.is_leaving) {
        if let (Placement::Placed(Some(at)), Some(created)) = (&pod.placement, pod.created) {
            let waited = between(created, *at);
            sorted.placements.push((pod.name.clone(), waited));
        }
        if let Some(since) = pod.ready_since {
            sorted.ready.push(ready_pod(pod, since));
            continue;
        }
        let since = match &pod.placement {
            Placement::Refused(message) => {
                sorted.unschedulable += 1;
                sorted.trouble.get_or_insert_with(|| Trouble {
                    reason: Reason::PodsUnschedulable,
                    message: message.clone(),
                });
                continue;
            }
            Placement::Placed(since) => since.unwrap_or(now),
            Placement::Unknown => now,
        };
        let age = between(since, now);
        if pod.trouble.is_some() || age > patience {
            sorted.broken += 1;
        } else {
            sorted.starting += 1;
            sorted.starting_for = sorted.starting_for.max(age);
        }
        // What keeps a container from running says more than that there is no node.
        sorted.trouble = pod.trouble.clone().or(sorted.trouble);
    }
    // Why the one before went tells why the next one will.
    if sorted.starting > 0 && sorted.trouble.is_none() {
        let mut gone = pods.iter().filter(|pod| pod.is_leaving);
        sorted.trouble = gone.find_map(|pod| {
            let trouble = pod.trouble.as_ref();
            trouble
                .filter(|it| it.reason == Reason::PodsEvicted)
                .cloned()
        });
    }
    sorted
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

fn ready_pod(pod: &PodView, ready_since: Timestamp) -> ReadyPod {
    let placed_since = match pod.placement {
        Placement::Placed(since) => since.filter(|_| !pod.has_restarted),
        Placement::Unknown | Placement::Refused(_) => None,
    };
    ReadyPod {
        name: pod.name.clone(),
        ip: pod.ip.clone(),
        startup: placed_since.map(|from| between(from, ready_since)),
        may_be_asked: pod.may_be_asked,
        deletion_cost: pod.deletion_cost,
    }
}

/// What the server's exit codes mean; `crates/server/src/main.rs` has them.
const BAD_SETTINGS: i32 = 64;
const UNAVAILABLE: i32 = 69;
/// Killed, usually for its memory.
const KILLED: i32 = 137;

fn trouble(container: &ContainerStatus) -> Option<Trouble> {
    let state = container.state.as_ref()?;
    let waiting = state.waiting.as_ref();
    let reason = waiting.and_then(|waiting| waiting.reason.as_deref());
    let said = waiting.and_then(|waiting| waiting.message.clone());
    match reason {
        Some("ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull") => {
            Some(Trouble {
                reason: Reason::ImagePullFailed,
                message: said.unwrap_or_default(),
            })
        }
        Some("CreateContainerConfigError" | "CreateContainerError" | "RunContainerError") => {
            Some(Trouble {
                reason: Reason::ContainerFailed,
                message: said.unwrap_or_default(),
            })
        }
        // A crash shows itself as waiting, and between two tries as running or ended.
        _ => ended(container).or_else(|| {
            (reason == Some("CrashLoopBackOff")).then(|| Trouble {
                reason: Reason::CrashLooping,
                message: said.unwrap_or_default(),
            })
        }),
    }
}

fn ended(container: &ContainerStatus) -> Option<Trouble> {
    let states = [&container.state, &container.last_state];
    let mut ends = states
        .into_iter()
        .flatten()
        .filter_map(|state| state.terminated.as_ref());
    let end = ends.next()?;
    let killed_for = end.reason.as_deref() == Some("OOMKilled");
    let reason = match end.exit_code {
        0 => return None,
        _ if killed_for => Reason::OutOfMemory,
        BAD_SETTINGS => Reason::SettingsRefused,
        UNAVAILABLE => Reason::ModelLoadFailed,
        KILLED => Reason::Killed,
        _ => Reason::CrashLooping,
    };
    let message = last_words(end.message.as_deref().unwrap_or_default());
    Some(Trouble {
        reason,
        message: if message.is_empty() {
            format!("the server ended with exit code {}", end.exit_code)
        } else {
            message
        },
    })
}

/// The server says why it ends in a line of its own, the last one of that kind; without one the last line.
fn last_words(log: &str) -> String {
    let lines = || {
        log.lines()
            .rev()
            .map(str::trim)
            .filter(|line| !line.is_empty())
    };
    let said = lines().find_map(|line| line.strip_prefix("wyoming-stt: "));
    said.or_else(|| lines().next())
        .unwrap_or_default()
        .chars()
        .take(500)
        .collect()
}

#[cfg(test)]
mod tests;
