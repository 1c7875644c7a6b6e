//! A header line: what kind of event, in which form, and how much follows.

use serde_json::{Map, Value};

use super::{Form, FrameError, Limits};
use crate::json;
use crate::number::whole;

/// The one event with a payload that means something.
pub(super) const AUDIO_CHUNK: &str = "audio-chunk";
const INFO: &str = "info";

/// A header whose data block and payload are still to come.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) kind: String,
    pub(super) inline: Inline,
    pub(super) form: Form,
    pub(super) data_bytes: usize,
    pub(super) payload_bytes: u64,
}

/// The fields in the header.
#[derive(Debug)]
pub(super) enum Inline {
    /// Parsed. A short text may become fifty times as many bytes, so this is for at once only.
    Parsed(Value),
    /// The header line as it came, for as long as a data block is awaited.
    Line(Box<[u8]>),
}

impl Header {
    /// Parses a header line.
    pub(super) fn parse(line: &[u8], limits: &Limits) -> Result<Self, FrameError> {
        let mut header = parse_object(line)?;
        let kind = match header.remove("type") {
            None => return Err(FrameError::TypeMissing),
            Some(Value::String(kind)) => kind,
            Some(other) => other.to_string(),
        };
        let form = writers_form(&header);
        let data_bytes = length_field(&header, "data_length")?;
        let payload_bytes = length_field(&header, "payload_length")?;
        let data_limit = if kind == INFO {
            limits.info_bytes
        } else {
            limits.data_bytes
        };
        if kind != AUDIO_CHUNK {
            within(limits.payload_bytes, payload_bytes)
                .map_err(|(claimed, limit)| FrameError::PayloadTooLong { claimed, limit })?;
        }
        Ok(Self {
            kind,
            inline: Inline::Parsed(take_inline(header)),
            form,
            data_bytes: within(data_limit, data_bytes)
                .map_err(|(claimed, limit)| FrameError::DataTooLong { claimed, limit })?,
            payload_bytes,
        })
    }

    /// For the time until the data block is there: keeps the text of the inline fields only.
    pub(super) fn put_by(&mut self, line: &[u8]) {
        let is_empty =
            matches!(&self.inline, Inline::Parsed(Value::Object(fields)) if fields.is_empty());
        if !is_empty {
            self.inline = Inline::Line(line.into());
        }
    }
}

impl Inline {
    /// The fields, whether they are an object or not.
    pub(super) fn into_value(self) -> Result<Value, FrameError> {
        match self {
            Self::Parsed(value) => Ok(value),
            Self::Line(line) => parse_object(&line).map(take_inline),
        }
    }
}

fn parse_object(line: &[u8]) -> Result<Map<String, Value>, FrameError> {
    match json::read(line).map_err(|source| FrameError::HeaderSyntax { source })? {
        Value::Object(header) => Ok(header),
        _ => Err(FrameError::HeaderNotObject),
    }
}

fn take_inline(mut header: Map<String, Value>) -> Value {
    let inline = header.remove("data");
    inline.unwrap_or_else(|| Value::Object(Map::new()))
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
        Some(Value::Number(number)) => match (number.as_u64(), whole(number)) {
            (Some(length), _) => Ok(length),
            (None, Some(length)) => Ok(u64::try_from(length).unwrap_or(0)),
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
