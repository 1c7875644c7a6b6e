//! Starts the real program on free ports and talks to it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::missing_panics_doc,
    reason = "a test harness: what fails here fails the test"
)]

pub mod collector;
mod fixtures;
pub mod hub;
mod process;
mod raw;
pub mod tls;

pub use fixtures::{Spoken, spoken, spoken_in_one_format};
pub use process::{Server, binary, run, run_with};
pub use raw::Raw;
