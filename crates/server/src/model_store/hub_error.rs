//! Why a hub model cannot be fetched.

use std::io;
use std::path::PathBuf;

use reqwest::StatusCode;

use super::HubId;
use super::cache::WriteError;

/// Why a hub model cannot be fetched. Every text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The address of the hub is none.
    #[error("HF_ENDPOINT {endpoint:?} is no http or https URL")]
    Endpoint {
        /// What was given.
        endpoint: String,
    },
    /// No network, a wrong address, or a firewall.
    #[error(
        "the model hub at {endpoint} cannot be reached: check the network and HF_ENDPOINT, or give --model a folder"
    )]
    Unreachable {
        /// Where it should be.
        endpoint: String,
        /// What the network said.
        source: reqwest::Error,
    },
    /// The hub does not know the model.
    #[error(
        "the hub at {endpoint} has no model {id}: check its name; a private one needs a token in HF_TOKEN"
    )]
    NoModel {
        /// Which hub.
        endpoint: String,
        /// The model.
        id: HubId,
    },
    /// The hub does not know the revision.
    #[error("model {id} has no revision {revision}: check --revision")]
    NoRevision {
        /// The model.
        id: HubId,
        /// The revision.
        revision: String,
    },
    /// The hub does not give the model to this user.
    #[error("the hub refuses model {id} ({status}): {remedy}")]
    Refused {
        /// The model.
        id: HubId,
        /// 401 or 403.
        status: StatusCode,
        /// What to do.
        remedy: &'static str,
    },
    /// The model lacks a file.
    #[error("model {id} has no {file}: {remedy}")]
    NoFile {
        /// The model.
        id: HubId,
        /// The file.
        file: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// The hub answers, but so slowly that a start does not wait for files that the model can do without.
    #[error("the hub at {endpoint} takes longer than {} s", limit.as_secs())]
    Slow {
        /// Where it was asked.
        endpoint: String,
        /// The limit in force.
        limit: std::time::Duration,
    },
    /// The list of the weight files is not what it should be.
    #[error(
        "the index of the weights of model {id} names no files beside it: use another revision"
    )]
    Index {
        /// The model.
        id: HubId,
    },
    /// The hub is in trouble, or is no hub.
    #[error("the hub answers {status} for {file} of model {id}: try again later")]
    Status {
        /// The model.
        id: HubId,
        /// The file.
        file: String,
        /// What it answered.
        status: StatusCode,
    },
    /// An answer that lacks what every hub tells.
    #[error(
        "the answer for {file} of model {id} has no valid {header}: is HF_ENDPOINT a model hub?"
    )]
    Answer {
        /// The model.
        id: HubId,
        /// The file.
        file: String,
        /// The header.
        header: &'static str,
    },
    /// The connection ended too early, again and again.
    #[error(
        "{file} was cut off after {received} bytes{}: run the same again, it goes on from there", of(*.expected)
    )]
    CutOff {
        /// The file.
        file: String,
        /// What is there.
        received: u64,
        /// What should be.
        expected: Option<u64>,
        /// What the network said, if anything.
        source: Option<reqwest::Error>,
    },
    /// The bytes are not the ones that the hub promised.
    #[error(
        "{file} arrived damaged ({found} instead of {expected}) and was thrown away: run the same again"
    )]
    Damaged {
        /// The file.
        file: String,
        /// Size or sum by the hub.
        expected: String,
        /// Size or sum of what came.
        found: String,
    },
    /// No room.
    #[error("the disk of {} is full{}: free some, or give --download-dir", path.display(), wanting(*.missing))]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// Bytes that are still to come, where known.
        missing: Option<u64>,
        /// What the system said.
        source: io::Error,
    },
    /// The cache cannot be written.
    #[error("{} cannot be written: make it writable, or give --download-dir", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No thread, no sockets, no certificates.
    #[error("the download cannot be started")]
    Start {
        /// What the system said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

pub(super) fn unwritten(error: WriteError) -> HubError {
    unwritten_of(error, None)
}

pub(super) fn unwritten_of((path, source): WriteError, missing: Option<u64>) -> HubError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => HubError::DiskFull {
            path,
            missing,
            source,
        },
        _ => HubError::Write { path, source },
    }
}

fn of(expected: Option<u64>) -> String {
    expected.map_or_else(String::new, |bytes| format!(" of {bytes}"))
}

fn wanting(missing: Option<u64>) -> String {
    missing.map_or_else(String::new, |bytes| {
        format!(", {bytes} bytes are still to come")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_a_forbidden_one() {
        let error = |kind: io::ErrorKind| unwritten_of((PathBuf::from("/m"), kind.into()), Some(7));
        assert!(
            error(io::ErrorKind::StorageFull)
                .to_string()
                .contains("7 bytes are still to come")
        );
        assert!(matches!(
            error(io::ErrorKind::PermissionDenied),
            HubError::Write { .. }
        ));
    }
}
