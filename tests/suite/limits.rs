//! Overload, slow and vanishing clients, and what a server holds for them.

use std::time::Duration;

use bytes::Bytes;
use tests::{Raw, Server, spoken};
use wyoming::{AudioChunk, AudioFormat, AudioStart, Client, ClientError, Event};

fn pcm16() -> AudioFormat {
    AudioFormat::new(16_000, 2, 1).unwrap()
}

fn chunk(seconds: usize) -> Event {
    Event::AudioChunk(AudioChunk {
        format: pcm16(),
        timestamp_ms: None,
        pcm: Bytes::from(vec![0; seconds * 32_000]),
    })
}

fn tenth() -> Event {
    Event::AudioChunk(AudioChunk {
        format: pcm16(),
        timestamp_ms: None,
        pcm: Bytes::from_static(&[0; 3_200]),
    })
}

const STOP: Event = Event::AudioStop { timestamp_ms: None };

fn code(answer: Result<wyoming::Transcript, ClientError>) -> Option<String> {
    match answer {
        Ok(_) => None,
        Err(ClientError::Server { code, .. }) => code,
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_answers_the_rest() {
    let server = Server::ready(&[
        "--max-waiting",
        "2",
        "--max-batch",
        "1",
        // What a client sends here is no speech.
        "--speech-threshold",
        "0",
    ])
    .await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = server.client().await;
        client.send(chunk(25)).await.unwrap();
        clients.push(client);
    }
    for client in &mut clients {
        client.send(STOP).await.unwrap();
    }
    let (mut answered, mut refused) = (0, 0);
    for mut client in clients {
        match code(client.transcript().await).as_deref() {
            None => answered += 1,
            Some("overloaded") => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(
        answered >= 3 && refused >= 1,
        "{answered} answered, {refused} refused"
    );
    assert_eq!(server.load("refused_total").await, refused);
    let (_, page) = server.page("/metrics").await;
    assert!(
        page.contains(&format!(
            "\nstt_faults_total{{code=\"overloaded\"}} {refused}\n"
        )),
        "{page}"
    );
}

#[tokio::test]
async fn an_hour_of_audio_is_refused_at_the_limit() {
    let server = Server::ready(&["--max-utterance", "30"]).await;
    let mut client = server.client().await;
    let mut sent = 0;
    // The server drains for a while after its refusal, so sending goes on until it closes.
    for _ in 0..360 {
        if client.send(chunk(10)).await.is_err() {
            break;
        }
        sent += 10;
    }
    assert!(sent >= 30);
    assert_eq!(
        code(client.transcript().await).as_deref(),
        Some("utterance-too-long")
    );
    server.load_becomes("open_streams", 0).await;
}

#[tokio::test]
async fn a_client_that_goes_in_mid_audio_leaves_nothing() {
    let server = Server::ready(&[]).await;
    let mut client = server.client().await;
    client.send(chunk(1)).await.unwrap();
    server.load_becomes("open_streams", 1).await;
    drop(client);
    server.load_becomes("open_streams", 0).await;
    assert_eq!(server.load("accepted_total").await, 0);
}

#[tokio::test]
async fn a_client_that_goes_while_it_waits_frees_its_place() {
    let server = Server::ready(&[
        "--max-batch",
        "1",
        "--max-waiting",
        "8",
        "--speech-threshold",
        "0",
    ])
    .await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = server.client().await;
        for _ in 0..8 {
            client.send(chunk(25)).await.unwrap();
        }
        client.send(STOP).await.unwrap();
        clients.push(client);
    }
    server.load_becomes("accepted_total", 4).await;
    drop(clients);
    server.load_becomes("queued", 0).await;
    server.load_becomes("running", 0).await;
    assert!(server.load("cancelled_total").await >= 2);
}

#[tokio::test]
async fn a_client_that_never_reads_does_not_hold_others_up() {
    let server = Server::ready(&["--write-timeout", "1", "--window", "dynamic"]).await;
    let mut slow = server.raw().await;
    // Thousands of answers that no client reads: more than socket buffers hold.
    for _ in 0..200 {
        if !slow
            .try_send(b"{\"type\": \"describe\"}\n".repeat(200))
            .await
        {
            break;
        }
        if server.load("open_streams").await > 0 {
            break;
        }
    }
    server.understands(&spoken()[0], 4_096).await;
}

#[tokio::test]
async fn an_idle_connection_is_told_and_closed() {
    let server = Server::listening(&["--idle-timeout", "1"]).await;
    server.raw().await.refused("idle-timeout").await;
}

#[tokio::test]
async fn ten_thousand_connections_that_come_and_go_leave_nothing() {
    let server = Server::ready(&[]).await;
    for round in 0..10_000 {
        let mut raw = server.raw().await;
        match round % 3 {
            0 => {}
            1 => raw.send(b"{\"type\": \"descr").await,
            _ => raw.send(b"{\"type\": \"describe\"}\n").await,
        }
    }
    for _ in 0..100 {
        let (_, page) = server.page("/metrics").await;
        if page.contains("\nstt_open_connections 0\n") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("connections stay open");
}

#[tokio::test]
async fn five_hundred_idle_connections_do_not_disturb() {
    let server = Server::ready(&["--window", "dynamic"]).await;
    let mut idle: Vec<Raw> = Vec::new();
    for _ in 0..500 {
        idle.push(server.raw().await);
    }
    server.understands(&spoken()[0], 4_096).await;
    for raw in &mut idle {
        raw.send(b"{\"type\": \"ping\"}\n").await;
        assert_eq!(raw.event().await.unwrap().kind, "pong");
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_may_describe_only() {
    let server = Server::ready(&["--max-connections", "2"]).await;
    let mut held = [server.raw().await, server.raw().await];
    for raw in &mut held {
        raw.send(b"{\"type\": \"ping\"}\n").await;
        assert_eq!(raw.event().await.unwrap().kind, "pong");
    }
    server
        .client()
        .await
        .describe(Duration::from_secs(1))
        .await
        .unwrap();
    let mut client = server.client().await;
    client.send(chunk(1)).await.unwrap();
    assert_eq!(
        code(client.transcript().await).as_deref(),
        Some("too-many-connections")
    );
}

#[tokio::test]
async fn open_streams_hold_their_audio_and_little_more() {
    const STREAMS: usize = 500;
    const SECONDS: usize = 10;
    let server = Server::ready(&[]).await;
    let mut clients: Vec<Client<tokio::net::TcpStream>> = Vec::new();
    for _ in 0..STREAMS {
        clients.push(server.client().await);
    }
    server.load_becomes("open_streams", 0).await;
    let before = server.resident_bytes();
    for client in &mut clients {
        let start = AudioStart {
            format: pcm16(),
            timestamp_ms: None,
        };
        client.send(Event::AudioStart(start)).await.unwrap();
        // A tenth of a second at a time, about as live clients send.
        for _ in 0..10 * SECONDS {
            client.send(tenth()).await.unwrap();
        }
        client.send(Event::Ping { text: None }).await.unwrap();
    }
    for client in &mut clients {
        assert!(matches!(
            client.next().await.unwrap(),
            Some(Event::Pong { .. })
        ));
    }
    let held = server.resident_bytes().saturating_sub(before);
    // Samples of 4 bytes at 16 kHz, and 80 mel bins of 4 bytes every 10 ms.
    let audio_and_mel = STREAMS * SECONDS * (16_000 * 4 + 100 * 80 * 4);
    let ceiling = (audio_and_mel + audio_and_mel / 5) as u64;
    assert!(held <= ceiling, "{held} bytes held, {ceiling} allowed");
}
