//! The Wyoming door: accepts connections, follows each one's events, answers.

mod budget;
mod connection;
mod endpoint_rule;
mod hearing;
mod listener;
mod outgoing;
mod partial;
mod parts;
mod pause_rule;
mod request;
mod service;
mod session;
mod stages;
mod streamed;
mod told;
mod utterance;

pub use budget::AudioBudget;
pub(crate) use listener::RESERVE;
pub use listener::{BindError, Doors, Listener, Uri, UriError};
pub(crate) use parts::{Parts, Times};
pub use request::Request;
pub use service::{CONNECTION_BYTES, Limits, Service};
pub use session::{Session, Step};
