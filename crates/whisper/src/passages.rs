//! Which parts of long audio are transcribed: those with speech. Pure.
//!
//! Windows begin where speech does, and end before a long pause: what a model has to say of a pause is invented.

use std::ops::Range;

use crate::mel::HOP_LENGTH;

/// Pauses up to this length are part of what is said: 2 s, in mel frames. The model was trained with them.
const LONGEST_PAUSE: usize = 200;

/// The detector's margin behind speech, 0.3 s.
const MARGIN: usize = 30;

/// Where there is speech, in mel frames (10 ms).
#[derive(Clone, Debug)]
pub(crate) struct Passages {
    /// Stretches of speech, in order, apart from each other.
    speech: Vec<Range<usize>>,
    frames: usize,
    /// The detector did not run.
    is_unknown: bool,
}

impl Passages {
    /// All of the audio: a detector was not asked.
    pub(crate) fn whole(frames: usize) -> Self {
        Self {
            speech: std::iter::once(0..frames).collect(),
            frames,
            is_unknown: true,
        }
    }

    /// `spans`: of speech, in samples.
    pub(crate) fn new(spans: &[Range<usize>], frames: usize) -> Self {
        let speech = spans
            .iter()
            .map(|span| span.start / HOP_LENGTH..span.end.div_ceil(HOP_LENGTH).min(frames))
            .filter(|span| !span.is_empty())
            .collect();
        Self {
            speech,
            frames,
            is_unknown: false,
        }
    }

    /// Length of the audio.
    pub(crate) fn frames(&self) -> usize {
        self.frames
    }

    /// Whether there is any.
    pub(crate) fn has_speech(&self) -> bool {
        !self.speech.is_empty()
    }

    /// The first frame of speech.
    pub(crate) fn first(&self) -> usize {
        self.speech.first().map_or(self.frames, |span| span.start)
    }

    /// The first frame of speech from `frame` on; the end of the audio if there is none. What is left of a
    /// stretch is not heard if it is no more than its margin.
    pub(crate) fn next(&self, frame: usize) -> usize {
        let margin = if self.is_unknown { 0 } else { MARGIN };
        let has_more = |span: &&Range<usize>| span.end > frame.max(span.start) + margin;
        let span = self.speech.iter().find(has_more);
        span.map_or(self.frames, |span| span.start.max(frame))
    }

    /// Where the passage ends that goes on at `frame`: before a long pause, or at the end of the audio.
    pub(crate) fn end(&self, frame: usize) -> usize {
        let mut end = None;
        for span in self.speech.iter().filter(|span| span.end > frame) {
            match end {
                Some(end) if span.start > end + LONGEST_PAUSE => break,
                _ => end = Some(span.end),
            }
        }
        end.unwrap_or(self.frames)
    }

    /// The last pause, however short, in the second half of a window; the end of the window if there is none.
    pub(crate) fn pause_in(&self, window: &Range<usize>) -> usize {
        let middle = usize::midpoint(window.start, window.end);
        let ends = self.speech.iter().rev().map(|span| span.end);
        ends.into_iter()
            .find(|&end| end > middle && end < window.end)
            .unwrap_or(window.end)
    }

    /// Frames of speech within `window`; `None` when the detector did not run.
    pub(crate) fn speech_in(&self, window: &Range<usize>) -> Option<usize> {
        let overlap = |span: &Range<usize>| {
            let (start, end) = (span.start.max(window.start), span.end.min(window.end));
            end.saturating_sub(start)
        };
        (!self.is_unknown).then(|| self.speech.iter().map(overlap).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Speech in 1..2 s, 3..4 s and 10..40 s of 50.
    fn passages() -> Passages {
        let second = 16_000;
        let spans = [
            second..2 * second,
            3 * second..4 * second,
            10 * second..40 * second,
        ];
        Passages::new(&spans, 5_000)
    }

    #[test]
    fn a_passage_holds_short_pauses_and_ends_before_a_long_one() {
        let passages = passages();
        assert_eq!((passages.next(0), passages.end(100)), (100, 400));
        assert_eq!((passages.next(250), passages.end(250)), (300, 400));
        assert_eq!((passages.next(375), passages.end(1_000)), (1_000, 4_000));
        assert_eq!((passages.next(4_000), passages.end(4_000)), (5_000, 5_000));
    }

    #[test]
    fn a_window_is_cut_at_its_last_pause() {
        assert_eq!(passages().pause_in(&(100..400)), 400);
        assert_eq!(passages().pause_in(&(100..350)), 350);
        assert_eq!(passages().pause_in(&(0..500)), 400);
        assert_eq!(passages().pause_in(&(1_000..4_000)), 4_000);
    }

    #[test]
    fn speech_is_counted_where_a_detector_listened() {
        assert_eq!(passages().speech_in(&(150..350)), Some(100));
        assert_eq!(passages().speech_in(&(500..900)), Some(0));
        assert_eq!(Passages::whole(100).speech_in(&(0..100)), None);
    }

    #[test]
    fn without_a_detector_all_is_one_passage() {
        let passages = Passages::whole(100);
        assert_eq!((passages.next(0), passages.end(0)), (0, 100));
        assert_eq!((passages.next(30), passages.end(30)), (30, 100));
        assert_eq!(passages.next(100), 100);
    }
}
