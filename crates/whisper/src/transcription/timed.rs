//! When the words of a window that is done were said.

use super::cut::FRAMES_PER_STEP;
use super::{FRAME_S, Spectrogram, Transcription};
use crate::LogMel;
use crate::alignment::{self, Reading};
use crate::transcript::Segment;
use crate::vocabulary::Vocabulary;

/// A window that is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unaligned {
    /// Its first mel frame.
    pub(super) seek: usize,
    /// In mel frames.
    pub(super) length: usize,
    /// Its first segment.
    pub(super) segments_from: usize,
    /// What was encoded last is this window.
    pub(super) is_encoded: bool,
}

impl Transcription {
    /// What has to be read for the times of the words of a window that is done, if any are missing, and the window
    /// itself where it has to be encoded again.
    pub(crate) fn to_align(&self, vocabulary: &Vocabulary) -> Option<(Reading, Option<LogMel>)> {
        let window = self.unaligned.filter(|_| self.wants_words())?;
        let Spectrogram::Long(mel) = &self.spectrogram else {
            return None;
        };
        let language = self.language.as_ref().map_or("", |(language, _)| language);
        let mut tokens = vocabulary.start_sequence(language, self.input.options.task);
        let start = tokens.len();
        tokens.push(vocabulary.no_timestamps());
        let segments = self.segments.get(window.segments_from..)?;
        tokens.extend(
            segments
                .iter()
                .flat_map(|segment| words(vocabulary, segment)),
        );
        if segments.is_empty() || tokens.len() >= self.positions {
            return None;
        }
        tokens.push(vocabulary.end_of_text());
        let reading = Reading {
            tokens,
            start,
            positions: window.length / FRAMES_PER_STEP,
        };
        let again = (!window.is_encoded).then(|| {
            mel.slice(window.seek, window.length)
                .slice(0, self.window_frames)
        });
        Some((reading, again))
    }

    /// The scores of what was to be read.
    pub(crate) fn align(
        &mut self,
        vocabulary: &Vocabulary,
        reading: &Reading,
        scores: Vec<Vec<f32>>,
    ) {
        let Some(window) = self.unaligned.take() else {
            return;
        };
        let times = alignment::times(reading, scores);
        let language = self.language.as_ref().map_or("", |(language, _)| language);
        let text = reading.start + 1..reading.tokens.len() - 1;
        let split = alignment::words_of(vocabulary, language, &reading.tokens[text]);
        let segments = self.segments.get_mut(window.segments_from..);
        let segments = segments.unwrap_or_default();
        let texts: Vec<usize> = segments
            .iter()
            .map(|segment| words(vocabulary, segment).count())
            .collect();
        self.last_word_s = alignment::place_words(
            segments,
            &texts,
            alignment::Punctuated::new(split, &times),
            window.seek as f64 * FRAME_S,
            self.last_word_s,
        );
    }
}

/// The tokens of a segment's text.
fn words<'s>(vocabulary: &'s Vocabulary, segment: &'s Segment) -> impl Iterator<Item = u32> + 's {
    let tokens = segment.tokens.iter().copied();
    tokens.filter(|token| vocabulary.is_word(*token))
}
