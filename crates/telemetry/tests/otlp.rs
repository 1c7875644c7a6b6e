//! Spans, logs and the last readings leave for a collector before the shutdown is over. A process of
//! its own: logging starts once.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "a test ends where it fails"
)]

#[path = "../../../tests/harness/collector.rs"]
pub mod collector;

use std::time::{Duration, Instant};

use collector::{Collector, double_of};
use telemetry::{LogFormat, Meters, Otlp, Settings};

/// The exporters send by themselves after five seconds (spans) and sixty (metrics).
const BY_THEMSELVES: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_sends_what_is_left() {
    let collector = Collector::start().await;
    let endpoint = collector.endpoint();
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
    let counter = meters.meter("test").f64_counter("words").build();
    let began = Instant::now();
    counter.add(3.0, &[]);
    tracing::info_span!("utterance", audio_s = 1.5).in_scope(|| tracing::info!("accepted"));
    counter.add(4.0, &[]);
    tokio::task::spawn_blocking(|| guard.shutdown())
        .await
        .unwrap();
    let has = |path: &str, text: &str| {
        let is_in = |message: Vec<u8>| {
            let mut windows = message.windows(text.len());
            windows.any(|window| window == text.as_bytes())
        };
        collector.sent(path).into_iter().any(is_in)
    };
    assert!(has("TraceService/Export", "utterance"));
    assert!(has("LogsService/Export", "accepted"));
    let metrics = collector.sent("MetricsService/Export");
    let words: Vec<Option<f64>> = metrics
        .iter()
        .map(|message| double_of(message, "words"))
        .collect();
    assert_eq!(words, [Some(7.0)]);
    // Neither spans nor metrics would be there yet but for the shutdown.
    assert!(began.elapsed() < BY_THEMSELVES, "{:?}", began.elapsed());
    // The last clone has nothing left to do that blocks.
    let dropped = Instant::now();
    drop(meters);
    assert!(dropped.elapsed() < Duration::from_millis(100));
}
