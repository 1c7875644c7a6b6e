//! The speech-to-text server: Wyoming and HTTP in front, one queue, Whisper behind.
//!
//! [`cli`] reads what was typed, [`config`] turns it into checked settings, [`app`] binds every port and makes every
//! channel, [`wyoming_server`] and [`http`] speak to clients, [`queue`] bounds and orders the work, and
//! [`recognizer`] does it on a thread of its own.

pub mod announce;
pub mod app;
pub mod blocklist;
pub mod cli;
pub mod config;
pub mod describe;
pub mod expectation;
pub mod fault;
pub mod http;
pub mod language;
pub mod lifecycle;
pub mod loading;
mod memory;
pub mod metrics;
pub mod model_store;
pub mod names;
pub mod probe;
pub mod queue;
pub mod recognizer;
#[cfg(test)]
mod reference;
pub mod subtitles;
pub mod transcribe;
mod view;
pub mod wyoming_server;
