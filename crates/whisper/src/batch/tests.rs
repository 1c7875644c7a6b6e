//! Batches on another device, which the CPU plays.

use std::time::Duration;

use ::audio::Waveform;

use super::*;
use crate::Whisper;
use crate::model::elsewhere::with_room_for;
use crate::testing::{TinyCheckpoint, audio, on_another_device};
use crate::{
    Beginning, Checkpoint, DeviceChoice, Language, LoadOptions, Options, Precision, Window,
};

/// Brings utterances as there is room, and raises a flag before a pass.
#[derive(Default)]
struct Several {
    waiting: Vec<(u64, Input)>,
    cancel_before: Option<(usize, Cancel)>,
    passes: usize,
    done: Vec<(u64, Result<Transcript, WhisperError>)>,
}

impl Several {
    fn of(inputs: &[Input]) -> Self {
        Self {
            waiting: (0..).zip(inputs.iter().cloned()).collect(),
            ..Self::default()
        }
    }

    /// Runs on this thread, as if it were another device: results by number.
    fn run(mut self, whisper: &Whisper, places: usize) -> Vec<Result<Transcript, WhisperError>> {
        on_another_device(|| {
            let state = whisper.engine().model().room(places, 2 + BRANCHES).unwrap();
            Batch::new(whisper.engine(), state, &mut self).run();
        });
        self.done.sort_by_key(|(number, _)| *number);
        self.done.into_iter().map(|(_, result)| result).collect()
    }
}

impl Source for Several {
    fn join(&mut self, room: usize) -> Vec<(u64, Input)> {
        self.passes += 1;
        if let Some((pass, cancel)) = &self.cancel_before
            && *pass == self.passes
        {
            cancel.cancel();
        }
        self.waiting.drain(..room.min(self.waiting.len())).collect()
    }

    fn done(&mut self, id: u64, result: Result<Transcript, WhisperError>) {
        self.done.push((id, result));
    }
}

fn whisper() -> Whisper {
    let directory = tempfile::tempdir().unwrap();
    let tiny = TinyCheckpoint::multilingual();
    tiny.write(directory.path()).unwrap();
    let checkpoint = Checkpoint::open(directory.path()).unwrap();
    let options = LoadOptions {
        precision: Precision::F32,
        ..LoadOptions::default()
    };
    Whisper::load(&checkpoint, DeviceChoice::Cpu, options).unwrap()
}

/// Commands of four lengths of window, several of each; one keeps two hypotheses, one wants its language detected,
/// one is longer than a window.
fn commands() -> Vec<Input> {
    let seconds = [
        2.0, 1.9, 30.0, 5.0, 2.1, 28.9, 2.0, 4.9, 2.0, 1.0, 29.9, 31.0,
    ];
    let mut inputs: Vec<Input> = (1..)
        .zip(seconds)
        .map(|(seed, seconds)| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "small positive durations"
            )]
            let samples = (seconds * 16_000.0) as usize;
            let mut input = Input::new(Waveform::new(audio(seed, samples)).unwrap());
            input.options = Options {
                language: Language::Fixed("en".to_owned()),
                window: Window::Dynamic,
                temperatures: vec![0.0],
                compression_ratio_threshold: None,
                log_prob_threshold: None,
                no_speech_threshold: None,
                max_new_tokens: Some(9),
                ..Options::default()
            };
            input
        })
        .collect();
    inputs[3].options.beam_size = 2;
    inputs[4].options.language = Options::default().language;
    inputs[5].options.max_new_tokens = Some(30);
    inputs
}

fn tokens(found: &Result<Transcript, WhisperError>) -> Vec<Vec<u32>> {
    let segments = &found.as_ref().unwrap().segments;
    segments
        .iter()
        .map(|segment| segment.tokens.clone())
        .collect()
}

#[test]
fn many_on_another_device_hear_what_each_hears_alone() {
    let whisper = whisper();
    let inputs = commands();
    let alone: Vec<_> = inputs
        .iter()
        .map(|input| {
            Several::of(std::slice::from_ref(input))
                .run(&whisper, 1)
                .remove(0)
        })
        .collect();
    // Random weights may say nothing but spaces.
    assert!(
        alone
            .iter()
            .filter(|found| tokens(found).is_empty())
            .count()
            < 4
    );
    for places in [3, 8, 16] {
        let found = Several::of(&inputs).run(&whisper, places);
        assert_eq!(found.len(), inputs.len());
        for (index, (found, alone)) in found.iter().zip(&alone).enumerate() {
            assert_eq!(tokens(found), tokens(alone), "{index} of {places} places");
        }
        // Those of one pass took the same time.
        let mut passes: Vec<Duration> = found
            .iter()
            .map(|found| found.as_ref().unwrap().timings.encode)
            .collect();
        passes.sort();
        passes.dedup();
        assert!(
            places == 3 || passes.len() + 4 <= inputs.len(),
            "{passes:?}"
        );
    }
}

