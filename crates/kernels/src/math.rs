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

/// The exact GELU, `x / 2 * (1 + erf(x / √2))`, with erf within 3e-7: formula 7.1.26 of Abramowitz and Stegun,
/// Handbook of Mathematical Functions.
#[inline(always)]
pub fn gelu<I: Isa>(x: f32) -> f32 {
    let scaled = x * std::f32::consts::FRAC_1_SQRT_2;
    let size = scaled.abs();
    let t = 1.0 / mul_add::<I>(0.327_591_1, size, 1.0);
    let mut series = 1.061_405_4;
    for coefficient in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        series = mul_add::<I>(series, t, coefficient);
    }
    let erf = (1.0 - series * t * exp::<I>(-size * size)).copysign(scaled);
    0.5 * x * (1.0 + erf)
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
        for i in -500..=500_i16 {
            let x = f32::from(i) / 100.0;
            let wide = f64::from(x);
            let exact = 0.5 * wide * (1.0 + erf_exact(wide / std::f64::consts::SQRT_2));
            for found in [gelu::<Plain>(x), gelu::<Fused>(x)] {
                // erf is good to 3e-7, times x / 2.
                assert!(
                    (f64::from(found) - exact).abs() < 1e-6,
                    "gelu({x}) = {found}"
                );
            }
        }
    }

    #[test]
    fn not_a_number_stays_visible() {
        assert!(exp::<Fused>(f32::NAN).is_nan());
        assert!(gelu::<Plain>(f32::NAN).is_nan());
    }
}
