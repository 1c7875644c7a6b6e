//! Models by their hub id, from a hub on the loopback address.

use std::path::{Path, PathBuf};
use std::process::Output;

use tests::hub::{COMMIT, Hub};
use tests::run;

/// A model of which only the names matter.
async fn hub() -> Hub {
    let hub = Hub::start().await;
    for file in ["config.json", "tokenizer.json", "generation_config.json"] {
        hub.small(file, format!("{{\"file\": \"{file}\"}}"));
    }
    hub.large("model.safetensors", weights());
    hub
}

fn weights() -> Vec<u8> {
    (0..300_000_u32).map(|index| (index % 251) as u8).collect()
}

async fn pull(hub: &Hub, cache: &Path, more: &[&str]) -> Output {
    let cache = cache.to_str().unwrap();
    let mut arguments = vec![
        "model",
        "pull",
        "owner/name",
        "--download-dir",
        cache,
        "--hf-endpoint",
        hub.endpoint(),
        "--hf-home",
        "/no/such/home",
    ];
    arguments.extend(more);
    run(&arguments).await
}

fn folder(output: &Output) -> PathBuf {
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{}", complaint(output));
    PathBuf::from(said.trim())
}

fn complaint(output: &Output) -> String {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    said.lines().last().unwrap_or_default().to_owned()
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(69), "{}", complaint(output));
    complaint(output)
}

#[tokio::test]
async fn a_pulled_model_lies_where_other_tools_look_for_it() {
    let (hub, cache) = (hub().await, tempfile::tempdir().unwrap());
    let files = folder(&pull(&hub, cache.path(), &[]).await);
    let model = cache.path().join("models--owner--name");
    assert_eq!(files, model.join("snapshots").join(COMMIT));
    assert_eq!(
        std::fs::read(files.join("model.safetensors")).unwrap(),
        weights()
    );
    assert_eq!(
        std::fs::read_to_string(model.join("refs/main")).unwrap(),
        COMMIT
    );
    let blob = model.join("blobs").join(hub.sum("model.safetensors"));
    assert_eq!(
        files.join("model.safetensors").canonicalize().unwrap(),
        blob.canonicalize().unwrap()
    );
    let absent = model
        .join(".no_exist")
        .join(COMMIT)
        .join("preprocessor_config.json");
    assert!(absent.is_file());
}

