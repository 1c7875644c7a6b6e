//! whisper.cpp's one file: shape, mel filters, vocabulary and tensors, in ggml's types of numbers.
//!
//! ```text
//! magic │ 11 numbers of the shape │ mel filters │ bytes of each text token │ tensors to the end of the file
//! ```
//!
//! Everything is little-endian, numbers are of 32 bits. A tensor is: number of dimensions, length of its name, type,
//! its sizes with the last dimension first, name, values. Tensors have OpenAI's names.

mod blocks;
mod error;

use std::ops::Range;

pub(super) use self::{blocks::Blocks, error::GgmlError};

use super::{cursor::Cursor, stored::Number};

/// How such a file begins: `ggml`, written as a number.
pub(super) const GGML_MAGIC: &[u8; 4] = &0x6767_6d6c_u32.to_le_bytes();

/// As for sizes in config.json: far above any Whisper.
const LARGEST_SIZE: usize = 1 << 24;
/// Bins of the spectrum behind Whisper's mel filters.
const SPECTRUM_BINS: usize = 201;

/// What a file holds.
#[derive(Debug)]
pub(super) struct Contents<'a> {
    /// The shape of the model.
    pub(super) shape: Shape,
    /// The bytes of each text token, by its number.
    pub(super) tokens: Vec<&'a [u8]>,
    /// In the order of the file.
    pub(super) tensors: Vec<TensorRange>,
}

/// The numbers at the head.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::struct_field_names, reason = "the names of the format")]
pub(super) struct Shape {
    pub(super) n_vocab: usize,
    pub(super) n_audio_ctx: usize,
    pub(super) n_audio_state: usize,
    pub(super) n_audio_head: usize,
    pub(super) n_audio_layer: usize,
    pub(super) n_text_ctx: usize,
    pub(super) n_text_state: usize,
    pub(super) n_text_head: usize,
    pub(super) n_text_layer: usize,
    pub(super) n_mels: usize,
}

/// A tensor as a range of the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TensorRange {
    /// As the file has it.
    pub(super) name: String,
    /// How its numbers are stored.
    pub(super) kind: Kind,
    /// Sizes, the last dimension last.
    pub(super) shape: Vec<usize>,
    /// Bytes of the file.
    pub(super) bytes: Range<usize>,
}

/// How the numbers of a tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Numbers(Number),
    Blocks(Blocks),
}

/// Reads the head and finds the tensors.
///
/// # Errors
/// [`GgmlError`], naming the part or the tensor.
pub(super) fn read(bytes: &[u8]) -> Result<Contents<'_>, GgmlError> {
    let mut cursor = Cursor::new(bytes);
    if cursor.array() != Some(*GGML_MAGIC) {
        return Err(GgmlError::Magic);
    }
    let shape = shape(&mut cursor)?;
    mel_filters(&mut cursor, shape)?;
    let tokens = tokens(&mut cursor, shape)?;
    let mut tensors = Vec::new();
    while !cursor.is_at_end() {
        tensors.push(tensor(&mut cursor)?);
    }
    Ok(Contents {
        shape,
        tokens,
        tensors,
    })
}

fn shape(cursor: &mut Cursor<'_>) -> Result<Shape, GgmlError> {
    let mut size = |name: &'static str| {
        let size = size(cursor).ok_or(GgmlError::Cut { part: "its shape" })?;
        if (1..=LARGEST_SIZE).contains(&size) {
            Ok(size)
        } else {
            Err(GgmlError::Size { name, found: size })
        }
    };
    let shape = Shape {
        n_vocab: size("n_vocab")?,
        n_audio_ctx: size("n_audio_ctx")?,
        n_audio_state: size("n_audio_state")?,
        n_audio_head: size("n_audio_head")?,
        n_audio_layer: size("n_audio_layer")?,
        n_text_ctx: size("n_text_ctx")?,
        n_text_state: size("n_text_state")?,
        n_text_head: size("n_text_head")?,
        n_text_layer: size("n_text_layer")?,
        n_mels: size("n_mels")?,
    };
    let file_type = cursor.u32().ok_or(GgmlError::Cut { part: "its shape" })?;
    check_version(file_type)?;
    Ok(shape)
}

/// The file's type has the version of the quantised types in its thousands, 0 where there are none.
fn check_version(file_type: u32) -> Result<(), GgmlError> {
    const PER_VERSION: u32 = 1000;
    /// Files of whole numbers and halves have the types 0 and 1.
    const LAST_PLAIN: u32 = 1;
    const VERSION: u32 = 2;
    let (version, kind) = (file_type / PER_VERSION, file_type % PER_VERSION);
    if kind > LAST_PLAIN && version != VERSION {
        return Err(GgmlError::OldBlocks { version });
    }
    Ok(())
}

