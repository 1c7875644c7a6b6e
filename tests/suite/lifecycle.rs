//! From the bind to the end.

use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tests::{Raw, Server, run, spoken};
use tokio::net::UnixStream;
use wyoming::{AudioChunk, Client, Event, Transcribe};

#[tokio::test]
async fn describe_is_answered_before_the_model_is_there() {
    let mut server = Server::listening(&[]).await;
    let info = server
        .client()
        .await
        .describe(Duration::from_secs(1))
        .await
        .unwrap();
    assert_eq!(info.asr[0].models[0].languages, ["en"]);
    server.line("ready: ").await;
    assert_eq!(server.page("/ready").await.0, 200);
}

#[tokio::test]
async fn an_utterance_that_comes_before_the_model_is_answered() {
    let server = Server::listening(&[]).await;
    server.understands(&spoken()[0], 4_096).await;
}

#[tokio::test]
async fn sigterm_lets_an_open_utterance_finish() {
    let mut server = Server::ready(&[]).await;
    let mut idle = server.raw().await;
    let spoken = spoken().remove(0);
    let half = spoken.pcm.len() / 4 * 2;
    let chunk = |pcm| {
        Event::AudioChunk(AudioChunk {
            format: spoken.format,
            timestamp_ms: None,
            pcm,
        })
    };
    let mut client = server.client().await;
    client.send(chunk(spoken.pcm.slice(..half))).await.unwrap();
    server.load_becomes("open_streams", 1).await;
    server.signal(Signal::SIGTERM);
    assert_eq!(
        idle.event().await,
        None,
        "a connection with nothing to do is closed"
    );
    assert_eq!(server.page("/ready").await.0, 503);
    client.send(chunk(spoken.pcm.slice(half..))).await.unwrap();
    client
        .send(Event::AudioStop { timestamp_ms: None })
        .await
        .unwrap();
    assert_eq!(client.transcript().await.unwrap().text, spoken.words);
    assert!(server.ended().await.success());
}

#[tokio::test]
async fn who_still_comes_after_sigterm_is_served_until_nobody_does() {
    let mut server = Server::ready(&["--drain-notice", "4"]).await;
    let mut idle = server.raw().await;
    server.signal(Signal::SIGTERM);
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        server.understands(&spoken()[0], 4_096).await;
    }
    assert_eq!(server.page("/ready").await.0, 503);
    assert_eq!(idle.event().await, None, "who says nothing holds nobody up");
    assert!(server.ended().await.success());
}

#[tokio::test]
async fn the_grace_ends_and_the_client_is_told() {
    let mut server = Server::ready(&["--drain-timeout", "1"]).await;
    let mut raw = server.raw().await;
    raw.send(b"{\"type\": \"audio-start\", \"data\": {\"rate\": 16000, \"width\": 2, \"channels\": 1}}\n").await;
    raw.send(b"{\"type\": \"ping\"}\n").await;
    assert_eq!(raw.event().await.unwrap().kind, "pong");
    server.signal(Signal::SIGTERM);
    raw.refused("draining").await;
    assert_eq!(server.ended().await.code(), Some(1));
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let mut server = Server::ready(&[]).await;
    let mut raw = server.raw().await;
    raw.send(b"{\"type\": \"audio-start\", \"data\": {\"rate\": 16000, \"width\": 2, \"channels\": 1}}\n").await;
    raw.send(b"{\"type\": \"ping\"}\n").await;
    assert_eq!(raw.event().await.unwrap().kind, "pong");
    server.signal(Signal::SIGTERM);
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.signal(Signal::SIGINT);
    assert_eq!(server.ended().await.code(), Some(1));
}

