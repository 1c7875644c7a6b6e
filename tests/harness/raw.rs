//! Bytes over TCP, as a hand-written client sends them.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

/// A connection that reads events with code of its own, so that the codec is not its own judge.
#[derive(Debug)]
pub struct Raw {
    stream: BufReader<TcpStream>,
}

/// An event as it was read: its type, its fields, and whether these stood inline.
#[derive(Debug, PartialEq)]
pub struct RawEvent {
    /// `type`.
    pub kind: String,
    /// Fields.
    pub data: Map<String, Value>,
    /// Whether the fields stood in the header.
    pub inline: bool,
}

impl RawEvent {
    /// A text field.
    pub fn text(&self, field: &str) -> &str {
        self.data
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

impl Raw {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = timeout(PATIENCE, TcpStream::connect(address))
            .await
            .unwrap()
            .unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Writes bytes.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Writes bytes; the server may have closed already.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Closes the write side.
    pub async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// The next event, or `None` at the end of the stream.
    pub async fn event(&mut self) -> Option<RawEvent> {
        let mut header = String::new();
        let read = timeout(PATIENCE, self.stream.read_line(&mut header))
            .await
            .unwrap();
        if read.unwrap() == 0 {
            return None;
        }
        let header: Map<String, Value> = serde_json::from_str(&header).unwrap();
        let length = header
            .get("data_length")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        let mut block = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut block).await.unwrap();
        let inline = header.contains_key("data");
        let data = if block.is_empty() {
            header
                .get("data")
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default()
        } else {
            serde_json::from_slice(&block).unwrap()
        };
        Some(RawEvent {
            kind: header["type"].as_str().unwrap().to_owned(),
            data,
            inline,
        })
    }

    /// Expects an `error` with this code, and then the end of the stream.
    pub async fn refused(&mut self, code: &str) {
        let event = self.event().await.expect("an error event before the end");
        assert_eq!((event.kind.as_str(), event.text("code")), ("error", code));
        assert!(!event.text("text").is_empty());
        assert_eq!(
            self.event().await,
            None,
            "the connection is closed after an error"
        );
    }
}
