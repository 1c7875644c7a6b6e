use proptest::prelude::*;

use super::*;
use crate::{level::Plain, math, testing::values};

const ALL: [Rounding; 3] = [Rounding::Int8, Rounding::Int8ByInt16, Rounding::Int16];

/// Integers up to `most` in size, their scale, and the middle.
fn round(row: &[f32], centre: f32, most: u16) -> (Vec<i64>, f64, f64) {
    let size = |value: &f32| (value - centre).abs();
    let scale = row.iter().map(size).fold(0.0, f32::max) / f32::from(most);
    let integer = |value: &f32| round_to_integer((value - centre) * inverse(scale)).into();
    (
        row.iter().map(integer).collect(),
        scale.into(),
        centre.into(),
    )
}

/// The same by plain loops: rounded rows, integer sums, the same last steps.
fn plain(rounding: Rounding, weight: &[f32], ins: usize, x: &[f32], bias: &[f32]) -> Vec<f64> {
    let most_of_weights = if rounding == Rounding::Int16 {
        2047
    } else {
        127
    };
    let weight: Vec<_> = weight
        .chunks_exact(ins)
        .map(|row| round(row, 0.0, most_of_weights))
        .collect();
    let sizes = weight
        .iter()
        .map(|(row, ..)| row.iter().map(|weight| weight.abs()).sum());
    let size: i64 = sizes.max().unwrap_or(0).max(1);
    let most_of_words = u16::try_from((i64::from(i32::MAX) / size).min(32_767)).unwrap();
    let mut out = Vec::new();
    for x in x.chunks_exact(ins) {
        let least = x.iter().copied().fold(f32::INFINITY, f32::min);
        let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let (x, x_scale, centre) = match rounding {
            Rounding::Int8 => round(x, least * 0.5 + largest * 0.5, 127),
            _ => round(x, 0.0, most_of_words),
        };
        for ((row, scale, _), bias) in weight.iter().zip(bias) {
            let sum: i64 = x.iter().zip(row).map(|(a, b)| a * b).sum();
            let ones: i64 = row.iter().sum();
            assert!(i32::try_from(sum).is_ok(), "a sum of {sum}");
            let product = sum as f64 * x_scale + ones as f64 * centre;
            out.push(product * scale + f64::from(*bias));
        }
    }
    out
}

fn check(ins: usize, outs: usize, rows: usize, seed: u32) {
    for rounding in ALL {
        check_rounding(rounding, ins, outs, rows, seed);
    }
}

fn check_rounding(rounding: Rounding, ins: usize, outs: usize, rows: usize, seed: u32) {
    let weight = values(seed, outs * ins);
    let x = values(seed + 1, rows * ins);
    let bias = values(seed + 2, outs);
    let other = values(seed + 3, rows * outs);
    let packed = IntMatrix::pack(rounding, &weight, ins);
    let expected = plain(rounding, &weight, ins, &x, &bias);
    #[expect(clippy::cast_possible_truncation, reason = "what is computed in f32")]
    let gelu = |x: f64| {
        f64::from(match rounding {
            Rounding::Int8 => math::gelu_for_bytes::<Plain>(x as f32),
            _ => math::gelu::<Plain>(x as f32),
        })
    };
    for level in Level::available() {
        let matrix = packed.clone();
        let of_audio = packed.clone().for_many_rows(level);
        for (what, then, matrix) in [
            ("nothing", Then::Nothing, &matrix),
            ("gelu", Then::Gelu, &matrix),
            ("add", Then::Add, &matrix),
            ("nothing, for many rows", Then::Nothing, &of_audio),
            ("gelu, for many rows", Then::Gelu, &of_audio),
            ("add, for many rows", Then::Add, &of_audio),
        ] {
            let mut out = match then {
                Then::Add => other.clone(),
                Then::Nothing | Then::Gelu => vec![f32::NAN; rows * outs],
            };
            matrix.products(level, Input::plain(&x), &bias, then, &mut out);
            for (index, (found, expected)) in out.iter().zip(&expected).enumerate() {
                let expected = match then {
                    Then::Nothing => *expected,
                    Then::Gelu => gelu(*expected),
                    Then::Add => expected + f64::from(other[index]),
                };
                // Integer sums are the same; what is left are roundings of values up to 4 * ins.
                let tolerance = 1e-6 * (4.0 * ins as f64 + 4.0);
                assert!(
                    (f64::from(*found) - expected).abs() < tolerance,
                    "{rounding:?}, {level}, then {what}, ({rows}, {ins}) by {outs}: {found} at {index} for {expected}"
                );
            }
        }
    }
}

#[test]
fn every_level_equals_plain_loops_on_whispers_and_odd_shapes() {
    for (ins, outs, rows) in [
        (1, 1, 1),
        (3, 33, 2),
        (64, 32, 12),
        (80, 48, 13),
        (384, 97, 25),
        (240, 64, 101),
        (1536, 40, 7),
    ] {
        check(ins, outs, rows, 7);
    }
}

