//! OpenAI's own files of words: `multilingual.tiktoken`, `gpt2.tiktoken`. A line has the bytes of a word in base64, and
//! its number.

use std::{collections::BTreeMap, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

use super::{LoadError, tokenizer::with_stand_ins};

/// The words by number, with the stand-ins of their bytes.
///
/// # Errors
/// [`LoadError::Words`], naming the line.
pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<BTreeMap<u32, String>, LoadError> {
    let lines = bytes.split(|byte| *byte == b'\n').zip(1..);
    let lines = lines.filter(|(line, _)| !line.trim_ascii().is_empty());
    lines
        .map(|(line, number)| {
            let (word, rank) = read_line(line).ok_or_else(|| LoadError::Words {
                path: path.to_owned(),
                line: number,
            })?;
            Ok((rank, with_stand_ins(&word)))
        })
        .collect()
}

fn read_line(line: &[u8]) -> Option<(Vec<u8>, u32)> {
    let line = std::str::from_utf8(line).ok()?;
    let (word, rank) = line.trim_end().split_once(' ')?;
    // OpenAI's last word is empty, and written as padding alone.
    let word = STANDARD_NO_PAD.decode(word.trim_end_matches('='));
    Some((word.ok()?, rank.parse().ok()?))
}
