//! Why a round could not be finished.

use super::PATIENCE;
use crate::controller::apply::ApplyError;

/// Why a round could not be finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReconcileError {
    /// The object is not what the definition says.
    #[error("the object cannot be read")]
    Object {
        /// What is wrong.
        source: Box<kube::core::error_boundary::InvalidObject>,
    },
    /// A kind of child cannot be watched, so that nothing can be decided.
    #[error("{kind} cannot be watched: {why}")]
    Unknown {
        /// Its plural.
        kind: String,
        /// What the API server said.
        why: String,
    },
    /// A volume that the object names could not be read.
    #[error("cannot read the volumes that it names")]
    Claims {
        /// What went wrong.
        source: kube::Error,
    },
    /// Children could not be written.
    #[error("cannot apply what belongs to the object")]
    Apply {
        /// Which, and why.
        source: ApplyError,
    },
    /// Pods could not be marked before some are taken away.
    #[error("cannot mark idle pods")]
    Mark {
        /// What went wrong.
        source: kube::Error,
    },
    /// The status could not be written.
    #[error("cannot write the status")]
    Status {
        /// What went wrong.
        source: kube::Error,
    },
    /// It took too long.
    #[error("the API server did not answer within {} s", PATIENCE.as_secs())]
    Timeout,
}

impl ReconcileError {
    /// One word for a label.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Object { .. } => "object",
            Self::Unknown { .. } => "watch",
            Self::Claims { .. } => "observe",
            Self::Apply { .. } => "apply",
            Self::Mark { .. } => "mark",
            Self::Status { .. } => "status",
            Self::Timeout => "timeout",
        }
    }
}
