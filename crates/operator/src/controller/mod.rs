//! From an object to an endpoint, one file for each stage; `fleet` keeps the number of replicas.

pub mod apply;
pub mod build;
pub mod claims;
mod conditions;
pub mod difference;
pub mod events;
pub mod facts;
#[cfg(test)]
mod fake;
pub mod fleet;
pub mod idle;
pub mod kept;
pub mod memory;
pub mod mirror;
pub mod mirrors;
pub mod names;
pub mod pods;
pub mod reason;
pub mod reconcile;
pub mod rollout;
pub mod rollouts;
pub mod schedule;
pub mod scope;
pub mod status;
#[cfg(test)]
mod testing;
pub mod validate;
pub mod watch;
