//! Words that are looked for at a pause.

use super::*;

/// A buzz, or silence.
pub(super) fn sound(milliseconds: usize, level: i16) -> Event {
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

pub(super) async fn voice(client: &mut Client<DuplexStream>) {
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
