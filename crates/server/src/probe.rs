//! What listens at an address. For people who set a port up, for health checks, and for a bind that failed.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use wyoming::info::Info;
use wyoming::{Client, ClientError};

use crate::wyoming_server::{BindError, Uri};

/// `wyoming-stt probe`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// HOST:PORT, or tcp://HOST:PORT; or http://HOST:PORT/PATH, a page that must answer 200.
    pub address: String,
    /// Seconds for everything together.
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    pub timeout: u64,
}

/// What was found.
#[derive(Debug)]
pub enum Found {
    /// A Wyoming server; it offers speech-to-text when `asr` is not empty.
    Wyoming(Box<Info>),
    /// An HTTP server.
    Http(Http),
    /// Something that accepts connections and speaks neither.
    Other,
    /// Nothing listens.
    Nothing(String),
}

/// An HTTP server, as far as it can be told apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Http {
    /// The status line of its first page.
    pub status: String,
    /// Which of the programs it is whose default port this is too.
    pub tenant: Tenant,
}

/// Programs other than Wyoming servers that listen at 10300.
#[derive(Debug, PartialEq, Eq)]
pub enum Tenant {
    /// The management of a node of Apache Ignite 3 or GridGain 9, with what it says of its version.
    Ignite(String),
    /// A page for Kubernetes that says whether a CSI driver lives.
    Health,
    /// Viz World, or anything else.
    Other,
}

/// Runs the command.
pub async fn run(args: &Args) -> ExitCode {
    let address = args.address.strip_prefix("tcp://").unwrap_or(&args.address);
    let limit = Duration::from_secs(args.timeout.max(1));
    let (code, text) = match address.strip_prefix("http://") {
        Some(page) => ask_page(page, limit).await,
        None => ask_server(address, limit).await,
    };
    // The exit code says it too.
    writeln!(std::io::stdout(), "{address}: {text}").ok();
    ExitCode::from(code)
}

async fn ask_server(address: &str, limit: Duration) -> (u8, String) {
    match probe(address, limit).await {
        Found::Wyoming(info) if info.asr.iter().any(|program| program.installed) => {
            (0, format!("Wyoming speech-to-text: {}", described(&info)))
        }
        Found::Wyoming(_) => (2, "a Wyoming server without speech-to-text".to_owned()),
        Found::Http(http) => (2, http.to_string()),
        Found::Other => (
            2,
            "something that speaks neither Wyoming nor HTTP".to_owned(),
        ),
        Found::Nothing(reason) => (3, format!("nothing: {reason}")),
    }
}

/// `page` is HOST:PORT/PATH.
async fn ask_page(page: &str, limit: Duration) -> (u8, String) {
    let (address, path) = page.split_once('/').unwrap_or((page, ""));
    match tokio::time::timeout(limit, get(address, path)).await {
        Ok(Ok(Some(page))) if page.is_ok() => (0, page.status),
        Ok(Ok(Some(page))) => (2, page.status),
        Ok(Ok(None)) => (2, "something that does not speak HTTP".to_owned()),
        Ok(Err(error)) => (3, format!("nothing: {error}")),
        Err(_) => (3, format!("no answer within {} s", limit.as_secs())),
    }
}

/// Asks as a Wyoming client does, then as a browser does; takes no longer than `limit`.
pub async fn probe(address: &str, limit: Duration) -> Found {
    let began = Instant::now();
    // A program that does not answer Wyoming keeps a quarter of the time to answer HTTP.
    let for_wyoming = limit * 3 / 4;
    let mut client = match Client::connect_tcp(address, for_wyoming).await {
        Ok(client) => client,
        Err(ClientError::Connect { source }) => return Found::Nothing(source.to_string()),
        Err(error) => return Found::Nothing(error.to_string()),
    };
    match client
        .describe(for_wyoming.saturating_sub(began.elapsed()))
        .await
    {
        Ok(info) => Found::Wyoming(Box::new(info)),
        Err(_) => match tokio::time::timeout_at(began + limit, get(address, "")).await {
            Ok(Ok(Some(Page { status, .. }))) => {
                let asked = tenant(address, &status);
                let tenant = tokio::time::timeout_at(began + limit, asked).await;
                let tenant = tenant.unwrap_or(Tenant::Other);
                Found::Http(Http { status, tenant })
            }
            _ => Found::Other,
        },
    }
}

