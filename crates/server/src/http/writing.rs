//! A connection whose client must take what is written to it, and can: what it still sends when the server has ended is
//! read for a while, because closing with unread bytes would reset the connection, and the last answer would be lost.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How long a client may go on sending once the server has ended the connection.
const LINGER: Duration = Duration::from_secs(10);
/// The same once the server stops.
const SHORT_LINGER: Duration = Duration::from_millis(500);

/// Fails once a write has waited for so long.
#[derive(Debug)]
pub(super) struct Writing<S> {
    stream: S,
    patience: Duration,
    /// Runs while a write waits.
    end: Pin<Box<Sleep>>,
    is_waiting: bool,
    /// Whether all is written, and the other side knows.
    has_ended: bool,
    /// Until the server stops; `None` once it does.
    stops: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl<S> Writing<S> {
    /// `stop`: when the server stops.
    pub(super) fn new(stream: S, patience: Duration, stop: CancellationToken) -> Self {
        Self {
            stream,
            patience,
            end: Box::pin(sleep(patience)),
            is_waiting: false,
            has_ended: false,
            stops: Some(Box::pin(stop.cancelled_owned())),
        }
    }

    /// What becomes of a write that gave `written`.
    fn within<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.is_waiting = false;
            return written;
        }
        if !self.is_waiting {
            self.is_waiting = true;
            let end = Instant::now() + self.patience;
            self.end.as_mut().reset(end);
        }
        match self.end.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Writing<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Writing<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.within(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.within(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.within(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.has_ended {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.has_ended = true;
            self.end.as_mut().reset(Instant::now() + LINGER);
        }
        if let Some(stops) = &mut self.stops
            && stops.as_mut().poll(context).is_ready()
        {
            self.stops = None;
            let soon = self.end.deadline().min(Instant::now() + SHORT_LINGER);
            self.end.as_mut().reset(soon);
        }
        let mut discarded = [0; 8 << 10];
        while self.end.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut discarded);
            let read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up_and_a_slow_one_is_not() {
        let patience = Duration::from_secs(10);
        let (ours, mut theirs) = duplex(1_000);
        let mut ours = Writing::new(ours, patience, CancellationToken::new());
        let reads = tokio::spawn(async move {
            let mut part = [0; 500];
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(9)).await;
                theirs.read_exact(&mut part).await.unwrap();
            }
            theirs
        });
        ours.write_all(&[7; 6_000]).await.unwrap();
        let _theirs = reads.await.unwrap();
        let begun = Instant::now();
        let error = ours.write_all(&[7; 6_000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), patience);
    }

    #[tokio::test(start_paused = true)]
    async fn who_still_sends_gets_the_last_answer_and_is_left_after_a_while() {
        let (ours, theirs) = duplex(1_000);
        let stop = CancellationToken::new();
        let mut ours = Writing::new(ours, Duration::from_secs(10), stop.clone());
        let (mut reads, mut writes) = tokio::io::split(theirs);
        // More than the pipe holds, and no end of it.
        let sends = tokio::spawn(async move {
            while writes.write_all(&[7; 600]).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        ours.write_all(b"no").await.unwrap();
        let begun = Instant::now();
        ours.shutdown().await.unwrap();
        assert_eq!(begun.elapsed(), LINGER);
        let mut answer = Vec::new();
        reads.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"no");
        drop(ours);
        sends.await.unwrap();
        // A server that stops does not wait as long, and nothing waits for a client that has ended too.
        let (ours, theirs) = duplex(1_000);
        let mut ours = Writing::new(ours, Duration::from_secs(10), stop.clone());
        stop.cancel();
        let begun = Instant::now();
        ours.shutdown().await.unwrap();
        assert_eq!(begun.elapsed(), SHORT_LINGER);
        drop(theirs);
        let (ours, theirs) = duplex(1_000);
        let mut ours = Writing::new(ours, Duration::from_secs(10), stop);
        drop(theirs);
        let begun = Instant::now();
        ours.shutdown().await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
