//! The HTTP API: what OpenAI's clients send is answered as they expect it, and everything else with a clear error.

use std::time::Duration;

use axum::body::Bytes;
use nix::sys::signal::Signal;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use tests::{Server, Spoken, spoken};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BOUNDARY: &str = "tests-boundary";
const TRANSCRIPTIONS: &str = "/v1/audio/transcriptions";

/// A form with a file and fields.
fn form(file: Option<&[u8]>, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut form = Vec::new();
    for (name, value) in fields {
        let part = format!(
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        );
        form.extend(part.bytes());
    }
    if let Some(file) = file {
        let head = format!(
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\ncontent-type: audio/wav\r\n\r\n"
        );
        form.extend(head.bytes());
        form.extend(file);
        form.extend(b"\r\n");
    }
    form.extend(format!("--{BOUNDARY}--\r\n").bytes());
    form
}

fn url(server: &Server, path: &str) -> String {
    format!("http://{}{path}", server.http())
}

fn post(server: &Server, path: &str, form: Vec<u8>) -> RequestBuilder {
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    Client::new()
        .post(url(server, path))
        .header("content-type", kind)
        .body(form)
}

/// A transcription of a sound file, as it comes.
pub(super) fn post_sound(server: &Server, file: &[u8]) -> RequestBuilder {
    post(server, TRANSCRIPTIONS, form(Some(file), &[]))
}

async fn ask(server: &Server, file: &[u8], fields: &[(&str, &str)]) -> Response {
    let request = post(server, TRANSCRIPTIONS, form(Some(file), fields));
    request.send().await.unwrap()
}

async fn text_of(response: Response) -> String {
    assert_eq!(response.status().as_u16(), 200);
    response.text().await.unwrap()
}

/// Status, and the error in OpenAI's shape.
async fn refused(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    let error = body["error"].clone();
    assert!(error["message"].as_str().unwrap().len() > 10, "{body}");
    assert!(
        error["type"].is_string() && error.get("param").is_some(),
        "{body}"
    );
    (status, error)
}

fn sound() -> (Spoken, Vec<u8>) {
    let spoken = spoken().remove(0);
    let file = std::fs::read(&spoken.path).unwrap();
    (spoken, file)
}

/// A WAV file of so many seconds: orders with half a second of silence behind each, again and again.
fn long(seconds: usize) -> Vec<u8> {
    let is_usual = |spoken: &Spoken| {
        let format = spoken.format;
        (format.rate_hz(), format.width_bytes(), format.channels()) == (16_000, 2, 1)
    };
    let said: Vec<u8> = spoken()
        .iter()
        .filter(|spoken| is_usual(spoken))
        .flat_map(|spoken| [&spoken.pcm[..], &[0; 16_000]].concat())
        .collect();
    let bytes = seconds * 32_000;
    let samples = said.into_iter().cycle().take(bytes);
    let size = u32::try_from(bytes).unwrap();
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + size).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend(16_000_u32.to_le_bytes());
    wav.extend(32_000_u32.to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend(size.to_le_bytes());
    wav.extend(samples);
    wav
}

