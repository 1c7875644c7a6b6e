//! What a client is sent, and whether it is still there to read it.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;
use tokio_util::bytes::BytesMut;
use tokio_util::codec::Encoder;
use wyoming::{Event, Form, FrameCodec};

use super::service::Service;

/// White space in front of a header is part of no event, and every reader of JSON skips it.
const PROBE: &[u8] = b" ";
/// Words come within seconds, so a transcript has a few spaces in front of it at most.
pub(super) const PROBE_EVERY: Duration = Duration::from_secs(1);

/// The writing half of a connection.
#[derive(Debug)]
pub(super) struct Outgoing<W> {
    service: Arc<Service>,
    writer: W,
    /// When something was last written for the system to find out whether the client is there.
    probed: Option<Instant>,
}

/// An event was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotSent {
    /// It cannot be written as JSON.
    Unwritable,
    /// The client is gone, or does not read.
    NotTaken,
}

impl<W: AsyncWrite + Unpin> Outgoing<W> {
    pub(super) fn new(service: &Arc<Service>, writer: W) -> Self {
        Self {
            service: Arc::clone(service),
            writer,
            probed: None,
        }
    }

    /// Writes events together, within the time that a client has for that: it may close once it has read the one that it
    /// waits for.
    pub(super) async fn send(
        &mut self,
        events: impl IntoIterator<Item = Event>,
        form: Form,
    ) -> Result<(), NotSent> {
        let mut bytes = BytesMut::new();
        let mut codec = FrameCodec::new(self.service.limits.frame);
        for event in events {
            let encoded = codec.encode((event, form), &mut bytes);
            encoded.map_err(|_error| NotSent::Unwritable)?;
        }
        self.write(&bytes).await
    }

    /// Whether the client has closed its side. Over TCP that looks like a client that sends no more,
    /// and behind bytes that are not read like nothing at all, until something is written: so every
    /// [`PROBE_EVERY`] this writes a space.
    pub(super) async fn is_gone(&mut self) -> bool {
        if self.probed.is_none_or(|at| at.elapsed() >= PROBE_EVERY) {
            self.probed = Some(Instant::now());
            return self.write(PROBE).await.is_err();
        }
        // Writing nothing reports a connection that was reset, and does nothing else.
        matches!(self.writer.write(&[]).now_or_never(), Some(Err(_)))
    }

    /// Tells the client that nothing more comes.
    pub(super) async fn finish(&mut self) -> std::io::Result<()> {
        self.writer.shutdown().await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), NotSent> {
        let patience: Duration = self.service.limits.write;
        let written = async {
            self.writer.write_all(bytes).await?;
            self.writer.flush().await
        };
        match self.service.within(patience, written).await {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => Err(NotSent::NotTaken),
        }
    }
}
