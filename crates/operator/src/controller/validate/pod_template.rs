//! The pod template that users merge over ours: understood, and within what the operator lends.

use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};

use super::{Defaults, Fault};
use crate::api::WyomingSttSpec;
use crate::controller::names::SERVER;
use crate::controller::reason::Reason;

pub(super) fn pod_template(
    spec: &WyomingSttSpec,
    defaults: &Defaults,
) -> Result<Option<PodTemplateSpec>, Fault> {
    let Some(given) = &spec.pod_template else {
        return Ok(None);
    };
    let invalid = |message: String| Fault::new(Reason::PodTemplateInvalid, message);
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
