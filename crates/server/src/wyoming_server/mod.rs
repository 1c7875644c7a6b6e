//! The Wyoming door: accepts connections, follows each one's events, answers.

mod budget;
mod connection;
mod listener;
mod pause_rule;
mod session;
mod utterance;

pub use budget::AudioBudget;
pub use connection::{Limits, Service};
pub(crate) use listener::RESERVE;
pub use listener::{BindError, Doors, Listener, Uri, UriError};
pub use session::{Session, Step};
