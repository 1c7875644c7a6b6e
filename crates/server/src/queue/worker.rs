//! The thread that owns the device: loads the model, then runs what waits.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use whisper::{MelExtractor, ModelInfo, Vocabulary};

use super::session::Session;
use super::settings::WorkerSettings;
use super::{Queue, Verdict, Wait};
use crate::fault::Fault;
use crate::memory;
use crate::recognizer::{Recognizer, Room};

/// After so long without work, memory that work has freed is given back to the system. Giving it back between two
/// commands of a busy hour would only make the second slower.
const REST: Duration = Duration::from_secs(2);

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
    /// Its words, of which expected names are made; a stand-in for a model has none.
    pub vocabulary: Option<Arc<Vocabulary>>,
    /// How long it took to load and warm up.
    pub took: Duration,
    /// Utterances that there is memory for at once, if fewer than are wanted.
    pub places: Option<usize>,
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
                        let mut settings = settings;
                        if let Some(places) = loaded.places {
                            settings.batch.jobs = settings.batch.jobs.min(places);
                        }
                        let device = Device {
                            queue: queue.clone(),
                            settings,
                            languages: loaded.info.languages.clone(),
                            recognizer,
                        };
                        tell.send_replace(ModelState::Ready(Arc::new(loaded)));
                        let work = AssertUnwindSafe(|| device.work());
                        // Recognition's panics are caught there. Should anything else panic, no client may
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
        let mut patience = Some(REST);
        loop {
            match self.queue.wait_for_work(patience) {
                Wait::Work => {
                    self.run();
                    patience = Some(REST);
                }
                Wait::Idle => {
                    memory::give_back();
                    patience = None;
                }
                Wait::Closed => return,
            }
        }
    }

    /// Runs until nothing waits. Whatever happens, each job is answered: a panic costs those that run,
    /// since weights are immutable and all else is begun anew.
    fn run(&mut self) {
        let room = Room {
            utterances: self.settings.batch.jobs.max(1),
            beams: self.settings.beams,
        };
        let mut session = Session::new(&self.queue, &self.settings, &self.languages);
        let recognizer = &mut self.recognizer;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            recognizer.recognize(room, &mut session);
        }));
        if outcome.is_err() {
            self.queue.judge(Verdict::Fails);
            self.queue.shared.metrics.panicked();
            tracing::error!(jobs = self.queue.on_device(), "recognition panicked");
        }
        // Usually there is none left.
        self.queue.lost(&Fault::Internal);
    }
}
