//! What the operator sets in its pods is known to the server, and means there what it was set to.

use std::path::Path;

use tests::run_with;

/// Variables of the containers that the operator builds, file by file.
fn built() -> Vec<(String, Vec<(String, String)>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../crates/operator/src/controller/build/golden");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            (
                path.file_stem().unwrap().to_str().unwrap().to_owned(),
                variables(&text),
            )
        })
        .collect()
}

/// `- name: X` followed by `value: Y`.
fn variables(yaml: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = yaml.lines().map(str::trim).collect();
    lines
        .windows(2)
        .filter_map(|pair| {
            let name = pair[0].strip_prefix("- name: ")?;
            let value = pair[1].strip_prefix("value: ")?;
            Some((name.to_owned(), value.trim_matches('"').to_owned()))
        })
        .collect()
}

/// What `--print-config` shows for a variable, where it is not the value itself.
fn shown(name: &str, value: &str) -> String {
    match (name, value) {
        ("STT_DEVICE", "cuda") => "cuda(0)".to_owned(),
        _ => value.to_owned(),
    }
}

#[tokio::test]
async fn every_variable_that_the_operator_sets_is_understood() {
    let built = built();
    assert!(built.len() >= 6, "{}", built.len());
    for (file, variables) in built {
        let given: Vec<(&str, &str)> = variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let output = run_with(&given, &["serve", "--print-config"]).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{file}: {said}");
        let config = String::from_utf8(output.stdout).unwrap();
        let ours = given.iter().filter(|(name, _)| name.starts_with("STT_"));
        assert!(ours.clone().count() > 10, "{file}: {given:?}");
        for (name, value) in ours {
            let setting = name
                .trim_start_matches("STT_")
                .to_lowercase()
                .replace('_', "-");
            let line = format!("{setting} = {}", shown(name, value));
            assert!(
                config.lines().any(|it| it == line),
                "{file}: no {line:?} in\n{config}"
            );
        }
    }
}

/// It has no line in `--print-config`; a value that is no address shows that it is read.
#[tokio::test]
async fn the_address_of_the_hub_is_understood() {
    let files = built();
    let names = |file: &str| -> Vec<String> {
        let (_, variables) = files.iter().find(|(name, _)| name == file).unwrap();
        variables.iter().map(|(name, _)| name.clone()).collect()
    };
    assert!(names("gpu-fleet").contains(&"HF_ENDPOINT".to_owned()));
    let pull = ["model", "pull", "a/b"];
    let output = run_with(&[("HF_ENDPOINT", "nowhere")], &pull).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("HF_ENDPOINT \"nowhere\""), "{said}");
}
