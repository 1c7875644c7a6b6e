//! Checkpoints of other forms than the demo's, from a folder of any name.

use std::path::Path;
use std::time::Duration;

use tests::Server;
use whisper::testing::{CTranslate2, Precision, StoredWords, TinyCheckpoint};

/// What a client learns that asks as soon as the port is open.
async fn languages_at_once(folder: &Path) -> Vec<String> {
    let mut server = Server::listening(&["--model", folder.to_str().unwrap()]).await;
    let mut client = server.client().await;
    let at_once = client.describe(Duration::from_secs(5)).await.unwrap();
    server.line("ready: ").await;
    let later = client.describe(Duration::from_secs(5)).await.unwrap();
    assert_eq!(at_once, later);
    at_once.asr[0].models[0].languages.clone()
}

#[tokio::test]
async fn languages_are_those_of_the_model_from_the_first_second() {
    let parent = tempfile::tempdir().unwrap();
    let kind = CTranslate2::Float(Precision::F16);
    for (name, tiny, expected) in [
        // Names that would say something else.
        (
            "whisper-tiny.en",
            TinyCheckpoint::multilingual(),
            &["de", "en", "fr"][..],
        ),
        ("kitchen", TinyCheckpoint::english(), &["en"]),
    ] {
        let folder = parent.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        tiny.write(&folder).unwrap();
        assert_eq!(languages_at_once(&folder).await, expected, "{name}");
        let folder = parent.path().join(format!("{name}-ct2"));
        std::fs::create_dir(&folder).unwrap();
        tiny.write_ctranslate2(&folder, kind, StoredWords::Text)
            .unwrap();
        assert_eq!(languages_at_once(&folder).await, expected, "{name}-ct2");
    }
}
