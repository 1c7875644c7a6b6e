//! Models that cannot be loaded end the start with one line that says what to do.

use std::path::Path;

use tests::run;

async fn refused(model: &str) -> String {
    let output = run(&[
        "serve",
        "--uri",
        "tcp://127.0.0.1:0",
        "--admin",
        "off",
        "--model",
        model,
    ])
    .await;
    assert_eq!(output.status.code(), Some(69), "{model}");
    let said = String::from_utf8(output.stderr).unwrap();
    said.lines().last().unwrap_or_default().to_owned()
}

fn demo_without(file: &str, folder: &Path) {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/whisper/demo/model");
    for entry in std::fs::read_dir(demo).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if name != file {
            std::fs::copy(&path, folder.join(name)).unwrap();
        }
    }
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let said = refused("/no/such/model").await;
    assert!(said.contains("/no/such/model"), "{said}");
}

#[tokio::test]
async fn a_missing_file_is_named() {
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        let folder = tempfile::tempdir().unwrap();
        demo_without(file, folder.path());
        let said = refused(folder.path().to_str().unwrap()).await;
        assert!(said.contains(file), "{file}: {said}");
    }
}

#[tokio::test]
async fn damaged_weights_are_named() {
    let folder = tempfile::tempdir().unwrap();
    demo_without("", folder.path());
    let weights = folder.path().join("model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    let said = refused(folder.path().to_str().unwrap()).await;
    assert!(said.contains("model.safetensors"), "{said}");
}

#[tokio::test]
async fn a_wrong_shape_is_named() {
    let folder = tempfile::tempdir().unwrap();
    demo_without("", folder.path());
    let config = folder.path().join("config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(
        &config,
        text.replace(
            "\"max_target_positions\": 448",
            "\"max_target_positions\": 77",
        ),
    )
    .unwrap();
    let said = refused(folder.path().to_str().unwrap()).await;
    assert!(
        said.contains("decoder.embed_positions.weight")
            && said.contains("[448, 128]")
            && said.contains("[77, 128]"),
        "{said}"
    );
}

#[tokio::test]
async fn a_whole_folder_serves_as_the_built_in_model_does() {
    let folder = tempfile::tempdir().unwrap();
    demo_without("", folder.path());
    let model = folder.path().to_str().unwrap();
    let spoken = tests::spoken().remove(0);
    let output = run(&[
        "transcribe",
        "--model",
        model,
        spoken.path.to_str().unwrap(),
    ])
    .await;
    assert_eq!(
        String::from_utf8(output.stdout).unwrap().trim(),
        spoken.words
    );
}
