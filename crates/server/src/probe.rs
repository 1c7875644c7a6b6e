//! Who listens there? For people who set a port up, for health checks, and for a bind that failed.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use wyoming::info::Info;
use wyoming::{Client, ClientError};

use crate::app::StartError;
use crate::wyoming_server::Uri;

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
    /// An HTTP server, with its status line.
    Http(String),
    /// Something that accepts connections and speaks neither.
    Other,
    /// Nobody.
    Nothing(String),
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
        Found::Http(status) => (2, http_text(&status)),
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
    match tokio::time::timeout(limit, http_status(address, path)).await {
        Ok(Ok(Some(status))) if status.split(' ').nth(1) == Some("200") => (0, status),
        Ok(Ok(Some(status))) => (2, status),
        Ok(Ok(None)) => (2, "something that does not speak HTTP".to_owned()),
        Ok(Err(error)) => (3, format!("nothing: {error}")),
        Err(_) => (3, format!("no answer within {} s", limit.as_secs())),
    }
}

/// Asks as a Wyoming client does, then as a browser does; takes no longer than `limit`.
pub async fn probe(address: &str, limit: Duration) -> Found {
    let began = Instant::now();
    // Who does not answer Wyoming keeps a quarter of the time to answer HTTP.
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
        Err(_) => match tokio::time::timeout_at(began + limit, http_status(address, "")).await {
            Ok(Ok(Some(status))) => Found::Http(status),
            _ => Found::Other,
        },
    }
}

/// The status line of the page /`path`.
async fn http_status(address: &str, path: &str) -> std::io::Result<Option<String>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(256).read_to_end(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer);
    let status = text.lines().next().unwrap_or_default();
    Ok(status.starts_with("HTTP/").then(|| status.to_owned()))
}

fn http_text(status: &str) -> String {
    format!(
        "an HTTP server ({status}), not Wyoming; Viz World's server allocator uses port 10300 too"
    )
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
pub async fn holder(error: &StartError) -> Option<String> {
    let StartError::Bind(error) = error else {
        return None;
    };
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
        Found::Http(status) => http_text(&status),
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
        let http = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        let Found::Http(status) = found(http).await else {
            panic!("no HTTP");
        };
        assert_eq!(status, "HTTP/1.1 400 Bad Request");
        assert!(matches!(found(b"SSH-2.0-OpenSSH\r\n").await, Found::Other));
        assert!(matches!(found(b"").await, Found::Other));
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
