//! Which tokens may come next.
//!
//! Source: `SuppressBlank`, `SuppressTokens` and `ApplyTimestampRules` in openai-whisper's
//! `decoding.py`; transformers' logits processors state the same rules.

use crate::model::{Logits, log_sum_exp};
use crate::vocabulary::Vocabulary;

/// Forbids, by −∞, what may not follow `chosen` (the tokens after the prompt). Returns, of logits that are estimates, the
/// `count` that seem to be the highest of what is left, which are exact then.
pub(crate) fn apply(
    vocabulary: &Vocabulary,
    timestamps: bool,
    chosen: &[u32],
    logits: &mut Logits,
    count: usize,
) -> Vec<f32> {
    if chosen.is_empty() {
        forbid_each(logits.values_mut(), vocabulary.suppressed_first());
    }
    forbid_each(logits.values_mut(), vocabulary.suppressed());
    if timestamps {
        let rules = TimestampRules {
            end_of_text: vocabulary.end_of_text() as usize,
            ends: vocabulary.ends(),
            no_timestamps: vocabulary.no_timestamps() as usize,
            first: vocabulary.timestamps().start as usize,
            behind: vocabulary.timestamps().end as usize,
            max_initial: vocabulary
                .max_initial_timestamp()
                .map(|index| index as usize),
        };
        rules.forbid(chosen, logits.values_mut());
        // Their sum decides.
        logits.settle(rules.first..rules.behind);
        logits.settle_highest(count);
        rules.prefer_likely_timestamps(logits.values_mut());
    }
    logits.settle_favourites(count)
}

/// What timestamps obey, by token index.
struct TimestampRules<'a> {
    end_of_text: usize,
    /// Tokens that end a text.
    ends: &'a [u32],
    no_timestamps: usize,
    first: usize,
    /// The first of the words that were added behind the timestamps.
    behind: usize,
    max_initial: Option<usize>,
}

impl TimestampRules<'_> {
    fn forbid(&self, chosen: &[u32], logits: &mut [f32]) {
        forbid(logits, self.no_timestamps, self.no_timestamps + 1);
        self.keep_pairs(chosen, logits);
        self.keep_order(chosen, logits);
        if chosen.is_empty() {
            self.begin(logits);
        }
    }

    fn is_timestamp(&self, token: Option<&u32>) -> bool {
        token.is_some_and(|&token| (self.first..self.behind).contains(&(token as usize)))
    }

    /// A segment's end is followed by a segment's start or by the end of text; a start by words.
    fn keep_pairs(&self, chosen: &[u32], logits: &mut [f32]) {
        let mut latest = chosen.iter().rev();
        let last = self.is_timestamp(latest.next());
        if !last {
            return;
        }
        let penultimate = chosen.len() < 2 || self.is_timestamp(latest.next());
        if penultimate {
            forbid(logits, self.first, self.behind);
        } else {
            self.forbid_words(logits);
        }
    }

    fn forbid_words(&self, logits: &mut [f32]) {
        let ends = self.ends.iter().map(|&end| end as usize);
        let kept: Vec<(usize, f32)> = ends
            .filter_map(|end| Some((end, *logits.get(end)?)))
            .collect();
        forbid(logits, 0, self.end_of_text);
        forbid(logits, self.behind, logits.len());
        for (end, logit) in kept {
            logits[end] = logit;
        }
    }

    /// Time never goes back, and no segment is empty.
    fn keep_order(&self, chosen: &[u32], logits: &mut [f32]) {
        let Some(&last) = chosen.iter().rfind(|&token| self.is_timestamp(Some(token))) else {
            return;
        };
        let ended = self.is_timestamp(chosen.last())
            && chosen.len() >= 2
            && !self.is_timestamp(chosen.iter().rev().nth(1));
        let allowed = last as usize + usize::from(!ended);
        forbid(logits, self.first, allowed);
    }

    /// The first token is a timestamp, and not a late one.
    fn begin(&self, logits: &mut [f32]) {
        forbid(logits, 0, self.first);
        forbid(logits, self.behind, logits.len());
        if let Some(max_initial) = self.max_initial {
            forbid(logits, self.first + max_initial + 1, logits.len());
        }
    }

    /// When all timestamps together are likelier than any word, it is time for one.
    fn prefer_likely_timestamps(&self, logits: &mut [f32]) {
        let behind = self.behind.min(logits.len());
        let Some(timestamps) = logits.get(self.first..behind) else {
            return;
        };
        let word = maximum(&logits[..self.first]).max(maximum(&logits[behind..]));
        if log_sum_exp(timestamps) > word {
            forbid(logits, 0, self.first);
            forbid(logits, behind, logits.len());
        }
    }
}

