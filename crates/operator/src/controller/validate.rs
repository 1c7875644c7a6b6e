//! From what was written to what can be done: defaults that depend on other fields, and faults that the
//! schema cannot see. No client here.

mod needs;
mod pod_template;

use std::time::Duration;

use k8s_openapi::api::core::v1::{PodTemplateSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};

use super::names::Names;
use super::reason::Reason;
use super::schedule::{Auto, Schedule, ScheduleError};
use crate::api::{
    AccessMode, Autoscaling, DeviceType, HuggingFace, ManagementState, ModelSource,
    NetworkPolicyMode, ScalingSchedule, ServiceType, WyomingStt, WyomingSttSpec,
};
use crate::scale::{DownSteps, Policy, Target, UpSteps};

/// What the operator was started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Image of the server, where an object names none.
    pub server_image: String,
    /// The same for GPUs.
    pub server_image_cuda: String,
    /// Whether pods may mount folders of their node.
    pub allow_host_path: bool,
}

/// An object that can be acted on.
#[derive(Clone, Debug)]
pub struct ValidStt {
    /// Names of what belongs to it.
    pub names: Names,
    /// Makes what belongs to it go with it.
    pub owner: OwnerReference,
    /// As it was written.
    pub spec: WyomingSttSpec,
    /// How many replicas.
    pub replicas: Replicas,
    /// Utterances that one replica recognises together.
    pub slots: u32,
    /// The server's image.
    pub image: String,
    /// Where the model's files come from.
    pub model: ModelFiles,
    /// Requests and limits of the server's container.
    pub resources: ResourceRequirements,
    /// Which pods can mount the volume with the model at once.
    pub sharing: Sharing,
    /// Replicas that may start at once, where each downloads the model for itself.
    pub max_downloads: Option<u32>,
    /// What is merged over the pod template.
    pub pod_template: Option<PodTemplateSpec>,
    /// What works, and may not be what was meant.
    pub warnings: Vec<Fault>,
}

/// How many replicas.
#[derive(Clone, Debug, PartialEq)]
pub enum Replicas {
    /// As many as were written down.
    Fixed(u32),
    /// By queue depth and clock.
    Auto(Box<Auto>),
}

impl Replicas {
    /// Never fewer.
    pub fn least(&self) -> u32 {
        match self {
            Self::Fixed(replicas) => *replicas,
            Self::Auto(auto) => auto.policy.min,
        }
    }

    /// Never more.
    pub fn most(&self) -> u32 {
        match self {
            Self::Fixed(replicas) => *replicas,
            Self::Auto(auto) => auto.policy.max,
        }
    }
}

/// Which pods can mount a volume at once; while a rollout goes on there are more of them than replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Pods of any nodes, or there is none.
    AnyNode,
    /// Pods of one node.
    OneNode,
    /// One pod.
    OnePod,
}

impl Sharing {
    /// With these access modes.
    pub fn of(modes: &[impl AsRef<str>]) -> Self {
        let has = |mode: &str| modes.iter().any(|it| it.as_ref() == mode);
        if has("ReadWriteMany") || has("ReadOnlyMany") || modes.is_empty() {
            Self::AnyNode
        } else if has("ReadWriteOnce") {
            Self::OneNode
        } else {
            Self::OnePod
        }
    }
}

/// Where a model's files come from.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelFiles {
    /// They are part of the server.
    BuiltIn,
    /// A repository of a hub.
    Hub {
        /// Owner and name.
        repo: String,
        /// Revision, mirror and token.
        settings: HuggingFace,
    },
    /// A folder of a mounted volume.
    Mounted {
        /// Within the volume, beginning with `/`.
        path: String,
    },
}

/// Why an object cannot be acted on, for a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// For machines.
    pub reason: Reason,
    /// One sentence for people: what to change.
    pub message: String,
}

