//! A copy of one kind of object, kept by watching. What we write goes in at once, so that a round never acts
//! on less than what the operator itself did before.
//!
//! Versions of objects are compared as numbers: they are etcd's revisions, and Kubernetes promises their order
//! (KEP-5504). An API server whose versions are no numbers makes the copy follow the watch alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::runtime::watcher;
use tokio::time::Instant;

/// How long what we wrote outweighs a list that does not have it yet: lists may come from a cache. A bound,
/// so that an API server that was set back to a backup is believed in the end.
const OURS_COUNTS: Duration = Duration::from_secs(30);

/// Whose object something is: the namespace, and the name of the WyomingStt.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// Where both are.
    pub namespace: String,
    /// Name of the WyomingStt.
    pub name: String,
}

/// An object as the API server gives it.
pub trait Source: Sized {
    /// What is kept of it.
    type Kept: Kept;
    /// Whose it is, its own name, and what is kept of it; none when it has no owner here.
    fn keep(self) -> Option<(Owner, String, Self::Kept)>;
}

/// What is kept of an object.
pub trait Kept: Send + Sync + Sized + 'static {
    /// Its version; none when the API server gives no number.
    fn version(&self) -> Option<u64>;
    /// Whether a change from `self` to `new` is a reason for a round.
    fn is_news(&self, new: &Self) -> bool;
}

/// A version as a number.
pub fn version(text: Option<&str>) -> Option<u64> {
    text.and_then(|text| text.parse().ok())
}

#[derive(Debug)]
struct Entry<T> {
    value: Arc<T>,
    version: Option<u64>,
    /// When we wrote it ourselves; none when the watch brought it.
    written: Option<Instant>,
}

#[derive(Debug)]
struct State<T> {
    owners: HashMap<Owner, BTreeMap<String, Entry<T>>>,
    /// What a list has brought so far.
    listed: Option<HashMap<Owner, BTreeMap<String, Entry<T>>>>,
    is_complete: bool,
    trouble: Option<String>,
}

/// The copy.
#[derive(Debug)]
pub struct Mirror<T>(Mutex<State<T>>);

impl<T> Default for Mirror<T> {
    fn default() -> Self {
        Self(Mutex::new(State {
            owners: HashMap::new(),
            listed: None,
            is_complete: false,
            trouble: None,
        }))
    }
}

impl<T: Kept> Mirror<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The object `name` of `owner`.
    pub fn get(&self, owner: &Owner, name: &str) -> Option<Arc<T>> {
        let state = self.state();
        let entry = state.owners.get(owner)?.get(name)?;
        Some(Arc::clone(&entry.value))
    }

    /// The version of the object `name` of `owner`.
    pub fn version(&self, owner: &Owner, name: &str) -> Option<u64> {
        self.state().owners.get(owner)?.get(name)?.version
    }

    /// Everything of `owner`, by name.
    pub fn all(&self, owner: &Owner) -> Vec<Arc<T>> {
        let state = self.state();
        let entries = state.owners.get(owner).into_iter().flatten();
        entries.map(|(_, entry)| Arc::clone(&entry.value)).collect()
    }

    /// Owners of objects that are `so`.
    pub fn owners_where(&self, so: impl Fn(&T) -> bool) -> Vec<Owner> {
        let state = self.state();
        let all = state.owners.iter();
        all.filter(|(_, named)| named.values().any(|entry| so(&entry.value)))
            .map(|(owner, _)| owner.clone())
            .collect()
    }

    /// Takes in what the API server answered to a write of ours.
    pub fn put(&self, source: impl Source<Kept = T>) {
        if let Some((owner, name, value)) = source.keep() {
            let entry = entry(value, Some(Instant::now()));
            let mut state = self.state();
            let named = state.owners.entry(owner).or_default();
            if named.get(&name).is_none_or(|old| !is_newer(old, &entry)) {
                named.insert(name, entry);
            }
        }
    }

    /// Takes out what we deleted.
    pub fn remove(&self, owner: &Owner, name: &str) {
        self.state().take_out(owner, name);
    }

    /// Takes in what a watch brought. Returns whose objects changed in a way that is a reason for a round.
    pub fn take(&self, event: watcher::Event<impl Source<Kept = T>>) -> Vec<Owner> {
        let mut state = self.state();
        match event {
            watcher::Event::Init => {
                state.listed = Some(HashMap::new());
                Vec::new()
            }
            watcher::Event::InitApply(source) => {
                if let Some((owner, name, value)) = source.keep() {
                    let listed = state.listed.get_or_insert_default();
                    let named = listed.entry(owner).or_default();
                    named.insert(name, entry(value, None));
                }
                Vec::new()
            }
            watcher::Event::InitDone => state.replace(),
            watcher::Event::Apply(source) => source
                .keep()
                .and_then(|(owner, name, value)| state.apply(owner, name, value))
                .into_iter()
                .collect(),
            watcher::Event::Delete(source) => source
                .keep()
                .and_then(|(owner, name, value)| state.delete(owner, &name, &value))
                .into_iter()
                .collect(),
        }
    }

    /// Whether a whole list has been seen.
    pub fn is_complete(&self) -> bool {
        self.state().is_complete
    }

    /// Why the kind cannot be watched now.
    pub fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    /// Notes why the kind cannot be watched; none when it can. Returns whether that is new.
    pub fn set_trouble(&self, trouble: Option<String>) -> bool {
        let mut state = self.state();
        let is_new = state.trouble != trouble;
        state.trouble = trouble;
        is_new
    }
}

