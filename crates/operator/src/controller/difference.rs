//! What an object in the cluster lacks of what is wanted.

use serde_json::Value;

/// Paths of everything that `wanted` says and `found` does not have. `found` may have more: the API server fills
/// in defaults, and others may own other fields.
pub fn missing(found: &Value, wanted: &Value) -> Vec<String> {
    let mut paths = Vec::new();
    compare(found, wanted, "", &mut paths);
    paths
}

fn compare(found: &Value, wanted: &Value, path: &str, paths: &mut Vec<String>) {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            for (name, wanted) in wanted {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                match found.get(name) {
                    Some(found) => compare(found, wanted, &path, paths),
                    None if is_empty(wanted) => {}
                    None => paths.push(path),
                }
            }
        }
        (Value::Array(found), Value::Array(wanted)) => compare_items(found, wanted, path, paths),
        (Value::String(found), Value::String(wanted))
            if found == wanted || is_same_quantity(found, wanted) => {}
        (found, wanted) if found == wanted => {}
        _ => paths.push(path.to_owned()),
    }
}

/// Items with a name are found by it, since others may add some; the rest by place.
fn compare_items(found: &[Value], wanted: &[Value], path: &str, paths: &mut Vec<String>) {
    let is_named = wanted.iter().all(|item| item.get("name").is_some());
    if !is_named && found.len() != wanted.len() {
        paths.push(path.to_owned());
        return;
    }
    for (index, wanted) in wanted.iter().enumerate() {
        let name = wanted.get("name");
        let same = if is_named {
            found.iter().find(|item| item.get("name") == name)
        } else {
            found.get(index)
        };
        let label = name
            .and_then(Value::as_str)
            .map_or_else(|| index.to_string(), str::to_owned);
        let path = format!("{path}[{label}]");
        match same {
            Some(found) => compare(found, wanted, &path, paths),
            None => paths.push(path),
        }
    }
}

/// What the API server leaves out when it says nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The API server writes `0.5` as `500m` and `1024Mi` as `1Gi`.
fn is_same_quantity(one: &str, other: &str) -> bool {
    matches!((quantity(one), quantity(other)), (Some(one), Some(other)) if (one - other).abs() <= one.abs() * 1e-12)
}

fn quantity(text: &str) -> Option<f64> {
    // An exponent is a suffix of another kind, and a number to Rust.
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let end = text
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end)?;
    let factor = match suffix {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024.0_f64.powi(2),
        "Gi" => 1024.0_f64.powi(3),
        "Ti" => 1024.0_f64.powi(4),
        "Pi" => 1024.0_f64.powi(5),
        "Ei" => 1024.0_f64.powi(6),
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::missing;

    #[test]
    fn what_the_api_server_adds_or_rewrites_is_no_difference() {
        for (found, wanted) in [
            (json!({"a": 1, "b": 2}), json!({"a": 1})),
            (json!({}), json!({"a": {}, "b": "", "c": []})),
            (json!({"cpu": "500m"}), json!({"cpu": "0.5"})),
            (json!({"cpu": "1k"}), json!({"cpu": "1e3"})),
            (json!({"memory": "1Gi"}), json!({"memory": "1024Mi"})),
            (
                json!([{"name": "x", "v": 1}, {"name": "y"}]),
                json!([{"name": "y"}]),
            ),
        ] {
            assert_eq!(
                missing(&found, &wanted),
                Vec::<String>::new(),
                "{found} {wanted}"
            );
        }
    }

    #[test]
    fn what_is_lacking_is_named() {
        for (found, wanted, path) in [
            (json!({"a": 2}), json!({"a": 1}), "a"),
            (
                json!({"a": {"b": {}}}),
                json!({"a": {"b": {"c": 1}}}),
                "a.b.c",
            ),
            (json!({}), json!({"a": false}), "a"),
            (json!({"memory": "1Gi"}), json!({"memory": "1G"}), "memory"),
            (
                json!({"x": [{"name": "one", "v": 1}]}),
                json!({"x": [{"name": "one", "v": 2}]}),
                "x[one].v",
            ),
            (
                json!({"x": [{"name": "one"}]}),
                json!({"x": [{"name": "two"}]}),
                "x[two]",
            ),
            (json!({"x": ["a"]}), json!({"x": ["a", "b"]}), "x"),
            (json!({"x": ["a", "c"]}), json!({"x": ["a", "b"]}), "x[1]"),
        ] {
            assert_eq!(missing(&found, &wanted), [path], "{found} {wanted}");
        }
    }
}
