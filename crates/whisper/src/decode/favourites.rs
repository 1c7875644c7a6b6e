//! Which logits have to be exact, where the best continuations of several hypotheses are wanted.
//!
//! The best of each hypothesis are not all needed: the fifth best of a bad one comes behind all of a good one. Exact
//! logits come from memory that nothing else reads, and with the best of each, five hypotheses of tiny.en took 270 of them
//! a step and hypothesis.

/// A hypothesis, and what is known of the logits that may continue it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) sum_log_prob: f32,
    /// Whether it is within a name or has one, and so is worth more than its probability.
    pub(super) has_names: bool,
    /// Exact logits of the tokens that seem to be the best.
    pub(super) favourites: Vec<f32>,
    /// Logarithm of the sum of all exponentials.
    pub(super) total: f32,
}

/// For each hypothesis, what a logit has to be for its token to be one of its best, and one of the `count` best of all.
pub(super) fn least(known: &[Known], count: usize) -> Vec<f32> {
    let last = last(known, count);
    let of_one = |known: &Known| {
        let own = known.favourites.iter().copied();
        let own = own.fold(f32::INFINITY, f32::min);
        match last.filter(|_| !known.has_names) {
            Some(last) => own.max(last - known.sum_log_prob + known.total),
            None => own,
        }
    };
    known.iter().map(of_one).collect()
}

/// A score that the `count` best of all reach; none with one hypothesis, whose own bound is the same.
fn last(known: &[Known], count: usize) -> Option<f32> {
    if known.len() < 2 {
        return None;
    }
    let of_one = |known: &Known| {
        let before = known.sum_log_prob - known.total;
        let scores = known.favourites.iter();
        scores.map(|logit| before + logit).collect::<Vec<_>>()
    };
    let mut scores: Vec<f32> = known.iter().flat_map(of_one).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    scores.get(count.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(sum_log_prob: f32, favourites: &[f32]) -> Known {
        Known {
            sum_log_prob,
            has_names: false,
            favourites: favourites.to_vec(),
            total: 10.0,
        }
    }

    #[test]
    fn a_bad_hypothesis_has_to_reach_what_a_good_one_has() {
        let mut all = [known(-1.0, &[9.0, 7.0, 4.0]), known(-6.0, &[9.5, 3.0, 2.0])];
        // -2, -4 and -6.5 are the best three.
        assert_eq!(least(&all, 3), [4.5, 9.5]);
        assert_eq!(least(&all, 4), [4.0, 9.0], "the fourth is -7");
        assert_eq!(least(&all, 7), [4.0, 2.0], "there are not so many");
        all[1].has_names = true;
        assert_eq!(least(&all, 3), [4.5, 2.0]);
    }

    #[test]
    fn one_hypothesis_wants_its_own_best() {
        assert_eq!(least(&[known(-1.0, &[9.0, 7.0])], 1), [7.0]);
        assert_eq!(least(&[known(-1.0, &[])], 1), [f32::INFINITY], "exact");
        assert!(least(&[], 0).is_empty());
    }
}
