//! Matrix products on packed weights, and attention, for every vector level of the CPU, chosen at run time.
//!
//! Functions take slices and a [`Level`]; `unsafe` stays inside and nothing here knows tensors, files or the network.
//! Large products are split over the threads of the caller's `rayon` pool.
//!
//! Tests run every level that the CPU has. `amx/check` runs them with AMX in an emulator; CI does not, as it takes minutes.
//!
//! ```
//! use kernels::{Input, IntMatrix, Level, Rounding, Then};
//!
//! let level = Level::best();
//! // Two outputs of three inputs.
//! let matrix = IntMatrix::pack(Rounding::Int8, &[1.0, 2.0, 3.0, -1.0, 0.0, 1.0], 3);
//! let mut out = vec![0.0; 2];
//! matrix.products(level, Input::plain(&[1.0, 1.0, 2.0]), &[0.5, 0.0], Then::Nothing, &mut out);
//! assert!((out[0] - 9.5).abs() < 0.1 && (out[1] - 1.0).abs() < 0.1);
//! ```

#![allow(
    unsafe_code,
    reason = "vector instructions and unchecked reads of packed weights; each use says why it is sound"
)]
#![allow(
    clippy::inline_always,
    reason = "a loop gets the vector instructions of the function that it is inlined into, and only then"
)]

#[cfg(target_arch = "x86_64")]
mod amx;
mod attention;
#[cfg(target_arch = "x86_64")]
mod halves;
mod int16;
mod int8;
mod level;
mod linear;
pub mod math;
mod memory;
mod panel;
mod split;
#[cfg(test)]
mod testing;

pub use attention::{KeysValues, Repeats, attend_to_all};

pub use level::{Instructions, Isa, Level, Plain};
pub use linear::{Input, IntMatrix, Layer, Norm, Rounding, Then, feed_forward};
pub use memory::zeros;
pub use split::{Estimates, SplitMatrix, highest};
