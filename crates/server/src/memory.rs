//! Memory that is free but still the process's.

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
