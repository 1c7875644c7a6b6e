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
//! The registers stay as they are from one block of assembly to the next, as the compiler does not know them and so
//! puts nothing into them, and Linux keeps them for each thread.

use std::{
    arch::{
        asm,
        x86_64::{_mm512_maskz_loadu_epi8, _mm512_storeu_si512},
    },
    marker::PhantomData,
};

use super::{
    GROUP, PANEL,
    tile::{Rows, Sums},
};

/// Rows and outputs of a register of sums.
pub(super) const ROWS: usize = 16;
/// Inputs of a register.
pub(super) const INPUTS: usize = 64;

/// What LDTILECFG reads.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// All registers in full.
static SHAPES: Shapes = Shapes {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// The registers of this thread, ready for use.
///
/// They are given back at the end of each piece of work, also when it panics: else Linux would save and restore 8 KiB
/// whenever another thread gets the core, and an idle core would not sleep deeply. A thread has them only once at a time,
/// so nothing of `rayon`, which may run other work meanwhile, is called before they are given back.
pub(super) struct Registers {
    /// They are of the thread that set them up.
    of_thread: PhantomData<*const ()>,
}

impl Registers {
    /// # Safety
    /// The CPU has AMX, and this process the permission to use it.
    pub(super) unsafe fn set_up() -> Self {
        // SAFETY: promised by the caller; it reads 64 bytes, which are there.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES, options(nostack, preserves_flags, readonly));
        }
        Self {
            of_thread: PhantomData,
        }
    }

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
        // SAFETY: registers are set up. Inputs are read up to `BLOCKS * ROWS` rows of `stride` bytes, weights up to
        // `stride / GROUP` groups, and sums are written to as many rows, all of which are there.
        unsafe {
            begin::<BLOCKS>(corrections);
            for input in (0..=stride - INPUTS).step_by(INPUTS) {
                let weights = panel.as_ptr().add(input * PANEL);
                add::<BLOCKS>(bytes.as_ptr().add(input), stride, weights);
            }
            if !stride.is_multiple_of(INPUTS) {
                let rest = last_inputs::<BLOCKS>(bytes.as_ptr(), stride);
                let weights = panel.as_ptr().add((stride - INPUTS) * PANEL);
                add::<BLOCKS>(rest.as_ptr().cast(), INPUTS, weights);
            }
            end::<BLOCKS>(out, sums.stride);
        }
        BLOCKS * ROWS
    }
}

impl Drop for Registers {
    fn drop(&mut self) {
        // SAFETY: there are registers only where the CPU has AMX.
        unsafe {
            asm!("tilerelease", options(nomem, nostack, preserves_flags));
        }
    }
}

/// Sums of all rows := corrections.
///
/// # Safety
/// Registers are set up.
#[inline(always)]
unsafe fn begin<const BLOCKS: usize>(corrections: &[i32; PANEL]) {
    // SAFETY: promised by the caller. As rows are 0 bytes apart, all are the same 16 values.
    unsafe {
        asm!(
            "tileloadd tmm0, [{from} + {apart}]",
            "tileloadd tmm1, [{from} + {apart} + 64]",
            from = in(reg) corrections.as_ptr(),
            apart = in(reg) 0_usize,
            options(nostack, preserves_flags, readonly),
        );
        if BLOCKS == 2 {
            asm!(
                "tileloadd tmm2, [{from} + {apart}]",
                "tileloadd tmm3, [{from} + {apart} + 64]",
                from = in(reg) corrections.as_ptr(),
                apart = in(reg) 0_usize,
                options(nostack, preserves_flags, readonly),
            );
        }
    }
}

/// Sums += products of [`INPUTS`] inputs.
///
/// # Safety
/// Registers are set up; there are `BLOCKS * ROWS` rows of inputs, `stride` bytes apart, and as many groups of weights
/// as rows have.
#[inline(always)]
unsafe fn add<const BLOCKS: usize>(inputs: *const u8, stride: usize, weights: *const i8) {
    // SAFETY: promised by the caller.
    unsafe {
        asm!(
            "tileloadd tmm4, [{inputs} + {stride}]",
            "tileloadd tmm6, [{weights} + {group}]",
            "tdpbusd tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{weights} + {group} + 64]",
            "tdpbusd tmm1, tmm4, tmm7",
            inputs = in(reg) inputs,
            stride = in(reg) stride,
            weights = in(reg) weights,
            group = in(reg) GROUP * PANEL,
            options(nostack, preserves_flags, readonly),
        );
        if BLOCKS == 2 {
            asm!(
                "tileloadd tmm5, [{inputs} + {stride}]",
                "tdpbusd tmm2, tmm5, tmm6",
                "tdpbusd tmm3, tmm5, tmm7",
                inputs = in(reg) inputs.add(ROWS * stride),
                stride = in(reg) stride,
                options(nostack, preserves_flags, readonly),
            );
        }
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

/// Writes sums of `BLOCKS * ROWS` rows, `stride` apart.
///
/// # Safety
/// Registers are set up, and there is room for them.
#[inline(always)]
unsafe fn end<const BLOCKS: usize>(sums: *mut i32, stride: usize) {
    // SAFETY: promised by the caller.
    unsafe {
        asm!(
            "tilestored [{to} + {apart}], tmm0",
            "tilestored [{to} + {apart} + 64], tmm1",
            to = in(reg) sums,
            apart = in(reg) stride * size_of::<i32>(),
            options(nostack, preserves_flags),
        );
        if BLOCKS == 2 {
            asm!(
                "tilestored [{to} + {apart}], tmm2",
                "tilestored [{to} + {apart} + 64], tmm3",
                to = in(reg) sums.add(ROWS * stride),
                apart = in(reg) stride * size_of::<i32>(),
                options(nostack, preserves_flags),
            );
        }
    }
}
