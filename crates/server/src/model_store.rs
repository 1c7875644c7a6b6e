//! From the name of a model to its files: the built-in one, a folder, or a hub id.
//!
//! A hub model is looked for in the cache first, in the folder layout that Hugging Face's own tools
//! share ([`cache`]); the network is asked only for what is missing ([`download`]), so that a server
//! whose model is there starts without one.

mod args;
mod cache;
#[cfg(feature = "hub")]
mod download;
mod files;
#[cfg(feature = "hub")]
mod headers;
#[cfg(feature = "hub")]
mod hub;
#[cfg(feature = "hub")]
mod hub_error;
mod names;
#[cfg(feature = "hub")]
mod progress;
mod pull;
#[cfg(feature = "hub")]
mod transfer;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use whisper::{Checkpoint, LoadError};

pub use args::{HubArgs, HubId, Revision, Secret};
use cache::RepoCache;
#[cfg(feature = "hub")]
pub use hub_error::HubError;
pub use pull::{Args, run};

/// Why a model cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Files that are there cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The demo model was left out of this build.
    #[error("this build has no demo model; give --model a folder or a hub id")]
    NoDemo,
    /// Neither the demo, nor a folder, nor a known name, nor a hub id.
    #[error(
        "model {name:?} is neither \"demo\", nor a folder, nor a hub id such as openai/whisper-base, nor one of: {}",
        names::known()
    )]
    Unknown {
        /// What was given.
        name: String,
    },
    /// Nowhere to look for hub models.
    #[error("there is no home folder to keep hub models in; give --download-dir")]
    NoCache,
    /// A hub model that is not there, and must not be fetched.
    #[error(
        "model {id} at {revision} is not in {}, and --offline forbids to fetch it; run `wyoming-stt model pull {id}` where there is a network", cache.display()
    )]
    Offline {
        /// The model.
        id: HubId,
        /// Its revision.
        revision: Revision,
        /// Where it was looked for.
        cache: PathBuf,
    },
    /// A hub model that is not there, in a build that cannot fetch it.
    #[cfg(not(feature = "hub"))]
    #[error(
        "model {id} at {revision} is not in {}, and this build (without the feature hub) cannot fetch it", cache.display()
    )]
    NoHub {
        /// The model.
        id: HubId,
        /// Its revision.
        revision: Revision,
        /// Where it was looked for.
        cache: PathBuf,
    },
    /// The hub, the network or the disk said no.
    #[cfg(feature = "hub")]
    #[error(transparent)]
    Hub(#[from] HubError),
}

/// How a download tells how far it is.
#[derive(Clone, Copy, Debug)]
pub enum Report {
    /// One line that is written over and over, on a terminal.
    Terminal,
    /// A line every few seconds, on standard error.
    Lines,
    /// A log line every few seconds.
    Log,
}

impl Report {
    /// For a person: whatever standard error is.
    pub fn to_person() -> Self {
        if std::io::stderr().is_terminal() {
            Self::Terminal
        } else {
            Self::Lines
        }
    }
}

/// Finds the files of a model, and fetches what is missing of a hub model.
///
/// Blocks: for a first start it takes as long as the download.
///
/// # Errors
/// [`StoreError`], which says what to do.
pub fn open(name: &str, hub: &HubArgs, report: Report) -> Result<Checkpoint, StoreError> {
    if name == "demo" {
        return demo();
    }
    let folder = match local(name, hub) {
        Some(folder) => folder,
        None => find(&repository(name)?, hub, Freshness::AnyCached, report)?,
    };
    Ok(Checkpoint::open(&folder)?)
}

/// The languages of a model whose files are there: of the small ones, without a look at the weights or the network.
pub fn languages(name: &str, hub: &HubArgs) -> Option<Vec<String>> {
    let checkpoint = if name == "demo" {
        demo().ok()?
    } else {
        let in_cache = || {
            let (cache, commit) = cached(&names::repository(name)?, hub)?;
            Some(cache.snapshot(&commit))
        };
        Checkpoint::open(&local(name, hub).or_else(in_cache)?).ok()?
    };
    checkpoint.languages().ok()
}

