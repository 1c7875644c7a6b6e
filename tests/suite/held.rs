//! What the server holds for strangers who send as much as they may, and what that costs their
//! neighbours.

use std::time::{Duration, Instant};

use serde_json::json;
use server::wyoming_server::CONNECTION_BYTES;
use tests::{Raw, Server, Spoken, spoken};

const STRANGERS: usize = 64;
/// As the server has them.
const HEADER: usize = 65_536;
const DATA: usize = 128 << 10;

fn framed(kind: &str, data: &str) -> Vec<u8> {
    let length = data.len();
    format!("{{\"type\": \"{kind}\", \"data_length\": {length}}}\n{data}").into_bytes()
}

/// Two thousand names, as many as a request may have, of 46,000 bytes together.
fn names() -> Vec<String> {
    let name = |number: usize| format!("Lampe {number:04} im Flur oben");
    (0..2_000).map(name).collect()
}

/// The largest `transcribe` that is taken: names, and a context up to the limit of its data.
fn largest_transcribe() -> Vec<u8> {
    let request = |context: usize| {
        let context = json!({ "k": vec![0; context] });
        json!({ "language": "en", "transcript_names": names(), "context": context }).to_string()
    };
    let room = DATA - request(1).len();
    let data = request(1 + room / 2);
    assert!(
        data.len() <= DATA && data.len() > DATA - 4,
        "{}",
        data.len()
    );
    framed("transcribe", &data)
}

/// What strangers send, and whether a pong answers the ping behind it.
fn bursts() -> Vec<(&'static str, Vec<u8>, bool)> {
    let long = |bytes: usize| "[0,".to_owned() + &"0,".repeat(bytes / 2 - 4) + "0]";
    let unfinished = |header: String, rest: usize| [header.into_bytes(), vec![b'['; rest]].concat();
    let inline = format!(
        "{{\"type\": \"x\", \"data_length\": {DATA}, \"data\": {{\"k\": {}}}}}\n",
        long(HEADER - 100)
    );
    let audio = format!(
        "{{\"rate\": 16000, \"width\": 2, \"channels\": 1, \"k\": {}}}",
        long(DATA - 100)
    );
    let audio = format!(
        "{{\"type\": \"audio-chunk\", \"data_length\": {}, \"payload_length\": 60000}}\n{audio}",
        audio.len()
    );
    vec![
        ("the largest transcribe", largest_transcribe(), true),
        ("a header without an end", vec![b'x'; HEADER], false),
        (
            "an inline header before a block",
            inline.into_bytes(),
            false,
        ),
        (
            "a block without an end",
            unfinished(
                format!("{{\"type\": \"x\", \"data_length\": {DATA}}}\n"),
                DATA - 1,
            ),
            false,
        ),
        (
            "a chunk of many fields before its audio",
            unfinished(audio, 50_000),
            false,
        ),
        (
            "a payload that means nothing",
            unfinished(
                "{\"type\": \"x\", \"payload_length\": 1000000}\n".to_owned(),
                999_999,
            ),
            false,
        ),
    ]
}

async fn ponged(raw: &mut Raw) {
    raw.send(b"{\"type\": \"ping\"}\n").await;
    while raw.event().await.unwrap().kind != "pong" {}
}

async fn connected(server: &Server, number: usize) -> Vec<Raw> {
    let mut strangers = Vec::new();
    for _ in 0..number {
        let mut raw = server.raw().await;
        ponged(&mut raw).await;
        strangers.push(raw);
    }
    strangers
}

/// Each kind on a server of its own: what one leaves behind is no room for the next.
#[tokio::test]
async fn a_connection_holds_no_more_than_its_figure() {
    for (what, burst, is_answered) in bursts() {
        let server = Server::ready(&[]).await;
        let mut strangers = connected(&server, STRANGERS).await;
        let before = server.resident_bytes();
        for raw in &mut strangers {
            raw.send(&burst).await;
        }
        for raw in &mut strangers {
            if is_answered {
                ponged(raw).await;
            }
        }
        // Others are served once everything has been read.
        ponged(&mut server.raw().await).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let held = server.resident_bytes().saturating_sub(before);
        let allowed = (STRANGERS * CONNECTION_BYTES) as u64;
        eprintln!("{what}: {} KiB each", held / 1_024 / STRANGERS as u64);
        assert!(
            held <= allowed,
            "{what}: {held} bytes held, {allowed} allowed"
        );
    }
}

