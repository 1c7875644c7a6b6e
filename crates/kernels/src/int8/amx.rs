//! Byte products on AMX: an instruction adds 64 products to each of 16 x 16 sums.
//!
//! ```text
//! tmm0, tmm1: sums of rows 0..16 and outputs 0..16, 16..32    tmm4, tmm5: 64 inputs of rows 0..16, 16..32
//! tmm2, tmm3: the same of rows 16..32                         tmm6, tmm7: 16 groups of weights of outputs 0..16, 16..32
//! ```
//!
//! Weights are taken out of a panel as it is: a register's row is a group of four inputs of 16 outputs. Four sums do not
//! wait for each other, and each register that is loaded serves two of them.
//!
//! A tile is one block of assembly: from one block to the next the language does not promise that registers stay as they
//! are. Their shapes are set up [for the thread](Registers), and Linux keeps them for it.

use std::arch::{
    asm,
    x86_64::{_mm512_maskz_loadu_epi8, _mm512_storeu_si512},
};

use super::{
    GROUP, PANEL,
    tile::{Rows, Sums},
};
use crate::amx::{INPUTS, ROWS, Registers};

impl Registers {
    /// As `Tiles::sums`, for `BLOCKS` times [`ROWS`] rows of at least [`INPUTS`] bytes.
    #[expect(clippy::unused_self, reason = "says that the registers are set up")]
    pub(super) fn sums<const BLOCKS: usize>(
        &self,
        panel: &[i8],
        corrections: &[i32; PANEL],
        rows: Rows<'_>,
        sums: &mut Sums<'_>,
    ) -> usize {
        let Rows { bytes, stride } = rows;
        assert!((1..=2).contains(&BLOCKS), "{BLOCKS} blocks of rows");
        let out = sums.room(BLOCKS * ROWS);
        assert!(
            stride >= INPUTS
                && bytes.len() >= BLOCKS * ROWS * stride
                && panel.len() == stride * PANEL,
            "inputs and weights of a tile"
        );
        let last = if stride.is_multiple_of(INPUTS) {
            None
        } else {
            // SAFETY: where there is AMX there is AVX-512, and `BLOCKS * ROWS` rows of `stride` bytes are there.
            Some(unsafe { last_inputs::<BLOCKS>(bytes.as_ptr(), stride) })
        };
        let work = Work {
            corrections: corrections.as_ptr(),
            inputs: bytes.as_ptr(),
            weights: panel.as_ptr(),
            whole: stride / INPUTS,
            stride,
            last: last
                .as_ref()
                .map_or(std::ptr::null(), |last| last.as_ptr().cast()),
            last_weights: panel[(stride - INPUTS) * PANEL..].as_ptr(),
            sums: out,
            sums_stride: sums.stride * size_of::<i32>(),
        };
        // SAFETY: registers are set up. Inputs are read up to `BLOCKS * ROWS` rows of `stride` bytes, weights up to
        // `stride / GROUP` groups, and sums are written to as many rows, all of which are there.
        unsafe {
            if BLOCKS == 2 {
                two_blocks(&work);
            } else {
                one_block(&work);
            }
        }
        BLOCKS * ROWS
    }
}

/// What a block of assembly reads and writes.
struct Work {
    /// What the sums of each row begin with.
    corrections: *const i32,
    inputs: *const u8,
    /// Bytes from one row of inputs to the next.
    stride: usize,
    weights: *const i8,
    /// How many times [`INPUTS`] inputs a row has, at least 1.
    whole: usize,
    /// The last inputs of rows that have more, each row [`INPUTS`] behind the one before; else null.
    last: *const u8,
    /// Of these.
    last_weights: *const i8,
    sums: *mut i32,
    /// Bytes from one row of sums to the next.
    sums_stride: usize,
}

/// Bytes of weights from one row of a register to the next.
const GROUP_BYTES: usize = GROUP * PANEL;
/// Bytes of weights of [`INPUTS`] inputs.
const STEP: usize = INPUTS * PANEL;

