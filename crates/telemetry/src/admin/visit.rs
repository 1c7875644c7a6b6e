//! Connections to the admin port, bounded in number and in time.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Connections at once: a kubelet, a Prometheus, an operator and a few gateways need one each.
pub(super) const MAX_VISITS: usize = 64;
/// How long one request may take to come and be answered. The pages are in memory; the time is the
/// network's.
pub(super) const LIFETIME: Duration = Duration::from_secs(5);

/// A listener whose connections end by themselves.
pub(super) struct Visits {
    listener: TcpListener,
    /// Oldest first. Each is cancelled when its connection is gone, and cancelling it ends the
    /// connection.
    open: VecDeque<CancellationToken>,
}

impl Visits {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            open: VecDeque::new(),
        }
    }

    fn enter(&mut self) -> CancellationToken {
        self.open.retain(|visit| !visit.is_cancelled());
        if self.open.len() >= MAX_VISITS
            && let Some(oldest) = self.open.pop_front()
        {
            oldest.cancel();
        }
        let visit = CancellationToken::new();
        self.open.push_back(visit.clone());
        visit
    }
}

impl Listener for Visits {
    type Io = Visit;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visit, SocketAddr) {
        // axum's own listener: it backs off when the system has no file descriptor left.
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        (Visit::new(stream, self.enter()), peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One connection.
pub(super) struct Visit {
    stream: TcpStream,
    /// Ready when the time is over or the place is needed.
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_over: bool,
    _place: DropGuard,
}

impl Visit {
    fn new(stream: TcpStream, place: CancellationToken) -> Self {
        let needed = place.clone().cancelled_owned();
        Self {
            stream,
            end: Box::pin(async move {
                // Either way it ends here.
                drop(tokio::time::timeout(LIFETIME, needed).await);
            }),
            is_over: false,
            _place: place.drop_guard(),
        }
    }

    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        self.is_over = self.is_over || self.end.as_mut().poll(context).is_ready();
        if self.is_over {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

impl AsyncRead for Visit {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Visit {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
