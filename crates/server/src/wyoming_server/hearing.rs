//! What the device hears of an utterance, window by window, on its way to the connection.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::{Receiver, channel};
use whisper::{Progress, Segment};

use crate::blocklist::Blocklist;

/// Windows that were not taken yet, at most: behind a client that does not read, further words wait for the answer.
const MOST: usize = 64;

/// The words of a window.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Code of their language.
    pub(super) language: String,
    pub(super) segments: Vec<Segment>,
}

impl Part {
    pub(super) fn text(&self) -> String {
        self.segments.iter().map(|segment| &*segment.text).collect()
    }
}

/// Parts that were not taken yet.
#[derive(Debug)]
pub(super) struct Hearing(Receiver<Part>);

impl Hearing {
    /// For the device, and for the connection. Invented phrases are left out.
    pub(super) fn new(blocklist: &Arc<Blocklist>) -> (Progress, Self) {
        let (tell, hearing) = channel(MOST);
        let tell = Mutex::new(Some(tell));
        let blocklist = Arc::clone(blocklist);
        let progress = Progress::new(move |language, segments| {
            let segments = blocklist.kept(segments);
            let language = language.to_owned();
            if segments.is_empty() {
                return;
            }
            let mut tell = tell.lock().unwrap_or_else(PoisonError::into_inner);
            let told = tell
                .as_ref()
                .map(|tell| tell.try_send(Part { language, segments }));
            // Parts follow each other without a gap.
            if told.is_some_and(|told| told.is_err()) {
                *tell = None;
            }
        });
        (progress, Self(hearing))
    }

    /// The next window; `None` behind the last.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped before it is ready.
    pub(super) async fn next(&mut self) -> Option<Part> {
        self.0.recv().await
    }
}
