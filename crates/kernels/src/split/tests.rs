use proptest::prelude::*;

use super::*;
use crate::testing::values;

fn split(weight: &[f32], ins: usize) -> Arc<SplitMatrix> {
    Arc::new(SplitMatrix::pack(weight.to_vec(), ins))
}

/// Every value is that of the rounded weights with the inputs as they are, but for roundings of f32.
fn check(ins: usize, outs: usize, rows: usize, seed: u32) {
    let split = split(&values(seed, outs * ins), ins);
    let x = values(seed + 1, rows * ins);
    for level in Level::available() {
        let found = split.estimates(level, Input::plain(&x));
        assert_eq!(found.len(), rows);
        for (found, x) in found.into_iter().zip(x.chunks_exact(ins)) {
            for (output, found) in found.exact().iter().enumerate() {
                let mut row = vec![0.0; ins];
                split.row(output, &mut row);
                // Without what was taken from all rows.
                let own = row.iter().zip(&split.mean).map(|(row, mean)| row - mean);
                let products = own.zip(x).map(|(a, b)| f64::from(a) * f64::from(*b));
                let expected: f64 = products.sum();
                let tolerance = 1e-6 * (4.0 * ins as f64 + 4.0);
                let what = format!("{level}, ({rows}, {ins}) by {outs}");
                assert!(
                    (f64::from(*found) - expected).abs() < tolerance,
                    "{what}: {found} for {expected}"
                );
            }
        }
    }
}

#[test]
fn what_is_settled_equals_the_whole_matrix_on_odd_shapes() {
    for (ins, outs, rows) in [
        (1, 1, 1),
        (3, 33, 2),
        (8, 32, 15),
        (12, 65, 3),
        (84, 100, 9),
        (384, 97, 4),
        (1280, 40, 16),
    ] {
        check(ins, outs, rows, 7);
    }
    // Enough to be shared by threads.
    check(512, 5_000, 2, 3);
}

#[test]
fn rows_come_back_as_they_were_rounded() {
    let weight = values(5, 50 * 37);
    let split = split(&weight, 37);
    for (index, row) in weight.chunks_exact(37).enumerate() {
        let mut out = vec![0.0; 37];
        split.row(index, &mut out);
        let own = row.iter().zip(&split.mean);
        let sizes = own.map(|(value, mean)| (value - mean).abs());
        let step = sizes.fold(0.0, f32::max) / 2047.0;
        for (found, value) in out.iter().zip(row) {
            assert!((found - value).abs() <= 0.501 * step);
        }
    }
}

/// Weights of which one column is 30 times as large as the others, all about one side of zero.
fn with_far_column(ins: usize, outs: usize) -> Vec<f32> {
    let mut weight = values(5, ins * outs);
    for row in weight.chunks_exact_mut(ins) {
        row[ins / 3] = 30.0 * row[ins / 3] + 20.0;
    }
    weight
}

#[test]
fn a_far_column_stands_apart_and_few_are_settled() {
    let (ins, outs) = (384, 20_000);
    let weight = with_far_column(ins, outs);
    let split = split(&weight, ins);
    assert_eq!(split.far, [ins / 3]);
    let mut row = vec![0.0; ins];
    split.row(777, &mut row);
    for (found, value) in row.iter().zip(&weight[777 * ins..]) {
        assert!((found - value).abs() < 0.01, "{found} for {value}");
    }
    let x = values(9, ins);
    let settled = check_highest(&split, Level::best(), &x, 1);
    assert!(settled < 600, "{settled}");
}

#[test]
fn a_matrix_is_what_its_bytes_make() {
    let (ins, outs) = (50, 70);
    let matrix = split(&with_far_column(ins, outs), ins);
    let bytes = matrix.to_bytes();
    let again = Arc::new(SplitMatrix::from_bytes([outs, ins], &bytes).unwrap());
    let x = values(2, ins);
    let exact = |matrix: &Arc<SplitMatrix>| {
        let rows = matrix.estimates(Level::best(), Input::plain(&x));
        rows.into_iter().map(Estimates::exact).collect::<Vec<_>>()
    };
    assert_eq!(exact(&again), exact(&matrix));
    for shape in [[outs + 32, ins], [outs, ins + 8], [0, ins], [outs, 0]] {
        assert!(
            SplitMatrix::from_bytes(shape, &bytes).is_none(),
            "{shape:?}"
        );
    }
    for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        assert!(SplitMatrix::from_bytes([outs, ins], &bytes[..length]).is_none());
    }
}

/// The `count` highest values and where they are, the first of equal ones first.
fn highest(values: &[f32], count: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..values.len()).collect();
    places.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
    places.truncate(count);
    places
}

/// Returns how many outputs were settled.
fn check_highest(split: &Arc<SplitMatrix>, level: Level, x: &[f32], count: usize) -> u32 {
    let mut estimates = split.estimates(level, Input::plain(x)).remove(0);
    let mut expected = estimates.clone().exact();
    let estimated = highest(estimates.values(), 1);
    // The favourite is forbidden, as tokens are, and stays so.
    expected[estimated[0]] = f32::NEG_INFINITY;
    estimates.values_mut()[estimated[0]] = f32::NEG_INFINITY;
    estimates.settle(3..5);
    estimates.settle_highest(count);
    let places = highest(&expected, count);
    assert_eq!(highest(estimates.values(), count), places, "{level}");
    for place in places {
        assert_eq!(
            estimates.values()[place].to_bits(),
            expected[place].to_bits()
        );
    }
    let settled = estimates.settled.iter().map(|word| word.count_ones()).sum();
    assert_eq!(estimates.exact(), expected, "settled twice");
    settled
}