/// Asks for the pages that the other programs document. `first`: what the first page answered.
async fn tenant(address: &str, first: &str) -> Tenant {
    let page = async |path| get(address, path).await.ok().flatten();
    if let Some(version) = page("management/v1/node/version").await
        && let Some(name) = ignite(&version)
    {
        return Tenant::Ignite(name);
    }
    match page("healthz").await {
        // A server that answers every page alike says nothing.
        Some(health) if health.status != first && is_health(&health) => Tenant::Health,
        _ => Tenant::Other,
    }
}

/// The name and version of an Ignite or GridGain node; where authentication is on, that it is one.
fn ignite(page: &Page) -> Option<String> {
    // A server without that page has nothing under its parent either.
    let is_locked = page.code() == Some("401") && page.body.contains("problem+json");
    if is_locked {
        return Some("that wants a password".to_owned());
    }
    let begin = page.body.find('{')?;
    let end = page.body.rfind('}')?;
    let json: serde_json::Value = serde_json::from_str(page.body.get(begin..=end)?).ok()?;
    let version = json.get("version")?.as_str()?;
    let product = json.get("product").and_then(serde_json::Value::as_str);
    page.is_ok()
        .then(|| format!("{} {version}", product.unwrap_or("version")))
}

/// The sidecar of CSI drivers answers "ok", or 500 with the driver's fault.
fn is_health(page: &Page) -> bool {
    let body = page.body.rsplit("\r\n\r\n").next().unwrap_or_default();
    let is_ok = page.is_ok() && body.trim().eq_ignore_ascii_case("ok");
    is_ok || page.code() == Some("500")
}

/// An answer of HTTP.
struct Page {
    /// Its first line.
    status: String,
    /// Everything after it, up to [`Page::MOST`].
    body: String,
}

impl Page {
    /// Bytes that are read of an answer.
    const MOST: u64 = 4_096;

    fn code(&self) -> Option<&str> {
        self.status.split(' ').nth(1)
    }

    fn is_ok(&self) -> bool {
        self.code() == Some("200")
    }
}

/// The page /`path`; `None` when the answer is no HTTP.
async fn get(address: &str, path: &str) -> std::io::Result<Option<Page>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let read = stream.take(Page::MOST).read_to_end(&mut answer).await;
    if answer.is_empty() {
        read?;
    }
    let text = String::from_utf8_lossy(&answer);
    let (status, body) = text.split_once("\r\n").unwrap_or((&text, ""));
    Ok(status.starts_with("HTTP/").then(|| Page {
        status: status.to_owned(),
        body: body.to_owned(),
    }))
}

impl fmt::Display for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an HTTP server ({}), not Wyoming", self.status)?;
        match &self.tenant {
            Tenant::Ignite(version) => write!(
                f,
                ": the management of Apache Ignite or GridGain ({version}), whose REST port is 10300 too"
            ),
            Tenant::Health => f.write_str(
                ": its /healthz answers as the health port of a CSI driver does; some have 10300",
            ),
            Tenant::Other => f.write_str(
                "; Viz World Server, Apache Ignite 3, GridGain 9 and health ports of CSI drivers use 10300 too",
            ),
        }
    }
}

fn described(info: &Info) -> String {
    let mut text = String::new();
    for program in &info.asr {
        let version = program.version.as_deref().unwrap_or("unknown version");
        // Writing to a String cannot fail.
        write!(text, "{} ({version})", program.name).ok();
        for model in &program.models {
            write!(
                text,
                ", model {} [{}]",
                model.name,
                model.languages.join(" ")
            )
            .ok();
        }
    }
    text
}

