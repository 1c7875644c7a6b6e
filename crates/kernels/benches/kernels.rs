//! Each kernel at each level of this CPU, in the shapes of Whisper tiny and base, on one thread.

use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kernels::{Input, IntMatrix, KeysValues, Level, Rounding, SplitMatrix, Then, attend_to_all};

fn values(count: usize) -> Vec<f32> {
    let mut state = 1_u32;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from(u8::try_from(state >> 24).unwrap_or(0)) / 128.0 - 1.0
        })
        .collect()
}

fn products(criterion: &mut Criterion) {
    for (rows, ins, outs, then) in [
        (1, 384, 1536, Then::Gelu),
        (1500, 384, 1536, Then::Nothing),
        (1500, 384, 1536, Then::Gelu),
        (1500, 1536, 384, Then::Nothing),
        (1500, 512, 2048, Then::Gelu),
    ] {
        for rounding in [Rounding::Int8, Rounding::Int8ByInt16, Rounding::Int16] {
            let mut group = criterion
                .benchmark_group(format!("{rounding:?}/{rows} x {ins} x {outs}, {then:?}"));
            group
                .sample_size(10)
                .throughput(Throughput::Elements((2 * rows * ins * outs) as u64));
            let matrix = IntMatrix::pack(rounding, &values(ins * outs), ins);
            let (x, bias) = (values(rows * ins), values(outs));
            let mut out = vec![0.0; rows * outs];
            for level in Level::available() {
                let is_audio = rows > 1 && rounding == Rounding::Int16;
                let matrix = matrix.clone();
                let matrix = if is_audio {
                    matrix.for_many_rows(level)
                } else {
                    matrix
                };
                group.bench_function(level.to_string(), |bench| {
                    bench.iter(|| matrix.products(level, Input::plain(&x), &bias, then, &mut out));
                });
            }
        }
    }
}

/// The highest of the outputs of a vocabulary, as a token is chosen.
fn split(criterion: &mut Criterion) {
    let (ins, outs) = (384, 51_865);
    let matrix = Arc::new(SplitMatrix::pack(values(ins * outs), ins));
    for rows in [1, 8] {
        let mut group = criterion.benchmark_group(format!("split/{rows} x {ins} x {outs}"));
        group
            .sample_size(10)
            .throughput(Throughput::Elements((2 * rows * ins * outs) as u64));
        let x = values(rows * ins);
        for level in Level::available() {
            group.bench_function(level.to_string(), |bench| {
                bench.iter(|| {
                    let mut rows = matrix.estimates(level, Input::plain(&x));
                    for row in &mut rows {
                        row.settle_highest(1);
                    }
                    rows
                });
            });
        }
    }
}

fn attention(criterion: &mut Criterion) {
    for (positions, width, heads) in [(1500, 384, 6), (1500, 512, 8), (176, 384, 6)] {
        let mut group =
            criterion.benchmark_group(format!("attention/{positions} positions, {heads} heads"));
        let work = 4 * positions * positions * width;
        group
            .sample_size(10)
            .throughput(Throughput::Elements(work as u64));
        let qkv = values(positions * 3 * width);
        let mut out = vec![0.0; positions * width];
        for level in Level::available() {
            group.bench_function(level.to_string(), |bench| {
                bench.iter(|| attend_to_all(level, &qkv, width, heads, None, &mut out));
            });
        }
    }
    let mut group = criterion.benchmark_group("cross-attention/1500 positions, 6 heads");
    let keys_values = values(1500 * 2 * 384);
    for rows in [1, 5, 224] {
        let queries = values(rows * 384);
        let mut out = vec![0.0; rows * 384];
        for level in Level::available() {
            let packed = KeysValues::pack(level, &keys_values, 384, 6, None);
            group.bench_function(format!("{rows} queries, {level}"), |bench| {
                bench.iter(|| packed.attend(&queries, &mut out));
            });
        }
    }
}

fn on_one_thread(criterion: &mut Criterion) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1);
    // Fails only when there is a pool already, which then has the threads it has.
    pool.use_current_thread().build_global().ok();
    products(criterion);
    split(criterion);
    attention(criterion);
}

criterion_group!(benches, on_one_thread);
criterion_main!(benches);
