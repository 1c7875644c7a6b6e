//! The passes on the host and on another device, which the CPU plays.

use super::*;
use crate::{
    mel::MelExtractor,
    testing::{TinyCheckpoint, audio, on_another_device},
};

/// Everything that other devices do in another way: prompt, steps of rows of two items, beams.
fn transcript_of_everything(model: &Model) -> Vec<Vec<f32>> {
    let extractor = MelExtractor::new(128);
    let windows = [(5, 704), (6, 448)]
        .map(|(seed, frames)| extractor.stream_of(&audio(seed, 60_000)).window(frames));
    let windows = windows.map(Result::unwrap);
    let encoded = model.encode_each(&windows.each_ref()).unwrap();
    let mut state = model.start(&encoded, 2).unwrap();
    let mut logits = Vec::new();
    for row in 0..4 {
        let prompt: Vec<u32> = (0..20 + row).map(|token| 3 * token).collect();
        let row = row as usize;
        logits.extend(model.prefill(&mut state, row, &prompt, &[0, 7]).unwrap());
    }
    logits.extend(model.step(&mut state, &[(0, 1), (1, 2), (3, 4)]).unwrap());
    state.reorder(0, &[1, 0]).unwrap();
    state.copy_row(3, 2).unwrap();
    let step = [(0, 5), (1, 5), (2, 6), (3, 6)];
    logits.extend(model.step(&mut state, &step).unwrap());
    logits
}

#[test]
fn an_encoder_that_is_cancelled_stops_and_one_that_is_not_gives_the_same() {
    let directory = tempfile::tempdir().unwrap();
    TinyCheckpoint::large_v3().write(directory.path()).unwrap();
    let checkpoint = Checkpoint::open(directory.path()).unwrap();
    let model = Model::load(&checkpoint, &Device::Cpu).unwrap();
    let stream = MelExtractor::new(128).stream_of(&audio(5, 60_000));
    let window = stream.window(704).unwrap();
    let cancel = Cancel::default();
    let values = |encoded: &Tensor| encoded.to_vec2::<f32>().unwrap();
    let whole = model.encode_each(&[&window]).unwrap();
    let encode = |cancels: &[&Cancel]| {
        let windows = vec![&window; cancels.len()];
        model.encode_unless(cancels, &windows, None).unwrap()
    };
    let encoded = encode(&[&cancel]).unwrap();
    assert_eq!(values(&encoded.get(0).unwrap()), values(&whole[0]));
    cancel.cancel();
    assert!(encode(&[&cancel]).is_none());
    assert!(encode(&[&cancel, &cancel]).is_none());
    // One that still wants its words keeps the pass going.
    let encoded = encode(&[&cancel, &Cancel::default()]).unwrap();
    assert_eq!(values(&encoded.get(1).unwrap()), values(&whole[0]));
}

/// What stands for the rest of a window brings the encoder nearer to what all of it gives. The table of positions is
/// random here, so that 64 of them are a sample; OpenAI's is smooth.
#[test]
fn a_short_window_with_its_rest_is_near_the_whole_one() {
    let directory = tempfile::tempdir().unwrap();
    TinyCheckpoint::large_v3().write(directory.path()).unwrap();
    let checkpoint = Checkpoint::open(directory.path()).unwrap();
    let stream = MelExtractor::new(128).stream_of(&audio(5, 60_000));
    let window = |frames| stream.window(frames).unwrap();
    for precision in [Precision::F32, Precision::Int8] {
        let model = Model::load_as(&checkpoint, &Device::Cpu, precision, Level::best()).unwrap();
        let short = window(576).padded_on();
        let rest = model.rest_of(&short).unwrap();
        assert_eq!(model.rest_of(&window(576)), None);
        let encode = |window: &LogMel, rest| {
            let encoded = model.encode_unless(&[&Cancel::default()], &[window], rest);
            encoded.unwrap().unwrap()
        };
        let values = |encoded: &Tensor| -> Vec<f32> {
            let audio = encoded.narrow(1, 0, 200).unwrap();
            audio.flatten_all().unwrap().to_vec1().unwrap()
        };
        let whole = values(&encode(&window(model.window_frames()), None));
        let encoded = encode(&short, Some(rest));
        assert_eq!(encoded.dim(1).unwrap(), 576 / 2 + Rest::COUNT);
        let off = |found: &[f32]| {
            let pairs = found.iter().zip(&whole);
            pairs.map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
        };
        let with_rest = off(&values(&encoded));
        let without = off(&values(&encode(&short, None)));
        assert!(
            with_rest < without / 2.0,
            "{precision:?}: {with_rest} with, {without} without"
        );
    }
}

