//! Lets tests run on the CPU what is otherwise computed on other devices only.

use std::cell::Cell;

thread_local! {
    static PRETENDED: Cell<bool> = const { Cell::new(false) };
    static HAS_FUSED: Cell<bool> = const { Cell::new(false) };
    #[cfg(test)]
    static ROOM: Cell<usize> = const { Cell::new(usize::MAX) };
}

pub(super) fn is_pretended() -> bool {
    PRETENDED.get()
}

pub(crate) fn pretend<R>(compute: impl FnOnce() -> R) -> R {
    PRETENDED.set(true);
    let result = compute();
    PRETENDED.set(false);
    result
}

pub(super) fn has_fused() -> bool {
    HAS_FUSED.get()
}

/// As [`pretend`], as if the device had our own kernels.
pub(crate) fn pretend_fused<R>(compute: impl FnOnce() -> R) -> R {
    HAS_FUSED.set(true);
    let result = pretend(compute);
    HAS_FUSED.set(false);
    result
}

/// Runs `compute`, on this thread, as if there were memory for so many windows at once.
#[cfg(test)]
pub(crate) fn with_room_for<R>(windows: usize, compute: impl FnOnce() -> R) -> R {
    ROOM.set(windows);
    let result = compute();
    ROOM.set(usize::MAX);
    result
}

#[cfg(test)]
pub(crate) fn find_room(windows: usize) -> candle_core::Result<()> {
    if windows > ROOM.get() {
        candle_core::bail!("out of memory");
    }
    Ok(())
}
