//! The program as a process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use wyoming::{Client, Transcribe, Transcript};

use crate::{Raw, Spoken};

const PATIENCE: Duration = Duration::from_secs(60);

/// The built program: `STT_BIN`, or beside this test's own executable.
pub fn binary() -> PathBuf {
    #[allow(
        clippy::disallowed_methods,
        reason = "the harness may read the environment"
    )]
    if let Ok(path) = std::env::var("STT_BIN") {
        return PathBuf::from(path);
    }
    let executable = std::env::current_exe().unwrap();
    let folder = executable.parent().unwrap().parent().unwrap();
    let path = folder.join("wyoming-stt");
    assert!(
        path.exists(),
        "{} is not built: run `cargo build --bins` first, as tests/all does",
        path.display()
    );
    path
}

/// Runs the program to its end.
pub async fn run(arguments: &[&str]) -> Output {
    run_with(&[], arguments).await
}

/// Runs the program to its end, with these variables in its environment.
pub async fn run_with(variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let output = Command::new(binary())
        .args(arguments)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    tokio::time::timeout(PATIENCE, output)
        .await
        .unwrap()
        .unwrap()
}

/// A running server; it is killed when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    wyoming: String,
    admin: String,
    http: String,
}

impl Server {
    /// Starts it with these arguments, and waits until it listens.
    pub async fn listening(arguments: &[&str]) -> Self {
        let mut child = Command::new(binary())
            .args([
                "serve",
                "--uri",
                "tcp://127.0.0.1:0",
                "--admin",
                "127.0.0.1:0",
                "--http",
                "127.0.0.1:0",
            ])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut server = Self {
            child,
            lines,
            wyoming: String::new(),
            admin: String::new(),
            http: String::new(),
        };
        let line = server.line("listening: ").await;
        for part in line.split(", ") {
            if let Some(address) = part.strip_prefix("wyoming tcp://") {
                address.clone_into(&mut server.wyoming);
            }
            if let Some(address) = part.strip_prefix("admin ") {
                address.clone_into(&mut server.admin);
            }
            if let Some(address) = part.strip_prefix("http http://") {
                address.clone_into(&mut server.http);
            }
        }
        server
    }

    /// Starts it with these arguments, and waits until it is ready.
    pub async fn ready(arguments: &[&str]) -> Self {
        let mut server = Self::listening(arguments).await;
        server.line("ready: ").await;
        server
    }

    /// The rest of the next line of its standard output that begins like this.
    pub async fn line(&mut self, prefix: &str) -> String {
        loop {
            let line = tokio::time::timeout(PATIENCE, self.lines.next_line())
                .await
                .unwrap()
                .unwrap();
            let line = line.unwrap_or_else(|| panic!("the server ended before it said {prefix:?}"));
            if let Some(rest) = line.strip_prefix(prefix) {
                return rest.to_owned();
            }
        }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.wyoming.parse().unwrap()
    }

    /// Where clients of the HTTP API connect.
    pub fn http(&self) -> SocketAddr {
        self.http.parse().unwrap()
    }

    /// A client.
    pub async fn client(&self) -> Client<TcpStream> {
        Client::connect_tcp(self.address(), PATIENCE).await.unwrap()
    }

    /// A client of its own sends this file in chunks of so many bytes and gets its words.
    pub async fn understands(&self, spoken: &Spoken, chunk_bytes: usize) -> Transcript {
        let pcm = spoken.pcm.clone();
        let transcript = self
            .client()
            .await
            .transcribe_pcm(Transcribe::default(), spoken.format, pcm, chunk_bytes)
            .await
            .unwrap();
        let path = spoken.path.display();
        assert_eq!(
            transcript.text, spoken.words,
            "{path} in {chunk_bytes} bytes"
        );
        transcript
    }

    /// A connection for bytes.
    pub async fn raw(&self) -> Raw {
        Raw::connect(self.address()).await
    }

    /// Status and text of an admin page.
    pub async fn page(&self, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("{}{path}", self.admin)).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// A number of the load report.
    pub async fn load(&self, field: &str) -> u64 {
        let (status, text) = self.page("/load").await;
        assert_eq!(status, 200);
        let report: serde_json::Value = serde_json::from_str(&text).unwrap();
        report[field].as_u64().unwrap()
    }

    /// Waits until a number of the load report is this.
    pub async fn load_becomes(&self, field: &str, expected: u64) {
        let mut last = u64::MAX;
        for _ in 0..200 {
            last = self.load(field).await;
            if last == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{field} stays at {last}, not {expected}");
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kilobytes * 1_024
    }

    fn id(&self) -> i32 {
        i32::try_from(self.child.id().unwrap()).unwrap()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.id()), signal).unwrap();
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .unwrap()
            .unwrap()
    }
}
