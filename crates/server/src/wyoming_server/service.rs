//! What all connections share, and the bounds of each.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Span, debug, info};
use whisper::{Language, Options, Transcript, Vocabulary};

use super::budget::AudioBudget;
use super::endpoint_rule::EndpointRule;
use super::parts::{Parts, Times};
use super::request::Request;
use super::stages::stages;
use crate::blocklist::Blocklist;
use crate::describe;
use crate::expectation::Expectation;
use crate::fault::Fault;
use crate::language::LanguageRule;
use crate::metrics::Metrics;
use crate::queue::{Answered, Loaded, ModelState, Queue};

/// What the server holds for one connection at most, beside the audio of its utterance: a part of an
/// event ([`wyoming::Limits::held_bytes`]) or an answer that is not taken, which has no more than the
/// longest ping, the last request with its names, and the task.
pub const CONNECTION_BYTES: usize = 512 << 10;

/// For a client that is owed nothing to close its side; and for every client, to take what it is told
/// while the server drains.
pub(super) const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// Scores of the detector that are speech, where no setting says it.
const SPEECH_THRESHOLD: f32 = 0.8;

/// Bounds of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// What an event may hold.
    pub frame: wyoming::Limits,
    /// Audio of one utterance.
    pub utterance: Duration,
    /// Without an event, and with nothing to answer.
    pub idle: Duration,
    /// For the client to take an answer.
    pub write: Duration,
    /// From the end of audio to the words.
    pub answer: Duration,
    /// For the client to stop sending after an `error`.
    pub drain: Duration,
}

/// What all connections share.
#[derive(Debug)]
pub struct Service {
    /// Bounds.
    pub limits: Limits,
    /// Name of the model.
    pub model: String,
    /// The languages of the model by its small files, once they are there.
    pub told_languages: Arc<OnceLock<Vec<String>>>,
    /// Which languages are answered.
    pub languages: LanguageRule,
    /// Options of every utterance; language and expected names are set for each.
    pub options: Options,
    /// Names that every utterance expects.
    pub expectation: Arc<Expectation>,
    /// Silence after which a client's words are looked for before its audio has ended; never if `None`.
    pub speculate_after: Option<Duration>,
    /// Silence behind speech that ends an utterance; the client ends it if `None`.
    pub endpoint_after: Option<Duration>,
    /// Words are told while speech goes on.
    pub tells_words: bool,
    /// Phrases taken for silence.
    pub blocklist: Arc<Blocklist>,
    /// Where utterances go.
    pub queue: Queue,
    /// How far the model is.
    pub state: watch::Receiver<ModelState>,
    /// What is counted.
    pub metrics: Metrics,
    /// Utterances whose audio is arriving.
    pub open_streams: AtomicUsize,
    /// How much audio those hold, at most.
    pub open_audio: Arc<AudioBudget>,
    /// Counts connections with an utterance that has begun and has no answer.
    pub unanswered: TaskTracker,
    /// Cancelled when connections that have nothing to do should end.
    pub closing: CancellationToken,
    /// Cancelled when all connections must end.
    pub abort: CancellationToken,
}

impl Service {
    /// Logs and counts an utterance whose words are there.
    pub(crate) fn answered(&self, span: &Span, times: &Times, answered: Answered) -> Transcript {
        let parts = Parts::of(times, &answered);
        telemetry::add_stages(span, stages(times, &answered));
        let transcript = answered.transcript;
        info!(
            parent: span,
            answer_s = parts.sum().as_secs_f64(),
            prepare_s = parts.prepare.as_secs_f64(),
            wait_s = parts.wait.as_secs_f64(),
            mel_s = parts.mel.as_secs_f64(),
            encode_s = parts.encode.as_secs_f64(),
            decode_s = parts.decode.as_secs_f64(),
            others_s = parts.others.as_secs_f64(),
            ahead_s = parts.ahead.as_secs_f64(),
            reply_s = parts.reply.as_secs_f64(),
            ahead = times.ahead,
            language = %transcript.language,
            empty = transcript.text.is_empty(),
            "utterance transcribed"
        );
        debug!(text = %transcript.text, "transcript");
        self.metrics.answered(transcript.language.clone());
        parts.each(|part, time| self.metrics.answer_part(part, time));
        transcript
    }

