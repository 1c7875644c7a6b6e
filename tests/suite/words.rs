//! Texts that users read are in plain words: each sentence names its subject, and each action has its
//! technical verb. The words below are not used in help, in the help of metrics, in errors, nor in log lines; comments
//! have a shorter list.

use super::layering::{root, sources};
use tests::{Server, run};

/// They hide what acts, in any text.
const HIDING: [&str; 9] = [
    "whom",
    "whoever",
    "somebody",
    "someone",
    "nobody",
    "anybody",
    "anyone",
    "everybody",
    "in vain",
];
/// Not in texts for users, in any case, as whole words.
const UNCLEAR: [&str; 11] = [
    "who", "hear", "hears", "heard", "tell", "tells", "told", "settle", "settles", "settled",
    "else",
];

/// Which of them a text for users has.
fn found(text: &str) -> Vec<&'static str> {
    found_of(&[&HIDING[..], &UNCLEAR].concat(), text)
}

/// Each of `words` that a text has: in any case, or only as it stands where it begins with a capital.
fn found_of(not_used: &[&'static str], text: &str) -> Vec<&'static str> {
    let [given, lower] = [text.to_owned(), text.to_lowercase()].map(|text| in_words(&text));
    let is_in = |word: &&str| {
        let text = if word.starts_with(char::is_uppercase) {
            &given
        } else {
            &lower
        };
        text.contains(&format!(" {word} "))
    };
    not_used.iter().copied().filter(is_in).collect()
}

/// The words of a text with a space before and behind each.
fn in_words(text: &str) -> String {
    let is_letter = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let plain: String = text
        .chars()
        .map(|c| if is_letter(c) { c } else { ' ' })
        .collect();
    let words = plain
        .split(' ')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    format!(" {words} ")
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

/// Of programs, which users see; and of the libraries in them.
const CRATES: [&str; 7] = [
    "wyoming",
    "audio",
    "kernels",
    "whisper",
    "telemetry",
    "server",
    "operator",
];

/// Of a line of a source, what stands in a comment of its own.
fn comment(line: &str) -> Option<&str> {
    let text = line.trim_start().strip_prefix("//")?;
    Some(text.trim_start_matches(['/', '!', ' ']))
}

#[test]
fn comments_are_found() {
    assert_eq!(comment("    /// Who acts."), Some("Who acts."));
    assert_eq!(comment("//! A page."), Some("A page."));
    assert_eq!(comment("let a = 1; // Who?"), None);
}

#[test]
fn comments_name_what_acts() {
    let mut lines = 0;
    for name in CRATES {
        for path in sources(&root().join("crates").join(name)) {
            let source = std::fs::read_to_string(&path).unwrap();
            for comment in source.lines().filter_map(comment) {
                lines += 1;
                // Behind the person that it stands for, "who" is clear.
                let found = found_of(&[&HIDING[..], &["Who"]].concat(), comment);
                assert_eq!(found, [""; 0], "{}: {comment}", path.display());
            }
        }
    }
    assert!(lines > 5_000, "{lines}");
}

/// What stands between quotes in each part of the sources that begins with `begin`, up to the bracket that closes it.
fn quoted(begin: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in CRATES {
        for path in sources(&root().join("crates").join(name).join("src")) {
            let source = std::fs::read_to_string(path).unwrap();
            for part in source.split(begin).skip(1) {
                found.extend(strings(part));
            }
        }
    }
    found
}

/// The strings of arguments, up to the bracket that closes them.
fn strings(arguments: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut depth = 1;
    let mut letters = arguments.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => {
                let mut string = String::new();
                while let Some(letter) = letters.next().filter(|letter| *letter != '"') {
                    string.push(letter);
                    if letter == '\\' {
                        string.extend(letters.next());
                    }
                }
                found.push(string);
            }
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

#[test]
fn strings_are_those_of_the_arguments() {
    let found = strings(r#"error = f("a"), "it \"broke\" (twice)"); info!("other")"#);
    assert_eq!(found, ["a", r#"it \"broke\" (twice)"#]);
}

#[test]
fn errors_have_plain_words() {
    let errors = quoted("#[error(");
    assert!(errors.len() > 80, "{}", errors.len());
    for error in errors {
        check(&error);
    }
}

#[test]
fn log_lines_have_plain_words() {
    let lines: Vec<String> = ["error!(", "warn!(", "info!(", "debug!("]
        .into_iter()
        .flat_map(quoted)
        .collect();
    assert!(lines.len() > 80, "{}", lines.len());
    for line in lines {
        check(&line);
    }
}
