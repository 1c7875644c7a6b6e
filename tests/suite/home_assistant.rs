//! Clients with Home Assistant's two shapes, and its poll.

use std::time::{Duration, Instant};

use tests::{Server, Spoken, spoken};
use wyoming::{AudioChunk, AudioStart, Event, Transcribe};

/// What Home Assistant sends for one utterance, in 10 ms chunks.
fn upload(spoken: &Spoken) -> Vec<Event> {
    let format = spoken.format;
    let timestamp_ms = None;
    let mut events = vec![
        Event::Transcribe(Transcribe {
            language: Some("en".to_owned()),
            ..Transcribe::default()
        }),
        Event::AudioStart(AudioStart {
            format,
            timestamp_ms,
        }),
    ];
    let mut pcm = spoken.pcm.clone();
    while !pcm.is_empty() {
        let pcm = pcm.split_to(320.min(pcm.len()));
        events.push(Event::AudioChunk(AudioChunk {
            format,
            timestamp_ms,
            pcm,
        }));
    }
    events.push(Event::AudioStop { timestamp_ms });
    events
}

#[tokio::test]
async fn upload_then_read_gets_the_words() {
    let server = Server::ready(&["--window", "dynamic"]).await;
    let spoken = spoken().remove(0);
    let mut client = server.client().await;
    for event in upload(&spoken) {
        client.send(event).await.unwrap();
    }
    assert_eq!(client.transcript().await.unwrap().text, spoken.words);
}

#[tokio::test]
async fn reading_while_uploading_in_real_time_gets_the_words() {
    let server = Server::ready(&["--window", "dynamic"]).await;
    let spoken = spoken().remove(0);
    let mut client = server.client().await;
    for event in upload(&spoken) {
        client.send(event).await.unwrap();
        // Nothing may come before the audio has ended.
        let early = tokio::time::timeout(Duration::from_millis(2), client.next()).await;
        if let Ok(event) = early {
            let transcript = matches!(event, Ok(Some(Event::Transcript(_))));
            assert!(transcript, "{event:?}");
            return;
        }
    }
    assert_eq!(client.transcript().await.unwrap().text, spoken.words);
}

#[tokio::test]
async fn an_error_reaches_a_client_that_reads_only_after_its_upload() {
    let server = Server::ready(&["--max-utterance", "1"]).await;
    let spoken = spoken().remove(0);
    let mut client = server.client().await;
    for event in upload(&spoken) {
        client.send(event).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let event = client.next().await.unwrap();
    let Some(Event::Error(error)) = event else {
        panic!("{event:?}");
    };
    assert_eq!(error.code.as_deref(), Some("utterance-too-long"));
    assert_eq!(client.next().await.unwrap(), None);
}

#[tokio::test]
async fn describe_is_answered_within_a_second_under_load() {
    let server = Server::ready(&["--max-waiting", "64"]).await;
    let spoken = spoken().remove(0);
    let mut clients = Vec::new();
    for _ in 0..24 {
        let mut client = server.client().await;
        for event in upload(&spoken) {
            client.send(event).await.unwrap();
        }
        clients.push(client);
    }
    for _ in 0..10 {
        let start = Instant::now();
        server
            .client()
            .await
            .describe(Duration::from_secs(5))
            .await
            .unwrap();
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "{:?}",
            start.elapsed()
        );
    }
    for client in &mut clients {
        assert_eq!(client.transcript().await.unwrap().text, spoken.words);
    }
}
