//! Plain loops over slices, compiled for every vector level of the CPU and chosen at run time.
//!
//! Nothing here knows tensors or the network. Each loop is tested against its textbook form.

#![expect(
    clippy::inline_always,
    reason = "a loop gets the vector instructions of the function that it is inlined into, and only then"
)]

use pulp::{Arch, Simd, WithSimd};

/// Adds `term` to `values`.
pub(super) fn add(values: &mut [f32], term: &[f32]) {
    Arch::new().dispatch(|| {
        for (value, term) in values.iter_mut().zip(term) {
            *value += term;
        }
    });
}

/// The exact GELU, `x / 2 * (1 + erf(x / √2))`, in place, after adding `bias`.
pub(super) fn gelu(values: &mut [f32], bias: &[f32]) {
    Arch::new().dispatch(|| {
        for (value, bias) in values.iter_mut().zip(bias) {
            let x = *value + bias;
            *value = 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2));
        }
    });
}

/// Softmax of one row, in place.
pub(super) fn softmax(values: &mut [f32]) {
    Arch::new().dispatch(|| softmax_inlined(values));
}

/// Layer norm of one row with epsilon 1e-5: `weight * (x − mean) / √(variance + ε) + bias`.
pub(super) fn layer_norm(values: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32]) {
    Arch::new().dispatch(|| {
        let width = values.len() as f32;
        let mean = sum(values, |value| value) / width;
        let variance = sum(values, |value| (value - mean) * (value - mean)) / width;
        let scale = 1.0 / (variance + LAYER_NORM_EPSILON).sqrt();
        let affine = weight.iter().zip(bias);
        for ((out, value), (weight, bias)) in out.iter_mut().zip(values).zip(affine) {
            *out = (value - mean) * scale * weight + bias;
        }
    });
}

/// Products of every row of `matrix` with every one of `inputs`: `outputs[i][n] = matrix[n] · inputs[i]`.
///
/// `matrix`: `(rows, width)` row-major with `width` of the inputs. The matrix is read once for up to four inputs.
pub(super) fn products(matrix: &[f32], inputs: &[&[f32]], outputs: &mut [&mut [f32]]) {
    Arch::new().dispatch(Products {
        matrix,
        inputs,
        outputs,
    });
}

/// `out = Σ weights[t] * rows[t]` over rows of the width of `out`.
pub(super) fn weighted_sum(weights: &[f32], rows: &[f32], out: &mut [f32]) {
    Arch::new().dispatch(WeightedSum { weights, rows, out });
}

/// As the reference's `LayerNorm` has it.
pub(super) const LAYER_NORM_EPSILON: f32 = 1e-5;

/// Lanes kept apart in reductions, so that they become vector registers.
const LANES: usize = 16;

#[inline(always)]
fn softmax_inlined(values: &mut [f32]) {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let mut chunks = values.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    let largest = chunks
        .remainder()
        .iter()
        .chain(&lanes)
        .fold(f32::NEG_INFINITY, |largest, value| largest.max(*value));
    for value in values.iter_mut() {
        *value = exp(*value - largest);
    }
    let scale = 1.0 / sum(values, |value| value);
    for value in values {
        *value *= scale;
    }
}

#[inline(always)]
fn sum(values: &[f32], map: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let mut chunks = values.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += map(*value);
        }
    }
    let rest: f32 = chunks.remainder().iter().map(|value| map(*value)).sum();
    lanes.iter().sum::<f32>() + rest
}

/// e^x within 2e-7 of relative error, for −87 ≤ x ≤ 88 (clamped outside): 2^n times the series of the rest.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Adding and taking away 1.5 * 2^23 rounds to the nearest integer, whose bits are then the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts: n * LN_2_HIGH is exact for every n that occurs.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let series = 1.0 / 720.0;
    let series = series * r + 1.0 / 120.0;
    let series = series * r + 1.0 / 24.0;
    let series = series * r + 1.0 / 6.0;
    let series = series * r + 0.5;
    let series = series * r + 1.0;
    let series = series * r + 1.0;
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits());
    series * f32::from_bits(exponent.wrapping_add(127) << 23)
}

/// The error function within 3e-7: formula 7.1.26 of Abramowitz and Stegun, Handbook of Mathematical Functions.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let size = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * size);
    let series = 1.061_405_4;
    let series = series * t - 1.453_152;
    let series = series * t + 1.421_413_7;
    let series = series * t - 0.284_496_74;
    let series = series * t + 0.254_829_6;
    (1.0 - series * t * exp(-size * size)).copysign(x)
}

struct Products<'a, 'b> {
    matrix: &'a [f32],
    inputs: &'a [&'a [f32]],
    outputs: &'a mut [&'b mut [f32]],
}

/// Rows of the matrix taken together: with four inputs that is sixteen sums in registers.
const TILE: usize = 4;

