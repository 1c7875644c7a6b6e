//! From the name of a model to its files: the built-in one, a folder, or a hub id.

use std::path::Path;

use whisper::{Checkpoint, LoadError};

use crate::config::ModelArgs;

/// Why a model cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Files that are there cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Neither the demo, nor a folder, nor a hub id.
    #[error(
        "model {name:?} is neither \"demo\" nor a folder nor a hub id such as openai/whisper-base"
    )]
    Unknown {
        /// What was given.
        name: String,
    },
    /// The demo model was left out of this build.
    #[error("this build has no demo model; give --model a folder or a hub id")]
    NoDemo,
    /// A hub model that is not there.
    #[error("model {name:?} is not in the cache, and this build cannot download it")]
    NotCached {
        /// The hub id.
        name: String,
    },
}

/// Finds the files of a model.
///
/// # Errors
/// [`StoreError`], which says what to do.
pub fn open(args: &ModelArgs) -> Result<Checkpoint, StoreError> {
    let name = args.model.as_str();
    if name == "demo" {
        return demo();
    }
    let folder = Path::new(name);
    if folder.is_dir() || name.starts_with(['/', '.', '~']) {
        return Ok(Checkpoint::open(folder)?);
    }
    let is_hub_id = name.split('/').count() == 2 && name.split('/').all(|part| !part.is_empty());
    if !is_hub_id {
        return Err(StoreError::Unknown {
            name: name.to_owned(),
        });
    }
    Err(StoreError::NotCached {
        name: name.to_owned(),
    })
}

#[cfg(feature = "demo-model")]
fn demo() -> Result<Checkpoint, StoreError> {
    Ok(Checkpoint::demo()?)
}

#[cfg(not(feature = "demo-model"))]
fn demo() -> Result<Checkpoint, StoreError> {
    Err(StoreError::NoDemo)
}
