//! Spoken audio through the port, in every shape that clients send.

use bytes::Bytes;
use tests::{Server, spoken};
use wyoming::{AudioFormat, Transcribe};

const LANGUAGE: Transcribe = Transcribe {
    name: None,
    language: None,
    context: None,
    vad_sensitivity: None,
    transcript_names: Vec::new(),
    transcript_terms: Vec::new(),
};

#[tokio::test]
async fn each_spoken_fixture_gives_its_words() {
    let server = Server::ready(&[]).await;
    for spoken in spoken() {
        let transcript = server.understands(&spoken, 2_048).await;
        assert_eq!(transcript.language.as_deref(), Some("en"));
    }
}

#[tokio::test]
async fn the_other_windows_give_the_same_words() {
    for window in ["exact", "dynamic"] {
        let server = Server::ready(&["--window", window]).await;
        for spoken in spoken() {
            server.understands(&spoken, 2_048).await;
        }
    }
}

#[tokio::test]
async fn chunks_of_any_size_give_the_same_words() {
    let server = Server::ready(&["--window", "dynamic"]).await;
    let spoken = spoken().remove(0);
    for size in [161, 51, 69, 13, 1] {
        server.understands(&spoken, size).await;
    }
}

#[tokio::test]
async fn one_connection_carries_several_utterances() {
    let server = Server::ready(&["--window", "dynamic"]).await;
    let mut client = server.client().await;
    for spoken in spoken() {
        let transcript = client
            .transcribe_pcm(LANGUAGE, spoken.format, spoken.pcm, 4_096)
            .await
            .unwrap();
        assert_eq!(transcript.text, spoken.words);
    }
}

#[tokio::test]
async fn silence_and_noise_are_empty() {
    let server = Server::ready(&[]).await;
    let format = AudioFormat::new(16_000, 2, 1).unwrap();
    let mut state = 1_u32;
    let noise: Vec<u8> = (0..64_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // The low byte of each sample is full noise, the high byte a few bits of it.
            (state >> 28) as u8
        })
        .collect();
    for pcm in [vec![], vec![0; 64_000], noise] {
        let transcript = server
            .client()
            .await
            .transcribe_pcm(LANGUAGE, format, Bytes::from(pcm), 3_200)
            .await
            .unwrap();
        assert_eq!(transcript.text, "");
    }
}

#[tokio::test]
async fn the_loudest_possible_audio_is_answered() {
    let server = Server::ready(&["--window", "dynamic"]).await;
    for (rate, width, byte) in [
        (16_000, 2, 0x7F),
        (8_000, 1, 0xFF),
        (44_100, 3, 0x80),
        (48_000, 4, 0xFF),
    ] {
        let format = AudioFormat::new(rate, width, 1).unwrap();
        let pcm = Bytes::from(vec![byte; 100_000]);
        let answer = server
            .client()
            .await
            .transcribe_pcm(LANGUAGE, format, pcm, 5_000)
            .await;
        assert!(answer.is_ok(), "{answer:?}");
    }
}
