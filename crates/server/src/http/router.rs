//! Which path is answered by what.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::time::Instant;
use tracing::{debug, info};

use super::api::Api;
use super::auth::authorise;
use super::body;
use super::cors::cors;
use super::problem::Problem;
use super::{models, openapi, page, transcription};
use crate::fault::Fault;

/// What is read of a body that nothing was asked with.
const DISCARD_BYTES: usize = 1 << 20;

/// The whole API.
pub(super) fn router(api: &Arc<Api>) -> Router {
    let with_api = || Arc::clone(api);
    Router::new()
        .route("/v1/audio/transcriptions", post(transcription::transcribe))
        .route("/v1/audio/translations", post(transcription::translate))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::one))
        .route_layer(middleware::from_fn_with_state(with_api(), authorise))
        .route("/openapi.json", get(openapi::document))
        .merge(page(api))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(with_api(), refuse_new))
        .layer(middleware::from_fn_with_state(with_api(), cors))
        .layer(middleware::from_fn_with_state(with_api(), log))
        .with_state(with_api())
}

/// The page, where it is on. Its files are for every client; what it shows of the server is for those with a key.
fn page(api: &Arc<Api>) -> Router<Arc<Api>> {
    if !api.settings.has_page {
        return Router::new();
    }
    let with_key = middleware::from_fn_with_state(Arc::clone(api), authorise);
    Router::new()
        .route(page::STATE, get(page::state))
        .route_layer(with_key)
        .route("/", get(page_file))
        .route("/page/{file}", get(page_file))
}

async fn page_file(request: Request) -> Response {
    match page::respond(request.uri().path(), request.headers()) {
        Some(response) => response,
        None => unknown(request).await.into_response(),
    }
}

async fn unknown(request: Request) -> Problem {
    let (head, body) = request.into_parts();
    body::discard_all(&head.headers, body, DISCARD_BYTES).await;
    Problem::new(
        StatusCode::NOT_FOUND,
        "not-found",
        "there is no such path; /openapi.json describes those that are there",
    )
}

async fn wrong_method(request: Request) -> Problem {
    let (head, body) = request.into_parts();
    body::discard_all(&head.headers, body, DISCARD_BYTES).await;
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "this path is not served with this method; /openapi.json says which is",
    )
}

/// A server that shuts down answers what it has accepted, and nothing else.
async fn refuse_new(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    if !api.service.closing.is_cancelled() {
        return next.run(request).await;
    }
    api.service.metrics.fault(Fault::Draining.code());
    Problem::from(Fault::Draining).into_response()
}

/// One line and one count for each request.
async fn log(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = short(request.method());
    let route = route(request.uri().path());
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let took_s = began.elapsed().as_secs_f64();
    if route == page::STATE {
        // Each open page asks every few seconds.
        debug!(method, route, status, took_s, "HTTP request");
    } else {
        info!(method, route, status, took_s, "HTTP request");
    }
    api.service.metrics.http_request(route, status);
    response
}

/// The path as it is logged and counted: one that is not served may be anything.
fn route(path: &str) -> &'static str {
    match path {
        "/v1/audio/transcriptions" => "/v1/audio/transcriptions",
        "/v1/audio/translations" => "/v1/audio/translations",
        "/v1/models" => "/v1/models",
        "/openapi.json" => "/openapi.json",
        "/" => "/",
        page::STATE => page::STATE,
        path if page::is_file(path) => "/page/{file}",
        path if path.starts_with("/v1/models/") => "/v1/models/{id}",
        _ => "other",
    }
}

/// A method may be any text.
fn short(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        Method::HEAD => "HEAD",
        _ => "other",
    }
}
