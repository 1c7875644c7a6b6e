//! Tokens → words with times. Pure. Source: openai-whisper's `tokenizer.py` and `timing.py`.

use crate::transcript::{Segment, Word};
use crate::vocabulary::Vocabulary;

/// Languages whose words are not parted by spaces: each character is one.
const WITHOUT_SPACES: [&str; 6] = ["zh", "ja", "th", "lo", "my", "yue"];
/// Python's `string.punctuation`.
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
/// Goes with the word behind it …
const BEFORE_WORD: &str = "\"'“¿([{-";
/// … or before it.
const BEHIND_WORD: &str = "\"'.。,，!！?？:：”)]}、";
const ENDS_SENTENCE: &str = ".。!！?？";
/// No usual word is longer than this is taken for.
const LONGEST_MEDIAN_S: f64 = 0.7;
/// A segment's own time is preferred to one of a word that is further away.
const FAR_S: f64 = 0.5;

/// A word of a window, its times in seconds from the window's beginning.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Aligned {
    pub(crate) text: String,
    tokens: usize,
    start_s: f64,
    end_s: f64,
}

/// The words of some tokens, as texts with numbers of tokens.
pub(crate) fn words_of(
    vocabulary: &Vocabulary,
    language: &str,
    tokens: &[u32],
) -> Vec<(String, usize)> {
    let characters = characters_of(vocabulary, tokens);
    if WITHOUT_SPACES.contains(&language) {
        return characters;
    }
    let mut words: Vec<(String, usize)> = Vec::new();
    for (text, tokens) in characters {
        let begins = text.starts_with(' ') || PUNCTUATION.contains(text.trim());
        match words.last_mut() {
            Some((word, of_word)) if !begins => {
                word.push_str(&text);
                *of_word += tokens;
            }
            _ => words.push((text, tokens)),
        }
    }
    words
}

/// The fewest tokens that make whole characters, one after the other.
fn characters_of(vocabulary: &Vocabulary, tokens: &[u32]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut from = 0;
    for to in 1..=tokens.len() {
        let text = vocabulary.decode(tokens.get(from..to).unwrap_or_default());
        // A part of a character is shown so; it is whole with a token behind it. What never becomes whole ends with the
        // tokens.
        if text.contains(char::REPLACEMENT_CHARACTER) && to < tokens.len() && to - from < 4 {
            continue;
        }
        found.push((text, to - from));
        from = to;
    }
    found
}

/// A window's words with their punctuation, and what is usual for their length.
#[derive(Debug)]
pub(crate) struct Punctuated {
    words: Vec<Aligned>,
    median_s: f64,
}

impl Punctuated {
    /// `words` with numbers of tokens; `times`: when each token begins, and when the last one ends.
    pub(crate) fn new(words: Vec<(String, usize)>, times: &[f64]) -> Self {
        let time = |index: usize| times.get(index).or_else(|| times.last()).copied();
        let mut from = 0;
        let words = words.into_iter().map(|(text, tokens)| {
            let start_s = time(from).unwrap_or_default();
            from += tokens;
            let end_s = time(from).unwrap_or_default();
            Aligned {
                text,
                tokens,
                start_s,
                end_s,
            }
        });
        let mut words: Vec<Aligned> = words.collect();
        let median_s = median_length(&words);
        shorten_at_sentence_ends(&mut words, 2.0 * median_s);
        merge_punctuation(&mut words);
        Self { words, median_s }
    }
}

/// The median of the lengths of words that have one; 0 if there is none.
fn median_length(words: &[Aligned]) -> f64 {
    let lengths = words.iter().map(|word| word.end_s - word.start_s);
    let mut lengths: Vec<f64> = lengths.filter(|length| *length != 0.0).collect();
    lengths.sort_unstable_by(f64::total_cmp);
    let middle = lengths.len() / 2;
    let median = match lengths.get(middle) {
        None => 0.0,
        Some(upper) if lengths.len().is_multiple_of(2) => {
            f64::midpoint(lengths[middle - 1], *upper)
        }
        Some(median) => *median,
    };
    median.min(LONGEST_MEDIAN_S)
}

