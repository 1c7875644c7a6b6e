//! The innermost loops: byte products of a tile of rows with one panel of weights, for each level.

use super::{GROUP, OFFSET, PANEL};
#[cfg(target_arch = "x86_64")]
use crate::amx;
use crate::{
    level::{Instructions, Level},
    linear::MOST_TILE_ROWS as MOST_ROWS,
};

pub(crate) use super::rows::{Rows, Sums};

/// Rows of the largest tile of a level: as many as have sums in registers beside the weights. They fill 24 of 32 vector
/// registers, and four of the eight of AMX.
pub(crate) fn rows(level: Level) -> usize {
    match level.instructions() {
        Instructions::AmxInt8 => MOST_ROWS,
        _ => VECTOR_ROWS,
    }
}

const VECTOR_ROWS: usize = 12;

/// What multiplies the tiles of one piece of work, on one thread.
pub(crate) struct Tiles {
    level: Level,
    #[cfg(target_arch = "x86_64")]
    amx: Option<amx::Registers>,
}

impl Tiles {
    /// For work of `rows` rows: fewer than AMX takes at a time are left to AVX-512, with nothing to set up for them.
    pub(crate) fn new(level: Level, rows: usize) -> Self {
        #[cfg(target_arch = "x86_64")]
        let with_amx = level.instructions() == Instructions::AmxInt8 && rows >= amx::ROWS;
        #[cfg(not(target_arch = "x86_64"))]
        let _ = rows;
        Self {
            level,
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the level says that the CPU has AMX and that this process may use it.
            amx: with_amx.then(|| unsafe { amx::Registers::set_up() }),
        }
    }

    /// Sums of products of the first rows with all outputs of `panel`; says how many rows it took.
    ///
    /// `corrections`: of the panel's outputs. Where the level multiplies bytes, they are what the sums begin with, and
    /// bytes are taken as they are: with zeros here, they have no offset.
    pub(crate) fn sums(
        &self,
        panel: &[i8],
        corrections: &[i32],
        rows: Rows<'_>,
        mut sums: Sums<'_>,
    ) -> usize {
        let Ok(corrections) = <&[i32; PANEL]>::try_from(corrections) else {
            unreachable!("a panel has {PANEL} outputs");
        };
        assert_eq!(panel.len(), rows.stride * PANEL, "a panel for these rows");
        let count = rows.bytes.len() / rows.stride;
        #[cfg(target_arch = "x86_64")]
        if let Some(registers) = &self.amx
            && rows.stride >= amx::INPUTS
            && count >= amx::ROWS
        {
            return if count >= 2 * amx::ROWS {
                registers.sums::<2>(panel, corrections, rows, &mut sums)
            } else {
                registers.sums::<1>(panel, corrections, rows, &mut sums)
            };
        }
        of_vectors(self.level, panel, corrections, rows, count, &mut sums)
    }
}

/// As [`Tiles::sums`] of `count` rows.
fn of_vectors(
    level: Level,
    panel: &[i8],
    corrections: &[i32; PANEL],
    rows: Rows<'_>,
    count: usize,
    sums: &mut Sums<'_>,
) -> usize {
    match count {
        VECTOR_ROWS.. => tile::<VECTOR_ROWS>(level, panel, corrections, rows, sums),
        8.. => tile::<8>(level, panel, corrections, rows, sums),
        4.. => tile::<4>(level, panel, corrections, rows, sums),
        2.. => tile::<2>(level, panel, corrections, rows, sums),
        _ => tile::<1>(level, panel, corrections, rows, sums),
    }
}

fn tile<const ROWS: usize>(
    level: Level,
    panel: &[i8],
    corrections: &[i32; PANEL],
    rows: Rows<'_>,
    sums: &mut Sums<'_>,
) -> usize {
    assert!(
        rows.bytes.len() >= ROWS * rows.stride
            && rows.stride.is_multiple_of(GROUP)
            && panel.len() == rows.stride * PANEL,
        "rows of a tile"
    );
    #[cfg(target_arch = "x86_64")]
    let (out, stride) = (sums.room(ROWS), sums.stride);
    match level.instructions() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level says that the CPU has the instructions, and the lengths were checked above: `ROWS` rows of
        // `stride` bytes, as many groups in the panel, and room for the sums.
        Instructions::Avx512Vnni | Instructions::AmxInt8 => unsafe {
            x86::avx512_vnni::<ROWS>(panel, corrections, rows, out, stride);
        },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Instructions::AvxVnni => unsafe {
            x86::avx_vnni::<ROWS>(panel, corrections, rows, out, stride);
        },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Instructions::Avx2 => unsafe { x86::avx2::<ROWS>(panel, rows, out, stride) },
        _ => portable::<ROWS>(panel, rows, sums),
    }
    ROWS
}

