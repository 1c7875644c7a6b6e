//! The innermost loops: products of a tile of rows with one panel of weights, for each level.

use super::PAIR;
use crate::{
    level::{Instructions, Level},
    linear::{PANEL, Tile},
};

/// Rows of the largest tile: as many as have sums in registers beside the weights, 24 of 32 vector registers.
pub(super) const MOST_ROWS: usize = 12;

/// Rows of words, each `stride` long, a whole number of pairs.
#[derive(Clone, Copy)]
pub(crate) struct WordRows<'a> {
    pub(crate) words: &'a [i16],
    pub(crate) stride: usize,
}

/// A weight, of which a vector is read as words.
pub(super) trait Weight: Copy + Into<i32> {
    /// The 32 from `at` on.
    ///
    /// # Safety
    /// There are so many, and the CPU has AVX-512 BW.
    #[cfg(target_arch = "x86_64")]
    unsafe fn vector_of_32(at: *const Self) -> std::arch::x86_64::__m512i;

    /// The 16 from `at` on.
    ///
    /// # Safety
    /// There are so many, and the CPU has AVX2.
    #[cfg(target_arch = "x86_64")]
    unsafe fn vector_of_16(at: *const Self) -> std::arch::x86_64::__m256i;
}

/// Sums of products of the first rows with all outputs of `panel`; says how many rows it took.
///
/// Sums that do not fit 32 bits wrap around: the inputs are bounded so that there are none.
pub(super) fn sums<W: Weight>(
    level: Level,
    panel: &[W],
    rows: WordRows<'_>,
    sums: &mut Tile,
) -> usize {
    assert_eq!(panel.len(), rows.stride * PANEL, "a panel for these rows");
    match rows.words.len() / rows.stride {
        MOST_ROWS.. => tile::<W, MOST_ROWS>(level, panel, rows, sums),
        8.. => tile::<W, 8>(level, panel, rows, sums),
        4.. => tile::<W, 4>(level, panel, rows, sums),
        2.. => tile::<W, 2>(level, panel, rows, sums),
        _ => tile::<W, 1>(level, panel, rows, sums),
    }
}

fn tile<W: Weight, const ROWS: usize>(
    level: Level,
    panel: &[W],
    rows: WordRows<'_>,
    sums: &mut Tile,
) -> usize {
    assert!(
        rows.words.len() >= ROWS * rows.stride
            && rows.stride.is_multiple_of(PAIR)
            && panel.len() >= rows.stride * PANEL,
        "rows of a tile"
    );
    let Some(sums) = sums.first_chunk_mut::<ROWS>() else {
        unreachable!("a tile has {MOST_ROWS} rows and more");
    };
    match level.instructions() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level says that the CPU has the instructions, and the lengths were checked above: `ROWS` rows of
        // `stride` words, and as many times `PANEL` weights.
        Instructions::Avx512Vnni | Instructions::AmxInt8 => unsafe {
            x86::avx512_vnni::<W, ROWS>(panel, rows, sums);
        },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Instructions::AvxVnni => unsafe { x86::avx_vnni::<W, ROWS>(panel, rows, sums) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Instructions::Avx2 => unsafe { x86::avx2::<W, ROWS>(panel, rows, sums) },
        _ => portable::<W, ROWS>(panel, rows, sums),
    }
    ROWS
}

