//! The names that transcripts are expected to hold: those that stand for every utterance, and a request's own.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tracing::{debug, warn};
use whisper::{Names, Vocabulary};

use crate::memory;
use crate::names;
use crate::queue::ModelState;

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

    /// From now on these names stand. Their tree is made on a thread of its own; when it cannot be made,
    /// those that stood before still do.
    pub async fn replace(&self, vocabulary: Arc<Vocabulary>, names: Vec<String>) {
        self.put(tree(None, vocabulary, names)).await;
    }

    /// What stands now and the names of one request, whose tree is made on a thread of its own; what stands
    /// now, when it cannot be made.
    pub async fn with(
        &self,
        vocabulary: Option<Arc<Vocabulary>>,
        names: Vec<String>,
    ) -> Option<Arc<Names>> {
        let standing = self.standing();
        match vocabulary {
            Some(vocabulary) if !names.is_empty() => {
                let made = made(tree(standing.clone(), vocabulary, names)).await;
                made.unwrap_or(standing)
            }
            _ => standing,
        }
    }

    async fn put(&self, make: impl FnOnce() -> Names + Send + 'static) {
        if let Some(tree) = made(make).await {
            *self.0.write().unwrap_or_else(PoisonError::into_inner) = tree;
        }
    }
}

/// Lets the newest names stand, from when the model is there until their sources are gone.
pub async fn follow(
    expectation: Arc<Expectation>,
    mut names: names::Names,
    mut state: watch::Receiver<ModelState>,
) {
    let is_ready = |state: &ModelState| matches!(state, ModelState::Ready(_));
    let vocabulary = match state.wait_for(is_ready).await.as_deref() {
        Ok(ModelState::Ready(loaded)) => loaded.vocabulary.clone(),
        _ => None,
    };
    let Some(vocabulary) = vocabulary else {
        return;
    };
    loop {
        let newest = Arc::clone(&names.borrow_and_update());
        let vocabulary = Arc::clone(&vocabulary);
        expectation.replace(vocabulary, newest.names.clone()).await;
        debug!(
            names = newest.names.len(),
            generation = newest.generation,
            "other names are expected"
        );
        if names.changed().await.is_err() {
            return;
        }
    }
}

/// Makes the tree of these names, beside those that stand.
fn tree(
    standing: Option<Arc<Names>>,
    vocabulary: Arc<Vocabulary>,
    names: Vec<String>,
) -> impl FnOnce() -> Names + Send + 'static {
    move || {
        let names = names.iter().map(String::as_str);
        standing.unwrap_or_default().with(&vocabulary, names)
    }
}

/// What was made on another thread: a tree, or nothing if it is empty. `None` if making it panicked.
async fn made(make: impl FnOnce() -> Names + Send + 'static) -> Option<Option<Arc<Names>>> {
    let made = spawn_blocking(|| {
        let tree = make();
        memory::give_back();
        tree
    })
    .await;
    let made = made.inspect_err(
        |error| warn!(%error, "names could not be prepared; those from before stay in use"),
    );
    let tree = made.ok()?;
    Some(Some(tree).filter(|tree| !tree.is_empty()).map(Arc::new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{Origin, Registry};
    use crate::queue::tests::loaded;

    fn vocabulary() -> Arc<Vocabulary> {
        Arc::new(Vocabulary::read(&whisper::Checkpoint::demo().unwrap()).unwrap())
    }

    fn number(names: Option<Arc<Names>>) -> usize {
        names.map_or(0, |names| names.len())
    }

    #[tokio::test]
    async fn names_of_a_request_are_expected_beside_those_that_stand() {
        let expectation = Expectation::default();
        let own = || vec!["Zoë".to_owned(), "Küche".to_owned()];
        assert_eq!(expectation.with(Some(vocabulary()), Vec::new()).await, None);
        let expected = expectation.with(Some(vocabulary()), own()).await;
        assert_eq!(number(expected), 2);
        expectation
            .replace(vocabulary(), vec!["WLED".to_owned()])
            .await;
        assert_eq!(number(expectation.with(Some(vocabulary()), own()).await), 3);
        assert_eq!(number(expectation.with(None, own()).await), 1);
        assert_eq!(number(expectation.standing()), 1);
        expectation.replace(vocabulary(), Vec::new()).await;
        assert_eq!(expectation.standing(), None);
    }

    #[tokio::test]
    async fn names_that_cannot_be_made_leave_those_from_before() {
        let expectation = Expectation::default();
        expectation
            .replace(vocabulary(), vec!["WLED".to_owned()])
            .await;
        expectation.put(|| panic!("ordered to")).await;
        assert_eq!(number(expectation.standing()), 1);
        expectation.put(Names::default).await;
        assert_eq!(expectation.standing(), None);
    }

    #[tokio::test]
    async fn names_stand_once_the_model_is_there_and_when_they_change() {
        let expectation = Arc::new(Expectation::default());
        let registry = Registry::new();
        registry.put(Origin::File, &["Zoë".to_owned()]);
        let (state, states) = watch::channel(ModelState::Loading);
        let following = follow(Arc::clone(&expectation), registry.names(), states);
        let following = tokio::spawn(following);
        let stands = async |expected: usize| {
            while number(expectation.standing()) != expected {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        stands(0).await;
        let loaded = crate::queue::Loaded {
            vocabulary: Some(vocabulary()),
            ..loaded()
        };
        state.send(ModelState::Ready(Arc::new(loaded))).unwrap();
        stands(1).await;
        registry.put(
            Origin::HomeAssistant,
            &["Küche".to_owned(), "Bad".to_owned()],
        );
        stands(3).await;
        drop(registry);
        following.await.unwrap();
    }
}
