//! What the server is doing now, for the page. Nothing in it is secret: of names there are numbers only.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::Value;
use telemetry::BuildInfo;
use telemetry::load::LoadReport;

use crate::http::api::Api;
use crate::http::models;
use crate::queue::ModelState;
use crate::wyoming_server::{Service, Uri};

#[derive(Debug, Serialize)]
pub(super) struct Report {
    version: String,
    /// `loading`, `ready`, `failing` or `failed`.
    phase: &'static str,
    model: Model,
    languages: Languages,
    work: Work,
    /// How many names are expected, and from where.
    names: Value,
    wyoming: Vec<Port>,
    limits: Limits,
}

/// Fields that are not known yet are left out.
#[derive(Debug, Default, Serialize)]
struct Model {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    precision: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Languages {
    /// Codes that a request may name.
    offered: Vec<String>,
    /// Where a request names none; detected if `None`.
    default: Option<String>,
}

#[derive(Debug, Serialize)]
struct Work {
    /// Utterances that can be recognised at once.
    slots: usize,
    running: usize,
    queued: usize,
    oldest_wait_s: f64,
    /// Utterances whose audio is arriving.
    open_streams: usize,
    /// Since the start.
    finished_total: u64,
    refused_total: u64,
}

#[derive(Debug, PartialEq, Serialize)]
struct Port {
    port: u16,
    /// Whether only programs on the server's own machine reach it.
    is_loopback: bool,
}

#[derive(Debug, Serialize)]
struct Limits {
    audio_s: u64,
    body_bytes: usize,
}

const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// The report now.
pub(in crate::http) async fn state(State(api): State<Arc<Api>>) -> impl IntoResponse {
    (HEADERS, Json(report(&api)))
}

fn report(api: &Api) -> Report {
    let service = &api.service;
    Report {
        version: BuildInfo::current().version,
        phase: phase(service),
        model: model(service, models::name(api)),
        languages: Languages {
            offered: offered(service),
            default: usual_language(service),
        },
        work: work(service, api.facts.slots),
        names: api.facts.names.borrow().report(),
        wyoming: api.facts.wyoming.iter().filter_map(port).collect(),
        limits: Limits {
            audio_s: service.limits.utterance.as_secs(),
            body_bytes: api.settings.max_body,
        },
    }
}

fn phase(service: &Service) -> &'static str {
    match &*service.state.borrow() {
        ModelState::Loading => "loading",
        ModelState::Failed(_) => "failed",
        ModelState::Ready(_) if service.queue.health().is_err() => "failing",
        ModelState::Ready(_) => "ready",
    }
}

fn model(service: &Service, name: String) -> Model {
    let Some(loaded) = service.loaded() else {
        return Model {
            name,
            ..Model::default()
        };
    };
    Model {
        name,
        parameters: Some(loaded.info.parameters),
        device: Some(loaded.info.device.clone()),
        precision: Some(loaded.info.precision),
    }
}

fn usual_language(service: &Service) -> Option<String> {
    let rule = &service.languages;
    rule.forced.as_ref().or(rule.default.as_ref()).cloned()
}

fn offered(service: &Service) -> Vec<String> {
    let programs = service.info().asr.into_iter();
    let models = programs.flat_map(|program| program.models);
    models.flat_map(|model| model.languages).collect()
}

fn work(service: &Service, slots: usize) -> Work {
    let mut load = LoadReport::default();
    service.queue.report(&mut load);
    let places = service.loaded().and_then(|loaded| loaded.places);
    Work {
        slots: places.unwrap_or(slots),
        running: load.running,
        queued: load.queued,
        oldest_wait_s: load.oldest_wait_s,
        open_streams: (service.open_streams).load(std::sync::atomic::Ordering::Relaxed),
        finished_total: load.finished_total,
        refused_total: load.refused_total,
    }
}

fn port(uri: &Uri) -> Option<Port> {
    let Uri::Tcp(address) = uri else {
        return None;
    };
    let address: SocketAddr = address.parse().ok()?;
    Some(Port {
        port: address.port(),
        is_loopback: address.ip().is_loopback(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ports_that_a_network_has_are_shown() {
        let shown = |text: &str| port(&text.parse().unwrap());
        let at = |port, is_loopback| Some(Port { port, is_loopback });
        assert_eq!(shown("tcp://0.0.0.0:10300"), at(10_300, false));
        assert_eq!(shown("tcp://[::1]:10301"), at(10_301, true));
        assert_eq!(shown("unix:///run/stt.sock"), None);
        assert_eq!(shown("stdio://"), None);
    }
}