/// Where a sentence ends, attention rests on the pause.
fn shorten_at_sentence_ends(words: &mut [Aligned], longest_s: f64) {
    if longest_s == 0.0 {
        return;
    }
    for index in 1..words.len() {
        if words[index].end_s - words[index].start_s <= longest_s {
            continue;
        }
        if ENDS_SENTENCE.contains(&words[index].text) {
            words[index].end_s = words[index].start_s + longest_s;
        } else if ENDS_SENTENCE.contains(&words[index - 1].text) {
            words[index].start_s = words[index].end_s - longest_s;
        }
    }
}

/// Puts quotes, stops and the like to their words; what was put elsewhere has no text.
fn merge_punctuation(words: &mut [Aligned]) {
    let give = |words: &mut [Aligned], from: usize, to: usize| {
        let (text, tokens) = (std::mem::take(&mut words[from].text), words[from].tokens);
        words[from].tokens = 0;
        words[to].tokens += tokens;
        if from < to {
            words[to].text.insert_str(0, &text);
        } else {
            words[to].text.push_str(&text);
        }
    };
    let mut to = words.len().saturating_sub(1);
    for index in (0..to).rev() {
        let text = &words[index].text;
        if text.starts_with(' ') && BEFORE_WORD.contains(text.trim()) {
            give(words, index, to);
        } else {
            to = index;
        }
    }
    let mut to = 0;
    for index in 1..words.len() {
        if !words[to].text.ends_with(' ') && BEHIND_WORD.contains(&words[index].text) {
            give(words, index, to);
        } else {
            to = index;
        }
    }
}

/// Gives segments of one window their words, and the times of these where they are near. `texts`: numbers of text tokens
/// of the segments; `offset_s`: where the window begins; `last_s`: where the last segment before it ended. Returns where
/// the last one ends.
pub(crate) fn place_words(
    segments: &mut [Segment],
    texts: &[usize],
    words: Punctuated,
    offset_s: f64,
    last_s: f64,
) -> f64 {
    let (median_s, mut last_s) = (words.median_s, last_s);
    let mut words = words.words.into_iter().peekable();
    for (segment, tokens) in segments.iter_mut().zip(texts) {
        let mut placed = 0;
        let mut own: Vec<Word> = Vec::new();
        while placed < *tokens
            && let Some(word) = words.next()
        {
            placed += word.tokens;
            if !word.text.is_empty() {
                own.push(Word {
                    text: word.text,
                    start_s: hundredths(offset_s + word.start_s),
                    end_s: hundredths(offset_s + word.end_s),
                });
            }
        }
        shorten_after_pause(&mut own, last_s, median_s);
        take_times(segment, &mut own, median_s);
        if !own.is_empty() {
            last_s = segment.end_s;
        }
        segment.words = own;
    }
    last_s
}

/// The first words behind a pause reach into it.
fn shorten_after_pause(words: &mut [Word], last_s: f64, median_s: f64) {
    let longest_s = 2.0 * median_s;
    let (first, second) = match words {
        [] => return,
        [first] => (first, None),
        [first, second, ..] => (first, Some(second)),
    };
    let both = second.as_ref().map(|second| second.end_s - first.start_s);
    let is_long =
        first.end_s - first.start_s > longest_s || both.is_some_and(|both| both > 2.0 * longest_s);
    if first.end_s - last_s <= 4.0 * median_s || !is_long {
        return;
    }
    if let Some(second) = second.filter(|second| second.end_s - second.start_s > longest_s) {
        let between = (second.end_s / 2.0).max(second.end_s - longest_s);
        first.end_s = between;
        second.start_s = between;
    }
    first.start_s = (first.end_s - longest_s).max(0.0);
}

