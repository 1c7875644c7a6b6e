//! Memory that is free but still the process's.

/// Has blocks from 1 MiB on live in pages of their own, which are the system's again once they are freed. glibc would move
/// the limit up to the largest block that was freed so far, 32 MiB at most, and what such blocks leave behind in the arena
/// of a thread is out of reach for [`give_back`]: some 40 MB with base. To be called before anything large is read.
pub(crate) fn keep_no_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        #[allow(unsafe_code, reason = "a call into glibc that has no safe form")]
        // SAFETY: it takes no pointer and changes where blocks to come are put.
        let done = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 20) } != 0;
        // Without it more memory is held, and nothing else is different.
        debug_assert!(done, "glibc takes a limit of 1 MiB");
    }
}

/// Gives freed memory back to the system, where the allocator is one that keeps it: glibc's holds on to what a window
/// of audio needs between its layers, some 40 MB with the smallest model.
pub(crate) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        #[allow(unsafe_code, reason = "a call into glibc that has no safe form")]
        // SAFETY: it takes no pointer, may be called from any thread at any time, and touches only what is free.
        let gave = unsafe { libc::malloc_trim(0) } != 0;
        tracing::debug!(gave, "memory given back");
    }
}
