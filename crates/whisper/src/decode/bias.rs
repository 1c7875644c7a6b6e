//! The prompt: what is taken to come before the audio.

use std::collections::HashSet;

use crate::Options;
use crate::vocabulary::Vocabulary;

/// The words of the initial prompt, as far as there is room for them: their end. Worked out once for an utterance.
pub(crate) fn initial_words(
    vocabulary: &Vocabulary,
    options: &Options,
    positions: usize,
) -> Vec<u32> {
    let text = options.initial_prompt.as_deref().map(str::trim);
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Vec::new();
    };
    let mut tokens = vocabulary.encode(&format!(" {text}"));
    tokens.split_off(tokens.len().saturating_sub(room(positions)))
}

/// The prompt in front of the start sequence: the [initial words](initial_words), then the text so far. Empty when
/// there are neither, or the checkpoint has no token for a previous text.
///
/// It never takes more than half of the decoder's positions, less one (223 tokens of 448), and what was said last stays
/// longest. Names are not in it: they are preferred while tokens are chosen ([`crate::decode::naming`]).
pub(crate) fn prompt(
    vocabulary: &Vocabulary,
    initial_words: &[u32],
    previous: &[u32],
    positions: usize,
) -> Vec<u32> {
    let Some(start_of_previous) = vocabulary.start_of_previous() else {
        return Vec::new();
    };
    let previous_room = room(positions).saturating_sub(initial_words.len());
    let previous = &previous[previous.len().saturating_sub(previous_room)..];
    if initial_words.is_empty() && previous.is_empty() {
        return Vec::new();
    }
    [&[start_of_previous], initial_words, previous].concat()
}

/// Tokens of a prompt behind its first.
fn room(positions: usize) -> usize {
    (positions / 2).saturating_sub(1)
}

/// Whether every word of a text stands in the initial prompt: it may be nothing else than that.
pub(crate) fn is_echo(options: &Options, text: &str) -> bool {
    let expected: HashSet<String> = options
        .initial_prompt
        .iter()
        .flat_map(|p| words(p))
        .collect();
    words(text).all(|word| expected.contains(&word))
}

/// Whether there is an initial prompt.
pub(crate) fn has_words(options: &Options) -> bool {
    let prompt = options.initial_prompt.as_deref().unwrap_or_default();
    !prompt.trim().is_empty()
}

/// Without case and punctuation.
fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_alphanumeric());
    words.filter(|word| !word.is_empty()).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::vocabulary_of_bytes;

    /// The prompt has room for 223 bytes.
    const POSITIONS: usize = 448;

    fn check(options: &Options, previous: &str, expected: &str) {
        let vocabulary = vocabulary_of_bytes();
        let previous = vocabulary.encode(previous);
        let words = initial_words(&vocabulary, options, POSITIONS);
        let found = prompt(&vocabulary, &words, &previous, POSITIONS);
        assert!(found.len() <= POSITIONS / 2, "{} tokens", found.len());
        assert_eq!(vocabulary.decode(&found), expected);
        let first = (!expected.is_empty())
            .then(|| vocabulary.start_of_previous())
            .flatten();
        assert_eq!(found.first().copied(), first);
    }

    fn prompted(prompt: &str) -> Options {
        Options {
            initial_prompt: Some(prompt.to_owned()),
            ..Options::default()
        }
    }

    #[test]
    fn no_words_are_no_prompt() {
        check(&Options::default(), "", "");
        check(&prompted("  "), "", "");
    }

    #[test]
    fn the_initial_words_come_before_the_text_so_far() {
        check(&Options::default(), " Good day.", " Good day.");
        check(&prompted("At home. "), " Good day.", " At home. Good day.");
        check(&prompted("At home."), "", " At home.");
    }

    #[test]
    fn an_echo_has_no_words_of_its_own() {
        let options = prompted("Kitchen, hall; the lamp of the room.");
        assert!(is_echo(&options, " kitchen Kitchen, lamp, room!"));
        assert!(!is_echo(&options, " Kitchen lamp on."));
        assert!(has_words(&options) && !has_words(&Options::default()));
    }

    #[test]
    fn the_end_of_long_text_stays() {
        let previous = format!("{}end", "x".repeat(300));
        let expected = format!("{}end", "x".repeat(220));
        check(&Options::default(), &previous, &expected);
        check(&prompted(&previous), "forgotten", &expected);
    }
}
