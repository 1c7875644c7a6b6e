//! The encoder of Whisper tiny's and base's shape with random weights, in every precision: the 30 s window, and windows
//! trimmed to short audio.

#![expect(clippy::unwrap_used, reason = "a bench ends at the first surprise")]

use candle_core::Device;
use criterion::{Criterion, criterion_group, criterion_main};
use whisper::{
    Checkpoint, Level, MelExtractor, Model, Precision, Window,
    testing::{TinyCheckpoint, audio},
};

fn encoder(criterion: &mut Criterion) {
    for (name, shape) in [
        ("tiny", TinyCheckpoint::tiny_shape()),
        ("base", TinyCheckpoint::base_shape()),
    ] {
        let directory = tempfile::tempdir().unwrap();
        shape.write(directory.path()).unwrap();
        let checkpoint = Checkpoint::open(directory.path()).unwrap();
        let models = [Precision::F32, Precision::Int8].map(|precision| {
            Model::load_as(&checkpoint, &Device::Cpu, precision, Level::best()).unwrap()
        });
        windows(criterion, name, &models);
    }
}

/// The precisions take turns, so that a busy machine slows both.
fn windows(criterion: &mut Criterion, shape: &str, models: &[Model]) {
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
        for model in models {
            let precision = model.precision();
            group.bench_function(
                format!("{shape}, {precision}, {name}, {frames} frames"),
                |bench| {
                    bench.iter(|| model.encode_each(&[&mel]).unwrap());
                },
            );
            let encoded = model.encode_each(&[&mel]).unwrap();
            group.bench_function(
                format!("{shape}, {precision}, {name}, keys and values for the decoder"),
                |bench| {
                    bench.iter(|| model.start(&encoded, 1).unwrap());
                },
            );
        }
    }
}

criterion_group!(benches, encoder);
criterion_main!(benches);
