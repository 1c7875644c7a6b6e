//! Every error code that this project puts into an `error` event.

/// Machine-readable reason of an `error` event. The protocol leaves codes free-form; these are
/// ours, and they stay stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// The header is not one JSON object in one line, or its `type` or lengths make no sense.
    BadHeader,
    /// The header line is longer than the limit.
    HeaderTooLong,
    /// The data block is longer than the limit.
    DataTooLong,
    /// The payload is longer than the limit.
    PayloadTooLong,
    /// The data block is not a JSON object.
    BadData,
    /// The connection ended in the middle of an event.
    Truncated,
    /// A field that the event needs is missing or has the wrong type.
    BadEvent,
    /// An event came where the protocol does not allow it.
    ProtocolOrder,
    /// More names and terms in a request than the server accepts.
    TooManyNames,
    /// PCM of this rate, width or number of channels cannot be converted.
    BadAudioFormat,
    /// The utterance is longer than the server accepts.
    UtteranceTooLong,
    /// The queue is full.
    Overloaded,
    /// More connections than the server accepts.
    TooManyConnections,
    /// The model could not be loaded.
    NotReady,
    /// The server is shutting down.
    Draining,
    /// The answer was not ready in time.
    Deadline,
    /// Nothing came for too long.
    IdleTimeout,
    /// The model cannot transcribe this language, or the server is not allowed to.
    UnsupportedLanguage,
    /// No program of this name is served here.
    UnknownProgram,
    /// Something failed that the client has no part in.
    Internal,
}

impl Code {
    /// Every code, for metrics and documentation.
    pub const ALL: [Self; 20] = [
        Self::BadHeader,
        Self::HeaderTooLong,
        Self::DataTooLong,
        Self::PayloadTooLong,
        Self::BadData,
        Self::Truncated,
        Self::BadEvent,
        Self::ProtocolOrder,
        Self::TooManyNames,
        Self::BadAudioFormat,
        Self::UtteranceTooLong,
        Self::Overloaded,
        Self::TooManyConnections,
        Self::NotReady,
        Self::Draining,
        Self::Deadline,
        Self::IdleTimeout,
        Self::UnsupportedLanguage,
        Self::UnknownProgram,
        Self::Internal,
    ];

    /// The text on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadHeader => "bad-header",
            Self::HeaderTooLong => "header-too-long",
            Self::DataTooLong => "data-too-long",
            Self::PayloadTooLong => "payload-too-long",
            Self::BadData => "bad-data",
            Self::Truncated => "truncated",
            Self::BadEvent => "bad-event",
            Self::ProtocolOrder => "protocol-order",
            Self::TooManyNames => "too-many-names",
            Self::BadAudioFormat => "bad-audio-format",
            Self::UtteranceTooLong => "utterance-too-long",
            Self::Overloaded => "overloaded",
            Self::TooManyConnections => "too-many-connections",
            Self::NotReady => "not-ready",
            Self::Draining => "draining",
            Self::Deadline => "deadline",
            Self::IdleTimeout => "idle-timeout",
            Self::UnsupportedLanguage => "unsupported-language",
            Self::UnknownProgram => "unknown-program",
            Self::Internal => "internal",
        }
    }

    /// What helps, in a sentence, for documentation.
    pub fn advice(self) -> &'static str {
        match self {
            Self::BadHeader => {
                "Send one JSON object in one line, with a `type`; HTTP clients belong on the HTTP port."
            }
            Self::HeaderTooLong => "Send large fields in the data block (`data_length`).",
            Self::DataTooLong => "Send fewer names, or a shorter text.",
            Self::PayloadTooLong => "Send audio in chunks; the sentence names the limit.",
            Self::BadData => "Send a JSON object of `data_length` bytes.",
            Self::Truncated => "Send each event whole before closing.",
            Self::BadEvent => "The sentence names the field and what it must be.",
            Self::ProtocolOrder => "Send events in the order of the protocol.",
            Self::TooManyNames => {
                "Send the names that matter, or give them to the server with `--names`."
            }
            Self::BadAudioFormat => {
                "Send PCM; the sentence names the rates, widths and channels that can be converted."
            }
            Self::UtteranceTooLong => "End utterances sooner, or raise `--max-utterance`.",
            Self::Overloaded => {
                "Try again in some seconds; more replicas, or a larger `--max-waiting`, take more."
            }
            Self::TooManyConnections => {
                "Close connections that are done, or raise `--max-connections`."
            }
            Self::NotReady => "The server's log says why the model could not be loaded.",
            Self::Draining => "Connect again: another replica, or the next start, answers.",
            Self::Deadline => {
                "The server is too slow for its load: more replicas, a smaller model, or a longer `--request-deadline`."
            }
            Self::IdleTimeout => "Close connections that are done, or raise `--idle-timeout`.",
            Self::UnsupportedLanguage => {
                "Ask for a language that the description lists, or for none; `--allowed-languages` restricts them."
            }
            Self::UnknownProgram => "Select the program that the description names.",
            Self::Internal => "The server's log has the cause; please report it.",
        }
    }
}
