//! What cannot be loaded or computed is refused with an error that names the file, the tensor or the row.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::{collections::HashMap, error::Error, fs, path::Path};

use candle_core::{Device, Tensor};
use serde_json::{Value, json};
use whisper::{
    Checkpoint, EmbeddedFiles, LoadError, MelExtractor, Model, ModelError, Prefill,
    testing::TinyCheckpoint,
};

#[test]
fn undamaged_checkpoint_loads() {
    load(|_| {}).unwrap();
}

#[test]
fn missing_files_are_named() {
    let gone = Checkpoint::open(Path::new("/nowhere/at/all")).unwrap_err();
    assert!(matches!(gone, LoadError::DirectoryMissing { .. }), "{gone}");
    check(|dir| remove(dir, "config.json"), "config.json is missing");
    check(
        |dir| remove(dir, "tokenizer.json"),
        "tokenizer.json is missing: the words of a checkpoint are in this file, or in vocab.json and merges.txt",
    );
    check(
        |dir| remove(dir, "model.safetensors"),
        "model.safetensors is missing: the folder has no weights of a form that is read",
    );
}

#[test]
fn files_that_old_checkpoints_lack_may_be_missing() {
    let model = load(|dir| {
        remove(dir, "generation_config.json");
        remove(dir, "preprocessor_config.json");
    });
    model.unwrap();
}

#[test]
fn config_says_what_a_missing_generation_config_would() {
    let directory = tempfile::tempdir().unwrap();
    let tiny = TinyCheckpoint::multilingual();
    tiny.write(directory.path()).unwrap();
    remove(directory.path(), "generation_config.json");
    edit(directory.path(), "config.json", |config| {
        config["suppress_tokens"] = json!([3, -1]);
        config["begin_suppress_tokens"] = Value::Null;
    });
    let checkpoint = Checkpoint::open(directory.path()).unwrap();
    let generation = checkpoint.generation();
    assert_eq!(
        generation.eos_token_id,
        tiny.token("<|endoftext|>").into_iter().collect::<Vec<_>>()
    );
    assert_eq!(
        generation.decoder_start_token_id,
        tiny.token("<|startoftranscript|>")
    );
    assert_eq!(generation.suppress_tokens, Some(vec![3, -1]));
    assert_eq!(generation.begin_suppress_tokens, None);
    assert_eq!(generation.lang_to_id, None);
    assert_eq!(checkpoint.config().suppress_tokens, [3]);
}

#[test]
fn damaged_json_is_named_with_its_cause() {
    for name in [
        "config.json",
        "generation_config.json",
        "preprocessor_config.json",
    ] {
        let error = load(|dir| fs::write(dir.join(name), "{ \"d_model\": ").unwrap()).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert!(
            error.source().unwrap().to_string().contains("EOF"),
            "{error:?}"
        );
    }
    check(
        |dir| set(dir, "config.json", "d_model", &json!("wide")),
        "config.json is not valid",
    );
}

#[test]
fn other_models_and_impossible_sizes_are_refused() {
    for (field, value, message) in [
        (
            "model_type",
            json!("bart"),
            "model_type is bart, which should be whisper",
        ),
        (
            "activation_function",
            json!("relu"),
            "activation_function is relu, which should be gelu",
        ),
        ("encoder_layers", json!(0), "encoder_layers is 0"),
        ("d_model", json!(1_u64 << 40), "d_model is 1099511627776"),
        (
            "decoder_attention_heads",
            json!(3),
            "decoder_attention_heads is 3, which should be a divisor of d_model",
        ),
    ] {
        check(|dir| set(dir, "config.json", field, &value), message);
    }
    check(
        |dir| set(dir, "preprocessor_config.json", "feature_size", &json!(128)),
        "preprocessor_config.json says feature_size is 128, which should be 80",
    );
}

#[test]
fn weights_that_do_not_fit_the_configuration_are_named() {
    const BIAS: &str = "model.decoder.layers.1.fc1.bias";
    check(
        |dir| edit_weights(dir, |tensors| drop(tensors.remove(BIAS))),
        "model.safetensors has no tensor decoder.layers.1.fc1.bias",
    );
    check(
        |dir| edit_weights(dir, |tensors| put(tensors, BIAS, vec![0.0; 65])),
        "tensor model.decoder.layers.1.fc1.bias has shape [65], the configuration asks for [64]",
    );
    check(
        |dir| {
            edit_weights(dir, |tensors| {
                let integers = Tensor::zeros(64, candle_core::DType::I64, &Device::Cpu).unwrap();
                tensors.insert(BIAS.to_owned(), integers);
            });
        },
        "tensor model.decoder.layers.1.fc1.bias holds I64",
    );
    for bad in [f32::NAN, f32::INFINITY] {
        let mut values = vec![0.0; 64];
        values[7] = bad;
        check(
            |dir| edit_weights(dir, |tensors| put(tensors, BIAS, values.clone())),
            &format!("tensor model.decoder.layers.1.fc1.bias holds {bad} at index 7"),
        );
    }
    check(
        |dir| set(dir, "config.json", "encoder_layers", &json!(3)),
        "has no tensor encoder.layers.2.",
    );
}