impl Fault {
    /// A fault.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// Whether the operator may only look.
pub fn is_paused(object: &WyomingStt) -> bool {
    object.spec.management_state == ManagementState::Paused
}

/// What `object` means.
///
/// # Errors
/// All faults at once; never an empty list.
pub fn validate(object: &WyomingStt, defaults: &Defaults) -> Result<ValidStt, Vec<Fault>> {
    let spec = &object.spec;
    let mut faults = Vec::new();
    let mut keep = |result: Result<(), Fault>| faults.extend(result.err());
    keep(check_host_path(spec, defaults));
    keep(check_volume(spec));
    keep(check_zero(spec));
    keep(check_names(spec));
    keep(check_schedules(spec));
    let model = kept(model_files(spec), &mut keep);
    let resources = kept(needs::resources(spec, slots(spec)), &mut keep);
    let pod_template = kept(pod_template::pod_template(spec, defaults), &mut keep);
    let owner = object.controller_owner_ref(&()).ok_or_else(|| {
        Fault::new(
            Reason::Incomplete,
            "the object has no name or uid: it was not read from a cluster",
        )
    });
    let owner = kept(owner, &mut keep);
    let (Some(model), Some(resources), Some(pod_template), Some(owner), true) =
        (model, resources, pod_template, owner, faults.is_empty())
    else {
        return Err(faults);
    };
    let slots = slots(spec);
    Ok(ValidStt {
        names: Names::of(&object.name_any(), &object.namespace().unwrap_or_default()),
        owner,
        max_downloads: max_downloads(spec),
        replicas: replicas(spec, slots),
        slots,
        image: image(spec, defaults),
        sharing: match (&model, &spec.cache.volume_claim_template) {
            (ModelFiles::Hub { .. }, Some(template)) => {
                let modes = template.access_modes.iter();
                Sharing::of(&modes.map(AccessMode::name).collect::<Vec<_>>())
            }
            _ => Sharing::AnyNode,
        },
        model,
        resources,
        pod_template,
        warnings: warnings(spec),
        spec: spec.clone(),
    })
}

fn kept<T>(result: Result<T, Fault>, keep: &mut impl FnMut(Result<(), Fault>)) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(fault) => {
            keep(Err(fault));
            None
        }
    }
}

fn check_host_path(spec: &WyomingSttSpec, defaults: &Defaults) -> Result<(), Fault> {
    if spec.cache.host_path.is_some() && !defaults.allow_host_path {
        return Err(Fault::new(
            Reason::HostPathNotAllowed,
            "cache.hostPath needs an operator that was started with --allow-host-path: choose another cache, or ask whoever runs the operator",
        ));
    }
    Ok(())
}

fn check_volume(spec: &WyomingSttSpec) -> Result<(), Fault> {
    let is_one_pod = spec
        .cache
        .volume_claim_template
        .as_ref()
        .is_some_and(|template| template.access_modes == [AccessMode::ReadWriteOncePod]);
    if is_one_pod && replicas(spec, slots(spec)).most() > 1 {
        return Err(Fault::new(
            Reason::VolumeNotShared,
            "a volume with access mode ReadWriteOncePod serves one replica: use ReadWriteMany or emptyDir, or allow one replica only",
        ));
    }
    Ok(())
}

/// The definition refuses this as well; an object that was stored under another one is told here.
fn check_zero(spec: &WyomingSttSpec) -> Result<(), Fault> {
    let is_zero = spec
        .autoscaling
        .as_ref()
        .is_some_and(|auto| auto.min_replicas < 1);
    if is_zero {
        return Err(Fault::new(
            Reason::ScaleToZeroUnsupported,
            "autoscaling.minReplicas must be at least 1: scaling to zero needs a gateway that holds the audio, which this version does not have. To stop an endpoint, remove autoscaling and set replicas to 0",
        ));
    }
    Ok(())
}

fn check_names(spec: &WyomingSttSpec) -> Result<(), Fault> {
    let names = spec.names.as_ref();
    match names.and_then(|names| names.home_assistant.as_ref()) {
        Some(home) if home.host_and_port().is_none() => Err(Fault::new(
            Reason::NamesInvalid,
            format!(
                "names.homeAssistant.url {:?} has a port that cannot be: write it as a browser has it, such as http://homeassistant.local:8123",
                home.url
            ),
        )),
        _ => Ok(()),
    }
}