#[tokio::test]
async fn each_format_has_the_words() {
    let server = Server::ready(&[]).await;
    let (spoken, file) = sound();
    let words = &*spoken.words;
    let json: Value = ask(&server, &file, &[("model", "whisper-1")])
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(
        (&json["text"], &json["usage"]["type"]),
        (&words.into(), &"duration".into())
    );
    let text = text_of(ask(&server, &file, &[("response_format", "text")]).await).await;
    assert_eq!(text, format!("{words}\n"));
    let srt = text_of(ask(&server, &file, &[("response_format", "srt")]).await).await;
    assert!(srt.starts_with("1\n00:00:00,"), "{srt}");
    let vtt = text_of(ask(&server, &file, &[("response_format", "vtt")]).await).await;
    assert!(vtt.starts_with("WEBVTT\n\n00:00:00."), "{vtt}");
    let verbose = ask(
        &server,
        &file,
        &[
            ("response_format", "verbose_json"),
            ("timestamp_granularities[]", "word"),
            ("timestamp_granularities[]", "segment"),
            ("temperature", "0"),
            ("language", "en"),
            ("something", "else"),
        ],
    );
    let verbose: Value = verbose.await.json().await.unwrap();
    assert_eq!(
        (&verbose["task"], &verbose["language"]),
        (&"transcribe".into(), &"english".into())
    );
    let duration = verbose["duration"].as_f64().unwrap();
    let timed = verbose["words"].as_array().unwrap();
    let joined: Vec<&str> = timed
        .iter()
        .map(|word| word["word"].as_str().unwrap())
        .collect();
    let text = verbose["text"].as_str().unwrap();
    assert_eq!(joined.concat(), text.replace(' ', ""));
    for word in timed {
        let (start, end) = (
            word["start"].as_f64().unwrap(),
            word["end"].as_f64().unwrap(),
        );
        assert!(
            0.0 <= start && start <= end && end <= duration + 0.1,
            "{verbose}"
        );
    }
    let segment = &verbose["segments"][0];
    for field in [
        "id",
        "seek",
        "start",
        "end",
        "text",
        "tokens",
        "temperature",
        "avg_logprob",
        "compression_ratio",
        "no_speech_prob",
    ] {
        assert!(segment.get(field).is_some(), "{field}: {segment}");
    }
    let translated = post(&server, "/v1/audio/translations", form(Some(&file), &[]));
    assert_eq!(translated.send().await.unwrap().status().as_u16(), 200);
}

#[tokio::test]
async fn words_of_long_audio_come_as_events_while_it_is_transcribed() {
    let server = Server::ready(&[]).await;
    let whole: Value = ask(&server, &long(70), &[]).await.json().await.unwrap();
    let mut response = ask(&server, &long(70), &[("stream", "true")]).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (mut text, mut pieces) = (String::new(), 0);
    while let Some(piece) = response.chunk().await.unwrap() {
        text.push_str(std::str::from_utf8(&piece).unwrap());
        pieces += 1;
    }
    let events: Vec<Value> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
        .collect();
    let (done, deltas) = events.split_last().unwrap();
    assert!(deltas.len() >= 2 && pieces >= 2, "{text}");
    assert_eq!(done["type"], "transcript.text.done");
    assert_eq!(done["text"], whole["text"]);
    let joined: String = deltas
        .iter()
        .map(|delta| {
            assert_eq!(delta["type"], "transcript.text.delta");
            delta["delta"].as_str().unwrap()
        })
        .collect();
    assert_eq!(joined, done["text"].as_str().unwrap());
}

#[tokio::test]
async fn a_file_without_samples_is_answered_in_the_form_that_was_asked_for() {
    let server = Server::ready(&[]).await;
    let json: Value = ask(&server, &long(0), &[]).await.json().await.unwrap();
    assert_eq!(json["text"], "");
    let response = ask(&server, &long(0), &[("stream", "true")]).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let events = response.text().await.unwrap();
    assert!(
        events.starts_with("data: {\"type\":\"transcript.text.done\",\"text\":\"\""),
        "{events}"
    );
}