/// Clients of every kind that is owed no words, and keeps its socket.
async fn lingering(server: &Server) -> Vec<Raw> {
    let mut clients = Vec::new();
    for bytes in [
        // Idle, slow, in the middle of an event.
        &b""[..],
        b"{\"type\": \"ping\"}\n",
        b"{\"type\": ",
        b"{\"type\": \"x\", \"data_length\": 100}\n{",
        b"{\"type\": \"x\", \"payload_length\": 100}\n{",
        // Refused.
        b"GET / HTTP/1.1\r\n\r\n",
        b"{\"type\": \"select-program\", \"data\": {\"name\": \"other\"}}\n",
        b"{\"type\": \"transcribe\", \"data\": {\"language\": \"xx\"}}\n{\"type\": \"audio-stop\"}\n",
    ] {
        let mut client = server.raw().await;
        client.send(bytes).await;
        clients.push(client);
    }
    // Answers for it fill both sockets, and it reads none.
    let mut deaf = server.raw().await;
    for _ in 0..200 {
        let many = b"{\"type\": \"describe\"}\n".repeat(200);
        let sent = tokio::time::timeout(Duration::from_millis(200), deaf.try_send(many));
        if sent.await.is_err() {
            break;
        }
    }
    clients.push(deaf);
    // Half closed.
    let mut half = server.raw().await;
    half.send(b"{\"type\": \"describe\"}\n").await;
    half.finish().await;
    clients.push(half);
    clients
}

#[tokio::test]
async fn clients_that_are_owed_nothing_do_not_hold_up_the_end() {
    for timeout in ["30", "1", "0"] {
        let mut server = Server::ready(&["--drain-timeout", timeout]).await;
        let clients = lingering(&server).await;
        // One that waits for its words gets them.
        server.understands(&spoken()[0], 4_096).await;
        let began = Instant::now();
        server.signal(Signal::SIGTERM);
        let status = server.ended().await;
        assert!(status.success(), "--drain-timeout {timeout}: {status}");
        let took = began.elapsed();
        assert!(
            took < Duration::from_secs(4),
            "--drain-timeout {timeout}: {took:?}"
        );
        drop(clients);
    }
}

#[tokio::test]
async fn two_signals_in_one_moment_are_no_failure_where_nothing_was_asked() {
    for round in 0..10 {
        let mut server = Server::ready(&["--drain-notice", "5"]).await;
        let clients = if round % 2 == 0 {
            Vec::new()
        } else {
            vec![server.raw().await]
        };
        server.signal(Signal::SIGTERM);
        server.signal(if round % 3 == 0 {
            Signal::SIGINT
        } else {
            Signal::SIGTERM
        });
        // Signals of one number that wait are one; the third comes while the server ends.
        server.signal(Signal::SIGTERM);
        let status = server.ended().await;
        assert!(status.success(), "round {round}: {status}");
        drop(clients);
    }
}

#[tokio::test]
async fn a_unix_socket_survives_a_killed_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stt.sock");
    let uri = format!("unix://{}", path.display());
    let mut killed = Server::ready(&["--uri", &uri]).await;
    killed.signal(Signal::SIGKILL);
    killed.ended().await;
    assert!(path.exists());
    let mut server = Server::ready(&["--uri", &uri]).await;
    let stream = UnixStream::connect(&path).await.unwrap();
    let info = Client::new(stream)
        .describe(Duration::from_secs(1))
        .await
        .unwrap();
    assert_eq!(info.asr[0].name, "wyoming-stt");
    server.signal(Signal::SIGTERM);
    assert!(server.ended().await.success());
    assert!(!path.exists());
}

#[tokio::test]
async fn a_taken_port_is_explained() {
    let server = Server::listening(&[]).await;
    let uri = format!("tcp://{}", server.address());
    let output = run(&["serve", "--uri", &uri, "--admin", "off"]).await;
    assert_eq!(output.status.code(), Some(69));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains(&uri) && said.contains("speaks Wyoming: wyoming-stt"),
        "{said}"
    );
    assert!(said.contains("process "), "{said}");
}

#[tokio::test]
async fn a_client_may_start_the_server_on_its_own_pipes() {
    let spoken = spoken().remove(0);
    let mut child = tokio::process::Command::new(tests::binary())
        .args(["serve", "--uri", "stdio://", "--admin", "off"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let pipes = tokio::io::join(child.stdout.take().unwrap(), child.stdin.take().unwrap());
    let mut client = Client::new(pipes);
    client.describe(Duration::from_secs(10)).await.unwrap();
    let transcript = client
        .transcribe_pcm(Transcribe::default(), spoken.format, spoken.pcm, 4_096)
        .await
        .unwrap();
    assert_eq!(transcript.text, spoken.words);
    // The server ends with its client.
    drop(client);
    let ended = tokio::time::timeout(Duration::from_secs(10), child.wait()).await;
    assert!(ended.unwrap().unwrap().success());
}
