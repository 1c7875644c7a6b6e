//! Those that run: from the queue to the recogniser, and their answers back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use whisper::{Input, ModelError, Source, Transcript, WhisperError, Withheld};
use wyoming::Excerpt;

use super::policy::Running;
use super::worker::WorkerSettings;
use super::{Joining, Queue, Reply, Verdict};
use crate::fault::Fault;

/// What the recogniser works through between two rests.
pub(super) struct Session<'a> {
    queue: &'a Queue,
    settings: &'a WorkerSettings,
    /// Those of the model.
    languages: &'a [String],
    /// Those that run, by their number in the queue.
    pub(super) live: HashMap<u64, Live>,
    /// The last failure of the network. It reaches all that were in the pass, and counts once.
    failure: Option<Arc<ModelError>>,
}

/// One that runs.
pub(super) struct Live {
    kind: Kind,
    audio: Duration,
    is_long: bool,
    began: Instant,
}

enum Kind {
    /// Somebody waits for its words.
    Job(Reply),
    /// Somebody may.
    Speculation,
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
            live: HashMap::new(),
            failure: None,
        }
    }

    /// Answers whoever was left without one.
    pub(super) fn end(mut self) {
        for (id, live) in std::mem::take(&mut self.live) {
            self.answer(id, live, Err(Fault::Internal));
        }
    }

    fn running(&self) -> Running {
        Running {
            jobs: self.live.len(),
            long: self.live.values().filter(|live| live.is_long).count(),
        }
    }

    fn admit(&mut self, joining: Joining) -> (u64, Input) {
        let began = Instant::now();
        let (id, input, kind) = match joining {
            Joining::Job(job) => {
                self.queue.shared.metrics.waited(began - job.since);
                (job.id, job.input, Kind::Job(job.reply))
            }
            Joining::Speculation(id, input) => (id, input, Kind::Speculation),
        };
        let samples = input.waveform.samples().len();
        let live = Live {
            kind,
            audio: input.waveform.duration(),
            is_long: samples > self.settings.batch.window_samples,
            began,
        };
        self.live.insert(id, live);
        (id, input)
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

    fn answer(&self, id: u64, live: Live, answer: Result<Transcript, Fault>) {
        match live.kind {
            Kind::Job(reply) => self.queue.answer_running(reply, answer),
            Kind::Speculation => self
                .queue
                .speculation_ended(id, answer, live.began.elapsed()),
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
        let mut limits = self.settings.batch;
        limits.jobs = limits.jobs.min(self.live.len() + room);
        let joining = self.queue.joining(self.running(), limits);
        let is_utterance = |joining: &Joining| matches!(joining, Joining::Job(_));
        let utterances = joining.iter().any(is_utterance);
        let joined = joining.into_iter().map(|one| self.admit(one)).collect();
        if utterances {
            self.queue.shared.metrics.batch(self.live.len());
        }
        joined
    }

    fn done(&mut self, id: u64, result: Result<Transcript, WhisperError>) {
        let verdict = self.verdict(&result);
        self.queue.judge(verdict);
        let Some(live) = self.live.remove(&id) else {
            return;
        };
        if result.is_ok() && matches!(live.kind, Kind::Job(_)) {
            let metrics = &self.queue.shared.metrics;
            metrics.transcribed(live.audio, live.began.elapsed());
        }
        let result = result.map(|transcript| self.without_inventions(transcript));
        let answer = answer(self.languages, result);
        self.answer(id, live, answer);
    }
}

/// What the client gets: words or a fault.
fn answer(
    languages: &[String],
    result: Result<Transcript, WhisperError>,
) -> Result<Transcript, Fault> {
    match result {
        Ok(transcript) => Ok(transcript),
        Err(WhisperError::Cancelled) => Err(Fault::Cancelled),
        // It was taken before the model was there to say what it knows.
        Err(WhisperError::UnsupportedLanguage { language }) => Err(Fault::UnsupportedLanguage {
            language: Excerpt::of(&language),
            available: languages.to_vec(),
        }),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "utterance failed");
            Err(Fault::Internal)
        }
    }
}
