//! Names that speech may contain: where they come from, and who is told when they change.
//!
//! Each origin (a file, a Home Assistant) puts its whole list into the [`Registry`] when it changes; the registry tells
//! the recogniser, the admin page and the metric through one `watch`. While an origin cannot be read, its last names
//! stay.

pub mod file;
pub mod home_assistant;
pub mod rules;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

/// Where names come from. The order is that of their precedence when there are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// `--names`.
    File,
    /// `--home-assistant`.
    HomeAssistant,
}

impl Origin {
    /// As the admin page and the metric call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::HomeAssistant => "home_assistant",
        }
    }
}

/// The names to expect at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Each once, at most [`rules::MOST_NAMES`].
    pub names: Vec<String>,
    /// How many each configured origin has, before duplicates of another origin and the limits are taken off.
    pub counts: BTreeMap<Origin, usize>,
    /// Grows by one with each change; 0 before the first.
    pub generation: u64,
}

impl Expected {
    /// For the admin page: how many names are in use, and how many there are from where.
    pub fn report(&self) -> Value {
        let from: BTreeMap<&str, usize> = self
            .counts
            .iter()
            .map(|(origin, number)| (origin.as_str(), *number))
            .collect();
        json!({ "total": self.names.len(), "from": from })
    }
}

/// A reader's end: always the newest names.
pub type Names = watch::Receiver<Arc<Expected>>;

/// Where names come from, as configured.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// A file, with the names that it had at the start.
    pub file: Option<file::Settings>,
    /// A Home Assistant.
    pub home_assistant: Option<home_assistant::Settings>,
}

/// The names of a file, as a server would expect them.
///
/// # Errors
/// [`file::FileError`].
pub fn of_file(path: &std::path::Path) -> Result<Vec<String>, file::FileError> {
    let settings = file::Settings::read(path)?;
    let registry = Registry::new();
    registry.put(Origin::File, &settings.names);
    let expected = registry.names().borrow().names.clone();
    Ok(expected)
}

/// Begins to follow every configured origin, on tasks of `tasks`, until `stop` is cancelled.
pub fn follow(settings: Settings, tasks: &TaskTracker, stop: &CancellationToken) -> Names {
    let registry = Registry::new();
    let names = registry.names();
    if let Some(mut file) = settings.file {
        registry.put(Origin::File, &std::mem::take(&mut file.names));
        let registry = registry.clone();
        let stop = stop.clone();
        tasks.spawn(async move {
            stop.run_until_cancelled(file::follow(file, &registry))
                .await;
        });
    }
    if let Some(home_assistant) = settings.home_assistant {
        registry.put(Origin::HomeAssistant, &[]);
        let stop = stop.clone();
        tasks.spawn(async move {
            let following = home_assistant::follow(home_assistant, &registry);
            stop.run_until_cancelled(following).await;
        });
    }
    names
}

/// The lists of all origins; clones share them.
#[derive(Clone, Debug)]
pub struct Registry {
    lists: Arc<Mutex<BTreeMap<Origin, Vec<String>>>>,
    /// The recogniser, the admin page and the metric hold the other ends.
    expected: watch::Sender<Arc<Expected>>,
}

impl Registry {
    /// Without names.
    pub fn new() -> Self {
        Self {
            lists: Arc::default(),
            expected: watch::Sender::default(),
        }
    }

    /// A reader's end.
    pub fn names(&self) -> Names {
        self.expected.subscribe()
    }

    /// Replaces the whole list of an origin. A list that has not changed is no change.
    pub fn put(&self, origin: Origin, given: &[String]) {
        // A list is replaced as a whole, so that a panic elsewhere leaves none half changed.
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        let rules::Usable { names, left_out } = rules::usable(given.iter().map(String::as_str));
        if lists.get(&origin) == Some(&names) {
            return;
        }
        let from = origin.as_str();
        if !left_out.is_empty() {
            warn!(from, %left_out, "names are left out");
        }
        // No names are news where there were some.
        if !names.is_empty() || lists.contains_key(&origin) {
            info!(from, names = names.len(), "names to expect");
            debug!(from, ?names, "names to expect, one by one");
        }
        lists.insert(origin, names);
        self.tell(&lists);
    }

    fn tell(&self, lists: &BTreeMap<Origin, Vec<String>>) {
        let (names, beyond) = rules::merged(lists.values().map(Vec::as_slice));
        if beyond > 0 {
            warn!(
                beyond,
                used = names.len(),
                "there are more names than can be used: expose fewer entities to Assist, or shorten the file of --names"
            );
        }
        let counts = lists
            .iter()
            .map(|(origin, names)| (*origin, names.len()))
            .collect();
        let generation = self.expected.borrow().generation + 1;
        self.expected.send_replace(Arc::new(Expected {
            names,
            counts,
            generation,
        }));
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn every_origin_has_its_list_and_readers_have_all() {
        let registry = Registry::new();
        let names = registry.names();
        assert_eq!(names.borrow().report(), json!({"total": 0, "from": {}}));
        registry.put(Origin::HomeAssistant, &list(&["Küche", "Bad", "…"]));
        registry.put(Origin::File, &list(&["bad", "WLED"]));
        let expected = Arc::clone(&names.borrow());
        assert_eq!(expected.names, ["bad", "WLED", "Küche"]);
        assert_eq!(
            expected.report(),
            json!({"total": 3, "from": {"file": 2, "home_assistant": 2}})
        );
        registry.put(Origin::HomeAssistant, &[]);
        assert_eq!(names.borrow().names, ["bad", "WLED"]);
    }

    #[test]
    fn a_list_that_has_not_changed_is_no_change() {
        let registry = Registry::new();
        let mut names = registry.names();
        registry.put(Origin::File, &list(&["Küche"]));
        assert_eq!(names.borrow_and_update().generation, 1);
        registry.put(Origin::File, &list(&["Küche"]));
        assert!(!names.has_changed().unwrap());
        registry.put(Origin::File, &list(&["Küche", "Bad"]));
        assert!(names.has_changed().unwrap());
        assert_eq!(names.borrow().generation, 2);
    }
}
