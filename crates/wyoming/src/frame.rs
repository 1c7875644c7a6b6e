//! Bytes to frames: where one event ends and the next begins, and how long each part may be.
//!
//! Source: the reader and writer in `wyoming/event.py` of the reference library.

mod error;
mod header;
mod write;

use bytes::{Buf, Bytes, BytesMut};
use serde_json::{Map, Value};
use tokio_util::codec::Decoder;

use crate::json;
use header::{AUDIO_CHUNK, Header, Inline};

pub use error::FrameError;

/// What a read buffer has at first, and again after each event that took more.
const BUFFER_BYTES: usize = 8 << 10;
/// The fields of a chunk of audio, all of them numbers. Nothing else of it is kept while its payload
/// arrives.
const AUDIO_FIELDS: [&str; 4] = ["rate", "width", "channels", "timestamp"];

/// The most that a peer may announce, checked before a byte of it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a header line before its newline. The reference's reader stops at 65,536 too.
    pub header_bytes: usize,
    /// Bytes of a data block of any event but `info`.
    pub data_bytes: usize,
    /// Bytes of the data block of an `info`.
    pub info_bytes: usize,
    /// Bytes of a payload of any event but `audio-chunk`. No event of speech-to-text has one: it is
    /// read and discarded. That of an `audio-chunk` may have any length, since it is not kept here.
    pub payload_bytes: usize,
    /// A longer payload of an `audio-chunk` comes in several frames, each with so many bytes at most.
    pub piece_bytes: usize,
}

impl Limits {
    /// For the end that reads no `info`.
    pub fn of_a_server() -> Self {
        let limits = Self::default();
        Self {
            info_bytes: limits.data_bytes,
            ..limits
        }
    }

    /// The most that a codec and its buffer hold of one stream: a header whose data block is awaited,
    /// as its line and its `type`, and a buffer for the longest part, which doubles as it grows.
    pub fn held_bytes(&self) -> usize {
        let block = self.data_bytes.max(self.info_bytes).max(self.piece_bytes);
        let longest = self.header_bytes.max(block);
        self.header_bytes.saturating_add(longest).saturating_mul(2)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 65_536,
            data_bytes: 128 << 10,
            info_bytes: 1 << 20,
            payload_bytes: 1 << 20,
            piece_bytes: 64 << 10,
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
    /// Of an `audio-chunk`, or of a part of it; empty in every other frame.
    pub payload: Bytes,
    /// The form that the writer of this frame is sure to read.
    pub form: Form,
}

/// Cuts a byte stream into [`Frame`]s and writes [`Event`](crate::Event)s.
///
/// Nothing is reserved on the peer's word: the buffer grows as bytes arrive, and an announced
/// length over its limit is refused when the header is read. What is held of an event that is not
/// complete is text, never a parsed value, which may take fifty times as much:
/// [`Limits::held_bytes`] bounds all of it.
///
/// An `audio-chunk` with a long payload becomes several frames, as if the peer had sent several
/// chunks, so that a whole recording may stand in one.
#[derive(Debug)]
pub struct FrameCodec {
    limits: Limits,
    state: State,
    /// The buffer has grown since it was last replaced.
    has_grown: bool,
}

#[derive(Debug)]
enum State {
    /// Bytes up to `searched` hold no newline.
    Header { searched: usize },
    /// The data block is awaited.
    Data(Header),
    /// A payload is awaited, of an event that was given already.
    Ignored { left: usize },
    /// A payload is awaited, `left` bytes of it.
    Audio { chunk: Chunk, left: u64 },
}

/// What all frames of one `audio-chunk` have.
#[derive(Clone, Debug)]
struct Chunk {
    data: Map<String, Value>,
    form: Form,
}

const START: State = State::Header { searched: 0 };

impl FrameCodec {
    /// A codec at the start of a stream.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: START,
            has_grown: false,
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
        let mut header = Header::parse(&line, &self.limits)?;
        if buffer.len() < header.data_bytes {
            header.put_by(&line);
        }
        Ok(Some(header))
    }

