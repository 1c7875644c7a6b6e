//! Texts that users read are in plain words: each sentence names its subject, and each action has its
//! technical verb. The words below are not used in help, in the help of metrics, nor in errors.

use super::layering::{root, sources};
use tests::{Server, run};

/// Not in these texts, in any case, as whole words.
const NOT_USED: [&str; 19] = [
    "who",
    "whom",
    "whoever",
    "somebody",
    "someone",
    "nobody",
    "anybody",
    "everybody",
    "in vain",
    "hear",
    "hears",
    "heard",
    "tell",
    "tells",
    "told",
    "settle",
    "settles",
    "settled",
    "else",
];

/// Each of them that a text has.
fn found(text: &str) -> Vec<&'static str> {
    let is_letter = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let plain: String = text
        .to_lowercase()
        .chars()
        .map(|c| if is_letter(c) { c } else { ' ' })
        .collect();
    let words = plain
        .split(' ')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    let words = format!(" {words} ");
    let is_in = |word: &&str| words.contains(&format!(" {word} "));
    NOT_USED.into_iter().filter(is_in).collect()
}

#[track_caller]
fn check(text: &str) {
    assert_eq!(found(text), [""; 0], "{text}");
}

#[test]
fn words_are_found_as_words() {
    assert_eq!(found("Who waits is told."), ["who", "told"]);
    assert_eq!(found("what is done\n   in vain"), ["in vain"]);
    assert_eq!(found("whole, retell, tell-tale"), [""; 0]);
}

#[tokio::test]
async fn help_has_plain_words() {
    for command in [
        &["--help"][..],
        &["serve", "--help"],
        &["transcribe", "--help"],
        &["probe", "--help"],
        &["model", "--help"],
        &["model", "pull", "--help"],
    ] {
        let output = run(command).await;
        assert!(output.status.success(), "{command:?}");
        let help = String::from_utf8(output.stdout).unwrap();
        for paragraph in help.split("\n\n") {
            check(paragraph);
        }
    }
}

#[tokio::test]
async fn the_help_of_metrics_has_plain_words() {
    let server = Server::ready(&[]).await;
    let (_, page) = server.page("/metrics").await;
    let help: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("# HELP "))
        .collect();
    assert!(help.len() > 10, "{page}");
    for line in help {
        check(line);
    }
}

#[test]
fn errors_have_plain_words() {
    let mut number = 0;
    for name in [
        "wyoming",
        "audio",
        "kernels",
        "whisper",
        "telemetry",
        "server",
    ] {
        for path in sources(&root().join("crates").join(name).join("src")) {
            let source = std::fs::read_to_string(path).unwrap();
            for error in source.split("#[error(").skip(1) {
                let text = error.split(")]").next().unwrap_or_default();
                // What is between quotes.
                for quoted in text.split('"').skip(1).step_by(2) {
                    number += 1;
                    check(quoted);
                }
            }
        }
    }
    assert!(number > 80, "{number}");
}
