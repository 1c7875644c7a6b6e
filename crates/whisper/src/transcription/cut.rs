//! Where the tokens of a window are cut into segments. Pure.

use std::ops::Range;

/// Mel frames of one timestamp step (20 ms).
pub(super) const FRAMES_PER_STEP: usize = 2;

/// A window's tokens by segment, times in timestamp steps from the window's start.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) parts: Vec<Part>,
    /// Mel frames to the next window.
    pub(super) advance: usize,
}

impl Cut {
    /// One segment.
    pub(super) fn whole(tokens: &[u32], window: usize) -> Self {
        Self {
            parts: vec![Part {
                start: 0,
                end: window / FRAMES_PER_STEP,
                tokens: 0..tokens.len(),
            }],
            advance: window,
        }
    }
}

/// The segments and what is between them and behind them, in mel frames from the window's start, with their tokens.
pub(super) fn stretches(cut: &Cut) -> Vec<(Range<usize>, Range<usize>)> {
    let mut stretches = Vec::new();
    let mut heard_to = 0;
    for part in &cut.parts {
        let (start, end) = (part.start * FRAMES_PER_STEP, part.end * FRAMES_PER_STEP);
        stretches.push((heard_to..start.max(heard_to), 0..0));
        stretches.push((start..end.max(start), part.tokens.clone()));
        heard_to = end.max(heard_to);
    }
    stretches.push((heard_to..cut.advance.max(heard_to), 0..0));
    stretches
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) tokens: Range<usize>,
}

/// Segments end where two timestamps stand side by side. When the window ends in one timestamp,
/// nothing is said after it and the whole window is taken; else what is behind the last pair is
/// heard again in the next window. `window` is in mel frames.
pub(super) fn cut_at_timestamps(tokens: &[u32], timestamps: Range<u32>, window: usize) -> Cut {
    let step = |index: usize| {
        let token = tokens
            .get(index)
            .filter(|token| timestamps.contains(token))?;
        Some((token - timestamps.start) as usize)
    };
    let is_stamp = |index: usize| step(index).is_some();
    let last = tokens.len().saturating_sub(1);
    let single_ending = tokens.len() >= 2 && is_stamp(last) && !is_stamp(last - 1);
    let mut cuts: Vec<usize> = (1..tokens.len())
        .filter(|&index| is_stamp(index - 1) && is_stamp(index))
        .collect();
    if cuts.is_empty() {
        // No pair: one segment, to its last timestamp or to the end of the window.
        let end = (0..tokens.len())
            .rev()
            .find_map(step)
            .filter(|&step| step > 0)
            .unwrap_or(window / FRAMES_PER_STEP);
        let parts = if tokens.is_empty() {
            Vec::new()
        } else {
            vec![Part {
                start: 0,
                end,
                tokens: 0..tokens.len(),
            }]
        };
        return Cut {
            parts,
            advance: window,
        };
    }
    if single_ending {
        cuts.push(tokens.len());
    }
    let mut parts = Vec::new();
    let mut from = 0;
    for cut in cuts {
        parts.push(Part {
            start: step(from).unwrap_or_default(),
            end: step(cut - 1).unwrap_or_default(),
            tokens: from..cut,
        });
        from = cut;
    }
    let advance = if single_ending {
        window
    } else {
        step(from - 1).unwrap_or_default() * FRAMES_PER_STEP
    };
    Cut { parts, advance }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Timestamps begin at token 100; the window has 3000 frames.
    fn check(tokens: &[u32], parts: &[(usize, usize, Range<usize>)], advance: usize) {
        let parts = parts
            .iter()
            .map(|(start, end, tokens)| Part {
                start: *start,
                end: *end,
                tokens: tokens.clone(),
            })
            .collect();
        assert_eq!(
            cut_at_timestamps(tokens, 100..1_601, 3_000),
            Cut { parts, advance }
        );
    }

    #[test]
    fn a_single_segment_takes_the_whole_window() {
        check(&[100, 1, 2, 150], &[(0, 50, 0..4)], 3_000);
        check(&[100, 1, 2], &[(0, 1_500, 0..3)], 3_000);
        check(&[], &[], 3_000);
    }

    #[test]
    fn segments_end_at_pairs_of_timestamps() {
        check(
            &[100, 1, 150, 150, 2, 200],
            &[(0, 50, 0..3), (50, 100, 3..6)],
            3_000,
        );
    }

    #[test]
    fn stretches_are_segments_and_what_they_leave_out() {
        let cut = cut_at_timestamps(&[100, 1, 150, 250, 2, 300, 300], 100..1_601, 3_000);
        let expected = [
            (0..0, 0..0),
            (0..100, 0..3),
            (100..300, 0..0),
            (300..400, 3..6),
            (400..400, 0..0),
        ];
        assert_eq!(stretches(&cut), expected);
        let cut = cut_at_timestamps(&[100, 1, 150], 100..1_601, 3_000);
        assert_eq!(stretches(&cut)[2], (100..3_000, 0..0));
    }

    #[test]
    fn what_is_cut_off_is_heard_again() {
        check(&[100, 1, 150, 160, 2], &[(0, 50, 0..3)], 100);
        check(&[100, 1, 150, 150], &[(0, 50, 0..3)], 100);
    }
}
