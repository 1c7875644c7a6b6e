//! AU (Sun and NeXT): a head of six numbers, then samples.

use symphonia::core::codecs::audio::well_known as id;

use super::FileError;
use super::blocks::{Blocks, Layout, Number, pcm};
use super::source::{Source, u32_be};
use super::track::Container;

pub(super) fn open(mut source: Source) -> Result<Box<dyn Container>, FileError> {
    let head = source.peek(24)?;
    let number = |at| {
        u32_be(&head, at).ok_or(FileError::Head {
            container: "AU",
            fault: "it is cut off",
        })
    };
    let (start, claimed, encoding, rate_hz) = (number(4)?, number(8)?, number(12)?, number(16)?);
    let channels = u16::try_from(number(20)?).unwrap_or(u16::MAX);
    let start = u64::from(start.max(24));
    let rest = source.length().saturating_sub(start);
    let is_known = !matches!(claimed, 0 | u32::MAX);
    let bytes = if is_known {
        rest.min(u64::from(claimed))
    } else {
        rest
    };
    let is_cut = is_known && u64::from(claimed) > rest;
    let layout = layout(encoding, rate_hz, channels)?;
    Blocks::open(
        source,
        layout,
        std::iter::once(start..start + bytes).collect(),
        None,
        is_cut,
    )
}

fn layout(encoding: u32, rate_hz: u32, channels: u16) -> Result<Layout, FileError> {
    let plain = |codec, bytes| Layout::samples(codec, rate_hz, channels, bytes);
    let (number, bytes) = match encoding {
        1 => return Ok(plain(id::CODEC_ID_PCM_MULAW, 1)),
        27 => return Ok(plain(id::CODEC_ID_PCM_ALAW, 1)),
        2..=5 => (Number::Signed, encoding - 1),
        6 => (Number::Float, 4),
        7 => (Number::Float, 8),
        _ => (Number::Unsigned, 0),
    };
    pcm(number, bytes, true)
        .map(|codec| plain(codec, bytes))
        .ok_or(FileError::UnknownCodec {
            codec: "G.721 or another AU codec",
        })
}
