//! The address that clients use.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::http::HTTP;
use super::metadata;
use crate::api::{ExternalTrafficPolicy, ServiceType, TrafficDistribution};
use crate::controller::validate::ValidStt;

pub(super) fn build(stt: &ValidStt) -> Service {
    let given = &stt.spec.service;
    let mut metadata = metadata(stt);
    metadata.annotations = (!given.annotations.is_empty()).then(|| given.annotations.clone());
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(
                match given.type_ {
                    ServiceType::ClusterIP => "ClusterIP",
                    ServiceType::NodePort => "NodePort",
                    ServiceType::LoadBalancer => "LoadBalancer",
                }
                .to_owned(),
            ),
            selector: Some(stt.names.selector()),
            ports: Some(ports(stt)),
            load_balancer_class: given.load_balancer_class.clone(),
            external_traffic_policy: given.external_traffic_policy.map(|policy| {
                match policy {
                    ExternalTrafficPolicy::Cluster => "Cluster",
                    ExternalTrafficPolicy::Local => "Local",
                }
                .to_owned()
            }),
            traffic_distribution: given
                .traffic_distribution
                .map(|TrafficDistribution::PreferClose| "PreferClose".to_owned()),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn ports(stt: &ValidStt) -> Vec<ServicePort> {
    let given = &stt.spec.service;
    let port = |name: &str, number, node_port| ServicePort {
        name: Some(name.to_owned()),
        port: number,
        target_port: Some(IntOrString::String(name.to_owned())),
        node_port,
        protocol: Some("TCP".to_owned()),
        app_protocol: None,
    };
    let mut ports = vec![port("wyoming", given.port, given.node_port)];
    ports.extend(stt.spec.http.as_ref().map(|http| ServicePort {
        // For gateways, which take it for anything otherwise.
        app_protocol: Some("http".to_owned()),
        ..port(HTTP, http.port, http.node_port)
    }));
    ports
}
