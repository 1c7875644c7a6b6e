//! What one client, and all together, may do.

use super::*;

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