impl WithSimd for Products<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.inputs.first().map_or(0, |input| input.len());
        if width == 0 {
            return;
        }
        let mut tiles = self.matrix.chunks_exact(TILE * width);
        let mut first = 0;
        for tile in &mut tiles {
            let rows: [&[f32]; TILE] = std::array::from_fn(|i| &tile[i * width..(i + 1) * width]);
            tile_products(simd, rows, self.inputs, self.outputs, first);
            first += TILE;
        }
        for row in tiles.remainder().chunks_exact(width) {
            tile_products(simd, [row], self.inputs, self.outputs, first);
            first += 1;
        }
    }
}

#[inline(always)]
fn tile_products<S: Simd, const ROWS: usize>(
    simd: S,
    rows: [&[f32]; ROWS],
    inputs: &[&[f32]],
    outputs: &mut [&mut [f32]],
    first: usize,
) {
    let mut fours = inputs.chunks_exact(4);
    let mut done = 0;
    for four in &mut fours {
        let dots = dots(simd, rows, [four[0], four[1], four[2], four[3]]);
        for (output, dots) in outputs[done..].iter_mut().zip(dots) {
            output[first..first + ROWS].copy_from_slice(&dots);
        }
        done += 4;
    }
    for input in fours.remainder() {
        let [dots] = dots(simd, rows, [input]);
        outputs[done][first..first + ROWS].copy_from_slice(&dots);
        done += 1;
    }
}

#[inline(always)]
fn dots<S: Simd, const ROWS: usize, const INPUTS: usize>(
    simd: S,
    rows: [&[f32]; ROWS],
    inputs: [&[f32]; INPUTS],
) -> [[f32; ROWS]; INPUTS] {
    let rows = rows.map(S::as_simd_f32s);
    let inputs = inputs.map(S::as_simd_f32s);
    let length = rows[0].0.len();
    let mut sums = [[simd.splat_f32s(0.0); ROWS]; INPUTS];
    for i in 0..length {
        for (sums, input) in sums.iter_mut().zip(&inputs) {
            let input = input.0[i];
            for (sum, row) in sums.iter_mut().zip(&rows) {
                *sum = simd.mul_add_e_f32s(row.0[i], input, *sum);
            }
        }
    }
    let mut dots = [[0.0; ROWS]; INPUTS];
    for ((dots, sums), input) in dots.iter_mut().zip(sums).zip(&inputs) {
        for ((dot, sum), row) in dots.iter_mut().zip(sums).zip(&rows) {
            let rest = row.1.iter().zip(input.1).map(|(row, input)| row * input);
            *dot = simd.reduce_sum_f32s(sum) + rest.sum::<f32>();
        }
    }
    dots
}

struct WeightedSum<'a> {
    weights: &'a [f32],
    rows: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for WeightedSum<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { weights, rows, out } = self;
        let width = out.len();
        let mut column = 0;
        while width - column >= 4 * S::F32_LANES {
            sum_columns::<S, 4>(simd, weights, rows, width, column, out);
            column += 4 * S::F32_LANES;
        }
        while width - column >= S::F32_LANES {
            sum_columns::<S, 1>(simd, weights, rows, width, column, out);
            column += S::F32_LANES;
        }
        for column in column..width {
            let values = rows.chunks_exact(width).map(|row| row[column]);
            out[column] = weights
                .iter()
                .zip(values)
                .map(|(weight, value)| weight * value)
                .sum();
        }
    }
}

