//! The page at `/`: speak or choose a file, and see the words. Its files are part of the program; they use the API of
//! this server, and nothing of any other.

mod facts;
mod files;
mod state;

pub(crate) use facts::Facts;
pub(super) use files::{is_file, respond};
pub(super) use state::state;

/// What the page shows of the server.
pub(super) const STATE: &str = "/page/state.json";
