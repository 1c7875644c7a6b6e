use proptest::prelude::*;

use super::*;
use crate::{panel::Element, testing::values};

/// One query of one head, in f64.
fn plain(query: &[f32], keys: &[&[f32]], values: &[&[f32]]) -> Vec<f64> {
    let dot = |key: &&[f32]| -> f64 {
        key.iter()
            .zip(query)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum()
    };
    let scores: Vec<f64> = keys.iter().map(dot).collect();
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
    let total: f64 = weights.iter().sum();
    (0..query.len())
        .map(|column| {
            let parts = weights.iter().zip(values);
            parts
                .map(|(weight, row)| weight * f64::from(row[column]))
                .sum::<f64>()
                / total
        })
        .collect()
}

fn check(positions: usize, heads: usize, head_width: usize, queries: usize, seed: u32) {
    let width = heads * head_width;
    let mut qkv = values(seed, positions * 3 * width);
    scale_queries(&mut qkv, width, head_width);
    let mut later = values(seed + 1, queries * width);
    for query in &mut later {
        *query /= (head_width as f32).sqrt();
    }
    let keys_values: Vec<f32> = qkv
        .chunks(3 * width)
        .flat_map(|row| &row[width..])
        .copied()
        .collect();
    for level in Level::available() {
        let mut out = vec![f32::NAN; positions * width];
        attend_to_all(level, &qkv, width, heads, None, &mut out);
        let own: Vec<&[f32]> = qkv.chunks(3 * width).map(|row| &row[..width]).collect();
        // Exponentials and sums in f32; or scores that are off by 0.007 at the standard deviation, five of which
        // move a mean of values between -2 and 2 by less than this.
        let tolerance = if level.multiplies_bytes() {
            0.06
        } else {
            1e-6 * (head_width as f64 + 20.0)
        };
        compare(&out, &own, &qkv, width, heads, tolerance, level);
        let mut out = vec![f32::NAN; queries * width];
        KeysValues::pack(level, &keys_values, width, heads, None).attend(&later, &mut out);
        let rounded: Vec<f32> = qkv
            .iter()
            .map(|value| Bf16::narrow(*value).widen())
            .collect();
        let kept = if level.multiplies_bytes() {
            &qkv
        } else {
            &rounded
        };
        let later: Vec<&[f32]> = later.chunks(width).collect();
        compare(&out, &later, kept, width, heads, tolerance, level);
    }
}

/// By `1 / √head_width`, as models do it.
fn scale_queries(qkv: &mut [f32], width: usize, head_width: usize) {
    for row in qkv.chunks_mut(3 * width) {
        for query in &mut row[..width] {
            *query /= (head_width as f32).sqrt();
        }
    }
}

fn compare(
    out: &[f32],
    queries: &[&[f32]],
    qkv: &[f32],
    width: usize,
    heads: usize,
    tolerance: f64,
    level: Level,
) {
    let head_width = width / heads;
    for (found, query) in out.chunks(width).zip(queries) {
        for head in 0..heads {
            let part = |first: usize| -> Vec<&[f32]> {
                qkv.chunks(3 * width)
                    .map(|row| &row[first + head * head_width..][..head_width])
                    .collect()
            };
            let query = &query[head * head_width..][..head_width];
            let expected = plain(query, &part(width), &part(2 * width));
            for (found, expected) in found[head * head_width..].iter().zip(expected) {
                assert!(
                    (f64::from(*found) - expected).abs() < tolerance,
                    "{level}: {found} for {expected}"
                );
            }
        }
    }
}

#[test]
fn every_level_equals_plain_loops_over_several_blocks() {
    check(1, 1, 1, 1, 1);
    check(33, 2, 16, 5, 2);
    check(530, 1, 64, 50, 3);
    check(1100, 2, 12, 13, 4);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn every_level_equals_plain_loops(positions in 1_usize..70, heads in 1_usize..4, head_width in 1_usize..70, queries in 1_usize..20, seed in 0_u32..1000) {
        check(positions, heads, head_width, queries, seed);
    }
}

#[test]
fn rounding_to_bf16_is_to_the_nearest() {
    for (value, expected) in [
        (1.0, 1.0),
        (1.003_906_3, 1.0),
        (1.011_718_8, 1.015_625),
        (-2.01, -2.015_625),
    ] {
        assert_eq!(
            Bf16::narrow(value).widen().to_bits(),
            f32::to_bits(expected)
        );
    }
    assert!(Bf16::narrow(f32::NAN).widen().is_nan());
    assert!(Bf16::narrow(f32::INFINITY).widen().is_infinite());
}

#[test]
fn what_is_not_finite_shows() {
    // A key, in the first block and in a later one.
    for (positions, at) in [(40, 1), (600, 570)] {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut qkv = values(1, positions * 3 * 8);
            qkv[8 + 3 * 8 * at] = bad;
            for level in Level::available() {
                let mut out = vec![0.0; positions * 8];
                attend_to_all(level, &qkv, 8, 1, None, &mut out);
                let shows = out.iter().all(|value| value.is_nan());
                // In f32, an infinite score below zero is a weight of nothing.
                let may_hide = bad.is_infinite() && !level.multiplies_bytes();
                assert!(shows || may_hide, "{level}: {bad} at {at}");
            }
        }
    }
}

