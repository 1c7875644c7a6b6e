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

/// CTranslate2's rows have a weight of ±127, so rounding them again finds the same bytes and scales.
#[test]
fn bytes_of_ctranslate2_are_kept() {
    let tiny = TinyCheckpoint::multilingual();
    let packed = |directory: &Path| {
        let checkpoint = Checkpoint::open(directory).unwrap();
        let options = LoadOptions {
            precision: Precision::Int8,
            keep_packed: true,
            ..LoadOptions::default()
        };
        Whisper::load(&checkpoint, DeviceChoice::Cpu, options).unwrap();
    };
    let form = ctranslate2(&tiny, CTranslate2::Int8(Stored::F32), StoredWords::Json);
    packed(form.path());
    assert!(form.path().join("model.int8.packed").is_file());
    let said = says_in(form.path(), Precision::Int8);
    assert!(!said.1.is_nan());
}

#[test]
fn languages_and_special_tokens_follow_from_the_words() {
    let tiny = TinyCheckpoint::multilingual();
    for words in [StoredWords::Json, StoredWords::Text, StoredWords::Tokenizer] {
        let form = ctranslate2(&tiny, CTranslate2::Float(Stored::F32), words);
        let checkpoint = Checkpoint::open(form.path()).unwrap();
        let found = whisper::Vocabulary::read(&checkpoint).unwrap();
        assert_eq!(found.languages(), ["de", "en", "fr"], "{words:?}");
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