fn warnings(spec: &WyomingSttSpec) -> Vec<Fault> {
    let mut warnings = Vec::new();
    let is_one_node = spec
        .cache
        .volume_claim_template
        .as_ref()
        .is_some_and(|template| template.access_modes == [AccessMode::ReadWriteOnce]);
    if is_one_node && replicas(spec, slots(spec)).most() > 1 {
        warnings.push(Fault::new(
            Reason::VolumeOnOneNode,
            "a volume with access mode ReadWriteOnce holds all replicas on one node, whose room is then the most that there can be: use ReadWriteMany or emptyDir to spread them",
        ));
    }
    warnings.extend(open_api(spec));
    // Home Assistant's pipeline ends after 300 s by default.
    if spec.capacity.queue_timeout_seconds > 290 {
        warnings.push(Fault::new(
            Reason::QueueTimeoutTooLong,
            "capacity.queueTimeoutSeconds exceeds 290: Home Assistant gives up after 300 s by default, so the words would come too late",
        ));
    }
    warnings
}

/// An API that clients outside of the cluster can use without a key. Within it, clients that may reach the one port may
/// reach the other.
fn open_api(spec: &WyomingSttSpec) -> Option<Fault> {
    let http = spec.http.as_ref()?;
    let policy = &spec.network_policy;
    let is_restricted = policy.mode != NetworkPolicyMode::Disabled && !policy.from.is_empty();
    let is_inside = spec.service.type_ == ServiceType::ClusterIP;
    if is_inside || is_restricted || http.keys_secret_ref.is_some() {
        return None;
    }
    Some(Fault::new(
        Reason::HttpWithoutKeys,
        "http has no keysSecretRef, and service.type lets clients outside of the cluster reach it, which may then transcribe without a key: give http.keysSecretRef, or name who may connect in networkPolicy.from",
    ))
}

/// Sizes that OpenAI published, and where they are on the hub.
const SIZES: [&str; 12] = [
    "tiny",
    "tiny.en",
    "base",
    "base.en",
    "small",
    "small.en",
    "medium",
    "medium.en",
    "large",
    "large-v2",
    "large-v3",
    "large-v3-turbo",
];

fn model_files(spec: &WyomingSttSpec) -> Result<ModelFiles, Fault> {
    let name = spec.model.name.as_str();
    if name == "demo" {
        return Ok(ModelFiles::BuiltIn);
    }
    let settings = match &spec.model.source {
        Some(ModelSource {
            persistent_volume_claim: Some(volume),
            ..
        }) => {
            return Ok(ModelFiles::Mounted {
                path: volume.path.clone(),
            });
        }
        Some(ModelSource {
            image: Some(image), ..
        }) => {
            return Ok(ModelFiles::Mounted {
                path: image.path.clone(),
            });
        }
        Some(ModelSource {
            hugging_face: Some(settings),
            ..
        }) => settings.clone(),
        _ => HuggingFace {
            revision: "main".to_owned(),
            ..HuggingFace::default()
        },
    };
    let repo = if let Some(repo) = &settings.repo {
        repo.clone()
    } else if SIZES.contains(&name) {
        format!("openai/whisper-{name}")
    } else if name.split('/').filter(|part| !part.is_empty()).count() == 2 {
        name.to_owned()
    } else {
        return Err(Fault::new(
            Reason::ModelUnknown,
            format!(
                "model.name {name:?} is no size of Whisper ({}): write OWNER/NAME of the hub, or give model.source",
                SIZES.join(", ")
            ),
        ));
    };
    Ok(ModelFiles::Hub { repo, settings })
}

fn slots(spec: &WyomingSttSpec) -> u32 {
    let unset = match spec.device.type_ {
        DeviceType::Cpu => 1,
        DeviceType::Cuda => 4,
    };
    spec.capacity.max_concurrent.map_or(unset, unsigned)
}

/// Counts are bounded from below by the schema.
fn unsigned(value: i32) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

fn duration(seconds: i32) -> Duration {
    Duration::from_secs(u64::from(unsigned(seconds)))
}