#[test]
fn what_is_not_finite_shows_in_what_is_kept() {
    let (positions, width) = (40, 8);
    for level in Level::available() {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut keys_values = values(1, positions * 2 * width);
            // Column 3 of the values, at position 5.
            keys_values[5 * 2 * width + width + 3] = bad;
            let kept = KeysValues::pack(level, &keys_values, width, 1, None);
            let mut queries = values(2, 2 * width);
            queries[width] = f32::NAN;
            let mut out = vec![0.0; 2 * width];
            kept.attend(&queries, &mut out);
            for (column, value) in out[..width].iter().enumerate() {
                assert_eq!(value.is_finite(), column != 3, "{level}, {bad}: {out:?}");
            }
            assert!(out[width..].iter().all(|value| value.is_nan()), "{level}");
        }
    }
}

#[test]
fn bytes_are_near_the_exact_attention_at_the_mean() {
    let (positions, width) = (300, 64);
    let mut qkv = values(9, positions * 3 * width);
    scale_queries(&mut qkv, width, width);
    let attend = |level| {
        let mut out = vec![0.0; positions * width];
        attend_to_all(level, &qkv, width, 1, None, &mut out);
        out
    };
    let exact = attend(Level::PORTABLE);
    for level in Level::available() {
        let off: f32 = attend(level)
            .iter()
            .zip(&exact)
            .map(|(found, exact)| (found - exact).abs())
            .sum();
        let mean = off / exact.len() as f32;
        assert!(mean < 2e-3, "{level}: {mean}");
    }
}

/// What a byte for each weight would lose.
#[test]
fn many_small_weights_beside_a_large_one_count() {
    let positions = 1500;
    // Queries, keys and values of width 1: the first key's score is 8 above all others.
    let mut qkv: Vec<f32> = [8.0, 0.0, 1.0].repeat(positions);
    qkv[1] = 1.0;
    qkv[2] = 0.0;
    let others = (positions - 1) as f32 * (-8.0_f32).exp();
    let expected = others / (1.0 + others);
    for level in Level::available() {
        let mut out = vec![0.0; positions];
        attend_to_all(level, &qkv, 1, 1, None, &mut out);
        for found in out {
            assert!((found - expected).abs() < 0.01, "{level}: {found}");
        }
    }
}

/// Against the same positions written out as often as they count.
#[test]
fn positions_that_count_several_times_weigh_as_copies_of_them() {
    const TIMES: usize = 5;
    let (heads, head_width) = (2, 16);
    let width = heads * head_width;
    // In one block of bytes and in two, at the border of one, and over that of f32.
    for (from, rest) in [(32, 7), (224, 64), (256, 1), (480, 90), (0, 40)] {
        let mut qkv = values(u32::try_from(from).unwrap() + 9, (from + rest) * 3 * width);
        scale_queries(&mut qkv, width, head_width);
        let mut copied = qkv[..from * 3 * width].to_vec();
        for row in qkv.chunks(3 * width).skip(from) {
            copied.extend(std::iter::repeat_n(row, TIMES).flatten());
        }
        let repeats = Some(Repeats {
            from,
            times: TIMES as f32,
        });
        let kept = |qkv: &[f32]| -> Vec<f32> {
            let rows = qkv.chunks(3 * width);
            rows.flat_map(|row| &row[width..]).copied().collect()
        };
        let queries: Vec<f32> = qkv
            .chunks(3 * width)
            .flat_map(|row| &row[..width])
            .copied()
            .collect();
        for level in Level::available() {
            let tolerance = if level.multiplies_bytes() { 0.06 } else { 2e-5 };
            let mut found = vec![f32::NAN; queries.len()];
            attend_to_all(level, &qkv, width, heads, repeats, &mut found);
            let mut expected = vec![f32::NAN; queries.len()];
            let packed = KeysValues::pack(level, &kept(&copied), width, heads, None);
            packed.attend(&queries, &mut expected);
            let mut later = vec![f32::NAN; queries.len()];
            let packed = KeysValues::pack(level, &kept(&qkv), width, heads, repeats);
            packed.attend(&queries, &mut later);
            let off = |a: &[f32], b: &[f32]| {
                let pairs = a.iter().zip(b);
                pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
            };
            assert!(off(&later, &expected) < tolerance, "{level}: {from} {rest}");
            // Kept keys and values are of bf16 where bytes are not multiplied.
            let rounded = if level.multiplies_bytes() { 0.06 } else { 0.02 };
            assert!(off(&found, &expected) < rounded, "{level}: {from} {rest}");
            let mut plain = vec![f32::NAN; queries.len()];
            let packed = KeysValues::pack(level, &kept(&qkv), width, heads, None);
            packed.attend(&queries, &mut plain);
            assert!(
                from == 0 || off(&plain, &expected) > 0.05,
                "{level}: {from} {rest}"
            );
        }
    }
}