/// Answers as long as they may be, which no client reads.
#[tokio::test]
async fn an_answer_that_is_not_taken_is_held_once() {
    let server = Server::ready(&[]).await;
    let strangers = connected(&server, STRANGERS).await;
    let before = server.resident_bytes();
    let empty = json!({ "text": "" }).to_string().len();
    let ping = framed(
        "ping",
        &json!({ "text": "a".repeat(DATA - empty) }).to_string(),
    );
    let pings = ping.repeat(100);
    let sending = strangers.into_iter().map(async |mut raw| {
        // The server does not read on while it writes.
        let sent = tokio::time::timeout(Duration::from_secs(2), raw.try_send(&pings));
        assert!(sent.await.is_err(), "the server takes any number of pings");
        raw
    });
    let strangers = futures::future::join_all(sending).await;
    let held = server.resident_bytes().saturating_sub(before);
    let allowed = (STRANGERS * CONNECTION_BYTES) as u64;
    eprintln!("{} KiB each", held / 1_024 / STRANGERS as u64);
    assert!(held <= allowed, "{held} bytes held, {allowed} allowed");
    drop(strangers);
}

#[tokio::test]
async fn a_thousand_connections_with_the_largest_request_fit_in_a_hundred_mebibytes() {
    const MOST: u64 = 100 << 20;
    let server = Server::ready(&[]).await;
    let mut strangers = connected(&server, 1_024).await;
    let before = server.resident_bytes();
    let burst = largest_transcribe();
    for raw in &mut strangers {
        raw.send(&burst).await;
        ponged(raw).await;
    }
    let held = server.resident_bytes().saturating_sub(before);
    eprintln!("{} MiB more", held >> 20);
    assert!(held <= MOST, "{held} bytes held, {MOST} allowed");
}

/// How long nine of ten utterances of a neighbour take at most.
async fn neighbours_latency(server: &Server, spoken: &Spoken) -> Duration {
    let mut took = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        server.understands(spoken, 65_536).await;
        took.push(began.elapsed());
    }
    took.sort();
    took[17]
}

/// An utterance as it stands on the wire.
fn said(spoken: &Spoken) -> Vec<u8> {
    let length = spoken.pcm.len();
    let format = "{\"rate\": 16000, \"width\": 2, \"channels\": 1}";
    let header = format!(
        "{{\"type\": \"audio-chunk\", \"data\": {format}, \"payload_length\": {length}}}\n"
    );
    let stop = b"{\"type\": \"audio-stop\"}\n";
    [header.as_bytes(), &spoken.pcm, stop].concat()
}

/// A stranger sends a hundred thousand names: in one request, with an utterance behind it, which is
/// refused, and in fifty, which are taken.
#[tokio::test]
async fn a_hundred_thousand_names_cost_a_neighbour_nothing() {
    let server = Server::ready(&["--window", "dynamic"]).await;
    let spoken = spoken().remove(0);
    let alone = neighbours_latency(&server, &spoken).await;
    let many: Vec<String> = (0..100_000).map(|number| format!("n{number}")).collect();
    let data = json!({ "transcript_names": many }).to_string();
    let one = [framed("transcribe", &data), said(&spoken)].concat();
    let fifty = largest_transcribe().repeat(50);
    for (burst, is_taken) in [(one, false), (fifty, true)] {
        let mut stranger = server.raw().await;
        let sending = async {
            loop {
                // It closes after a refusal.
                if !stranger.try_send(&burst).await {
                    stranger = server.raw().await;
                } else if is_taken {
                    ponged(&mut stranger).await;
                }
            }
        };
        let beside = tokio::select! {
            () = sending => unreachable!("strangers go on"),
            beside = neighbours_latency(&server, &spoken) => beside,
        };
        eprintln!("alone {alone:?}, beside names {beside:?}");
        // Reading JSON takes turns of a thread, and a small machine has two. Where the device turned
        // the names into tokens, this was half a second.
        let allowed = 3 * alone + Duration::from_millis(150);
        assert!(beside <= allowed, "{alone:?} became {beside:?}");
    }
}
