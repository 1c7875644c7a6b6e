//! Words that are told while speech goes on (`--transcript-streaming`).

use std::time::Duration;

use tests::{Server, Spoken, spoken, spoken_in_one_format};
use tokio::net::TcpStream;
use wyoming::{Client, Event};

use super::speculation::Streaming;

/// Everything up to the end of a transcript: chunks, joined, and the transcript.
async fn told(client: &mut Client<TcpStream>) -> (Vec<String>, String) {
    let (mut chunks, mut whole, mut has_begun) = (Vec::new(), None, false);
    loop {
        match client.next().await.unwrap().unwrap() {
            Event::TranscriptStart(start) => {
                assert!(!std::mem::replace(&mut has_begun, true), "it begins twice");
                assert_eq!(start.language.as_deref(), Some("en"));
            }
            Event::TranscriptChunk { text } => {
                assert!(has_begun && whole.is_none() && !text.is_empty());
                chunks.push(text);
            }
            Event::Transcript(transcript) => whole = Some(transcript.text),
            Event::TranscriptStop => return (chunks, whole.expect("a transcript before its end")),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn words_of_a_pause_come_before_the_end_of_audio_and_stay() {
    let server = Server::ready(&["--transcript-streaming"]).await;
    let mut asking = server.client().await;
    let info = asking.describe(Duration::from_secs(20)).await.unwrap();
    assert!(info.asr[0].supports_transcript_streaming);
    let [first, second] = spoken_in_one_format();
    let mut client = Streaming::to(&server, first.format).await;
    client.say(&first).await;
    client.pause(&server, 1).await;
    // The audio has not ended.
    let Event::TranscriptStart(_) = client.client.next().await.unwrap().unwrap() else {
        panic!("the first words begin a transcript");
    };
    let Event::TranscriptChunk { text: early } = client.client.next().await.unwrap().unwrap()
    else {
        panic!("words");
    };
    let words = first.words.trim_end_matches('.');
    assert_eq!(early, words);
    client.say(&second).await;
    let stop = Event::AudioStop { timestamp_ms: None };
    client.client.send(stop).await.unwrap();
    let (mut rest, mut whole) = (String::new(), String::new());
    loop {
        match client.client.next().await.unwrap().unwrap() {
            Event::TranscriptChunk { text } => rest.push_str(&text),
            Event::Transcript(transcript) => whole = transcript.text,
            Event::TranscriptStop => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(format!("{early}{rest}"), whole);
    assert!(whole.len() > first.words.len() + 5, "{whole}");
    // An upload has no pauses, and its words are told at once.
    let mut upload = Streaming::to(&server, first.format).await;
    upload.say(&first).await;
    let stop = Event::AudioStop { timestamp_ms: None };
    upload.client.send(stop).await.unwrap();
    let (chunks, transcript) = told(&mut upload.client).await;
    assert_eq!(
        (chunks, transcript),
        (vec![first.words.clone()], first.words.clone())
    );
}

#[tokio::test]
async fn of_long_audio_each_window_is_told() {
    let server = Server::ready(&["--transcript-streaming", "--window", "dynamic"]).await;
    let clips = spoken();
    let format = clips[0].format;
    let mut client = Streaming::to(&server, format).await;
    let mut sent = 0;
    let of_format: Vec<&Spoken> = clips.iter().filter(|clip| clip.format == format).collect();
    let long = 45 * format.rate_hz() as usize * 2 * usize::from(format.channels());
    for clip in of_format.iter().cycle() {
        client.say(clip).await;
        sent += clip.pcm.len();
        if sent > long {
            break;
        }
    }
    let stop = Event::AudioStop { timestamp_ms: None };
    client.client.send(stop).await.unwrap();
    let (chunks, whole) = told(&mut client.client).await;
    assert_eq!(chunks.concat(), whole);
    assert!(chunks.len() > 1, "{chunks:?}");
}