#[test]
fn threads_that_share_outputs_compute_the_same() {
    // Enough weights to be split.
    check(512, 16_500, 1, 3);
    check(256, 4_097, 9, 4);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn every_level_equals_plain_loops(ins in 1_usize..150, outs in 1_usize..80, rows in 1_usize..40, seed in 0_u32..1000) {
        check(ins, outs, rows, seed);
    }
}

/// Where all weights and inputs are the largest there are, no sum is too large for its integer.
#[test]
fn extremes_do_not_overflow() {
    for (ins, part) in [(1536, 3), (1536, 1_000_000), (5120, 1_000_000)] {
        let outs = 32;
        let sign = |is_negative: bool| if is_negative { -1.0 } else { 1.0 };
        let weight: Vec<f32> = (0..ins * outs).map(|i| sign(i % part == 0)).collect();
        let x: Vec<f32> = (0..ins).map(|i| sign(i % 5 < 3 && part < 5)).collect();
        for rounding in ALL {
            let matrix = IntMatrix::pack(rounding, &weight, ins);
            for level in Level::available() {
                let mut out = vec![0.0; outs];
                matrix.products(level, Input::plain(&x), &[], Then::Nothing, &mut out);
                for (found, row) in out.iter().zip(weight.chunks_exact(ins)) {
                    let expected: f32 = x.iter().zip(row).map(|(a, b)| a * b).sum();
                    assert!(
                        (found - expected).abs() < 1e-3 * expected.abs(),
                        "{rounding:?}, {level}: {found} for {expected}"
                    );
                }
            }
        }
    }
}

/// The root mean square of what rounding changes, as a share of the size of the result.
fn error_of(rounding: Rounding) -> f64 {
    let (ins, outs) = (384, 64);
    let (weight, x) = (values(1, ins * outs), values(2, ins));
    let mut out = vec![0.0; outs];
    let matrix = IntMatrix::pack(rounding, &weight, ins);
    matrix.products(
        Level::best(),
        Input::plain(&x),
        &[],
        Then::Nothing,
        &mut out,
    );
    let exact = weight.chunks_exact(ins).map(|row| {
        let products = row
            .iter()
            .zip(&x)
            .map(|(a, b)| f64::from(*a) * f64::from(*b));
        products.sum::<f64>()
    });
    let (mut error, mut size) = (0.0, 0.0);
    for (found, exact) in out.iter().zip(exact) {
        error += (f64::from(*found) - exact).powi(2);
        size += exact * exact;
    }
    (error / size).sqrt()
}

#[test]
fn what_rounding_costs() {
    let [bytes, inputs_in_words, words] = ALL.map(error_of);
    assert!(bytes < 1e-2, "{bytes}");
    assert!(
        inputs_in_words < 0.8 * bytes,
        "{inputs_in_words} of {bytes}"
    );
    assert!(words < 0.1 * bytes, "{words} of {bytes}");
}

#[test]
fn zeros_give_the_bias_and_what_is_not_finite_shows() {
    ALL.into_iter().for_each(check_zeros_and_not_finite);
}

fn check_zeros_and_not_finite(rounding: Rounding) {
    let matrix = IntMatrix::pack(rounding, &values(1, 40 * 33), 40);
    let bias = values(2, 33);
    for level in Level::available() {
        let mut out = vec![f32::NAN; 33];
        matrix.products(
            level,
            Input::plain(&[0.0; 40]),
            &bias,
            Then::Nothing,
            &mut out,
        );
        assert_eq!(out, bias, "{level}");
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = vec![1.0; 80];
            x[45] = bad;
            let mut out = vec![0.0; 66];
            matrix.products(level, Input::plain(&x), &bias, Then::Nothing, &mut out);
            assert!(out[..33].iter().all(|value| value.is_finite()), "{level}");
            assert!(out[33..].iter().all(|value| value.is_nan()), "{level}");
        }
    }
}

#[test]
fn rows_that_overlap_are_those_that_were_copied() {
    ALL.into_iter().for_each(check_overlapping);
}

fn check_overlapping(rounding: Rounding) {
    let (ins, outs) = (12, 37);
    let matrix = IntMatrix::pack(rounding, &values(1, outs * ins), ins);
    for stride in [1, 4, 8, 12, 15] {
        for rows in [1, 24, 25, 130] {
            let x = values(2, (rows - 1) * stride + ins + stride / 2);
            let copied: Vec<f32> = (0..rows)
                .flat_map(|row| &x[row * stride..][..ins])
                .copied()
                .collect();
            let products = |x| {
                let mut out = vec![f32::NAN; rows * outs];
                matrix.products(Level::best(), x, &[], Then::Gelu, &mut out);
                out
            };
            let found = products(Input::overlapping(&x, stride));
            assert_eq!(found, products(Input::plain(&copied)), "{rows}, {stride}");
        }
    }
}

#[test]
fn two_layers_in_one_pass_are_two_layers() {
    for roundings in [
        [Rounding::Int8; 2],
        [Rounding::Int16; 2],
        [Rounding::Int8ByInt16, Rounding::Int16],
    ] {
        check_two_layers(roundings);
    }
}

