//! Memory: for results, and ahead of its use.

use rayon::prelude::*;

/// Values that a thread zeroes at a time.
const PIECE: usize = 1 << 12;
/// Fewer than these are zeroed before another thread wakes.
const PARALLEL_FROM: usize = 1 << 18;

/// `vec![0.0; count]`, by all threads where it is much: memory that comes back from earlier results has to be
/// overwritten, and one thread alone would take a twentieth of an encoder's time for that.
pub fn zeros(count: usize) -> Vec<f32> {
    if count < PARALLEL_FROM {
        return vec![0.0; count];
    }
    let pieces: Vec<[f32; PIECE]> = (0..count.div_ceil(PIECE))
        .into_par_iter()
        .map(|_| [0.0; PIECE])
        .collect();
    let mut values = pieces.into_flattened();
    values.truncate(count);
    values
}

/// Asks for memory that is read soon.
#[inline(always)]
pub(crate) fn prefetch(values: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in values.chunks(16) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, which may name any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_zeros_as_asked_for() {
        for count in [
            0,
            1,
            PARALLEL_FROM - 1,
            PARALLEL_FROM,
            PARALLEL_FROM + 1,
            3 * PIECE * 100 + 7,
        ] {
            let values = zeros(count);
            assert_eq!(values.len(), count);
            assert!(values.iter().all(|value| *value == 0.0));
        }
    }
}
