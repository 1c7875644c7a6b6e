//! AIFF and AIFC: Apple's chunks, with numbers the other way round.

use symphonia::core::codecs::audio::well_known as id;

use super::FileError;
use super::blocks::{Blocks, Layout, Number, pcm};
use super::chunks::{Chunk, Chunks, Order};
use super::source::{Source, array, u16_be, u32_be, u64_be};
use super::track::Container;

/// Frames and bytes of a channel's block in Apple's IMA ADPCM.
const IMA_FRAMES: u32 = 64;
const IMA_BYTES: u32 = 34;

/// Whether a file begins as one of them; `head` has 12 bytes or more.
pub(super) fn is_aiff(head: &[u8]) -> bool {
    head.starts_with(b"FORM") && matches!(head.get(8..12), Some(b"AIFF" | b"AIFC"))
}

pub(super) fn open(source: Source) -> Result<Box<dyn Container>, FileError> {
    let fault = |fault| FileError::Head {
        container: "AIFF",
        fault,
    };
    let mut chunks = Chunks::new(source, Order::Big);
    let form = chunks.at(0)?.map_or(0, |form| form.size);
    let (mut common, mut samples, mut is_cut) = (None, Vec::new(), false);
    let mut at = Some(12);
    while let Some(here) = at {
        at = match chunks.at(here)? {
            Some(chunk) if chunk.name == *b"SSND" => {
                let body = chunks.body(&Chunk { size: 8, ..chunk }, 8)?;
                let offset = u64::from(u32_be(&body, 0).unwrap_or(0));
                let start = chunk.start + 8;
                // Small numbers only: programs that align samples align them to a disk's block.
                let offset = if offset < 1 << 16 { offset } else { 0 };
                let claimed = chunk.size.saturating_sub(8);
                let extent = chunks.extent(start, claimed, form.saturating_add(8))?;
                samples.push(extent.samples.start + offset..extent.samples.end);
                is_cut |= extent.is_cut;
                extent.next
            }
            Some(chunk) => {
                if chunk.name == *b"COMM" {
                    common = Some(chunks.body(
                        &Chunk {
                            size: chunk.size.max(18),
                            ..chunk
                        },
                        22,
                    )?);
                }
                match chunks.after(&chunk)? {
                    None if samples.is_empty() => {
                        chunks.search(chunk.start, &[*b"COMM", *b"SSND"])?
                    }
                    next => next,
                }
            }
            None if samples.is_empty() => chunks.search(here, &[*b"COMM", *b"SSND"])?,
            None => None,
        };
    }
    let common = common.ok_or_else(|| fault("its format is missing"))?;
    let layout = layout(&common).ok_or_else(|| fault("its format is cut off"))??;
    if samples.is_empty() {
        return Err(fault("its samples are missing"));
    }
    Blocks::open(chunks.source, layout, samples, None, is_cut)
}

/// Reads a "COMM" chunk; `None` if it is too short.
fn layout(common: &[u8]) -> Option<Result<Layout, FileError>> {
    let channels = u16_be(common, 0)?;
    let bytes = u32::from(u16_be(common, 6)?).div_ceil(8);
    let rate_hz = rate(array(common, 8)?);
    let plain = |codec, bytes| Layout::samples(codec, rate_hz, channels, bytes);
    let numbers = |number, bytes, is_big_endian| {
        pcm(number, bytes, is_big_endian)
            .map(|codec| plain(codec, bytes))
            .ok_or(FileError::UnknownCodec {
                codec: "PCM of such a width",
            })
    };
    let kind: [u8; 4] = array(common, 18).unwrap_or(*b"NONE");
    Some(match &kind {
        b"NONE" | b"twos" => numbers(Number::Signed, bytes, true),
        b"in24" => numbers(Number::Signed, 3, true),
        b"in32" => numbers(Number::Signed, 4, true),
        b"sowt" => numbers(Number::Signed, bytes, false),
        b"42ni" => numbers(Number::Signed, 3, false),
        b"23ni" => numbers(Number::Signed, 4, false),
        b"raw " => numbers(Number::Unsigned, bytes, true),
        b"fl32" | b"FL32" => numbers(Number::Float, 4, true),
        b"fl64" | b"FL64" => numbers(Number::Float, 8, true),
        b"alaw" | b"ALAW" => Ok(plain(id::CODEC_ID_PCM_ALAW, 1)),
        b"ulaw" | b"ULAW" => Ok(plain(id::CODEC_ID_PCM_MULAW, 1)),
        b"ima4" => Ok(Layout {
            block_frames: IMA_FRAMES,
            ..plain(id::CODEC_ID_ADPCM_IMA_QT, IMA_BYTES)
        }),
        b"GSM " | b"agsm" => Err(FileError::UnknownCodec { codec: "GSM 6.10" }),
        _ => Err(FileError::UnknownCodec {
            codec: "an unknown codec",
        }),
    })
}

/// A rate from AIFF's floating-point number of 80 bits: sign and exponent, then 64 bits with the leading 1.
fn rate(number: [u8; 10]) -> u32 {
    let exponent = u16_be(&number, 0).unwrap_or(0) & 0x7FFF;
    let mantissa = u64_be(&number, 2).unwrap_or(0);
    // 2^63 times the number at exponent 16,383.
    (16_383_u32 + 63)
        .checked_sub(u32::from(exponent))
        .and_then(|shift| mantissa.checked_shr(shift))
        .and_then(|rate| u32::try_from(rate).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_from_eighty_bits() {
        let cases: [([u8; 10], u32); 4] = [
            ([0x40, 0x0E, 0xAC, 0x44, 0, 0, 0, 0, 0, 0], 44_100),
            ([0x40, 0x0C, 0xFA, 0, 0, 0, 0, 0, 0, 0], 16_000),
            ([0; 10], 0),
            ([0xFF; 10], 0),
        ];
        for (number, expected) in cases {
            assert_eq!(rate(number), expected);
        }
    }
}
