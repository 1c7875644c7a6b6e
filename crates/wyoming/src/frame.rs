//! Bytes to frames: where one event ends and the next begins, and how long each part may be.
//!
//! Source: the reader and writer in `wyoming/event.py` of the reference library.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio_util::codec::{Decoder, Encoder};

use crate::{Code, Event, PROTOCOL_VERSION, json};

/// The most that a peer may announce, checked before a byte of it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a header line before its newline. The reference's reader stops at 65,536 too.
    pub header_bytes: usize,
    /// Bytes of a data block.
    pub data_bytes: usize,
    /// Bytes of a payload. A tenth of a second of 16 kHz 16-bit mono PCM has 3,200.
    pub payload_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 65_536,
            data_bytes: 1 << 20,
            payload_bytes: 1 << 20,
        }
    }
}

/// Where an event's fields stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Inside the header under `data`: the only form that release 1.0.0 of the library reads.
    Inline,
    /// In a data block behind the header: what every later release writes.
    #[default]
    Block,
}

/// One event as it stood on the wire: parts told apart, fields merged, not yet understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// The header's `type`. A `type` that is no string is kept as its JSON text: it matches no event.
    pub kind: String,
    /// Inline fields overlaid by those of the data block.
    pub data: Map<String, Value>,
    /// Empty when there is none.
    pub payload: Bytes,
    /// The form that the writer of this frame is sure to read.
    pub form: Form,
}

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
    /// What to tell the peer; `None` when there is nobody left to tell.
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

/// Cuts a byte stream into [`Frame`]s and writes [`Event`]s.
///
/// Nothing is reserved on the peer's word: the buffer grows as bytes arrive, and an announced
/// length over its limit is refused when the header is read.
#[derive(Debug)]
pub struct FrameCodec {
    limits: Limits,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Bytes up to `searched` hold no newline.
    Header {
        searched: usize,
    },
    Body(Header),
}

/// A header whose data block and payload are still to come.
#[derive(Debug)]
struct Header {
    kind: String,
    inline: Value,
    form: Form,
    data_bytes: usize,
    payload_bytes: usize,
}

impl FrameCodec {
    /// A codec at the start of a stream.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Header { searched: 0 },
        }
    }

    fn read_header(&mut self, buffer: &mut BytesMut) -> Result<Option<Header>, FrameError> {
        let State::Header { searched } = &mut self.state else {
            return Ok(None);
        };
        let fresh = buffer.get(*searched..).unwrap_or_default();
        let Some(offset) = fresh.iter().position(|&byte| byte == b'\n') else {
            *searched = buffer.len();
            return self.check_header_length(buffer.len()).map(|()| None);
        };
        let length = searched.saturating_add(offset);
        self.check_header_length(length)?;
        let line = buffer.split_to(length);
        buffer.advance(1);
        self.parse_header(&line).map(Some)
    }

    fn check_header_length(&self, length: usize) -> Result<(), FrameError> {
        let limit = self.limits.header_bytes;
        if length > limit {
            return Err(FrameError::HeaderTooLong { limit });
        }
        Ok(())
    }

    fn parse_header(&self, line: &[u8]) -> Result<Header, FrameError> {
        let header = json::read(line).map_err(|source| FrameError::HeaderSyntax { source })?;
        let Value::Object(mut header) = header else {
            return Err(FrameError::HeaderNotObject);
        };
        let kind = match header.remove("type") {
            None => return Err(FrameError::TypeMissing),
            Some(Value::String(kind)) => kind,
            Some(other) => other.to_string(),
        };
        let form = writers_form(&header);
        let data_bytes = length_field(&header, "data_length")?;
        let payload_bytes = length_field(&header, "payload_length")?;
        Ok(Header {
            kind,
            inline: header
                .remove("data")
                .unwrap_or_else(|| Value::Object(Map::new())),
            form,
            data_bytes: within(self.limits.data_bytes, data_bytes)
                .map_err(|(claimed, limit)| FrameError::DataTooLong { claimed, limit })?,
            payload_bytes: within(self.limits.payload_bytes, payload_bytes)
                .map_err(|(claimed, limit)| FrameError::PayloadTooLong { claimed, limit })?,
        })
    }

    fn read_body(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let State::Body(header) = &mut self.state else {
            return Ok(None);
        };
        if buffer.len() < header.data_bytes.saturating_add(header.payload_bytes) {
            return Ok(None);
        }
        let block = buffer.split_to(header.data_bytes);
        let payload = buffer.split_to(header.payload_bytes).freeze();
        let frame = Frame {
            kind: std::mem::take(&mut header.kind),
            data: merge(std::mem::take(&mut header.inline), &block)?,
            payload,
            form: header.form,
        };
        self.state = State::Header { searched: 0 };
        Ok(Some(frame))
    }
}

