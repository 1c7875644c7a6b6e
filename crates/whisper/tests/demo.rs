//! What the demo model hears: the spoken fixtures, sounds without speech, several utterances at once.

#![cfg(feature = "demo-model")]
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::{path::PathBuf, sync::LazyLock, time::Duration};

use ::audio::Waveform;
use whisper::{
    Cancel, Checkpoint, DeviceChoice, Fused, Input, Language, LoadOptions, Precision, Source,
    Transcript, Whisper, WhisperError, Window,
    testing::{on_a_gpu, on_another_device, small_integers, word_errors},
};

/// As it is loaded by default.
static DEMO: LazyLock<Whisper> = LazyLock::new(|| demo(Precision::Auto));

fn demo(precision: Precision) -> Whisper {
    let options = LoadOptions {
        precision,
        ..LoadOptions::default()
    };
    Whisper::load(&Checkpoint::demo().unwrap(), DeviceChoice::Cpu, options).unwrap()
}

const SECOND: usize = 16_000;

/// Word errors that the demo model may make on the held-out clips, out of their 122 words.
const HELD_OUT_ERRORS: usize = 4;

#[test]
fn spoken_fixtures_give_their_words_in_each_window() {
    for window in [Window::Auto, Window::Exact, Window::Dynamic] {
        let clips = clips("");
        assert!(clips.len() >= 6);
        let inputs: Vec<Input> = clips
            .iter()
            .map(|(waveform, _)| input(waveform, window))
            .collect();
        for (found, (_, words)) in DEMO.transcribe(&inputs).into_iter().zip(&clips) {
            assert_eq!(found.unwrap().text, *words, "{window:?}");
        }
    }
}

#[test]
fn unheard_voices_stay_under_the_ceiling() {
    for window in [Window::Auto, Window::Exact, Window::Dynamic] {
        let clips = clips("heldout");
        let (mut errors, mut words) = (0, 0);
        for batch in clips.chunks(8) {
            let inputs: Vec<Input> = batch.iter().map(|(w, _)| input(w, window)).collect();
            for (found, (_, said)) in DEMO.transcribe(&inputs).into_iter().zip(batch) {
                errors += word_errors(said, &found.unwrap().text);
                words += said.split_whitespace().count();
            }
        }
        assert!(
            errors <= HELD_OUT_ERRORS,
            "{window:?}: {errors} of {words} words wrong"
        );
    }
}

/// Clips, in all windows, whose words may differ between f32 and a narrower precision.
const OTHER_WORDS: usize = 2;

#[test]
fn int8_hears_the_words_that_f32_hears() {
    let int8 = demo(Precision::Int8);
    assert_eq!(int8.info().precision, "int8");
    check_words_of_f32(&int8, &[clips(""), clips("heldout")].concat());
}

/// The operations of a GPU, from the spectrogram to the words, computed by the CPU.
#[test]
fn f16_on_another_device_hears_the_words_that_f32_hears() {
    let f16 = on_another_device(|| demo(Precision::F16));
    assert_eq!(f16.info().precision, "f16");
    // Not the others too: the CPU is slow at f16.
    check_words_of_f32(&f16, &clips(""));
}

/// And with kernels of our own among them, in whose place are loops.
#[test]
fn f16_on_a_gpu_hears_the_words_that_f32_hears() {
    let f16 = on_a_gpu(|| demo(Precision::F16));
    assert!(matches!(f16.fused(), Fused::Used));
    check_words_of_f32(&f16, &clips(""));
}

/// Windows of one length are encoded together there, and tokens of all are read together.
#[test]
fn many_at_once_on_a_gpu_hear_what_each_hears_alone() {
    let f16 = on_a_gpu(|| demo(Precision::F16));
    let clips = clips("");
    let inputs: Vec<Input> = clips
        .iter()
        .chain(&clips)
        .enumerate()
        .map(|(index, (waveform, _))| {
            let mut input = input(waveform, Window::Dynamic);
            input.options.beam_size = 1 + 2 * (index % 3 % 2);
            input.options.timestamps = index % 4 == 3;
            if index % 2 == 1 {
                input.options.initial_prompt = Some("Ada".to_owned());
            }
            input
        })
        .collect();
    for (input, together) in inputs.iter().zip(f16.transcribe(&inputs)) {
        let alone = f16.transcribe(std::slice::from_ref(input)).remove(0);
        assert_eq!(alone.unwrap().text, together.unwrap().text);
    }
}