fn check_two_layers([of_first, of_second]: [Rounding; 2]) {
    let (ins, inner) = (70, 150);
    let (first, second) = (values(1, inner * ins), values(2, ins * inner));
    let (first, second) = (
        IntMatrix::pack(of_first, &first, ins),
        IntMatrix::pack(of_second, &second, inner),
    );
    let biases = [values(3, inner), values(4, ins)];
    let (weight, bias) = (values(7, ins), values(8, ins));
    let norm = Norm {
        weight: &weight,
        bias: &bias,
    };
    for rows in [0, 1, FEW_ROWS, FEW_ROWS + 1, 101, 165] {
        let x = values(5, rows * ins);
        for level in Level::available() {
            let of_audio = [&first, &second].map(|matrix| matrix.clone().for_many_rows(level));
            let [first, second] = if of_first == of_second {
                of_audio.each_ref()
            } else {
                [&first, &second]
            };
            let mut between = vec![0.0; rows * inner];
            let normed = Input::normed(&x, norm);
            first.products(level, normed, &biases[0], Then::Gelu, &mut between);
            let mut expected = x.clone();
            let between = Input::plain(&between);
            second.products(level, between, &biases[1], Then::Add, &mut expected);
            let mut found = x.clone();
            let layers = [(first, &biases[0]), (second, &biases[1])]
                .map(|(matrix, bias)| Layer { matrix, bias });
            feed_forward(level, &mut found, norm, layers);
            assert_eq!(found, expected, "{rows} rows, {level}");
        }
    }
}

#[test]
fn a_norm_on_the_way_is_a_norm_before() {
    ALL.into_iter().for_each(check_norm);
}

fn check_norm(rounding: Rounding) {
    let (ins, outs) = (70, 40);
    let matrix = IntMatrix::pack(rounding, &values(1, outs * ins), ins);
    let (weight, bias) = (values(2, ins), values(3, ins));
    let norm = Norm {
        weight: &weight,
        bias: &bias,
    };
    for rows in [1, FEW_ROWS + 1] {
        // Far from the middle: what the norm takes away shows.
        let x: Vec<f32> = values(4, rows * ins)
            .iter()
            .map(|x| 10.0 + 3.0 * x)
            .collect();
        let mut before = vec![0.0; x.len()];
        for (x, out) in x.chunks(ins).zip(before.chunks_mut(ins)) {
            math::layer_norm::<Plain>(x, &weight, &bias, out);
        }
        for level in Level::available() {
            let products = |x: Input<'_>| {
                let mut out = vec![f32::NAN; rows * outs];
                matrix.products(level, x, &[], Then::Nothing, &mut out);
                out
            };
            let expected = products(Input::plain(&before));
            let found = products(Input::normed(&x, norm));
            for (found, expected) in found.iter().zip(expected) {
                // A value between two bytes may be rounded to the other one.
                assert!(
                    (found - expected).abs() < 0.1,
                    "{level}: {found} for {expected}"
                );
            }
        }
    }
}

#[test]
fn a_matrix_is_what_its_bytes_make_and_the_layout_has_a_number() {
    let (outs, ins) = (37, 50);
    let x = values(10, 3 * ins);
    let products = |matrix: &IntMatrix| {
        let mut out = vec![0.0; 3 * outs];
        let x = Input::plain(&x);
        matrix.products(Level::best(), x, &[], Then::Nothing, &mut out);
        out
    };
    let sums = ALL.map(|rounding| {
        let matrix = IntMatrix::pack(rounding, &values(9, outs * ins), ins);
        let bytes = matrix.to_bytes();
        let again = |outs, ins| IntMatrix::from_bytes(rounding, [outs, ins], &bytes);
        assert_eq!(products(&again(outs, ins).unwrap()), products(&matrix));
        let of_audio = matrix.clone().for_many_rows(Level::best());
        assert_eq!(of_audio.to_bytes(), bytes, "{rounding:?}, for many rows");
        for (outs, ins) in [(outs, ins + 4), (outs + 32, ins), (0, ins), (outs, 0)] {
            assert!(again(outs, ins).is_none(), "{rounding:?}: ({outs}, {ins})");
        }
        // FNV-1a.
        bytes.iter().fold(0x811c_9dc5_u32, |sum, byte| {
            (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
        })
    });
    // A change of the packing needs another number of the layout, and other sums here.
    let expected = (2, [0x7e7f_dd6b, 0x51d9_86d0, 0x0a1e_58fc]);
    assert_eq!((IntMatrix::LAYOUT, sums), expected, "{sums:#x?}");
}

/// Rows of the tasks of each size, of a pool of `threads`.
fn check_tasks(threads: usize, rows: usize, expected: usize) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let found = pool.unwrap().install(|| task_rows(12, rows));
    assert_eq!(found, expected, "{rows} rows on {threads} threads");
}

#[test]
fn threads_end_about_together() {
    check_tasks(1, 1500, 48);
    check_tasks(2, 1500, 48);
    // 116 and 108 rows, where tasks of 48 would give 128 and 96.
    check_tasks(2, 224, 36);
    check_tasks(2, 40, 24);
    check_tasks(16, 224, 24);
    check_tasks(16, 25, 12);
}
