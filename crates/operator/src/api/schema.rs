//! Pieces of schema that derive cannot say.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::Value;

/// An object whose fields the API server keeps without looking at them.
pub(super) fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "nullable": true,
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

/// Amounts by resource name, as a number or as text such as `500m` or `2Gi`.
pub(super) fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$",
            "x-kubernetes-int-or-string": true,
        },
    })
}

/// A number of pods, or a percentage of them.
pub(super) fn int_or_percent(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "pattern": "^([0-9]+|[0-9]{1,3}%)$",
        "x-kubernetes-int-or-string": true,
    })
}

/// Fields that have types of Kubernetes' own.
const FOREIGN: [&str; 6] = [
    "conditions",
    "imagePullSecrets",
    "namespaceSelector",
    "podSelector",
    "tolerations",
    "topologySpreadConstraints",
];

/// Descriptions are one paragraph each, and those of Kubernetes' own types keep their first sentence: with
/// client-side apply the whole definition must fit into an annotation of 256 kB.
pub(super) fn shorten_descriptions(value: &mut Value) {
    shorten(value, false);
}

fn shorten(value: &mut Value, is_foreign: bool) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                match field {
                    Value::String(text) if name == "description" => {
                        *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
                        let end = text.find(". ").filter(|_| is_foreign && text.len() > 200);
                        if let Some(end) = end {
                            text.truncate(end + 1);
                        }
                    }
                    // The field's own description is ours; what is below it is not.
                    Value::Object(below) if FOREIGN.contains(&name.as_str()) => {
                        for (name, part) in below.iter_mut() {
                            shorten(part, name != "description");
                        }
                        if let Some(Value::String(text)) = below.get_mut("description") {
                            *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
                        }
                    }
                    field => shorten(field, is_foreign),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| shorten(item, is_foreign)),
        _ => {}
    }
}
