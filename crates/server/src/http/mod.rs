//! The HTTP door: OpenAI's transcription API in front of the queue that Wyoming's clients use.
//!
//! [`listener`] accepts and bounds connections, [`router`] says which path is answered by what, [`auth`] reads keys,
//! [`body`] and [`form`] turn an upload into a [`form::Wanted`], [`sound`] its file into samples, [`transcription`]
//! hands them to the queue, and [`answer`] or [`events`] write what comes back. What goes wrong is a
//! [`problem::Problem`]. [`page`] is the page at `/`, which uses the API as any client does.

mod answer;
mod api;
mod auth;
mod body;
mod cors;
mod events;
mod form;
mod format;
#[doc(hidden)]
pub mod fuzz;
mod guesses;
mod keys;
mod listener;
mod models;
mod openapi;
mod page;
mod problem;
mod router;
mod schema;
mod settings;
mod sound;
mod timings;
mod transcription;
mod writing;

pub(crate) use api::Api;
pub use keys::{Keys, KeysError};
pub(crate) use listener::{Door, serve};
pub(crate) use page::Facts;
pub use settings::{Address, Settings};