fn check_words_of_f32(narrow: &Whisper, clips: &[(Waveform, String)]) {
    let reference = demo(Precision::F32);
    let mut others = Vec::new();
    for window in [Window::Auto, Window::Exact, Window::Dynamic] {
        for (waveform, _) in clips {
            let inputs = [input(waveform, window)];
            let [exact, rounded] = [&reference, narrow]
                .map(|whisper| whisper.transcribe(&inputs).remove(0).unwrap().text);
            if exact != rounded {
                others.push(format!("{exact:?} became {rounded:?}"));
            }
        }
    }
    assert!(others.len() <= OTHER_WORDS, "{others:#?}");
}

#[test]
fn sounds_without_speech_give_empty_text() {
    let noise: Vec<f32> = small_integers(3, "noise")
        .take(2 * SECOND)
        .map(|integer| f32::from(integer) / 1_270.0)
        .collect();
    let tone: Vec<f32> = (0_u16..32_000)
        .map(|i| 0.2 * (f32::from(i) * std::f32::consts::TAU * 440.0 / 16_000.0).sin())
        .collect();
    for samples in [vec![0.0; SECOND], vec![0.0; 1], noise, tone] {
        for window in [Window::Auto, Window::Exact, Window::Dynamic] {
            let waveform = Waveform::new(samples.clone()).unwrap();
            let mut results = DEMO.transcribe(&[input(&waveform, window)]);
            let transcript = results.remove(0).unwrap();
            assert_eq!(transcript.text, "", "{} samples", samples.len());
            assert_eq!(transcript.segments, []);
        }
    }
}

#[test]
fn batch_of_mixed_wishes_equals_each_alone() {
    let inputs: Vec<Input> = clips("")
        .iter()
        .enumerate()
        .map(|(index, (waveform, _))| {
            let window = [Window::Exact, Window::Dynamic, Window::Auto][index % 3];
            let mut input = input(waveform, window);
            input.options.beam_size = 1 + 2 * (index % 3);
            input.options.timestamps = index % 4 == 3;
            if index % 2 == 1 {
                input.options.language = Language::Fixed("en".to_owned());
                input.options.initial_prompt = Some("Ada".to_owned());
            }
            input
        })
        .collect();
    let together = DEMO.transcribe(&inputs);
    for (input, together) in inputs.iter().zip(together) {
        let alone = DEMO.transcribe(std::slice::from_ref(input)).remove(0);
        let (alone, together) = (alone.unwrap(), together.unwrap());
        assert_eq!(alone.text, together.text);
        for (alone, together) in alone.segments.iter().zip(&together.segments) {
            assert_eq!(alone.tokens, together.tokens);
        }
    }
}

#[test]
fn failed_and_cancelled_utterances_leave_the_others_alone() {
    let clips = clips("");
    let mut inputs: Vec<Input> = clips.iter().map(|(w, _)| input(w, Window::Exact)).collect();
    inputs[1].options.language = Language::Fixed("tlh".to_owned());
    inputs[3].cancel.cancel();
    for (index, (found, (_, words))) in DEMO.transcribe(&inputs).into_iter().zip(&clips).enumerate()
    {
        match (index, found) {
            (1, Err(WhisperError::UnsupportedLanguage { language })) => {
                assert_eq!(language, "tlh");
            }
            (3, Err(WhisperError::Cancelled)) => {}
            (_, Ok(found)) => assert_eq!(found.text, *words),
            (_, Err(error)) => panic!("{index}: {error}"),
        }
    }
}

#[test]
fn cancelled_utterance_stops_before_its_end() {
    let mut long = input(&spoken_minutes(), Window::Exact);
    let cancel = Cancel::default();
    long.cancel = cancel.clone();
    let short = input(&clips("")[0].0, Window::Exact);
    let mut stopped = Vec::new();
    DEMO.transcribe_each(&[long, short], |index, result| {
        // The short one is there after the first round, when the long one has windows to go.
        cancel.cancel();
        stopped.push((index, matches!(result, Err(WhisperError::Cancelled))));
    });
    assert_eq!(stopped, [(1, false), (0, true)]);
}

/// Lets one utterance in before every so many passes, and notes who is done.
struct Trickle {
    waiting: Vec<(u64, Input)>,
    passes_between: usize,
    passes: usize,
    done: Vec<(u64, Result<Transcript, WhisperError>)>,
    most_at_once: usize,
    live: usize,
}