#[test]
fn windows_in_one_pass_are_what_each_is_alone() {
    let directory = tempfile::tempdir().unwrap();
    TinyCheckpoint::large_v3().write(directory.path()).unwrap();
    let checkpoint = Checkpoint::open(directory.path()).unwrap();
    let precision = Precision::Int8;
    let model = Model::load_as(&checkpoint, &Device::Cpu, precision, Level::best()).unwrap();
    let extractor = MelExtractor::new(128);
    let windows = [5, 6].map(|seed| extractor.stream_of(&audio(seed, 60_000)).window(704));
    let windows = windows.map(Result::unwrap);
    let cancels = [Cancel::default(), Cancel::default()];
    let together = model
        .encode_unless(&cancels.each_ref(), &windows.each_ref(), None)
        .unwrap()
        .unwrap();
    let values = |encoded: &Tensor| encoded.to_vec2::<f32>().unwrap();
    let alone = model.encode_each(&windows.each_ref()).unwrap();
    for (index, alone) in alone.iter().enumerate() {
        assert_eq!(values(&together.get(index).unwrap()), values(alone));
    }
}

#[test]
fn other_devices_compute_the_same_as_the_loops_for_the_cpu() {
    let directory = tempfile::tempdir().unwrap();
    let tiny = TinyCheckpoint::large_v3();
    tiny.write(directory.path()).unwrap();
    let checkpoint = Checkpoint::open(directory.path()).unwrap();
    let model = Model::load(&checkpoint, &Device::Cpu).unwrap();
    let host = transcript_of_everything(&model);
    let elsewhere = on_another_device(|| transcript_of_everything(&model));
    assert_eq!(host.len(), elsewhere.len());
    for (host, elsewhere) in host.concat().iter().zip(elsewhere.concat()) {
        // Other kernels, another order of sums; logits up to 8.
        assert!((host - elsewhere).abs() < 1e-4, "{host} and {elsewhere}");
    }
}

/// The first of the highest of those that are not forbidden.
fn best_of(mut logits: Vec<f32>, forbidden: &[u32]) -> Best {
    for token in forbidden {
        logits[*token as usize] = f32::NEG_INFINITY;
    }
    let logit = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let token = (0_u32..).zip(&logits).find(|(_, other)| **other >= logit);
    Best {
        token: token.unwrap().0,
        logit,
        total: log_sum_exp(&logits),
    }
}

#[test]
fn other_devices_choose_the_best_token_that_may_be_said() {
    let directory = tempfile::tempdir().unwrap();
    TinyCheckpoint::multilingual()
        .write(directory.path())
        .unwrap();
    let checkpoint = Checkpoint::open(directory.path()).unwrap();
    for precision in [Precision::F32, Precision::F16] {
        let load = || Model::load_as(&checkpoint, &Device::Cpu, precision, Level::best());
        on_another_device(|| {
            let mut model = load().unwrap();
            let window = MelExtractor::new(80).stream_of(&audio(5, 60_000));
            let encoded = model.encode_each(&[&window.window(448).unwrap()]).unwrap();
            let tokens = [[1, 2, 3], [4, 5, 6], [7, 8, 9]];
            let prompts: Vec<Prefill<'_>> = (0..)
                .zip(&tokens)
                .map(|(row, tokens)| Prefill {
                    row,
                    tokens,
                    asked: &[0, 2],
                })
                .collect();
            let start = |model: &Model| model.start(&encoded, 3).unwrap();
            let logits = model.prefill_rows(&mut start(&model), &prompts).unwrap();
            let favourite = |row: &Vec<f32>| best_of(row.clone(), &[]).token;
            let forbidden: Vec<u32> = logits[0].iter().map(favourite).collect();
            model.forbid(&forbidden).unwrap();
            for greedy in [&[true, false, true][..], &[true; 3], &[]] {
                let predicted = model
                    .predict_rows(&mut start(&model), &prompts, greedy)
                    .unwrap();
                for (row, (predicted, expected)) in predicted.iter().zip(&logits).enumerate() {
                    assert_eq!(predicted.len(), 2);
                    for (predicted, expected) in predicted.iter().zip(expected) {
                        let is_greedy = greedy.get(row) == Some(&true);
                        match predicted {
                            Prediction::Logits(logits) if !is_greedy => {
                                assert_eq!(logits.values(), expected);
                            }
                            Prediction::Best(best) if is_greedy => {
                                let expected = best_of(expected.clone(), &forbidden);
                                assert_eq!(best.token, expected.token);
                                assert_eq!(best.logit.to_bits(), expected.logit.to_bits());
                                assert!((best.total - expected.total).abs() < 1e-4);
                            }
                            other => panic!("row {row} of {greedy:?}: {other:?}"),
                        }
                    }
                }
            }
        });
    }
}

