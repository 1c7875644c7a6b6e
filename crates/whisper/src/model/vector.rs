//! Plain loops over slices, compiled for every vector level of the CPU and chosen at run time.
//!
//! Nothing here knows tensors or the network. Each loop is tested against its textbook form.

#![expect(
    clippy::inline_always,
    reason = "a loop gets the vector instructions of the function that it is inlined into, and only then"
)]

use kernels::{Plain, math};
use pulp::{Arch, Simd, WithSimd};

/// Adds `term` to `values`.
pub(super) fn add(values: &mut [f32], term: &[f32]) {
    Arch::new().dispatch(Add { values, term });
}

/// The exact GELU, `x / 2 * (1 + erf(x / √2))`, in place, after adding `bias`.
pub(super) fn gelu(values: &mut [f32], bias: &[f32]) {
    Arch::new().dispatch(Gelu { values, bias });
}

/// Softmax of one row, in place.
pub(super) fn softmax(values: &mut [f32]) {
    Arch::new().dispatch(Softmax { values });
}

/// Logarithm of the sum of exponentials; −∞ when there is nothing to add, NaN when one is not a number.
pub(crate) fn log_sum_exp(values: &[f32]) -> f32 {
    Arch::new().dispatch(LogSumExp { values })
}

/// [`math::layer_norm`] of one row.
pub(super) fn layer_norm(values: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32]) {
    Arch::new().dispatch(Norm {
        values,
        weight,
        bias,
        out,
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

/// Lanes kept apart in reductions, so that they become vector registers.
const LANES: usize = 16;

struct Add<'a> {
    values: &'a mut [f32],
    term: &'a [f32],
}

impl WithSimd for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (value, term) in self.values.iter_mut().zip(self.term) {
            *value += term;
        }
    }
}

struct Gelu<'a> {
    values: &'a mut [f32],
    bias: &'a [f32],
}

impl WithSimd for Gelu<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (value, bias) in self.values.iter_mut().zip(self.bias) {
            *value = math::gelu::<Plain>(*value + bias);
        }
    }
}

struct Softmax<'a> {
    values: &'a mut [f32],
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let values = self.values;
        let largest = math::maximum(f32::NEG_INFINITY, values);
        let mut lanes = [0.0_f32; LANES];
        let (chunks, rest) = values.as_chunks_mut::<LANES>();
        for chunk in chunks {
            for lane in 0..LANES {
                chunk[lane] = math::exp::<Plain>(chunk[lane] - largest);
                lanes[lane] += chunk[lane];
            }
        }
        let mut total = 0.0;
        for value in rest {
            *value = math::exp::<Plain>(*value - largest);
            total += *value;
        }
        for lane in lanes {
            total += lane;
        }
        let scale = 1.0 / total;
        for value in values {
            *value *= scale;
        }
    }
}

struct LogSumExp<'a> {
    values: &'a [f32],
}

impl WithSimd for LogSumExp<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f32 {
        let largest = math::maximum(f32::NEG_INFINITY, self.values);
        if largest == f32::NEG_INFINITY && !self.values.iter().any(|value| value.is_nan()) {
            return largest;
        }
        let mut lanes = [0.0_f32; LANES];
        let (chunks, rest) = self.values.as_chunks::<LANES>();
        for chunk in chunks {
            for lane in 0..LANES {
                lanes[lane] += math::exp::<Plain>(chunk[lane] - largest);
            }
        }
        let mut total = 0.0;
        for value in rest {
            total += math::exp::<Plain>(value - largest);
        }
        for lane in lanes {
            total += lane;
        }
        largest + total.ln()
    }
}

struct Norm<'a> {
    values: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Norm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        math::layer_norm::<Plain>(self.values, self.weight, self.bias, self.out);
    }
}

struct Products<'a, 'b> {
    matrix: &'a [f32],
    inputs: &'a [&'a [f32]],
    outputs: &'a mut [&'b mut [f32]],
}

impl WithSimd for Products<'_, '_> {
    type Output = ();

