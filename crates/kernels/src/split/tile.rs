//! The innermost loops: products of rows of inputs with the upper parts of one panel of weights, for each level.

use super::PAIR;
#[cfg(target_arch = "x86_64")]
use crate::level::Instructions;
use crate::{
    level::Level,
    linear::{GROUP, Inputs, OFFSET, PANEL},
};

/// Rows of signed bytes, padded to whole pairs of groups.
pub(super) struct Rows {
    bytes: Vec<i8>,
    stride: usize,
}

impl Rows {
    /// `ins`: values of a row.
    pub(super) fn new(inputs: &Inputs, ins: usize) -> Self {
        let stride = ins.next_multiple_of(PAIR);
        let mut bytes = vec![0; inputs.scales.len() * stride];
        for (index, row) in bytes.chunks_exact_mut(stride).enumerate() {
            for (byte, input) in row[..ins].iter_mut().zip(inputs.rows(index, 1).bytes) {
                // Taking away the offset, 128, is turning the highest bit.
                *byte = (input ^ OFFSET.to_le_bytes()[0]).cast_signed();
            }
        }
        Self { bytes, stride }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[i8]> {
        self.bytes.chunks_exact(self.stride)
    }
}

/// Sums of products of all rows with the upper parts of a panel's outputs.
pub(super) fn sums(level: Level, panel: &[u8], rows: &Rows, sums: &mut [[i32; PANEL]]) {
    let mut row = 0;
    while row < sums.len() {
        let bytes = &rows.bytes[row * rows.stride..];
        let sums = &mut sums[row..];
        row += match sums.len() {
            8.. => tile::<8>(level, panel, bytes, rows.stride, sums),
            4.. => tile::<4>(level, panel, bytes, rows.stride, sums),
            2.. => tile::<2>(level, panel, bytes, rows.stride, sums),
            _ => tile::<1>(level, panel, bytes, rows.stride, sums),
        };
    }
}

fn tile<const ROWS: usize>(
    level: Level,
    panel: &[u8],
    bytes: &[i8],
    stride: usize,
    sums: &mut [[i32; PANEL]],
) -> usize {
    let Some(sums) = sums.first_chunk_mut::<ROWS>() else {
        unreachable!("as many sums as rows");
    };
    assert!(
        bytes.len() >= ROWS * stride
            && stride.is_multiple_of(PAIR)
            && panel.len() == stride / 2 * PANEL,
        "rows of a tile"
    );
    match level.instructions() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level says that the CPU has the instructions, and the lengths were checked: `ROWS` rows of `stride`
        // bytes, a whole number of pairs, and as many pairs in the panel.
        Instructions::Avx512Vnni | Instructions::AmxInt8 => unsafe {
            x86::avx512_vnni::<ROWS>(panel, bytes, stride, sums);
        },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Instructions::Avx2 | Instructions::AvxVnni => unsafe {
            x86::avx2::<ROWS>(panel, bytes, stride, sums);
        },
        _ => portable::<ROWS>(panel, bytes, stride, sums),
    }
    ROWS
}

