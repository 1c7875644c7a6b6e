use proptest::prelude::*;

use super::{
    inputs::{inverse, to_byte},
    *,
};
use crate::{level::Plain, math, testing::values};

/// Bytes, their scale, and the middle.
fn round(row: &[f32], centre: f32) -> (Vec<i32>, f64, f64) {
    let size = |value: &f32| (value - centre).abs();
    let scale = row.iter().map(size).fold(0.0, f32::max) / 127.0;
    let byte = |value: &f32| to_byte((value - centre) * inverse(scale)).into();
    (row.iter().map(byte).collect(), scale.into(), centre.into())
}

/// The same by plain loops: rounded rows, integer sums, the same last steps.
fn plain(weight: &[f32], ins: usize, x: &[f32], bias: &[f32]) -> Vec<f64> {
    let mut out = Vec::new();
    for x in x.chunks_exact(ins) {
        let least = x.iter().copied().fold(f32::INFINITY, f32::min);
        let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let (x, x_scale, centre) = round(x, least * 0.5 + largest * 0.5);
        for (row, bias) in weight.chunks_exact(ins).zip(bias) {
            let (row, scale, _) = round(row, 0.0);
            let sum: i32 = x.iter().zip(&row).map(|(a, b)| a * b).sum();
            let ones: i32 = row.iter().sum();
            let product = f64::from(sum) * x_scale + f64::from(ones) * centre;
            out.push(product * scale + f64::from(*bias));
        }
    }
    out
}

fn check(ins: usize, outs: usize, rows: usize, seed: u32) {
    let weight = values(seed, outs * ins);
    let x = values(seed + 1, rows * ins);
    let bias = values(seed + 2, outs);
    let other = values(seed + 3, rows * outs);
    let matrix = Int8Matrix::pack(&weight, ins);
    let expected = plain(&weight, ins, &x, &bias);
    #[expect(clippy::cast_possible_truncation, reason = "what is computed in f32")]
    let gelu = |x: f64| f64::from(math::gelu_for_bytes::<Plain>(x as f32));
    for level in Level::available() {
        for (what, then) in [
            ("nothing", Then::Nothing),
            ("gelu", Then::Gelu),
            ("add", Then::Add),
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
                    "{level}, then {what}, ({rows}, {ins}) by {outs}: {found} at {index} for {expected}"
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

#[test]
fn extremes_of_bytes_do_not_overflow_pairs() {
    let (ins, outs) = (1536, 32);
    let weight: Vec<f32> = (0..ins * outs)
        .map(|i| if i % 3 == 0 { -1.0 } else { 1.0 })
        .collect();
    let x: Vec<f32> = (0..ins)
        .map(|i| if i % 5 < 3 { -1.0 } else { 1.0 })
        .collect();
    let matrix = Int8Matrix::pack(&weight, ins);
    for level in Level::available() {
        let mut out = vec![0.0; outs];
        matrix.products(level, Input::plain(&x), &[], Then::Nothing, &mut out);
        for (found, row) in out.iter().zip(weight.chunks_exact(ins)) {
            let expected: f32 = x.iter().zip(row).map(|(a, b)| a * b).sum();
            assert!(
                (found - expected).abs() < 1e-3 * expected.abs(),
                "{level}: {found} for {expected}"
            );
        }
    }
}

#[test]
fn rounding_costs_less_than_a_hundredth_of_the_size_of_the_result() {
    let (ins, outs) = (384, 64);
    let (weight, x) = (values(1, ins * outs), values(2, ins));
    let mut out = vec![0.0; outs];
    Int8Matrix::pack(&weight, ins).products(
        Level::best(),
        Input::plain(&x),
        &[],
        Then::Nothing,
        &mut out,
    );
    let exact = weight.chunks_exact(ins).map(|row| {
        row.iter()
            .zip(&x)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum::<f64>()
    });
    let (mut error, mut size) = (0.0, 0.0);
    for (found, exact) in out.iter().zip(exact) {
        error += (f64::from(*found) - exact).powi(2);
        size += exact * exact;
    }
    assert!((error / size).sqrt() < 0.01, "{}", (error / size).sqrt());
}

#[test]
fn zeros_give_the_bias_and_what_is_not_finite_shows() {
    let matrix = Int8Matrix::pack(&values(1, 40 * 33), 40);
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
    let (ins, outs) = (12, 37);
    let matrix = Int8Matrix::pack(&values(1, outs * ins), ins);
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
    let (ins, inner) = (70, 150);
    let (first, second) = (values(1, inner * ins), values(2, ins * inner));
    let (first, second) = (
        Int8Matrix::pack(&first, ins),
        Int8Matrix::pack(&second, inner),
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
            let mut between = vec![0.0; rows * inner];
            let normed = Input::normed(&x, norm);
            first.products(level, normed, &biases[0], Then::Gelu, &mut between);
            let mut expected = x.clone();
            let between = Input::plain(&between);
            second.products(level, between, &biases[1], Then::Add, &mut expected);
            let mut found = x.clone();
            let layers = [(&first, &biases[0]), (&second, &biases[1])]
                .map(|(matrix, bias)| Layer { matrix, bias });
            feed_forward(level, &mut found, norm, layers);
            assert_eq!(found, expected, "{rows} rows, {level}");
        }
    }
}

#[test]
fn a_norm_on_the_way_is_a_norm_before() {
    let (ins, outs) = (70, 40);
    let matrix = Int8Matrix::pack(&values(1, outs * ins), ins);
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
fn a_matrix_is_what_its_parts_make_and_the_layout_has_a_number() {
    let (outs, ins) = (37, 50);
    let matrix = Int8Matrix::pack(&values(9, outs * ins), ins);
    let (weights, scales, corrections) = matrix.parts();
    // FNV-1a. Whoever changes the packing gives the layout another number, and this sum another value.
    let sum = weights.iter().fold(0x811c_9dc5_u32, |sum, weight| {
        (sum ^ u32::from(weight.cast_unsigned())).wrapping_mul(0x0100_0193)
    });
    assert_eq!((Int8Matrix::LAYOUT, sum), (1, 0xaa37_cca6), "{sum:#x}");
    let again = |outs, ins| {
        let (scales, corrections) = (scales.to_vec(), corrections.to_vec());
        Int8Matrix::from_parts([outs, ins], weights.to_vec(), scales, corrections)
    };
    let x = values(10, 3 * ins);
    let products = |matrix: &Int8Matrix| {
        let mut out = vec![0.0; 3 * outs];
        matrix.products(
            Level::best(),
            Input::plain(&x),
            &[],
            Then::Nothing,
            &mut out,
        );
        out
    };
    assert_eq!(products(&again(outs, ins).unwrap()), products(&matrix));
    for (outs, ins) in [(outs, ins + 4), (outs + 32, ins), (0, ins), (outs, 0)] {
        assert!(again(outs, ins).is_none(), "({outs}, {ins})");
    }
}

/// Rows of the tasks of each size, of a pool of `threads`.
fn check_tasks(threads: usize, rows: usize, expected: usize) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let found = pool.unwrap().install(|| task_rows(Level::PORTABLE, rows));
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
