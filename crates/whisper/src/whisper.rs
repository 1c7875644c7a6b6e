//! A checkpoint, ready to transcribe.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rayon::ThreadPool;

use crate::decode;
use crate::device;
use crate::state::State;
use crate::transcript::{Timings, Transcript};
use crate::transcription::Transcription;
use crate::vocabulary::Vocabulary;
use crate::{
    Checkpoint, DeviceChoice, Input, Language, Level, LoadError, MelError, MelExtractor, MelStream,
    Model, ModelError, Precision,
};

/// Why an utterance has no transcript.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WhisperError {
    /// Its cancel flag was raised.
    #[error("cancelled")]
    Cancelled,
    /// The checkpoint does not know the language.
    #[error("this model cannot transcribe language \"{language}\"")]
    UnsupportedLanguage {
        /// What was asked for.
        language: String,
    },
    /// The spectrogram cannot be made.
    #[error("spectrogram failed")]
    Mel {
        /// What was wrong with it.
        source: Arc<MelError>,
    },
    /// The network failed; the whole batch has the same cause.
    #[error("network failed")]
    Model {
        /// Which pass.
        source: Arc<ModelError>,
    },
    /// The network gave numbers that are not finite.
    #[error("the model gave no finite number for this audio")]
    NotFinite,
}

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

/// How to load.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadOptions {
    /// CPU threads; 0 for one per core.
    pub threads: usize,
    /// Of weights and arithmetic.
    pub precision: Precision,
    /// Highest vector instructions of the kernels, which a benchmark lowers; `None` for the best of the CPU. What
    /// Candle computes is not limited by it.
    pub level: Option<Level>,
}

