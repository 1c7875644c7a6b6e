//! Where clients come from: TCP, a unix socket, or standard input and output.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, info_span, warn};

use super::connection::{Access, serve};
use super::service::Service;

/// Connections beyond the limit that may still describe and ping, so that a full server does not
/// look like a dead one.
pub(crate) const RESERVE: usize = 64;
/// Pause after a failed accept: out of file descriptors, say. Waiting is all that helps.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An address as the reference library writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uri {
    /// `tcp://HOST:PORT`; the host `*` is all addresses, IPv6 and IPv4.
    Tcp(String),
    /// `unix://PATH`.
    Unix(PathBuf),
    /// `stdio://`.
    Stdio,
}

/// Text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not tcp://HOST:PORT, unix://PATH or stdio://")]
pub struct UriError {
    text: String,
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let error = || UriError {
            text: text.to_owned(),
        };
        if text == "stdio://" {
            return Ok(Self::Stdio);
        }
        if let Some(path) = text.strip_prefix("unix://").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let address = text.strip_prefix("tcp://").ok_or_else(error)?;
        let address = address.strip_suffix('/').unwrap_or(address);
        let (host, port) = address.rsplit_once(':').ok_or_else(error)?;
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(error());
        }
        Ok(Self::Tcp(address.to_owned()))
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(formatter, "tcp://{address}"),
            Self::Unix(path) => write!(formatter, "unix://{}", path.display()),
            Self::Stdio => formatter.write_str("stdio://"),
        }
    }
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {uri}")]
pub struct BindError {
    /// The address.
    pub uri: Uri,
    /// What the system said.
    pub source: io::Error,
}

/// A bound address.
#[derive(Debug)]
pub enum Listener {
    /// A TCP port.
    Tcp(TcpListener),
    /// A unix socket, whose file is removed at the end.
    Unix(UnixListener, SocketFile),
    /// One connection: this process's standard input and output.
    Stdio,
}

/// Removes a socket's file when it is dropped.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Gone already, or not ours to remove any more.
        std::fs::remove_file(&self.0).ok();
    }
}

impl Listener {
    /// Binds an address. A socket file without a listener is replaced.
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn bind(uri: &Uri) -> Result<Self, BindError> {
        let failed = |source| BindError {
            uri: uri.clone(),
            source,
        };
        match uri {
            Uri::Stdio => Ok(Self::Stdio),
            Uri::Tcp(address) => Ok(Self::Tcp(telemetry::listen(address).await.map_err(failed)?)),
            Uri::Unix(path) => {
                remove_stale(path).await.map_err(failed)?;
                let listener = UnixListener::bind(path).map_err(failed)?;
                Ok(Self::Unix(listener, SocketFile(path.clone())))
            }
        }
    }

    /// The address with the port that the system chose.
    pub fn uri(&self) -> Uri {
        match self {
            Self::Tcp(listener) => Uri::Tcp(listener.local_addr().map_or_else(
                |_| "?:0".to_owned(),
                |address: SocketAddr| address.to_string(),
            )),
            Self::Unix(_, SocketFile(path)) => Uri::Unix(path.clone()),
            Self::Stdio => Uri::Stdio,
        }
    }

    /// Accepts until `stop` is cancelled; connections run on in `connections`.
    pub async fn run(
        self,
        service: Arc<Service>,
        doors: Doors,
        connections: TaskTracker,
        stop: CancellationToken,
    ) {
        match self {
            Self::Tcp(listener) => loop {
                // accept is cancel-safe: no connection is lost.
                let accepted = tokio::select! {
                    () = stop.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                match accepted {
                    Err(error) => pause(&error).await,
                    Ok((stream, peer)) => {
                        debug!(%peer, "connection");
                        // Small answers are awaited; a failure here costs delay only.
                        stream.set_nodelay(true).ok();
                        doors.admit(&service, &connections, stream.into_split());
                    }
                }
            },
            Self::Unix(listener, _file) => loop {
                let accepted = tokio::select! {
                    () = stop.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                match accepted {
                    Err(error) => pause(&error).await,
                    Ok((stream, _peer)) => doors.admit(&service, &connections, stream.into_split()),
                }
            },
            Self::Stdio => {
                let (reader, writer) = (tokio::io::stdin(), tokio::io::stdout());
                let ended = stop.clone();
                connections.spawn(async move {
                    serve(service, reader, writer, Access::Full).await;
                    ended.cancel();
                });
                stop.cancelled().await;
            }
        }
    }
}

async fn pause(error: &io::Error) {
    // The client was gone before its turn: nothing is wrong here.
    if error.kind() == io::ErrorKind::ConnectionAborted {
        return;
    }
    warn!(%error, "accept failed");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// A socket that refuses connections is left over from a process that was killed. A file that is no
/// socket refuses them too, and is not ours to remove.
async fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    match tokio::net::UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        _ => Ok(()),
    }
}

/// Counts connections in.
#[derive(Clone, Debug)]
pub struct Doors {
    limit: usize,
    full: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
    /// Names a connection in logs and traces.
    accepted: Arc<AtomicU64>,
    knocked: Arc<Notify>,
}

impl Doors {
    /// Doors for `limit` connections.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            full: Arc::new(Semaphore::new(limit)),
            reserve: Arc::new(Semaphore::new(RESERVE)),
            accepted: Arc::default(),
            knocked: Arc::default(),
        }
    }

    /// Waits until a client comes, or has come since the last wait, whether let in or not.
    pub async fn knocked(&self) {
        self.knocked.notified().await;
    }

    /// A client has connected, to this door or to another of the server.
    pub fn knock(&self) {
        self.knocked.notify_one();
    }

    /// Starts a connection. When there are too many it may only describe, and beyond that it is
    /// closed at once.
    fn admit<R, W>(
        &self,
        service: &Arc<Service>,
        connections: &TaskTracker,
        (reader, writer): (R, W),
    ) where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        self.knock();
        let full = Arc::clone(&self.full).try_acquire_owned();
        let (permit, access) = match full {
            Ok(permit) => (permit, Access::Full),
            Err(_) => match Arc::clone(&self.reserve).try_acquire_owned() {
                Ok(permit) => (permit, Access::DescribeOnly { limit: self.limit }),
                Err(_) => return,
            },
        };
        let session = self.accepted.fetch_add(1, Ordering::Relaxed);
        let service = Arc::clone(service);
        let served = async move {
            serve(service, reader, writer, access).await;
            drop(permit);
        };
        connections.spawn(served.instrument(info_span!("connection", session)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_reference_writes_them() {
        for text in [
            "tcp://0.0.0.0:10300",
            "tcp://*:10300",
            "tcp://[::1]:0",
            "unix:///run/stt.sock",
            "stdio://",
        ] {
            assert_eq!(text.parse::<Uri>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "0.0.0.0:10300",
            "tcp://host",
            "tcp://:1",
            "tcp://h:99999",
            "unix://",
        ] {
            assert!(text.parse::<Uri>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_stale_socket_file_is_replaced_and_removed_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stt.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let uri = Uri::Unix(path.clone());
        let listener = Listener::bind(&uri).await.unwrap();
        assert!(Listener::bind(&uri).await.is_err(), "it is in use now");
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letter.txt");
        std::fs::write(&path, "dear").unwrap();
        assert!(Listener::bind(&Uri::Unix(path.clone())).await.is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "dear");
    }
}
