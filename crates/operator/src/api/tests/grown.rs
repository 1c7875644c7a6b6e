//! The definition only grows: what was valid under a released one stays so, and means the same. `released.txt` has the
//! fields of the last release, a line for each; a release writes it anew (remove the file, and run this test).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use super::schema_of;

/// What a field takes, in words that can be compared.
#[derive(Clone, Debug, Default, PartialEq)]
struct Field(BTreeMap<String, Value>);

/// Every field under `path`, by its path.
fn fields(path: &str, schema: &Value, is_required: bool, found: &mut BTreeMap<String, Field>) {
    let mut field = BTreeMap::new();
    for word in [
        "type",
        "enum",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "maxProperties",
        "pattern",
        "default",
    ] {
        // Defaults of whole objects are those of their fields.
        if let Some(value) = schema.get(word).filter(|value| !value.is_object()) {
            field.insert(word.to_owned(), value.clone());
        }
    }
    if is_required {
        field.insert("required".to_owned(), Value::Bool(true));
    }
    found.insert(path.to_owned(), Field(field));
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        let is_required = required.iter().any(|it| it == name);
        fields(&format!("{path}.{name}"), below, is_required, found);
    }
    for part in ["items", "additionalProperties"] {
        if schema[part].is_object() {
            fields(&format!("{path}[{part}]"), &schema[part], false, found);
        }
    }
}

fn all() -> BTreeMap<String, Field> {
    let mut found = BTreeMap::new();
    for part in ["spec", "status"] {
        fields(part, &schema_of(part), false, &mut found);
    }
    found
}

fn line(path: &str, field: &Field) -> String {
    let mut line = path.to_owned();
    for (word, value) in &field.0 {
        write!(line, "\t{word}={value}").unwrap();
    }
    line
}

fn read(line: &str) -> (String, Field) {
    let mut parts = line.split('\t');
    let path = parts.next().unwrap().to_owned();
    let words = parts.map(|part| {
        let (word, value) = part.split_once('=').unwrap();
        (word.to_owned(), serde_json::from_str(value).unwrap())
    });
    (path, Field(words.collect()))
}

/// What `new` refuses, or takes for something else, that `old` had.
fn shrunk(old: &Field, new: &Field) -> Vec<String> {
    let mut lost = Vec::new();
    for word in ["type", "pattern", "default"] {
        // A pattern may go, and a default may come where there was none.
        let (was, is) = (old.0.get(word), new.0.get(word));
        let is_wider = match word {
            "pattern" => is.is_none(),
            "default" => was.is_none(),
            _ => false,
        };
        if was != is && !is_wider {
            lost.push(format!("{word} was {was:?} and is {is:?}"));
        }
    }
    let number = |field: &Field, word: &str| field.0.get(word).and_then(Value::as_f64);
    for word in ["minimum", "minLength", "minItems"] {
        if number(new, word).unwrap_or(f64::MIN) > number(old, word).unwrap_or(f64::MIN) {
            lost.push(format!("{word} is larger"));
        }
    }
    for word in ["maximum", "maxLength", "maxItems", "maxProperties"] {
        if number(new, word).unwrap_or(f64::MAX) < number(old, word).unwrap_or(f64::MAX) {
            lost.push(format!("{word} is smaller"));
        }
    }
    if let Some(known) = new.0.get("enum").and_then(Value::as_array) {
        let before = old.0.get("enum").and_then(Value::as_array);
        let gone = before.map_or(1, |before| {
            before.iter().filter(|it| !known.contains(it)).count()
        });
        if gone > 0 {
            lost.push("enum has lost a value".to_owned());
        }
    }
    if new.0.contains_key("required") && !old.0.contains_key("required") {
        lost.push("it is required now".to_owned());
    }
    lost
}

/// Faults of `now` beside `then`.
fn faults(then: &BTreeMap<String, Field>, now: &BTreeMap<String, Field>) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, old) in then {
        match now.get(path) {
            None => faults.push(format!("{path} is gone")),
            Some(new) => faults.extend(
                shrunk(old, new)
                    .iter()
                    .map(|lost| format!("{path}: {lost}")),
            ),
        }
    }
    for (path, new) in now {
        let parent = path
            .rsplit_once(['.', '['])
            .map_or("", |(parent, _)| parent);
        if !then.contains_key(path) && then.contains_key(parent) && new.0.contains_key("required") {
            faults.push(format!("{path} is new and required"));
        }
    }
    faults
}

#[test]
fn the_definition_takes_whatever_that_of_the_last_release_took() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api/tests/released.txt");
    let now = all();
    let Ok(text) = std::fs::read_to_string(&path) else {
        let lines: Vec<String> = now.iter().map(|(path, field)| line(path, field)).collect();
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        panic!("{} was missing and is written", path.display());
    };
    let then: BTreeMap<String, Field> = text.lines().map(read).collect();
    assert!(then.len() > 200, "{}", then.len());
    let faults = faults(&then, &now);
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn each_way_to_shrink_is_found() {
    let then: BTreeMap<String, Field> = [
        "spec\ttype=\"object\"",
        "spec.a\ttype=\"integer\"\tminimum=1\tmaximum=9\tdefault=3",
        "spec.b\ttype=\"string\"\tenum=[\"x\",\"y\"]",
    ]
    .map(read)
    .into();
    assert!(faults(&then, &then).is_empty());
    for (changed, fault) in [
        (
            "spec.a\ttype=\"string\"\tminimum=1\tmaximum=9\tdefault=3",
            "type was",
        ),
        (
            "spec.a\ttype=\"integer\"\tminimum=2\tmaximum=9\tdefault=3",
            "minimum is larger",
        ),
        (
            "spec.a\ttype=\"integer\"\tminimum=1\tmaximum=8\tdefault=3",
            "maximum is smaller",
        ),
        (
            "spec.a\ttype=\"integer\"\tminimum=1\tmaximum=9\tdefault=4",
            "default was",
        ),
        (
            "spec.a\ttype=\"integer\"\tminimum=1\tmaximum=9\tdefault=3\trequired=true",
            "required now",
        ),
        ("spec.b\ttype=\"string\"\tenum=[\"x\"]", "enum has lost"),
        (
            "spec.b\ttype=\"string\"\tenum=[\"x\",\"y\"]\tpattern=\"a\"",
            "pattern was",
        ),
        ("spec.c\ttype=\"string\"\trequired=true", "new and required"),
    ] {
        let mut now = then.clone();
        let (path, field) = read(changed);
        now.insert(path, field);
        let found = faults(&then, &now);
        assert!(
            found.len() == 1 && found[0].contains(fault),
            "{changed}: {found:?}"
        );
    }
    let mut less = then.clone();
    less.remove("spec.b");
    assert_eq!(faults(&then, &less), ["spec.b is gone"]);
    let mut wider = then.clone();
    for more in [
        "spec.a\ttype=\"integer\"\tmaximum=10\tdefault=3",
        "spec.b\ttype=\"string\"\tenum=[\"x\",\"y\",\"z\"]",
        "spec.d\ttype=\"object\"",
        "spec.d.e\ttype=\"string\"\trequired=true",
    ] {
        let (path, field) = read(more);
        wider.insert(path, field);
    }
    assert!(
        faults(&then, &wider).is_empty(),
        "{:?}",
        faults(&then, &wider)
    );
}
