//! From an object to an endpoint, one file for each stage.

pub mod apply;
pub mod build;
#[cfg(test)]
mod fake;
pub mod names;
pub mod observe;
pub mod pods;
pub mod reconcile;
pub mod status;
#[cfg(test)]
mod testing;
pub mod validate;
