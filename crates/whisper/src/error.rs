//! Why an utterance has no transcript.

use std::sync::Arc;

use crate::mel::MelError;
use crate::model::ModelError;

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

pub(crate) fn model_error(source: ModelError) -> WhisperError {
    WhisperError::Model {
        source: Arc::new(source),
    }
}