    fn check_header_length(&self, length: usize) -> Result<(), FrameError> {
        let limit = self.limits.header_bytes;
        if length > limit {
            return Err(FrameError::HeaderTooLong { limit });
        }
        Ok(())
    }

    /// Takes the data block, if it is there, and gives the frame, unless audio has yet to come.
    fn read_data(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let is_there =
            matches!(&self.state, State::Data(header) if buffer.len() >= header.data_bytes);
        if !is_there {
            return Ok(None);
        }
        let State::Data(header) = std::mem::replace(&mut self.state, START) else {
            return Ok(None);
        };
        let block = buffer.split_to(header.data_bytes);
        let data = merge(header.inline, &block)?;
        if header.kind == AUDIO_CHUNK && header.payload_bytes > 0 {
            self.state = State::Audio {
                chunk: Chunk::new(data, header.form),
                left: header.payload_bytes,
            };
            return Ok(None);
        }
        if header.payload_bytes > 0 {
            // It is within a limit that is a `usize`.
            let left = usize::try_from(header.payload_bytes).unwrap_or(usize::MAX);
            self.state = State::Ignored { left };
        }
        Ok(Some(Frame {
            kind: header.kind,
            data,
            payload: Bytes::new(),
            form: header.form,
        }))
    }

    /// Discards what there is of a payload that means nothing.
    fn ignore(&mut self, buffer: &mut BytesMut) {
        if let State::Ignored { left } = &mut self.state {
            let skipped = buffer.len().min(*left);
            buffer.advance(skipped);
            *left = left.saturating_sub(skipped);
            if *left == 0 {
                self.state = START;
            }
        }
    }

    /// The next part of a payload of audio, if it is there.
    fn read_audio(&mut self, buffer: &mut BytesMut) -> Option<Frame> {
        let State::Audio { chunk, left } = &mut self.state else {
            return None;
        };
        let piece = usize::try_from(*left).unwrap_or(usize::MAX);
        let piece = piece.min(self.limits.piece_bytes.max(1));
        if buffer.len() < piece {
            return None;
        }
        let frame = chunk.frame(buffer.split_to(piece).freeze());
        *left = left.saturating_sub(u64::try_from(piece).unwrap_or(u64::MAX));
        if *left == 0 {
            self.state = START;
        }
        Some(frame)
    }

    /// After an event that needed much memory, the buffer is as small again as it was.
    fn give_back(&mut self, buffer: &mut BytesMut) {
        if buffer.len() > BUFFER_BYTES {
            self.has_grown = true;
        } else if std::mem::take(&mut self.has_grown) {
            let mut small = BytesMut::with_capacity(BUFFER_BYTES);
            small.extend_from_slice(buffer);
            *buffer = small;
        }
    }
}

impl Chunk {
    fn new(mut data: Map<String, Value>, form: Form) -> Self {
        data.retain(|field, value| AUDIO_FIELDS.contains(&&**field) && value.is_number());
        Self { data, form }
    }

    fn frame(&self, payload: Bytes) -> Frame {
        Frame {
            kind: AUDIO_CHUNK.to_owned(),
            data: self.data.clone(),
            payload,
            form: self.form,
        }
    }
}

/// The data block's keys over the inline ones. Inline data that is no object counts as none, as
/// long as no block has to extend it.
fn merge(inline: Inline, block: &[u8]) -> Result<Map<String, Value>, FrameError> {
    let inline = inline.into_value()?;
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
        if buffer.len() > BUFFER_BYTES {
            self.has_grown = true;
        }
        self.ignore(buffer);
        if let Some(header) = self.read_header(buffer)? {
            self.state = State::Data(header);
        }
        let frame = match self.read_data(buffer)? {
            Some(frame) => Some(frame),
            None => self.read_audio(buffer),
        };
        if frame.is_none() {
            self.give_back(buffer);
        }
        Ok(frame)
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
            self.state = State::Data(Header::parse(&line, &self.limits)?);
        }
        match self.read_data(buffer)? {
            Some(frame) => Ok(Some(frame)),
            None => Err(FrameError::Truncated),
        }
    }
}

#[cfg(test)]
mod tests;
