//! Why bytes are no frame.

use std::io;

use crate::Code;

/// Why bytes are no frame. After any of these the stream cannot be followed any further.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The transport failed.
    #[error("connection failed")]
    Io(
        /// What the system said.
        #[from]
        io::Error,
    ),
    /// No newline within the limit.
    #[error("header line is longer than {limit} bytes")]
    HeaderTooLong {
        /// The limit in force.
        limit: usize,
    },
    /// The header line is not JSON; perhaps the peer does not speak Wyoming.
    #[error("header line is not JSON")]
    HeaderSyntax {
        /// What the parser found.
        source: serde_json::Error,
    },
    /// The header is JSON but no object.
    #[error("header is not a JSON object")]
    HeaderNotObject,
    /// The header has no `type`.
    #[error("header has no \"type\"")]
    TypeMissing,
    /// A length is neither an integer nor null.
    #[error("\"{field}\" in the header is not an integer")]
    LengthNotInteger {
        /// `data_length` or `payload_length`.
        field: &'static str,
    },
    /// The data block would be longer than the limit.
    #[error("data block of {claimed} bytes is over the limit of {limit}")]
    DataTooLong {
        /// Announced length in bytes.
        claimed: u64,
        /// The limit in force.
        limit: usize,
    },
    /// The payload would be longer than the limit.
    #[error("payload of {claimed} bytes is over the limit of {limit}")]
    PayloadTooLong {
        /// Announced length in bytes.
        claimed: u64,
        /// The limit in force.
        limit: usize,
    },
    /// The data block is not JSON.
    #[error("data block is not JSON")]
    DataSyntax {
        /// What the parser found.
        source: serde_json::Error,
    },
    /// The data block, or the inline data that it should extend, is no JSON object.
    #[error("data is not a JSON object")]
    DataNotObject,
    /// The stream ended inside an event.
    #[error("connection ended in the middle of an event")]
    Truncated,
    /// An outgoing event has fields that cannot be written as JSON.
    #[error("event cannot be written as JSON")]
    Unwritable {
        /// What the writer refused.
        source: serde_json::Error,
    },
}

impl FrameError {
    /// What to tell the peer; `None` when the peer is gone.
    pub fn code(&self) -> Option<Code> {
        Some(match self {
            Self::Io(_) => return None,
            Self::HeaderTooLong { .. } => Code::HeaderTooLong,
            Self::HeaderSyntax { .. }
            | Self::HeaderNotObject
            | Self::TypeMissing
            | Self::LengthNotInteger { .. } => Code::BadHeader,
            Self::DataTooLong { .. } => Code::DataTooLong,
            Self::PayloadTooLong { .. } => Code::PayloadTooLong,
            Self::DataSyntax { .. } | Self::DataNotObject => Code::BadData,
            Self::Truncated => Code::Truncated,
            Self::Unwritable { .. } => Code::Internal,
        })
    }
}