fn portable<const ROWS: usize>(
    panel: &[u8],
    bytes: &[i8],
    stride: usize,
    sums: &mut [[i32; PANEL]; ROWS],
) {
    for (row, sums) in bytes.chunks_exact(stride).zip(sums) {
        sums.fill(0);
        for (inputs, weights) in row
            .chunks_exact(PAIR)
            .zip(panel.chunks_exact(PANEL * GROUP))
        {
            for (sum, weights) in sums.iter_mut().zip(weights.as_chunks::<GROUP>().0) {
                for (index, weight) in weights.iter().enumerate() {
                    *sum += i32::from(inputs[index]) * i32::from(weight & 15)
                        + i32::from(inputs[index + GROUP]) * i32::from(weight >> 4);
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    #[allow(
        clippy::wildcard_imports,
        reason = "every second name here is an instruction"
    )]
    use std::arch::x86_64::*;

    use super::{GROUP, PAIR, PANEL};
    use crate::int8::group;

    /// Two vectors of 16 sums for each row.
    ///
    /// # Safety
    /// The CPU has the instructions; `bytes` has `ROWS` rows of `stride`, a whole number of pairs of groups, and `panel`
    /// as many.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(super) unsafe fn avx512_vnni<const ROWS: usize>(
        panel: &[u8],
        bytes: &[i8],
        stride: usize,
        out: &mut [[i32; PANEL]; ROWS],
    ) {
        let (weights, inputs) = (panel.as_ptr(), bytes.as_ptr().cast());
        let halves = _mm512_set1_epi8(15);
        let mut sums = [[_mm512_setzero_si512(); 2]; ROWS];
        for pair in 0..stride / PAIR {
            // SAFETY: pair `p` of row `r` ends at `r * stride + 8 p + 8`, and that of the panel at `(p + 1) * 128`.
            unsafe {
                let weights = weights.add(pair * PANEL * GROUP);
                let both = [
                    _mm512_loadu_si512(weights.cast()),
                    _mm512_loadu_si512(weights.add(64).cast()),
                ];
                for (shift, group_index) in [(false, 0), (true, 1)] {
                    let weights = both.map(|both| {
                        let shifted = if shift {
                            _mm512_srli_epi16::<4>(both)
                        } else {
                            both
                        };
                        _mm512_and_si512(shifted, halves)
                    });
                    for (row, sums) in sums.iter_mut().enumerate() {
                        let at = row * stride + pair * PAIR + group_index * GROUP;
                        let input = _mm512_set1_epi32(group(inputs, at));
                        sums[0] = _mm512_dpbusd_epi32(sums[0], weights[0], input);
                        sums[1] = _mm512_dpbusd_epi32(sums[1], weights[1], input);
                    }
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(&sums) {
            // SAFETY: a row of `out` has two vectors.
            unsafe {
                _mm512_storeu_si512(out.as_mut_ptr().cast(), sums[0]);
                _mm512_storeu_si512(out.as_mut_ptr().add(16).cast(), sums[1]);
            }
        }
    }

    /// A quarter of a panel at a time: one vector of 8 sums for each row.
    ///
    /// # Safety
    /// As [`avx512_vnni`].
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn avx2<const ROWS: usize>(
        panel: &[u8],
        bytes: &[i8],
        stride: usize,
        out: &mut [[i32; PANEL]; ROWS],
    ) {
        /// Two products of at most 15 · 128 make a sum of 16 bits, which holds eight such.
        const PAIRS_OF_16_BITS: usize = 4;
        let halves = _mm256_set1_epi8(15);
        let ones = _mm256_set1_epi16(1);
        for quarter in 0..4 {
            let mut sums = [_mm256_setzero_si256(); ROWS];
            for first in (0..stride / PAIR).step_by(PAIRS_OF_16_BITS) {
                let mut short = [_mm256_setzero_si256(); ROWS];
                for pair in first..(first + PAIRS_OF_16_BITS).min(stride / PAIR) {
                    // SAFETY: as in `avx512_vnni`; a quarter of a pair is 32 bytes.
                    unsafe {
                        let at = pair * PANEL * GROUP + quarter * 32;
                        let both = _mm256_loadu_si256(panel.as_ptr().add(at).cast());
                        let low = _mm256_and_si256(both, halves);
                        let high = _mm256_and_si256(_mm256_srli_epi16::<4>(both), halves);
                        for (row, short) in short.iter_mut().enumerate() {
                            let at = row * stride + pair * PAIR;
                            for (weights, at) in [(low, at), (high, at + GROUP)] {
                                let input = _mm256_set1_epi32(group(bytes.as_ptr().cast(), at));
                                let products = _mm256_maddubs_epi16(weights, input);
                                *short = _mm256_add_epi16(*short, products);
                            }
                        }
                    }
                }
                for (sums, short) in sums.iter_mut().zip(short) {
                    *sums = _mm256_add_epi32(*sums, _mm256_madd_epi16(short, ones));
                }
            }
            for (out, sums) in out.iter_mut().zip(sums) {
                // SAFETY: a row of `out` has four vectors of 8.
                unsafe { _mm256_storeu_si256(out.as_mut_ptr().add(8 * quarter).cast(), sums) };
            }
        }
    }
}
