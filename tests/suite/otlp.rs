//! What a collector has when the server is gone.

use nix::sys::signal::Signal;
use tests::collector::{Collector, ExportedSpan, double_of, spans_of};
use tests::tls::TlsDoor;
use tests::{Server, spoken};

#[tokio::test]
async fn the_last_reading_arrives() {
    let collector = Collector::start().await;
    let endpoint = collector.endpoint();
    let mut server = Server::ready(&["--otlp-endpoint", &endpoint, "--window", "dynamic"]).await;
    server.understands(&spoken()[0], 4_096).await;
    server.signal(Signal::SIGTERM);
    assert!(server.ended().await.success());
    let exports = collector.sent("MetricsService/Export");
    let last = exports.last().expect("metrics were exported");
    for (metric, value) in [
        ("accepted_utterances", 1.0),
        ("finished_utterances", 1.0),
        ("draining", 1.0),
        ("queue_running", 0.0),
    ] {
        assert_eq!(double_of(last, metric), Some(value), "{metric}");
    }
    let spans = spans(&collector);
    let utterance = the_one(&spans, "utterance");
    has_stages(&spans, utterance);
    for (path, text) in [("TraceService", "tokens"), ("LogsService", "draining")] {
        let has = |message: Vec<u8>| {
            message
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        };
        assert!(collector.sent(path).into_iter().any(has), "{path}");
    }
}

fn spans(collector: &Collector) -> Vec<ExportedSpan> {
    let exports = collector.sent("TraceService");
    exports.iter().flat_map(|export| spans_of(export)).collect()
}

fn the_one<'s>(spans: &'s [ExportedSpan], name: &str) -> &'s ExportedSpan {
    let mut named = spans.iter().filter(|span| span.name == name);
    let one = named
        .next()
        .unwrap_or_else(|| panic!("no {name} in {spans:?}"));
    assert_eq!(named.next(), None);
    one
}

/// The parts of an answer are below its utterance, in one trace.
fn has_stages(spans: &[ExportedSpan], utterance: &ExportedSpan) {
    for name in ["queue", "mel", "encode", "decode"] {
        let stage = the_one(spans, name);
        assert_eq!(stage.parent, Some(utterance.id), "{name}");
        assert_eq!(stage.trace, utterance.trace, "{name}");
    }
}

/// Whether the collector has a metric of the server that was told of it like this.
async fn is_exported_to(collector: &Collector, flags: &[&str]) -> bool {
    let mut server = Server::ready(flags).await;
    server.signal(Signal::SIGTERM);
    assert!(server.ended().await.success());
    !collector.sent("MetricsService/Export").is_empty()
}

#[tokio::test]
async fn a_collector_with_tls_is_trusted_by_its_authority_only() {
    let collector = Collector::start().await;
    let folder = tempfile::tempdir().unwrap();
    let door = TlsDoor::before(collector.address(), folder.path()).await;
    let endpoint = format!("https://{}", door.address());
    // The system's authorities do not know it.
    assert!(!is_exported_to(&collector, &["--otlp-endpoint", &endpoint]).await);
    let authority = door.authority().to_str().unwrap();
    let flags = ["--otlp-endpoint", &endpoint, "--otlp-ca", authority];
    assert!(is_exported_to(&collector, &flags).await);
}

#[tokio::test]
async fn an_http_request_is_part_of_the_trace_of_its_client() {
    let collector = Collector::start().await;
    let endpoint = collector.endpoint();
    let mut server = Server::ready(&["--otlp-endpoint", &endpoint]).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let wav = std::fs::read(&spoken()[0].path).unwrap();
    let answer = super::http::post_sound(&server, &wav)
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    server.signal(Signal::SIGTERM);
    assert!(server.ended().await.success());
    let spans = spans(&collector);
    let utterance = the_one(&spans, "utterance");
    assert_eq!(
        u128::from_be_bytes(utterance.trace),
        u128::from_str_radix(trace, 16).unwrap()
    );
    assert_eq!(
        utterance.parent,
        Some(0x00f0_67aa_0ba9_02b7_u64.to_be_bytes())
    );
    has_stages(&spans, utterance);
}
