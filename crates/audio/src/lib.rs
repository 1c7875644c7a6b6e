//! Any speech audio becomes a [`Waveform`]: mono, 16 kHz, `f32`.
//!
//! A stream goes through [`Ingest`]: bytes → samples ([`pcm`]) → one channel ([`mix`]) → 16 kHz
//! ([`resample`]), under a limit of time. A file goes through [`file`], which ends in the same steps.

mod end_of_speech;
pub mod file;
mod ingest;
mod loudest;
mod mix;
mod pcm;
mod resample;
mod silence;
mod speech;
mod waveform;

pub use end_of_speech::EndOfSpeech;
pub use ingest::{Ingest, IngestError};
pub use pcm::{FormatError, PcmFormat};
pub use resample::Resampler;
pub use silence::{Pause, PauseDetector};
pub use speech::{Speech, amplification};
pub use waveform::{SAMPLE_RATE_HZ, Waveform, duration_of};
