//! Connections of HTTP clients: how many, how long, and how they end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Extension;
use axum::response::IntoResponse;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::api::{Api, Peer};
use super::problem::Problem;
use super::router::router;
use super::settings::Address;
use super::writing::Writing;
use crate::fault::Fault;
use crate::wyoming_server::Doors;

/// For a head to come, and between two requests of a connection.
const HEAD_PATIENCE: Duration = Duration::from_secs(60);
/// Longest head.
const HEAD_BYTES: usize = 32 << 10;
/// Lines of a head.
const HEAD_LINES: usize = 64;
/// Connections beyond the limit that are told so; others are closed at once.
const RESERVE: usize = 64;
/// Pause after a failed accept: out of file descriptors, say. Waiting is all that helps.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound port.
#[derive(Debug)]
pub(crate) struct Door {
    listener: TcpListener,
}

impl Door {
    /// Listens where the settings say; `None` where nothing was said and the port is not free.
    ///
    /// # Errors
    /// What the system said of an address that was given.
    pub(crate) async fn bind(address: &Address) -> io::Result<Option<Self>> {
        match (telemetry::listen(address.as_str()).await, address) {
            (Ok(listener), _) => Ok(Some(Self { listener })),
            (Err(error), Address::Given(_)) => Err(error),
            (Err(error), Address::Usual(address)) => {
                warn!(
                    address,
                    %error,
                    "the HTTP API is off: its usual port is not free; choose another with --http"
                );
                Ok(None)
            }
        }
    }

    /// Where it listens, with the port that the system chose.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Accepts until `stop` is cancelled. Connections run on in `connections` until the server drains; those that come
/// later are told so.
pub(crate) async fn serve(
    door: Door,
    api: Arc<Api>,
    most: usize,
    doors: Doors,
    connections: TaskTracker,
    stop: CancellationToken,
) {
    let (full, reserve) = (
        Arc::new(Semaphore::new(most)),
        Arc::new(Semaphore::new(RESERVE)),
    );
    loop {
        // accept is cancel-safe: no connection is lost.
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = door.listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if error.kind() != io::ErrorKind::ConnectionAborted {
                    warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                continue;
            }
        };
        doors.knock();
        debug!(%peer, "HTTP connection");
        let is_late = api.service.closing.is_cancelled();
        if !is_late && let Ok(permit) = Arc::clone(&full).try_acquire_owned() {
            let served = connection(Arc::clone(&api), stream, peer);
            connections.spawn(async move {
                served.await;
                drop(permit);
            });
        } else if let Ok(permit) = Arc::clone(&reserve).try_acquire_owned() {
            let served = refusal(Arc::clone(&api), stream, most, is_late);
            tokio::spawn(async move {
                served.await;
                drop(permit);
            });
        }
    }
}

fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_LINES);
    http
}

/// Serves a connection to its end. A client that closes it takes its request along.
async fn connection(api: Arc<Api>, stream: TcpStream, peer: SocketAddr) {
    let _open = api.service.metrics.connection();
    // Small answers are awaited; a failure here costs delay only.
    stream.set_nodelay(true).ok();
    let stop = api.service.closing.clone();
    let stream = Writing::new(stream, api.service.limits.write, stop);
    let router = router(&api).layer(Extension(Peer(peer.ip())));
    let service = TowerToHyperService::new(router);
    let mut served = pin!(http().serve_connection(TokioIo::new(stream), service));
    let (closing, abort) = (api.service.closing.clone(), api.service.abort.clone());
    let aborted = async {
        abort.cancelled().await;
        // For answers that say so.
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let mut aborted = pin!(aborted);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = closing.cancelled() => {
            // What was asked is answered; nothing more is.
            served.as_mut().graceful_shutdown();
            tokio::select! {
                ended = served => ended,
                () = aborted.as_mut() => return,
            }
        }
        () = aborted.as_mut() => return,
    };
    if let Err(error) = ended {
        debug!(%error, "HTTP connection ended");
    }
}

/// Tells a client that it is one too many, or too late.
async fn refusal(api: Arc<Api>, stream: TcpStream, most: usize, is_late: bool) {
    let fault = if is_late {
        Fault::Draining
    } else {
        Fault::TooManyConnections { limit: most }
    };
    api.service.metrics.fault(fault.code());
    let stop = api.service.closing.clone();
    let stream = Writing::new(stream, api.service.limits.write, stop);
    let refuse = service_fn(move |_request| {
        let answer = Problem::from(fault.clone()).into_response();
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut http = http();
    http.keep_alive(false);
    // A client that does not read it is gone.
    http.serve_connection(TokioIo::new(stream), refuse)
        .await
        .ok();
}
