//! The pod template that users merge over ours.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Metadata and spec of a pod, kept as they were written: the API server looks at none of it, so a mistake
/// is found by [`PodTemplate::parse`] and becomes a condition.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(transparent)]
pub struct PodTemplate(Map<String, Value>);

impl PodTemplate {
    /// As the type that Kubernetes uses.
    ///
    /// # Errors
    /// When a field has the wrong type, or a name that a pod template does not have.
    pub fn parse(&self) -> Result<PodTemplateSpec, PodTemplateError> {
        let given = Value::Object(self.0.clone());
        let parsed: PodTemplateSpec = serde_json::from_value(given.clone())
            .map_err(|source| PodTemplateError::Type { source })?;
        let understood =
            serde_json::to_value(&parsed).map_err(|source| PodTemplateError::Type { source })?;
        match lost(&given, &understood, "podTemplate") {
            Some(field) => Err(PodTemplateError::Unknown { field }),
            None => Ok(parsed),
        }
    }
}

/// Why a pod template is not understood.
#[derive(Debug, thiserror::Error)]
pub enum PodTemplateError {
    /// A field has the wrong type.
    #[error("podTemplate is not understood: {source}")]
    Type {
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A field that Kubernetes does not have.
    #[error("{field} is no field of a pod template")]
    Unknown {
        /// Its path.
        field: String,
    },
}

/// The first field of `given` that did not survive parsing: a misspelt one.
fn lost(given: &Value, understood: &Value, path: &str) -> Option<String> {
    match (given, understood) {
        (Value::Object(given), Value::Object(understood)) => {
            given.iter().find_map(|(name, value)| {
                let path = format!("{path}.{name}");
                match understood.get(name) {
                    Some(kept) => lost(value, kept, &path),
                    // Nothing is lost with a field that says nothing.
                    None if value.is_null() || is_empty(value) => None,
                    None => Some(path),
                }
            })
        }
        (Value::Array(given), Value::Array(understood)) => given
            .iter()
            .zip(understood)
            .enumerate()
            .find_map(|(index, (value, kept))| lost(value, kept, &format!("{path}[{index}]"))),
        _ => None,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}