/// Tells who holds the port that could not be bound: what it speaks, and its process where the
/// system shows that.
pub async fn holder(error: &BindError) -> Option<String> {
    let Uri::Tcp(address) = &error.uri else {
        return None;
    };
    if error.source.kind() != std::io::ErrorKind::AddrInUse {
        return None;
    }
    let port = address.rsplit_once(':')?.1;
    let local = format!("127.0.0.1:{port}");
    let speaks = match probe(&local, Duration::from_secs(2)).await {
        Found::Wyoming(info) => format!("Wyoming: {}", described(&info)),
        Found::Http(http) => http.to_string(),
        Found::Other => "neither Wyoming nor HTTP".to_owned(),
        Found::Nothing(_) => "nothing on the loopback address".to_owned(),
    };
    let process = port
        .parse()
        .ok()
        .and_then(process_of)
        .unwrap_or_else(|| "a process that this user cannot see".to_owned());
    Some(format!(
        "; the port is held by {process}, which speaks {speaks}; choose another with --uri"
    ))
}

/// The process that listens on a TCP port, from `/proc`: the socket's inode, then who has it open.
fn process_of(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .find_map(|table| {
            listening_inode(&std::fs::read_to_string(table).ok()?, port).map(str::to_owned)
        })?;
    let wanted = format!("socket:[{inode}]");
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let id = entry.file_name();
        let Some(id) = id
            .to_str()
            .filter(|id| id.bytes().all(|b| b.is_ascii_digit()))
        else {
            continue;
        };
        let Ok(open) = std::fs::read_dir(entry.path().join("fd")) else {
            continue;
        };
        let holds = open
            .flatten()
            .filter_map(|file| std::fs::read_link(file.path()).ok())
            .any(|target| target.as_os_str() == wanted.as_str());
        if holds {
            let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some(format!("process {id} ({})", name.trim()));
        }
    }
    None
}

