//! What the device hears of an utterance, window by window, on its way to the connection.

use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use whisper::{Progress, Segment};

use crate::blocklist::Blocklist;

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

/// Parts that were not taken yet: there are no more than the audio has windows.
#[derive(Debug)]
pub(super) struct Hearing(UnboundedReceiver<Part>);

impl Hearing {
    /// For the device, and for the connection. Invented phrases are left out.
    pub(super) fn new(blocklist: &Arc<Blocklist>) -> (Progress, Self) {
        let (tell, hearing) = unbounded_channel();
        let blocklist = Arc::clone(blocklist);
        let progress = Progress::new(move |language, segments| {
            let segments = blocklist.kept(segments);
            let language = language.to_owned();
            if !segments.is_empty() {
                // Nobody may listen any more.
                tell.send(Part { language, segments }).ok();
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
