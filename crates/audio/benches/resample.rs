//! What a client's format costs: one second of 44.1 kHz stereo, and of the usual 16 kHz mono.

use std::time::Duration;

use audio::{Ingest, PcmFormat};
use criterion::{Criterion, criterion_group, criterion_main};

fn ingest(format: PcmFormat, bytes: &[u8]) {
    let mut ingest = Ingest::new(Duration::from_secs(10));
    for chunk in bytes.chunks(4_096) {
        ingest.push(format, chunk).expect("within the limit");
    }
    let waveform = ingest.finish().expect("within the limit");
    assert_eq!(
        waveform.map(|waveform| waveform.duration()),
        Some(Duration::from_secs(1))
    );
}

fn resample(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ingest one second");
    for (name, rate, channels) in [
        ("44.1 kHz stereo", 44_100, 2_u8),
        ("16 kHz mono", 16_000, 1),
    ] {
        let format = PcmFormat::new(rate, 2, channels).expect("supported");
        let bytes = vec![3_u8; rate as usize * 2 * usize::from(channels)];
        group.bench_function(name, |bencher| bencher.iter(|| ingest(format, &bytes)));
    }
    group.finish();
}

criterion_group!(benches, resample);
criterion_main!(benches);
