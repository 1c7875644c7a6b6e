//! From what was written to what can be done: defaults that depend on other fields, and faults that the
//! schema cannot see. No client here.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{Resource, ResourceExt};

use super::names::{Names, SERVER};
use crate::api::{
    AccessMode, Autoscaling, DeviceType, HuggingFace, ManagementState, ModelSource, Resources,
    WyomingStt, WyomingSttSpec,
};
use crate::scale::{DownSteps, Policy, UpSteps};

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
    /// By queue depth.
    Auto(Policy),
}

impl Replicas {
    /// Never fewer.
    pub fn least(&self) -> u32 {
        match self {
            Self::Fixed(replicas) => *replicas,
            Self::Auto(policy) => policy.min,
        }
    }

    /// Never more.
    pub fn most(&self) -> u32 {
        match self {
            Self::Fixed(replicas) => *replicas,
            Self::Auto(policy) => policy.max,
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
    /// One word for machines.
    pub reason: &'static str,
    /// One sentence for people: what to change.
    pub message: String,
}

impl Fault {
    fn new(reason: &'static str, message: impl Into<String>) -> Self {
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
    let model = kept(model_files(spec), &mut keep);
    let resources = kept(resources(spec), &mut keep);
    let pod_template = kept(pod_template(spec, defaults), &mut keep);
    let owner = object.controller_owner_ref(&()).ok_or_else(|| {
        Fault::new(
            "Incomplete",
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
        replicas: replicas(spec, slots),
        slots,
        image: image(spec, defaults),
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
            "HostPathNotAllowed",
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
            "VolumeNotShared",
            "a volume with access mode ReadWriteOncePod serves one replica: use ReadWriteMany or emptyDir, or allow one replica only",
        ));
    }
    Ok(())
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
            "VolumeOnOneNode",
            "a volume with access mode ReadWriteOnce holds all replicas on one node: use ReadWriteMany or emptyDir to spread them",
        ));
    }
    // Home Assistant's pipeline ends after 300 s by default.
    if spec.capacity.queue_timeout_seconds > 290 {
        warnings.push(Fault::new(
            "QueueTimeoutTooLong",
            "capacity.queueTimeoutSeconds exceeds 290: Home Assistant gives up after 300 s by default, so the words would come too late",
        ));
    }
    warnings
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
            "ModelUnknown",
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
        None => Replicas::Fixed(spec.replicas.map_or(1, unsigned)),
        Some(auto) => Replicas::Auto(policy(auto, spec.device.type_, slots)),
    }
}

