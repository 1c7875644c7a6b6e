//! A checkpoint, ready to transcribe.

use std::sync::Arc;
use std::thread;

use rayon::ThreadPool;

use crate::batch::{Batch, Source};
use crate::checkpoint::{Checkpoint, LoadError};
use crate::decode::BRANCHES;
use crate::device::{self, DeviceChoice, Opened};
use crate::engine::Engine;
use crate::error::{WhisperError, model_error};
use crate::load::{self, LoadOptions, PackedWeights};
use crate::mel::MelExtractor;
use crate::model::Fused;
use crate::options::Input;
use crate::transcript::Transcript;
use crate::vocabulary::Vocabulary;

/// Utterances of a list that are transcribed at the same time, at most.
const MOST_TOGETHER: usize = 16;

/// What a loaded checkpoint is and can do.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    /// Whether it knows languages other than English.
    pub multilingual: bool,
    /// Whisper's codes of the languages it knows.
    pub languages: Vec<String>,
    /// Mel bins.
    pub n_mels: usize,
    /// Number of weights.
    pub parameters: u64,
    /// Of the weight files, in hexadecimal.
    pub sha256: String,
    /// Size of the weight files.
    pub weight_bytes: u64,
    /// Where it computes.
    pub device: String,
    /// Precision of the arithmetic.
    pub precision: &'static str,
}

/// A model with its vocabulary. Immutable: it can be shared, and each batch has its own state.
#[derive(Debug)]
pub struct Whisper {
    engine: Engine,
    threads: ThreadPool,
    opened: Opened,
    packed: PackedWeights,
    info: ModelInfo,
}

impl Whisper {
    /// Puts a checkpoint on a device.
    ///
    /// # Errors
    /// [`LoadError`], which names the file and what to do.
    pub fn load(
        checkpoint: &Checkpoint,
        device: DeviceChoice,
        options: LoadOptions,
    ) -> Result<Self, LoadError> {
        let opened = device
            .open()
            .map_err(|source| LoadError::NoDevice { source })?;
        // The words take as long as the weights of a small model, and need nothing of them.
        let (vocabulary, loaded) = thread::scope(|scope| {
            let vocabulary = scope.spawn(|| Vocabulary::read(checkpoint));
            let loaded = load::load(checkpoint, &opened.device, options);
            (load::outcome(vocabulary), loaded)
        });
        let (vocabulary, (mut model, sha256, packed)) = (vocabulary?, loaded?);
        model.forbid(vocabulary.suppressed())?;
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(options.threads)
            .thread_name(|index| format!("whisper-{index}"))
            .build()
            .map_err(|source| LoadError::Threads { source })?;
        let n_mels = model.config().num_mel_bins;
        let info = ModelInfo {
            multilingual: vocabulary.is_multilingual(),
            languages: vocabulary.languages(),
            n_mels,
            parameters: model.parameters(),
            sha256,
            weight_bytes: checkpoint.weight_bytes(),
            device: device::name(model.device()),
            precision: model.precision(),
        };
        Ok(Self {
            engine: Engine::new(model, vocabulary),
            threads,
            opened,
            packed,
            info,
        })
    }

    /// Where it computes.
    pub fn device(&self) -> &Opened {
        &self.opened
    }

    /// What became of this program's own kernels for GPUs.
    pub fn fused(&self) -> &Fused {
        self.engine.model().fused()
    }

    /// What became of its packed weights.
    pub fn packed(&self) -> &PackedWeights {
        &self.packed
    }

    /// What this model is and can do.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Computes the spectrograms of [`Input::mel`] while audio arrives.
    pub fn mel_extractor(&self) -> &Arc<MelExtractor> {
        self.engine.extractor()
    }

    /// For how many utterances at a time, up to `places`, the device has memory, with whole windows, `beams` hypotheses
    /// each and those that follow a name: `places`, or half as many, and so on. Takes as long as a window; the host CPU, whose memory
    /// is not known, has room for all at once.
    ///
    /// # Errors
    /// [`WhisperError::Model`] where there is no room for one.
    pub fn places_with_room(&self, places: usize, beams: usize) -> Result<usize, WhisperError> {
        if self.engine.model().is_on_host() {
            return Ok(places);
        }
        let mut places = places.max(1);
        loop {
            match self.engine.model().try_room(places, rows(beams)) {
                Ok(()) => return Ok(places),
                Err(_) if places > 1 => places /= 2,
                Err(error) => return Err(model_error(error)),
            }
        }
    }

    /// Transcribes a batch; results are in the order of `batch`.
    pub fn transcribe(&self, batch: &[Input]) -> Vec<Result<Transcript, WhisperError>> {
        let mut results: Vec<Option<Result<Transcript, WhisperError>>> =
            batch.iter().map(|_| None).collect();
        self.transcribe_each(batch, |index, result| {
            if let Some(place) = results.get_mut(index) {
                *place = Some(result);
            }
        });
        results
            .into_iter()
            .map(|result| result.unwrap_or(Err(WhisperError::Cancelled)))
            .collect()
    }

    /// As [`Whisper::transcribe`], but hands each result over, by its index, as soon as it is there.
    pub fn transcribe_each(
        &self,
        batch: &[Input],
        on_result: impl FnMut(usize, Result<Transcript, WhisperError>) + Send,
    ) {
        let beams = batch.iter().map(|input| input.options.beam_size).max();
        let places = batch.len().min(MOST_TOGETHER);
        let mut source = Listed {
            left: batch.iter().cloned().enumerate(),
            on_result,
        };
        self.transcribe_from(places, beams.unwrap_or(1), &mut source);
    }

    /// Transcribes what `source` brings, up to `places` utterances at a time, until it brings nothing and
    /// all are done. Utterances join between two passes of the network, and leave as soon as their words
    /// are there.
    ///
    /// `beams`: the most hypotheses of any of them; one that asks for more keeps so many.
    pub fn transcribe_from<S: Source + ?Sized>(&self, places: usize, beams: usize, source: &mut S) {
        self.threads.install(
            || match self.engine.model().room(places.max(1), rows(beams)) {
                Ok(state) => Batch::new(&self.engine, state, source).run(),
                Err(error) => {
                    let error = model_error(error);
                    refuse_all(places.max(1), source, &error);
                }
            },
        );
    }

    #[cfg(test)]
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Its words, of which [names](crate::Names) are made.
    pub fn vocabulary(&self) -> &Arc<Vocabulary> {
        self.engine.vocabulary()
    }
}

/// A list of utterances.
struct Listed<I, F> {
    left: I,
    on_result: F,
}

impl<I, F> Source for Listed<I, F>
where
    I: Iterator<Item = (usize, Input)> + Send,
    F: FnMut(usize, Result<Transcript, WhisperError>) + Send,
{
    fn join(&mut self, room: usize) -> Vec<(u64, Input)> {
        let next = self.left.by_ref().take(room);
        next.map(|(index, input)| (index as u64, input)).collect()
    }

    fn done(&mut self, id: u64, result: Result<Transcript, WhisperError>) {
        // It was an index.
        if let Ok(index) = usize::try_from(id) {
            (self.on_result)(index, result);
        }
    }
}

/// Rows of an utterance that keeps so many hypotheses: those that follow a name are kept beside them.
fn rows(beams: usize) -> usize {
    beams.max(1) + BRANCHES
}

fn refuse_all<S: Source + ?Sized>(room: usize, source: &mut S, error: &WhisperError) {
    loop {
        let joined = source.join(room);
        if joined.is_empty() {
            return;
        }
        for (id, _) in joined {
            source.done(id, Err(error.clone()));
        }
    }
}
