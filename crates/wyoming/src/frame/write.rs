//! Events to bytes.

use bytes::{BufMut, BytesMut};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio_util::codec::Encoder;

use super::{Form, FrameCodec, FrameError};
use crate::{Event, PROTOCOL_VERSION, json};

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
        let header = json::write(&header).map_err(unwritable)?;
        let block = if form == Form::Block { &block } else { &[][..] };
        // As much as it is: growth would double it, for as long as the peer does not read.
        let parts = [&header, &b"\n"[..], block, payload];
        out.reserve(parts.iter().map(|part| part.len()).sum());
        for part in parts {
            out.put_slice(part);
        }
        Ok(())
    }
}
