//! Words that a transcript is made to begin with: they were heard, and told, before all of the audio was there.

use crate::alignment::words_of;
use crate::transcript::Segment;
use crate::vocabulary::Vocabulary;

/// Whole words from the start of one utterance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beginning {
    /// Without timestamps.
    pub(crate) tokens: Vec<u32>,
    /// Mean log probability of a token of the transcript that has them.
    pub(crate) avg_log_prob: f32,
    /// They are said in the first so many samples.
    pub(crate) samples: usize,
    language: String,
    text: String,
}

impl Beginning {
    /// The words of a segment that is all that was heard in the first `samples` of the audio. What is behind the last word
    /// is left out: where speech goes on, it is no end of a sentence. `None` where there are no words.
    pub fn of(
        vocabulary: &Vocabulary,
        language: &str,
        segment: &Segment,
        samples: usize,
    ) -> Option<Self> {
        let words = segment.tokens.iter().copied();
        let all = Self {
            tokens: words.filter(|token| vocabulary.is_word(*token)).collect(),
            avg_log_prob: segment.avg_log_prob,
            samples,
            language: language.to_owned(),
            text: String::new(),
        };
        let count = all.words(vocabulary).len();
        all.first_words(vocabulary, count)
    }

    /// The first words, as far as `other` has the same.
    pub fn shared(&self, vocabulary: &Vocabulary, other: &Self) -> Option<Self> {
        let (own, others) = (self.words(vocabulary), other.words(vocabulary));
        let same = own
            .iter()
            .zip(&others)
            .take_while(|(own, other)| own == other);
        self.first_words(vocabulary, same.count())
    }

    /// What is written of them, without a space at its ends.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Mean log probability of a token of the text that they are the beginning of.
    pub fn avg_log_prob(&self) -> f32 {
        self.avg_log_prob
    }

    /// Code of the language that they are in.
    pub fn language(&self) -> &str {
        &self.language
    }

    /// Any tokens.
    #[cfg(test)]
    pub(crate) fn of_tokens(tokens: Vec<u32>) -> Self {
        Self {
            tokens,
            avg_log_prob: -0.2,
            samples: 16_000,
            ..Self::default()
        }
    }

    /// The first `count` words, less those at their end that are punctuation or not a whole character.
    fn first_words(&self, vocabulary: &Vocabulary, count: usize) -> Option<Self> {
        let mut words = self.words(vocabulary);
        words.truncate(count);
        let is_said = |(text, _): &(String, usize)| {
            let is_whole = !text.contains(char::REPLACEMENT_CHARACTER);
            is_whole && text.chars().any(char::is_alphanumeric)
        };
        words.truncate(words.iter().rposition(is_said)? + 1);
        let count = words.iter().map(|(_, tokens)| tokens).sum();
        let text: String = words.into_iter().map(|(text, _)| text).collect();
        Some(Self {
            tokens: self.tokens.get(..count)?.to_vec(),
            text: text.trim().to_owned(),
            language: self.language.clone(),
            ..*self
        })
    }

    /// Texts and numbers of tokens.
    fn words(&self, vocabulary: &Vocabulary) -> Vec<(String, usize)> {
        words_of(vocabulary, &self.language, &self.tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::vocabulary_of_bytes;

    fn of(vocabulary: &Vocabulary, language: &str, text: &str) -> Option<Beginning> {
        let segment = Segment {
            tokens: vocabulary.encode(text),
            ..Segment::default()
        };
        Beginning::of(vocabulary, language, &segment, 16_000)
    }

    #[test]
    fn what_is_behind_the_last_word_is_left_out() {
        let vocabulary = vocabulary_of_bytes();
        let check = |text: &str, expected: Option<&str>| {
            let beginning = of(&vocabulary, "en", text);
            let found = beginning.as_ref().map(Beginning::text);
            assert_eq!(found, expected, "{text:?}");
            if let Some(beginning) = &beginning {
                let text = vocabulary.decode(&beginning.tokens);
                assert_eq!(text.trim(), beginning.text());
            }
        };
        check(" Turn on.", Some("Turn on"));
        check(" Turn on, please …", Some("Turn on, please"));
        check(" Yes", Some("Yes"));
        check(" …", None);
        check("", None);
    }

    #[test]
    fn whole_words_are_shared() {
        let vocabulary = vocabulary_of_bytes();
        let check = |language: &str, first: &str, second: &str, expected: Option<&str>| {
            let [first, second] =
                [first, second].map(|text| of(&vocabulary, language, text).unwrap());
            let shared = first.shared(&vocabulary, &second);
            assert_eq!(shared.as_ref().map(Beginning::text), expected, "{first:?}");
        };
        check(
            "en",
            " Turn on the light",
            " Turn on the lights in",
            Some("Turn on the"),
        );
        check("en", " Turn on.", " Turn on, please", Some("Turn on"));
        check("en", " Turn", " Burn", None);
        check(
            "de",
            " Schalte die Küche",
            " Schalte die Küche ein",
            Some("Schalte die Küche"),
        );
        // A character is a word.
        check("ja", "電気をつけ", "電気を消し", Some("電気を"));
    }
}
