//! Sums of products of halves: an instruction adds 64 products to each of 16 x 16 sums.
//!
//! ```text
//! tmm0: high inputs, high weights    tmm1: high inputs, low weights    tmm4, tmm5: 64 inputs of 16 rows, high and low
//! tmm2: low inputs, high weights     tmm3: low inputs, low weights     tmm6, tmm7: their weights of 16 outputs
//! ```
//!
//! The four sums do not wait for each other, and each register that is loaded serves two of them. As in
//! [`crate::int8`], a tile is one block of assembly.

use std::{
    arch::{
        asm,
        x86_64::{_mm512_add_epi32, _mm512_loadu_si512, _mm512_slli_epi32, _mm512_storeu_si512},
    },
    mem::MaybeUninit,
};

use super::STEP;
use crate::{
    amx::{INPUTS, ROWS, Registers},
    linear::{GROUP, HalfRows, PANEL, Tile},
};

/// Outputs of a register of sums.
const OUTS: usize = 16;

/// Sums of one kind: of rows and outputs.
type Sums = [[i32; OUTS]; ROWS];

/// The sums of all kinds, each row in a line of the caches.
#[repr(C, align(64))]
struct Parts([Sums; 4]);

/// Steps of a part of the inputs. Weights of a part stay in the innermost cache (16 of 48 KiB) while the rows of a tile
/// are multiplied with them: with whole rows of 1536 inputs, registers waited for the second-level cache.
const PART_STEPS: usize = 4;

impl Registers {
    /// Sums of products of the first `blocks` times [`ROWS`] rows with all outputs of `panel`.
    ///
    /// Sums of halves, and what they come to, may wrap around: the inputs are bounded so that the whole sums do not.
    pub(super) fn sums_of_halves(
        &self,
        panel: &[u8],
        rows: HalfRows<'_>,
        blocks: usize,
        sums: &mut Tile,
    ) {
        let HalfRows { bytes, ins, stride } = rows;
        assert!(
            ins >= INPUTS
                && ins.is_multiple_of(INPUTS)
                && 2 * ins <= stride
                && bytes.len() >= blocks * ROWS * stride
                && panel.len() == ins / INPUTS * STEP,
            "inputs and weights of a tile"
        );
        for row in &mut sums[..blocks * ROWS] {
            row.fill(0);
        }
        let steps = ins / INPUTS;
        for step in (0..steps).step_by(PART_STEPS) {
            for (block, sums) in sums.chunks_exact_mut(ROWS).take(blocks).enumerate() {
                let inputs = &bytes[block * ROWS * stride + step * INPUTS..];
                let part = Work {
                    high: inputs.as_ptr(),
                    low: inputs[ins..].as_ptr(),
                    stride,
                    weights: panel[step * STEP..].as_ptr(),
                    steps: PART_STEPS.min(steps - step),
                };
                // SAFETY: where there is AMX there is AVX-512. There are `ROWS` rows of `ins` high and `ins` low halves,
                // and as many weights of each of the panel's outputs, and the part ends within them.
                unsafe { self.add_part(&part, sums) };
            }
        }
    }

    /// Adds the sums of a part of the inputs.
    ///
    /// # Safety
    /// The CPU has AVX-512; all that `part` names is there.
    #[expect(clippy::unused_self, reason = "says that the registers are set up")]
    #[target_feature(enable = "avx512f")]
    unsafe fn add_part(&self, part: &Work, sums: &mut [[i32; PANEL]]) {
        for first in [0, OUTS] {
            let mut parts = MaybeUninit::<Parts>::uninit();
            // SAFETY: promised by the caller; all parts are written.
            let parts = unsafe {
                multiply(part, first, parts.as_mut_ptr());
                parts.assume_init_ref()
            };
            add_together(parts, first, sums);
        }
    }
}

/// What the assembly reads and writes.
struct Work {
    /// High halves of the first row.
    high: *const u8,
    /// Its low halves.
    low: *const u8,
    /// Bytes from one row to the next.
    stride: usize,
    weights: *const u8,
    /// How many times [`INPUTS`] inputs a row has, at least 1.
    steps: usize,
}

/// The products with [`OUTS`] outputs from `first` on.
///
/// # Safety
/// Registers are set up; all that `work` names is there, and room for the sums.
unsafe fn multiply(work: &Work, first: usize, sums: *mut Parts) {
    // SAFETY: promised by the caller.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tileloadd tmm4, [{high} + {stride}]",
            "tileloadd tmm6, [{weights} + {group}]",
            "tdpbssd tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{weights} + {group} + {LOW}]",
            "tdpbsud tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{low} + {stride}]",
            "tdpbusd tmm2, tmm5, tmm6",
            "tdpbuud tmm3, tmm5, tmm7",
            "add {high}, {INPUTS}",
            "add {low}, {INPUTS}",
            "add {weights}, {STEP}",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{sums} + {row}], tmm0",
            "tilestored [{sums} + {row} + {SUMS}], tmm1",
            "tilestored [{sums} + {row} + 2 * {SUMS}], tmm2",
            "tilestored [{sums} + {row} + 3 * {SUMS}], tmm3",
            LOW = const STEP / 2,
            INPUTS = const INPUTS,
            STEP = const STEP,
            SUMS = const size_of::<Sums>(),
            high = inout(reg) work.high => _,
            low = inout(reg) work.low => _,
            stride = in(reg) work.stride,
            weights = inout(reg) work.weights.add(first * GROUP) => _,
            group = in(reg) GROUP * PANEL,
            steps = inout(reg) work.steps => _,
            sums = in(reg) sums,
            row = in(reg) size_of::<[i32; OUTS]>(),
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

/// Adds the sums of [`OUTS`] outputs from `first` on, of sums of halves. By hand: the compiler gathers them one by one.
#[target_feature(enable = "avx512f")]
fn add_together(parts: &Parts, first: usize, sums: &mut [[i32; PANEL]]) {
    let [high_high, high_low, low_high, low_low] = &parts.0;
    for (row, sums) in sums.iter_mut().enumerate().take(ROWS) {
        let Some(sums) = sums[first..].first_chunk_mut::<OUTS>() else {
            unreachable!("a panel has {PANEL} outputs");
        };
        // SAFETY: each row is as long as a vector.
        unsafe {
            let load = |sums: &[i32; OUTS]| _mm512_loadu_si512(sums.as_ptr().cast());
            let high = _mm512_add_epi32(
                _mm512_slli_epi32::<12>(load(&high_high[row])),
                _mm512_slli_epi32::<8>(load(&high_low[row])),
            );
            let low = _mm512_add_epi32(
                _mm512_slli_epi32::<4>(load(&low_high[row])),
                load(&low_low[row]),
            );
            let sum = _mm512_add_epi32(load(sums), _mm512_add_epi32(high, low));
            _mm512_storeu_si512(sums.as_mut_ptr().cast(), sum);
        }
    }
}
