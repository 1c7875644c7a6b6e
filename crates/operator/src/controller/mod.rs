//! From an object to an endpoint, one file for each stage.

pub mod build;
pub mod names;
#[cfg(test)]
mod testing;
pub mod validate;
