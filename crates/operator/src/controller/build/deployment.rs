//! The replicas.

use k8s_openapi::DeepMerge;
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{
    Affinity, PodAffinity, PodAffinityTerm, PodResourceClaim, PodSecurityContext, PodSpec,
    PodTemplateSpec, TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::container::{self, GPU_CLAIM};
use super::{metadata, selector, signed, storage};
use crate::api::DeviceType;
use crate::controller::names::SERVER;
use crate::controller::validate::{Sharing, ValidStt};

/// The user of the image.
const USER: i64 = 65532;
/// Seconds that a rollout may take longer than a start before it is said to be stuck.
const ROLLOUT_SLACK_S: i32 = 60;

pub(super) fn build(stt: &ValidStt, replicas: Option<u32>) -> Deployment {
    Deployment {
        metadata: metadata(stt),
        spec: Some(DeploymentSpec {
            replicas: replicas.map(signed),
            selector: selector(stt),
            strategy: Some(strategy(stt)),
            progress_deadline_seconds: Some(
                stt.spec.lifecycle.startup_timeout_seconds + ROLLOUT_SLACK_S,
            ),
            // Enough to go back to; each is an object that every watcher reads.
            revision_history_limit: Some(3),
            template: template(stt),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

/// One more on CPUs; on GPUs one fewer, since there may be none to spare for a rollout, and where one pod alone can
/// mount the volume.
fn strategy(stt: &ValidStt) -> DeploymentStrategy {
    let is_alone = stt.sharing == Sharing::OnePod;
    let given = stt.spec.rollout.as_ref();
    let given = given.filter(|rollout| rollout.max_surge > 0 || rollout.max_unavailable > 0);
    let (surge, unavailable) = match (given, &stt.spec.device.type_) {
        (Some(rollout), _) if !is_alone => (rollout.max_surge, rollout.max_unavailable),
        (None, DeviceType::Cpu) if !is_alone => (1, 0),
        _ => (0, 1),
    };
    DeploymentStrategy {
        type_: Some("RollingUpdate".to_owned()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: Some(IntOrString::Int(surge)),
            max_unavailable: Some(IntOrString::Int(unavailable)),
        }),
    }
}

fn template(stt: &ValidStt) -> PodTemplateSpec {
    let mut template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(stt.names.labels()),
            ..ObjectMeta::default()
        }),
        spec: Some(pod(stt)),
    };
    if let Some(more) = stt.pod_template.clone() {
        template.merge_from(more);
        ours_first(&mut template);
    }
    template
}

/// Tools that look at "the" container of a pod look at its first one.
fn ours_first(template: &mut PodTemplateSpec) {
    if let Some(pod) = &mut template.spec {
        pod.containers
            .sort_by_key(|container| container.name != SERVER);
    }
}

fn pod(stt: &ValidStt) -> PodSpec {
    let spec = &stt.spec;
    let gpu = spec.device.gpu.clone().unwrap_or_default();
    let account = spec
        .service_account_name
        .clone()
        .unwrap_or_else(|| stt.names.name.clone());
    PodSpec {
        affinity: together(stt),
        automount_service_account_token: Some(false),
        // Hundreds of variables that nothing reads.
        enable_service_links: Some(false),
        containers: vec![container::build(stt)],
        image_pull_secrets: some(&spec.image_pull_secrets),
        node_selector: (!spec.node_selector.is_empty()).then(|| spec.node_selector.clone()),
        priority_class_name: spec.priority_class_name.clone(),
        resource_claims: gpu.claim.map(|claim| {
            vec![PodResourceClaim {
                name: GPU_CLAIM.to_owned(),
                resource_claim_name: claim.resource_claim_name,
                resource_claim_template_name: claim.resource_claim_template_name,
            }]
        }),
        runtime_class_name: gpu.runtime_class_name,
        security_context: Some(PodSecurityContext {
            fs_group: Some(USER),
            run_as_group: Some(USER),
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            seccomp_profile: Some(container::seccomp()),
            ..PodSecurityContext::default()
        }),
        service_account_name: Some(account),
        termination_grace_period_seconds: Some(i64::from(
            spec.lifecycle.termination_grace_period_seconds,
        )),
        tolerations: some(&spec.tolerations),
        topology_spread_constraints: some(&spread(stt)),
        volumes: storage::volumes(stt),
        ..PodSpec::default()
    }
}

fn some<T: Clone>(items: &[T]) -> Option<Vec<T>> {
    (!items.is_empty()).then(|| items.to_vec())
}

/// All on the node that has the volume, those of a rollout too.
fn together(stt: &ValidStt) -> Option<Affinity> {
    (stt.sharing == Sharing::OneNode).then(|| Affinity {
        pod_affinity: Some(PodAffinity {
            required_during_scheduling_ignored_during_execution: Some(vec![PodAffinityTerm {
                label_selector: Some(selector(stt)),
                topology_key: HOST.to_owned(),
                ..PodAffinityTerm::default()
            }]),
            ..PodAffinity::default()
        }),
        ..Affinity::default()
    })
}

/// The label of a node that no other has.
const HOST: &str = "kubernetes.io/hostname";

/// Over hosts where it can be; GPUs are better packed, so that whole nodes can go.
fn spread(stt: &ValidStt) -> Vec<TopologySpreadConstraint> {
    let given = &stt.spec.topology_spread_constraints;
    let is_packed = stt.spec.device.type_ == DeviceType::Cuda || stt.sharing != Sharing::AnyNode;
    if !given.is_empty() || is_packed {
        return given.clone();
    }
    vec![TopologySpreadConstraint {
        max_skew: 1,
        topology_key: HOST.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(selector(stt)),
        ..TopologySpreadConstraint::default()
    }]
}
