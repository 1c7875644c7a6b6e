//! What the server's container asks for.

mod measured;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Fault;
use crate::api::{DeviceType, Resources, WyomingSttSpec};
use crate::controller::reason::Reason;

/// As they are written, with requests for what is not mentioned.
pub(super) fn resources(spec: &WyomingSttSpec, slots: u32) -> Result<ResourceRequirements, Fault> {
    let given = spec.resources.clone().unwrap_or_default();
    let gpu = gpu(spec);
    if let Some((name, _)) = &gpu
        && (given.requests.contains_key(name) || given.limits.contains_key(name))
    {
        return Err(Fault::new(
            Reason::ResourcesInvalid,
            format!("resources must not name {name}, which device.gpu sets: remove it there"),
        ));
    }
    let Resources { requests, limits } = given;
    let mut requests = quantities(requests);
    let mut limits = quantities(limits);
    for (name, amount) in measured::needs(spec, slots) {
        // Kubernetes itself takes a limit for a request that is missing.
        if !limits.contains_key(name) {
            requests.entry(name.to_owned()).or_insert(Quantity(amount));
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