fn replicas(spec: &WyomingSttSpec, slots: u32) -> Replicas {
    match &spec.autoscaling {
        None => Replicas::Fixed(unsigned(spec.replicas)),
        Some(auto) => Replicas::Auto(Box::new(Auto {
            policy: policy(auto, spec, slots),
            // Those that are not understood are faults.
            schedules: auto.schedules.iter().flat_map(schedule).collect(),
        })),
    }
}

fn schedule(spec: &ScalingSchedule) -> Result<Schedule, ScheduleError> {
    let lasts = duration(spec.duration_seconds);
    let min = unsigned(spec.min_replicas);
    Schedule::new(&spec.cron, &spec.time_zone, min, lasts)
}

fn check_schedules(spec: &WyomingSttSpec) -> Result<(), Fault> {
    let schedules = spec.autoscaling.iter().flat_map(|auto| &auto.schedules);
    for (index, spec) in schedules.enumerate() {
        if let Err(error) = schedule(spec) {
            let message = format!("autoscaling.schedules[{index}]: {error}");
            return Err(Fault::new(Reason::ScheduleInvalid, message));
        }
    }
    Ok(())
}

fn policy(auto: &Autoscaling, spec: &WyomingSttSpec, slots: u32) -> Policy {
    let deadline = duration(spec.capacity.queue_timeout_seconds);
    let window = match spec.device.type_ {
        DeviceType::Cpu => 300,
        DeviceType::Cuda => 600,
    };
    Policy {
        min: unsigned(auto.min_replicas),
        max: unsigned(auto.max_replicas),
        target_depth: auto.target_queue_depth.map_or(slots, unsigned),
        drain_target: duration(auto.drain_target_seconds),
        up: UpSteps {
            stabilization: duration(auto.scale_up.stabilization_seconds),
            replicas: unsigned(auto.scale_up.max_replicas_per_step),
            period: duration(auto.scale_up.step_seconds),
        },
        down: DownSteps {
            stabilization: duration(auto.scale_down.stabilization_seconds.unwrap_or(window)),
            percent: unsigned(auto.scale_down.max_percent_per_step),
            period: duration(auto.scale_down.step_seconds),
        },
        max_pending: unsigned(auto.max_pending_replicas),
        max_starting: max_downloads(spec),
        startup_hint: duration(auto.startup_seconds_hint),
        slots,
        max_queue: unsigned(spec.capacity.max_queue),
        deadline,
        target: auto.target.as_ref().map_or_else(
            || Target::of_deadline(deadline),
            |target| Target {
                wait: duration(target.wait_seconds),
                share: f64::from(target.share) / 100.0,
            },
        ),
        spare: unsigned(auto.spare),
    }
}

/// Downloads at once from the hub, when nothing is said: its servers bound each address, and the cluster's line is shared.
const DOWNLOADS: u32 = 4;

/// Replicas that may start at once, where each downloads the model for itself.
fn max_downloads(spec: &WyomingSttSpec) -> Option<u32> {
    let cache = &spec.cache;
    let is_kept = cache.persistent_volume_claim.is_some()
        || cache.volume_claim_template.is_some()
        || cache.host_path.is_some();
    let is_hub = matches!(model_files(spec), Ok(ModelFiles::Hub { .. }));
    (is_hub && !is_kept).then(|| cache.max_downloads.map_or(DOWNLOADS, unsigned).max(1))
}

fn image(spec: &WyomingSttSpec, defaults: &Defaults) -> String {
    let given = spec
        .image
        .as_ref()
        .and_then(|image| Some((image, image.repository.as_ref()?)));
    match (given, spec.device.type_) {
        (Some((image, repository)), _) => match (&image.digest, &image.tag) {
            (Some(digest), _) => format!("{repository}@{digest}"),
            (None, Some(tag)) => format!("{repository}:{tag}"),
            (None, None) => repository.clone(),
        },
        (None, DeviceType::Cpu) => defaults.server_image.clone(),
        (None, DeviceType::Cuda) => defaults.server_image_cuda.clone(),
    }
}

#[cfg(test)]
mod tests;
