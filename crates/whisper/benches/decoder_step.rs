//! The decoder of Whisper tiny's and base's shape with random weights over a 30 s window, in every precision: the prompt,
//! and one more token for one and for several rows.
//!
//! These calls give exact logits of the whole vocabulary. With int8, serving settles the highest alone, which takes less:
//! `split` of the kernels' bench has that part, and the example `race` the whole.

#![expect(clippy::unwrap_used, reason = "a bench ends at the first surprise")]

use candle_core::Device;
use criterion::{Criterion, criterion_group, criterion_main};
use whisper::{
    Checkpoint, Level, MelExtractor, Model, Precision,
    testing::{TinyCheckpoint, audio},
};

/// Tokens before the measured one: the middle of a sentence.
const BEFORE: usize = 20;

fn decoder(criterion: &mut Criterion) {
    for (name, shape) in [
        ("tiny", TinyCheckpoint::tiny_shape()),
        ("base", TinyCheckpoint::base_shape()),
    ] {
        let directory = tempfile::tempdir().unwrap();
        shape.write(directory.path()).unwrap();
        let checkpoint = Checkpoint::open(directory.path()).unwrap();
        for precision in [Precision::F32, Precision::Int8] {
            let model =
                Model::load_as(&checkpoint, &Device::Cpu, precision, Level::best()).unwrap();
            passes(criterion, &format!("{name}, {}", model.precision()), &model);
        }
    }
}

fn passes(criterion: &mut Criterion, name: &str, model: &Model) {
    let mel = MelExtractor::new(80)
        .stream_of(&audio(1, 160_000))
        .window(3000)
        .unwrap();
    let encoded = model.encode_each(&[&mel]).unwrap();
    let mut group = criterion.benchmark_group("decoder");
    group.sample_size(20);

    let mut state = model.start(&encoded, 1).unwrap();
    group.bench_function(format!("{name}, prompt of 4 tokens"), |bench| {
        bench.iter(|| {
            state.clear(0);
            model.prefill(&mut state, 0, &[1, 2, 3, 4], &[3]).unwrap()
        });
    });
    group.bench_function(format!("{name}, prompt of 227 tokens"), |bench| {
        let prompt: Vec<u32> = (0..227).collect();
        bench.iter(|| {
            state.clear(0);
            model.prefill(&mut state, 0, &prompt, &[226]).unwrap()
        });
    });
    // Rows of one item are beams, items are requests of a batch.
    for (items, beams) in [(1, 1), (1, 5), (4, 1), (8, 1)] {
        let mut state = model
            .start(&vec![encoded[0].clone(); items], beams)
            .unwrap();
        for row in 0..items * beams {
            model.prefill(&mut state, row, &[7; BEFORE], &[]).unwrap();
        }
        let tokens: Vec<(usize, u32)> = (0..items * beams).map(|row| (row, 7)).collect();
        group.bench_function(
            format!("{name}, one token, {items} items of {beams} rows"),
            |bench| {
                bench.iter(|| {
                    (0..items * beams).for_each(|row| state.truncate(row, BEFORE));
                    model.step(&mut state, &tokens).unwrap()
                });
            },
        );
    }
}

criterion_group!(benches, decoder);
criterion_main!(benches);
