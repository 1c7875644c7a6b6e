//! What a pass over the decoder reads.

/// Tokens that a pass appends to one row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<'a> {
    pub(crate) row: usize,
    /// Tokens that the row already has.
    pub(crate) length: usize,
    pub(crate) tokens: &'a [u32],
}
