//! The admin pages of a running server.

use bytes::Bytes;
use tests::Server;
use wyoming::{AudioFormat, Transcribe};

#[tokio::test]
async fn pages_tell_health_load_and_info() {
    let server = Server::ready(&[]).await;
    let format = AudioFormat::new(16_000, 2, 1).unwrap();
    let silence = Bytes::from(vec![0; 32_000]);
    server
        .client()
        .await
        .transcribe_pcm(Transcribe::default(), format, silence, 3_200)
        .await
        .unwrap();
    assert_eq!(server.page("/health").await, (200, "ok\n".to_owned()));
    assert_eq!(server.page("/ready").await, (200, "ok\n".to_owned()));
    assert_eq!(server.load("accepted_total").await, 1);
    let (_, info) = server.page("/info").await;
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!(info["asr"][0]["models"][0]["name"], "demo");
    let (_, page) = server.page("/metrics").await;
    for line in [
        "stt_ready 1",
        "stt_queue_waiting 0",
        "stt_queue_waiting_audio_seconds 0",
        // It was silence, in which no language is detected.
        "stt_utterances_total{language=\"none\"} 1",
        "stt_transcribe_duration_seconds_count 1",
        "stt_model_load_duration_seconds_count 1",
    ] {
        assert!(
            page.contains(&format!("\n{line}\n")),
            "{line} is missing in\n{page}"
        );
    }
}
