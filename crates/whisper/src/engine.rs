//! What a batch works with: the network, the words, and what is known of an utterance before its first pass.

use std::sync::Arc;
use std::time::Instant;

use audio::Speech;

use crate::decode::bias;
use crate::error::WhisperError;
use crate::mel::{HOP_LENGTH, MelExtractor, MelStream};
use crate::model::Model;
use crate::options::{Input, Language};
use crate::passages::Passages;
use crate::transcription::{Bounds, Known, Transcription};
use crate::vocabulary::Vocabulary;

/// Immutable: all batches share it.
#[derive(Debug)]
pub(crate) struct Engine {
    model: Model,
    vocabulary: Arc<Vocabulary>,
    extractor: Arc<MelExtractor>,
    languages: Vec<String>,
}

impl Engine {
    pub(crate) fn new(model: Model, vocabulary: Vocabulary) -> Self {
        Self {
            extractor: MelExtractor::new(model.config().num_mel_bins),
            languages: vocabulary.languages(),
            vocabulary: vocabulary.into(),
            model,
        }
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    pub(crate) fn vocabulary(&self) -> &Arc<Vocabulary> {
        &self.vocabulary
    }

    /// Computes spectrograms.
    pub(crate) fn extractor(&self) -> &Arc<MelExtractor> {
        &self.extractor
    }

    /// An utterance before its first pass.
    pub(crate) fn begin(&self, input: Input) -> Result<Transcription, WhisperError> {
        let language = self.known_language(&input)?;
        let began = Instant::now();
        let samples = input.waveform.samples();
        let mut stream = self.spectrogram(&input);
        stream.amplify(audio::amplification(samples));
        let frames = samples.len() / HOP_LENGTH;
        let passages = input.options.speech_threshold.map_or_else(
            || Passages::whole(frames),
            |threshold| Passages::new(&Speech::of(samples).spans(threshold), frames),
        );
        let bounds = Bounds {
            window_frames: self.model.window_frames(),
            positions: self.model.config().max_target_positions,
            may_be_short: self.model.is_on_host(),
        };
        let initial_words = bias::initial_words(&self.vocabulary, &input.options, bounds.positions);
        let took = began.elapsed();
        let known = Known {
            stream,
            passages,
            language,
            initial_words,
        };
        let mut transcription = Transcription::new(input, known, bounds);
        transcription.seen(took);
        Ok(transcription)
    }

    /// The language when it need not be detected.
    fn known_language(&self, input: &Input) -> Result<Option<String>, WhisperError> {
        match &input.options.language {
            Language::Fixed(language) if self.languages.contains(language) => {
                Ok(Some(language.clone()))
            }
            Language::Fixed(language) => Err(WhisperError::UnsupportedLanguage {
                language: language.clone(),
            }),
            Language::Detect { .. } if !self.vocabulary.is_multilingual() => {
                Ok(Some("en".to_owned()))
            }
            Language::Detect { .. } => Ok(None),
        }
    }

    /// What was streamed, if it is of this audio; else computed now.
    fn spectrogram(&self, input: &Input) -> MelStream {
        let samples = input.waveform.samples();
        match &input.mel {
            Some(stream)
                if stream.samples() == samples.len()
                    && stream.n_mels() == self.model.config().num_mel_bins =>
            {
                stream.clone()
            }
            _ => self.extractor.stream_of(samples),
        }
    }
}
