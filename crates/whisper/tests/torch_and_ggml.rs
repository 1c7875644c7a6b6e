//! Files of PyTorch's and of whisper.cpp's say what the plain checkpoint says, and hostile ones are refused.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use whisper::testing::{Ggml, Pickle, Precision as Stored, PyTorch, TinyCheckpoint, audio};
use whisper::{
    Checkpoint, DeviceChoice, Input, LoadError, LoadOptions, Options, Precision, Whisper,
};

/// With this one both say something, whatever OpenAI's own list forbids.
const SEED: u64 = 13;

/// The languages are OpenAI's first, as the forms without a tokenizer have them.
fn multilingual() -> TinyCheckpoint {
    TinyCheckpoint {
        seed: SEED,
        languages: &["en", "zh", "de"],
        ..TinyCheckpoint::multilingual()
    }
}

fn english() -> TinyCheckpoint {
    TinyCheckpoint {
        seed: SEED,
        ..TinyCheckpoint::english()
    }
}

fn load(path: &Path) -> Result<Whisper, LoadError> {
    let options = LoadOptions {
        precision: Precision::F32,
        ..LoadOptions::default()
    };
    Whisper::load(&Checkpoint::open(path)?, DeviceChoice::Cpu, options)
}

/// What a checkpoint says of some audio: its words, and a number that any other weight would change.
fn says(path: &Path) -> (String, f32) {
    let waveform = ::audio::Waveform::new(audio(3, 40_000)).unwrap();
    let mut input = Input::new(waveform);
    input.options = Options {
        temperatures: vec![0.0],
        max_new_tokens: Some(8),
        no_speech_threshold: None,
        log_prob_threshold: None,
        ..Options::default()
    };
    let whisper = load(path).unwrap();
    let transcript = whisper.transcribe(&[input]).remove(0).unwrap();
    (transcript.text.clone(), transcript.segments[0].avg_log_prob)
}

/// The plain checkpoint.
fn plain(tiny: &TinyCheckpoint) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    tiny.write(directory.path()).unwrap();
    directory
}

/// The plain checkpoint, where nothing is said of decoding, as in the forms without transformers' small files.
fn silent(tiny: &TinyCheckpoint) -> tempfile::TempDir {
    let directory = plain(tiny);
    fs::remove_file(directory.path().join("generation_config.json")).unwrap();
    let mut config = tiny.config();
    config["suppress_tokens"] = Value::Null;
    config["begin_suppress_tokens"] = Value::Null;
    fs::write(directory.path().join("config.json"), config.to_string()).unwrap();
    directory
}

/// A folder with one file.
fn alone(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    fs::write(&path, bytes).unwrap();
    (directory, path)
}

