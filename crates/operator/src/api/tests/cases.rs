//! The rules of the definition by example. `../cases/` has a file for each: `# rule:` says what is tried, and
//! `# expect:` whether it is accepted, or refused with which words. Two documents are an object and what it is to
//! become. The same files are sent to a real API server by `tests/cluster/suite`.

use std::collections::BTreeSet;
use std::path::Path;

use kube::CustomResourceExt;
use kube::core::cel::{self, ValidationErrors};
use serde_json::Value;

use crate::api::WyomingStt;

struct Case {
    file: String,
    rule: String,
    /// Words of the refusal; none when it is accepted.
    refused: Option<String>,
    objects: Vec<WyomingStt>,
}

impl Case {
    fn read(path: &Path) -> Self {
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(path).unwrap();
        let head = |name: &str| {
            let mut lines = text.lines();
            let line = lines.find_map(|line| line.strip_prefix(&format!("# {name}: ")));
            line.unwrap_or_else(|| panic!("{file} does not say `# {name}:`"))
                .to_owned()
        };
        let expected = head("expect");
        let refused = match expected.split_once(' ') {
            None if expected == "accept" => None,
            Some(("reject", words)) => Some(words.to_owned()),
            _ => panic!("{file} expects {expected:?}"),
        };
        let documents = text.split("\n---\n");
        let objects = documents
            .map(|text| {
                serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{file}: {error}"))
            })
            .collect();
        Self {
            rule: head("rule"),
            file,
            refused,
            objects,
        }
    }

    fn result(&self) -> Result<(), ValidationErrors> {
        match self.objects.as_slice() {
            [only] => cel::validate_cel(only),
            [old, new] => {
                cel::validate_cel(old)?;
                cel::validate_cel_update(new, old)
            }
            _ => panic!("{} has neither one document nor two", self.file),
        }
    }
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api/cases");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| Case::read(path)).collect()
}

#[test]
fn each_rule_accepts_and_refuses() {
    for case in cases() {
        let file = &case.file;
        match (case.result(), &case.refused) {
            (Ok(()), None) => {}
            (Err(errors), Some(words)) => {
                let all = errors.as_slice();
                assert_eq!(all.len(), 1, "{file} breaks more than one rule: {errors}");
                assert!(all[0].message.contains(words.as_str()), "{file}: {errors}");
            }
            (Ok(()), Some(words)) => panic!("{file} was accepted, not refused for {words:?}"),
            (Err(errors), None) => panic!("{file} was refused: {errors}"),
        }
    }
}

/// The rules of a schema: where each is, and what it says.
fn rules(path: &str, schema: &Value, found: &mut BTreeSet<(String, String)>) {
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let message = rule["message"].as_str().unwrap();
        found.insert((path.to_owned(), message.to_owned()));
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        rules(&path, field, found);
    }
    if schema["items"].is_object() {
        rules(&format!("{path}[]"), &schema["items"], found);
    }
}

/// `spec.from[0]` is an item like any other.
fn without_places(path: &str) -> String {
    let mut shown = String::new();
    let mut is_inside = false;
    for letter in path.chars() {
        is_inside = (is_inside || letter == '[') && letter != ']';
        if !is_inside || letter == '[' {
            shown.push(letter);
        }
    }
    shown
}

#[test]
fn every_rule_of_the_definition_has_a_case_that_it_refuses() {
    let crd = serde_json::to_value(WyomingStt::crd()).unwrap();
    let mut all = BTreeSet::new();
    rules(
        "",
        &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"],
        &mut all,
    );
    let tried: BTreeSet<(String, String)> = cases()
        .iter()
        .filter_map(|case| case.result().err())
        .flat_map(ValidationErrors::into_vec)
        .map(|error| (without_places(&error.field_path), error.message))
        .collect();
    assert_eq!(all, tried);
    assert!(all.len() >= 33, "{}", all.len());
}

#[test]
fn each_rule_is_tried_both_ways() {
    let of = |is_refused: bool| -> BTreeSet<String> {
        let cases = cases().into_iter();
        let those = cases.filter(|case| case.refused.is_some() == is_refused);
        those.map(|case| case.rule).collect()
    };
    assert_eq!(of(true), of(false));
}
