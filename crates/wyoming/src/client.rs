//! A client: for the probe, the load generator and tests.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::net::{TcpStream, ToSocketAddrs, UnixStream};
use tokio_util::codec::{FramedRead, FramedWrite};

use crate::info::Info;
use crate::{
    AudioChunk, AudioFormat, AudioStart, Event, EventError, Excerpt, Form, FrameCodec, FrameError,
    Limits, Transcribe, Transcript,
};

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No connection.
    #[error("cannot connect")]
    Connect {
        /// What the system said.
        source: std::io::Error,
    },
    /// The stream is not Wyoming, or broke.
    #[error("stream broke")]
    Frame(#[from] FrameError),
    /// An event could not be understood.
    #[error("event not understood")]
    Event(#[from] EventError),
    /// The server closed before it answered.
    #[error("connection closed before the answer")]
    Closed,
    /// The server answered with an `error` event.
    #[error("server said: {text}")]
    Server {
        /// The server's sentence.
        text: Excerpt,
        /// The server's code.
        code: Option<String>,
    },
    /// Nothing came in time.
    #[error("no answer within {limit:?}")]
    Timeout {
        /// How long was waited.
        limit: Duration,
    },
}

/// A connection to a Wyoming server over any byte stream.
#[derive(Debug)]
pub struct Client<S> {
    incoming: FramedRead<ReadHalf<S>, FrameCodec>,
    outgoing: FramedWrite<WriteHalf<S>, FrameCodec>,
    form: Form,
}

impl Client<TcpStream> {
    /// Connects by TCP, giving up after `limit`.
    ///
    /// # Errors
    /// [`ClientError::Connect`] or [`ClientError::Timeout`].
    pub async fn connect_tcp(
        address: impl ToSocketAddrs,
        limit: Duration,
    ) -> Result<Self, ClientError> {
        let stream = tokio::time::timeout(limit, TcpStream::connect(address))
            .await
            .map_err(|_elapsed| ClientError::Timeout { limit })?
            .map_err(|source| ClientError::Connect { source })?;
        // Events are small and answers are awaited: do not let the kernel collect them.
        stream
            .set_nodelay(true)
            .map_err(|source| ClientError::Connect { source })?;
        Ok(Self::new(stream))
    }
}

impl Client<UnixStream> {
    /// Connects to a unix socket.
    ///
    /// # Errors
    /// [`ClientError::Connect`].
    pub async fn connect_unix(path: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path)
            .await
            .map_err(|source| ClientError::Connect { source })?;
        Ok(Self::new(stream))
    }
}

impl<S: AsyncRead + AsyncWrite> Client<S> {
    /// A client on a stream that is open already.
    pub fn new(stream: S) -> Self {
        let (incoming, outgoing) = tokio::io::split(stream);
        Self {
            incoming: FramedRead::new(incoming, FrameCodec::new(Limits::default())),
            outgoing: FramedWrite::new(outgoing, FrameCodec::new(Limits::default())),
            form: Form::Block,
        }
    }

    /// Writes one event.
    ///
    /// # Errors
    /// [`ClientError::Frame`] when the connection is gone.
    pub async fn send(&mut self, event: Event) -> Result<(), ClientError> {
        Ok(self.outgoing.send((event, self.form)).await?)
    }

    /// Sends no more, and goes on reading.
    ///
    /// # Errors
    /// [`ClientError::Frame`] when the connection is gone.
    pub async fn finish(&mut self) -> Result<(), ClientError> {
        Ok(SinkExt::<(Event, Form)>::close(&mut self.outgoing).await?)
    }

    /// The next event, or `None` at the end of the stream.
    ///
    /// # Errors
    /// When the stream breaks or an event cannot be understood.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        match self.incoming.next().await {
            None => Ok(None),
            Some(frame) => Ok(Some(Event::from_frame(frame?)?)),
        }
    }

    /// Asks what the server offers.
    ///
    /// # Errors
    /// When there is no `info` within `limit`.
    pub async fn describe(&mut self, limit: Duration) -> Result<Info, ClientError> {
        let answer = async {
            self.send(Event::Describe).await?;
            loop {
                if let Event::Info(info) = self.answer().await? {
                    return Ok(*info);
                }
            }
        };
        tokio::time::timeout(limit, answer)
            .await
            .map_err(|_elapsed| ClientError::Timeout { limit })?
    }

    /// Sends one utterance in chunks of `chunk_bytes` and waits for its words.
    ///
    /// # Errors
    /// [`ClientError::Server`] when the answer is an `error` event, else as [`Client::next`].
    pub async fn transcribe_pcm(
        &mut self,
        request: Transcribe,
        format: AudioFormat,
        mut pcm: Bytes,
        chunk_bytes: usize,
    ) -> Result<Transcript, ClientError> {
        self.send(Event::Transcribe(request)).await?;
        let timestamp_ms = None;
        self.send(Event::AudioStart(AudioStart {
            format,
            timestamp_ms,
        }))
        .await?;
        while !pcm.is_empty() {
            let chunk = pcm.split_to(chunk_bytes.clamp(1, pcm.len()));
            self.send(Event::AudioChunk(AudioChunk {
                format,
                timestamp_ms,
                pcm: chunk,
            }))
            .await?;
        }
        self.send(Event::AudioStop { timestamp_ms }).await?;
        self.transcript().await
    }

    /// Waits for the next transcript.
    ///
    /// # Errors
    /// [`ClientError::Server`] when the answer is an `error` event, else as [`Client::next`].
    pub async fn transcript(&mut self) -> Result<Transcript, ClientError> {
        loop {
            if let Event::Transcript(transcript) = self.answer().await? {
                return Ok(transcript);
            }
        }
    }

    async fn answer(&mut self) -> Result<Event, ClientError> {
        match self.next().await? {
            None => Err(ClientError::Closed),
            Some(Event::Error(error)) => Err(ClientError::Server {
                text: Excerpt::of(&error.text),
                code: error.code.map(|code| Excerpt::of(&code).to_string()),
            }),
            Some(event) => Ok(event),
        }
    }
}
