//! Elements: a name of one to four bytes, a size of one to eight, a body.

/// Names, with their length marks.
pub(super) mod id {
    pub(in super::super) const SEGMENT: u32 = 0x1853_8067;
    pub(in super::super) const CLUSTER: u32 = 0x1F43_B675;
    pub(in super::super) const TRACKS: u32 = 0x1654_AE6B;
    pub(in super::super) const TRACK_ENTRY: u32 = 0xAE;
    pub(in super::super) const TRACK_NUMBER: u32 = 0xD7;
    pub(in super::super) const TRACK_TYPE: u32 = 0x83;
    pub(in super::super) const CODEC_ID: u32 = 0x86;
    pub(in super::super) const CODEC_PRIVATE: u32 = 0x63A2;
    pub(in super::super) const CODEC_DELAY: u32 = 0x56AA;
    pub(in super::super) const AUDIO: u32 = 0xE1;
    pub(in super::super) const SAMPLING_FREQUENCY: u32 = 0xB5;
    pub(in super::super) const CHANNELS: u32 = 0x9F;
    pub(in super::super) const BIT_DEPTH: u32 = 0x6264;
    pub(in super::super) const CONTENT_ENCODINGS: u32 = 0x6D80;
    pub(in super::super) const CONTENT_ENCODING: u32 = 0x6240;
    pub(in super::super) const CONTENT_COMPRESSION: u32 = 0x5034;
    pub(in super::super) const COMPRESSION_ALGORITHM: u32 = 0x4254;
    pub(in super::super) const COMPRESSION_SETTINGS: u32 = 0x4255;
    pub(in super::super) const SIMPLE_BLOCK: u32 = 0xA3;
    pub(in super::super) const BLOCK_GROUP: u32 = 0xA0;
    pub(in super::super) const BLOCK: u32 = 0xA1;
    pub(in super::super) const DISCARD_PADDING: u32 = 0x75A2;
}

/// An element's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) id: u32,
    /// `None`: unknown, which ends where the parent's next child begins.
    pub(super) size: Option<u64>,
    pub(super) head_bytes: u64,
}

impl Element {
    /// Reads a head; `None` if it is none.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let id_bytes = length(bytes, 4)?;
        let id = bytes.get(..id_bytes)?;
        let rest = bytes.get(id_bytes..)?;
        let (size, size_bytes) = varint(rest)?;
        let is_unknown = size == (1 << (7 * size_bytes)) - 1;
        Some(Self {
            id: id.iter().fold(0, |id, &byte| (id << 8) | u32::from(byte)),
            size: (!is_unknown).then_some(size),
            head_bytes: (id_bytes + size_bytes) as u64,
        })
    }
}

/// The length that the first byte says: one more than its zeros on the left.
fn length(bytes: &[u8], most: usize) -> Option<usize> {
    let length = bytes.first()?.leading_zeros() as usize + 1;
    (length <= most).then_some(length)
}

/// A number whose first byte says its length, without that mark; and the length.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let count = length(bytes, 8)?;
    let number = bytes
        .get(..count)?
        .iter()
        .fold(0, |number, &byte| (number << 8) | u64::from(byte));
    Some((number & ((1 << (7 * count)) - 1), count))
}

/// The elements of a body, up to the first that does not fit.
pub(super) fn children(body: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let element = Element::read(rest)?;
        let start = usize::try_from(element.head_bytes).ok()?;
        let end = start.checked_add(usize::try_from(element.size?).ok()?)?;
        let inner = rest.get(start..end)?;
        rest = rest.get(end..)?;
        Some((element.id, inner))
    })
}

/// An unsigned number of up to eight bytes.
pub(super) fn number(body: &[u8]) -> u64 {
    body.iter()
        .take(8)
        .fold(0, |number, &byte| (number << 8) | u64::from(byte))
}
