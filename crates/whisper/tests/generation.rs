//! From audio to segments against openai-whisper (golden file made by `reference/make_golden_generation.py`): tokens
//! of greedy and beam search, timestamps, prompts, languages and long audio, on the checkpoints of the tests and on the
//! demo model.

#![cfg(feature = "demo-model")]
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use ::audio::Waveform;
use serde::Deserialize;
use whisper::{
    Checkpoint, DeviceChoice, Input, Language, LoadOptions, Options, Precision, Segment, Task,
    Whisper, Window,
    testing::{TinyCheckpoint, audio},
};

/// Sums of some 40 log probabilities, each from logits that are within 2e-4 of the reference's.
const LOG_PROB_TOLERANCE: f32 = 1e-3;
/// A probability from such logits.
const PROBABILITY_TOLERANCE: f32 = 1e-3;
/// zlib's implementations differ by three bytes in the 45 of a sentence.
const COMPRESSION_TOLERANCE: f32 = 0.07;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    checkpoint: String,
    audio: Sound,
    options: Asked,
    expected: Expected,
}

#[derive(Deserialize, Debug)]
#[serde(untagged)]
enum Sound {
    Seeded { seed: u64, samples: usize },
    Clips(Vec<String>),
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Asked {
    language: Option<String>,
    task: Option<String>,
    #[serde(default)]
    beam_size: usize,
    #[serde(default)]
    timestamps: bool,
    initial_prompt: Option<String>,
    max_new_tokens: Option<usize>,
    condition_on_previous_text: Option<bool>,
}

#[derive(Deserialize)]
struct Expected {
    text: String,
    language: String,
    language_probability: Option<f32>,
    segments: Vec<ExpectedSegment>,
}

#[derive(Deserialize)]
struct ExpectedSegment {
    start_s: f64,
    end_s: f64,
    tokens: Vec<u32>,
    avg_log_prob: Option<f32>,
    no_speech_prob: f32,
    compression_ratio: Option<f32>,
}

#[test]
fn multilingual_checkpoint_writes_what_the_reference_writes() {
    check("multilingual", &tiny(&TinyCheckpoint::multilingual()));
}

#[test]
fn english_checkpoint_writes_what_the_reference_writes() {
    check("english", &tiny(&TinyCheckpoint::english()));
}

#[test]
fn checkpoint_with_128_mels_writes_what_the_reference_writes() {
    check("large_v3", &tiny(&TinyCheckpoint::large_v3()));
}

#[test]
fn demo_model_writes_what_the_reference_writes() {
    check("demo", &load(&Checkpoint::demo().unwrap()));
}

#[test]
fn doubted_words_of_a_trimmed_window_are_heard_again_in_the_whole_one() {
    let whisper = tiny(&TinyCheckpoint::multilingual());
    let heard = |window, log_prob_threshold| {
        let mut input = Input::new(Waveform::new(audio(11, 40_000)).unwrap());
        input.options = Options {
            language: Language::Fixed("en".to_owned()),
            window,
            log_prob_threshold,
            compression_ratio_threshold: None,
            no_speech_threshold: None,
            temperatures: vec![0.0],
            max_new_tokens: Some(24),
            ..Options::default()
        };
        let transcript = whisper.transcribe(&[input]).remove(0).unwrap();
        transcript.segments[0].clone()
    };
    let whole = heard(Window::Exact, None);
    for window in [Window::Dynamic, Window::Auto] {
        let trimmed = heard(window, None);
        assert_ne!(
            whole.tokens, trimmed.tokens,
            "the audio does not tell {window:?} apart"
        );
        // Under the threshold, and above twice the threshold, where text is given up.
        let doubted = trimmed.avg_log_prob.max(whole.avg_log_prob) * 0.9;
        assert_eq!(heard(window, Some(doubted)).tokens, whole.tokens);
    }
}

/// All cases of a checkpoint as one batch: what is asked of one must not reach the others.
fn check(checkpoint: &str, whisper: &Whisper) {
    let golden = include_str!("reference/golden/generation.json");
    let golden: Golden = serde_json::from_str(golden).unwrap();
    let cases: Vec<Case> = golden
        .cases
        .into_iter()
        .filter(|case| case.checkpoint == checkpoint)
        .collect();
    assert!(!cases.is_empty());
    let inputs: Vec<Input> = cases.iter().map(Case::input).collect();
    let mut wrong = BTreeMap::new();
    for (case, found) in cases.iter().zip(whisper.transcribe(&inputs)) {
        let found = found.unwrap();
        let what = format!("{:?}, {:?}", case.audio, case.options);
        let expected = &case.expected;
        let differences: Vec<String> = [
            difference("text", &found.text, &expected.text),
            difference("language", &found.language, &expected.language),
            far(
                "language probability",
                found.language_probability.unwrap_or(-1.0),
                expected.language_probability.unwrap_or(-1.0),
                PROBABILITY_TOLERANCE,
            ),
            difference("segments", &found.segments.len(), &expected.segments.len()),
        ]
        .into_iter()
        .flatten()
        .chain(
            found
                .segments
                .iter()
                .zip(&expected.segments)
                .flat_map(|(found, expected)| expected.differences(found)),
        )
        .collect();
        if !differences.is_empty() {
            wrong.insert(what, differences);
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}: {wrong:#?}",
        wrong.len(),
        cases.len()
    );
}

impl Case {
    fn input(&self) -> Input {
        let samples = match &self.audio {
            Sound::Seeded { seed, samples } => audio(*seed, *samples),
            Sound::Clips(clips) => joined(clips),
        };
        let mut input = Input::new(Waveform::new(samples).unwrap());
        let asked = &self.options;
        input.options = Options {
            language: match &asked.language {
                Some(language) => Language::Fixed(language.clone()),
                None => Options::default().language,
            },
            task: match asked.task.as_deref() {
                Some("translate") => Task::Translate,
                _ => Task::Transcribe,
            },
            beam_size: asked.beam_size,
            timestamps: asked.timestamps,
            initial_prompt: asked.initial_prompt.clone(),
            max_new_tokens: asked.max_new_tokens,
            condition_on_previous_text: asked.condition_on_previous_text.unwrap_or(true),
            temperatures: vec![0.0],
            compression_ratio_threshold: None,
            log_prob_threshold: None,
            no_speech_threshold: None,
            ..Options::default()
        };
        input
    }
}

impl ExpectedSegment {
    fn differences(&self, found: &Segment) -> Vec<String> {
        let at = |name: &str| format!("{name} at {:.2} s", self.start_s);
        [
            difference(&at("tokens"), &found.tokens, &self.tokens),
            far_s(&at("start"), found.start_s, self.start_s),
            far_s(&at("end"), found.end_s, self.end_s),
            far(
                &at("log probability"),
                found.avg_log_prob,
                self.avg_log_prob.unwrap_or(found.avg_log_prob),
                LOG_PROB_TOLERANCE,
            ),
            far(
                &at("no speech"),
                found.no_speech_prob,
                self.no_speech_prob,
                PROBABILITY_TOLERANCE,
            ),
            far(
                &at("compression"),
                found.compression_ratio,
                self.compression_ratio.unwrap_or(found.compression_ratio),
                COMPRESSION_TOLERANCE,
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

fn difference<T: PartialEq + std::fmt::Debug>(
    what: &str,
    found: &T,
    expected: &T,
) -> Option<String> {
    (found != expected).then(|| format!("{what}: {found:?}, not {expected:?}"))
}

fn far(what: &str, found: f32, expected: f32, tolerance: f32) -> Option<String> {
    let near = (found - expected).abs() <= tolerance;
    (!near).then(|| format!("{what}: {found}, not {expected}"))
}

/// Times are multiples of 10 ms.
fn far_s(what: &str, found: f64, expected: f64) -> Option<String> {
    let near = (found - expected).abs() < 1e-6;
    (!near).then(|| format!("{what}: {found}, not {expected}"))
}

fn tiny(tiny: &TinyCheckpoint) -> Whisper {
    let directory = tempfile::tempdir().unwrap();
    tiny.write(directory.path()).unwrap();
    load(&Checkpoint::open(directory.path()).unwrap())
}

fn load(checkpoint: &Checkpoint) -> Whisper {
    let options = LoadOptions {
        precision: Precision::F32,
        ..LoadOptions::default()
    };
    Whisper::load(checkpoint, DeviceChoice::Cpu, options).unwrap()
}

/// The clips with a second of silence between them.
fn joined(clips: &[String]) -> Vec<f32> {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/audio");
    let read = |clip: &String| {
        let limit = Duration::from_secs(60);
        let recording = ::audio::file::open(&fixtures.join(clip), limit).unwrap();
        recording.waveform.unwrap().samples().to_vec()
    };
    let clips: Vec<Vec<f32>> = clips.iter().map(read).collect();
    clips.join(&[0.0; 16_000][..])
}