#[tokio::test]
async fn what_cannot_be_answered_says_why() {
    let server = Server::ready(&["--max-utterance", "60"]).await;
    let (_, file) = sound();
    let damaged = [&b"OggS\0\x02"[..], &[0; 200]].concat();
    for (file, fields, status, code) in [
        (
            Some(&file[..]),
            &[("model", "gpt-4o")][..],
            404,
            "model_not_found",
        ),
        (
            Some(&file),
            &[("language", "klingon")],
            400,
            "unsupported-language",
        ),
        (
            Some(&file),
            &[("response_format", "docx")],
            400,
            "invalid_value",
        ),
        (Some(&file), &[("temperature", "2")], 400, "invalid_value"),
        (None, &[("model", "whisper-1")], 400, "invalid_value"),
        (Some(b""), &[], 400, "invalid_value"),
        (
            Some(b"no sound at all, only words"),
            &[],
            415,
            "unsupported-audio",
        ),
        (
            Some(b"#!AMR\n0000000000000000"),
            &[],
            415,
            "unsupported-audio",
        ),
        (Some(&damaged), &[], 422, "damaged-audio"),
        (Some(&long(61)), &[], 413, "utterance-too-long"),
    ] {
        let response = post(&server, TRANSCRIPTIONS, form(file, fields))
            .send()
            .await
            .unwrap();
        let (found, error) = refused(response).await;
        assert_eq!(
            (found, error["code"].as_str().unwrap()),
            (status, code),
            "{error}"
        );
    }
    let client = Client::new();
    let json = client
        .post(url(&server, TRANSCRIPTIONS))
        .header("content-type", "application/json");
    assert_eq!(refused(json.body("{}").send().await.unwrap()).await.0, 415);
    for (method, path, status) in [
        (reqwest::Method::GET, TRANSCRIPTIONS, 405),
        (reqwest::Method::GET, "/v1/models/other/model", 404),
        (reqwest::Method::GET, "/../../etc/passwd", 404),
        (reqwest::Method::GET, "/%2e%2e/%2e%2e/etc/passwd", 404),
        (reqwest::Method::DELETE, "/v1/models", 405),
    ] {
        let response = client
            .request(method, url(&server, path))
            .send()
            .await
            .unwrap();
        assert_eq!(refused(response).await.0, status, "{path}");
    }
    let models: Value = reqwest::get(url(&server, "/v1/models"))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(models["data"][0]["id"], "demo");
    let document: Value = reqwest::get(url(&server, "/openapi.json"))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert!(document["paths"].get(TRANSCRIPTIONS).is_some());
    // Counted by path and status, and by code.
    let (_, page) = server.page("/metrics").await;
    assert!(
        page.contains(
            "stt_http_requests_total{route=\"/v1/audio/transcriptions\",status=\"415\"} 3"
        ),
        "{page}"
    );
    assert!(
        page.contains("stt_faults_total{code=\"utterance-too-long\"} 1"),
        "{page}"
    );
}

/// What the server writes to these bytes until it closes the connection.
async fn raw(server: &Server, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.http()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    // A reset ends it too.
    drop(
        tokio::time::timeout(Duration::from_secs(30), reading)
            .await
            .unwrap(),
    );
    String::from_utf8_lossy(&answer).into_owned()
}

fn head(length: &str) -> String {
    format!(
        "POST {TRANSCRIPTIONS} HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-type: multipart/form-data; boundary={BOUNDARY}\r\n{length}\r\n\r\n"
    )
}

#[tokio::test]
async fn a_body_beyond_the_bound_is_refused_before_it_is_kept() {
    let server = Server::ready(&["--http-max-body", "1"]).await;
    let ten_gigabytes = head("content-length: 10737418240\r\nexpect: 100-continue");
    let answer = raw(&server, ten_gigabytes.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("--http-max-body"), "{answer}");
    // Without a length, and with all of it sent before the answer is read.
    let file = form(Some(&vec![0; 2 << 20]), &[]);
    let mut chunked = head("transfer-encoding: chunked").into_bytes();
    for part in file.chunks(100_000) {
        chunked.extend(format!("{:x}\r\n", part.len()).bytes());
        chunked.extend(part);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    let answer = raw(&server, &chunked).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let (_, file) = sound();
    text_of(ask(&server, &file, &[]).await).await;
}

#[tokio::test]
async fn forms_that_lie_are_refused() {
    let server = Server::ready(&[]).await;
    let (_, file) = sound();
    let whole = form(Some(&file), &[]);
    let part = format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"file\"");
    for (what, body) in [
        ("cut off", whole[..whole.len() / 2].to_vec()),
        ("without an end", whole[..whole.len() - 8].to_vec()),
        ("empty", Vec::new()),
        (
            "of another boundary",
            form(Some(&file), &[])
                .iter()
                .map(|&b| if b == b'-' { b'+' } else { b })
                .collect(),
        ),
        (
            "of a head without an end",
            [part.as_bytes(), &vec![b'x'; 1 << 20]].concat(),
        ),
        ("of many parts", form(None, &vec![("x", "y"); 100])),
        (
            "of a long field",
            form(Some(&file), &[("prompt", &"x".repeat(100_000))]),
        ),
        (
            "of two files",
            [&whole[..whole.len() - BOUNDARY.len() - 6], &whole].concat(),
        ),
        (
            "of no text",
            form(Some(&file), &[("prompt", "\u{0}")])
                .iter()
                .map(|&b| if b == 0 { 0xff } else { b })
                .collect(),
        ),
    ] {
        let response = post(&server, TRANSCRIPTIONS, body).send().await.unwrap();
        let (status, error) = refused(response).await;
        assert_eq!(status, 400, "a form {what}: {error}");
    }
    // Fewer bytes than the head promises, and then the end.
    let mut stream = TcpStream::connect(server.http()).await.unwrap();
    let promise = head(&format!("content-length: {}", whole.len()));
    stream.write_all(promise.as_bytes()).await.unwrap();
    stream.write_all(&whole[..100]).await.unwrap();
    drop(stream);
    // A head without an end is a flood.
    let flood = format!("GET / HTTP/1.1\r\n{}", "x: y\r\n".repeat(100_000));
    let answer = raw(&server, flood.as_bytes()).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
        "{answer}"
    );
    let answer = raw(&server, b"{\"type\":\"describe\"}\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    server.load_becomes("open_streams", 0).await;
    text_of(ask(&server, &file, &[]).await).await;
}

