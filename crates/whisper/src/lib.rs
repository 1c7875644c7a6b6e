//! Loads a Whisper checkpoint on a device and transcribes batches of waveforms.

pub mod checkpoint;
pub mod device;
pub mod mel;
mod model;
mod state;
#[cfg(feature = "testing")]
pub mod testing;
pub mod window;

pub use checkpoint::{Checkpoint, EmbeddedFiles, GenerationConfig, LoadError};
pub use device::DeviceChoice;
pub use mel::{LogMel, MelError, MelExtractor, MelStream};
pub use model::{Model, ModelError, Prefill};
pub use state::State;
pub use window::Window;
