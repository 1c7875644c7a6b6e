//! One-shot clients: a shell pipeline that sends, closes its side and reads.

use std::process::Stdio;

use tests::{Server, Spoken, binary, spoken};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// An utterance as a shell script writes it: fields in the header, no version.
fn utterance(spoken: &Spoken) -> Vec<u8> {
    let format = spoken.format;
    let data = format!(
        "{{\"rate\": {}, \"width\": {}, \"channels\": {}}}",
        format.rate_hz(),
        format.width_bytes(),
        format.channels()
    );
    let mut bytes = Vec::new();
    for chunk in spoken.pcm.chunks(4_096) {
        let length = chunk.len();
        let header = format!(
            "{{\"type\": \"audio-chunk\", \"data\": {data}, \"payload_length\": {length}}}\n"
        );
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(chunk);
    }
    bytes.extend_from_slice(b"{\"type\": \"audio-stop\"}\n");
    bytes
}

#[tokio::test]
async fn a_client_that_only_stops_sending_gets_its_words() {
    let server = Server::ready(&["--window", "dynamic"]).await;
    let spoken = spoken().remove(0);
    let mut raw = server.raw().await;
    raw.send(utterance(&spoken)).await;
    raw.finish().await;
    let mut kinds = Vec::new();
    while let Some(event) = raw.event().await {
        if event.kind == "transcript" {
            assert_eq!(event.text("text"), spoken.words);
        }
        kinds.push(event.kind);
    }
    // As the reference: a client that reads one event has its words.
    assert_eq!(kinds, ["transcript"]);
}

#[tokio::test]
async fn standard_input_is_a_connection() {
    let spoken = spoken().remove(0);
    let mut child = Command::new(binary())
        .args(["serve", "--uri", "stdio://", "--admin", "off"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let bytes = utterance(&spoken);
    input.write_all(&bytes).await.unwrap();
    input.write_all(&bytes).await.unwrap();
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success());
    let answers = String::from_utf8(output.stdout).unwrap();
    let transcripts = answers.match_indices("\"type\": \"transcript\"").count();
    assert_eq!(transcripts, 2, "{answers}");
    assert_eq!(answers.matches(&spoken.words).count(), 2, "{answers}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("ready: wyoming stdio://, admin off, model demo"));
}

/// What a server on its own pipes answers to these bytes, and what it logs with every event.
async fn answers_and_log(bytes: &[u8]) -> (String, String) {
    let mut child = Command::new(binary())
        .args(["serve", "--uri", "stdio://", "--admin", "off", "--debug"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(bytes).await.unwrap();
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn text_of_a_peer_is_cut_in_errors_and_in_the_log() {
    // An error with its header, or a line of the log with its time and fields.
    const LONGEST: usize = 600;
    let long = "\u{202e}ab\u{1b}".repeat(10_000);
    let event = |kind: &str, fields: serde_json::Value| {
        let data = fields.to_string();
        let length = data.len();
        format!("{{\"type\": \"{kind}\", \"data_length\": {length}}}\n{data}")
    };
    let stop = "{\"type\": \"audio-stop\"}\n";
    let language = event("transcribe", serde_json::json!({ "language": long }));
    let program = event("select-program", serde_json::json!({ "name": long }));
    let model = event("transcribe", serde_json::json!({ "name": long }));
    let kind = format!("{{\"type\": \"{}\"}}\n", "x".repeat(60_000));
    let rate = event("audio-start", serde_json::json!({ "rate": long }));
    for (bytes, answer) in [
        (language + stop, "unsupported-language"),
        (program, "unknown-program"),
        (model + stop, "\"text\": \"\""),
        (kind, ""),
        (rate, "bad-event"),
    ] {
        let (answers, log) = answers_and_log(bytes.as_bytes()).await;
        assert!(answers.contains(answer), "{answers}");
        for line in answers.lines().chain(log.lines()) {
            let characters = line.chars().count();
            assert!(characters < LONGEST, "{characters} characters: {line}");
            assert!(!line.contains(['\u{1b}', '\u{202e}']), "{line}");
        }
    }
}
