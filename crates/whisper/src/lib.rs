//! Loads a Whisper checkpoint on a device and transcribes batches of waveforms.

mod alignment;
mod batch;
mod beginning;
pub mod checkpoint;
mod decode;
#[cfg(feature = "demo-model")]
mod demo;
pub mod device;
mod engine;
mod error;
mod load;
pub mod mel;
mod model;
mod names;
mod options;
mod passages;
mod precision;
#[cfg(feature = "testing")]
pub mod testing;
mod transcript;
mod transcription;
mod vocabulary;
mod whisper;
pub mod window;

pub use batch::Source;
pub use beginning::Beginning;
pub use checkpoint::{Checkpoint, EmbeddedFiles, GenerationConfig, LoadError};
pub use device::DeviceChoice;
pub use error::WhisperError;
pub use kernels::Level;
pub use load::{LoadOptions, PackedWeights};
pub use mel::{LogMel, MelError, MelExtractor, MelStream};
pub use model::{Fused, Model, ModelError, Prefill, State};
pub use names::Names;
pub use options::{Cancel, Input, Language, Options, Progress};
pub use precision::Precision;
pub use transcript::{Segment, Timings, Transcript, Withheld, Word};
pub use vocabulary::{Task, Vocabulary};
pub use whisper::{ModelInfo, Whisper};
pub use window::Window;