    /// The describe answer now.
    pub fn info(&self) -> wyoming::info::Info {
        describe::info(
            &self.model,
            &self.known_languages(),
            &self.languages,
            self.endpoint_after.is_some(),
            self.tells_words,
        )
    }

    /// What ends an utterance that begins now, if the client does not.
    pub(super) fn endpoint_rule(&self) -> Option<EndpointRule> {
        // Where nothing is withheld for want of speech, an utterance still needs some to have an end.
        let threshold = self.options.speech_threshold.unwrap_or(SPEECH_THRESHOLD);
        let after = self.endpoint_after?;
        Some(EndpointRule::new(after, threshold))
    }

    fn known_languages(&self) -> Vec<String> {
        if let Some(loaded) = self.loaded() {
            return loaded.info.languages.clone();
        }
        let told = self.told_languages.get().cloned();
        told.unwrap_or_else(|| describe::presumed_languages(&self.model))
    }

    /// Why the server ends when it ends before its clients do.
    pub(crate) fn end(&self) -> Fault {
        match &*self.state.borrow() {
            ModelState::Failed(_) => Fault::NotReady,
            ModelState::Loading | ModelState::Ready(_) => Fault::Draining,
        }
    }

    /// In which language an utterance that is wanted like this is.
    pub(super) fn language(&self, request: &Request) -> Result<Language, Fault> {
        let known = self.known_languages();
        self.languages.choose(request.language(), &known)
    }

    /// How an utterance that is wanted like this is transcribed.
    pub(super) async fn options(&self, request: &Request) -> Result<Options, Fault> {
        let language = self.language(request)?;
        let names = request.names();
        let expected = if names.is_empty() {
            self.expectation.standing()
        } else {
            self.expectation.with(self.vocabulary().await, names).await
        };
        Ok(Options {
            language,
            expected,
            ..self.options.clone()
        })
    }

    /// How an utterance in this language, or in any, is transcribed, with the names that stand for all.
    pub(crate) fn standing_options(&self, language: Option<&str>) -> Result<Options, Fault> {
        Ok(Options {
            language: self.languages.choose(language, &self.known_languages())?,
            expected: self.expectation.standing(),
            ..self.options.clone()
        })
    }

    /// The words of the model, of which a request's names are made; waits for the model, as the utterance
    /// would in the queue.
    async fn vocabulary(&self) -> Option<Arc<Vocabulary>> {
        let mut state = self.state.clone();
        let is_known = |state: &ModelState| !matches!(state, ModelState::Loading);
        let known = timeout(self.limits.answer, state.wait_for(is_known)).await;
        drop(known);
        self.loaded()?.vocabulary.clone()
    }

    /// Waits for something that depends on a client: for so long at most, and when the server drains no
    /// longer than [`CLOSE_PATIENCE`] from then on. `None` when it was not done by then.
    pub(super) async fn within<T>(
        &self,
        patience: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let drained = async {
            self.closing.cancelled().await;
            sleep(CLOSE_PATIENCE).await;
        };
        // Whatever loses is dropped: the connection is over then.
        tokio::select! {
            biased;
            done = work => Some(done),
            () = sleep(patience) => None,
            () = drained => None,
        }
    }

    pub(crate) fn loaded(&self) -> Option<Arc<Loaded>> {
        match &*self.state.borrow() {
            ModelState::Ready(loaded) => Some(Arc::clone(loaded)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wyoming_server::request::{MAX_NAME_BYTES, MAX_NAMES};

    #[test]
    fn the_parts_of_what_a_connection_holds_are_within_the_whole() {
        let request = MAX_NAME_BYTES + MAX_NAMES * size_of::<u32>();
        let task = 32 << 10;
        let limits = wyoming::Limits::of_a_server();
        let parts = limits.held_bytes() + request + task;
        assert!(parts <= CONNECTION_BYTES, "{parts}");
        // A pong is written while no header waits.
        assert!(limits.data_bytes <= 2 * limits.header_bytes);
    }
}
