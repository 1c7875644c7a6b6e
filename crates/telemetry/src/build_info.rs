//! What was built.

use serde::{Deserialize, Serialize};

/// What was built.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildInfo {
    /// Version of the workspace.
    pub version: String,
    /// Commit, when the build was told (`STT_GIT_SHA` at compile time).
    pub revision: String,
}

/// Version and commit of this build.
pub const BUILD: (&str, &str) = (
    env!("CARGO_PKG_VERSION"),
    match option_env!("STT_GIT_SHA") {
        Some(sha) => sha,
        None => "unknown",
    },
);

impl BuildInfo {
    /// This build.
    pub fn current() -> Self {
        Self {
            version: BUILD.0.to_owned(),
            revision: BUILD.1.to_owned(),
        }
    }
}