/// The engine has filters of its own, equal to OpenAI's. The file's are only measured.
fn mel_filters(cursor: &mut Cursor<'_>, shape: Shape) -> Result<(), GgmlError> {
    let cut = GgmlError::Cut {
        part: "its mel filters",
    };
    let (Some(mels), Some(bins)) = (size(cursor), size(cursor)) else {
        return Err(cut);
    };
    if (mels, bins) != (shape.n_mels, SPECTRUM_BINS) {
        return Err(GgmlError::Filters {
            mels,
            bins,
            expected_mels: shape.n_mels,
        });
    }
    let length = mels.checked_mul(bins * size_of::<f32>());
    length
        .and_then(|length| cursor.take(length))
        .map(drop)
        .ok_or(cut)
}

fn tokens<'a>(cursor: &mut Cursor<'a>, shape: Shape) -> Result<Vec<&'a [u8]>, GgmlError> {
    let cut = || GgmlError::Cut {
        part: "its vocabulary",
    };
    let count = size(cursor).ok_or_else(cut)?;
    if count == 0 || count > shape.n_vocab {
        return Err(GgmlError::Tokens {
            found: count,
            n_vocab: shape.n_vocab,
        });
    }
    let mut tokens = Vec::new();
    for _ in 0..count {
        let length = size(cursor).ok_or_else(cut)?;
        tokens.push(cursor.take(length).ok_or_else(cut)?);
    }
    Ok(tokens)
}

fn tensor(cursor: &mut Cursor<'_>) -> Result<TensorRange, GgmlError> {
    let at = cursor.position();
    let (number, shape, name) = tensor_head(cursor).ok_or(GgmlError::TensorHead { at })?;
    let wrong = |what| GgmlError::Tensor {
        tensor: name.clone(),
        what,
    };
    let kind = Kind::numbered(number).ok_or_else(|| GgmlError::Type {
        tensor: name.clone(),
        number,
    })?;
    let length = kind
        .length(&shape)
        .ok_or_else(|| wrong("has rows that are not whole blocks"))?;
    let start = cursor.position();
    cursor.take(length).ok_or_else(|| wrong("is cut off"))?;
    Ok(TensorRange {
        name,
        kind,
        shape,
        bytes: start..cursor.position(),
    })
}

impl Kind {
    /// By ggml's number of the type; `None` for what whisper.cpp does not write.
    fn numbered(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Numbers(Number::F32)),
            1 => Some(Self::Numbers(Number::F16)),
            30 => Some(Self::Numbers(Number::Bf16)),
            _ => Blocks::numbered(number).map(Self::Blocks),
        }
    }

    /// Bytes of a tensor; `None` where its rows are not whole blocks, or where that is no number.
    fn length(self, shape: &[usize]) -> Option<usize> {
        let (numbers, bytes) = match self {
            Self::Numbers(number) => (1, number.size()),
            Self::Blocks(blocks) => blocks.size(),
        };
        let row = shape.last().copied().unwrap_or(1);
        let mut sizes = shape.iter();
        let count = sizes.try_fold(1_usize, |count, size| count.checked_mul(*size))?;
        let is_whole = row.is_multiple_of(numbers);
        is_whole
            .then(|| (count / numbers).checked_mul(bytes))
            .flatten()
    }
}

/// Type, sizes and name; `None` where it cannot be one.
fn tensor_head(cursor: &mut Cursor<'_>) -> Option<(u32, Vec<usize>, String)> {
    const MOST_DIMENSIONS: usize = 4;
    const LONGEST_NAME: usize = 512;
    let rank = size(cursor)?;
    let name_length = size(cursor)?;
    let kind = cursor.u32()?;
    if rank > MOST_DIMENSIONS || name_length > LONGEST_NAME {
        return None;
    }
    let mut shape = (0..rank)
        .map(|_| size(cursor))
        .collect::<Option<Vec<usize>>>()?;
    shape.reverse();
    let name = std::str::from_utf8(cursor.take(name_length)?).ok()?;
    Some((kind, shape, name.to_owned()))
}

/// Numbers are signed in the file; a negative one is no size.
fn size(cursor: &mut Cursor<'_>) -> Option<usize> {
    let size = cursor.u32()?;
    usize::try_from(size.cast_signed()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_not_whole_blocks_have_no_length() {
        let q8 = Kind::Blocks(Blocks::Q8_0);
        assert_eq!(q8.length(&[4, 64]), Some(8 * 34));
        assert_eq!(q8.length(&[4, 33]), None);
        assert_eq!(Kind::Blocks(Blocks::Q6K).length(&[4, 384]), None);
        assert_eq!(Kind::Numbers(Number::F32).length(&[usize::MAX, 2]), None);
        assert_eq!(Kind::Numbers(Number::F16).length(&[3, 5]), Some(30));
    }

    #[test]
    fn blocks_of_an_old_version_are_refused() {
        assert_eq!(check_version(1), Ok(()));
        assert_eq!(check_version(2007), Ok(()));
        assert_eq!(check_version(7), Err(GgmlError::OldBlocks { version: 0 }));
        assert_eq!(
            check_version(1002),
            Err(GgmlError::OldBlocks { version: 1 })
        );
    }
}