#[tokio::test]
async fn a_second_pull_fetches_nothing_again() {
    let (hub, cache) = (hub().await, tempfile::tempdir().unwrap());
    folder(&pull(&hub, cache.path(), &[]).await);
    hub.asked();
    folder(&pull(&hub, cache.path(), &[]).await);
    let asked = hub.asked();
    assert!(
        asked.iter().all(|request| request.starts_with("HEAD ")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_download_that_is_cut_off_goes_on_where_it_was() {
    let (hub, cache) = (hub().await, tempfile::tempdir().unwrap());
    hub.cut("model.safetensors", &[100_000, 50_000]);
    let files = folder(&pull(&hub, cache.path(), &[]).await);
    assert_eq!(
        std::fs::read(files.join("model.safetensors")).unwrap(),
        weights()
    );
    let asked = hub.asked();
    let ranges: Vec<&str> = asked
        .iter()
        .filter_map(|request| request.strip_prefix("GET model.safetensors"))
        .collect();
    assert_eq!(ranges, ["", " bytes=100000-", " bytes=150000-"]);
}

#[tokio::test]
async fn a_download_that_does_not_get_on_ends_and_the_next_run_goes_on() {
    let (hub, cache) = (hub().await, tempfile::tempdir().unwrap());
    hub.cut("model.safetensors", &[100_000, 0, 0, 0, 0]);
    let said = refused(&pull(&hub, cache.path(), &[]).await);
    assert!(
        said.contains("cut off after 100000 bytes of 300000") && said.contains("goes on"),
        "{said}"
    );
    hub.asked();
    folder(&pull(&hub, cache.path(), &[]).await);
    assert!(
        hub.asked()
            .contains(&"GET model.safetensors bytes=100000-".to_owned())
    );
}

#[tokio::test]
async fn what_an_earlier_run_left_is_used() {
    let (hub, cache) = (hub().await, tempfile::tempdir().unwrap());
    let blobs = cache.path().join("models--owner--name/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    let part = blobs.join(format!("{}.incomplete", hub.sum("model.safetensors")));
    std::fs::write(&part, &weights()[..123_456]).unwrap();
    let files = folder(&pull(&hub, cache.path(), &[]).await);
    assert_eq!(
        std::fs::read(files.join("model.safetensors")).unwrap(),
        weights()
    );
    assert!(
        hub.asked()
            .contains(&"GET model.safetensors bytes=123456-".to_owned())
    );
    assert!(!part.exists());
}

#[tokio::test]
async fn what_an_earlier_run_left_of_something_else_is_thrown_away() {
    let (hub, cache) = (hub().await, tempfile::tempdir().unwrap());
    let blobs = cache.path().join("models--owner--name/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    let part = blobs.join(format!("{}.incomplete", hub.sum("model.safetensors")));
    for left in [vec![9; 1_000], vec![9; 400_000]] {
        std::fs::write(&part, left).unwrap();
        let files = folder(&pull(&hub, cache.path(), &[]).await);
        assert_eq!(
            std::fs::read(files.join("model.safetensors")).unwrap(),
            weights()
        );
        std::fs::remove_dir_all(cache.path().join("models--owner--name/snapshots")).unwrap();
        std::fs::remove_file(blobs.join(hub.sum("model.safetensors"))).unwrap();
    }
}

#[tokio::test]
async fn a_hub_without_ranges_still_gives_whole_files() {
    let (hub, cache) = (hub().await, tempfile::tempdir().unwrap());
    hub.without_ranges("model.safetensors");
    hub.cut("model.safetensors", &[100_000]);
    let files = folder(&pull(&hub, cache.path(), &[]).await);
    assert_eq!(
        std::fs::read(files.join("model.safetensors")).unwrap(),
        weights()
    );
}

#[tokio::test]
async fn shards_come_with_their_index() {
    let (hub, cache) = (Hub::start().await, tempfile::tempdir().unwrap());
    hub.small("config.json", "{}");
    hub.small("tokenizer.json", "{}");
    hub.small(
        "model.safetensors.index.json",
        r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#,
    );
    hub.large("model-1.safetensors", "one");
    hub.large("model-2.safetensors", "two");
    let files = folder(&pull(&hub, cache.path(), &[]).await);
    for (shard, text) in [
        ("model-1.safetensors", "one"),
        ("model-2.safetensors", "two"),
    ] {
        assert_eq!(std::fs::read_to_string(files.join(shard)).unwrap(), text);
    }
}

#[tokio::test]
async fn models_of_ctranslate2_come_with_their_words() {
    for words in ["tokenizer.json", "vocabulary.json", "vocabulary.txt"] {
        let (hub, cache) = (Hub::start().await, tempfile::tempdir().unwrap());
        hub.small("config.json", "{}");
        hub.small(words, "words");
        hub.large("model.bin", weights());
        let files = folder(&pull(&hub, cache.path(), &[]).await);
        assert_eq!(std::fs::read(files.join("model.bin")).unwrap(), weights());
        let read = std::fs::read_to_string(files.join(words)).unwrap();
        assert_eq!(read, "words", "{words}");
        // Nothing is left to ask for, so a start needs no network.
        hub.asked();
        let offline = run(&[
            "serve",
            "--uri",
            "tcp://127.0.0.1:0",
            "--admin",
            "off",
            "--model",
            "owner/name",
            "--download-dir",
            cache.path().to_str().unwrap(),
            "--hf-endpoint",
            hub.endpoint(),
        ])
        .await;
        let said = refused(&offline);
        assert!(said.contains("model.bin"), "{said}");
        assert!(hub.asked().is_empty(), "{words}");
    }
}

#[tokio::test]
async fn words_may_come_in_two_files() {
    let (hub, cache) = (Hub::start().await, tempfile::tempdir().unwrap());
    for file in [
        "config.json",
        "vocab.json",
        "merges.txt",
        "added_tokens.json",
    ] {
        hub.small(file, file);
    }
    hub.large("model.safetensors", weights());
    let files = folder(&pull(&hub, cache.path(), &[]).await);
    for file in ["vocab.json", "merges.txt", "added_tokens.json"] {
        assert_eq!(std::fs::read_to_string(files.join(file)).unwrap(), file);
    }
}

#[tokio::test]
async fn damaged_files_are_thrown_away() {
    let (hub, cache) = (hub().await, tempfile::tempdir().unwrap());
    hub.damage("model.safetensors");
    let said = refused(&pull(&hub, cache.path(), &[]).await);
    assert!(
        said.contains("model.safetensors") && said.contains("damaged"),
        "{said}"
    );
    let blobs = cache.path().join("models--owner--name/blobs");
    let names: Vec<_> = std::fs::read_dir(blobs)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    let sum = hub.sum("model.safetensors");
    assert!(
        !names
            .iter()
            .any(|name| name.to_str().unwrap().contains(&sum)),
        "{names:?}"
    );
}

#[tokio::test]
async fn what_the_hub_has_not_is_named() {
    let (hub, cache) = (hub().await, tempfile::tempdir().unwrap());
    let said = refused(&pull(&hub, cache.path(), &["--revision", "v9"]).await);
    assert!(said.contains("v9") && said.contains("--revision"), "{said}");

    let other = run(&[
        "model",
        "pull",
        "owner/other",
        "--download-dir",
        cache.path().to_str().unwrap(),
        "--hf-endpoint",
        hub.endpoint(),
    ])
    .await;
    let said = refused(&other);
    assert!(said.contains("owner/other"), "{said}");

    let bare = Hub::start().await;
    bare.small("config.json", "{}");
    bare.small("tokenizer.json", "{}");
    let said = refused(&pull(&bare, cache.path(), &[]).await);
    assert!(
        said.contains("model.safetensors") && said.contains("owner/name"),
        "{said}"
    );
}

#[tokio::test]
async fn a_private_model_needs_its_token_and_only_the_hub_sees_it() {
    let (hub, cache) = (hub().await, tempfile::tempdir().unwrap());
    hub.require_token("hf_right");
    let said = refused(&pull(&hub, cache.path(), &[]).await);
    assert!(said.contains("401") && said.contains("HF_TOKEN"), "{said}");
    let said = refused(&pull(&hub, cache.path(), &["--hf-token", "hf_wrong"]).await);
    assert!(
        said.contains("token may read") && !said.contains("hf_wrong"),
        "{said}"
    );
    folder(&pull(&hub, cache.path(), &["--hf-token", "hf_right"]).await);
    assert_eq!(hub.tokens_at_store(), 0);
}

#[tokio::test]
async fn a_token_in_the_home_of_the_hubs_tools_is_used() {
    let (hub, home) = (hub().await, tempfile::tempdir().unwrap());
    hub.require_token("hf_stored");
    std::fs::write(home.path().join("token"), "hf_stored\n").unwrap();
    let output = run(&[
        "model",
        "pull",
        "owner/name",
        "--hf-endpoint",
        hub.endpoint(),
        "--hf-home",
        home.path().to_str().unwrap(),
    ])
    .await;
    assert!(folder(&output).starts_with(home.path().join("hub")));
}

#[tokio::test]
async fn no_network_says_so() {
    let cache = tempfile::tempdir().unwrap();
    let gone = Hub::start().await.endpoint().to_owned();
    let output = run(&[
        "model",
        "pull",
        "owner/name",
        "--download-dir",
        cache.path().to_str().unwrap(),
        "--hf-endpoint",
        &gone,
    ])
    .await;
    let said = refused(&output);
    assert!(
        said.contains(&gone) && said.contains("cannot be reached"),
        "{said}"
    );
}

#[tokio::test]
async fn a_hub_in_trouble_says_so() {
    let (hub, cache) = (hub().await, tempfile::tempdir().unwrap());
    hub.fail(axum::http::StatusCode::SERVICE_UNAVAILABLE);
    let said = refused(&pull(&hub, cache.path(), &[]).await);
    assert!(said.contains("503"), "{said}");
    assert!(hub.asked().len() > 1, "a busy hub is asked again");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let hub = hub().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let said = refused(&pull(&hub, file.path(), &[]).await);
    assert!(
        said.contains(file.path().to_str().unwrap()) && said.contains("--download-dir"),
        "{said}"
    );
}

#[tokio::test]
async fn a_mirror_may_redirect_to_its_own_address() {
    let (hub, cache) = (hub().await, tempfile::tempdir().unwrap());
    hub.keep_large_files();
    let files = folder(&pull(&hub, cache.path(), &[]).await);
    assert_eq!(
        std::fs::read(files.join("model.safetensors")).unwrap(),
        weights()
    );
    let blobs = cache.path().join("models--owner--name/blobs");
    assert!(blobs.join(hub.sum("model.safetensors")).exists());
}

/// Two servers of a fleet that start on one volume.
#[tokio::test]
async fn two_pulls_at_once_leave_one_whole_model() {
    let (hub, cache) = (hub().await, tempfile::tempdir().unwrap());
    let (one, other) = tokio::join!(pull(&hub, cache.path(), &[]), pull(&hub, cache.path(), &[]));
    for output in [one, other] {
        let files = folder(&output);
        assert_eq!(
            std::fs::read(files.join("model.safetensors")).unwrap(),
            weights()
        );
        assert!(std::fs::read_link(files.join("model.safetensors")).is_ok());
    }
    let blobs = cache.path().join("models--owner--name/blobs");
    assert!(blobs.join(hub.sum("model.safetensors")).exists());
}

/// A hub behind a firewall that accepts and says nothing: what is there must start soon without what is not needed.
#[tokio::test]
async fn a_hub_that_never_answers_costs_seconds_when_only_optional_files_are_missing() {
    let (hub, cache) = (hub().await, tempfile::tempdir().unwrap());
    let files = folder(&pull(&hub, cache.path(), &[]).await);
    std::fs::remove_file(files.join("generation_config.json")).unwrap();
    std::fs::remove_dir_all(cache.path().join("models--owner--name/.no_exist")).ok();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let held = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(silent.accept().await.unwrap());
        }
    });
    let spoken = tests::spoken().remove(0);
    let began = std::time::Instant::now();
    let output = run(&[
        "transcribe",
        "--model",
        "owner/name",
        "--hf-endpoint",
        &endpoint,
        "--download-dir",
        cache.path().to_str().unwrap(),
        spoken.path.to_str().unwrap(),
    ])
    .await;
    let took = began.elapsed();
    held.abort();
    // The files of this model are no checkpoint; that they are opened at all is what counts.
    let said = refused(&output);
    assert!(said.contains(cache.path().to_str().unwrap()), "{said}");
    assert!(took < std::time::Duration::from_secs(15), "{took:?}");
}

#[tokio::test]
async fn a_cache_without_references_is_used_offline() {
    let (hub, cache) = (hub().await, tempfile::tempdir().unwrap());
    let files = folder(&pull(&hub, cache.path(), &[]).await);
    std::fs::remove_dir_all(cache.path().join("models--owner--name/refs")).unwrap();
    let spoken = tests::spoken().remove(0);
    let output = run(&[
        "transcribe",
        "--model",
        "owner/name",
        "--offline",
        "--download-dir",
        cache.path().to_str().unwrap(),
        spoken.path.to_str().unwrap(),
    ])
    .await;
    let said = refused(&output);
    assert!(said.contains(files.to_str().unwrap()), "{said}");
}

#[tokio::test]
async fn a_model_in_the_cache_needs_no_network() {
    let (hub, cache) = (Hub::start().await, tempfile::tempdir().unwrap());
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/whisper/demo/model");
    for entry in std::fs::read_dir(demo).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        hub.large(name, std::fs::read(&path).unwrap());
    }
    let spoken = tests::spoken().remove(0);
    let common = [
        "transcribe",
        "--model",
        "owner/name",
        "--hf-endpoint",
        hub.endpoint(),
        "--download-dir",
        cache.path().to_str().unwrap(),
        spoken.path.to_str().unwrap(),
    ];
    let offline = run(&[&common[..], &["--offline"]].concat()).await;
    let said = complaint(&offline);
    assert!(
        said.contains("owner/name") && said.contains("--offline"),
        "{said}"
    );
    assert_eq!(hub.asked(), [] as [&str; 0]);

    // The first use fetches; the second asks no hub.
    for asks in [true, false] {
        let output = run(&common).await;
        assert_eq!(
            String::from_utf8(output.stdout).unwrap().trim(),
            spoken.words
        );
        assert_eq!(!hub.asked().is_empty(), asks);
    }
    let offline = run(&[&common[..], &["--offline"]].concat()).await;
    assert!(offline.status.success());
}
