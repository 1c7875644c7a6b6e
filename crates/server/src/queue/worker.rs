//! The thread that owns the device: loads the model, then runs one batch after the other.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use whisper::{Input, MelExtractor, ModelInfo, Transcript, WhisperError};

use super::policy::BatchLimits;
use super::speculation::Begun;
use super::{Job, Queue, Verdict, Work};
use crate::blocklist::Blocklist;
use crate::fault::Fault;
use crate::recognizer::Recognizer;

/// How far the model is.
#[derive(Clone, Debug)]
pub enum ModelState {
    /// Being read, or warmed up.
    Loading,
    /// Transcribing.
    Ready(Arc<Loaded>),
    /// Not to be had; the text says why.
    Failed(Arc<str>),
}

/// What is known of a loaded model.
#[derive(Debug)]
pub struct Loaded {
    /// What it is and can do.
    pub info: ModelInfo,
    /// Computes spectrograms while audio arrives.
    pub mel: Arc<MelExtractor>,
    /// How long it took to load and warm up.
    pub took: Duration,
}

/// How the worker works.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// Bounds of a batch.
    pub batch: BatchLimits,
    /// Phrases that are taken for silence.
    pub blocklist: Arc<Blocklist>,
}

/// The running thread.
pub struct Worker {
    thread: JoinHandle<()>,
    state: watch::Receiver<ModelState>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Worker").finish_non_exhaustive()
    }
}

impl Worker {
    /// Starts the thread; `load` runs on it, so that the caller goes on at once.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start<L>(queue: Queue, settings: WorkerSettings, load: L) -> std::io::Result<Self>
    where
        L: FnOnce() -> Result<(Box<dyn Recognizer>, Loaded), String> + Send + 'static,
    {
        let (tell, state) = watch::channel(ModelState::Loading);
        let thread = std::thread::Builder::new()
            .name("device".to_owned())
            .spawn(move || {
                let loaded = catch_unwind(AssertUnwindSafe(load))
                    .unwrap_or_else(|_panic| Err("loading the model panicked".to_owned()));
                match loaded {
                    Ok((recognizer, loaded)) => {
                        let device = Device {
                            queue: queue.clone(),
                            settings,
                            languages: loaded.info.languages.clone(),
                            recognizer,
                        };
                        tell.send_replace(ModelState::Ready(Arc::new(loaded)));
                        let work = AssertUnwindSafe(|| device.work());
                        // Batches catch their own panics. Should anything else panic, nobody may
                        // wait for a thread that is gone.
                        if catch_unwind(work).is_err() {
                            let reason = "the recognition thread panicked";
                            tell.send_replace(ModelState::Failed(reason.into()));
                            queue.abandon(&Fault::Internal);
                        }
                    }
                    Err(reason) => {
                        tell.send_replace(ModelState::Failed(reason.into()));
                        queue.abandon(&Fault::NotReady);
                    }
                }
            })?;
        Ok(Self { thread, state })
    }

    /// Follows how far the model is.
    pub fn state(&self) -> watch::Receiver<ModelState> {
        self.state.clone()
    }

    /// Waits for the thread, which ends when its queue is closed and empty. Blocks.
    pub fn join(self) {
        // A panic was told where it happened; there is nothing left to do about it here.
        self.thread.join().ok();
    }
}

/// What the thread owns.
struct Device {
    queue: Queue,
    settings: WorkerSettings,
    /// Those of the model.
    languages: Vec<String>,
    recognizer: Box<dyn Recognizer>,
}

impl Device {
    fn work(mut self) {
        while let Some(work) = self.queue.next_work(self.settings.batch) {
            let began = Instant::now();
            let verdict = match work {
                Work::Batch(batch) => self.run(batch, began),
                Work::Speculation(begun) => self.speculate(&begun, began),
            };
            self.queue.work_ended(began.elapsed(), verdict);
        }
    }

    /// Runs one batch. Whatever happens, each of its jobs is answered: a panic costs its batch only,
    /// since weights are immutable and every batch has its own decoding state. A failure that is the
    /// audio's fault says nothing against the device.
    fn run(&mut self, batch: Vec<Job>, began: Instant) -> Verdict {
        let Self {
            queue,
            settings,
            languages,
            recognizer,
        } = self;
        let metrics = &queue.shared.metrics;
        metrics.batch(batch.len());
        let inputs: Vec<Input> = batch.iter().map(|job| job.input.clone()).collect();
        let mut jobs: Vec<Option<Job>> = batch.into_iter().map(Some).collect();
        let mut verdict = Verdict::Works;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            recognizer.recognize(&inputs, &mut |index, result| {
                let Some(job) = jobs.get_mut(index).and_then(Option::take) else {
                    return;
                };
                metrics.waited(began - job.since);
                match &result {
                    Ok(_) => metrics.transcribed(job.audio(), began.elapsed()),
                    Err(WhisperError::Model { .. }) => verdict = Verdict::Fails,
                    Err(_) => {}
                }
                let answer = answer(&settings.blocklist, languages, result);
                queue.answer_running(job, answer);
            });
        }));
        if outcome.is_err() {
            verdict = Verdict::Fails;
            metrics.panicked();
            tracing::error!(jobs = inputs.len(), "recognition panicked");
        }
        for job in jobs.into_iter().flatten() {
            queue.answer_running(job, Err(Fault::Internal));
        }
        verdict
    }

    /// Runs what may turn out to be an utterance, as a batch of its own.
    fn speculate(&mut self, begun: &Begun, began: Instant) -> Verdict {
        let mut found = None;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let batch = std::slice::from_ref(&*begun.input);
            self.recognizer
                .recognize(batch, &mut |_, result| found = Some(result));
        }));
        if outcome.is_err() {
            self.queue.shared.metrics.panicked();
            tracing::error!(jobs = 1, "recognition panicked");
        }
        let verdict = match &found {
            _ if outcome.is_err() => Verdict::Fails,
            Some(Err(WhisperError::Model { .. })) => Verdict::Fails,
            Some(Err(WhisperError::Cancelled)) | None => Verdict::Unknown,
            Some(_) => Verdict::Works,
        };
        let answer = found.map_or(Err(Fault::Internal), |result| {
            answer(&self.settings.blocklist, &self.languages, result)
        });
        self.queue
            .speculation_ended(begun.id, answer, began.elapsed());
        verdict
    }
}

/// What the client gets: words, nothing in place of an invented phrase, or a fault.
fn answer(
    blocklist: &Blocklist,
    languages: &[String],
    result: Result<Transcript, WhisperError>,
) -> Result<Transcript, Fault> {
    match result {
        Ok(transcript) if blocklist.rejects(&transcript) => Ok(Transcript {
            text: String::new(),
            segments: Vec::new(),
            ..transcript
        }),
        Ok(transcript) => Ok(transcript),
        Err(WhisperError::Cancelled) => Err(Fault::Cancelled),
        // It was taken before the model was there to say what it knows.
        Err(WhisperError::UnsupportedLanguage { language }) => Err(Fault::UnsupportedLanguage {
            language,
            available: languages.to_vec(),
        }),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "utterance failed");
            Err(Fault::Internal)
        }
    }
}
