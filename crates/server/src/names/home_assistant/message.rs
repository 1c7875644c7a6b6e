//! The messages of Home Assistant's websocket. Pure.
//!
//! Source: Home Assistant's developer documentation, "WebSocket API". A message is one JSON object with a `type`; the
//! answer to a command has the command's `id`.

use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};

/// What a message is, without its content.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Head {
    #[serde(default)]
    pub(super) id: Option<u64>,
    #[serde(rename = "type")]
    pub(super) kind: Kind,
}

/// The types that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    AuthRequired,
    AuthOk,
    AuthInvalid,
    Result,
    Event,
    #[serde(other)]
    Other,
}

/// A `result` message.
#[derive(Debug, Deserialize)]
pub(super) struct Reply<T> {
    success: bool,
    /// `null` where a command only says that it worked.
    #[serde(default = "nothing")]
    result: Option<T>,
    #[serde(default)]
    error: Option<Refusal>,
}

fn nothing<T>() -> Option<T> {
    None
}

#[derive(Debug, Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    code: Code,
}

impl<T: Default> Reply<T> {
    /// The content, or why there is none.
    pub(super) fn outcome(self) -> Result<T, Code> {
        if self.success {
            Ok(self.result.unwrap_or_default())
        } else {
            Err(self.error.unwrap_or_default().code)
        }
    }
}

/// Home Assistant's word for why it refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Value")]
pub struct Code(String);

/// A code is a word; more of it is of no use in a log.
const CODE_BYTES: usize = 40;

impl From<Value> for Code {
    fn from(value: Value) -> Self {
        let text = match value {
            Value::String(text) => text,
            // Old versions number their errors.
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let is_word = !text.is_empty()
            && text.len() <= CODE_BYTES
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if is_word { Self(text) } else { Self::default() }
    }
}

impl Default for Code {
    fn default() -> Self {
        Self("no reason given".to_owned())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Code {
    /// Whether the token's user may not do this.
    pub(super) fn is_unauthorized(&self) -> bool {
        self.0 == "unauthorized"
    }

    /// Whether this version of Home Assistant has no such command.
    pub(super) fn is_unknown_command(&self) -> bool {
        self.0 == "unknown_command"
    }
}

/// The text of a command.
pub(super) fn command(id: u64, kind: &str, mut arguments: Map<String, Value>) -> String {
    arguments.insert("id".to_owned(), id.into());
    arguments.insert("type".to_owned(), kind.into());
    Value::Object(arguments).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outcome(reply: Value) -> Result<Vec<u8>, String> {
        let reply: Reply<Vec<u8>> = serde_json::from_value(reply).unwrap();
        reply.outcome().map_err(|code| code.to_string())
    }

    #[test]
    fn a_reply_is_its_content_or_a_code() {
        assert_eq!(
            outcome(json!({"success": true, "result": [1]})),
            Ok(vec![1])
        );
        assert_eq!(
            outcome(json!({"success": true, "result": null})),
            Ok(vec![])
        );
        let error = json!({"code": "unauthorized", "message": "Unauthorized"});
        assert_eq!(
            outcome(json!({"success": false, "error": error})),
            Err("unauthorized".to_owned())
        );
        assert_eq!(
            outcome(json!({"success": false, "error": {"code": 3}})),
            Err("3".to_owned())
        );
        for odd in [
            json!(null),
            json!({}),
            json!({"code": "a\nb"}),
            json!({"code": "x".repeat(99)}),
        ] {
            assert_eq!(
                outcome(json!({"success": false, "error": odd})),
                Err("no reason given".to_owned())
            );
        }
    }

    #[test]
    fn a_type_that_is_new_is_no_error() {
        let head: Head = serde_json::from_str(r#"{"type":"zombie","id":4,"more":[{}]}"#).unwrap();
        assert_eq!((head.id, head.kind), (Some(4), Kind::Other));
        let head: Head = serde_json::from_str(r#"{"type":"auth_invalid","message":"no"}"#).unwrap();
        assert_eq!((head.id, head.kind), (None, Kind::AuthInvalid));
        assert!(serde_json::from_str::<Head>("[]").is_err());
    }

    #[test]
    fn a_command_has_its_number_and_its_type() {
        let mut arguments = Map::new();
        arguments.insert("event_type".to_owned(), "x".into());
        let text = command(7, "subscribe_events", arguments);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            value,
            json!({"id": 7, "type": "subscribe_events", "event_type": "x"})
        );
    }
}
