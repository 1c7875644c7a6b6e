//! Every form of a checkpoint says what the plain one says.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::path::Path;

use whisper::testing::{CTranslate2, Precision as Stored, StoredWords, TinyCheckpoint, audio};
use whisper::{Checkpoint, DeviceChoice, Input, LoadOptions, Options, Precision, Whisper};

/// What a checkpoint says of some audio: its words, and a number that any other weight would change.
fn says(directory: &Path) -> (String, f32) {
    says_in(directory, Precision::F32)
}

fn says_in(directory: &Path, precision: Precision) -> (String, f32) {
    let checkpoint = Checkpoint::open(directory).unwrap();
    let options = LoadOptions {
        precision,
        ..LoadOptions::default()
    };
    let whisper = Whisper::load(&checkpoint, DeviceChoice::Cpu, options).unwrap();
    let waveform = ::audio::Waveform::new(audio(3, 40_000)).unwrap();
    let mut input = Input::new(waveform);
    input.options = Options {
        temperatures: vec![0.0],
        max_new_tokens: Some(8),
        no_speech_threshold: None,
        log_prob_threshold: None,
        ..Options::default()
    };
    let transcript = whisper.transcribe(&[input]).remove(0).unwrap();
    (transcript.text.clone(), transcript.segments[0].avg_log_prob)
}

fn plain(tiny: &TinyCheckpoint) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    tiny.write(directory.path()).unwrap();
    directory
}

fn ctranslate2(tiny: &TinyCheckpoint, kind: CTranslate2, words: StoredWords) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    tiny.write_ctranslate2(directory.path(), kind, words)
        .unwrap();
    directory
}

#[test]
fn ctranslate2_says_what_the_plain_checkpoint_says() {
    for tiny in [TinyCheckpoint::multilingual(), TinyCheckpoint::english()] {
        let expected = says(plain(&tiny).path());
        for words in [StoredWords::Json, StoredWords::Text, StoredWords::Tokenizer] {
            for precision in [Stored::F32, Stored::F16, Stored::Bf16] {
                let form = ctranslate2(&tiny, CTranslate2::Float(precision), words);
                assert_eq!(says(form.path()), expected, "{words:?} {precision:?}");
            }
        }
    }
}

#[test]
fn ctranslate2_integers_say_nearly_what_the_plain_checkpoint_says() {
    let tiny = TinyCheckpoint::multilingual();
    let (text, log_prob) = says(plain(&tiny).path());
    for kind in [
        CTranslate2::Int8(Stored::F32),
        CTranslate2::Int8(Stored::F16),
        CTranslate2::Int8(Stored::Bf16),
        CTranslate2::Int16,
    ] {
        let form = ctranslate2(&tiny, kind, StoredWords::Json);
        let (found, found_log_prob) = says(form.path());
        assert_eq!(found, text, "{kind:?}");
        // Weights are small integers, which int8 holds nearly; another layer or row would differ by more.
        assert!(
            (found_log_prob - log_prob).abs() < 0.02,
            "{kind:?}: {found_log_prob} {log_prob}"
        );
    }
}

#[test]
fn languages_and_special_tokens_follow_from_the_words() {
    let tiny = TinyCheckpoint::multilingual();
    for words in [StoredWords::Json, StoredWords::Text, StoredWords::Tokenizer] {
        let form = ctranslate2(&tiny, CTranslate2::Float(Stored::F32), words);
        let checkpoint = Checkpoint::open(form.path()).unwrap();
        let found = whisper::Vocabulary::read(&checkpoint).unwrap();
        assert_eq!(found.languages(), ["de", "en", "fr"], "{words:?}");
        assert_eq!(checkpoint.languages().unwrap(), found.languages());
    }
    let english = ctranslate2(
        &TinyCheckpoint::english(),
        CTranslate2::Float(Stored::F32),
        StoredWords::Text,
    );
    let checkpoint = Checkpoint::open(english.path()).unwrap();
    let found = whisper::Vocabulary::read(&checkpoint).unwrap();
    assert_eq!(found.languages(), ["en"]);
}

