//! JSON as Python's `json` module reads and writes it, because the other end is Python.

use std::borrow::Cow;
use std::io;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

/// Reads one JSON value. Beyond the standard, as Python does: a UTF-8 byte order mark in front,
/// and the words `NaN`, `Infinity` and `-Infinity`, which become `null` here.
pub(crate) fn read(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    serde_json::from_slice(bytes).or_else(|error| match without_non_finite(bytes) {
        Cow::Owned(cleaned) => serde_json::from_slice(&cleaned),
        Cow::Borrowed(_) => Err(error),
    })
}

/// Replaces the words for non-finite numbers, outside of strings, by `null`. Borrowed when there
/// are none.
fn without_non_finite(bytes: &[u8]) -> Cow<'_, [u8]> {
    const WORDS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    let mut cleaned: Option<Vec<u8>> = None;
    let mut rest = bytes;
    let mut copied = 0_usize;
    let (mut in_string, mut escaped) = (false, false);
    while let Some((&byte, tail)) = rest.split_first() {
        let word = WORDS
            .iter()
            .find(|word| !in_string && rest.starts_with(word));
        if let Some(word) = word {
            let kept = bytes.len().saturating_sub(rest.len());
            let cleaned = cleaned.get_or_insert_with(Vec::new);
            cleaned.extend_from_slice(bytes.get(copied..kept).unwrap_or_default());
            cleaned.extend_from_slice(b"null");
            copied = kept.saturating_add(word.len());
            rest = rest.get(word.len()..).unwrap_or_default();
            continue;
        }
        (in_string, escaped) = match (in_string, escaped, byte) {
            (true, true, _) => (true, false),
            (true, false, b'\\') => (true, true),
            (_, false, b'"') => (!in_string, false),
            _ => (in_string, false),
        };
        rest = tail;
    }
    match cleaned {
        None => Cow::Borrowed(bytes),
        Some(mut cleaned) => {
            cleaned.extend_from_slice(bytes.get(copied..).unwrap_or_default());
            Cow::Owned(cleaned)
        }
    }
}

/// Writes a value on one line with Python's default separators, non-ASCII text as it is.
pub(crate) fn write(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = Vec::with_capacity(128);
    value.serialize(&mut Serializer::with_formatter(&mut bytes, PythonStyle))?;
    Ok(bytes)
}

/// `", "` between items and `": "` after keys.
struct PythonStyle;

impl Formatter for PythonStyle {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first {
            Ok(())
        } else {
            writer.write_all(b", ")
        }
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.begin_array_value(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn non_finite_words_are_read_as_null_but_not_inside_strings() {
        let text = br#"{"a": NaN, "b": [-Infinity, Infinity], "NaN": "NaN \" Infinity"}"#;
        let expected = json!({"a": null, "b": [null, null], "NaN": "NaN \" Infinity"});
        assert_eq!(read(text).unwrap(), expected);
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        assert_eq!(read(b"\xEF\xBB\xBF{}").unwrap(), json!({}));
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_crash() {
        assert!(read("[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn separators_are_those_of_python() {
        let written = write(&json!({"k": [1, "ü"], "l": {}})).unwrap();
        assert_eq!(
            String::from_utf8(written).unwrap(),
            r#"{"k": [1, "ü"], "l": {}}"#
        );
    }
}
