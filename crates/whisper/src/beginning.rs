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