/// Release 1.0.0 writes `data` in every header, and neither a version nor a data length; it is the
/// only writer that cannot read the block form.
fn writers_form(header: &Map<String, Value>) -> Form {
    let inline_only = header.get("data").is_some_and(Value::is_object)
        && !header.contains_key("version")
        && !header.contains_key("data_length");
    if inline_only {
        Form::Inline
    } else {
        Form::Block
    }
}

/// A missing, null, zero or negative length means that the part is absent.
fn length_field(header: &Map<String, Value>, field: &'static str) -> Result<u64, FrameError> {
    match header.get(field) {
        None | Some(Value::Null) => Ok(0),
        Some(Value::Number(number)) => match (number.as_u64(), number.as_i64()) {
            (Some(length), _) => Ok(length),
            (None, Some(_negative)) => Ok(0),
            (None, None) => Err(FrameError::LengthNotInteger { field }),
        },
        Some(_) => Err(FrameError::LengthNotInteger { field }),
    }
}

fn within(limit: usize, claimed: u64) -> Result<usize, (u64, usize)> {
    usize::try_from(claimed)
        .ok()
        .filter(|&length| length <= limit)
        .ok_or((claimed, limit))
}

/// The data block's keys over the inline ones. Inline data that is no object counts as none, as
/// long as no block has to extend it.
fn merge(inline: Value, block: &[u8]) -> Result<Map<String, Value>, FrameError> {
    if block.is_empty() {
        return Ok(match inline {
            Value::Object(fields) => fields,
            _ => Map::new(),
        });
    }
    let block = json::read(block).map_err(|source| FrameError::DataSyntax { source })?;
    match (inline, block) {
        (Value::Object(mut fields), Value::Object(block)) => {
            fields.extend(block);
            Ok(fields)
        }
        _ => Err(FrameError::DataNotObject),
    }
}

impl Decoder for FrameCodec {
    type Item = Frame;
    type Error = FrameError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        if let Some(header) = self.read_header(buffer)? {
            self.state = State::Body(header);
        }
        self.read_body(buffer)
    }

    /// As the reference: a last header may lack its newline; a missing data block or payload is an
    /// error.
    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        if let Some(frame) = self.decode(buffer)? {
            return Ok(Some(frame));
        }
        if let State::Header { .. } = self.state {
            if buffer.is_empty() {
                return Ok(None);
            }
            let line = buffer.split();
            self.state = State::Body(self.parse_header(&line)?);
        }
        match self.read_body(buffer)? {
            Some(frame) => Ok(Some(frame)),
            None => Err(FrameError::Truncated),
        }
    }
}

/// A header as the reference's writer orders its keys.
#[derive(Serialize)]
struct WrittenHeader<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_length: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_length: Option<usize>,
}

impl Encoder<(Event, Form)> for FrameCodec {
    type Error = FrameError;

    fn encode(
        &mut self,
        (event, form): (Event, Form),
        out: &mut BytesMut,
    ) -> Result<(), FrameError> {
        let unwritable = |source| FrameError::Unwritable { source };
        let payload = event.payload();
        let payload_length = (!payload.is_empty()).then_some(payload.len());
        let block = event.write_fields().map_err(unwritable)?;
        let inline: Value;
        let header = match form {
            Form::Inline => {
                inline = if block.is_empty() {
                    Value::Object(Map::new())
                } else {
                    json::read(&block).map_err(unwritable)?
                };
                WrittenHeader {
                    kind: event.kind(),
                    data: Some(&inline),
                    version: None,
                    data_length: None,
                    payload_length,
                }
            }
            Form::Block => WrittenHeader {
                kind: event.kind(),
                data: None,
                version: Some(PROTOCOL_VERSION),
                data_length: (!block.is_empty()).then_some(block.len()),
                payload_length,
            },
        };
        out.put_slice(&json::write(&header).map_err(unwritable)?);
        out.put_u8(b'\n');
        if form == Form::Block {
            out.put_slice(&block);
        }
        out.put_slice(payload);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