/// The sum over all rows of `VECTORS` vectors of columns from `column` on.
#[inline(always)]
fn sum_columns<S: Simd, const VECTORS: usize>(
    simd: S,
    weights: &[f32],
    rows: &[f32],
    width: usize,
    column: usize,
    out: &mut [f32],
) {
    let columns = column..column + VECTORS * S::F32_LANES;
    let mut sums = [simd.splat_f32s(0.0); VECTORS];
    for (weight, row) in weights.iter().zip(rows.chunks_exact(width)) {
        let weight = simd.splat_f32s(*weight);
        let (values, _) = S::as_simd_f32s(&row[columns.clone()]);
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum = simd.mul_add_e_f32s(weight, *value, *sum);
        }
    }
    let (out, _) = S::as_mut_simd_f32s(&mut out[columns]);
    for (out, sum) in out.iter_mut().zip(sums) {
        *out = sum;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Values between −4 and 4 of every length that exercises whole vectors and remainders.
    fn values(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f32>> {
        prop::collection::vec(-4.0_f32..4.0, length)
    }

    /// 3e-6 of the largest term: the order of summation differs from the plain loop.
    fn near(a: f32, b: f64, scale: f64) -> bool {
        (f64::from(a) - b).abs() <= 3e-6 * scale.max(1.0)
    }

    /// The series of erf in f64, exact for the range tested.
    fn erf_exact(x: f64) -> f64 {
        let (mut term, mut total, mut n) = (x, x, 0.0);
        while term.abs() > 1e-18 {
            n += 1.0;
            term *= -x * x / n;
            total += term / (2.0 * n + 1.0);
        }
        total * 2.0 / std::f64::consts::PI.sqrt()
    }

    #[test]
    fn exp_is_within_two_units_of_the_last_place() {
        for i in -8700..=8800_i16 {
            let x = f32::from(i) / 100.0;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 2.4e-7, "e^{x}: relative error {error:e}");
        }
    }

    #[test]
    fn gelu_is_the_exact_one_and_not_the_tanh_approximation() {
        let inputs: Vec<f32> = (-500..=500_i16).map(|i| f32::from(i) / 100.0).collect();
        let mut outputs = inputs.clone();
        gelu(&mut outputs, &vec![0.0; inputs.len()]);
        let mut off_tanh = 0.0_f64;
        for (x, y) in inputs.iter().zip(&outputs) {
            let (x, y) = (f64::from(*x), f64::from(*y));
            let exact = 0.5 * x * (1.0 + erf_exact(x / std::f64::consts::SQRT_2));
            // 1e-6: erf is good to 3e-7, times x / 2.
            assert!((y - exact).abs() < 1e-6, "gelu({x}) = {y}, exactly {exact}");
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            off_tanh = off_tanh.max((y - 0.5 * x * (1.0 + inner.tanh())).abs());
        }
        assert!(off_tanh > 4e-4, "the approximation would differ by 4.7e-4");
    }

    #[test]
    fn not_a_number_stays_visible() {
        let mut row = vec![0.5, f32::NAN, 1.0];
        softmax(&mut row);
        assert!(row.iter().all(|value| value.is_nan()));
        let mut row = vec![f32::NAN];
        gelu(&mut row, &[0.0]);
        assert!(row[0].is_nan());
    }

    proptest! {
        #[test]
        fn softmax_equals_the_textbook(row in values(1..70)) {
            let mut fast = row.clone();
            softmax(&mut fast);
            let total: f64 = row.iter().map(|value| f64::from(*value).exp()).sum();
            for (fast, value) in fast.iter().zip(&row) {
                prop_assert!(near(*fast, f64::from(*value).exp() / total, 1.0));
            }
        }

        #[test]
        fn layer_norm_equals_the_textbook(row in values(2..70)) {
            let weight: Vec<f32> = row.iter().map(|value| value * 0.5 + 1.0).collect();
            let bias: Vec<f32> = row.iter().rev().copied().collect();
            let mut fast = vec![0.0; row.len()];
            layer_norm(&row, &weight, &bias, &mut fast);
            let width = row.len() as f64;
            let mean = row.iter().map(|value| f64::from(*value)).sum::<f64>() / width;
            let variance = row.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / width;
            for i in 0..row.len() {
                let scaled = (f64::from(row[i]) - mean) / (variance + 1e-5).sqrt();
                let exact = scaled * f64::from(weight[i]) + f64::from(bias[i]);
                // Rows of nearly equal values lose digits in the difference from the mean.
                prop_assert!(near(fast[i], exact, 30.0), "{} for {exact}", fast[i]);
            }
        }

        #[test]
        fn products_equal_plain_dot_products(width in 1_usize..70, rows in 0_usize..11, inputs in 1_usize..10, seed in values(70 * 21..70 * 21 + 1)) {
            let matrix = &seed[..rows * width];
            let inputs: Vec<&[f32]> = seed[rows * width..].chunks_exact(width).take(inputs).collect();
            let mut outputs = vec![vec![0.0; rows]; inputs.len()];
            let mut slices: Vec<&mut [f32]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
            products(matrix, &inputs, &mut slices);
            for (input, output) in inputs.iter().zip(&outputs) {
                for (row, dot) in matrix.chunks_exact(width).zip(output) {
                    let exact: f64 = row.iter().zip(*input).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    prop_assert!(near(*dot, exact, 16.0 * width as f64), "{dot} for {exact}");
                }
            }
        }

        #[test]
        fn weighted_sum_equals_a_plain_loop(width in 1_usize..150, rows in 1_usize..9, seed in values(150 * 9..150 * 9 + 1)) {
            let weights = &seed[..rows];
            let values = &seed[rows..rows + rows * width.min(140)];
            let width = width.min(140);
            let mut out = vec![0.0; width];
            weighted_sum(weights, values, &mut out);
            for (column, value) in out.iter().enumerate() {
                let exact: f64 = weights.iter().zip(values.chunks_exact(width)).map(|(weight, row)| f64::from(*weight) * f64::from(row[column])).sum();
                prop_assert!(near(*value, exact, 16.0 * rows as f64));
            }
        }
    }
}
