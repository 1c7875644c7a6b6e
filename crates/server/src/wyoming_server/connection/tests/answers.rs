//! Which client gets which answer, in which order.

use super::*;

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