fn refusal(directory: &Path) -> String {
    let checkpoint = match Checkpoint::open(directory) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return chain(&error),
    };
    match Whisper::load(&checkpoint, DeviceChoice::Cpu, LoadOptions::default()) {
        Ok(_) => "loaded".to_owned(),
        Err(error) => chain(&error),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {}", chain(cause)));
    format!("{error}{}", cause.unwrap_or_default())
}

#[test]
fn damaged_ctranslate2_files_are_refused_with_their_name() {
    let tiny = TinyCheckpoint::english();
    let check = |change: &dyn Fn(&Path), expected: &str| {
        let form = ctranslate2(&tiny, CTranslate2::Float(Stored::F32), StoredWords::Json);
        change(form.path());
        let found = refusal(form.path());
        assert!(found.contains(expected), "{found:?} lacks {expected:?}");
    };
    let edit = |directory: &Path, change: &dyn Fn(&mut Vec<u8>)| {
        let path = directory.join("model.bin");
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    };
    for cut in [3, 30, 200, 50_000] {
        check(
            &|dir| edit(dir, &|bytes| bytes.truncate(cut)),
            "model.bin cannot be read as a CTranslate2 model: it ends within",
        );
    }
    check(
        &|dir| edit(dir, &|bytes| bytes[0] = 7),
        "it has version 7, and 2 to 6 are known",
    );
    check(
        &|dir| edit(dir, &|bytes| bytes[6] = b'w'),
        "it holds a \"whisperSpec\" and not a WhisperSpec",
    );
    let at = |bytes: &[u8], name: &[u8]| {
        bytes
            .windows(name.len())
            .position(|part| part == name)
            .unwrap()
            + name.len()
            + 1
    };
    check(
        &|dir| {
            edit(dir, &|bytes| {
                let behind = at(bytes, b"decoder/layer_0/ffn/linear_0/bias");
                // Rank, one size, type, length: then the first value.
                bytes[behind + 10..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
            });
        },
        "model.bin: tensor decoder/layer_0/ffn/linear_0/bias holds NaN at index 0",
    );
    check(
        &|dir| {
            edit(dir, &|bytes| {
                let behind = at(bytes, b"decoder/layer_0/ffn/linear_0/bias");
                bytes[behind + 1..][..4].copy_from_slice(&[0xff; 4]);
            });
        },
        "tensor decoder/layer_0/ffn/linear_0/bias has shape [4294967295]",
    );
    check(
        &|dir| {
            edit(dir, &|bytes| {
                let behind = at(bytes, b"decoder/scale_embeddings");
                bytes[behind + 6] = 1;
            });
        },
        "model.bin says scale_embeddings is set",
    );
    check(
        &|dir| fs::remove_file(dir.join("vocabulary.json")).unwrap(),
        "vocabulary.json is missing",
    );
    check(
        &|dir| fs::write(dir.join("vocabulary.json"), "[\"a\"]").unwrap(),
        "vocabulary.json lists 1 tokens, the weights have",
    );
    check(
        &|dir| fs::write(dir.join("config.json"), "{").unwrap(),
        "config.json is not valid",
    );
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n";
    check(
        &|dir| fs::write(dir.join("model.bin"), pointer).unwrap(),
        "model.bin is only a pointer of Git LFS",
    );
}

/// What a Hugging Face folder says after a change that should change nothing.
fn check_same(change: impl Fn(&TinyCheckpoint, &Path)) {
    let tiny = TinyCheckpoint::multilingual();
    let expected = says(plain(&tiny).path());
    let changed = plain(&tiny);
    change(&tiny, changed.path());
    assert_eq!(says(changed.path()), expected);
}

fn edit(directory: &Path, name: &str, change: impl Fn(&mut serde_json::Value)) {
    let path = directory.join(name);
    let mut value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

/// Splits `tokenizer.json` into the files of a slow tokenizer.
fn split_tokenizer(directory: &Path) {
    let path = directory.join("tokenizer.json");
    let tokenizer: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let vocab = tokenizer["model"]["vocab"].to_string();
    let added: serde_json::Map<String, serde_json::Value> = tokenizer["added_tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|token| {
            let content = token["content"].as_str().unwrap().to_owned();
            (content, token["id"].clone())
        })
        .collect();
    fs::write(directory.join("vocab.json"), vocab).unwrap();
    fs::write(directory.join("merges.txt"), "#version: 0.2\n").unwrap();
    let added = serde_json::Value::Object(added).to_string();
    fs::write(directory.join("added_tokens.json"), added).unwrap();
    fs::remove_file(path).unwrap();
}

#[test]
fn what_trainers_leave_says_the_same() {
    check_same(|_, dir| split_tokenizer(dir));
    check_same(|_, dir| {
        fs::rename(
            dir.join("model.safetensors"),
            dir.join("my-best.safetensors"),
        )
        .unwrap();
    });
    check_same(|_, dir| {
        let inner = dir.join("checkpoint-1200");
        fs::create_dir(&inner).unwrap();
        for file in ["model.safetensors", "config.json", "generation_config.json"] {
            fs::rename(dir.join(file), inner.join(file)).unwrap();
        }
    });
    check_same(|_, dir| {
        // What transformers takes where nothing is said.
        edit(dir, "config.json", |config| {
            let config = config.as_object_mut().unwrap();
            for field in [
                "num_mel_bins",
                "max_source_positions",
                "max_target_positions",
                "tie_word_embeddings",
            ] {
                config.remove(field).unwrap();
            }
        });
    });
    check_same(|_, dir| {
        for name in ["config.json", "generation_config.json", "tokenizer.json"] {
            let text = fs::read_to_string(dir.join(name)).unwrap();
            fs::write(dir.join(name), format!("\u{FEFF}{text}")).unwrap();
        }
    });
    check_same(|_, dir| {
        let path = dir.join("generation_config.json");
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replacen('{', "{\"logprob_threshold\": -Infinity, \"x\": [NaN], ", 1);
        fs::write(path, text).unwrap();
    });
}

#[test]
fn weights_of_f64_and_names_of_wrappers_say_the_same() {
    for prefix in [
        "module.",
        "base_model.model.",
        "base_model.model.model.",
        "_orig_mod.",
    ] {
        check_same(|_, dir| {
            rewrite_weights(dir, |name| {
                format!("{prefix}{}", name.strip_prefix("model.").unwrap())
            });
        });
    }
}

/// Writes the weights again in f64, under other names.
fn rewrite_weights(directory: &Path, rename: impl Fn(&str) -> String) {
    use candle_core::{DType, Device};

    let path = directory.join("model.safetensors");
    let tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    let tensors = tensors
        .into_iter()
        .map(|(name, tensor)| (rename(&name), tensor.to_dtype(DType::F64).unwrap()))
        .collect();
    candle_core::safetensors::save(&tensors, path).unwrap();
}

#[test]
fn a_file_is_loaded_with_its_folder() {
    let tiny = TinyCheckpoint::multilingual();
    let folder = plain(&tiny);
    let file = folder.path().join("model.safetensors");
    assert_eq!(says(&file), says(folder.path()));
    let form = ctranslate2(&tiny, CTranslate2::Float(Stored::F16), StoredWords::Json);
    assert_eq!(says(&form.path().join("model.bin")), says(folder.path()));
}

#[test]
fn what_cannot_be_told_or_served_is_said() {
    let check = |change: &dyn Fn(&Path), expected: &str| {
        let folder = plain(&TinyCheckpoint::multilingual());
        change(folder.path());
        let found = refusal(folder.path());
        assert!(found.contains(expected), "{found:?} lacks {expected:?}");
    };
    let weights = "model.safetensors";
    check(
        &|dir| {
            for inner in ["checkpoint-500", "checkpoint-1000"] {
                fs::create_dir(dir.join(inner)).unwrap();
                fs::copy(dir.join(weights), dir.join(inner).join(weights)).unwrap();
            }
            fs::remove_file(dir.join(weights)).unwrap();
        },
        "has several checkpoints: give the path of one of checkpoint-1000, checkpoint-500",
    );
    check(
        &|dir| {
            fs::copy(dir.join(weights), dir.join("a.safetensors")).unwrap();
            fs::rename(dir.join(weights), dir.join("b.safetensors")).unwrap();
        },
        "has several weight files: give the path of one of a.safetensors, b.safetensors",
    );
    check(
        &|dir| fs::rename(dir.join(weights), dir.join("adapter_model.safetensors")).unwrap(),
        "adapter_model.safetensors is an adapter, not a whole model: merge it",
    );
    check(
        &|dir| {
            edit(dir, "config.json", |config| {
                config["scale_embedding"] = true.into();
            });
        },
        "config.json says scale_embedding is true, which should be false",
    );
    for file in ["config.json", "tokenizer.json", weights] {
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n";
        check(
            &|dir| fs::write(dir.join(file), pointer).unwrap(),
            &format!("{file} is only a pointer of Git LFS"),
        );
    }
    let folder = plain(&TinyCheckpoint::multilingual());
    for (bytes, expected) in [
        (&b"GGUF\x03\0\0\0"[..], "x.bin is a GGUF file"),
        (b"", "x.bin is empty"),
        (b"\x7fELF", "x.bin is no file of weights that is read"),
    ] {
        let file = folder.path().join("x.bin");
        fs::write(&file, bytes).unwrap();
        let found = refusal(&file);
        assert!(found.contains(expected), "{found:?} lacks {expected:?}");
    }
}

#[test]
fn several_ends_end_a_text() {
    let tiny = TinyCheckpoint::multilingual();
    let folder = plain(&tiny);
    let (text, _) = says(folder.path());
    assert!(!text.is_empty());
    // Every byte is a token, so all that the model may say ends the text.
    let ends: Vec<u32> = (0..=256).collect();
    for name in ["config.json", "generation_config.json"] {
        let folder = plain(&tiny);
        if name == "config.json" {
            fs::remove_file(folder.path().join("generation_config.json")).unwrap();
        }
        edit(folder.path(), name, |config| {
            config["eos_token_id"] = ends.clone().into();
        });
        let whisper = Whisper::load(
            &Checkpoint::open(folder.path()).unwrap(),
            DeviceChoice::Cpu,
            LoadOptions::default(),
        );
        let mut input = Input::new(::audio::Waveform::new(audio(3, 40_000)).unwrap());
        input.options.temperatures = vec![0.0];
        let transcript = whisper.unwrap().transcribe(&[input]).remove(0).unwrap();
        assert_eq!(transcript.text, "", "{name}");
    }
}

#[test]
fn hostile_files_are_refused_without_a_panic() {
    let tiny = TinyCheckpoint::english();
    let form = ctranslate2(&tiny, CTranslate2::Int8(Stored::F16), StoredWords::Json);
    let path = form.path().join("model.bin");
    let whole = fs::read(&path).unwrap();
    let mut numbers = whisper::testing::small_integers(7, "hostile");
    let mut next = |below: usize| {
        let wide = (0..4).fold(0_usize, |wide, _| {
            wide * 255 + usize::try_from(numbers.next().unwrap() + 127).unwrap()
        });
        wide % below
    };
    for round in 0..60 {
        let mut bytes = whole.clone();
        for _ in 0..=next(4) {
            // Headers are where most can go wrong; most bytes are values.
            let near = if next(3) == 0 { bytes.len() } else { 20_000 };
            let at = next(near.min(bytes.len()));
            bytes[at] = u8::try_from(next(256)).unwrap();
        }
        if next(4) == 0 {
            let length = next(bytes.len());
            bytes.truncate(length);
        }
        fs::write(&path, bytes).unwrap();
        // A change of values may load; nothing may panic, or take memory on the file's word.
        let found = refusal(form.path());
        assert!(
            found == "loaded" || found.contains("model.bin"),
            "{round}: {found}"
        );
    }
}
