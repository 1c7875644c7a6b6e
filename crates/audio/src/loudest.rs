//! How loud a voice is: the level that the loudest moments stay above. Pure.

/// Power of the `N` loudest moments so far. A click or a slammed door is over sooner than a word, so the quietest of
/// them is as loud as the voice.
#[derive(Clone, Debug)]
pub(crate) struct Loudest<T, const N: usize> {
    /// Ascending.
    powers: [T; N],
}

impl<T: Copy + Default, const N: usize> Default for Loudest<T, N> {
    fn default() -> Self {
        Self {
            powers: [T::default(); N],
        }
    }
}

impl<T: Copy + Default + PartialOrd, const N: usize> Loudest<T, N> {
    /// One more moment.
    pub(crate) fn add(&mut self, power: T) {
        let louder_than = self.powers.partition_point(|&other| other < power);
        if louder_than > 0 {
            // The quietest of them makes room.
            self.powers[..louder_than].rotate_left(1);
            self.powers[louder_than - 1] = power;
        }
    }

    /// Power of the quietest of them; 0 while there were fewer.
    pub(crate) fn quietest(&self) -> T {
        self.powers.first().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_quietest_is_the_nth_loudest(powers in proptest::collection::vec(0.0_f64..1.0, 0..40)) {
            let mut loudest = Loudest::<f64, 5>::default();
            for &power in &powers {
                loudest.add(power);
            }
            let mut sorted = powers;
            sorted.sort_by(|a, b| b.total_cmp(a));
            let expected = sorted.get(4).copied().unwrap_or_default();
            prop_assert!((loudest.quietest() - expected).abs() < f64::EPSILON);
        }
    }
}
