//! The admin pages: `/health`, `/ready`, `/metrics`, `/load`, `/info`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Meters;
use crate::load::LoadReport;

/// Longest time for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// What the pages show. Each method must answer at once.
pub trait Pages: Send + Sync + 'static {
    /// `Err` with the reason when the process should be restarted.
    fn health(&self) -> Result<(), String>;
    /// `Err` with the reason while no work should be sent here.
    fn ready(&self) -> Result<(), String>;
    /// The load report.
    fn load(&self) -> LoadReport;
    /// What the program tells its own clients, if it has such a thing.
    fn info(&self) -> Option<Value>;
}

#[derive(Clone)]
struct Admin {
    pages: Arc<dyn Pages>,
    meters: Meters,
}

impl fmt::Debug for Admin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Admin").finish_non_exhaustive()
    }
}

/// The router of the admin port.
pub fn router(pages: Arc<dyn Pages>, meters: Meters) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/load", get(load))
        .route("/info", get(info))
        .fallback(unknown)
        .layer(middleware::from_fn(limit))
        .with_state(Admin { pages, meters })
}

/// Serves until `stop` is cancelled.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

async fn limit(request: Request, next: Next) -> Response {
    tokio::time::timeout(ANSWER_LIMIT, next.run(request))
        .await
        .unwrap_or_else(|_elapsed| (StatusCode::GATEWAY_TIMEOUT, "too slow\n").into_response())
}

fn said(state: Result<(), String>) -> Response {
    match state {
        Ok(()) => "ok\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn health(State(admin): State<Admin>) -> Response {
    said(admin.pages.health())
}

async fn ready(State(admin): State<Admin>) -> Response {
    said(admin.pages.ready())
}

async fn metrics(State(admin): State<Admin>) -> Response {
    match admin.meters.page() {
        Ok(page) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], page).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics page failed");
            (StatusCode::INTERNAL_SERVER_ERROR, "metrics failed\n").into_response()
        }
    }
}

async fn load(State(admin): State<Admin>) -> Json<LoadReport> {
    Json(admin.pages.load())
}

async fn info(State(admin): State<Admin>) -> Response {
    match admin.pages.info() {
        Some(info) => Json(info).into_response(),
        None => (StatusCode::NOT_FOUND, "nothing to tell yet\n").into_response(),
    }
}

async fn unknown() -> (StatusCode, &'static str) {
    (
        StatusCode::NOT_FOUND,
        "pages: /health /ready /metrics /load /info\n",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Starting;

    impl Pages for Starting {
        fn health(&self) -> Result<(), String> {
            Ok(())
        }
        fn ready(&self) -> Result<(), String> {
            Err("the model is being loaded".to_owned())
        }
        fn load(&self) -> LoadReport {
            LoadReport {
                queued: 3,
                ..LoadReport::default()
            }
        }
        fn info(&self) -> Option<Value> {
            None
        }
    }

    async fn fetched(path: &str) -> (u16, String) {
        let meters = Meters::new("test", "stt", None).unwrap();
        let meter = meters.meter("test");
        meter.u64_counter("utterances").build().add(2, &[]);
        meter
            .f64_histogram("wait_duration")
            .with_unit("s")
            .build()
            .record(0.1, &[]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(
            listener,
            router(Arc::new(Starting), meters),
            stop.clone(),
        ));
        let answer = reqwest::get(format!("http://{address}{path}"))
            .await
            .unwrap();
        let result = (answer.status().as_u16(), answer.text().await.unwrap());
        stop.cancel();
        serving.await.unwrap().unwrap();
        result
    }

    #[tokio::test]
    async fn pages_say_how_the_process_is() {
        assert_eq!(fetched("/health").await, (200, "ok\n".to_owned()));
        assert_eq!(
            fetched("/ready").await,
            (503, "the model is being loaded\n".to_owned())
        );
        assert_eq!(fetched("/info").await.0, 404);
        assert_eq!(fetched("/other").await.0, 404);
        let (status, load) = fetched("/load").await;
        let load: LoadReport = serde_json::from_str(&load).unwrap();
        assert_eq!((status, load.queued), (200, 3));
    }

    #[tokio::test]
    async fn instruments_have_their_unit_once_and_no_scope_labels() {
        let (status, page) = fetched("/metrics").await;
        assert_eq!(status, 200);
        assert!(page.contains("\nstt_utterances_total 2\n"), "{page}");
        assert!(
            page.contains("\nstt_wait_duration_seconds_count 1\n"),
            "{page}"
        );
        assert!(
            !page.contains("otel_scope") && !page.contains("target_info"),
            "{page}"
        );
    }
}
