//! Words that are looked for at a pause, before the audio has ended.

use std::str::FromStr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tests::{Server, Spoken, spoken, spoken_in_one_format};
use tokio::net::TcpStream;
use wyoming::{AudioChunk, AudioFormat, Client, Event, Transcribe};

/// A figure on the metrics page; a counter that has counted nothing is not on it.
async fn figure<T: FromStr + Default>(server: &Server, name: &str) -> T {
    let (status, page) = server.page("/metrics").await;
    assert_eq!(status, 200);
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    page.lines().find_map(value).unwrap_or_default()
}

/// Started, adopted, discarded.
async fn speculations(server: &Server) -> [u64; 3] {
    [
        figure(server, "stt_speculations_started_total").await,
        figure(server, "stt_speculations_adopted_total").await,
        figure(server, "stt_speculations_discarded_total").await,
    ]
}

/// A client that sends as a microphone does, and what it has sent.
pub(super) struct Streaming {
    pub(super) client: Client<TcpStream>,
    format: AudioFormat,
    sent: BytesMut,
}

impl Streaming {
    pub(super) async fn to(server: &Server, format: AudioFormat) -> Self {
        Self {
            client: server.client().await,
            format,
            sent: BytesMut::new(),
        }
    }

    async fn send(&mut self, pcm: Bytes) {
        self.sent.extend_from_slice(&pcm);
        let chunk = AudioChunk {
            format: self.format,
            timestamp_ms: None,
            pcm,
        };
        self.client.send(Event::AudioChunk(chunk)).await.unwrap();
    }

    /// Sends a clip, sooner than it was spoken.
    pub(super) async fn say(&mut self, spoken: &Spoken) {
        let mut pcm = spoken.pcm.clone();
        while !pcm.is_empty() {
            self.send(pcm.split_to(4_096.min(pcm.len()))).await;
        }
    }

    /// Sends silence, as long as it lasts.
    pub(super) async fn be_silent(&mut self, milliseconds: u32) {
        let frame = usize::from(self.format.width_bytes()) * usize::from(self.format.channels());
        let frames = self.format.rate_hz() / 20;
        for _ in 0..milliseconds / 50 {
            self.send(Bytes::from(vec![0; frame * frames as usize]))
                .await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Is silent until the server has begun to transcribe for the nth time.
    pub(super) async fn pause(&mut self, server: &Server, nth: u64) {
        for _ in 0..100 {
            self.be_silent(100).await;
            let started: u64 = figure(server, "stt_speculations_started_total").await;
            if started == nth {
                return;
            }
        }
        panic!("nothing begins in 10 s of silence");
    }

    async fn end(&mut self) -> String {
        let stop = Event::AudioStop { timestamp_ms: None };
        self.client.send(stop).await.unwrap();
        self.client.transcript().await.unwrap().text
    }
}

async fn each_fixture_after_a_pause(window: &str) {
    let server = Server::ready(&["--window", window]).await;
    let mut said = 0;
    for spoken in spoken() {
        said += 1;
        let mut client = Streaming::to(&server, spoken.format).await;
        client.say(&spoken).await;
        client.pause(&server, said).await;
        client.be_silent(200).await;
        let path = spoken.path.display();
        assert_eq!(client.end().await, spoken.words, "{path}, {window}");
        assert_eq!(speculations(&server).await, [said, said, 0], "{path}");
    }
    assert_eq!(server.load("accepted_total").await, said);
    assert_eq!(server.load("finished_total").await, said);
    let transcribed: u64 = figure(&server, "stt_transcribe_duration_seconds_count").await;
    assert_eq!(transcribed, said);
    let busy = "stt_speculation_busy_seconds_total{outcome=\"adopted\"}";
    let busy_s: f64 = figure(&server, busy).await;
    assert!(busy_s > 0.0);
}

#[tokio::test]
async fn words_begun_at_a_pause_are_the_right_ones() {
    each_fixture_after_a_pause("exact").await;
}

#[tokio::test]
async fn words_begun_at_a_pause_are_the_right_ones_by_default() {
    each_fixture_after_a_pause("auto").await;
}

#[tokio::test]
async fn words_begun_at_a_pause_are_the_right_ones_in_a_trimmed_window() {
    each_fixture_after_a_pause("dynamic").await;
}

#[tokio::test]
async fn a_sentence_after_the_pause_is_not_lost() {
    let server = Server::ready(&["--window", "dynamic"]).await;
    let [first, second] = spoken_in_one_format();
    let mut client = Streaming::to(&server, first.format).await;
    client.say(&first).await;
    client.pause(&server, 1).await;
    client.say(&second).await;
    let streamed = client.end().await;
    assert_eq!(speculations(&server).await, [1, 0, 1]);
    // What the model makes of the same audio when all of it is there at once.
    let mut other = server.client().await;
    let pcm = client.sent.freeze();
    let whole = other
        .transcribe_pcm(Transcribe::default(), first.format, pcm, 4_096)
        .await
        .unwrap();
    assert_eq!(streamed, whole.text);
    assert!(streamed.len() > first.words.len() + 5, "{streamed}");
}

#[tokio::test]
async fn an_upload_is_transcribed_once() {
    let server = Server::ready(&["--window", "dynamic"]).await;
    let spoken = spoken().remove(0);
    let mut pcm = BytesMut::from(&spoken.pcm[..]);
    pcm.resize(pcm.len() + 32_000, 0);
    let mut client = server.client().await;
    let transcript = client
        .transcribe_pcm(Transcribe::default(), spoken.format, pcm.freeze(), 1_024)
        .await
        .unwrap();
    assert_eq!(transcript.text, spoken.words);
    assert_eq!(speculations(&server).await, [0, 0, 0]);
}

#[tokio::test]
async fn it_can_be_turned_off() {
    let server = Server::ready(&["--window", "dynamic", "--speculate-after", "0"]).await;
    let spoken = spoken().remove(0);
    let mut client = Streaming::to(&server, spoken.format).await;
    client.say(&spoken).await;
    client.be_silent(800).await;
    assert_eq!(client.end().await, spoken.words);
    assert_eq!(speculations(&server).await, [0, 0, 0]);
}

#[tokio::test]
async fn a_request_that_comes_after_the_pause_counts() {
    let server = Server::ready(&["--window", "dynamic"]).await;
    let spoken = spoken().remove(0);
    let mut client = Streaming::to(&server, spoken.format).await;
    client.say(&spoken).await;
    client.pause(&server, 1).await;
    let request = Transcribe {
        language: Some("en".to_owned()),
        ..Transcribe::default()
    };
    client
        .client
        .send(Event::Transcribe(request))
        .await
        .unwrap();
    assert_eq!(client.end().await, spoken.words);
    assert_eq!(speculations(&server).await, [1, 0, 1]);
}

#[tokio::test]
async fn a_client_that_goes_in_a_pause_leaves_nothing() {
    let server = Server::ready(&["--window", "dynamic"]).await;
    let spoken = spoken().remove(0);
    let mut client = Streaming::to(&server, spoken.format).await;
    client.say(&spoken).await;
    client.pause(&server, 1).await;
    drop(client);
    server.load_becomes("open_streams", 0).await;
    assert_eq!(speculations(&server).await, [1, 0, 1]);
    assert_eq!(server.load("accepted_total").await, 0);
    server.understands(&spoken, 4_096).await;
}
