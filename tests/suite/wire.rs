//! Bytes on the port: what the reference accepts, and what it does not.

use tests::{Server, spoken};

fn frame(kind: &str, data: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "{{\"type\": \"{kind}\", \"version\": \"1.10.2\", \"data_length\": {}, \"payload_length\": {}}}\n{data}",
        data.len(),
        payload.len()
    )
    .into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

const FORMAT: &str = "{\"rate\": 16000, \"width\": 2, \"channels\": 1, \"timestamp\": null}";

#[tokio::test]
async fn describe_is_answered_however_it_is_written() {
    let server = Server::listening(&[]).await;
    let spellings: [&[u8]; 8] = [
        b"{\"type\": \"describe\", \"version\": \"1.10.2\"}\n",
        b"{\"type\": \"describe\"}\n",
        b"{ \"type\": \"describe\" }\r\n",
        b"\xEF\xBB\xBF{\"type\": \"describe\"}\n",
        b"{\"type\": \"d\\u0065scribe\", \"x\": NaN}\n",
        b"{\"type\": \"describe\", \"data\": null}\n",
        b"{\"type\": \"describe\", \"data_length\": -1, \"payload_length\": null}\n",
        b"{\"type\": null}\n{\"type\": 7}\n{\"type\": \"synthesize\"}\n{\"type\": \"describe\"}\n",
    ];
    for spelling in spellings {
        let mut raw = server.raw().await;
        raw.send(spelling).await;
        let event = raw.event().await.unwrap();
        assert_eq!(event.kind, "info", "{}", String::from_utf8_lossy(spelling));
        assert!(!event.inline);
        assert_eq!(event.data["asr"][0]["installed"], true);
    }
}

#[tokio::test]
async fn the_oldest_library_is_answered_inline() {
    let server = Server::listening(&[]).await;
    let mut raw = server.raw().await;
    raw.send(b"{\"type\": \"describe\", \"data\": {}}\n").await;
    let event = raw.event().await.unwrap();
    assert!(event.inline);
    assert_eq!(event.data["asr"][0]["name"], "wyoming-stt");
}

#[tokio::test]
async fn malformed_bytes_get_a_coded_error_and_a_close() {
    let server = Server::listening(&[]).await;
    let rows: [(&[u8], &str); 18] = [
        (b"\n", "bad-header"),
        (b"hello\n", "bad-header"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "bad-header"),
        (b"\xff\xfe{\x00\n", "bad-header"),
        (b"[1]\n", "bad-header"),
        (b"3\n", "bad-header"),
        (b"\"x\"\n", "bad-header"),
        (b"null\n", "bad-header"),
        (b"{\"data\": {}}\n", "bad-header"),
        (b"{\"type\": \"x\", \"data_length\": \"4\"}\n", "bad-header"),
        (
            b"{\"type\": \"x\", \"payload_length\": 1.5}\n",
            "bad-header",
        ),
        (
            b"{\"type\": \"x\", \"data\": null, \"data_length\": 2}\n{}",
            "bad-data",
        ),
        (b"{\"type\": \"x\", \"data_length\": 2}\n[]", "bad-data"),
        (b"{\"type\": \"x\", \"data_length\": 2}\n{{", "bad-data"),
        (b"{\"type\": \"x\", \"data_length\": 1e30}\n", "bad-header"),
        (
            b"{\"type\": \"x\", \"data_length\": 999999999999}\n",
            "data-too-long",
        ),
        (
            b"{\"type\": \"x\", \"payload_length\": 999999999999}\n",
            "payload-too-long",
        ),
        (
            b"{\"type\": \"audio-start\", \"data\": {\"width\": 2, \"channels\": 1}}\n",
            "bad-event",
        ),
    ];
    for (bytes, code) in rows {
        let mut raw = server.raw().await;
        raw.send(bytes).await;
        raw.refused(code).await;
    }
    // A stream that ends inside an event: the client is told, should it still read.
    for bytes in [
        &b"{\"type\": \"x\", \"data_length\": 9}\n{}"[..],
        b"{\"type\": \"x\", \"payload_length\": 9}\nab",
    ] {
        let mut raw = server.raw().await;
        raw.send(bytes).await;
        raw.finish().await;
        raw.refused("truncated").await;
    }
}