#[tokio::test]
async fn a_thousand_requests_at_once_are_answered_or_refused() {
    let server = Server::ready(&["--max-waiting", "16"]).await;
    let (spoken, file) = sound();
    let body = Bytes::from(form(Some(&file), &[]));
    // A connection that was not used in time may end when it is taken.
    let client = Client::builder().pool_max_idle_per_host(0).build().unwrap();
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let requests = (0..1_000).map(|_| {
        let request = client
            .post(url(&server, TRANSCRIPTIONS))
            .header("content-type", &kind)
            .body(body.clone());
        async move {
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            let may_retry = response.headers().contains_key("retry-after");
            let body: Value = response.json().await.unwrap();
            (status, may_retry, body["text"].as_str().map(str::to_owned))
        }
    });
    let answers = futures::future::join_all(requests).await;
    let words = answers.iter().filter(|answer| answer.0 == 200);
    let mut answered = 0;
    for (_, _, text) in words {
        assert_eq!(text.as_deref(), Some(&*spoken.words));
        answered += 1;
    }
    assert!(answered >= 16, "{answered}");
    for (status, may_retry, _) in answers.iter().filter(|answer| answer.0 != 200) {
        assert_eq!((*status, *may_retry), (503, true));
    }
    // A Wyoming client is served as before.
    server.understands(&spoken, 4_096).await;
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_request_along() {
    let server = Server::ready(&["--max-batch", "1", "--speculate-after", "0"]).await;
    let file = long(250);
    let body = form(Some(&file), &[]);
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(server.http()).await.unwrap();
        let head = head(&format!("content-length: {}", body.len()));
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        streams.push(stream);
    }
    server.load_becomes("running", 1).await;
    server.load_becomes("queued", 2).await;
    drop(streams);
    server.load_becomes("cancelled_total", 3).await;
    server.load_becomes("running", 0).await;
}

