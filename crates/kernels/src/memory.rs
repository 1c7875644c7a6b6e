//! Memory: for results, and ahead of its use.

use std::{
    marker::PhantomData,
    mem::MaybeUninit,
    ops::{Deref, DerefMut},
    slice,
};

use rayon::prelude::*;

/// Values that a thread zeroes at a time.
const PIECE: usize = 1 << 12;
/// Fewer than these are zeroed before another thread wakes.
const PARALLEL_FROM: usize = 1 << 18;

/// `vec![0.0; count]`, by all threads where it is much: memory that comes back from earlier results has to be
/// overwritten, and one thread alone would take a twentieth of an encoder's time for that.
pub fn zeros(count: usize) -> Vec<f32> {
    if count < PARALLEL_FROM {
        return vec![0.0; count];
    }
    let pieces: Vec<[f32; PIECE]> = (0..count.div_ceil(PIECE))
        .into_par_iter()
        .map(|_| [0.0; PIECE])
        .collect();
    let mut values = pieces.into_flattened();
    values.truncate(count);
    values
}

/// Bytes of a large page of x86-64 and of most arm64.
#[cfg(target_os = "linux")]
const HUGE_PAGE: usize = 2 << 20;

/// A line of the caches.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Integers from the start of a line of the caches on. A register of AMX takes 16 lines, and twice as many where each of
/// its rows lies across two.
#[derive(Clone, Debug)]
pub(crate) struct Lines<T> {
    memory: Vec<Line>,
    len: usize,
    of: PhantomData<T>,
}

/// Integers of which every pattern of bits is one.
///
/// # Safety
/// That is so, and they need no higher alignment than a line.
pub(crate) unsafe trait Integer: Copy {}
// SAFETY: it is so.
unsafe impl Integer for i8 {}
// SAFETY: it is so.
unsafe impl Integer for u8 {}
// SAFETY: it is so.
unsafe impl Integer for i16 {}

impl<T: Integer> Lines<T> {
    /// Zeros.
    pub(crate) fn zeroed(len: usize) -> Self {
        let mut lines = Self::default();
        lines.memory.reserve_exact(Self::lines_of(len));
        in_huge_pages(lines.memory.spare_capacity_mut());
        lines.resize(len);
        lines
    }

    fn lines_of(len: usize) -> usize {
        (len * size_of::<T>()).div_ceil(size_of::<Line>())
    }

    /// Integers are added at the end, of any value, or dropped there.
    pub(crate) fn resize(&mut self, len: usize) {
        self.memory.resize(Self::lines_of(len), Line([0; 64]));
        self.len = len;
    }
}

impl<T: Integer> From<&[T]> for Lines<T> {
    fn from(integers: &[T]) -> Self {
        let mut lines = Self::zeroed(integers.len());
        lines.copy_from_slice(integers);
        lines
    }
}

impl<T: Integer> FromIterator<T> for Lines<T> {
    fn from_iter<I: IntoIterator<Item = T>>(integers: I) -> Self {
        let integers: Vec<T> = integers.into_iter().collect();
        Self::from(&integers[..])
    }
}

impl<T> Default for Lines<T> {
    fn default() -> Self {
        Self {
            memory: Vec::new(),
            len: 0,
            of: PhantomData,
        }
    }
}

impl<T: Integer> Deref for Lines<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: there are lines for `len` integers, and every pattern of bits is one.
        unsafe { slice::from_raw_parts(self.memory.as_ptr().cast(), self.len) }
    }
}

impl<T: Integer> DerefMut for Lines<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above.
        unsafe { slice::from_raw_parts_mut(self.memory.as_mut_ptr().cast(), self.len) }
    }
}

/// Asks Linux for pages of 2 MiB where `memory` has whole ones, before it is written to. The weights of a token are read
/// from start to end, and with pages of 4 KiB the CPU looks up the address of each.
fn in_huge_pages(memory: &mut [MaybeUninit<Line>]) {
    #[cfg(target_os = "linux")]
    {
        let range = memory.as_mut_ptr_range();
        let start = range.start.addr().next_multiple_of(HUGE_PAGE);
        let end = range.end.addr() / HUGE_PAGE * HUGE_PAGE;
        if start < end {
            let at = range.start.with_addr(start).cast();
            // SAFETY: advice on pages that are wholly of `memory`, and that changes no value. Where Linux has no such
            // pages it says so, and the memory is as it was.
            unsafe { libc::madvise(at, end - start, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = memory;
}

/// Asks for memory that is read soon.
#[inline(always)]
pub(crate) fn prefetch(values: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in values.chunks(16) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, which may name any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_begin_where_a_line_does() {
        for len in [0_i16, 1, 31, 33, 1000] {
            let integers: Vec<i16> = (0..len).collect();
            let mut lines = Lines::from(&integers[..]);
            assert_eq!(lines[..], integers);
            assert!(lines.as_ptr().addr().is_multiple_of(size_of::<Line>()));
            lines.resize(integers.len() + 40);
            assert_eq!(lines[..integers.len()], integers);
            assert_eq!(lines.len(), integers.len() + 40);
        }
    }

    /// What Linux says of the mapping that holds `address`, if it knows of huge pages at all.
    #[cfg(target_os = "linux")]
    fn flags(address: usize) -> Option<String> {
        std::fs::metadata("/sys/kernel/mm/transparent_hugepage").ok()?;
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut is_of_it = false;
        for line in maps.lines() {
            if let Some((from, to)) = line.split(' ').next()?.split_once('-') {
                let [from, to] = [from, to].map(|end| usize::from_str_radix(end, 16).unwrap());
                is_of_it = (from..to).contains(&address);
            }
            if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| is_of_it) {
                return Some(flags.to_owned());
            }
        }
        panic!("{address:x} is in no mapping");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn many_lines_are_in_huge_pages() {
        let lines = Lines::<u8>::zeroed(4 * HUGE_PAGE);
        let within = lines.as_ptr().addr() + 2 * HUGE_PAGE;
        if let Some(flags) = flags(within) {
            assert!(flags.contains(" hg"), "{flags}");
        }
        assert!(lines.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn there_are_as_many_zeros_as_asked_for() {
        for count in [
            0,
            1,
            PARALLEL_FROM - 1,
            PARALLEL_FROM,
            PARALLEL_FROM + 1,
            3 * PIECE * 100 + 7,
        ] {
            let values = zeros(count);
            assert_eq!(values.len(), count);
            assert!(values.iter().all(|value| *value == 0.0));
        }
    }
}