/// Multiplies a tile. In `before`, `products` (from inputs at one register, with weights at another) and `after`, `{other}`
/// is a register that is free, and 0 at first.
macro_rules! tile {
    ($work:expr, $before:expr, $products:ident, $after:expr, $registers:tt) => {
        tile!(@ $work, $before, $products!("{inputs}", "{other}", "{weights}"),
            $products!("{last}", "{other}", "{last_weights}"), $after, $registers)
    };
    (@ $work:expr, $before:expr, $products:expr, $last:expr, $after:expr, [$($register:tt),+]) => {
        asm!(
            $before,
            "2:",
            $products,
            "add {inputs}, {INPUTS}",
            "add {other}, {INPUTS}",
            "add {weights}, {STEP}",
            "dec {whole}",
            "jnz 2b",
            "test {last}, {last}",
            "jz 3f",
            "mov {stride:e}, {INPUTS}",
            "lea {other}, [{last} + {INPUTS} * {ROWS}]",
            $last,
            "3:",
            $after,
            INPUTS = const INPUTS,
            ROWS = const ROWS,
            STEP = const STEP,
            corrections = in(reg) $work.corrections,
            other = inout(reg) 0_usize => _,
            inputs = inout(reg) $work.inputs => _,
            stride = inout(reg) $work.stride => _,
            weights = inout(reg) $work.weights => _,
            group = in(reg) GROUP_BYTES,
            whole = inout(reg) $work.whole => _,
            last = in(reg) $work.last,
            last_weights = in(reg) $work.last_weights,
            sums = in(reg) $work.sums,
            sums_stride = in(reg) $work.sums_stride,
            $(out($register) _,)+
            options(nostack),
        )
    };
}

/// Of rows 0..16.
macro_rules! first_products {
    ($inputs:literal, $other:literal, $weights:literal) => {
        concat!(
            "tileloadd tmm4, [",
            $inputs,
            " + {stride}]\n",
            "tileloadd tmm6, [",
            $weights,
            " + {group}]\n",
            "tdpbusd tmm0, tmm4, tmm6\n",
            "tileloadd tmm7, [",
            $weights,
            " + {group} + 64]\n",
            "tdpbusd tmm1, tmm4, tmm7",
        )
    };
}

/// Of rows 0..32.
macro_rules! all_products {
    ($inputs:literal, $other:literal, $weights:literal) => {
        concat!(
            first_products!($inputs, $other, $weights),
            "\ntileloadd tmm5, [",
            $other,
            " + {stride}]\n",
            "tdpbusd tmm2, tmm5, tmm6\n",
            "tdpbusd tmm3, tmm5, tmm7",
        )
    };
}

/// Sums of [`ROWS`] rows. As the rows of corrections are 0 bytes apart, all are the same 16 values.
///
/// # Safety
/// Registers are set up; all that `work` names is there.
unsafe fn one_block(work: &Work) {
    // SAFETY: promised by the caller.
    unsafe {
        tile!(
            work,
            "tileloadd tmm0, [{corrections} + {other}]
             tileloadd tmm1, [{corrections} + {other} + 64]",
            first_products,
            "tilestored [{sums} + {sums_stride}], tmm0
             tilestored [{sums} + {sums_stride} + 64], tmm1",
            ["tmm0", "tmm1", "tmm4", "tmm6", "tmm7"]
        );
    }
}

/// Sums of twice [`ROWS`] rows. The other rows of inputs, and of sums, are 16 rows behind the first.
///
/// # Safety
/// As [`one_block`].
unsafe fn two_blocks(work: &Work) {
    // SAFETY: promised by the caller.
    unsafe {
        tile!(
            work,
            "tileloadd tmm0, [{corrections} + {other}]
             tileloadd tmm1, [{corrections} + {other} + 64]
             tileloadd tmm2, [{corrections} + {other}]
             tileloadd tmm3, [{corrections} + {other} + 64]
             mov {other}, {stride}
             shl {other}, 4
             add {other}, {inputs}",
            all_products,
            "tilestored [{sums} + {sums_stride}], tmm0
             tilestored [{sums} + {sums_stride} + 64], tmm1
             mov {other}, {sums_stride}
             shl {other}, 4
             add {other}, {sums}
             tilestored [{other} + {sums_stride}], tmm2
             tilestored [{other} + {sums_stride} + 64], tmm3",
            [
                "tmm0", "tmm1", "tmm2", "tmm3", "tmm4", "tmm5", "tmm6", "tmm7"
            ]
        );
    }
}

/// The last [`INPUTS`] inputs of rows whose number is no multiple of it, where those that were taken before are zero.
///
/// # Safety
/// The CPU has AVX-512, and there are `BLOCKS * ROWS` rows of `stride` inputs, at least [`INPUTS`].
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn last_inputs<const BLOCKS: usize>(
    inputs: *const u8,
    stride: usize,
) -> [[[u8; INPUTS]; ROWS]; BLOCKS] {
    let mut last = [[[0; INPUTS]; ROWS]; BLOCKS];
    let mask = u64::MAX << (INPUTS - stride % INPUTS);
    for (row, last) in last.as_flattened_mut().iter_mut().enumerate() {
        // SAFETY: promised by the caller: a row ends at `(row + 1) * stride`.
        unsafe {
            let from = inputs.add((row + 1) * stride - INPUTS);
            _mm512_storeu_si512(
                last.as_mut_ptr().cast(),
                _mm512_maskz_loadu_epi8(mask, from.cast()),
            );
        }
    }
    last
}