#[test]
fn weight_file_that_is_cut_short_is_refused() {
    for kept in [0, 7, 100, 30_000] {
        check(
            |dir| {
                let path = dir.join("model.safetensors");
                let bytes = fs::read(&path).unwrap();
                fs::write(&path, &bytes[..kept]).unwrap();
            },
            "model.safetensors is not a whole safetensors file",
        );
    }
}

#[test]
fn shards_must_be_there_and_in_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let sharded = TinyCheckpoint {
        shards: 2,
        ..TinyCheckpoint::multilingual()
    };
    sharded.write(directory.path()).unwrap();
    remove(directory.path(), "model-00002-of-00002.safetensors");
    let error = Checkpoint::open(directory.path()).unwrap_err().to_string();
    assert!(
        error.contains("model-00002-of-00002.safetensors is missing"),
        "{error}"
    );

    for outside in [
        "../model.safetensors",
        "/etc/passwd",
        "..",
        "a/b.safetensors",
    ] {
        set(
            directory.path(),
            "model.safetensors.index.json",
            "weight_map",
            &json!({ "model.encoder.conv1.weight": outside }),
        );
        let error = Checkpoint::open(directory.path()).unwrap_err();
        assert!(
            matches!(error, LoadError::ShardName { .. }),
            "{outside}: {error}"
        );
    }
}

#[test]
fn untied_output_matrix_is_read_where_the_configuration_says_so() {
    let logits = |model: &Model| {
        let encoded = Tensor::ones((32, 32), candle_core::DType::F32, &Device::Cpu).unwrap();
        let mut state = model.start(&[encoded], 1).unwrap();
        model.prefill(&mut state, 0, &[1], &[0]).unwrap().concat()
    };
    let untie = |dir: &Path| set(dir, "config.json", "tie_word_embeddings", &json!(false));
    check(untie, "has no tensor proj_out.weight");
    let tied = load(|_| {}).unwrap();
    let untied = load(|dir| {
        untie(dir);
        edit_weights(dir, |tensors| {
            let twice = (&tensors["model.decoder.embed_tokens.weight"] * 2.0).unwrap();
            tensors.insert("proj_out.weight".to_owned(), twice);
        });
    });
    let doubled: Vec<f32> = logits(&tied).iter().map(|value| value * 2.0).collect();
    assert_eq!(logits(&untied.unwrap()), doubled);
}

#[test]
fn embedded_checkpoint_is_the_same_as_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    TinyCheckpoint::english().write(directory.path()).unwrap();
    let read =
        |name: &str| -> &'static [u8] { fs::read(directory.path().join(name)).unwrap().leak() };
    let embedded = Checkpoint::embedded(EmbeddedFiles {
        name: "demo",
        config: read("config.json"),
        generation_config: Some(read("generation_config.json")),
        preprocessor_config: None,
        tokenizer: read("tokenizer.json"),
        weights: read("model.safetensors"),
    })
    .unwrap();
    let opened = Checkpoint::open(directory.path()).unwrap();
    assert_eq!(embedded.origin(), "demo");
    assert_eq!(embedded.generation(), opened.generation());
    assert_eq!(embedded.sha256(), opened.sha256());
    assert_eq!(embedded.weight_bytes(), opened.weight_bytes());
    assert_eq!(embedded.tokenizer_json(), opened.tokenizer_json());
    Model::load(&embedded, &Device::Cpu).unwrap();
}

#[test]
fn digest_is_sha256_of_the_weights() {
    let checkpoint = Checkpoint::embedded(EmbeddedFiles {
        name: "abc",
        config: TinyCheckpoint::english()
            .config()
            .to_string()
            .into_bytes()
            .leak(),
        generation_config: None,
        preprocessor_config: None,
        tokenizer: b"{}",
        weights: b"abc",
    })
    .unwrap();
    // The first example of FIPS 180.
    let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(checkpoint.sha256(), expected);
    let error = Model::load(&checkpoint, &Device::Cpu).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("abc/model.safetensors is not a whole"),
        "{error}"
    );
}

#[test]
fn spectrograms_of_other_shapes_are_refused() {
    let model = load(|_| {}).unwrap();
    let window = |n_mels, frames| {
        MelExtractor::new(n_mels)
            .stream_of(&[])
            .window(frames)
            .unwrap()
    };
    for (n_mels, frames) in [(128, 3000), (80, 3002), (80, 101), (80, 0)] {
        let error = model.encode_each(&[&window(n_mels, frames)]).unwrap_err();
        assert!(
            matches!(error, ModelError::MelShape { .. }),
            "{n_mels}, {frames}: {error}"
        );
    }
    let error = model
        .mel_batch(&[&window(80, 64), &window(80, 128)])
        .unwrap_err();
    assert!(matches!(error, ModelError::MelShape { .. }), "{error}");
    let mel = Tensor::zeros((80, 64), candle_core::DType::F32, &Device::Cpu).unwrap();
    let error = model.encode(&mel).unwrap_err();
    assert!(matches!(error, ModelError::MelShape { .. }), "{error}");
}