#[test]
fn the_highest_are_found_and_few_are_settled_for_them() {
    let (ins, outs) = (384, 20_000);
    let split = split(&values(5, ins * outs), ins);
    for level in Level::available() {
        for seed in 0..10 {
            let x = values(100 + seed, ins);
            for (count, most) in [(1, 600), (6, 1_200)] {
                let settled = check_highest(&split, level, &x, count);
                assert!(settled <= most, "{settled} were settled for {count}");
            }
        }
    }
}

#[test]
fn what_may_reach_a_value_is_exact() {
    let (ins, outs) = (384, 20_000);
    let split = split(&values(6, ins * outs), ins);
    for level in Level::available() {
        let x = values(200, ins);
        let mut estimates = split.estimates(level, Input::plain(&x)).remove(0);
        let expected = estimates.clone().exact();
        let favourites = estimates.settle_favourites(6);
        assert_eq!(favourites.len(), 6);
        let sixth = expected[highest(&expected, 6)[5]];
        assert!(favourites.iter().all(|value| expected.contains(value)));
        assert!(
            favourites
                .iter()
                .all(|value| *value <= expected[highest(&expected, 1)[0]])
        );
        // Above the highest there is little, and below the sixth there is more.
        for (least, most) in [(f32::INFINITY, 6), (1.2 * sixth, 400), (0.9 * sixth, 4_000)] {
            estimates.settle_above(least);
            for (value, exact) in estimates.values().iter().zip(&expected) {
                let is_exact = value.to_bits() == exact.to_bits();
                assert!(is_exact || *exact < least, "{value} for {exact}, {level}");
            }
            let settled: u32 = estimates.settled.iter().map(|word| word.count_ones()).sum();
            assert!(
                (6..=most).contains(&settled),
                "{settled} for {least}, {level}"
            );
        }
    }
    let mut few = split
        .estimates(Level::best(), Input::plain(&values(7, ins)))
        .remove(0);
    let all = few.clone().exact();
    assert_eq!(few.settle_favourites(outs), all);
}

/// An outlier leaves small weights to the lower parts, and inputs like these weights make the estimate half as large
/// again as the value; the highest output is another.
#[test]
fn outliers_do_not_hide_the_highest() {
    let ins = 512;
    let x: Vec<f32> = values(3, ins).iter().map(|x| 3.5 * x).collect();
    let mut with_outlier = x.clone();
    // More than stand apart.
    with_outlier[..12].fill(127.0);
    let highest: Vec<f32> = x.iter().map(|x| 1.05 * x).collect();
    let mut weight = values(4, 64 * ins);
    weight[7 * ins..][..ins].copy_from_slice(&with_outlier);
    weight[40 * ins..][..ins].copy_from_slice(&highest);
    let mut x = x;
    x[..12].fill(0.0);
    let split = split(&weight, ins);
    for level in Level::available() {
        let mut estimates = split.estimates(level, Input::plain(&x)).remove(0);
        assert!(estimates.values()[7] > 1.2 * estimates.values()[40]);
        estimates.settle_highest(1);
        assert!(estimates.values()[7] < estimates.values()[40], "{level}");
        assert_ne!(estimates.settled[0] & 1 << 40, 0, "an estimate stands");
    }
}

#[test]
fn of_equal_outputs_the_first_is_the_highest() {
    let ins = 64;
    let row = values(1, ins);
    let weight = row.repeat(70);
    let split = split(&weight, ins);
    let mut estimates = split.estimates(Level::best(), Input::plain(&row)).remove(0);
    estimates.settle_highest(1);
    assert!(
        estimates
            .values()
            .iter()
            .all(|value| value.to_bits() == estimates.values()[0].to_bits())
    );
}

#[test]
fn inputs_that_are_not_finite_give_nan_and_no_panic() {
    let (ins, outs) = (16, 40);
    let split = split(&values(1, ins * outs), ins);
    let mut x = values(2, 2 * ins);
    x[3] = f32::NAN;
    for level in Level::available() {
        let [mut bad, mut good] = split.estimates(level, Input::plain(&x)).try_into().unwrap();
        for (estimates, is_nan) in [(&mut bad, true), (&mut good, false)] {
            estimates.settle_highest(1);
            estimates.settle(30..50);
            assert!(
                estimates
                    .values()
                    .iter()
                    .all(|value| value.is_nan() == is_nan)
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Rows of any spread: mostly zeros with outliers, constant, far from zero.
    #[test]
    fn the_highest_are_found_in_uneven_weights(
        seed in 0_u32..1_000_000,
        ins in 1_usize..100,
        power in 1_i32..8,
        shift in -2.0_f32..2.0,
        count in 1_usize..8,
    ) {
        let outs = 300;
        let weight: Vec<f32> = values(seed, ins * outs).iter().map(|x| (x / 2.0).powi(power) + shift).collect();
        let split = split(&weight, ins);
        let x: Vec<f32> = values(seed + 1, ins).iter().map(|x| x.powi(power)).collect();
        // What the decoder gives is like the weights of the output that it means.
        let like = weight[100 * ins..][..ins].iter().zip(&x);
        let like: Vec<f32> = like.map(|(weight, x)| weight + 0.1 * x).collect();
        for level in Level::available() {
            check_highest(&split, level, &x, count);
            check_highest(&split, level, &like, count);
        }
    }
}