#[test]
fn of_equal_logits_the_first_is_chosen_on_a_device_too() {
    let logits = [
        [1.0, 5.0, 9.0, 5.0, -1.0],
        [f32::NEG_INFINITY, -3.0, 0.0, -4.0, -3.0],
        [0.0, f32::NAN, 0.0, 2.0, 1.0],
    ];
    let logits = Tensor::new(&logits, &Device::Cpu).unwrap();
    for (number_type, has_fused) in [
        (candle_core::DType::F32, false),
        (candle_core::DType::F16, false),
        (candle_core::DType::F16, true),
    ] {
        let choice = BestTokens::new(&[2, 77], 5, &Device::Cpu, has_fused).unwrap();
        let found = choice
            .of_rows(&logits.to_dtype(number_type).unwrap())
            .unwrap();
        assert_eq!((found[0].token, found[1].token), (1, 1));
        assert!((found[0].total - (2.0 + (-4.0_f32).exp()).ln() - 5.0).abs() < 0.01);
        assert!(found[2].total.is_nan(), "{:?}", found[2]);
    }
}

/// Items lie beside each other on other devices, and what a mask hides takes part in sums.
#[test]
fn audio_that_is_not_finite_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    TinyCheckpoint::large_v3().write(directory.path()).unwrap();
    let checkpoint = Checkpoint::open(directory.path()).unwrap();
    let model = Model::load(&checkpoint, &Device::Cpu).unwrap();
    let extractor = MelExtractor::new(128);
    let encoded = [(5, 704), (6, 448)].map(|(seed, frames)| {
        let window = extractor.stream_of(&audio(seed, 60_000)).window(frames);
        model
            .encode(&model.mel_batch(&[&window.unwrap()]).unwrap())
            .unwrap()
    });
    let nothing = (encoded[0].log().unwrap() * f64::NAN).unwrap();
    let said = |state: &mut State| {
        for (item, encoded) in encoded.iter().enumerate() {
            model.hear(state, &[item], encoded, None).unwrap();
        }
        let prompts = [(0, &[1, 2, 3, 4, 5][..]), (3, &[6, 7])];
        let prompts = prompts.map(|(row, tokens)| Prefill {
            row,
            tokens,
            asked: &[0],
        });
        let mut logits = model.prefill_rows(state, &prompts).unwrap().concat();
        logits.extend(model.step(state, &[(0, 8), (3, 9)]).unwrap());
        logits.concat()
    };
    on_another_device(|| {
        let expected = said(&mut model.room(2, 2).unwrap());
        let mut state = model.room(2, 2).unwrap();
        for item in 0..2 {
            model.hear(&mut state, &[item], &nothing, None).unwrap();
            let logits = model
                .prefill(&mut state, 2 * item, &[1; 20], &[19])
                .unwrap();
            assert!(logits.concat().iter().all(|logit| logit.is_nan()));
            state.copy_row(2 * item, 2 * item + 1).unwrap();
        }
        // Not equal to itself where it is not a number.
        assert!(said(&mut state) == expected, "a trace is left");
        assert!(expected.iter().all(|logit| logit.is_finite()));
    });
}
