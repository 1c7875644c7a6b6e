//! Registers of AMX, of a thread while it multiplies.

use std::{arch::asm, marker::PhantomData};

/// Rows of a register, of 64 bytes each.
pub(crate) const ROWS: usize = 16;
/// Inputs of one byte in a row.
pub(crate) const INPUTS: usize = 64;

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
pub(crate) struct Registers {
    /// They are of the thread that set them up.
    of_thread: PhantomData<*const ()>,
}

impl Registers {
    /// # Safety
    /// The CPU has AMX, and this process the permission to use it.
    pub(crate) unsafe fn set_up() -> Self {
        // SAFETY: promised by the caller; it reads 64 bytes, which are there.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES, options(nostack, preserves_flags, readonly));
        }
        Self {
            of_thread: PhantomData,
        }
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
