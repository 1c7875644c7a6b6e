//! Log-mel spectrogram: 30 s at once, and 20 ms of a stream.

#![expect(clippy::unwrap_used, reason = "a bench ends at the first surprise")]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use whisper::{MelExtractor, MelStream, testing::audio};

fn mel(criterion: &mut Criterion) {
    let samples = audio(1, 480_000);
    for n_mels in [80, 128] {
        let extractor = MelExtractor::new(n_mels);
        criterion.bench_function(&format!("mel/{n_mels} bins, 30 s"), |bench| {
            bench.iter(|| extractor.stream_of(&samples).window(3000).unwrap());
        });
    }
    let half = MelExtractor::new(80).stream_of(&samples[..160_000]);
    criterion.bench_function("mel/80 bins, one chunk of 20 ms", |bench| {
        let push = |mut stream: MelStream| {
            stream.push(&samples[160_000..160_320]);
            stream
        };
        // The second clone has room behind its columns, as a stream that grows has.
        let stream = || push(half.clone());
        bench.iter_batched(stream, push, BatchSize::SmallInput);
    });
    criterion.bench_function("mel/80 bins, taking the window after 10 s", |bench| {
        bench.iter(|| half.window(3000).unwrap());
    });
}

criterion_group!(benches, mel);
criterion_main!(benches);
