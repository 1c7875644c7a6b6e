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
