//! Utterances that the server ends by itself.

use super::pauses::{sound, voice};
use super::*;

/// It ends an utterance after half a second of silence. Whatever sounds is speech to it.
fn endpointing() -> Bench {
    let bench = usual();
    let service = Arc::into_inner(bench.service).unwrap();
    Bench {
        service: Arc::new(Service {
            endpoint_after: Some(Duration::from_millis(500)),
            options: Options {
                speech_threshold: Some(0.0),
                ..service.options.clone()
            },
            ..service
        }),
        ..bench
    }
}

/// The client is silent, and sends it as it comes, until something is answered.
async fn silent_until_answered(client: &mut Client<DuplexStream>) -> Event {
    for _ in 0..200 {
        client.send(sound(50, 0)).await.unwrap();
        if let Ok(answer) = timeout(Duration::from_millis(50), client.next()).await {
            return answer.unwrap().unwrap();
        }
    }
    panic!("no answer in 10 s of silence");
}

fn said(answer: Event) -> String {
    match answer {
        Event::Transcript(transcript) => transcript.text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_come_without_an_end_of_audio_and_once() {
    let bench = endpointing();
    assert!(!bench.service.info().asr[0].requires_external_vad);
    let (mut client, _served) = bench.connect();
    for text in ["first", "second"] {
        client
            .send(Event::Transcribe(Transcribe::default()))
            .await
            .unwrap();
        voice(&mut client).await;
        bench.order(Order::Say(text));
        assert_eq!(said(silent_until_answered(&mut client).await), text);
        // What comes of it before the client has seen the words is no utterance.
        voice(&mut client).await;
        client.send(STOP).await.unwrap();
    }
    client.send(Event::Ping { text: None }).await.unwrap();
    assert_eq!(
        client.next().await.unwrap(),
        Some(Event::Pong { text: None })
    );
    let load = bench.load();
    assert_eq!((load.accepted_total, load.finished_total), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn words_begun_at_the_pause_are_those_of_the_end() {
    let bench = endpointing();
    let (mut client, _served) = bench.connect();
    voice(&mut client).await;
    // For the pause of 0.3 s. There is no second order for the end.
    bench.order(Order::Say("ahead"));
    assert_eq!(said(silent_until_answered(&mut client).await), "ahead");
    assert_eq!(bench.load().accepted_total, 1);
    bench.began();
    assert!(bench.handle.batches.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_is_uploaded_has_one_answer_for_all_of_it() {
    let bench = endpointing();
    let (mut client, _served) = bench.connect();
    for _ in 0..3 {
        voice(&mut client).await;
        client.send(sound(1_500, 0)).await.unwrap();
    }
    client.send(STOP).await.unwrap();
    bench.order(Order::Say("all of it"));
    assert_eq!(words(&mut client).await, "all of it");
    assert_eq!(bench.load().accepted_total, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_nothing_waits_for_the_client() {
    let bench = usual();
    assert!(bench.service.info().asr[0].requires_external_vad);
    let (mut client, _served) = bench.connect();
    voice(&mut client).await;
    bench.order(Order::Say("ahead"));
    for _ in 0..30 {
        client.send(sound(50, 0)).await.unwrap();
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(bench.load().accepted_total, 0);
    client.send(STOP).await.unwrap();
    assert_eq!(words(&mut client).await, "ahead");
}
