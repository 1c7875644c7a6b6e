//! An OTLP collector on a loopback port: keeps what it is sent, as the bytes of each request.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};

/// What was sent: the path of the call, and its message in protobuf, in which text stands as it is.
type Calls = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A running collector.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    calls: Calls,
}

impl Collector {
    /// Starts one.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Calls::default();
        let kept = Arc::clone(&calls);
        tokio::spawn(async move {
            while let Ok((stream, _peer)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&kept)));
            }
        });
        Self { address, calls }
    }

    /// Where it listens, without TLS.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// For `--otlp-endpoint`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The messages of calls whose path has this in it, in the order in which they came.
    pub fn sent(&self, path: &str) -> Vec<Vec<u8>> {
        let calls = self.calls.lock().unwrap();
        let to = |call: &&(String, Vec<u8>)| call.0.contains(path);
        calls.iter().filter(to).map(|call| call.1.clone()).collect()
    }
}

/// Answers every call with an empty message and the status of success.
async fn serve(stream: TcpStream, calls: Calls) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let calls = Arc::clone(&calls);
        tokio::spawn(async move {
            let path = request.uri().path().to_owned();
            let mut body = request.into_body();
            let mut message = Vec::new();
            while let Some(Ok(data)) = body.data().await {
                message.extend_from_slice(&data);
                body.flow_control().release_capacity(data.len()).unwrap();
            }
            calls.lock().unwrap().push((path, message));
            let response = http::Response::builder()
                .header("content-type", "application/grpc")
                .body(())
                .unwrap();
            let mut answer = respond.send_response(response, false).unwrap();
            // Not compressed, no bytes.
            answer
                .send_data(Bytes::from_static(&[0; 5]), false)
                .unwrap();
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            answer.send_trailers(trailers).unwrap();
        });
    }
}

/// A span of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedSpan {
    /// Of its trace.
    pub trace: [u8; 16],
    /// Its own.
    pub id: [u8; 8],
    /// Of the span that it is a part of.
    pub parent: Option<[u8; 8]>,
    /// What it is called.
    pub name: String,
}

/// The spans of an export. In OTLP's protobuf a span begins with its trace (tag 0x0a, 16 bytes), its own number (tag 0x12)
/// and its parent's (tag 0x22, eight bytes each); flags (tags 0x85 0x01, four bytes) may follow, then the name (tag 0x2a).
pub fn spans_of(message: &[u8]) -> Vec<ExportedSpan> {
    let starts = message
        .windows(20)
        .enumerate()
        .filter(|(_, head)| head[..2] == [0x0a, 16] && head[18..] == [0x12, 8]);
    starts
        .filter_map(|(at, _)| span_at(&message[at..]))
        .collect()
}

fn span_at(bytes: &[u8]) -> Option<ExportedSpan> {
    let trace = bytes.get(2..18)?.try_into().ok()?;
    let id = bytes.get(20..28)?.try_into().ok()?;
    let mut rest = bytes.get(28..)?;
    let mut parent = None;
    if let Some(own) = rest.strip_prefix(&[0x22, 8]) {
        parent = Some(own.get(..8)?.try_into().ok()?);
        rest = own.get(8..)?;
    }
    if let Some(flags) = rest.strip_prefix(&[0x85, 0x01]) {
        rest = flags.get(4..)?;
    }
    let (length, name) = rest.strip_prefix(&[0x2a])?.split_first()?;
    let name = String::from_utf8(name.get(..usize::from(*length))?.to_vec()).ok()?;
    Some(ExportedSpan {
        trace,
        id,
        parent,
        name,
    })
}

/// The value of the first point of this metric in an export. In OTLP's protobuf a metric begins with its
/// name behind its length, and a number's point has its time (tag 0x19, eight bytes) and then its value
/// (tag 0x21, eight bytes).
pub fn double_of(message: &[u8], metric: &str) -> Option<f64> {
    let name = metric.as_bytes();
    let is_name = |window: &[u8]| usize::from(window[0]) == name.len() && window[1..] == *name;
    let at = message.windows(name.len() + 1).position(is_name)?;
    let mut points = message[at..].windows(18);
    let point = points.find(|window| window[0] == 0x19 && window[9] == 0x21)?;
    Some(f64::from_le_bytes(point[10..].try_into().unwrap()))
}
