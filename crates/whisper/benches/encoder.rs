//! The encoder of Whisper tiny's shape with random weights: the 30 s window, and windows trimmed to short audio.

#![expect(clippy::unwrap_used, reason = "a bench ends at the first surprise")]

use candle_core::Device;
use criterion::{Criterion, criterion_group, criterion_main};
use whisper::{
    Checkpoint, MelExtractor, Model, Window,
    testing::{TinyCheckpoint, audio},
};

fn encoder(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    TinyCheckpoint::tiny_shape()
        .write(directory.path())
        .unwrap();
    let model = Model::load(&Checkpoint::open(directory.path()).unwrap(), &Device::Cpu).unwrap();
    let extractor = MelExtractor::new(80);
    let mut group = criterion.benchmark_group("encoder");
    group.sample_size(10);
    for (name, audio_s, window) in [
        ("30 s window", 10, Window::Exact),
        ("10 s trimmed", 10, Window::Dynamic),
        ("3 s trimmed", 3, Window::Dynamic),
    ] {
        let samples = audio(1, audio_s * 16_000);
        let frames = window.frames(samples.len(), 3000);
        let mel = extractor.stream_of(&samples).window(frames).unwrap();
        group.bench_function(format!("tiny, {name}, {frames} frames"), |bench| {
            bench.iter(|| model.encode_each(&[&mel]).unwrap());
        });
        let encoded = model.encode_each(&[&mel]).unwrap();
        group.bench_function(
            format!("tiny, {name}, keys and values for the decoder"),
            |bench| {
                bench.iter(|| model.start(&encoded, 1).unwrap());
            },
        );
    }
}

criterion_group!(benches, encoder);
criterion_main!(benches);
