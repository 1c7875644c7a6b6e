//! What may go wrong for a client, and what the client is told. The log has the whole chain. Text of
//! the client's own is cut ([`Excerpt`]) where it becomes part of a fault.

use std::time::Duration;

use wyoming::{Code, Event, Excerpt};

/// One way to fail, with what the client needs to know about it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The bytes are no event, or the event lacks a field.
    #[error("{reason}; see the Wyoming protocol")]
    BadInput {
        /// Which rule.
        code: Code,
        /// What was wrong.
        reason: Excerpt,
    },
    /// An event at the wrong time.
    #[error("{reason}")]
    Order {
        /// What was wrong.
        reason: &'static str,
    },
    /// PCM that cannot be converted.
    #[error("{reason}; send 16 kHz, 16-bit, mono PCM, for instance")]
    AudioFormat {
        /// What was wrong.
        reason: Excerpt,
    },
    /// Too much audio in one utterance.
    #[error("the utterance is longer than {} s; send audio-stop earlier, or raise --max-utterance", limit.as_secs())]
    TooLong {
        /// The limit in force.
        limit: Duration,
    },
    /// The queue is full.
    #[error("the server is busy: {waiting} utterances wait; try again in a few seconds")]
    Overloaded {
        /// How many wait.
        waiting: usize,
    },
    /// Too much audio arrives at once.
    #[error(
        "the server is busy: its clients are sending {limit_s} s of audio; try again in a few seconds"
    )]
    TooMuchAudio {
        /// The limit in force, for all clients together.
        limit_s: usize,
    },
    /// Too many connections.
    #[error(
        "the server has {limit} connections and takes no more; close idle ones, or raise --max-connections"
    )]
    TooManyConnections {
        /// The limit in force.
        limit: usize,
    },
    /// The model could not be loaded.
    #[error("the model could not be loaded; the server's log says why")]
    NotReady,
    /// The server is going down.
    #[error("the server is shutting down; connect again")]
    Draining,
    /// No result in time.
    #[error("no result within {} s; the server is too slow for its load", limit.as_secs())]
    Deadline {
        /// The limit in force.
        limit: Duration,
    },
    /// Nothing came from the client.
    #[error("nothing was received for {} s; connect again when there is something to send", limit.as_secs())]
    Idle {
        /// The limit in force.
        limit: Duration,
    },
    /// More names and terms than a request may have.
    #[error(
        "the request has {names} names and terms of {bytes} bytes; send at most {most} of {most_bytes} bytes"
    )]
    TooManyNames {
        /// Names and terms.
        names: usize,
        /// Their length together.
        bytes: usize,
        /// How many may be sent.
        most: usize,
        /// How long they may be together.
        most_bytes: usize,
    },
    /// A language that cannot be answered.
    #[error("language \"{language}\" is not available here; available: {}", available.join(", "))]
    UnsupportedLanguage {
        /// What was asked for.
        language: Excerpt,
        /// What can be.
        available: Vec<String>,
    },
    /// A program that is not served.
    #[error("there is no program \"{name}\" here, only \"{available}\"")]
    UnknownProgram {
        /// What was asked for.
        name: Excerpt,
        /// What is served.
        available: &'static str,
    },
    /// The client went away, or the job was dropped.
    #[error("cancelled")]
    Cancelled,
    /// Our own failure.
    #[error("the server failed on this utterance; its log says why")]
    Internal,
}

impl Fault {
    /// The code on the wire and in metrics.
    pub fn code(&self) -> Code {
        match self {
            Self::BadInput { code, .. } => *code,
            Self::Order { .. } => Code::ProtocolOrder,
            Self::AudioFormat { .. } => Code::BadAudioFormat,
            Self::TooLong { .. } => Code::UtteranceTooLong,
            Self::Overloaded { .. } | Self::TooMuchAudio { .. } => Code::Overloaded,
            Self::TooManyConnections { .. } => Code::TooManyConnections,
            Self::NotReady => Code::NotReady,
            Self::Draining => Code::Draining,
            Self::Deadline { .. } => Code::Deadline,
            Self::Idle { .. } => Code::IdleTimeout,
            Self::TooManyNames { .. } => Code::TooManyNames,
            Self::UnsupportedLanguage { .. } => Code::UnsupportedLanguage,
            Self::UnknownProgram { .. } => Code::UnknownProgram,
            Self::Cancelled | Self::Internal => Code::Internal,
        }
    }

    /// The event that tells the client.
    pub fn to_event(&self) -> Event {
        Event::error(self.code(), self.to_string())
    }
}
