//! Words that are told before all of them are there, as events.

use super::*;

fn telling() -> Bench {
    let bench = usual();
    Bench {
        service: Arc::new(Service {
            tells_words: true,
            ..Arc::into_inner(bench.service).unwrap()
        }),
        ..bench
    }
}

/// The kinds and texts of the next events.
async fn next(client: &mut Client<DuplexStream>, count: usize) -> Vec<(String, String)> {
    let mut events = Vec::new();
    for _ in 0..count {
        let event = client.next().await.unwrap().unwrap();
        let text = match &event {
            Event::Transcript(transcript) => transcript.text.clone(),
            Event::TranscriptChunk { text } => text.clone(),
            _ => String::new(),
        };
        events.push((event.kind().to_owned(), text));
    }
    events
}

fn events(events: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = events
        .iter()
        .map(|(kind, text)| ((*kind).to_owned(), (*text).to_owned()));
    owned.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_utterance_has_a_start_its_words_and_a_stop() {
    let bench = telling();
    let (mut client, _served) = bench.connect();
    let info = client.describe(PATIENCE).await.unwrap();
    assert!(info.asr[0].supports_transcript_streaming);
    speak(&mut client).await;
    bench.began();
    speak(&mut client).await;
    // Nothing was said.
    client.send(STOP).await.unwrap();
    bench.order(Order::Say("one"));
    bench.order(Order::Say("two"));
    for words in ["one", "two"] {
        let expected = [
            ("transcript-start", ""),
            ("transcript-chunk", words),
            ("transcript", words),
            ("transcript-stop", ""),
        ];
        assert_eq!(next(&mut client, 4).await, events(&expected));
    }
    let expected = [
        ("transcript-start", ""),
        ("transcript", ""),
        ("transcript-stop", ""),
    ];
    assert_eq!(next(&mut client, 3).await, events(&expected));
}
