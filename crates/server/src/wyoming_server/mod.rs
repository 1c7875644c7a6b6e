//! The Wyoming door: accepts connections, follows each one's events, answers.

mod connection;
mod listener;
mod session;

pub use connection::{Limits, Service};
pub use listener::{BindError, Doors, Listener, Uri, UriError};
