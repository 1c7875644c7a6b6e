//! Which token of a row of logits is taken: the best, one of the best, or one drawn at random.

use crate::model::log_sum_exp;

/// The first of the highest.
pub(super) fn best_token(logits: &[f32]) -> u32 {
    // Two simple passes: the first compares many at a time, and the second mostly ends early.
    let highest = kernels::math::maximum(f32::NEG_INFINITY, logits);
    let found = (0_u32..).zip(logits).find(|&(_, &logit)| logit >= highest);
    found.map_or(0, |(token, _)| token)
}

/// Random numbers that a seed fixes: SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Within 0.0..1.0.
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / 16_777_216.0
    }

    /// A token with the probability that softmax at this temperature gives it.
    pub(super) fn draw(&mut self, logits: &[f32], temperature: f32) -> u32 {
        let scaled: Vec<f32> = logits.iter().map(|logit| logit / temperature).collect();
        let total = log_sum_exp(&scaled);
        let mut left = self.unit();
        for (token, &logit) in (0_u32..).zip(&scaled) {
            left -= (logit - total).exp();
            if left < 0.0 {
                return token;
            }
        }
        best_token(logits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_tokens_is_taken() {
        assert_eq!(best_token(&[1.0, 3.0, 3.0, 2.0]), 1);
        assert_eq!(best_token(&[f32::NAN, f32::NEG_INFINITY, -2.0]), 2);
        assert_eq!(best_token(&[f32::NEG_INFINITY; 40]), 0);
    }

    #[test]
    fn drawing_follows_the_probabilities_and_the_seed() {
        let logits = [0.0, 2.0_f32.ln(), f32::NEG_INFINITY, 5.0_f32.ln()];
        let mut random = Random(7);
        let mut counts = [0_u32; 4];
        for _ in 0..8_000 {
            counts[random.draw(&logits, 1.0) as usize] += 1;
        }
        assert_eq!(counts[2], 0);
        for (count, expected) in counts.iter().zip([1_000_u32, 2_000, 0, 5_000]) {
            assert!(count.abs_diff(expected) < 200, "{counts:?}");
        }
        let again: Vec<u32> = (0..20).map(|_| Random(9).draw(&logits, 1.0)).collect();
        assert!(again.iter().all(|token| *token == again[0]));
    }
}
