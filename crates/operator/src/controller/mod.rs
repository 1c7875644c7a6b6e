//! From an object to an endpoint, one file for each stage.

pub mod apply;
pub mod build;
pub mod claims;
mod conditions;
pub mod difference;
pub mod events;
#[cfg(test)]
mod fake;
pub mod kept;
pub mod memory;
pub mod mirror;
pub mod names;
pub mod observe;
pub mod pods;
pub mod reconcile;
pub mod rollout;
pub mod status;
#[cfg(test)]
mod testing;
pub mod validate;
pub mod watch;
