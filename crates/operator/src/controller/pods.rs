//! What the cluster says about the pods of one object.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use kube::ResourceExt;

/// Pods by how far they have come; those that are being deleted are in none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pods {
    /// Those that take utterances.
    pub ready: Vec<ReadyPod>,
    /// Those that have a node and are not ready.
    pub starting: u32,
    /// How long the first of these has been at it.
    pub starting_for: Duration,
    /// Those that fit on no node.
    pub unschedulable: u32,
    /// Why one does not start, in the words of its node or of the scheduler.
    pub trouble: Option<Trouble>,
}

impl Pods {
    /// How many there are.
    pub fn count(&self) -> u32 {
        u32::try_from(self.ready.len()).unwrap_or(u32::MAX) + self.starting + self.unschedulable
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
    /// What deleting it costs, as it was written last.
    pub deletion_cost: Option<i32>,
}

/// Why a pod does not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// For a condition.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// Where the ReplicaSet reads which pods to delete first.
pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Sorts `pods` as they are at `now`.
pub fn sort(pods: &[Pod], now: Timestamp) -> Pods {
    let mut sorted = Pods::default();
    for pod in pods.iter().filter(|pod| is_there(pod)) {
        let ready = condition(pod, "Ready").filter(|ready| ready.status == "True");
        let scheduled = condition(pod, "PodScheduled");
        if let Some(ready) = ready {
            sorted.ready.push(ready_pod(pod, ready, scheduled));
        } else if let Some(refusal) = scheduled.filter(|scheduled| scheduled.status == "False") {
            sorted.unschedulable += 1;
            sorted.trouble.get_or_insert_with(|| Trouble {
                reason: "PodsUnschedulable",
                message: refusal.message.clone().unwrap_or_default(),
            });
        } else {
            sorted.starting += 1;
            let since = scheduled.and_then(at).unwrap_or(now);
            sorted.starting_for = sorted.starting_for.max(between(since, now));
            // What keeps an image or a container from running says more than that there is no node.
            sorted.trouble = trouble(pod).or(sorted.trouble);
        }
    }
    sorted
}

fn is_there(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    let is_over = matches!(phase, Some("Succeeded" | "Failed"));
    pod.metadata.deletion_timestamp.is_none() && !is_over
}

fn condition<'a>(pod: &'a Pod, name: &str) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == name)
}

fn at(condition: &PodCondition) -> Option<Timestamp> {
    condition.last_transition_time.as_ref().map(|time| time.0)
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

fn ready_pod(pod: &Pod, ready: &PodCondition, scheduled: Option<&PodCondition>) -> ReadyPod {
    let status = pod.status.clone().unwrap_or_default();
    let containers = status.container_statuses.unwrap_or_default();
    let is_first_start = containers
        .iter()
        .all(|container| container.restart_count == 0);
    let times = scheduled.and_then(at).zip(at(ready));
    let cost = pod
        .annotations()
        .get(DELETION_COST)
        .and_then(|cost| cost.parse().ok());
    ReadyPod {
        name: pod.name_any(),
        ip: status.pod_ip.unwrap_or_default(),
        startup: times
            .filter(|_| is_first_start)
            .map(|(from, to)| between(from, to)),
        deletion_cost: cost,
    }
}

fn trouble(pod: &Pod) -> Option<Trouble> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let waiting = statuses
        .iter()
        .find_map(|container| container.state.as_ref()?.waiting.as_ref())?;
    let reason = match waiting.reason.as_deref()? {
        "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull" => {
            "ImagePullFailed"
        }
        "CrashLoopBackOff" => "CrashLooping",
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            "ContainerFailed"
        }
        _ => return None,
    };
    Some(Trouble {
        reason,
        message: waiting.message.clone().unwrap_or_default(),
    })
}