fn policy(auto: &Autoscaling, device: DeviceType, slots: u32) -> Policy {
    let window = match device {
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
        startup_hint: duration(auto.startup_seconds_hint),
    }
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

fn resources(spec: &WyomingSttSpec) -> Result<ResourceRequirements, Fault> {
    let given = spec.resources.clone().unwrap_or_default();
    let gpu = gpu(spec);
    if let Some((name, _)) = &gpu
        && (given.requests.contains_key(name) || given.limits.contains_key(name))
    {
        return Err(Fault::new(
            "ResourcesInvalid",
            format!("resources must not name {name}, which device.gpu sets: remove it there"),
        ));
    }
    let Resources { requests, limits } = given;
    let mut requests = quantities(requests);
    let mut limits = quantities(limits);
    for (name, amount) in model_needs(&spec.model.name) {
        // Kubernetes itself takes a limit for a request that is missing.
        if !limits.contains_key(name) {
            requests
                .entry(name.to_owned())
                .or_insert_with(|| Quantity(amount.to_owned()));
        }
    }
    if let Some((name, count)) = gpu {
        let count = Quantity(count.to_string());
        requests.insert(name.clone(), count.clone());
        limits.insert(name, count);
    }
    Ok(ResourceRequirements {
        claims: None,
        limits: (!limits.is_empty()).then_some(limits),
        requests: (!requests.is_empty()).then_some(requests),
    })
}

/// The extended resource of a GPU, and how many; none with a claim or without a GPU.
fn gpu(spec: &WyomingSttSpec) -> Option<(String, i32)> {
    if spec.device.type_ == DeviceType::Cpu {
        return None;
    }
    let gpu = spec.device.gpu.clone().unwrap_or_default();
    if gpu.claim.is_some() {
        return None;
    }
    let name = gpu
        .resource_name
        .unwrap_or_else(|| "nvidia.com/gpu".to_owned());
    Some((name, gpu.count.unwrap_or(1)))
}

fn quantities(given: BTreeMap<String, IntOrString>) -> BTreeMap<String, Quantity> {
    let quantity = |amount| match amount {
        IntOrString::Int(amount) => Quantity(amount.to_string()),
        IntOrString::String(amount) => Quantity(amount),
    };
    given
        .into_iter()
        .map(|(name, amount)| (name, quantity(amount)))
        .collect()
}

/// CPU and memory to ask for: the weights in 32 bit, as much again for a batch's caches and the network's
/// intermediate values, and 256 MiB. Computed from the published sizes, not measured.
fn model_needs(name: &str) -> [(&'static str, &'static str); 2] {
    let size = name.rsplit('/').next().unwrap_or(name);
    let size = size.strip_prefix("whisper-").unwrap_or(size);
    let size = size.strip_suffix(".en").unwrap_or(size);
    let memory = match size {
        "demo" | "tiny" => "512Mi",
        "base" => "1Gi",
        "small" => "2304Mi",
        "medium" => "6400Mi",
        "large-v3-turbo" => "6656Mi",
        "large" | "large-v2" | "large-v3" => "12800Mi",
        _ => "2Gi",
    };
    [("cpu", "1"), ("memory", memory)]
}

fn pod_template(
    spec: &WyomingSttSpec,
    defaults: &Defaults,
) -> Result<Option<PodTemplateSpec>, Fault> {
    let Some(given) = &spec.pod_template else {
        return Ok(None);
    };
    let invalid = |message: String| Fault::new("PodTemplateInvalid", message);
    let template = given.parse().map_err(|error| invalid(error.to_string()))?;
    let labels = template
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.labels.as_ref());
    for label in labels.into_iter().flatten().map(|(label, _)| label) {
        if label.starts_with("app.kubernetes.io/") {
            return Err(invalid(format!(
                "podTemplate.metadata.labels must not set {label}, by which the operator finds its pods: remove it"
            )));
        }
    }
    if let Some(pod) = &template.spec {
        check_pod(pod, defaults).map_err(invalid)?;
    }
    Ok(Some(template))
}

/// The operator may do more than the person who wrote the object, so it does not lend these.
fn check_pod(pod: &PodSpec, defaults: &Defaults) -> Result<(), String> {
    for (is_set, field) in [
        (pod.host_network, "hostNetwork"),
        (pod.host_pid, "hostPID"),
        (pod.host_ipc, "hostIPC"),
    ] {
        if is_set == Some(true) {
            return Err(format!(
                "podTemplate.spec.{field} is not allowed: remove it"
            ));
        }
    }
    for volume in pod.volumes.iter().flatten() {
        if volume.host_path.is_some() && !defaults.allow_host_path {
            return Err(format!(
                "podTemplate.spec.volumes: {} is a hostPath, which needs an operator started with --allow-host-path",
                volume.name
            ));
        }
    }
    let inits = pod.init_containers.iter().flatten();
    for container in pod.containers.iter().chain(inits) {
        check_container(container)?;
    }
    Ok(())
}

fn check_container(container: &Container) -> Result<(), String> {
    let name = &container.name;
    let is_privileged = container.security_context.as_ref().is_some_and(|context| {
        context.privileged == Some(true) || context.allow_privilege_escalation == Some(true)
    });
    if is_privileged {
        return Err(format!(
            "podTemplate.spec.containers: {name} must be neither privileged nor able to become it: remove that from its securityContext"
        ));
    }
    if name == SERVER && (container.command.is_some() || container.args.is_some()) {
        return Err(format!(
            "podTemplate.spec.containers: {SERVER} must keep its command and args: set its env instead"
        ));
    }
    if name == SERVER && container.image.is_some() {
        return Err(format!(
            "podTemplate.spec.containers: the image of {SERVER} is set by spec.image: set it there"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