fn entry<T: Kept>(value: T, written: Option<Instant>) -> Entry<T> {
    Entry {
        version: value.version(),
        value: Arc::new(value),
        written,
    }
}

/// Whether `old` is known to be newer than `new`.
fn is_newer<T>(old: &Entry<T>, new: &Entry<T>) -> bool {
    old.version > new.version && new.version.is_some()
}

impl<T: Kept> State<T> {
    fn apply(&mut self, owner: Owner, name: String, value: T) -> Option<Owner> {
        let new = entry(value, None);
        let named = self.owners.entry(owner.clone()).or_default();
        let is_news = match named.get(&name) {
            Some(old) if is_newer(old, &new) => return None,
            Some(old) => old.value.is_news(&new.value),
            None => true,
        };
        named.insert(name, new);
        is_news.then_some(owner)
    }

    fn delete(&mut self, owner: Owner, name: &str, value: &T) -> Option<Owner> {
        let last = value.version();
        let old = self.owners.get(&owner)?.get(name)?;
        // Another of that name came in its place.
        if last.is_some() && old.version > last {
            return None;
        }
        self.take_out(&owner, name);
        Some(owner)
    }

    fn take_out(&mut self, owner: &Owner, name: &str) {
        if let Some(named) = self.owners.get_mut(owner) {
            named.remove(name);
            if named.is_empty() {
                self.owners.remove(owner);
            }
        }
    }

    /// Puts the list in the place of what was known.
    fn replace(&mut self) -> Vec<Owner> {
        let mut listed = self.listed.take().unwrap_or_default();
        let mut changed = BTreeSet::new();
        // A first list is the start of everything: each object has its round anyway.
        if self.is_complete {
            let known = |owner, name| {
                self.owners
                    .get(owner)
                    .is_some_and(|named| named.contains_key(name))
            };
            let added = listed
                .iter()
                .filter(|(owner, named)| named.keys().any(|name| !known(*owner, name)));
            changed.extend(added.map(|(owner, _)| owner.clone()));
        }
        for (owner, named) in std::mem::take(&mut self.owners) {
            for (name, old) in named {
                let is_ours = old.written.is_some_and(|at| at.elapsed() < OURS_COUNTS);
                let new = listed.get(&owner).and_then(|named| named.get(&name));
                let is_news = new.is_none_or(|new| old.value.is_news(&new.value));
                if is_ours && new.is_none_or(|new| is_newer(&old, new)) {
                    listed.entry(owner.clone()).or_default().insert(name, old);
                } else if is_news {
                    changed.insert(owner.clone());
                }
            }
        }
        self.owners = listed;
        self.is_complete = true;
        changed.into_iter().collect()
    }
}

#[cfg(test)]
mod tests;
