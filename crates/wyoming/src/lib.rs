//! The Wyoming protocol: bytes to events and back, within stated limits.
//!
//! A connection is a stream of events in each direction. One event on the wire:
//!
//! ```text
//! {"type": "audio-chunk", "version": "1.10.2", "data_length": 61, "payload_length": 640}\n
//! └──────────────────────────── header: one line of JSON ───────────────────────────────┘
//! {"rate": 16000, "width": 2, "channels": 1, "timestamp": null}  <640 bytes of PCM>
//! └────────── data block: `data_length` bytes of JSON ─────────┘└─ payload_length ─┘
//! ```
//!
//! Fields may also stand inline in the header, under `data`; where both exist the data block wins,
//! key by key. Lengths count bytes. Nothing separates an event from the next.
//!
//! Three steps, one file each: [`FrameCodec`] cuts bytes into [`Frame`]s and enforces [`Limits`],
//! [`Event::from_frame`] gives a frame its meaning, and the codec's encoder writes an [`Event`] in
//! the [`Form`] that the peer can read. The reference is the Python package `wyoming`; what it
//! tolerates is tolerated here, and what makes it crash is an error with a [`Code`] here.
#![warn(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]

mod audio_format;
#[cfg(feature = "client")]
mod client;
mod code;
mod event;
mod excerpt;
mod frame;
pub mod info;
mod json;
mod number;

pub use audio_format::AudioFormat;
#[cfg(feature = "client")]
pub use client::{Client, ClientError};
pub use code::Code;
pub use event::{
    AudioChunk, AudioStart, ErrorEvent, Event, EventError, Transcribe, Transcript, TranscriptStart,
};
pub use excerpt::Excerpt;
pub use frame::{Form, Frame, FrameCodec, FrameError, Limits};

/// The release of the reference library whose wire format is written here. Readers ignore it; it
/// stands in every header so that a capture tells which fields to expect.
pub const PROTOCOL_VERSION: &str = "1.10.2";