#[tokio::test]
async fn a_header_has_65536_bytes_at_most() {
    let server = Server::listening(&[]).await;
    let padded = |length: usize| {
        let empty = "{\"type\": \"describe\", \"pad\": \"\"}".len();
        format!(
            "{{\"type\": \"describe\", \"pad\": \"{}\"}}\n",
            "a".repeat(length - empty)
        )
    };
    let mut raw = server.raw().await;
    raw.send(padded(65_536)).await;
    assert_eq!(raw.event().await.unwrap().kind, "info");
    let mut raw = server.raw().await;
    raw.send(padded(65_537)).await;
    raw.refused("header-too-long").await;
}

#[tokio::test]
async fn impossible_requests_are_refused_with_their_reason() {
    let server = Server::ready(&[]).await;
    let rows = [
        (
            frame("select-program", "{\"name\": \"whisper\"}", b""),
            "unknown-program",
        ),
        (
            frame(
                "audio-chunk",
                "{\"rate\": 10, \"width\": 2, \"channels\": 1}",
                b"ab",
            ),
            "bad-audio-format",
        ),
        (
            [
                frame("transcribe", "{\"language\": \"xx\"}", b""),
                frame("audio-stop", "{}", b""),
            ]
            .concat(),
            "unsupported-language",
        ),
    ];
    for (bytes, code) in rows {
        let mut raw = server.raw().await;
        raw.send(bytes).await;
        raw.refused(code).await;
    }
}

#[tokio::test]
async fn a_forced_language_answers_every_client() {
    let server = Server::ready(&["--force-language", "en"]).await;
    let mut raw = server.raw().await;
    raw.send(frame("transcribe", "{\"language\": \"xx\"}", b""))
        .await;
    raw.send(frame("audio-chunk", FORMAT, &[0; 3_200])).await;
    raw.send(frame("audio-stop", "{}", b"")).await;
    let event = raw.event().await.unwrap();
    assert_eq!(
        (event.kind.as_str(), event.text("language")),
        ("transcript", "en")
    );
}

#[tokio::test]
async fn bytes_may_come_one_by_one() {
    let server = Server::ready(&["--window", "dynamic"]).await;
    let spoken = spoken().remove(0);
    let mut raw = server.raw().await;
    let mut stream = frame("describe", "", b"");
    stream.extend(frame("transcibe", "{}", b""));
    stream.extend(frame("audio-start", FORMAT, b""));
    for byte in stream {
        raw.send([byte]).await;
    }
    for chunk in spoken.pcm.chunks(30_001) {
        raw.send(frame("audio-chunk", FORMAT, chunk)).await;
    }
    raw.send(frame("audio-stop", "{\"timestamp\": 5}", b""))
        .await;
    assert_eq!(raw.event().await.unwrap().kind, "info");
    let event = raw.event().await.unwrap();
    assert_eq!(
        (event.kind.as_str(), event.text("text")),
        ("transcript", &*spoken.words)
    );
}

#[tokio::test]
async fn ping_is_answered_while_words_are_awaited() {
    let server = Server::listening(&[]).await;
    let mut raw = server.raw().await;
    raw.send(frame("audio-chunk", FORMAT, &[0; 32_000])).await;
    raw.send(frame("audio-stop", "{}", b"")).await;
    raw.send(frame("ping", "{\"text\": \"a\"}", b"")).await;
    raw.send(frame("describe", "", b"")).await;
    let mut kinds = Vec::new();
    for _ in 0..3 {
        kinds.push(raw.event().await.unwrap().kind);
    }
    kinds.sort();
    assert_eq!(kinds, ["info", "pong", "transcript"]);
}

#[tokio::test]
async fn probes_that_close_their_side_are_answered() {
    let server = Server::listening(&[]).await;
    let writings: [&[u8]; 2] = [
        b"{\"type\": \"describe\"}\n",
        // The end of the stream stands for the newline.
        b"{\"type\": \"describe\"}",
    ];
    for bytes in writings {
        let mut raw = server.raw().await;
        raw.send(bytes).await;
        raw.finish().await;
        let event = raw.event().await.expect("the info");
        assert_eq!(event.kind, "info");
        assert_eq!(raw.event().await, None);
    }
    // A shell's probe writes and is gone; the orchestrator's connects and is gone.
    for bytes in [&b"{\"type\": \"describe\"}\n"[..], b""] {
        server.raw().await.send(bytes).await;
    }
    let mut raw = server.raw().await;
    raw.send(b"{\"type\": \"describe\"}\n").await;
    assert_eq!(raw.event().await.unwrap().kind, "info");
    let (_, page) = server.page("/metrics").await;
    assert!(!page.contains("stt_faults_total{"), "{page}");
}
