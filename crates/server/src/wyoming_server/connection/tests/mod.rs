//! Connections over a pipe in memory, and a recogniser that does as it is told.
//!
//! Where only timers matter, time is paused. Where the device's thread has a part it runs: a paused
//! clock would jump to the next deadline while that thread works.

mod answers;
mod end;
mod endpoints;
mod leaving;
mod limits;
mod pauses;
mod telling;

use std::sync::atomic::{AtomicUsize, Ordering};

use audio::{SAMPLE_RATE_HZ, Waveform};
use bytes::Bytes;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::bytes::BytesMut;
use tokio_util::codec::Encoder;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use whisper::{Input, Options, Vocabulary};
use wyoming::{AudioChunk, Client, ErrorEvent, Transcribe};

use super::*;
use crate::language::LanguageRule;
use crate::metrics::Metrics;
use crate::queue::tests::{loaded, roomy, started};
use crate::queue::{Loaded, ModelState, Queue, QueueLimits, Worker};
use crate::recognizer::fake::{Handle, Order};
use crate::wyoming_server::outgoing::PROBE_EVERY;
use crate::wyoming_server::{AudioBudget, Limits};

const PATIENCE: Duration = Duration::from_secs(20);
/// Of all clients together.
const OPEN_AUDIO_S: usize = 15;
const PIPE_BYTES: usize = 1 << 20;
const STOP: Event = Event::AudioStop { timestamp_ms: None };

struct Bench {
    service: Arc<Service>,
    handle: Handle,
    _worker: Worker,
}

fn limits() -> Limits {
    Limits {
        frame: wyoming::Limits::default(),
        utterance: Duration::from_secs(10),
        idle: Duration::from_mins(5),
        write: Duration::from_secs(5),
        answer: PATIENCE,
        drain: Duration::from_secs(30),
    }
}

fn bench(limits: Limits, waiting: QueueLimits) -> Bench {
    let (queue, worker, handle) = started(waiting);
    Bench {
        service: service(limits, queue, worker.state()),
        handle,
        _worker: worker,
    }
}

fn service(limits: Limits, queue: Queue, state: watch::Receiver<ModelState>) -> Arc<Service> {
    Arc::new(Service {
        limits,
        model: "demo".to_owned(),
        told_languages: Arc::default(),
        languages: LanguageRule::default(),
        options: Options::default(),
        expectation: Arc::default(),
        speculate_after: Some(Duration::from_millis(300)),
        endpoint_after: None,
        tells_words: false,
        blocklist: Arc::default(),
        queue,
        state,
        metrics: Metrics::for_tests(),
        open_streams: AtomicUsize::new(0),
        open_audio: Arc::new(AudioBudget::new(OPEN_AUDIO_S)),
        unanswered: TaskTracker::new(),
        closing: CancellationToken::new(),
        abort: CancellationToken::new(),
    })
}

fn usual() -> Bench {
    bench(limits(), roomy())
}

impl Bench {
    /// The client's end of a connection whose pipe holds so many bytes.
    fn pipe(&self, bytes: usize, access: Access) -> (DuplexStream, JoinHandle<()>) {
        let (ours, theirs) = tokio::io::duplex(bytes);
        let (reader, writer) = tokio::io::split(theirs);
        let served = serve(Arc::clone(&self.service), reader, writer, access);
        (ours, tokio::spawn(served))
    }

    fn connect(&self) -> (Client<DuplexStream>, JoinHandle<()>) {
        let (stream, served) = self.pipe(PIPE_BYTES, Access::Full);
        (Client::new(stream), served)
    }

    fn order(&self, order: Order) {
        self.handle.orders.send(order).unwrap();
    }

    /// Blocks until the device has begun a batch.
    fn began(&self) {
        self.handle.batches.recv_timeout(PATIENCE).unwrap();
    }

    fn load(&self) -> telemetry::load::LoadReport {
        let mut report = telemetry::load::LoadReport::default();
        self.service.queue.report(&mut report);
        report
    }
}

fn second() -> Event {
    Event::AudioChunk(AudioChunk {
        format: AudioFormat::new(SAMPLE_RATE_HZ, 2, 1).unwrap(),
        timestamp_ms: None,
        pcm: Bytes::from(vec![1; 2 * SAMPLE_RATE_HZ as usize]),
    })
}

async fn speak(client: &mut Client<DuplexStream>) {
    client.send(second()).await.unwrap();
    client.send(STOP).await.unwrap();
}

async fn words(client: &mut Client<DuplexStream>) -> String {
    client.transcript().await.unwrap().text
}

/// An `error` with this code is the next event, and then the stream ends.
async fn refused(client: &mut Client<DuplexStream>, expected: Code) {
    match client.next().await.unwrap() {
        Some(Event::Error(ErrorEvent { code, text })) => {
            assert_eq!(code.as_deref(), Some(expected.as_str()), "{text}");
        }
        other => panic!("{other:?} in place of {expected:?}"),
    }
    assert_eq!(client.next().await.unwrap(), None);
}

/// The connection ends in good time.
async fn ended(served: JoinHandle<()>) {
    timeout(PATIENCE, served).await.unwrap().unwrap();
}

fn written(events: Vec<Event>) -> BytesMut {
    let mut bytes = BytesMut::new();
    for event in events {
        FrameCodec::new(wyoming::Limits::default())
            .encode((event, Form::Block), &mut bytes)
            .unwrap();
    }
    bytes
}
