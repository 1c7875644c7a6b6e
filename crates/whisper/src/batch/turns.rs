//! Whose turn it is, and which windows are encoded together. Pure.

/// Decoder passes for each pass of the encoder, while there is both to do. A token takes a small part of the time of a
/// window, so that those who wait for their last tokens hardly hold up those who wait to be heard.
const DECODES_PER_ENCODE: u32 = 4;

/// A window that is to be encoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// Lower for those that came earlier.
    pub(super) number: u64,
    /// Of its place.
    pub(super) index: usize,
    pub(super) frames: usize,
}

/// The places whose windows are encoded in the next pass: the one that has waited longest and those that have as many
/// frames, oldest first, `most(frames)` at most. So a window waits for no more passes than there were windows before it,
/// whatever comes after it.
pub(super) fn together(mut waiting: Vec<Waiting>, most: impl Fn(usize) -> usize) -> Vec<usize> {
    waiting.sort_by_key(|window| window.number);
    let Some(&oldest) = waiting.first() else {
        return Vec::new();
    };
    waiting
        .into_iter()
        .filter(|window| window.frames == oldest.frames)
        .map(|window| window.index)
        .take(most(oldest.frames).max(1))
        .collect()
}

/// What a pass does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    Encode,
    Decode,
}

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Decoder passes since the last window.
    decodes: u32,
}

impl Turns {
    /// The next pass; `None` with nothing to do. `windows`, `tokens`: whether any are waiting.
    pub(super) fn next(&mut self, windows: bool, tokens: bool) -> Option<Pass> {
        let is_due = !tokens || self.decodes >= DECODES_PER_ENCODE;
        if windows && is_due {
            self.decodes = 0;
            return Some(Pass::Encode);
        }
        self.decodes = self.decodes.saturating_add(1);
        tokens.then_some(Pass::Decode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_and_tokens_take_turns_and_neither_waits_for_what_is_not_there() {
        let mut turns = Turns::default();
        assert_eq!(turns.next(false, false), None);
        let mut turns = Turns::default();
        let mut passes = |windows, tokens, count: usize| -> String {
            let name = |pass| match pass {
                Some(Pass::Encode) => 'E',
                Some(Pass::Decode) => 'd',
                None => '-',
            };
            (0..count)
                .map(|_| name(turns.next(windows, tokens)))
                .collect()
        };
        assert_eq!(passes(true, false, 2), "EE");
        assert_eq!(passes(true, true, 11), "ddddEddddEd");
        assert_eq!(passes(false, true, 6), "dddddd");
        // A window that comes while others have long been decoded has waited enough.
        assert_eq!(passes(true, true, 2), "Ed");
    }

    /// `waiting`: frames, oldest first; `expected`: places, where place 10 has the oldest.
    fn check_together(waiting: &[usize], most: usize, expected: &[usize]) {
        let mut waiting: Vec<Waiting> = (0..)
            .zip(waiting)
            .map(|(number, &frames)| Waiting {
                number,
                index: 10 - usize::try_from(number).unwrap(),
                frames,
            })
            .collect();
        waiting.sort_by_key(|window| window.index);
        assert_eq!(together(waiting, |_| most), expected);
    }

    #[test]
    fn the_oldest_window_takes_those_of_its_length_along() {
        check_together(&[], 4, &[]);
        check_together(&[3_000, 3_000, 3_000], 4, &[10, 9, 8]);
        check_together(&[3_000, 3_000, 3_000], 2, &[10, 9]);
        check_together(&[448, 3_000, 448, 3_000], 4, &[10, 8]);
        check_together(&[3_000, 448, 3_000, 448], 1, &[10]);
        // Whatever the device says, the oldest is encoded.
        check_together(&[3_000, 448], 0, &[10]);
    }

    #[test]
    fn a_command_waits_for_no_more_passes_than_there_were_windows_before_it() {
        const WHOLE: usize = 3_000;
        for before in 0_u64..8 {
            let window = |number, frames| Waiting {
                number,
                index: usize::try_from(number).unwrap(),
                frames,
            };
            let mut waiting: Vec<Waiting> = (0..before).map(|n| window(n, WHOLE)).collect();
            waiting.push(window(before, 448));
            let mut passes = 0;
            loop {
                // Long files always have another window to encode.
                let newest = before + 1 + passes;
                waiting.push(window(newest, WHOLE));
                let chosen = together(waiting.clone(), |_| 4);
                assert!(chosen.len() <= 4);
                waiting.retain(|window| !chosen.contains(&window.index));
                if waiting.iter().all(|window| window.frames == WHOLE) {
                    break;
                }
                passes += 1;
            }
            assert!(passes <= before, "{passes} passes behind {before} windows");
        }
    }
}