/// Inode of the socket in state LISTEN on `port` in a table such as `/proc/net/tcp`.
fn listening_inode(table: &str, port: u16) -> Option<&str> {
    const LISTEN: &str = "0A";
    let port = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listens = fields.get(1)?.ends_with(&port) && *fields.get(3)? == LISTEN;
        listens.then(|| fields.get(9).copied()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Answers each connection once, after it has said something, with these bytes.
    async fn answering(answer: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut asked = [0; 1_024];
                    assert!(stream.read(&mut asked).await.unwrap() > 0);
                    stream.write_all(answer).await.unwrap();
                });
            }
        });
        address
    }

    async fn found(answer: &'static [u8]) -> Found {
        probe(&answering(answer).await, Duration::from_secs(5)).await
    }

    #[tokio::test]
    async fn what_answers_is_told_by_its_answer() {
        let wyoming = br#"{"type": "info", "data": {"tts": []}}
"#;
        assert!(matches!(found(wyoming).await, Found::Wyoming(info) if info.asr.is_empty()));
        let Found::Http(http) = found(b"HTTP/1.1 400 Bad Request\r\n\r\n").await else {
            panic!("no HTTP");
        };
        assert_eq!(http.status, "HTTP/1.1 400 Bad Request");
        assert_eq!(http.tenant, Tenant::Other);
        assert!(http.to_string().contains("Viz World"), "{http}");
        assert!(matches!(found(b"SSH-2.0-OpenSSH\r\n").await, Found::Other));
        assert!(matches!(found(b"").await, Found::Other));
    }

    /// An HTTP server with some pages and 404 for the others.
    async fn pages(
        pages: &'static [(&'static str, &'static str)],
        missing: &'static str,
    ) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = vec![0; 1_024];
                let count = stream.read(&mut asked).await.unwrap();
                let asked = String::from_utf8_lossy(&asked[..count]).into_owned();
                // What is no request of HTTP is refused, as servers in Go and Java do.
                let path = asked
                    .strip_prefix("GET ")
                    .and_then(|rest| rest.split(' ').next());
                let answer = path.map_or("HTTP/1.1 400 Bad Request\r\n\r\n", |path| {
                    let page = pages.iter().find(|(name, _)| *name == path);
                    page.map_or(missing, |(_, answer)| answer)
                });
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        address
    }

    /// What a tenant answers to which paths, and to others; what the sentence says.
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a [&'a str]);

    #[tokio::test]
    async fn other_tenants_of_the_port_are_named_by_what_they_answer() {
        const IGNITE: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n\
            {\"version\":\"3.1.0\",\"product\":\"Apache Ignite\"}";
        const GRIDGAIN: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2c\r\n\
            {\"version\":\"9.1.22\",\"product\":\"GridGain\"}\r\n0\r\n\r\n";
        const LOCKED: &str = "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/problem+json\r\n\r\n{\"status\":401}";
        const PROBLEM: &str = "HTTP/1.1 404 Not Found\r\nContent-Type: application/problem+json\r\n\r\n{\"status\":404}";
        const MISSING: &str =
            "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\n\r\n404 page not found\n";
        const VERSION: &str = "/management/v1/node/version";
        let cases: [Case<'_>; 6] = [
            (
                &[(VERSION, IGNITE)],
                PROBLEM,
                &["Apache Ignite 3.1.0", "REST port"],
            ),
            (&[(VERSION, GRIDGAIN)], PROBLEM, &["GridGain 9.1.22"]),
            (&[(VERSION, LOCKED)], PROBLEM, &["Ignite or GridGain"]),
            (
                &[("/healthz", "HTTP/1.1 200 OK\r\n\r\nok")],
                MISSING,
                &["CSI driver"],
            ),
            (
                &[(
                    "/healthz",
                    "HTTP/1.1 500 Internal Server Error\r\n\r\ndriver responded but is not ready",
                )],
                MISSING,
                &["CSI driver"],
            ),
            (
                &[("/", "HTTP/1.1 200 OK\r\n\r\n<html>")],
                MISSING,
                &["Viz World"],
            ),
        ];
        for (served, missing, expected) in cases {
            let address = pages(served, missing).await;
            let (code, text) = ask_server(&address, Duration::from_secs(5)).await;
            assert_eq!(code, 2, "{text}");
            for words in expected {
                assert!(text.contains(words), "{words}: {text}");
            }
        }
    }

    #[tokio::test]
    async fn a_page_is_good_when_it_answers_200() {
        for (answer, expected) in [
            (&b"HTTP/1.1 200 OK\r\n\r\nready"[..], 0),
            (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", 2),
            (b"SSH-2.0-OpenSSH 200\r\n", 2),
            (b"", 2),
        ] {
            let page = format!("{}/ready", answering(answer).await);
            let (code, text) = ask_page(&page, Duration::from_secs(5)).await;
            assert_eq!(code, expected, "{text}");
        }
        let (code, text) = ask_page("127.0.0.1:0/ready", Duration::from_secs(5)).await;
        assert_eq!(code, 3, "{text}");
    }

    #[tokio::test]
    async fn a_port_without_a_listener_is_nothing() {
        let address = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap().to_string()
        };
        let found = probe(&address, Duration::from_secs(5)).await;
        assert!(matches!(found, Found::Nothing(_)), "{found:?}");
    }

    #[tokio::test]
    async fn who_never_answers_costs_the_limit_and_no_more() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let began = Instant::now();
        let found = probe(&address, Duration::from_millis(400)).await;
        assert!(matches!(found, Found::Other), "{found:?}");
        let took = began.elapsed();
        // One limit, not one for each question; a busy machine may be late.
        assert!(took < Duration::from_millis(700), "{took:?}");
    }

    #[tokio::test]
    async fn the_holder_of_a_port_is_this_process() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let holder = process_of(listener.local_addr().unwrap().port()).unwrap();
        assert!(holder.contains(&std::process::id().to_string()), "{holder}");
    }

    #[test]
    fn the_listening_socket_of_a_port_is_found_in_the_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:283C 0100007F:8888 01 00000000:00000000 00:00000000 00000000     0        0 111 1\n\
            1: 00000000:283C 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1\n";
        assert_eq!(listening_inode(table, 10_300), Some("222"));
        assert_eq!(listening_inode(table, 10_301), None);
    }
}
