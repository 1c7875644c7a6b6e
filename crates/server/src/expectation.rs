//! The names that transcripts are expected to hold: those that stand for every utterance, and a request's own.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::task::spawn_blocking;
use tracing::warn;
use whisper::{Names, Vocabulary};

/// Names that every utterance expects; swapped whole when they change.
#[derive(Debug, Default)]
pub struct Expectation(RwLock<Option<Arc<Names>>>);

impl Expectation {
    /// What stands now.
    pub fn standing(&self) -> Option<Arc<Names>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// From now on these names stand. Their tree is made on a thread of its own.
    pub async fn replace(&self, vocabulary: Arc<Vocabulary>, names: Vec<String>) {
        let tree = make(None, vocabulary, names).await;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = tree;
    }

    /// What stands now and the names of one request, whose tree is made on a thread of its own.
    pub async fn with(
        &self,
        vocabulary: Option<Arc<Vocabulary>>,
        names: Vec<String>,
    ) -> Option<Arc<Names>> {
        let standing = self.standing();
        match vocabulary {
            Some(vocabulary) if !names.is_empty() => make(standing, vocabulary, names).await,
            _ => standing,
        }
    }
}

async fn make(
    standing: Option<Arc<Names>>,
    vocabulary: Arc<Vocabulary>,
    names: Vec<String>,
) -> Option<Arc<Names>> {
    let make = move || {
        let names = names.iter().map(String::as_str);
        let standing = standing.unwrap_or_default();
        standing.with(&vocabulary, names)
    };
    let made = spawn_blocking(make).await;
    let made = made.inspect_err(|error| warn!(%error, "names could not be prepared"));
    made.ok().filter(|tree| !tree.is_empty()).map(Arc::new)
}