#[test]
fn impossible_steps_are_refused_and_change_nothing() {
    let model = load(|_| {}).unwrap();
    let encoded = |width| Tensor::ones((32, width), candle_core::DType::F32, &Device::Cpu).unwrap();
    assert!(matches!(
        model.start(&[encoded(33)], 1),
        Err(ModelError::EncodedShape { .. })
    ));

    let mut state = model.start(&[encoded(32), encoded(32)], 2).unwrap();
    let mut step = |tokens: &[(usize, u32)]| model.step(&mut state, tokens).map(|_| ());
    assert!(matches!(
        step(&[(4, 1)]),
        Err(ModelError::NoSuchRow { row: 4, rows: 4 })
    ));
    assert!(matches!(
        step(&[(1, 1), (1, 2)]),
        Err(ModelError::RowTwice { row: 1 })
    ));
    assert!(matches!(
        step(&[(0, 60_000)]),
        Err(ModelError::UnknownToken { token: 60_000, .. })
    ));
    let mut prefill = |tokens: &[u32], asked: &[usize]| {
        let prompt = Prefill {
            row: 0,
            tokens,
            asked,
        };
        model.prefill_rows(&mut state, &[prompt]).map(|_| ())
    };
    assert!(matches!(
        prefill(&[], &[]),
        Err(ModelError::NoTokens { row: 0 })
    ));
    assert!(matches!(
        prefill(&[1, 2], &[2]),
        Err(ModelError::AskedBehindEnd {
            asked: 2,
            tokens: 2
        })
    ));
    assert!(matches!(
        prefill(&[1; 449], &[]),
        Err(ModelError::RowFull {
            length: 0,
            more: 449,
            ..
        })
    ));
    assert!(matches!(
        state.copy_row(0, 2),
        Err(ModelError::OtherItem { from: 0, to: 2 })
    ));
    assert!(matches!(
        state.reorder(0, &[1, 3]),
        Err(ModelError::OtherItem { .. })
    ));
    assert!(matches!(
        state.copy_row(0, 9),
        Err(ModelError::NoSuchRow { row: 9, .. })
    ));
    assert!((0..4).all(|row| state.is_empty(row)));
}

#[test]
fn row_can_be_filled_to_its_capacity_and_no_further() {
    let model = load(|_| {}).unwrap();
    let encoded = Tensor::ones((32, 32), candle_core::DType::F32, &Device::Cpu).unwrap();
    let mut state = model.start(&[encoded], 1).unwrap();
    let full = state.capacity();
    model
        .prefill(&mut state, 0, &vec![1; full - 1], &[])
        .unwrap();
    model.step(&mut state, &[(0, 1)]).unwrap();
    let error = model.step(&mut state, &[(0, 1)]).unwrap_err();
    assert!(
        matches!(error, ModelError::RowFull { more: 1, .. }),
        "{error}"
    );
    assert_eq!(state.len(0), full);
}

/// Loads the seeded checkpoint after `damage` to its directory.
fn load(damage: impl FnOnce(&Path)) -> Result<Model, LoadError> {
    let directory = tempfile::tempdir().unwrap();
    TinyCheckpoint::multilingual()
        .write(directory.path())
        .unwrap();
    damage(directory.path());
    Model::load(&Checkpoint::open(directory.path())?, &Device::Cpu)
}

#[track_caller]
fn check(damage: impl FnOnce(&Path), message: &str) {
    let error = load(damage).expect_err(message).to_string();
    assert!(
        error.contains(message),
        "{error:?} does not say {message:?}"
    );
}

fn remove(directory: &Path, name: &str) {
    fs::remove_file(directory.join(name)).unwrap();
}

fn edit(directory: &Path, name: &str, change: impl FnOnce(&mut Value)) {
    let path = directory.join(name);
    let mut value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

fn set(directory: &Path, name: &str, field: &str, value: &Value) {
    edit(directory, name, |file| file[field] = value.clone());
}

fn edit_weights(directory: &Path, change: impl FnOnce(&mut HashMap<String, Tensor>)) {
    let path = directory.join("model.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    change(&mut tensors);
    candle_core::safetensors::save(&tensors, path).unwrap();
}

fn put(tensors: &mut HashMap<String, Tensor>, name: &str, values: Vec<f32>) {
    let length = values.len();
    let tensor = Tensor::from_vec(values, length, &Device::Cpu).unwrap();
    tensors.insert(name.to_owned(), tensor);
}
