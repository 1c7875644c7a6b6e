//! What follows a product.

use candle_core::Tensor;

/// What follows the product of a linear layer, in the same pass over its result.
#[derive(Clone, Copy, Debug)]
pub(super) enum Then<'a> {
    /// Nothing.
    Nothing,
    /// The exact GELU.
    Gelu,
    /// Adding this tensor, of the result's shape.
    Add(&'a Tensor),
}
