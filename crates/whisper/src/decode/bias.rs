//! The prompt: what is taken to come before the audio.

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

    fn words(names: &[&str], terms: &[&str]) -> Options {
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
        check(&words(&["", " "], &[]), "", "");
    }

    #[test]
    fn names_come_before_terms_and_these_before_the_text_so_far() {
        let mut options = words(&["Ada", " Grace "], &["lamp"]);
        check(&options, " Good day.", " Ada, Grace, lamp Good day.");
        options.initial_prompt = Some("At home.".to_owned());
        check(&options, "", " At home. Ada, Grace, lamp");
    }

    #[test]
    fn terms_give_way_to_names() {
        let (name, term) = ("n".repeat(200), "t".repeat(30));
        let options = words(&[&name], &[&term, "lamp"]);
        check(&options, "", &format!(" {name}, lamp"));
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