    /// One row of the matrix after the other, against all inputs: the matrix is then read as one stream from start to
    /// end, which the CPU can fetch ahead. Four rows at a time have fewer loads, and took twice as long on weights that
    /// come from memory.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            matrix,
            inputs,
            outputs,
        } = self;
        let width = inputs.first().map_or(0, |input| input.len());
        if width == 0 {
            return;
        }
        for (index, row) in matrix.chunks_exact(width).enumerate() {
            let mut done = 0;
            while done + 4 <= inputs.len() {
                let four = [
                    inputs[done],
                    inputs[done + 1],
                    inputs[done + 2],
                    inputs[done + 3],
                ];
                let dots = dots::<S, 4, 2>(simd, row, four);
                for input in 0..4 {
                    outputs[done + input][index] = dots[input];
                }
                done += 4;
            }
            while done < inputs.len() {
                outputs[done][index] = dots::<S, 1, 4>(simd, row, [inputs[done]])[0];
                done += 1;
            }
        }
    }
}

/// Dot products of a row with `INPUTS` inputs, each in `SUMS` sums that do not wait for each other.
// Index loops instead of iterators: adapters that take a closure or an array by value stay calls here, and a call has
// neither the vector instructions nor the registers.
#[inline(always)]
fn dots<S: Simd, const INPUTS: usize, const SUMS: usize>(
    simd: S,
    row: &[f32],
    inputs: [&[f32]; INPUTS],
) -> [f32; INPUTS] {
    let (row_vectors, row_rest) = S::as_simd_f32s(row);
    let mut input_vectors: [&[S::f32s]; INPUTS] = [&[]; INPUTS];
    let mut input_rests: [&[f32]; INPUTS] = [&[]; INPUTS];
    for input in 0..INPUTS {
        let (vectors, rest) = S::as_simd_f32s(inputs[input]);
        // The length is the same for all, and saying so takes the checks out of the loops below.
        input_vectors[input] = &vectors[..row_vectors.len()];
        input_rests[input] = &rest[..row_rest.len()];
    }
    let mut sums = [[simd.splat_f32s(0.0); SUMS]; INPUTS];
    let mut first = 0;
    while first + SUMS <= row_vectors.len() {
        for part in 0..SUMS {
            let x = row_vectors[first + part];
            for input in 0..INPUTS {
                sums[input][part] =
                    simd.mul_add_e_f32s(x, input_vectors[input][first + part], sums[input][part]);
            }
        }
        first += SUMS;
    }
    for i in first..row_vectors.len() {
        for input in 0..INPUTS {
            sums[input][0] =
                simd.mul_add_e_f32s(row_vectors[i], input_vectors[input][i], sums[input][0]);
        }
    }
    let mut dots = [0.0; INPUTS];
    for input in 0..INPUTS {
        for part in 1..SUMS {
            sums[input][0] = simd.add_f32s(sums[input][0], sums[input][part]);
        }
        dots[input] = simd.reduce_sum_f32s(sums[input][0]);
        for i in 0..row_rest.len() {
            dots[input] += row_rest[i] * input_rests[input][i];
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
    fn with_simd<S: Simd>(mut self, simd: S) {
        let width = self.out.len();
        let mut column = 0;
        while width - column >= 4 * S::F32_LANES {
            self.sum_columns::<S, 4>(simd, column);
            column += 4 * S::F32_LANES;
        }
        while width - column >= S::F32_LANES {
            self.sum_columns::<S, 1>(simd, column);
            column += S::F32_LANES;
        }
        for column in column..width {
            let mut sum = 0.0;
            for (weight, row) in self.weights.iter().zip(self.rows.chunks_exact(width)) {
                sum += weight * row[column];
            }
            self.out[column] = sum;
        }
    }
}

impl WeightedSum<'_> {
    /// The sum over all rows of `VECTORS` vectors of columns from `column` on.
    #[inline(always)]
    fn sum_columns<S: Simd, const VECTORS: usize>(&mut self, simd: S, column: usize) {
        let width = self.out.len();
        let columns = VECTORS * S::F32_LANES;
        let mut sums = [simd.splat_f32s(0.0); VECTORS];
        for row in 0..self.weights.len() {
            let weight = simd.splat_f32s(self.weights[row]);
            let (values, _) = S::as_simd_f32s(&self.rows[row * width + column..][..columns]);
            for vector in 0..VECTORS {
                sums[vector] = simd.mul_add_e_f32s(weight, values[vector], sums[vector]);
            }
        }
        let (out, _) = S::as_mut_simd_f32s(&mut self.out[column..][..columns]);
        out.copy_from_slice(&sums);
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
        assert!(log_sum_exp(&[0.5, f32::NAN, 1.0]).is_nan());
        assert!(log_sum_exp(&[f32::NEG_INFINITY, f32::NAN]).is_nan());
    }

    /// The levels that this CPU has; the property tests below run on the best one.
    fn levels() -> Vec<Arch> {
        #[cfg(target_arch = "x86_64")]
        let lower = pulp::x86::V3::try_new().map(Arch::V3);
        #[cfg(not(target_arch = "x86_64"))]
        let lower = None;
        let mut levels = vec![Arch::Scalar, Arch::new()];
        levels.extend(lower);
        levels
    }

    /// Every loop once, on lengths with remainders.
    fn everything_at(level: Arch) -> Vec<f32> {
        let values: Vec<f32> = (0..67 * 9_i16)
            .map(|i| f32::from(i * 37 % 101) / 25.0 - 2.0)
            .collect();
        let [a, b] = [&values[..67], &values[67..134]];
        let mut all = vec![vec![0.0; 67]; 6];
        let [norm, sum, sum_of_rows, softmax, gelu, _] = &mut all[..] else {
            unreachable!("six results")
        };
        level.dispatch(Norm {
            values: a,
            weight: b,
            bias: a,
            out: norm,
        });
        sum.copy_from_slice(a);
        level.dispatch(Add {
            values: sum,
            term: b,
        });
        level.dispatch(WeightedSum {
            weights: &a[..9],
            rows: &values,
            out: sum_of_rows,
        });
        softmax.copy_from_slice(a);
        level.dispatch(Softmax { values: softmax });
        gelu.copy_from_slice(a);
        level.dispatch(Gelu {
            values: gelu,
            bias: b,
        });
        all.push(vec![level.dispatch(LogSumExp { values: a })]);
        let inputs: Vec<&[f32]> = values.chunks(67).take(6).collect();
        let mut products = vec![vec![0.0; 9]; 6];
        let mut outputs: Vec<&mut [f32]> = products.iter_mut().map(Vec::as_mut_slice).collect();
        level.dispatch(Products {
            matrix: &values,
            inputs: &inputs,
            outputs: &mut outputs,
        });
        all.push(products.concat());
        all.concat()
    }

    #[test]
    fn what_is_forbidden_adds_nothing() {
        let mut row = vec![f32::NEG_INFINITY; 40];
        assert!(log_sum_exp(&row).is_infinite());
        assert!(log_sum_exp(&[]).is_infinite());
        row[3] = 2.5;
        assert!((log_sum_exp(&row) - 2.5).abs() < 1e-6);
    }

    #[test]
    fn every_vector_level_computes_the_same() {
        let scalar = everything_at(Arch::Scalar);
        for level in levels() {
            for (scalar, found) in scalar.iter().zip(everything_at(level)) {
                // Sums of 67 products up to 4, in another order.
                assert!(
                    (scalar - found).abs() < 1e-4,
                    "{level:?}: {found} for {scalar}"
                );
            }
        }
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
        fn log_sum_exp_equals_the_textbook(row in values(1..70)) {
            let total: f64 = row.iter().map(|value| f64::from(*value).exp()).sum();
            prop_assert!(near(log_sum_exp(&row), total.ln(), 1.0));
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
