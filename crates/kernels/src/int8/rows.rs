//! What a tile reads and writes.

use super::PANEL;

/// Rows of bytes with the offset, each `stride` long, a whole number of groups.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) stride: usize,
}

/// Where the sums of a tile go: [`PANEL`] to each row, rows `stride` apart.
pub(crate) struct Sums<'a> {
    pub(crate) values: &'a mut [i32],
    pub(crate) stride: usize,
}

impl<'a> Sums<'a> {
    /// Rows one after the other.
    pub(crate) fn rows(rows: &'a mut [[i32; PANEL]]) -> Self {
        Self {
            values: rows.as_flattened_mut(),
            stride: PANEL,
        }
    }

    /// What `count` rows are written to.
    ///
    /// # Panics
    /// When there is no room for them, or rows overlap.
    pub(super) fn room(&mut self, count: usize) -> *mut i32 {
        assert!(
            count > 0
                && self.stride >= PANEL
                && self.values.len() >= (count - 1) * self.stride + PANEL,
            "sums of {count} rows"
        );
        self.values.as_mut_ptr()
    }
}
