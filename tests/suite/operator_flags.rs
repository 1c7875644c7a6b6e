//! Operator and server: what one sets in its pods is known to the other, and neither brings what the other needs.

use std::collections::{BTreeMap, BTreeSet};
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

/// The files that a pod has mounted under `/names` and `/http`, in a folder that stands for its root.
fn mounted(folder: &Path) {
    let authority = include_str!("../fixtures/authority.pem");
    for (name, text) in [
        ("names/names", "Küche"),
        ("names/home-assistant-token", "token"),
        ("names/home-assistant-ca", authority),
        ("http/keys", "sk-kitchen-1"),
    ] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
        std::fs::write(folder.join(name).join("file"), text).unwrap();
    }
}

#[tokio::test]
async fn every_variable_that_the_operator_sets_is_understood() {
    let built = built();
    assert!(built.len() >= 6, "{}", built.len());
    let folder = tempfile::tempdir().unwrap();
    mounted(folder.path());
    for (file, mut variables) in built {
        for (_, value) in &mut variables {
            let path = value.strip_prefix('/');
            if let Some(path) = path.filter(|it| folder.path().join(it).is_file()) {
                *value = folder.path().join(path).display().to_string();
            }
        }
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
            let line = format!("{setting} = {value}");
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

/// Names of the packages that each package of `Cargo.lock` uses.
fn locked() -> BTreeMap<String, Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    let text = std::fs::read_to_string(path).unwrap();
    let mut packages: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in text.split("[[package]]").skip(1) {
        let lines = || package.lines().map(str::trim);
        let name = lines()
            .find_map(|line| line.strip_prefix("name = "))
            .unwrap();
        // `"name",` or `"name version",`
        let used = lines()
            .skip_while(|line| *line != "dependencies = [")
            .skip(1)
            .take_while(|line| *line != "]")
            .filter_map(|line| line.trim_matches(['"', ',']).split(' ').next())
            .map(str::to_owned);
        let name = name.trim_matches('"').to_owned();
        packages.entry(name).or_default().extend(used);
    }
    packages
}

/// Everything that ends up beside `name`, tests included.
fn below(name: &str) -> BTreeSet<String> {
    let packages = locked();
    let mut found = BTreeSet::new();
    let mut open = vec![name.to_owned()];
    while let Some(next) = open.pop() {
        if found.insert(next.clone()) {
            open.extend(packages.get(&next).cloned().unwrap_or_default());
        }
    }
    found
}

#[test]
fn the_server_brings_no_kubernetes_and_the_operator_no_model() {
    let (server, operator) = (below("server"), below("operator"));
    assert!(server.contains("candle-core") && operator.contains("kube-client"));
    for name in ["kube", "kube-client", "kube-runtime", "k8s-openapi"] {
        assert!(!server.contains(name), "the server brings {name}");
    }
    for name in [
        "whisper",
        "candle-core",
        "candle-nn",
        "tokenizers",
        "symphonia",
    ] {
        assert!(!operator.contains(name), "the operator brings {name}");
    }
}