fn forbid(logits: &mut [f32], from: usize, to: usize) {
    let to = to.min(logits.len());
    if let Some(range) = logits.get_mut(from.min(to)..to) {
        range.fill(f32::NEG_INFINITY);
    }
}

fn forbid_each(logits: &mut [f32], tokens: &[u32]) {
    for &token in tokens {
        if let Some(logit) = logits.get_mut(token as usize) {
            *logit = f32::NEG_INFINITY;
        }
    }
}

fn maximum(logits: &[f32]) -> f32 {
    logits.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// Probability of one token under plain softmax.
pub(crate) fn probability(logits: &mut Logits, token: u32) -> f32 {
    let token = token as usize;
    logits.settle(token..token + 1);
    logits.settle_highest(1);
    let logits = logits.values();
    logits
        .get(token)
        .map_or(0.0, |logit| (logit - log_sum_exp(logits)).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words 0..5, end of text 5, no-timestamps 6, timestamps 7..12.
    const RULES: TimestampRules<'_> = TimestampRules {
        end_of_text: 5,
        ends: &[5],
        no_timestamps: 6,
        first: 7,
        behind: 12,
        max_initial: Some(2),
    };

    /// Which tokens stay possible after `chosen` when words are likelier than timestamps.
    fn check(chosen: &[u32], allowed: &[usize]) {
        check_with(&RULES, 12, chosen, allowed);
    }

    fn check_with(rules: &TimestampRules<'_>, tokens: usize, chosen: &[u32], allowed: &[usize]) {
        let mut logits = vec![9.0; tokens];
        logits[7..12].fill(0.0);
        rules.forbid(chosen, &mut logits);
        rules.prefer_likely_timestamps(&mut logits);
        let left: Vec<usize> = (0..logits.len())
            .filter(|&t| logits[t].is_finite())
            .collect();
        assert_eq!(left, allowed, "after {chosen:?}");
    }

    #[test]
    fn an_early_timestamp_comes_first() {
        check(&[], &[7, 8, 9]);
    }

    #[test]
    fn words_follow_a_segments_start() {
        check(&[7], &[0, 1, 2, 3, 4, 5]);
        check(&[7, 1, 9, 9], &[0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn time_does_not_go_back_within_words() {
        check(&[8, 1], &[0, 1, 2, 3, 4, 5, 9, 10, 11]);
    }

    #[test]
    fn a_start_or_the_end_follows_a_segments_end() {
        check(&[7, 1, 9], &[5, 9, 10, 11]);
    }

    /// 12 and 13 are words that were added behind the timestamps, 2 is an end too.
    #[test]
    fn added_words_and_other_ends_obey_the_rules_of_their_kind() {
        let rules = TimestampRules {
            ends: &[5, 2],
            ..RULES
        };
        let check = |chosen: &[u32], allowed: &[usize]| check_with(&rules, 14, chosen, allowed);
        check(&[], &[7, 8, 9]);
        check(&[7], &[0, 1, 2, 3, 4, 5, 12, 13]);
        check(&[8, 12], &[0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13]);
        check(&[7, 13, 9], &[2, 5, 9, 10, 11]);
        let mut logits = vec![1.0; 14];
        rules.prefer_likely_timestamps(&mut logits);
        assert!(logits[12..].iter().all(|logit| logit.is_infinite()));
    }

    #[test]
    fn likely_timestamps_displace_words() {
        let mut logits = vec![1.0; 12];
        RULES.forbid(&[7, 1], &mut logits);
        RULES.prefer_likely_timestamps(&mut logits);
        assert!(logits[..7].iter().all(|logit| logit.is_infinite()));
    }

    #[test]
    fn probabilities_sum_to_one() {
        let mut logits = Logits::Exact(vec![0.5, -1.0, 3.0, f32::NEG_INFINITY]);
        let sum: f32 = (0..4).map(|token| probability(&mut logits, token)).sum();
        assert!((sum - 1.0).abs() < 1e-6);
        assert!(log_sum_exp(&[f32::NEG_INFINITY]).is_infinite());
    }
}
