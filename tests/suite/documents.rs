//! What the documents name is there.

use std::path::{Path, PathBuf};

use super::layering::root;

/// README, ARCHITECTURE, and the pages below docs.
fn documents() -> Vec<PathBuf> {
    let folders = ["", "docs", "docs/reference", "addon", "charts/wyoming-stt"];
    let entries = folders.map(|folder| std::fs::read_dir(root().join(folder)).unwrap());
    let paths = entries
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
        .collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Where the links and pictures of a text lead.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let ends = text.split("](").skip(1);
    ends.filter_map(|end| Some(end.split_once(')')?.0))
}

/// How a heading is linked to.
fn anchor(heading: &str) -> String {
    let letters = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = letters
        .chars()
        .filter(|c| c.is_alphanumeric() || " -".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn the_readmes_commands_exist() {
    let readme = read(&root().join("README.md"));
    for command in ["tests/demo", "tests/all"] {
        assert!(readme.contains(command), "{command} is not in the README");
        assert!(
            root().join(command).is_file(),
            "{command} is not in the tree"
        );
    }
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let mut count = 0;
    for document in documents() {
        for link in links(&read(&document)).filter(|link| !link.contains("://")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let to = if file.is_empty() {
                document.clone()
            } else {
                document.with_file_name(file)
            };
            assert!(to.exists(), "{}: {link}", document.display());
            let has = |line: &str| line.starts_with('#') && anchor(line) == heading;
            assert!(
                heading.is_empty() || read(&to).lines().any(has),
                "{}: {link}",
                document.display()
            );
            count += 1;
        }
    }
    assert!(count > 20, "{count} links");
}

#[test]
fn every_page_is_in_the_index() {
    let index = root().join("docs/README.md");
    let text = read(&index);
    let listed: Vec<PathBuf> = links(&text)
        .filter_map(|link| std::fs::canonicalize(index.with_file_name(link)).ok())
        .collect();
    let docs = std::fs::canonicalize(root().join("docs")).unwrap();
    for document in documents() {
        let document = std::fs::canonicalize(document).unwrap();
        let is_page = document.starts_with(&docs) && document != docs.join("README.md");
        assert!(
            !is_page || listed.contains(&document),
            "{} is not in docs/README.md",
            document.display()
        );
    }
}
