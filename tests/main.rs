//! Black-box tests: the built program, real sockets, real speech.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod suite;
