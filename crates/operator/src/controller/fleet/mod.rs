//! The fleet of one object: asks its pods for their load, decides how many there should be, and orders that.
//!
//! Each object has a task of its own, apart from the rounds that write its children: a typo in a spec, a child that
//! the cluster refuses, or pods that do not answer do not stop it, and neither it them. It decides on the last spec
//! that was valid, and what it saw is left as a [`Snapshot`] for the status.
//!
//! ```text
//! mirrors + pods' load → Snapshot → scale::decide → marks on victims → replicas of the Deployment
//! ```

mod ask;
mod keeper;
mod marks;
mod order;
mod registry;
mod reports;
mod snapshot;

pub use ask::{HttpLoads, Loads};
pub use marks::mark;
pub use registry::{Fleets, Shared};
pub use snapshot::{Snapshot, Told};

use std::time::Duration;

use super::names::Names;
use super::validate::Replicas;

/// What a fleet is to be like, from the last spec that was valid.
#[derive(Clone, Debug, PartialEq)]
pub struct Orders {
    /// Names of what belongs to the object.
    pub names: Names,
    /// Of the object.
    pub uid: String,
    /// How many replicas; a fixed number is written by the round, and only looked at here.
    pub replicas: Replicas,
    /// Where pods tell their load.
    pub port: u16,
    /// After which a pod that is not ready is broken.
    pub startup_timeout: Duration,
}