fn portable<const ROWS: usize>(panel: &[i8], rows: Rows<'_>, sums: &mut Sums<'_>) {
    for (row, sums) in rows
        .bytes
        .chunks_exact(rows.stride)
        .zip(sums.values.chunks_mut(sums.stride))
        .take(ROWS)
    {
        let sums = &mut sums[..PANEL];
        sums.fill(0);
        for (inputs, weights) in row
            .chunks_exact(GROUP)
            .zip(panel.chunks_exact(PANEL * GROUP))
        {
            for (sum, weights) in sums.iter_mut().zip(weights.as_chunks::<GROUP>().0) {
                for (input, weight) in inputs.iter().zip(weights) {
                    *sum += (i32::from(*input) - OFFSET) * i32::from(*weight);
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    #[allow(
        clippy::wildcard_imports,
        reason = "every second name here is an instruction"
    )]
    use std::arch::x86_64::*;

    use super::{GROUP, PANEL, Rows};

    /// The four bytes of a group, to be broadcast.
    ///
    /// # Safety
    /// `bytes` has four bytes from `at` on.
    #[inline(always)]
    pub(crate) unsafe fn group(bytes: *const u8, at: usize) -> i32 {
        // SAFETY: promised by the caller; the read need not be aligned.
        unsafe { bytes.add(at).cast::<i32>().read_unaligned() }
    }

    /// Two vectors of 16 sums for each row.
    ///
    /// # Safety
    /// The CPU has the instructions; `rows` has `ROWS` rows of its stride, and `panel` as many times [`PANEL`] weights.
    /// [`PANEL`] sums may be written to each of `ROWS` rows from `out` on, `stride` apart.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(super) unsafe fn avx512_vnni<const ROWS: usize>(
        panel: &[i8],
        corrections: &[i32; PANEL],
        rows: Rows<'_>,
        out: *mut i32,
        stride: usize,
    ) {
        let (weights, inputs) = (panel.as_ptr(), rows.bytes.as_ptr());
        // SAFETY: reads stay inside of what the caller promised: group `g` of row `r` ends at `r * stride + 4 g + 4`,
        // and group `g` of the panel at `(g + 1) * PANEL * GROUP`.
        unsafe {
            let start = corrections.as_ptr();
            let start = [
                _mm512_loadu_si512(start.cast()),
                _mm512_loadu_si512(start.add(16).cast()),
            ];
            let mut sums = [start; ROWS];
            for group_index in 0..rows.stride / GROUP {
                let weights = weights.add(group_index * PANEL * GROUP);
                let low = _mm512_loadu_si512(weights.cast());
                let high = _mm512_loadu_si512(weights.add(64).cast());
                for (row, sums) in sums.iter_mut().enumerate() {
                    let input =
                        _mm512_set1_epi32(group(inputs, row * rows.stride + group_index * GROUP));
                    sums[0] = _mm512_dpbusd_epi32(sums[0], input, low);
                    sums[1] = _mm512_dpbusd_epi32(sums[1], input, high);
                }
            }
            for (row, sums) in sums.iter().enumerate() {
                let out = out.add(row * stride);
                _mm512_storeu_si512(out.cast(), sums[0]);
                _mm512_storeu_si512(out.add(16).cast(), sums[1]);
            }
        }
    }

    /// Half a panel at a time: two vectors of 8 sums for each row, as there are half as many registers.
    ///
    /// # Safety
    /// As [`avx512_vnni`].
    #[target_feature(enable = "avx2,fma,avxvnni")]
    pub(super) unsafe fn avx_vnni<const ROWS: usize>(
        panel: &[i8],
        corrections: &[i32; PANEL],
        rows: Rows<'_>,
        out: *mut i32,
        stride: usize,
    ) {
        // SAFETY: passed on; halves and groups of rows are within what was promised.
        unsafe {
            in_parts::<ROWS, true>(panel, corrections, rows, out, stride);
        }
    }

    /// As [`avx_vnni`], with `maddubs`, which sums pairs in 16 bits: sizes up to 127 and weights that took the
    /// inputs' signs keep them below 2^15.
    ///
    /// # Safety
    /// As [`avx512_vnni`].
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn avx2<const ROWS: usize>(
        panel: &[i8],
        rows: Rows<'_>,
        out: *mut i32,
        stride: usize,
    ) {
        // SAFETY: as above.
        unsafe {
            in_parts::<ROWS, false>(panel, &[0; PANEL], rows, out, stride);
        }
    }

    /// # Safety
    /// As [`avx512_vnni`]; inlined into a function with the instructions.
    #[inline(always)]
    unsafe fn in_parts<const ROWS: usize, const VNNI: bool>(
        panel: &[i8],
        corrections: &[i32; PANEL],
        rows: Rows<'_>,
        out: *mut i32,
        stride: usize,
    ) {
        for half in 0..2 {
            let mut row = 0;
            // SAFETY: `row` and those after it are below ROWS.
            unsafe {
                while row + 4 <= ROWS {
                    part::<4, VNNI>(
                        panel,
                        corrections,
                        rows,
                        out.add(row * stride),
                        stride,
                        row,
                        half,
                    );
                    row += 4;
                }
                while row < ROWS {
                    part::<1, VNNI>(
                        panel,
                        corrections,
                        rows,
                        out.add(row * stride),
                        stride,
                        row,
                        half,
                    );
                    row += 1;
                }
            }
        }
    }

    /// Rows `row .. row + PART` with outputs `16 * half .. 16 * half + 16`.
    ///
    /// # Safety
    /// As [`in_parts`] for these rows; `out` is that of `row`.
    #[inline(always)]
    unsafe fn part<const PART: usize, const VNNI: bool>(
        panel: &[i8],
        corrections: &[i32; PANEL],
        rows: Rows<'_>,
        out: *mut i32,
        stride: usize,
        row: usize,
        half: usize,
    ) {
        // SAFETY: as in `avx512_vnni`; a half is 16 outputs, which are 64 bytes of a group.
        unsafe {
            let start = corrections.as_ptr().add(16 * half);
            let start = [
                _mm256_loadu_si256(start.cast()),
                _mm256_loadu_si256(start.add(8).cast()),
            ];
            let weights = panel.as_ptr().add(64 * half);
            let inputs = rows.bytes.as_ptr().add(row * rows.stride);
            let mut sums = [start; PART];
            for group_index in 0..rows.stride / GROUP {
                let weights = weights.add(group_index * PANEL * GROUP);
                let low = _mm256_loadu_si256(weights.cast());
                let high = _mm256_loadu_si256(weights.add(32).cast());
                for (index, sums) in sums.iter_mut().enumerate() {
                    let at = index * rows.stride + group_index * GROUP;
                    let input = _mm256_set1_epi32(group(inputs, at));
                    sums[0] = multiply::<VNNI>(sums[0], input, low);
                    sums[1] = multiply::<VNNI>(sums[1], input, high);
                }
            }
            for (index, sums) in sums.iter().enumerate() {
                let out = out.add(index * stride + 16 * half);
                _mm256_storeu_si256(out.cast(), sums[0]);
                _mm256_storeu_si256(out.add(8).cast(), sums[1]);
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
                return _mm256_dpbusd_avx_epi32(sums, inputs, weights);
            }
            // Taking away 128 is turning the highest bit.
            let inputs = _mm256_xor_si256(inputs, _mm256_set1_epi8(i8::MIN));
            let pairs =
                _mm256_maddubs_epi16(_mm256_abs_epi8(inputs), _mm256_sign_epi8(weights, inputs));
            _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes from all over the range.
    fn bytes(seed: u32, count: usize) -> impl Iterator<Item = u8> {
        let mut state = seed;
        (0..count).map(move |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_le_bytes()[3]
        })
    }

    fn plain(panel: &[i8], row: &[u8], offset: i32) -> [i32; PANEL] {
        let mut sums = [0; PANEL];
        for (input, value) in row.iter().enumerate() {
            for (lane, sum) in sums.iter_mut().enumerate() {
                let weight = panel[super::super::at(input, lane)];
                *sum += (i32::from(*value) - offset) * i32::from(weight);
            }
        }
        sums
    }

    fn check(count: usize, stride: usize) {
        let panel: Vec<i8> = bytes(1, stride * PANEL)
            .map(|byte| byte.cast_signed().max(-127))
            .collect();
        // From 1 on, as inputs with an offset are.
        let inputs: Vec<u8> = bytes(2, count * stride).map(|byte| byte.max(1)).collect();
        let mut corrections = [0; PANEL];
        for (lane, correction) in corrections.iter_mut().enumerate() {
            let weights = (0..stride).map(|input| i32::from(panel[super::super::at(input, lane)]));
            *correction = -OFFSET * weights.sum::<i32>();
        }
        for level in Level::available() {
            let as_they_are = level.multiplies_bytes().then_some(([0; PANEL], 0));
            for (corrections, offset) in as_they_are.into_iter().chain([(corrections, OFFSET)]) {
                let tiles = Tiles::new(level, count);
                let (mut row, mut sums) = (0, [[0; PANEL]; MOST_ROWS]);
                while row < count {
                    let rest = Rows {
                        bytes: &inputs[row * stride..],
                        stride,
                    };
                    let done = tiles.sums(&panel, &corrections, rest, Sums::rows(&mut sums));
                    assert!((1..=rows(level)).contains(&done), "{level}: {done} rows");
                    for (index, sums) in sums[..done].iter().enumerate() {
                        let row = row + index;
                        let expected = plain(&panel, &inputs[row * stride..][..stride], offset);
                        assert_eq!(*sums, expected, "{level}: row {row} of {count}, {stride}");
                    }
                    row += done;
                }
            }
        }
    }

    #[test]
    fn sums_of_every_level_are_the_same_integers() {
        for count in [1, 2, 11, 15, 16, 17, 31, 32, 33, 48, 79] {
            for stride in [4, 60, 64, 68, 124, 128, 384, 1504] {
                check(count, stride);
            }
        }
    }
}