/// The segment begins and ends with its words, unless these are far from where it does by itself.
fn take_times(segment: &mut Segment, words: &mut [Word], median_s: f64) {
    if let Some(first) = words.first_mut() {
        if segment.start_s < first.end_s && segment.start_s - FAR_S > first.start_s {
            first.start_s = (first.end_s - median_s).min(segment.start_s).max(0.0);
        } else {
            segment.start_s = first.start_s;
        }
    }
    if let Some(last) = words.last_mut() {
        if segment.end_s > last.start_s && segment.end_s + FAR_S < last.end_s {
            last.end_s = (last.start_s + median_s).max(segment.end_s);
        } else {
            segment.end_s = last.end_s;
        }
    }
}

fn hundredths(seconds: f64) -> f64 {
    (seconds * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(texts: &[(&str, usize)]) -> Vec<(String, usize)> {
        texts
            .iter()
            .map(|(text, tokens)| ((*text).to_owned(), *tokens))
            .collect()
    }

    fn texts(words: &[Aligned]) -> Vec<&str> {
        words.iter().map(|word| word.text.as_str()).collect()
    }

    #[test]
    fn punctuation_goes_to_its_words() {
        let split = words(&[
            (" \"", 1),
            ("Stop", 1),
            ("!\"", 1),
            (" he", 1),
            (" said", 1),
            (".", 1),
        ]);
        let times: Vec<f64> = (0..7).map(|index| f64::from(index) * 0.3).collect();
        let found = Punctuated::new(split, &times);
        // !" is no run of the list, as in the reference.
        assert_eq!(
            texts(&found.words),
            ["", " \"Stop", "!\"", " he", " said.", ""]
        );
        assert_eq!(found.words[1].tokens, 2);
        assert!((found.median_s - 0.3).abs() < 1e-9);
    }

    #[test]
    fn a_stop_does_not_last_as_long_as_the_pause_behind_it() {
        let split = words(&[(" One", 1), (" two", 1), (".", 1), (" Three", 1)]);
        let found = Punctuated::new(split, &[0.0, 0.3, 0.6, 3.6, 3.9]);
        assert_eq!(texts(&found.words), [" One", " two.", "", " Three"]);
        assert!((found.words[2].end_s - 1.2).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn segments_take_their_words_and_the_times_of_these() {
        let segment = |start_s, end_s| Segment {
            start_s,
            end_s,
            ..Segment::default()
        };
        let mut segments = [segment(10.0, 11.0), segment(11.2, 12.0)];
        let split = words(&[(" one", 1), (" two", 2), (" three", 1)]);
        let found = Punctuated::new(split, &[0.1, 0.5, 0.7, 0.9, 1.6]);
        let last_s = place_words(&mut segments, &[3, 1], found, 10.0, 9.9);
        let words = |index: usize| -> Vec<(&str, f64, f64)> {
            let words = segments[index].words.iter();
            words
                .map(|word| (word.text.as_str(), word.start_s, word.end_s))
                .collect()
        };
        assert_eq!(words(0), [(" one", 10.1, 10.5), (" two", 10.5, 10.9)]);
        assert_eq!(words(1), [(" three", 10.9, 11.6)]);
        assert_eq!((segments[0].start_s, segments[0].end_s), (10.1, 10.9));
        assert_eq!((segments[1].end_s, last_s), (11.6, 11.6));
    }

    #[test]
    fn a_first_word_does_not_reach_through_a_pause() {
        let mut segments = [Segment {
            start_s: 8.0,
            end_s: 9.0,
            ..Segment::default()
        }];
        let split = words(&[(" one", 1), (" two", 1), (" three", 1)]);
        let found = Punctuated::new(split, &[0.0, 8.2, 8.5, 8.8]);
        place_words(&mut segments, &[3], found, 0.0, 0.0);
        let first = &segments[0].words[0];
        assert!(
            (first.end_s - first.start_s - 0.6).abs() < 1e-9,
            "{first:?}"
        );
    }
}