/// The folder or file of a model that the hub's cache has no part in.
fn local(name: &str, hub: &HubArgs) -> Option<PathBuf> {
    let path = Path::new(name);
    if path.exists() || name.starts_with(['/', '.', '~']) {
        return Some(path.to_owned());
    }
    plain_folder(name, &names::repository(name)?, hub)
}

fn repository(name: &str) -> Result<HubId, StoreError> {
    names::repository(name).ok_or_else(|| StoreError::Unknown {
        name: name.to_owned(),
    })
}

/// A folder of a model without the hub's layout: `DIR/base` or `DIR/faster-whisper-base`.
fn plain_folder(name: &str, id: &HubId, args: &HubArgs) -> Option<PathBuf> {
    args.plain_folders()
        .flat_map(|folder| [folder.join(name), folder.join(id.name())])
        .find(|folder| folder.join("config.json").is_file())
}

/// A commit of a hub model that is in one of the folders that may hold it.
fn cached(id: &HubId, args: &HubArgs) -> Option<(RepoCache, String)> {
    args.folders().into_iter().find_map(|root| {
        let cache = RepoCache::new(&root, id);
        let commit = cache
            .commit(&args.revision)
            .filter(|commit| cache.can_load(commit))?;
        Some((cache, commit))
    })
}

/// Whether a cached copy is enough.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Freshness {
    /// Any complete copy is.
    AnyCached,
    /// The hub is asked what the revision is today.
    Newest,
}

/// How long the hub is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// Without the hub there is no model.
    Needed,
    /// There is a model without it; a start must not wait for long.
    Optional,
}

/// The folder with the files of a hub model.
fn find(
    id: &HubId,
    args: &HubArgs,
    freshness: Freshness,
    report: Report,
) -> Result<PathBuf, StoreError> {
    let root = args.cache_dir().ok_or(StoreError::NoCache)?;
    let cached = cached(id, args);
    if let Some((cache, commit)) = &cached {
        let is_enough = freshness == Freshness::AnyCached && cache.is_whole(commit);
        if args.is_offline() || is_enough {
            return Ok(cache.snapshot(commit));
        }
    }
    let cache = RepoCache::new(&root, id);
    if args.is_offline() {
        return Err(StoreError::Offline {
            id: id.clone(),
            revision: args.revision.clone(),
            cache: root,
        });
    }
    let Some((usable, commit)) = cached.filter(|_| freshness == Freshness::AnyCached) else {
        let commit = fetch(id, args, &cache, &args.revision, Patience::Needed, report)?;
        return Ok(cache.snapshot(&commit));
    };
    // Only files that a checkpoint can do without are missing, and only those of this commit are asked for.
    let revision = Revision::of_commit(&commit);
    match fetch(id, args, &usable, &revision, Patience::Optional, report) {
        Ok(commit) => Ok(usable.snapshot(&commit)),
        Err(error) => {
            tracing::warn!(model = %id, error = &error as &dyn std::error::Error, "model taken from the cache as it is");
            Ok(usable.snapshot(&commit))
        }
    }
}

#[cfg(feature = "hub")]
fn fetch(
    id: &HubId,
    args: &HubArgs,
    cache: &RepoCache,
    revision: &Revision,
    patience: Patience,
    report: Report,
) -> Result<String, StoreError> {
    Ok(download::download(
        id, args, cache, revision, patience, report,
    )?)
}

#[cfg(not(feature = "hub"))]
fn fetch(
    id: &HubId,
    args: &HubArgs,
    cache: &RepoCache,
    revision: &Revision,
    _patience: Patience,
    _report: Report,
) -> Result<String, StoreError> {
    let _ = args;
    Err(StoreError::NoHub {
        id: id.clone(),
        revision: revision.clone(),
        cache: cache.root().to_owned(),
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
