//! The admin pages: `/health`, `/ready`, `/metrics`, `/load`, `/info`.

mod visit;

use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Meters;
use crate::load::LoadReport;

/// What the pages show. Each method must answer at once.
pub trait Pages: Send + Sync + 'static {
    /// Whether the process can go on.
    ///
    /// # Errors
    /// The reason why it should be restarted.
    fn health(&self) -> Result<(), String>;
    /// Whether work should be sent here.
    ///
    /// # Errors
    /// The reason why not.
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
        .layer(middleware::map_response(last_answer))
        .with_state(Admin { pages, meters })
}

/// Serves until `stop` is cancelled. A connection carries one request and lasts a few seconds; when
/// there are too many, the oldest gives way, so that a client that opens connections and sends nothing
/// cannot keep the probes of the process out.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(visit::Visits::new(listener), router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

async fn last_answer(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
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
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

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

    /// The pages over a real socket, until the test ends them.
    struct Serving {
        address: std::net::SocketAddr,
        stop: CancellationToken,
        task: tokio::task::JoinHandle<std::io::Result<()>>,
    }

    impl Serving {
        async fn start() -> Self {
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
            let router = router(Arc::new(Starting), meters);
            let task = tokio::spawn(serve(listener, router, stop.clone()));
            Self {
                address,
                stop,
                task,
            }
        }

        async fn get(&self, path: &str) -> (u16, String) {
            let answer = reqwest::get(format!("http://{}{path}", self.address))
                .await
                .unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        }

        async fn end(self) {
            self.stop.cancel();
            self.task.await.unwrap().unwrap();
        }
    }

    async fn fetched(path: &str) -> (u16, String) {
        let serving = Serving::start().await;
        let answer = serving.get(path).await;
        serving.end().await;
        answer
    }

    #[tokio::test]
    async fn silent_and_slow_connections_do_not_keep_a_probe_out() {
        let serving = Serving::start().await;
        let mut slow = Vec::new();
        for _ in 0..3 * visit::MAX_VISITS {
            let mut stream = TcpStream::connect(serving.address).await.unwrap();
            stream.write_all(b"GET /health HTT").await.unwrap();
            slow.push(stream);
        }
        let probed = tokio::time::timeout(Duration::from_secs(2), serving.get("/health"));
        assert_eq!(probed.await.unwrap(), (200, "ok\n".to_owned()));
        // The oldest were closed to make room: their end is read at once.
        let mut byte = [0];
        let end = tokio::time::timeout(Duration::from_secs(2), slow[0].read(&mut byte));
        assert!(matches!(end.await.unwrap(), Ok(0) | Err(_)));
        drop(slow);
        serving.end().await;
    }

    #[tokio::test]
    async fn a_connection_that_never_asks_is_closed_and_does_not_hold_up_the_end() {
        let serving = Serving::start().await;
        let mut slow = TcpStream::connect(serving.address).await.unwrap();
        slow.write_all(b"GET /health HTTP/1.1\r\n").await.unwrap();
        serving.get("/health").await;
        let within = visit::LIFETIME + Duration::from_secs(2);
        tokio::time::timeout(within, serving.end()).await.unwrap();
        let mut byte = [0];
        assert!(matches!(slow.read(&mut byte).await, Ok(0) | Err(_)));
    }

    #[tokio::test]
    async fn each_answer_ends_its_connection() {
        let serving = Serving::start().await;
        let mut stream = TcpStream::connect(serving.address).await.unwrap();
        let request = b"GET /ready HTTP/1.1\r\nhost: here\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
        serving.end().await;
    }

    #[tokio::test]
    async fn what_is_no_page_request_is_refused() {
        let serving = Serving::start().await;
        let posted = reqwest::Client::new()
            .post(format!("http://{}/load", serving.address))
            .body(vec![0; 1 << 16])
            .send()
            .await
            .unwrap();
        assert_eq!(posted.status().as_u16(), 405);
        let (status, pages) = serving.get("/").await;
        assert_eq!(status, 404);
        for page in ["/health", "/ready", "/metrics", "/load", "/info"] {
            assert!(pages.contains(page), "{pages}");
        }
        let mut stream = TcpStream::connect(serving.address).await.unwrap();
        let describe = b"{\"type\":\"describe\"}\n";
        stream.write_all(describe).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        serving.end().await;
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