#[tokio::test]
async fn keys_let_in_and_guesses_do_not_go_on() {
    let keys = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(keys.path(), "# at home\nsk-kitchen-1\n").unwrap();
    let server = Server::ready(&["--http-keys", keys.path().to_str().unwrap()]).await;
    let (_, file) = sound();
    let with = |key: &str| {
        let request = post(&server, TRANSCRIPTIONS, form(Some(&file), &[]));
        request
            .header("authorization", format!("Bearer {key}"))
            .send()
    };
    let (status, error) = refused(ask(&server, &file, &[]).await).await;
    assert_eq!(
        (status, error["code"].as_str()),
        (401, Some("invalid_api_key"))
    );
    assert_eq!(with("sk-kitchen-1").await.unwrap().status().as_u16(), 200);
    // The file has another key from now on; it is looked at once a second.
    std::fs::write(keys.path(), "sk-garden-222\n").unwrap();
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(with("sk-garden-222").await.unwrap().status().as_u16(), 200);
    // A client that goes on with its old key guesses nothing.
    for _ in 0..12 {
        assert_eq!(with("sk-kitchen-1").await.unwrap().status().as_u16(), 401);
    }
    assert_eq!(with("sk-garden-222").await.unwrap().status().as_u16(), 200);
    for guess in 0..9 {
        let key = format!("sk-guess-{guess}");
        assert_eq!(with(&key).await.unwrap().status().as_u16(), 401);
    }
    let response = with("sk-guess-12345").await.unwrap();
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(refused(response).await.0, 429);
    // The document needs no key.
    assert_eq!(
        reqwest::get(url(&server, "/openapi.json"))
            .await
            .unwrap()
            .status()
            .as_u16(),
        200
    );
}

#[tokio::test]
async fn what_was_accepted_is_answered_before_the_end_and_nothing_else_is() {
    let mut server = Server::ready(&["--max-batch", "1"]).await;
    let address = url(&server, TRANSCRIPTIONS);
    let file = long(100);
    let asked = tokio::spawn(post(&server, TRANSCRIPTIONS, form(Some(&file), &[])).send());
    server.load_becomes("running", 1).await;
    server.signal(Signal::SIGTERM);
    while server.page("/ready").await.0 == 200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let late = Client::new()
        .post(address)
        .header(
            "content-type",
            format!("multipart/form-data; boundary={BOUNDARY}"),
        )
        .body("x")
        .send()
        .await;
    let (status, error) = refused(late.unwrap()).await;
    assert_eq!((status, error["code"].as_str()), (503, Some("draining")));
    let answer: Value = asked.await.unwrap().unwrap().json().await.unwrap();
    assert!(!answer["text"].as_str().unwrap().is_empty(), "{answer}");
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn pages_of_other_origins_are_let_in_by_name() {
    let server = Server::ready(&["--http-cors", "https://app.example"]).await;
    let ask = |origin: &'static str| {
        let request = Client::new().request(reqwest::Method::OPTIONS, url(&server, TRANSCRIPTIONS));
        request
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .send()
    };
    let allowed = ask("https://app.example").await.unwrap();
    assert_eq!(
        allowed.headers()["access-control-allow-origin"],
        "https://app.example"
    );
    assert!(
        allowed
            .headers()
            .contains_key("access-control-allow-headers")
    );
    let other = ask("https://evil.example").await.unwrap();
    assert!(!other.headers().contains_key("access-control-allow-origin"));
    let closed = Server::ready(&[]).await;
    let answer = Client::new()
        .get(url(&closed, "/v1/models"))
        .header("origin", "https://app.example")
        .send()
        .await
        .unwrap();
    assert!(!answer.headers().contains_key("access-control-allow-origin"));
}

/// A page that the API does not let read its answers could have it work all the same, by a form.
#[tokio::test]
async fn forms_of_other_pages_are_refused() {
    let server = Server::ready(&["--http-cors", "https://app.example"]).await;
    let (_, wav) = sound();
    let send = |origin: &'static str, site: &'static str| {
        post_sound(&server, &wav)
            .header("origin", origin)
            .header("sec-fetch-site", site)
            .send()
    };
    for site in ["cross-site", "same-site"] {
        let other = send("https://evil.example", site).await.unwrap();
        let (status, error) = refused(other).await;
        assert_eq!(
            (status, error["code"].as_str()),
            (403, Some("origin-not-allowed"))
        );
    }
    for (origin, site) in [
        ("https://app.example", "cross-site"),
        ("http://127.0.0.1", "same-origin"),
    ] {
        assert_eq!(send(origin, site).await.unwrap().status(), 200, "{origin}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_an_error_where_it_was_asked_for() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = tests::run(&[
        "serve",
        "--uri",
        "tcp://127.0.0.1:0",
        "--admin",
        "off",
        "--http",
        &address,
    ])
    .await;
    assert_eq!(output.status.code(), Some(69));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&address) && said.contains("--http"), "{said}");
}
