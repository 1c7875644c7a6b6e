//! Settings that cannot work.

use std::path::PathBuf;

use telemetry::TelemetryError;

use super::ranges::{LONGEST_PAUSE_S, SHORTEST_PAUSE_S};
use crate::announce;
use crate::http::KeysError;
use crate::names::file::FileError;
use crate::names::home_assistant::HomeAssistantError;

/// A setting that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A pause that is no pause.
    #[error(
        "{flag} {seconds} is neither 0 nor a pause of {} to {} s",
        SHORTEST_PAUSE_S,
        LONGEST_PAUSE_S
    )]
    Pause {
        /// The flag.
        flag: &'static str,
        /// What was given.
        seconds: f64,
    },
    /// A language code that Whisper does not know.
    #[error("{flag}: {language:?} is no language of Whisper; use a code such as en or de")]
    Language {
        /// The flag.
        flag: &'static str,
        /// What was given.
        language: String,
    },
    /// A default or forced language that is not allowed.
    #[error("{flag}: {language:?} is not among --allowed-languages")]
    NotAllowed {
        /// The flag.
        flag: &'static str,
        /// What was given.
        language: String,
    },
    /// No audio address.
    #[error("--admin {admin:?} is neither HOST:PORT nor off")]
    Admin {
        /// What was given.
        admin: String,
    },
    /// No address of the HTTP API.
    #[error("--http {http:?} is neither HOST:PORT nor off")]
    Http {
        /// What was given.
        http: String,
    },
    /// API keys that cannot be used.
    #[error("--http-keys")]
    HttpKeys {
        /// Why.
        source: KeysError,
    },
    /// No origin.
    #[error(
        "--http-cors {origin:?} is neither * nor an origin such as https://example.org, without a path"
    )]
    Origin {
        /// What was given.
        origin: String,
    },
    /// Zeroconf announces a port.
    #[error("--zeroconf needs a tcp:// address among --uri")]
    NothingToAnnounce,
    /// A name that DNS cannot carry.
    #[error(
        "--zeroconf: the name has {bytes} bytes, DNS takes {} at most",
        announce::MAX_NAME_BYTES
    )]
    LongName {
        /// Its length.
        bytes: usize,
    },
    /// A flag of another server, whose effect would be missed.
    #[error("{flag} is a flag of wyoming-faster-whisper that is not taken: {instead}")]
    Refused {
        /// The flag.
        flag: &'static str,
        /// What to do.
        instead: &'static str,
    },
    /// A file that cannot be read.
    #[error("--blocklist-extra {}", path.display())]
    Blocklist {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Names that cannot be read.
    #[error("--names")]
    Names {
        /// Why.
        source: FileError,
    },
    /// A Home Assistant that cannot be asked.
    #[error("--home-assistant")]
    HomeAssistant {
        /// Why.
        source: Box<HomeAssistantError>,
    },
    /// A collector that cannot be exported to.
    #[error("--otlp-endpoint")]
    Otlp {
        /// Why.
        #[from]
        source: TelemetryError,
    },
    /// A flag without another.
    #[error("{flag} needs {needed}")]
    Alone {
        /// The flag.
        flag: &'static str,
        /// The other.
        needed: &'static str,
    },
}