fn portable<W: Weight, const ROWS: usize>(
    panel: &[W],
    rows: WordRows<'_>,
    sums: &mut [[i32; PANEL]; ROWS],
) {
    for (row, sums) in rows.words.chunks_exact(rows.stride).zip(sums) {
        sums.fill(0);
        let pairs = row.as_chunks::<PAIR>().0.iter();
        for (inputs, weights) in pairs.zip(panel.chunks_exact(PANEL * PAIR)) {
            for (sum, weights) in sums.iter_mut().zip(weights.as_chunks::<PAIR>().0) {
                for (input, weight) in inputs.iter().zip(weights) {
                    *sum = sum.wrapping_add(i32::from(*input) * (*weight).into());
                }
            }
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Weight for i8 {}
#[cfg(not(target_arch = "x86_64"))]
impl Weight for i16 {}

#[cfg(target_arch = "x86_64")]
mod x86 {
    #[allow(
        clippy::wildcard_imports,
        reason = "every second name here is an instruction"
    )]
    use std::arch::x86_64::*;

    use super::{PAIR, PANEL, Weight, WordRows};

    impl Weight for i8 {
        #[inline(always)]
        unsafe fn vector_of_32(at: *const Self) -> __m512i {
            // SAFETY: promised by the caller; the read need not be aligned.
            unsafe { _mm512_cvtepi8_epi16(_mm256_loadu_si256(at.cast())) }
        }

        #[inline(always)]
        unsafe fn vector_of_16(at: *const Self) -> __m256i {
            // SAFETY: as above.
            unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(at.cast())) }
        }
    }

    impl Weight for i16 {
        #[inline(always)]
        unsafe fn vector_of_32(at: *const Self) -> __m512i {
            // SAFETY: promised by the caller; the read need not be aligned.
            unsafe { _mm512_loadu_si512(at.cast()) }
        }

        #[inline(always)]
        unsafe fn vector_of_16(at: *const Self) -> __m256i {
            // SAFETY: as above.
            unsafe { _mm256_loadu_si256(at.cast()) }
        }
    }

    /// The two words of a pair, to be broadcast.
    ///
    /// # Safety
    /// `words` has two words from `at` on.
    #[inline(always)]
    unsafe fn pair(words: *const i16, at: usize) -> i32 {
        // SAFETY: promised by the caller; the read need not be aligned.
        unsafe { words.add(at).cast::<i32>().read_unaligned() }
    }

    /// Two vectors of 16 sums for each row.
    ///
    /// # Safety
    /// The CPU has the instructions; `rows` has `ROWS` rows of its stride, a whole number of pairs, and `panel` as many
    /// times [`PANEL`] weights.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(super) unsafe fn avx512_vnni<W: Weight, const ROWS: usize>(
        panel: &[W],
        rows: WordRows<'_>,
        out: &mut [[i32; PANEL]; ROWS],
    ) {
        const LANES: usize = 16;
        let (weights, inputs) = (panel.as_ptr(), rows.words.as_ptr());
        let mut sums = [[_mm512_setzero_si512(); 2]; ROWS];
        for index in 0..rows.stride / PAIR {
            // SAFETY: pair `p` of row `r` ends at `r * stride + 2 p + 2`, and that of the panel at `(p + 1) * PANEL * 2`.
            unsafe {
                let weights = weights.add(index * PANEL * PAIR);
                let low = W::vector_of_32(weights);
                let high = W::vector_of_32(weights.add(LANES * PAIR));
                for (row, sums) in sums.iter_mut().enumerate() {
                    let input = _mm512_set1_epi32(pair(inputs, row * rows.stride + index * PAIR));
                    sums[0] = _mm512_dpwssd_epi32(sums[0], input, low);
                    sums[1] = _mm512_dpwssd_epi32(sums[1], input, high);
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(&sums) {
            // SAFETY: a row of `out` has two vectors.
            unsafe {
                _mm512_storeu_si512(out.as_mut_ptr().cast(), sums[0]);
                _mm512_storeu_si512(out.as_mut_ptr().add(LANES).cast(), sums[1]);
            }
        }
    }

    /// Half a panel at a time: two vectors of 8 sums for each row, as there are half as many registers.
    ///
    /// # Safety
    /// As [`avx512_vnni`].
    #[target_feature(enable = "avx2,fma,avxvnni")]
    pub(super) unsafe fn avx_vnni<W: Weight, const ROWS: usize>(
        panel: &[W],
        rows: WordRows<'_>,
        out: &mut [[i32; PANEL]; ROWS],
    ) {
        // SAFETY: passed on.
        unsafe { in_parts::<W, ROWS, true>(panel, rows, out) }
    }

    /// As [`avx_vnni`], with a product and an addition in the place of one instruction.
    ///
    /// # Safety
    /// As [`avx512_vnni`].
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn avx2<W: Weight, const ROWS: usize>(
        panel: &[W],
        rows: WordRows<'_>,
        out: &mut [[i32; PANEL]; ROWS],
    ) {
        // SAFETY: passed on.
        unsafe { in_parts::<W, ROWS, false>(panel, rows, out) }
    }

    /// # Safety
    /// As [`avx512_vnni`]; inlined into a function with the instructions.
    #[inline(always)]
    unsafe fn in_parts<W: Weight, const ROWS: usize, const VNNI: bool>(
        panel: &[W],
        rows: WordRows<'_>,
        out: &mut [[i32; PANEL]; ROWS],
    ) {
        for half in 0..2 {
            let mut row = 0;
            // SAFETY: `row` and those after it are below ROWS.
            unsafe {
                while row + 4 <= ROWS {
                    part::<W, 4, VNNI>(panel, rows, row, half, &mut out[row..]);
                    row += 4;
                }
                while row < ROWS {
                    part::<W, 1, VNNI>(panel, rows, row, half, &mut out[row..]);
                    row += 1;
                }
            }
        }
    }

    /// Rows `row .. row + PART` with outputs `16 * half .. 16 * half + 16`.
    ///
    /// # Safety
    /// As [`in_parts`] for these rows.
    #[inline(always)]
    unsafe fn part<W: Weight, const PART: usize, const VNNI: bool>(
        panel: &[W],
        rows: WordRows<'_>,
        row: usize,
        half: usize,
        out: &mut [[i32; PANEL]],
    ) {
        const LANES: usize = 8;
        // SAFETY: as in `avx512_vnni`; a half is 16 outputs.
        unsafe {
            let weights = panel.as_ptr().add(2 * LANES * PAIR * half);
            let inputs = rows.words.as_ptr().add(row * rows.stride);
            let mut sums = [[_mm256_setzero_si256(); 2]; PART];
            for index in 0..rows.stride / PAIR {
                let weights = weights.add(index * PANEL * PAIR);
                let low = W::vector_of_16(weights);
                let high = W::vector_of_16(weights.add(LANES * PAIR));
                for (index_of_row, sums) in sums.iter_mut().enumerate() {
                    let at = index_of_row * rows.stride + index * PAIR;
                    let input = _mm256_set1_epi32(pair(inputs, at));
                    sums[0] = multiply::<VNNI>(sums[0], input, low);
                    sums[1] = multiply::<VNNI>(sums[1], input, high);
                }
            }
            for (out, sums) in out.iter_mut().zip(&sums) {
                let out = out[2 * LANES * half..].as_mut_ptr();
                _mm256_storeu_si256(out.cast(), sums[0]);
                _mm256_storeu_si256(out.add(LANES).cast(), sums[1]);
            }
        }
    }

    /// # Safety
    /// The CPU has AVX2, and AVX-VNNI where `VNNI`.
    #[inline(always)]
    unsafe fn multiply<const VNNI: bool>(
        sums: __m256i,
        inputs: __m256i,
        weights: __m256i,
    ) -> __m256i {
        // SAFETY: promised by the caller.
        unsafe {
            if VNNI {
                return _mm256_dpwssd_avx_epi32(sums, inputs, weights);
            }
            _mm256_add_epi32(sums, _mm256_madd_epi16(inputs, weights))
        }
    }
}
