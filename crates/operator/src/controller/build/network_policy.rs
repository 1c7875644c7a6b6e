//! Which clients may connect to the replicas, and what these may reach.

use std::net::IpAddr;

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{metadata, selector};
use crate::api::{NetworkPolicyMode, Peer};
use crate::controller::names::{HTTP_PORT, WYOMING_PORT};
use crate::controller::validate::{ModelFiles, ValidStt};

pub(super) fn build(stt: &ValidStt) -> Option<NetworkPolicy> {
    let given = &stt.spec.network_policy;
    let types: &[&str] = match given.mode {
        NetworkPolicyMode::Disabled => return None,
        NetworkPolicyMode::Ingress => &["Ingress"],
        NetworkPolicyMode::IngressAndEgress => &["Ingress", "Egress"],
    };
    let is_outwards = given.mode == NetworkPolicyMode::IngressAndEgress;
    Some(NetworkPolicy {
        metadata: metadata(stt),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(selector(stt)),
            policy_types: Some(types.iter().map(|name| (*name).to_owned()).collect()),
            ingress: Some(ingress(stt)),
            egress: is_outwards.then(|| egress(stt)),
        }),
    })
}

fn ingress(stt: &ValidStt) -> Vec<NetworkPolicyIngressRule> {
    let clients: Vec<NetworkPolicyPeer> = stt.spec.network_policy.from.iter().map(peer).collect();
    // The operator and collectors of metrics: pods of any namespace, nothing from outside. The pages can
    // only be read, and nothing secret is on them.
    let pods = NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector::default()),
        ..NetworkPolicyPeer::default()
    };
    let mut ports = vec![port("TCP", WYOMING_PORT)];
    ports.extend(stt.spec.http.as_ref().map(|_| port("TCP", HTTP_PORT)));
    vec![
        NetworkPolicyIngressRule {
            from: (!clients.is_empty()).then_some(clients),
            ports: Some(ports),
        },
        NetworkPolicyIngressRule {
            from: Some(vec![pods]),
            ports: Some(vec![port("TCP", stt.spec.telemetry.admin_port)]),
        },
    ]
}

fn egress(stt: &ValidStt) -> Vec<NetworkPolicyEgressRule> {
    let mut rules = vec![NetworkPolicyEgressRule {
        to: None,
        ports: Some(vec![port("UDP", 53), port("TCP", 53)]),
    }];
    if matches!(stt.model, ModelFiles::Hub { .. }) {
        let cidrs = &stt.spec.network_policy.model_source_cidrs;
        let hubs: Vec<NetworkPolicyPeer> = cidrs.iter().map(|cidr| network(cidr)).collect();
        rules.push(NetworkPolicyEgressRule {
            to: (!hubs.is_empty()).then_some(hubs),
            ports: Some(vec![port("TCP", 443)]),
        });
    }
    rules.extend(home_assistant(stt));
    if let Some(endpoint) = &stt.spec.telemetry.otlp_endpoint {
        rules.push(NetworkPolicyEgressRule {
            to: None,
            ports: Some(vec![port("TCP", port_of(endpoint))]),
        });
    }
    rules
}

/// The way to a Home Assistant. A NetworkPolicy knows addresses only, so a name without networks opens its port.
fn home_assistant(stt: &ValidStt) -> Option<NetworkPolicyEgressRule> {
    let home = stt.spec.names.as_ref()?.home_assistant.as_ref()?;
    let (host, number) = home.host_and_port()?;
    let given = &stt.spec.network_policy.home_assistant_cidrs;
    let mut networks: Vec<NetworkPolicyPeer> = given.iter().map(|cidr| network(cidr)).collect();
    if networks.is_empty() {
        networks.extend(host.parse().ok().map(only));
    }
    Some(NetworkPolicyEgressRule {
        to: (!networks.is_empty()).then_some(networks),
        ports: Some(vec![port("TCP", i32::from(number))]),
    })
}

/// One address.
fn only(address: IpAddr) -> NetworkPolicyPeer {
    let bits = if address.is_ipv4() { 32 } else { 128 };
    network(&format!("{address}/{bits}"))
}

/// The port of `http://HOST:PORT/…`.
fn port_of(endpoint: &str) -> i32 {
    let (usual, rest) = match endpoint.strip_prefix("https://") {
        Some(rest) => (443, rest),
        None => (80, endpoint.trim_start_matches("http://")),
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let port = authority
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok());
    port.unwrap_or(usual)
}

fn peer(given: &Peer) -> NetworkPolicyPeer {
    if let Some(cidr) = &given.cidr {
        return network(cidr);
    }
    NetworkPolicyPeer {
        ip_block: None,
        pod_selector: given.pod_selector.clone(),
        namespace_selector: given.namespace_selector.clone(),
    }
}

fn network(cidr: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: cidr.to_owned(),
            except: None,
        }),
        ..NetworkPolicyPeer::default()
    }
}

fn port(protocol: &str, number: i32) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(number)),
        end_port: None,
    }
}
