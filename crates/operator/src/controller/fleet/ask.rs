//! Asks pods for their load, within bounds that hold for the whole process.
//!
//! What answers may be anything that has a pod's address: it is asked once, for a second, follows no redirect, and is
//! read up to 64 KiB.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::Value;
use telemetry::load::{LoadReport, SCHEMA};
use tokio::sync::Semaphore;

/// An answer is there at once or not at all.
const PATIENCE: Duration = Duration::from_secs(1);
/// Pods that are asked at once. A thousand that fall silent together hold all of these for four seconds, once.
const CONNECTIONS: usize = 256;
/// The same of those that did not answer when they were asked last: they must not keep the others waiting.
const DOUBTFUL_CONNECTIONS: usize = 32;
/// Largest answer; a report has about 700 bytes.
const LARGEST: usize = 64 * 1024;
/// Longest text within one, in characters.
const LONGEST_TEXT: usize = 256;

/// Asks pods for their load.
pub trait Loads: Send + Sync + 'static {
    /// The report at `ip`, port `port`; none when it does not answer. `is_doubtful`: it did not last time either.
    fn load(&self, ip: IpAddr, port: u16, is_doubtful: bool) -> BoxFuture<'_, Option<LoadReport>>;
}

/// Asks over HTTP.
#[derive(Debug)]
pub struct HttpLoads {
    client: reqwest::Client,
    connections: Semaphore,
    doubtful: Semaphore,
}

impl HttpLoads {
    /// With nothing asked yet.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new() -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            // A pod has no business to send the operator elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            // Each answer ends its connection.
            .pool_max_idle_per_host(0)
            .no_proxy()
            .build()?;
        Ok(Self {
            client,
            connections: Semaphore::new(CONNECTIONS),
            doubtful: Semaphore::new(DOUBTFUL_CONNECTIONS),
        })
    }

    async fn ask(&self, address: SocketAddr) -> Option<LoadReport> {
        let answer = self.client.get(format!("http://{address}/load"));
        let mut answer = answer.send().await.ok()?;
        if answer.status() != reqwest::StatusCode::OK {
            return None;
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.ok()? {
            if body.len() + chunk.len() > LARGEST {
                return None;
            }
            body.extend_from_slice(&chunk);
        }
        report(&body)
    }
}

impl Loads for HttpLoads {
    fn load(&self, ip: IpAddr, port: u16, is_doubtful: bool) -> BoxFuture<'_, Option<LoadReport>> {
        Box::pin(async move {
            let places = if is_doubtful {
                &self.doubtful
            } else {
                &self.connections
            };
            let _place = places.acquire().await.ok()?;
            self.ask(SocketAddr::new(ip, port)).await
        })
    }
}

/// Fields without which a report says nothing: one that lacks them is silence, not an idle replica.
const REQUIRED: [&str; 7] = [
    "ready",
    "queued",
    "running",
    "open_streams",
    "accepted_total",
    "finished_total",
    "busy_s_total",
];

/// What `body` says, if it is a report.
fn report(body: &[u8]) -> Option<LoadReport> {
    let value: Value = serde_json::from_slice(body).ok()?;
    if REQUIRED.iter().any(|field| value.get(field).is_none()) {
        return None;
    }
    let mut report: LoadReport = serde_json::from_value(value).ok()?;
    let is_sound = |seconds: f64| seconds.is_finite() && seconds >= 0.0;
    let is_known = report.schema <= SCHEMA;
    if !is_known || !is_sound(report.busy_s_total) || !is_sound(report.oldest_wait_s) {
        return None;
    }
    for text in [
        &mut report.model.name,
        &mut report.model.revision,
        &mut report.model.sha256,
        &mut report.device,
    ] {
        if text.chars().nth(LONGEST_TEXT).is_some() {
            *text = text.chars().take(LONGEST_TEXT).collect();
        }
    }
    Some(report)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn sound() -> String {
        serde_json::to_string(&LoadReport {
            ready: true,
            queued: 3,
            ..LoadReport::default()
        })
        .unwrap()
    }

    /// Answers one request with `answer`, and goes on sending `more` for ever.
    async fn asked(answer: String, more: &'static [u8]) -> Option<LoadReport> {
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            assert!(request[..read].starts_with(b"GET /load "));
            stream.write_all(answer.as_bytes()).await.ok();
            while !more.is_empty() && stream.write_all(more).await.is_ok() {}
        });
        let loads = HttpLoads::new().unwrap();
        let report = loads.load(address.ip(), address.port(), false).await;
        server.abort();
        report
    }

    fn with_body(body: &str) -> String {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    #[tokio::test]
    async fn a_report_is_read() {
        let report = asked(with_body(&sound()), b"").await.unwrap();
        assert_eq!((report.ready, report.queued), (true, 3));
    }

    #[tokio::test]
    async fn what_is_no_report_is_silence() {
        let elsewhere = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/load\r\n\r\n";
        for answer in [
            elsewhere.to_owned(),
            with_body("{}"),
            with_body("[]"),
            with_body(&sound().replace("\"schema\":0", "\"schema\":2")),
            with_body(&sound().replace("finished_total", "x")),
            with_body(&sound().replace("\"queued\":3", "\"queued\":-3")),
            with_body(&sound().replace("\"busy_s_total\":0.0", "\"busy_s_total\":-1.0")),
            "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n".to_owned(),
        ] {
            assert_eq!(asked(answer.clone(), b"").await, None, "{answer}");
        }
    }

    #[tokio::test]
    async fn an_endless_answer_is_given_up() {
        let endless = "HTTP/1.1 200 OK\r\n\r\n".to_owned();
        assert_eq!(asked(endless, &[b' '; 4096]).await, None);
    }

    #[test]
    fn texts_are_bounded() {
        let mut long = LoadReport::default();
        long.model.name = "ä".repeat(100_000);
        let body = serde_json::to_vec(&long).unwrap();
        assert_eq!(
            report(&body).unwrap().model.name.chars().count(),
            LONGEST_TEXT
        );
    }
}
