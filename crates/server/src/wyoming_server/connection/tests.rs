//! Connections over a pipe in memory, and a recogniser that does as it is told.
//!
//! Where only timers matter, time is paused. Where the device's thread has a part it runs: a paused
//! clock would jump to the next deadline while that thread works.

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

#[tokio::test(flavor = "multi_thread")]
async fn utterances_sent_ahead_are_answered_in_order() {
    let bench = usual();
    let (mut client, _served) = bench.connect();
    speak(&mut client).await;
    bench.began();
    speak(&mut client).await;
    // Silence needs no device, and still waits for its turn.
    client.send(STOP).await.unwrap();
    bench.order(Order::Say("one"));
    bench.order(Order::Say("two"));
    for expected in ["one", "two", ""] {
        assert_eq!(words(&mut client).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_utterances_than_are_read_ahead_are_all_answered() {
    let bench = usual();
    let (mut client, _served) = bench.connect();
    for _ in 0..3 * MAX_PIPELINED {
        client.send(STOP).await.unwrap();
    }
    for _ in 0..3 * MAX_PIPELINED {
        assert_eq!(words(&mut client).await, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn describe_and_ping_are_answered_while_words_are_awaited() {
    let bench = usual();
    let (mut client, _served) = bench.connect();
    speak(&mut client).await;
    bench.began();
    let info = client.describe(PATIENCE).await.unwrap();
    assert_eq!(info.asr[0].models[0].languages, ["en"]);
    client.send(Event::Ping { text: None }).await.unwrap();
    let pong = client.next().await.unwrap();
    assert_eq!(pong, Some(Event::Pong { text: None }));
    bench.order(Order::Say("words"));
    let transcript = client.transcript().await.unwrap();
    assert_eq!(transcript.text, "words");
    assert_eq!(transcript.language.as_deref(), Some("en"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_told_and_costs_nobody_else_anything() {
    let bench = bench(limits(), QueueLimits { jobs: 1, ..roomy() });
    let (mut running, _) = bench.connect();
    speak(&mut running).await;
    bench.began();
    let (mut waiting, _) = bench.connect();
    speak(&mut waiting).await;
    while bench.load().queued == 0 {
        tokio::task::yield_now().await;
    }
    let (mut third, served) = bench.connect();
    speak(&mut third).await;
    refused(&mut third, Code::Overloaded).await;
    drop(third);
    ended(served).await;
    bench.order(Order::Say("one"));
    bench.order(Order::Say("two"));
    assert_eq!(words(&mut running).await, "one");
    assert_eq!(words(&mut waiting).await, "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_in_mid_audio_costs_no_work() {
    let bench = usual();
    let (mut client, served) = bench.connect();
    client.send(second()).await.unwrap();
    client.send(Event::Ping { text: None }).await.unwrap();
    client.next().await.unwrap();
    assert_eq!(bench.service.open_streams.load(Ordering::Relaxed), 1);
    drop(client);
    ended(served).await;
    assert_eq!(bench.service.open_streams.load(Ordering::Relaxed), 0);
    assert_eq!(bench.load().accepted_total, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_while_it_waits_frees_the_device() {
    let bench = usual();
    let (mut client, served) = bench.connect();
    speak(&mut client).await;
    bench.began();
    bench.order(Order::UntilCancelled);
    drop(client);
    ended(served).await;
    assert_eq!(bench.load().cancelled_total, 1);
    let (mut next, _served) = bench.connect();
    speak(&mut next).await;
    bench.order(Order::Say("next"));
    assert_eq!(words(&mut next).await, "next");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_only_stops_sending_gets_its_words() {
    let bench = usual();
    let (mut stream, served) = bench.pipe(PIPE_BYTES, Access::Full);
    stream
        .write_all(&written(vec![second(), STOP]))
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    bench.began();
    // Long enough to be taken for gone, if that were so.
    sleep(3 * GONE_CHECK).await;
    bench.order(Order::Say("still here"));
    let mut client = Client::new(stream);
    assert_eq!(words(&mut client).await, "still here");
    assert_eq!(client.next().await.unwrap(), None);
    drop(client);
    ended(served).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_in_recognition_is_told() {
    let bench = usual();
    for order in [Order::Fail, Order::Panic] {
        let (mut client, _served) = bench.connect();
        speak(&mut client).await;
        bench.order(order);
        refused(&mut client, Code::Internal).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_do_not_come_in_time_are_given_up() {
    let answer = Duration::from_millis(50);
    let bench = bench(Limits { answer, ..limits() }, roomy());
    let (mut client, _served) = bench.connect();
    bench.order(Order::UntilCancelled);
    speak(&mut client).await;
    refused(&mut client, Code::Deadline).await;
    assert_eq!(bench.load().finished_total, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_drains_closes_the_idle_and_spares_who_speaks() {
    let bench = usual();
    let (mut idle, idle_served) = bench.connect();
    let (mut speaking, speaking_served) = bench.connect();
    for client in [&mut idle, &mut speaking] {
        client.describe(PATIENCE).await.unwrap();
    }
    speaking.send(second()).await.unwrap();
    speaking.describe(PATIENCE).await.unwrap();
    bench.service.closing.cancel();
    assert_eq!(idle.next().await.unwrap(), None);
    // The client does not close its side, and is not waited for long.
    ended(idle_served).await;
    speaking.send(STOP).await.unwrap();
    bench.order(Order::Say("to the end"));
    assert_eq!(words(&mut speaking).await, "to the end");
    assert_eq!(speaking.next().await.unwrap(), None);
    ended(speaking_served).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_cut_tells_who_waits() {
    let bench = usual();
    let (mut client, _served) = bench.connect();
    speak(&mut client).await;
    bench.began();
    bench.order(Order::UntilCancelled);
    bench.service.abort.cancel();
    refused(&mut client, Code::Draining).await;
}

#[tokio::test(start_paused = true)]
async fn too_much_audio_is_told_after_all_of_it_was_taken() {
    let utterance = Duration::from_secs(2);
    let bench = bench(
        Limits {
            utterance,
            ..limits()
        },
        roomy(),
    );
    let (mut client, served) = bench.connect();
    for _ in 0..100 {
        client.send(second()).await.unwrap();
    }
    client.send(STOP).await.unwrap();
    refused(&mut client, Code::UtteranceTooLong).await;
    drop(client);
    ended(served).await;
    assert_eq!(bench.service.open_streams.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn audio_of_all_clients_together_is_bounded() {
    let bench = usual();
    let mut clients = Vec::new();
    for seconds in [8, 7] {
        let (mut client, served) = bench.connect();
        for _ in 0..seconds {
            client.send(second()).await.unwrap();
        }
        client.describe(PATIENCE).await.unwrap();
        clients.push((client, served));
    }
    let (mut late, served) = bench.connect();
    late.send(second()).await.unwrap();
    refused(&mut late, Code::Overloaded).await;
    drop(late);
    ended(served).await;
    // One who goes makes room.
    let (first, served) = clients.remove(0);
    drop(first);
    ended(served).await;
    let (mut next, _served) = bench.connect();
    next.send(second()).await.unwrap();
    next.describe(PATIENCE).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refused_client_is_heard_out_for_a_while() {
    let bench = usual();
    let (mut stream, served) = bench.pipe(PIPE_BYTES, Access::Full);
    let began = Instant::now();
    stream.write_all(b"GET / HTTP/1.1\n").await.unwrap();
    while stream.write_all(b"x").await.is_ok() {
        sleep(Duration::from_secs(1)).await;
    }
    let drain = limits().drain;
    assert!(began.elapsed() >= drain && began.elapsed() <= drain + Duration::from_secs(2));
    ended(served).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_client_is_not_heard_out_for_ever() {
    let bench = usual();
    let (mut stream, served) = bench.pipe(PIPE_BYTES, Access::Full);
    stream.write_all(b"[]\n").await.unwrap();
    let block = vec![0; PIPE_BYTES];
    let mut taken = 0;
    while stream.write_all(&block).await.is_ok() {
        taken += block.len() as u64;
    }
    assert!(taken >= DRAIN_BYTES && taken <= DRAIN_BYTES + 2 * PIPE_BYTES as u64);
    ended(served).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_no_answer_is_dropped() {
    let bench = usual();
    let (mut stream, served) = bench.pipe(64, Access::Full);
    let began = Instant::now();
    stream
        .write_all(&written(vec![Event::Describe]))
        .await
        .unwrap();
    ended(served).await;
    assert_eq!(began.elapsed().as_secs(), limits().write.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_idle_only_when_nothing_whole_comes() {
    let bench = usual();
    let (mut stream, served) = bench.pipe(PIPE_BYTES, Access::Full);
    let began = Instant::now();
    sleep(Duration::from_secs(200)).await;
    stream
        .write_all(&written(vec![Event::AudioStop { timestamp_ms: None }]))
        .await
        .unwrap();
    // A header that grows by a byte now and then is no event.
    for _ in 0..200 {
        sleep(Duration::from_secs(1)).await;
        stream.write_all(b" ").await.unwrap();
    }
    let mut client = Client::new(stream);
    assert_eq!(words(&mut client).await, "");
    refused(&mut client, Code::IdleTimeout).await;
    assert_eq!(began.elapsed().as_secs(), 500);
    drop(client);
    ended(served).await;
}

#[tokio::test(start_paused = true)]
async fn beyond_the_limit_of_connections_a_client_may_only_describe() {
    let bench = usual();
    let access = Access::DescribeOnly { limit: 2 };
    let (stream, _served) = bench.pipe(PIPE_BYTES, access);
    let mut client = Client::new(stream);
    client.describe(PATIENCE).await.unwrap();
    client.send(Event::Ping { text: None }).await.unwrap();
    let pong = client.next().await.unwrap();
    assert_eq!(pong, Some(Event::Pong { text: None }));
    client.send(second()).await.unwrap();
    refused(&mut client, Code::TooManyConnections).await;
}

#[tokio::test(start_paused = true)]
async fn a_place_of_the_reserve_is_not_kept() {
    let bench = usual();
    let access = Access::DescribeOnly { limit: 2 };
    let (stream, served) = bench.pipe(PIPE_BYTES, access);
    let began = Instant::now();
    refused(&mut Client::new(stream), Code::IdleTimeout).await;
    assert_eq!(began.elapsed().as_secs(), RESERVE_IDLE.as_secs());
    ended(served).await;
}

/// A buzz, or silence.
fn sound(milliseconds: usize, level: i16) -> Event {
    let samples = milliseconds * SAMPLE_RATE_HZ as usize / 1_000;
    let pcm = (0..samples).flat_map(|n| {
        let is_high = n / 16 % 2 == 0;
        (if is_high { level } else { -level }).to_le_bytes()
    });
    Event::AudioChunk(AudioChunk {
        format: AudioFormat::new(SAMPLE_RATE_HZ, 2, 1).unwrap(),
        timestamp_ms: None,
        pcm: pcm.collect(),
    })
}

async fn voice(client: &mut Client<DuplexStream>) {
    client.send(sound(500, 3_000)).await.unwrap();
}

impl Bench {
    /// The client is silent, as long as silence lasts, until the device has begun.
    async fn pause(&self, client: &mut Client<DuplexStream>) {
        for _ in 0..200 {
            client.send(sound(50, 0)).await.unwrap();
            sleep(Duration::from_millis(50)).await;
            if self.handle.batches.try_recv().is_ok() {
                return;
            }
        }
        panic!("nothing begins in 10 s of silence");
    }

    /// The device waits for work, after what it was ordered so far.
    async fn at_rest(&self) {
        while !self.service.queue.may_speculate() {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_begun_at_a_pause_are_there_when_the_audio_ends() {
    let bench = usual();
    let (mut client, _served) = bench.connect();
    voice(&mut client).await;
    bench.pause(&mut client).await;
    bench.order(Order::Say("ahead"));
    bench.at_rest().await;
    assert_eq!(bench.load().accepted_total, 0);
    client.send(sound(50, 0)).await.unwrap();
    client.send(STOP).await.unwrap();
    // Nothing else was ordered: the device could say nothing more.
    assert_eq!(words(&mut client).await, "ahead");
    let load = bench.load();
    assert_eq!((load.accepted_total, load.finished_total), (1, 1));
    assert!(bench.handle.batches.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_of_audio_that_comes_sooner_than_the_words_waits_for_them() {
    let bench = usual();
    let (mut client, _served) = bench.connect();
    voice(&mut client).await;
    bench.pause(&mut client).await;
    client.send(STOP).await.unwrap();
    while bench.load().running == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    bench.order(Order::Say("ahead"));
    assert_eq!(words(&mut client).await, "ahead");
    assert!(bench.handle.batches.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn speech_that_goes_on_is_transcribed_whole() {
    let bench = usual();
    let (mut client, _served) = bench.connect();
    voice(&mut client).await;
    bench.pause(&mut client).await;
    bench.order(Order::Say("half of it"));
    bench.at_rest().await;
    voice(&mut client).await;
    client.send(STOP).await.unwrap();
    bench.order(Order::Say("all of it"));
    assert_eq!(words(&mut client).await, "all of it");
    assert_eq!(bench.load().accepted_total, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn speech_that_goes_on_stops_what_was_begun() {
    let bench = usual();
    let (mut client, _served) = bench.connect();
    voice(&mut client).await;
    bench.pause(&mut client).await;
    bench.order(Order::UntilCancelled);
    voice(&mut client).await;
    // The audio has not ended, and the device is free again.
    bench.at_rest().await;
    bench.pause(&mut client).await;
    bench.order(Order::Say("all of it"));
    client.send(STOP).await.unwrap();
    assert_eq!(words(&mut client).await, "all of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_request_after_the_pause_is_done_as_it_asks() {
    let bench = usual();
    let (mut client, _served) = bench.connect();
    voice(&mut client).await;
    bench.pause(&mut client).await;
    bench.order(Order::Say("without the name"));
    bench.at_rest().await;
    let request = Transcribe {
        transcript_names: vec!["Zoë".to_owned()],
        ..Transcribe::default()
    };
    client.send(Event::Transcribe(request)).await.unwrap();
    client.send(STOP).await.unwrap();
    bench.order(Order::Say("with the name"));
    assert_eq!(words(&mut client).await, "with the name");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_heard_to_its_end_first() {
    let bench = usual();
    let (mut client, _served) = bench.connect();
    voice(&mut client).await;
    for _ in 0..20 {
        client.send(sound(50, 0)).await.unwrap();
    }
    client.send(STOP).await.unwrap();
    bench.began();
    let load = bench.load();
    assert_eq!((load.accepted_total, load.running), (1, 1));
    bench.order(Order::Say("once"));
    assert_eq!(words(&mut client).await, "once");
    assert!(bench.handle.batches.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_words_comes_before_who_pauses() {
    let bench = usual();
    let (mut pausing, _) = bench.connect();
    voice(&mut pausing).await;
    bench.pause(&mut pausing).await;
    bench.order(Order::UntilCancelled);
    let (mut waiting, _) = bench.connect();
    speak(&mut waiting).await;
    bench.began();
    bench.order(Order::Say("first"));
    assert_eq!(words(&mut waiting).await, "first");
    pausing.send(STOP).await.unwrap();
    bench.order(Order::Say("second"));
    assert_eq!(words(&mut pausing).await, "second");
    let load = bench.load();
    assert_eq!((load.accepted_total, load.finished_total), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_in_a_pause_frees_the_device() {
    let bench = usual();
    let (mut client, served) = bench.connect();
    voice(&mut client).await;
    bench.pause(&mut client).await;
    bench.order(Order::UntilCancelled);
    drop(client);
    ended(served).await;
    bench.at_rest().await;
    let load = bench.load();
    assert_eq!((load.accepted_total, load.cancelled_total), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_ahead_is_tried_again_when_the_audio_ends() {
    let bench = usual();
    for order in [Order::Fail, Order::Panic, Order::Forget] {
        let (mut client, _served) = bench.connect();
        voice(&mut client).await;
        bench.pause(&mut client).await;
        bench.order(order);
        bench.at_rest().await;
        client.send(STOP).await.unwrap();
        bench.began();
        bench.order(Order::Say("words"));
        assert_eq!(words(&mut client).await, "words");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_drains_spares_who_pauses() {
    let bench = usual();
    let (mut client, served) = bench.connect();
    voice(&mut client).await;
    bench.pause(&mut client).await;
    bench.service.closing.cancel();
    bench.order(Order::Say("ahead"));
    bench.at_rest().await;
    client.send(STOP).await.unwrap();
    assert_eq!(words(&mut client).await, "ahead");
    assert_eq!(client.next().await.unwrap(), None);
    ended(served).await;
}

#[tokio::test]
async fn the_names_of_a_request_that_comes_before_the_model_wait_for_it() {
    let queue = Queue::new(roomy(), Metrics::for_tests());
    let (tell, state) = watch::channel(ModelState::Loading);
    let service = service(limits(), queue, state);
    let request = Request::read(&Transcribe {
        transcript_names: vec!["Zoë".to_owned()],
        transcript_terms: vec!["Küche".to_owned()],
        ..Transcribe::default()
    })
    .unwrap();
    let none = service.options(&Request::default()).await.unwrap();
    assert_eq!(none.expected, None);
    let options = service.options(&request);
    let ready = async {
        yield_now().await;
        let vocabulary = Vocabulary::read(&whisper::Checkpoint::demo().unwrap()).unwrap();
        let loaded = Loaded {
            vocabulary: Some(Arc::new(vocabulary)),
            ..loaded()
        };
        tell.send_replace(ModelState::Ready(Arc::new(loaded)));
    };
    let (options, ()) = tokio::join!(options, ready);
    assert_eq!(options.unwrap().expected.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_tried_again_when_the_device_was_taken_before_it_had_begun() {
    // No worker: nothing begins.
    let queue = Queue::new(roomy(), Metrics::for_tests());
    let (_state, state) = watch::channel(ModelState::Ready(Arc::new(loaded())));
    let service = service(limits(), queue.clone(), state);
    let mut utterance = Utterance::begin(&service, &Arc::default());
    let mut heard = async |event: Event| {
        let Event::AudioChunk(chunk) = event else {
            panic!("{event:?}");
        };
        let format = PcmFormat::new(SAMPLE_RATE_HZ, 2, 1).unwrap();
        utterance.push(format, &chunk.pcm).unwrap();
        sleep(Duration::from_millis(50)).await;
        if utterance.due().is_some_and(|due| due <= Instant::now()) {
            utterance.speculate().await;
        }
    };
    heard(sound(500, 3_000)).await;
    while queue.may_speculate() {
        heard(sound(50, 0)).await;
    }
    let another = queue.submit(Input::new(Waveform::new(vec![0.1; 16_000]).unwrap()));
    heard(sound(50, 0)).await;
    drop(another.unwrap());
    assert!(queue.may_speculate());
    heard(sound(50, 0)).await;
    assert!(!queue.may_speculate());
}

/// The device's end of a connection over TCP, where the system tells what has become of the client.
async fn over_tcp(bench: &Bench) -> (Client<TcpStream>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap());
    let (accepted, client) = tokio::join!(listener.accept(), client);
    let (reader, writer) = accepted.unwrap().0.into_split();
    let service = Arc::clone(&bench.service);
    let served = tokio::spawn(serve(service, reader, writer, Access::Full));
    (Client::new(client.unwrap()), served)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_with_four_answers_pending_is_missed() {
    // With everything read, and with more than the system takes where nobody reads.
    for more in [0, 12] {
        let bench = usual();
        let (mut client, served) = over_tcp(&bench).await;
        for _ in 0..MAX_PIPELINED + more {
            client.send(second()).await.unwrap();
            client.send(STOP).await.unwrap();
        }
        bench.began();
        while bench.load().accepted_total < MAX_PIPELINED as u64 {
            sleep(Duration::from_millis(1)).await;
        }
        drop(client);
        timeout(3 * PROBE_EVERY, served).await.unwrap().unwrap();
        assert_eq!(bench.load().cancelled_total, MAX_PIPELINED as u64);
        bench.order(Order::UntilCancelled);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_sending_and_goes_later_is_missed() {
    let bench = usual();
    let (mut client, served) = over_tcp(&bench).await;
    client.send(second()).await.unwrap();
    client.send(STOP).await.unwrap();
    client.finish().await.unwrap();
    bench.began();
    sleep(2 * PROBE_EVERY).await;
    assert_eq!(bench.load().running, 1);
    drop(client);
    timeout(3 * PROBE_EVERY, served).await.unwrap().unwrap();
    assert_eq!(bench.load().cancelled_total, 1);
    bench.order(Order::UntilCancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_sending_gets_every_utterance_and_nothing_else() {
    let bench = usual();
    let (mut client, served) = over_tcp(&bench).await;
    let utterances = MAX_PIPELINED + 2;
    for _ in 0..utterances {
        client.send(second()).await.unwrap();
        client.send(STOP).await.unwrap();
    }
    client.finish().await.unwrap();
    bench.began();
    // Long enough to be taken for gone, if that were so.
    sleep(2 * PROBE_EVERY).await;
    for number in 0..utterances {
        bench.order(Order::Say("still here"));
        let event = client.next().await.unwrap();
        let Some(Event::Transcript(transcript)) = event else {
            panic!("{event:?} is answer {number}");
        };
        assert_eq!(transcript.text, "still here");
    }
    assert_eq!(client.next().await.unwrap(), None);
    ended(served).await;
}

/// Runs a client that uploads minutes of audio at once, and counts the turns of a neighbour on the
/// same thread meanwhile.
#[tokio::test]
async fn a_megabyte_of_low_audio_leaves_turns_for_others() {
    let utterance = Duration::from_mins(20);
    let bench = bench(
        Limits {
            utterance,
            ..limits()
        },
        roomy(),
    );
    let bench = Bench {
        service: Arc::new(Service {
            open_audio: Arc::new(AudioBudget::new(1_200)),
            ..Arc::into_inner(bench.service).unwrap()
        }),
        ..bench
    };
    let (mut client, _served) = bench.connect();
    let chunk = Event::AudioChunk(AudioChunk {
        format: AudioFormat::new(8_000, 1, 1).unwrap(),
        timestamp_ms: None,
        pcm: Bytes::from(vec![128; 1 << 20]),
    });
    client.send(chunk).await.unwrap();
    client.send(Event::Ping { text: None }).await.unwrap();
    let turns = async {
        for turns in 0_u32.. {
            yield_now().await;
            if turns == 100 {
                break;
            }
        }
    };
    tokio::select! {
        biased;
        _pong = client.next() => panic!("all of it was worked in less than a hundred turns"),
        () = turns => {}
    }
    assert!(matches!(
        client.next().await.unwrap(),
        Some(Event::Pong { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_recording_in_one_chunk_is_taken_up_to_the_limit_of_an_utterance() {
    let bench = usual();
    let recording = |seconds: usize| {
        Event::AudioChunk(AudioChunk {
            format: AudioFormat::new(48_000, 4, 2).unwrap(),
            timestamp_ms: None,
            pcm: Bytes::from(vec![0; seconds * 384_000]),
        })
    };
    let (mut client, _served) = bench.connect();
    client.send(recording(10)).await.unwrap();
    client.describe(PATIENCE).await.unwrap();
    assert_eq!(bench.service.open_streams.load(Ordering::Relaxed), 1);
    drop(client);
    let (mut client, _served) = bench.connect();
    client.send(recording(11)).await.unwrap();
    refused(&mut client, Code::UtteranceTooLong).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_utterance_is_not_transcribed_and_its_audio_is_free() {
    let bench = usual();
    let (mut client, _served) = bench.connect();
    let start = Event::AudioStart(wyoming::AudioStart {
        format: AudioFormat::new(SAMPLE_RATE_HZ, 2, 1).unwrap(),
        timestamp_ms: None,
    });
    // Together they are longer than an utterance, and than all may be.
    for _ in 0..4 {
        client.send(start.clone()).await.unwrap();
        for _ in 0..8 {
            client.send(second()).await.unwrap();
        }
    }
    client
        .send(Event::Transcribe(Transcribe::default()))
        .await
        .unwrap();
    for _ in 0..8 {
        client.send(second()).await.unwrap();
    }
    client.describe(PATIENCE).await.unwrap();
    assert_eq!(bench.service.open_streams.load(Ordering::Relaxed), 1);
    client.send(STOP).await.unwrap();
    bench.order(Order::Say("the last"));
    assert_eq!(words(&mut client).await, "the last");
    assert_eq!(bench.load().accepted_total, 1);
}

#[tokio::test(start_paused = true)]
async fn wherever_a_connection_waits_it_sees_the_drain() {
    let bench = usual();
    // One that was refused and keeps its socket, and goes on sending.
    let (mut refused, refused_served) = bench.pipe(PIPE_BYTES, Access::Full);
    refused.write_all(b"GET / HTTP/1.1\n").await.unwrap();
    // One that was refused in the reserve.
    let (mut late, late_served) = bench.pipe(PIPE_BYTES, Access::DescribeOnly { limit: 1 });
    late.write_all(b"[]\n").await.unwrap();
    // One that takes no answer.
    let (mut deaf, deaf_served) = bench.pipe(64, Access::Full);
    deaf.write_all(&written(vec![Event::Describe]))
        .await
        .unwrap();
    // One in the middle of an event, one that says nothing.
    let (mut slow, slow_served) = bench.pipe(PIPE_BYTES, Access::Full);
    slow.write_all(b"{\"type\": ").await.unwrap();
    let (idle, idle_served) = bench.pipe(PIPE_BYTES, Access::Full);
    sleep(Duration::from_millis(500)).await;
    let began = Instant::now();
    bench.service.closing.cancel();
    for served in [
        refused_served,
        late_served,
        deaf_served,
        slow_served,
        idle_served,
    ] {
        ended(served).await;
    }
    assert!(
        began.elapsed() <= 2 * CLOSE_PATIENCE,
        "{:?}",
        began.elapsed()
    );
    assert!(bench.service.unanswered.is_empty());
    drop((refused, late, deaf, slow, idle));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_utterance_is_unanswered_from_its_start_to_its_words() {
    let bench = usual();
    let (mut client, served) = bench.connect();
    client.describe(PATIENCE).await.unwrap();
    assert!(bench.service.unanswered.is_empty());
    client.send(second()).await.unwrap();
    client.describe(PATIENCE).await.unwrap();
    assert_eq!(bench.service.unanswered.len(), 1);
    client.send(STOP).await.unwrap();
    bench.began();
    client.describe(PATIENCE).await.unwrap();
    assert_eq!(bench.service.unanswered.len(), 1);
    bench.order(Order::Say("words"));
    assert_eq!(words(&mut client).await, "words");
    client.describe(PATIENCE).await.unwrap();
    assert!(bench.service.unanswered.is_empty());
    client.send(second()).await.unwrap();
    drop(client);
    ended(served).await;
    assert!(bench.service.unanswered.is_empty());
}
