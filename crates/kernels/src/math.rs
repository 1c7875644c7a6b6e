//! Functions of one value, written so that loops over them become vector instructions.

use crate::level::Isa;

/// `a * b + c`, in one rounding where that is one instruction.
#[inline(always)]
pub(crate) fn mul_add<I: Isa>(a: f32, b: f32, c: f32) -> f32 {
    if I::FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// e^x within 3e-7 of relative error for −87 ≤ x ≤ 88 (clamped outside): 2^n times the series of the rest.
#[inline(always)]
pub fn exp<I: Isa>(x: f32) -> f32 {
    // Adding and taking away 1.5 * 2^23 rounds to the nearest integer, whose bits are then the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts: n * LN_2_HIGH is exact for every n that occurs.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let rounded = mul_add::<I>(x, std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    let r = mul_add::<I>(n, -LN_2_HIGH, x);
    let r = mul_add::<I>(n, -LN_2_LOW, r);
    let mut series = 1.0 / 720.0;
    for coefficient in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = mul_add::<I>(series, r, coefficient);
    }
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits());
    series * f32::from_bits(exponent.wrapping_add(127) << 23)
}

/// The largest of `from` and `values`, passing over NaN, which comes through [`exp`] anyway.
#[inline(always)]
pub fn maximum(from: f32, values: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [from; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] = if chunk[lane] > lanes[lane] {
                chunk[lane]
            } else {
                lanes[lane]
            };
        }
    }
    lanes.iter().chain(rest).copied().fold(from, f32::max)
}

/// The exact GELU, `x · Φ(x)`, within 6e-7 or 3e-7 of x, whichever is more: a polynomial of degree 25 of Φ over |x| ≤ 5.
#[inline(always)]
pub fn gelu<I: Isa>(x: f32) -> f32 {
    const SERIES: [f32; 13] = [
        4.929_699e-4,
        -1.514_154_5e-3,
        2.001_859_5e-3,
        -2.915_671_6e-3,
        6.165_431e-3,
        -1.097_323_3e-2,
        1.649_765_7e-2,
        -2.333_673e-2,
        3.142_623e-2,
        -4.043_295e-2,
        5.152_142e-2,
        -7.029_665e-2,
        0.141_363_78,
    ];
    times_phi::<I, 13>(x, 5.0, &SERIES)
}

/// The exact GELU within 1.9e-4 or 5e-5 of x, whichever is more, and within 3.3e-4 of x: half of the work. What is
/// rounded to bytes afterwards is off by more.
#[inline(always)]
pub(crate) fn gelu_for_bytes<I: Isa>(x: f32) -> f32 {
    const SERIES: [f32; 7] = [
        5.972_014e-3,
        -1.655_089_3e-2,
        2.409_107_4e-2,
        -3.546_234_6e-2,
        5.541_018_8e-2,
        -8.442_662e-2,
        0.175_970_21,
    ];
    times_phi::<I, 7>(x, 4.0, &SERIES)
}

/// `x · Φ(x)`, where Φ − ½ is an odd polynomial (minimax of x · Φ over |x| ≤ `end`, in x² moved to −1 to 1), with its ends
/// further out: neither an exponential nor a division, which would take three times as long.
#[inline(always)]
fn times_phi<I: Isa, const TERMS: usize>(x: f32, end: f32, terms: &[f32; TERMS]) -> f32 {
    let near = x.clamp(-end, end);
    let u = mul_add::<I>(near * near, 2.0 / (end * end), -1.0);
    let mut series = terms[0];
    for term in &terms[1..] {
        series = mul_add::<I>(series, u, *term);
    }
    x * mul_add::<I>(near, series, 0.5)
}

/// What layer norms of Whisper add to the variance.
pub const LAYER_NORM_EPSILON: f32 = 1e-5;

/// Layer norm (Ba et al. 2016) of one row: `weight * (x − mean) / √(variance + ε) + bias`. All of one length.
#[inline(always)]
pub fn layer_norm<I: Isa>(values: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32]) {
    let width = values.len() as f32;
    let mean = sum_of_squares_around::<false>(values, 0.0) / width;
    let variance = sum_of_squares_around::<true>(values, mean) / width;
    let scale = 1.0 / (variance + LAYER_NORM_EPSILON).sqrt();
    let affine = weight.iter().zip(bias);
    for ((out, value), (weight, bias)) in out.iter_mut().zip(values).zip(affine) {
        *out = mul_add::<I>((value - mean) * scale, *weight, *bias);
    }
}

/// The sum of `(x − centre)²`, or of `x − centre` where not `SQUARED`, in lanes that become vector registers.
#[inline(always)]
fn sum_of_squares_around<const SQUARED: bool>(values: &[f32], centre: f32) -> f32 {
    const LANES: usize = 32;
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            let x = chunk[lane] - centre;
            lanes[lane] += if SQUARED { x * x } else { x };
        }
    }
    let mut total = 0.0;
    for value in rest {
        let x = value - centre;
        total += if SQUARED { x * x } else { x };
    }
    for lane in lanes {
        total += lane;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::{Fused, Plain};

    #[test]
    fn exp_is_within_three_units_of_the_last_place() {
        for i in -8700..=8800_i16 {
            let x = f32::from(i) / 100.0;
            let exact = f64::from(x).exp();
            for found in [exp::<Plain>(x), exp::<Fused>(x)] {
                let error = (f64::from(found) - exact).abs() / exact;
                assert!(error < 3.6e-7, "e^{x}: relative error {error:e}");
            }
        }
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
    fn gelu_is_the_exact_one() {
        let near = |x: f32, exact: f64| {
            let size = f64::from(x.abs());
            // Of x · Φ the polynomial is good to 3.3e-7; the rest are roundings.
            let whole = ([gelu::<Plain>(x), gelu::<Fused>(x)], 3e-7 * size.max(2.0));
            let for_bytes = [gelu_for_bytes::<Plain>(x), gelu_for_bytes::<Fused>(x)];
            let tolerance = (5e-5 * size).max(1.9e-4).min(3.3e-4 * size);
            for (found, tolerance) in [whole, (for_bytes, tolerance)] {
                for found in found {
                    assert!(
                        (f64::from(found) - exact).abs() <= tolerance,
                        "gelu({x}) = {found}, exactly {exact}"
                    );
                }
            }
        };
        for i in -5000..=5000_i16 {
            let x = f32::from(i) / 1000.0;
            let wide = f64::from(x);
            let phi = 0.5 * (1.0 + erf_exact(wide / std::f64::consts::SQRT_2));
            near(x, wide * phi);
        }
        // Φ is 0 or 1 there, but for 3e-7 and 5e-5.
        for x in [5.1, 8.0, 100.0, 1e6] {
            near(x, x.into());
            near(-x, 0.0);
        }
    }

    #[test]
    fn not_a_number_stays_visible() {
        assert!(exp::<Fused>(f32::NAN).is_nan());
        assert!(gelu::<Plain>(f32::NAN).is_nan());
        assert!(gelu_for_bytes::<Plain>(f32::NAN).is_nan());
    }
}
