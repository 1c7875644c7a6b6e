//! How fast audio chunks of a live microphone (10 ms, 320 bytes) are read and written.

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio_util::codec::{Decoder, Encoder};
use wyoming::{AudioChunk, AudioFormat, Event, Form, FrameCodec, Limits};

const CHUNKS: usize = 100;

fn chunk() -> Event {
    Event::AudioChunk(AudioChunk {
        format: AudioFormat::new(16_000, 2, 1).expect("no zero"),
        timestamp_ms: None,
        pcm: Bytes::from(vec![7; 320]),
    })
}

fn stream() -> BytesMut {
    let mut out = BytesMut::new();
    let mut codec = FrameCodec::new(Limits::default());
    for _ in 0..CHUNKS {
        codec
            .encode((chunk(), Form::Block), &mut out)
            .expect("writable");
    }
    out
}

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame");
    group.throughput(Throughput::Elements(CHUNKS as u64));
    let bytes = stream();
    group.bench_function("read 320-byte chunks", |bencher| {
        bencher.iter(|| {
            let mut buffer = bytes.clone();
            let mut codec = FrameCodec::new(Limits::default());
            let mut count = 0;
            while let Some(frame) = codec.decode(&mut buffer).expect("well formed") {
                assert!(matches!(Event::from_frame(frame), Ok(Event::AudioChunk(_))));
                count += 1;
            }
            assert_eq!(count, CHUNKS);
        });
    });
    group.bench_function("write 320-byte chunks", |bencher| {
        bencher.iter(|| assert_eq!(stream().len(), bytes.len()));
    });
    group.finish();
}

criterion_group!(benches, frames);
criterion_main!(benches);