impl Source for Trickle {
    fn join(&mut self, room: usize) -> Vec<(u64, Input)> {
        self.passes += 1;
        let is_due = self.live == 0 || self.passes.is_multiple_of(self.passes_between);
        if !is_due || self.waiting.is_empty() || room == 0 {
            return Vec::new();
        }
        self.live += 1;
        self.most_at_once = self.most_at_once.max(self.live);
        vec![self.waiting.remove(0)]
    }

    fn done(&mut self, id: u64, result: Result<Transcript, WhisperError>) {
        self.live -= 1;
        self.done.push((id, result));
    }
}

#[test]
fn whoever_joins_in_the_middle_hears_the_same_and_disturbs_nobody() {
    let mut inputs: Vec<Input> = clips("heldout")
        .iter()
        .map(|(waveform, _)| input(waveform, Window::Dynamic))
        .collect();
    for (index, input) in inputs.iter_mut().enumerate() {
        input.options.beam_size = 1 + 2 * (index % 2);
        input.options.timestamps = index % 3 == 2;
        if index % 5 == 4 {
            input.options.language = Language::Fixed("en".to_owned());
        }
    }
    let alone: Vec<String> = inputs
        .iter()
        .map(|input| DEMO.transcribe(std::slice::from_ref(input)).remove(0))
        .map(|found| found.unwrap().text)
        .collect();
    for (passes_between, places) in [(1, 3), (2, 8), (7, 8), (400, 2)] {
        let mut source = Trickle {
            waiting: (0..).zip(inputs.clone()).collect(),
            passes_between,
            passes: 0,
            done: Vec::new(),
            most_at_once: 0,
            live: 0,
        };
        DEMO.transcribe_from(places, 3, &mut source);
        assert!(source.most_at_once <= places);
        assert!(passes_between > 100 || source.most_at_once > 1);
        assert_eq!(source.done.len(), inputs.len());
        for (id, found) in source.done {
            let index = usize::try_from(id).unwrap();
            assert_eq!(found.unwrap().text, alone[index], "{passes_between}");
        }
    }
}

#[test]
fn a_command_that_joins_a_long_file_is_done_long_before_it() {
    let long = input(&spoken_minutes(), Window::Exact);
    let short = input(&clips("")[0].0, Window::Exact);
    let mut source = Trickle {
        waiting: vec![(0, long), (1, short)],
        passes_between: 10,
        passes: 0,
        done: Vec::new(),
        most_at_once: 0,
        live: 0,
    };
    DEMO.transcribe_from(2, 1, &mut source);
    let order: Vec<u64> = source.done.iter().map(|(id, _)| *id).collect();
    assert_eq!(order, [1, 0]);
    assert!(
        source.done[0].1.as_ref().unwrap().timings.encode
            < source.done[1].1.as_ref().unwrap().timings.encode
    );
}

#[test]
fn two_minutes_pass_window_by_window() {
    let waveform = spoken_minutes();
    let found = DEMO
        .transcribe(&[input(&waveform, Window::Exact)])
        .remove(0)
        .unwrap();
    assert!(waveform.duration() > Duration::from_secs(60));
    assert!(found.segments.len() > 6, "{}", found.segments.len());
    let mut earlier = 0.0;
    for segment in &found.segments {
        assert!(segment.start_s >= earlier - 1e-9, "{segment:?}");
        assert!(segment.end_s > segment.start_s, "{segment:?}");
        assert!(segment.end_s <= waveform.duration().as_secs_f64() + 0.02);
        earlier = segment.start_s;
    }
}

/// All fixtures in a row, with a second of silence between: more than a minute.
fn spoken_minutes() -> Waveform {
    let mut all = Vec::new();
    for (waveform, _) in clips("").into_iter().chain(clips("heldout")) {
        all.extend_from_slice(waveform.samples());
        all.extend([0.0; SECOND]);
    }
    Waveform::new(all).unwrap()
}

fn input(waveform: &Waveform, window: Window) -> Input {
    let mut input = Input::new(waveform.clone());
    input.options.window = window;
    input
}

/// The clips of a folder of the fixtures, with their words.
fn clips(folder: &str) -> Vec<(Waveform, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures/audio")
        .join(folder);
    let mut texts: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    texts.sort();
    texts
        .iter()
        .map(|text| {
            let clip = ["wav", "flac"]
                .map(|extension| text.with_extension(extension))
                .into_iter()
                .find(|clip| clip.exists())
                .unwrap();
            let recording = ::audio::file::open(&clip, Duration::from_secs(60)).unwrap();
            let words = std::fs::read_to_string(text).unwrap();
            (recording.waveform.unwrap(), words.trim().to_owned())
        })
        .collect()
}