/// The error of a file that cannot be loaded, with its causes.
fn refusal(path: &Path) -> String {
    let error = load(path).unwrap_err();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[track_caller]
fn check_refused(path: &Path, parts: &[&str]) {
    let refusal = refusal(path);
    for part in parts {
        assert!(refusal.contains(part), "{refusal:?} does not say {part:?}");
    }
}

#[test]
fn pytorch_says_what_the_plain_checkpoint_says() {
    for (tiny, shards) in [(multilingual(), 1), (english(), 3)] {
        let expected = says(plain(&tiny).path());
        for precision in [Stored::F32, Stored::F16, Stored::Bf16] {
            for format in [PyTorch::Zip, PyTorch::Legacy] {
                let tiny = TinyCheckpoint {
                    precision,
                    shards,
                    ..tiny.clone()
                };
                let directory = tempfile::tempdir().unwrap();
                tiny.write_pytorch(directory.path(), format).unwrap();
                assert_eq!(says(directory.path()), expected, "{precision:?} {format:?}");
                if shards == 1 {
                    let file = directory.path().join("pytorch_model.bin");
                    assert_eq!(says(&file), expected, "{precision:?} {format:?}");
                }
            }
        }
    }
}

#[test]
fn openais_file_takes_its_words_from_beside() {
    let tiny = multilingual();
    let expected = says(silent(&tiny).path());
    let (directory, path) = alone("tiny.pt", &tiny.openai_pt());
    check_refused(
        &path,
        &["multilingual.tiktoken is missing", "openai-whisper"],
    );
    let words = directory.path().join("multilingual.tiktoken");
    fs::write(&words, tiny.tiktoken()).unwrap();
    assert_eq!(says(&path), expected);
    assert_eq!(says(directory.path()), expected);
    fs::write(&words, "YQ== 0\nno word\n").unwrap();
    check_refused(&path, &["multilingual.tiktoken", "line 2"]);
    fs::write(&words, "YQ== 0\n").unwrap();
    check_refused(&path, &["multilingual.tiktoken lists 1 tokens"]);
    let plain = plain(&tiny);
    let tokenizer = plain.path().join("tokenizer.json");
    fs::copy(tokenizer, directory.path().join("tokenizer.json")).unwrap();
    assert_eq!(says(&path), expected);
}

#[test]
fn whisper_cpp_says_what_the_plain_checkpoint_says() {
    for tiny in [multilingual(), english()] {
        let expected = says(silent(&tiny).path());
        for kind in [Ggml::F32, Ggml::F16] {
            let (directory, path) = alone("ggml-tiny.bin", &tiny.ggml(kind));
            assert_eq!(says(&path), expected, "{kind:?}");
            assert_eq!(says(directory.path()), expected, "{kind:?}");
        }
        let (_directory, path) = alone("ggml-tiny-q8_0.bin", &tiny.ggml(Ggml::Q8_0));
        let (text, log_prob) = says(&path);
        assert_eq!(text, expected.0);
        // Weights are small integers, which eight bits hold nearly; another layer or row would differ by more.
        assert!(
            (log_prob - expected.1).abs() < 0.02,
            "{log_prob} {}",
            expected.1
        );
    }
}

#[test]
fn pickle_that_wants_to_run_something_is_refused_and_does_not() {
    let directory = tempfile::tempdir().unwrap();
    TinyCheckpoint::multilingual()
        .write(directory.path())
        .unwrap();
    fs::remove_file(directory.path().join("model.safetensors")).unwrap();
    let mark = directory.path().join("it-ran");
    let command = format!("touch {}", mark.display());
    let runs = Pickle::new()
        .global("posix", "system")
        .push(b"(")
        .text(&command)
        .push(b"tR")
        .end();
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    let version = Pickle::new().integer(1001).end();
    let machine = Pickle::new().push(b"}").end();
    let file = [&magic[..], &version, &machine, &runs].concat();
    fs::write(directory.path().join("pytorch_model.bin"), file).unwrap();
    check_refused(
        directory.path(),
        &[
            "pytorch_model.bin",
            "wants to run \"posix.system\"",
            "refused",
        ],
    );
    assert!(!mark.exists());
}

#[test]
fn files_that_end_too_soon_are_refused_wherever_they_end() {
    let tiny = TinyCheckpoint {
        n_mels: 2,
        d_model: 2,
        heads: 1,
        feed_forward: 2,
        ..multilingual()
    };
    let check = |name: &str, bytes: &[u8], form: &str| {
        for part in 0..40 {
            let (_directory, path) = alone(name, &bytes[..bytes.len() * part / 40]);
            let error = refusal(&path);
            assert!(error.contains(name), "{part}: {error}");
            assert!(part == 0 || error.contains(form), "{part}: {error}");
        }
    };
    check("a.pt", &tiny.openai_pt(), "file of PyTorch");
    check("ggml-a.bin", &tiny.ggml(Ggml::F32), "ggml file");
}

#[test]
fn what_is_missing_or_not_finite_is_named_by_the_files_own_name() {
    let tiny = multilingual();
    let bytes = tiny.ggml(Ggml::F32);
    let name = b"decoder.blocks.1.mlp.2.bias";
    let at = bytes.windows(name.len()).position(|window| window == name);
    let at = at.unwrap();
    let mut damaged = bytes.clone();
    damaged[at + name.len()..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let (_directory, path) = alone("ggml.bin", &damaged);
    check_refused(
        &path,
        &[
            "ggml.bin",
            "decoder.blocks.1.mlp.2.bias holds NaN at index 0",
        ],
    );
    let mut renamed = bytes;
    renamed[at..at + 7].copy_from_slice(b"DECODER");
    let (_directory, path) = alone("ggml.bin", &renamed);
    check_refused(&path, &["ggml.bin has no tensor decoder.layers.1.fc2.bias"]);
}

#[test]
fn several_files_are_not_chosen_from() {
    let tiny = multilingual();
    let (directory, _) = alone("ggml-a.bin", &tiny.ggml(Ggml::F32));
    fs::write(directory.path().join("b.pt"), tiny.openai_pt()).unwrap();
    fs::write(directory.path().join("training_args.bin"), tiny.openai_pt()).unwrap();
    check_refused(directory.path(), &["b.pt, ggml-a.bin"]);
}
