//! What the recogniser works through between two rests: inputs from the queue, and results back.

use std::sync::Arc;

use whisper::{Input, ModelError, Source, Transcript, WhisperError, Withheld};
use wyoming::Excerpt;

use super::job::Outcome;
use super::settings::WorkerSettings;
use super::{Queue, Verdict};
use crate::fault::Fault;

/// The queue, as the recogniser sees it.
pub(super) struct Session<'a> {
    queue: &'a Queue,
    settings: &'a WorkerSettings,
    /// Those of the model.
    languages: &'a [String],
    /// The last failure of the network. It reaches all that were in the pass, and counts once.
    failure: Option<Arc<ModelError>>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        queue: &'a Queue,
        settings: &'a WorkerSettings,
        languages: &'a [String],
    ) -> Self {
        Self {
            queue,
            settings,
            languages,
            failure: None,
        }
    }

    /// Takes out invented phrases, and counts what is not part of the text.
    fn without_inventions(&self, mut transcript: Transcript) -> Transcript {
        let phrases = self.settings.blocklist.apply(&mut transcript);
        let withheld = transcript.withheld;
        if phrases > 0 || withheld != Withheld::default() {
            self.queue.shared.metrics.withheld(withheld, phrases);
            tracing::debug!(?withheld, phrases, "text withheld");
        }
        transcript
    }

    /// What is made of a result for the client.
    fn outcome(&self, result: Result<Transcript, WhisperError>) -> Outcome {
        match result {
            Ok(transcript) => Ok(self.without_inventions(transcript)),
            Err(WhisperError::Cancelled) => Err(Fault::Cancelled),
            // It was taken before the model was there to say what it knows.
            Err(WhisperError::UnsupportedLanguage { language }) => {
                Err(Fault::UnsupportedLanguage {
                    language: Excerpt::of(&language),
                    available: self.languages.to_vec(),
                })
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "utterance failed");
                Err(Fault::Internal)
            }
        }
    }

    /// What a result says of the device: something only where a pass of the network was tried.
    fn verdict(&mut self, result: &Result<Transcript, WhisperError>) -> Verdict {
        match result {
            Ok(transcript) if transcript.timings.encode.is_zero() => Verdict::Unknown,
            Ok(_) => Verdict::Works,
            Err(WhisperError::Model { source }) => {
                let is_known = self
                    .failure
                    .as_ref()
                    .is_some_and(|known| Arc::ptr_eq(known, source));
                self.failure = Some(Arc::clone(source));
                if is_known {
                    Verdict::Unknown
                } else {
                    Verdict::Fails
                }
            }
            // Once it may be the audio's fault; weights or a device that are damaged do it always.
            Err(WhisperError::NotFinite) => Verdict::Fails,
            // A refusal, or stopped before the device could show anything.
            Err(_) => Verdict::Unknown,
        }
    }
}

impl Source for Session<'_> {
    fn join(&mut self, room: usize) -> Vec<(u64, Input)> {
        self.queue.join(room, self.settings.batch)
    }

    fn done(&mut self, id: u64, result: Result<Transcript, WhisperError>) {
        let verdict = self.verdict(&result);
        self.queue.judge(verdict);
        let outcome = self.outcome(result);
        self.queue.done(id, outcome);
    }
}
