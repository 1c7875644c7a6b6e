//! The Kubernetes operator: a `WyomingStt` becomes a speech-to-text endpoint that follows its load.
//!
//! ```text
//! WyomingStt → validate → observe → decide → build → apply → status
//! ```
//!
//! Validate, decide, build and the conditions are pure; observe, apply and the writing of the status talk to
//! the cluster. It never reads a secret, never runs a command in a pod, and never touches a model.

#[expect(
    unreachable_pub,
    reason = "the derive of schemas keeps private copies of the public types"
)]
pub mod api;
pub mod causes;
pub mod cli;
pub mod controller;
pub mod lease;
pub mod metrics;
#[cfg(test)]
mod reference;
pub mod run;
pub mod scale;
pub mod simulate;
pub mod vitals;
