//! A collector that takes connections and never answers does not hold up the end. A process of its
//! own: logging starts once.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::time::{Duration, Instant};

use telemetry::{LogFormat, Meters, Otlp, Settings};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_never_answers_cannot_hold_up_the_end() {
    let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", collector.local_addr().unwrap());
    let greeting = tokio::spawn(async move {
        let (mut stream, _) = collector.accept().await.unwrap();
        let mut preface = [0; 14];
        stream.read_exact(&mut preface).await.unwrap();
        // Kept open, and silent.
        (preface, stream, collector)
    });
    let otlp = Otlp::new(&endpoint, None).unwrap();
    let mut guard = telemetry::init(&Settings {
        service_name: "test",
        log_format: LogFormat::Json,
        filter: "debug".to_owned(),
        otlp: Some(otlp.clone()),
    })
    .unwrap();
    let meters = Meters::new("test", "stt", Some(&otlp)).unwrap();
    guard.hold(&meters);
    meters
        .meter("test")
        .f64_counter("words")
        .build()
        .add(1.0, &[]);
    tracing::info_span!("utterance", audio_s = 1.5).in_scope(|| tracing::info!("accepted"));
    let began = Instant::now();
    tokio::task::spawn_blocking(|| guard.shutdown())
        .await
        .unwrap();
    // All three wait at the same time.
    assert!(began.elapsed() < Duration::from_secs(9));
    let (preface, _stream, _collector) = greeting.await.unwrap();
    assert_eq!(&preface, b"PRI * HTTP/2.0");
}
