//! Why the names of a Home Assistant cannot be read, and what to do.

use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::pem;
use tokio_tungstenite::tungstenite;

use super::address::Address;
use super::message::Code;

/// Why names cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeAssistantError {
    /// The token's file cannot be read.
    #[error(
        "cannot read {}; it must be a file with a long-lived access token of Home Assistant (profile, security)",
        path.display()
    )]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The token's file has no token.
    #[error(
        "{} must have one line, a long-lived access token of Home Assistant (profile, security)",
        path.display()
    )]
    NoToken {
        /// The file.
        path: PathBuf,
    },
    /// The file of authorities cannot be read.
    #[error("cannot read {}; it must be a file with certificates in PEM", path.display())]
    AuthorityFile {
        /// The file.
        path: PathBuf,
        /// What the system or the parser said.
        source: pem::Error,
    },
    /// The file of authorities has none.
    #[error(
        "{} has no certificate; it must have one or more, each from BEGIN CERTIFICATE to END CERTIFICATE",
        path.display()
    )]
    NoAuthority {
        /// The file.
        path: PathBuf,
    },
    /// A certificate that cannot be used.
    #[error("a certificate of --home-assistant-ca cannot be used")]
    Authority {
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// The system has no trusted certificates.
    #[error(
        "this system has no trusted certificates; install ca-certificates, or give the authority with --home-assistant-ca"
    )]
    NoRoots,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls {
        /// What the library said.
        source: rustls::Error,
    },
    /// A host that is no name of a certificate.
    #[error("{host:?} is neither a host name nor an IP address")]
    Host {
        /// What was given.
        host: String,
    },
    /// No connection.
    #[error(
        "cannot reach {address}; is Home Assistant running, and are host and port right (8123 as it comes)?"
    )]
    Unreachable {
        /// Where.
        address: Address,
        /// What the system said.
        source: std::io::Error,
    },
    /// The certificate is not trusted, or what is there speaks no TLS.
    #[error(
        "no trusted connection to {address}; give the authority of its certificate with --home-assistant-ca, use a host name that the certificate has, or http:// if it speaks no TLS"
    )]
    Untrusted {
        /// Where.
        address: Address,
        /// What the library said.
        source: std::io::Error,
    },
    /// An answer that is no websocket.
    #[error("{address} answered {status} instead of opening its websocket; {}", remedy_of_status(*status))]
    NoWebSocket {
        /// Where.
        address: Address,
        /// Of HTTP.
        status: u16,
    },
    /// The websocket ended or broke.
    #[error("the connection to {address} ended")]
    Ended {
        /// Where.
        address: Address,
        /// What the library said.
        source: Box<tungstenite::Error>,
    },
    /// Home Assistant does not take the token.
    #[error(
        "Home Assistant at {address} refuses the token; make a new long-lived access token (profile, security) and put it into the file of --home-assistant-token-file"
    )]
    Refused {
        /// Where.
        address: Address,
    },
    /// A command that is refused.
    #[error("Home Assistant refuses {command} ({code}){}", remedy_of_code(code))]
    Command {
        /// Which.
        command: &'static str,
        /// Home Assistant's reason.
        code: Code,
    },
    /// An answer that is not understood.
    #[error(
        "the answer to {command} is not understood; is {address} a Home Assistant of 2024 or newer?"
    )]
    Answer {
        /// Where.
        address: Address,
        /// To what.
        command: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Something else than what was asked for.
    #[error("{address} does not answer as Home Assistant does: {unexpected} came for {command}")]
    Protocol {
        /// Where.
        address: Address,
        /// What came.
        unexpected: &'static str,
        /// What was asked for.
        command: &'static str,
    },
    /// An answer that is longer than any should be.
    #[error("the answer of {address} to {command} has more than {} MiB; is it a Home Assistant?", limit >> 20)]
    TooMuch {
        /// Where.
        address: Address,
        /// To what.
        command: &'static str,
        /// Bytes.
        limit: usize,
    },
    /// No answer in time.
    #[error("{address} gave no answer to {command} within {} s; is it a Home Assistant, and is the network between well?", within.as_secs())]
    Slow {
        /// Where.
        address: Address,
        /// To what.
        command: &'static str,
        /// How long was waited.
        within: Duration,
    },
}

fn remedy_of_status(status: u16) -> &'static str {
    match status {
        301 | 302 | 307 | 308 => "it redirects: give the address that a browser ends at",
        400 => "a proxy before it needs `trusted_proxies` in Home Assistant's configuration",
        403 => "Home Assistant may have banned this address: see its ip_bans.yaml",
        404 => "is it the address of Home Assistant?",
        500..=599 => "it may be starting",
        _ => "is it the address of Home Assistant, or a proxy that lets no websocket through?",
    }
}

fn remedy_of_code(code: &Code) -> &'static str {
    if code.is_unauthorized() {
        "; the token's user must be an administrator"
    } else {
        ""
    }
}
