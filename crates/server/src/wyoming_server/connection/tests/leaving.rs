//! Clients that go, and those that only stop sending.

use super::*;

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
    // With everything read, and with more than the system takes where the client does not read.
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
