//! JSON as people have it: with a byte-order mark where an editor was at it, and with Python's `NaN` and `Infinity`.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::LoadError;

/// Parses a file's bytes; `path` is for messages. Python's constants are null.
pub(super) fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, LoadError> {
    let bytes = without_mark(bytes);
    let error = match serde_json::from_slice(bytes) {
        Ok(parsed) => return Ok(parsed),
        Err(error) => error,
    };
    // The first error has the lines and columns of the file.
    serde_json::from_slice(&with_nulls(bytes)).map_err(|_| LoadError::Json {
        path: path.to_owned(),
        source: error,
    })
}

/// What stands behind a byte-order mark.
pub(super) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)
}

/// With null for each of Python's constants outside of texts.
fn with_nulls(bytes: &[u8]) -> Vec<u8> {
    const CONSTANTS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    let mut nulled = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    let mut in_text = false;
    while let [first, behind @ ..] = rest {
        let of_rest = |constant: &&&[u8]| rest.starts_with(constant);
        if let (false, Some(constant)) = (in_text, CONSTANTS.iter().find(of_rest)) {
            nulled.extend_from_slice(b"null");
            rest = rest.get(constant.len()..).unwrap_or_default();
            continue;
        }
        nulled.push(*first);
        rest = behind;
        match (in_text, first, behind) {
            (true, b'\\', [escaped, behind @ ..]) => {
                nulled.push(*escaped);
                rest = behind;
            }
            (_, b'"', _) => in_text = !in_text,
            _ => {}
        }
    }
    nulled
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "literals read better")]
    fn check(text: &str, expected: Option<Value>) {
        let parsed = parse::<Value>(Path::new("x.json"), text.as_bytes());
        assert_eq!(parsed.ok(), expected, "{text}");
    }

    #[test]
    fn json_of_python_is_read() {
        check("\u{FEFF}{\"a\": 1}", Some(json!({"a": 1})));
        check(
            r#"{"a": -Infinity, "b": [NaN, Infinity], "c": "NaN", "d\"NaN": 1}"#,
            Some(json!({"a": null, "b": [null, null], "c": "NaN", "d\"NaN": 1})),
        );
    }

    #[test]
    fn other_faults_stay_faults() {
        for wrong in ["", "{", "{'a': 1}", "[NaNa]", "\"NaN"] {
            check(wrong, None);
        }
    }
}
