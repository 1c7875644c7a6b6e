//! What is remembered of objects between two rounds; it is lost with the process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::apply::Unkept;
use super::claims::Claims;
use super::mirror::{Owner, version};
use crate::api::{WyomingStt, WyomingSttStatus};

/// Of one object.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Volumes that the object does not own.
    pub claims: Claims,
    /// The status that was written last.
    pub written: Option<Written>,
    /// What the cluster did not take over.
    pub unkept: Unkept,
    /// What was settled last.
    pub settled: Option<Settled>,
    /// Failures one after the other.
    pub failures: u32,
}

/// A status that was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// When, since any fixed moment.
    pub at: Duration,
    /// Version of the object that it made, and the status itself, until the watch brings them.
    pub ahead: Option<(Option<u64>, WyomingSttStatus)>,
}

/// A spec whose children were settled, and the versions that they had then. With the same ones again there is
/// nothing to build or to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Of the spec.
    pub generation: Option<i64>,
    /// Replicas that were written; none where the fleet does that.
    pub replicas: Option<u32>,
    /// Of the children.
    pub versions: [Option<u64>; 6],
}

impl Memory {
    /// Lets go of the status that was written, once `object` is not older than it.
    pub fn catch_up(&mut self, object: &WyomingStt) {
        let seen = version(object.metadata.resource_version.as_deref());
        if let Some(written) = &mut self.written {
            let is_behind = |(made, _): &(Option<u64>, _)| seen.is_some() && seen < *made;
            written.ahead = written.ahead.take().filter(is_behind);
        }
    }

    /// The status of `object`: what we wrote last, where the watch has not brought it yet.
    pub fn status<'a>(&'a self, object: &'a WyomingStt) -> Option<&'a WyomingSttStatus> {
        let ahead = self
            .written
            .as_ref()
            .and_then(|written| written.ahead.as_ref());
        ahead.map(|(_, status)| status).or(object.status.as_ref())
    }
}

/// Of all objects.
#[derive(Debug, Default)]
pub struct Memories(Mutex<HashMap<Owner, (String, Memory)>>);

impl Memories {
    fn lock(&self) -> MutexGuard<'_, HashMap<Owner, (String, Memory)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the memory of an object out; rounds of one object never overlap. What was remembered of another
    /// object of that name is lost.
    pub fn take(&self, owner: &Owner, uid: &str) -> Memory {
        let known = self.lock().remove(owner);
        let same = known.filter(|(known, _)| known == uid);
        same.map(|(_, memory)| memory).unwrap_or_default()
    }

    /// Puts it back.
    pub fn keep(&self, owner: Owner, uid: String, memory: Memory) {
        self.lock().insert(owner, (uid, memory));
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, owner: &Owner) {
        self.lock().remove(owner);
    }
}
