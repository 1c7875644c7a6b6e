//! The prompt: what is taken to come before the audio.

use std::collections::HashSet;

use crate::Options;
use crate::vocabulary::Vocabulary;

/// The prompt in front of the start sequence: the words to expect, then the text so far. Empty when
/// there are neither, or the checkpoint has no token for a previous text.
///
/// It never takes more than half of the decoder's positions, less one (223 tokens of 448). Names
/// come before terms when there is no room for all, and what was said last stays longest.
pub(crate) fn prompt(
    vocabulary: &Vocabulary,
    options: &Options,
    previous: &[u32],
    positions: usize,
) -> Vec<u32> {
    let Some(start_of_previous) = vocabulary.start_of_previous() else {
        return Vec::new();
    };
    let room = (positions / 2).saturating_sub(1);
    let mut words = expected_words(vocabulary, options, room);
    let previous_room = room.saturating_sub(words.len());
    words.extend_from_slice(&previous[previous.len().saturating_sub(previous_room)..]);
    if words.is_empty() {
        return words;
    }
    words.insert(0, start_of_previous);
    words
}

/// Whether every word of a text stands in the initial prompt, the names or the terms: it may be nothing else than these.
pub(crate) fn is_echo(options: &Options, text: &str) -> bool {
    let expected: HashSet<String> = options
        .initial_prompt
        .iter()
        .chain(&options.names)
        .chain(&options.terms)
        .flat_map(|expected| words(expected))
        .collect();
    words(text).all(|word| expected.contains(&word))
}

/// Whether anything is expected.
pub(crate) fn has_words(options: &Options) -> bool {
    let prompt = options.initial_prompt.as_deref().unwrap_or_default();
    !(prompt.trim().is_empty() && options.names.is_empty() && options.terms.is_empty())
}

/// Without case and punctuation.
fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_alphanumeric());
    words.filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// The initial prompt, then names, then terms, as far as they fit.
fn expected_words(vocabulary: &Vocabulary, options: &Options, room: usize) -> Vec<u32> {
    let mut words = Vec::new();
    if let Some(prompt) = options
        .initial_prompt
        .as_deref()
        .map(str::trim)
        .filter(|p| !p.is_empty())
    {
        let tokens = vocabulary.encode(&format!(" {prompt}"));
        words.extend_from_slice(&tokens[tokens.len().saturating_sub(room)..]);
    }
    let mut separator = " ";
    for word in options.names.iter().chain(&options.terms) {
        let word = word.trim();
        let tokens = vocabulary.encode(&format!("{separator}{word}"));
        if word.is_empty() || words.len() + tokens.len() > room {
            continue;
        }
        words.extend(tokens);
        separator = ", ";
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Checkpoint;
    use crate::testing::TinyCheckpoint;

    const POSITIONS: usize = 448;

    /// Every byte is a token, and the prompt has room for 223 of them.
    fn vocabulary() -> Vocabulary {
        let directory = tempfile::tempdir().unwrap();
        TinyCheckpoint::multilingual()
            .write(directory.path())
            .unwrap();
        Vocabulary::read(&Checkpoint::open(directory.path()).unwrap()).unwrap()
    }

    fn check(options: &Options, previous: &str, expected: &str) {
        let vocabulary = vocabulary();
        let previous = vocabulary.encode(previous);
        let found = prompt(&vocabulary, options, &previous, POSITIONS);
        assert!(found.len() <= POSITIONS / 2, "{} tokens", found.len());
        assert_eq!(vocabulary.decode(&found), expected);
        let first = (!expected.is_empty())
            .then(|| vocabulary.start_of_previous())
            .flatten();
        assert_eq!(found.first().copied(), first);
    }

    fn expecting(names: &[&str], terms: &[&str]) -> Options {
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Options {
            names: owned(names),
            terms: owned(terms),
            ..Options::default()
        }
    }

    #[test]
    fn nothing_to_expect_is_no_prompt() {
        check(&Options::default(), "", "");
        check(&expecting(&["", " "], &[]), "", "");
    }

    #[test]
    fn names_come_before_terms_and_these_before_the_text_so_far() {
        let mut options = expecting(&["Ada", " Grace "], &["lamp"]);
        check(&options, " Good day.", " Ada, Grace, lamp Good day.");
        options.initial_prompt = Some("At home.".to_owned());
        check(&options, "", " At home. Ada, Grace, lamp");
    }

    #[test]
    fn terms_give_way_to_names() {
        let (name, term) = ("n".repeat(200), "t".repeat(30));
        let options = expecting(&[&name], &[&term, "lamp"]);
        check(&options, "", &format!(" {name}, lamp"));
    }

    #[test]
    fn an_echo_has_no_words_of_its_own() {
        let mut options = expecting(&["Living Room"], &["lamp"]);
        options.initial_prompt = Some("Kitchen, hall.".to_owned());
        assert!(is_echo(&options, " kitchen Kitchen, lamp, room!"));
        assert!(!is_echo(&options, " Kitchen lamp on."));
        assert!(has_words(&options) && !has_words(&Options::default()));
    }

    #[test]
    fn the_end_of_long_text_stays() {
        let previous = format!("{}end", "x".repeat(300));
        let expected = format!("{}end", "x".repeat(220));
        check(&Options::default(), &previous, &expected);
        let options = Options {
            initial_prompt: Some(previous),
            ..Options::default()
        };
        check(&options, "forgotten", &expected);
    }
}