/// A model with its vocabulary. Immutable: it can be shared, and each batch has its own state.
#[derive(Debug)]
pub struct Whisper {
    model: Model,
    vocabulary: Vocabulary,
    extractor: Arc<MelExtractor>,
    threads: ThreadPool,
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
        let device = device
            .open()
            .map_err(|source| LoadError::NoDevice { source })?;
        let vocabulary = Vocabulary::read(checkpoint)?;
        let level = options.level.unwrap_or_else(Level::best);
        let model = Model::load_as(checkpoint, &device, options.precision, level)?;
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
            sha256: checkpoint.sha256(),
            weight_bytes: checkpoint.weight_bytes(),
            device: device::name(model.device()),
            precision: model.precision(),
        };
        Ok(Self {
            model,
            vocabulary,
            extractor: MelExtractor::new(n_mels),
            threads,
            info,
        })
    }

    /// What this model is and can do.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Computes the spectrograms of [`Input::mel`] while audio arrives.
    pub fn mel_extractor(&self) -> &Arc<MelExtractor> {
        &self.extractor
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

    /// As [`Whisper::transcribe`], but hands each result over, by its index, as soon as it is there:
    /// a short utterance does not wait for a long one's later windows.
    pub fn transcribe_each(
        &self,
        batch: &[Input],
        mut on_result: impl FnMut(usize, Result<Transcript, WhisperError>) + Send,
    ) {
        self.threads.install(|| {
            let mut timings = Timings::default();
            let mut live = self.begin(batch, &mut timings, &mut on_result);
            while !live.is_empty() {
                live = self.round(live, &mut timings, &mut on_result);
            }
        });
    }

    fn begin<'a>(
        &self,
        batch: &'a [Input],
        timings: &mut Timings,
        on_result: &mut impl FnMut(usize, Result<Transcript, WhisperError>),
    ) -> Vec<(usize, Transcription<'a>)> {
        let mut live = Vec::new();
        for (index, input) in batch.iter().enumerate() {
            match self.known_language(input) {
                Err(error) => on_result(index, Err(error)),
                Ok(language) => {
                    let stream = timed(&mut timings.mel, || self.spectrogram(input));
                    let transcription = Transcription::new(
                        input,
                        stream,
                        language,
                        self.model.window_frames(),
                        self.model.config().max_target_positions,
                    );
                    live.push((index, transcription));
                }
            }
        }
        live
    }

    /// The language when it need not be detected.
    fn known_language(&self, input: &Input) -> Result<Option<String>, WhisperError> {
        match &input.options.language {
            Language::Fixed(language) if self.info.languages.contains(language) => {
                Ok(Some(language.clone()))
            }
            Language::Fixed(language) => Err(WhisperError::UnsupportedLanguage {
                language: language.clone(),
            }),
            Language::Detect { .. } if !self.info.multilingual => Ok(Some("en".to_owned())),
            Language::Detect { .. } => Ok(None),
        }
    }

    /// What was streamed, if it is of this audio; else computed now.
    fn spectrogram(&self, input: &Input) -> MelStream {
        let samples = input.waveform.samples();
        match &input.mel {
            Some(stream)
                if stream.samples() == samples.len() && stream.n_mels() == self.info.n_mels =>
            {
                stream.clone()
            }
            _ => self.extractor.stream_of(samples),
        }
    }

    /// One attempt at the current window of every utterance; returns those that go on.
    fn round<'a>(
        &self,
        live: Vec<(usize, Transcription<'a>)>,
        timings: &mut Timings,
        on_result: &mut impl FnMut(usize, Result<Transcript, WhisperError>),
    ) -> Vec<(usize, Transcription<'a>)> {
        let mut live = without_cancelled(live, on_result);
        let encoded = timed(&mut timings.encode, || self.encode(&mut live));
        // A flag may have been raised meanwhile: only what is encoded can be decoded.
        let mut live = without_cancelled(live, on_result);
        let outcomes = encoded.and_then(|()| timed(&mut timings.decode, || self.decode(&mut live)));
        let outcomes = match outcomes {
            Ok(outcomes) => outcomes,
            Err(error) => {
                for (index, _) in live {
                    on_result(index, Err(error.clone()));
                }
                return Vec::new();
            }
        };
        let mut going_on = Vec::new();
        for ((index, mut transcription), outcome) in live.into_iter().zip(outcomes) {
            match outcome {
                Err(error) => on_result(index, Err(error)),
                Ok(outcome) => {
                    transcription.accept(&self.vocabulary, &outcome);
                    if transcription.is_done() {
                        on_result(index, Ok(transcription.into_transcript(*timings)));
                    } else {
                        going_on.push((index, transcription));
                    }
                }
            }
        }
        going_on
    }

    /// Encodes the windows that are new, one after the other: each fills all threads.
    fn encode(&self, live: &mut [(usize, Transcription<'_>)]) -> Result<(), WhisperError> {
        let fresh = live
            .iter_mut()
            .map(|(_, transcription)| transcription)
            .filter(|transcription| transcription.encoded.is_none());
        for transcription in fresh {
            let window = transcription.window().map_err(|source| WhisperError::Mel {
                source: Arc::new(source),
            })?;
            transcription.encoded = self
                .model
                .encode_unless(transcription.cancel(), &window)
                .map_err(model_error)?;
        }
        Ok(())
    }

    fn decode(
        &self,
        live: &mut [(usize, Transcription<'_>)],
    ) -> Result<Vec<Result<decode::Outcome, WhisperError>>, WhisperError> {
        if live.is_empty() {
            return Ok(Vec::new());
        }
        let encoded: Vec<_> = live
            .iter()
            .filter_map(|(_, transcription)| transcription.encoded.clone())
            .collect();
        let beams = live
            .iter()
            .map(|(_, transcription)| transcription.beam_size());
        let rows_per_item = beams.max().unwrap_or(1);
        let mut state = self
            .model
            .start(&encoded, rows_per_item)
            .map_err(model_error)?;
        self.detect_languages(live, &mut state)?;
        let requests: Vec<decode::Request> = live
            .iter()
            .map(|(_, transcription)| transcription.request(&self.vocabulary))
            .collect();
        Ok(decode::run(
            &self.model,
            &self.vocabulary,
            &mut state,
            &requests,
        ))
    }

    fn detect_languages(
        &self,
        live: &mut [(usize, Transcription<'_>)],
        state: &mut State,
    ) -> Result<(), WhisperError> {
        let wanted: Vec<(usize, &[String])> = live
            .iter()
            .enumerate()
            .filter_map(|(item, (_, transcription))| {
                Some((item, transcription.languages_to_detect()?))
            })
            .collect();
        let detected = decode::language::detect(&self.model, &self.vocabulary, state, &wanted)
            .map_err(model_error)?;
        let items: Vec<usize> = wanted.iter().map(|&(item, _)| item).collect();
        for (item, detected) in items.into_iter().zip(detected) {
            if let (Some((_, transcription)), Some(detected)) = (live.get_mut(item), detected) {
                transcription.set_language(detected);
            }
        }
        Ok(())
    }
}

/// Those that nobody stopped; the others are told. A flag stays raised, so that a window that the
/// encoder gave up is never among those that are left.
fn without_cancelled<'a>(
    live: Vec<(usize, Transcription<'a>)>,
    on_result: &mut impl FnMut(usize, Result<Transcript, WhisperError>),
) -> Vec<(usize, Transcription<'a>)> {
    let (cancelled, live) = live
        .into_iter()
        .partition::<Vec<_>, _>(|(_, transcription)| transcription.is_cancelled());
    for (index, _) in cancelled {
        on_result(index, Err(WhisperError::Cancelled));
    }
    live
}

fn model_error(source: ModelError) -> WhisperError {
    WhisperError::Model {
        source: Arc::new(source),
    }
}

fn timed<T>(spent: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    *spent += start.elapsed();
    result
}