#[test]
fn one_that_is_cancelled_leaves_the_others_of_its_pass_alone() {
    let whisper = whisper();
    let mut inputs = commands();
    inputs.truncate(6);
    for input in &mut inputs {
        input.options.window = Window::Exact;
    }
    let expected = Several::of(&inputs).run(&whisper, 6);
    // Asked before each pass, as a place stays free: the first pass encodes four windows.
    let source = Several {
        cancel_before: Some((2, inputs[1].cancel.clone())),
        ..Several::of(&inputs)
    };
    let found = source.run(&whisper, 7);
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        if index == 1 {
            assert!(matches!(found, Err(WhisperError::Cancelled)));
        } else {
            assert_eq!(tokens(found), tokens(expected), "{index}");
        }
    }
}

#[test]
fn without_memory_for_several_windows_each_goes_alone() {
    let whisper = whisper();
    let inputs = &commands()[..9];
    let expected = Several::of(inputs).run(&whisper, 8);
    let found = with_room_for(1, || Several::of(inputs).run(&whisper, 8));
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(tokens(found), tokens(expected));
    }
    let found = with_room_for(0, || Several::of(inputs).run(&whisper, 8));
    assert_eq!(found.len(), inputs.len());
    for found in found {
        assert!(matches!(found, Err(WhisperError::Model { .. })));
    }
}

#[test]
fn as_many_places_are_halved_as_the_device_has_no_memory_for() {
    let whisper = whisper();
    assert_eq!(
        with_room_for(3, || whisper.places_with_room(8, 1)).unwrap(),
        8,
        "the host"
    );
    on_another_device(|| {
        let places = |room, wanted| with_room_for(room, || whisper.places_with_room(wanted, 2));
        assert_eq!(places(8, 8).unwrap(), 8);
        assert_eq!(places(3, 8).unwrap(), 2);
        assert_eq!(places(1, 7).unwrap(), 1);
        assert!(matches!(places(0, 8), Err(WhisperError::Model { .. })));
    });
}

/// Whatever is heard: random weights mostly say something else, and some say nothing.
#[test]
fn a_transcript_begins_with_what_was_settled() {
    let whisper = whisper();
    let words = whisper.vocabulary().encode(" So it is");
    let beginning = Arc::new(Beginning::of_tokens(words));
    let mut inputs = commands();
    for (index, input) in inputs.iter_mut().enumerate() {
        input.options.beginning = Some(Arc::clone(&beginning));
        input.options.language = Language::Fixed("en".to_owned());
        input.options.timestamps = index % 4 == 1;
        input.options.speech_threshold = (index % 3 == 2).then_some(1.0);
        if index % 4 == 2 {
            // Everything is silence, or doubted.
            input.options.no_speech_threshold = Some(0.0);
            input.options.log_prob_threshold = Some(0.0);
            input.options.temperatures = vec![0.0, 0.6];
        }
    }
    for found in Several::of(&inputs).run(&whisper, 8) {
        let text = found.unwrap().text;
        assert!(text.starts_with("So it is"), "{text:?}");
    }
}

#[test]
fn a_beginning_that_would_be_heard_anyway_changes_nothing() {
    let whisper = whisper();
    let mut inputs = commands();
    inputs.truncate(11);
    for input in &mut inputs {
        input.options.language = Language::Fixed("en".to_owned());
        input.options.beam_size = 1;
    }
    let expected = Several::of(&inputs).run(&whisper, 8);
    let mut begun = 0;
    for (input, expected) in inputs.iter_mut().zip(&expected) {
        let tokens = tokens(expected).concat();
        let tokens = tokens[..tokens.len() / 2].to_vec();
        begun += tokens.len();
        input.options.beginning = Some(Beginning::of_tokens(tokens).into());
    }
    assert!(begun > 10, "{begun}");
    let found = Several::of(&inputs).run(&whisper, 8);
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(tokens(found), tokens(expected), "{index}");
    }
}
