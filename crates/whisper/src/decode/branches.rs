//! Hypotheses that are kept beside the best ones because they follow a name.
//!
//! A name that is expected may begin with a token that the model finds less probable than another; whether the audio has
//! the name shows only in its further tokens. So such a hypothesis goes on beside the others, as long as it could still
//! come before them with what the name would be [worth](crate::names), and is dropped as soon as it could not, or its
//! name is not finished.

use super::hypothesis::Hypothesis;
use super::naming::Track;
use crate::model::Logits;
use crate::names::Names;
use crate::vocabulary::Vocabulary;

/// A token is no branch if it is less probable than the best by more than this factor, e^4. With e^6, names that are not
/// said take the places of those that are: 1.0 to 1.8 points of the slots of 200 orders, with five hypotheses.
const REACH: f32 = 4.0;
/// A branch is behind the best hypothesis by at most this factor, e^0.5, with what its name would be worth.
const MARGIN: f32 = 0.5;
/// Hypotheses whose last tokens are the same, so many, go on in the same way: the better one stays.
const SAME_TOKENS: usize = 3;
/// What an estimated logit may be off, more or less.
const UNCERTAIN: f32 = 0.3;

/// What may follow a hypothesis.
#[derive(Debug)]
pub(super) struct Candidate {
    /// Log probability of the hypothesis and the token, and what its names are worth.
    pub(super) score: f32,
    /// The same beside those that have ended or go on, however many tokens they have.
    pub(super) rank: f32,
    /// What the name that it is within would be worth.
    pub(super) hope: f32,
    pub(super) sum_log_prob: f32,
    /// The hypothesis.
    pub(super) source: usize,
    pub(super) token: u32,
    pub(super) track: Track,
    /// Whether no other token comes before this one there.
    pub(super) is_first: bool,
}

/// Adds the tokens that begin a name behind `hypothesis`, or go on with it, and are not much less probable than the
/// first of `tokens`.
pub(super) fn add_tokens(
    names: &Names,
    vocabulary: &Vocabulary,
    hypothesis: &Hypothesis,
    logits: &mut Logits,
    tokens: &mut Vec<u32>,
) {
    let Some(&first) = tokens.first() else {
        return;
    };
    let values = logits.values();
    let best = values[first as usize];
    let (track, chosen) = (&hypothesis.track, &hypothesis.tokens);
    let mut close = Vec::new();
    track.each_continuation(names, vocabulary, chosen, |token, prospect| {
        let reach = REACH.min(prospect + MARGIN) + UNCERTAIN;
        if values
            .get(token as usize)
            .is_some_and(|value| *value > best - reach)
        {
            close.push(token);
        }
    });
    for token in close {
        if !tokens.contains(&token) {
            logits.settle(token as usize..token as usize + 1);
            tokens.push(token);
        }
    }
}

/// The branches among `others`, at most `most` that go on, and those that end and come before all that ended.
/// `ended`: the rank of the best of these. `hypotheses`: their sources.
pub(super) fn choose(
    kept: &[Candidate],
    others: Vec<Candidate>,
    ended: f32,
    most: usize,
    hypotheses: &[Hypothesis],
) -> Vec<Candidate> {
    if most == 0 {
        return Vec::new();
    }
    let best = best_rank(kept, ended);
    let least = (best - MARGIN).max(ended);
    let mut others: Vec<Candidate> = others
        .into_iter()
        .filter(|other| other.is_branch() && other.hoped() > least)
        .collect();
    others.sort_by(|a, b| b.hoped().total_cmp(&a.hoped()));
    let mut chosen: Vec<Candidate> = Vec::new();
    for other in others {
        if chosen.len() == most {
            break;
        }
        let mut better = kept.iter().chain(&chosen);
        if !better.any(|better| better.goes_on_like(&other, hypotheses)) {
            chosen.push(other);
        }
    }
    chosen
}

/// The highest rank of `candidates`, or `least`.
pub(super) fn best_rank(candidates: &[Candidate], least: f32) -> f32 {
    let ranks = candidates.iter().map(|candidate| candidate.rank);
    ranks.fold(least, f32::max)
}

impl Candidate {
    /// Whether it follows a name, has one, or is what its hypothesis goes on with by itself.
    fn is_branch(&self) -> bool {
        self.track.is_inside() || self.track.has_names() || self.is_first
    }

    /// The rank that it may come to.
    fn hoped(&self) -> f32 {
        self.rank + self.hope
    }

    /// Whether it follows a name and may come before all that ended, the best of which has the rank `ended`.
    pub(super) fn may_pass(&self, ended: f32) -> bool {
        (self.track.is_inside() || self.track.has_names()) && self.hoped() > ended
    }

    /// Whether what follows will be the same: the last tokens are, or the name and the place within it. The first token
    /// of a valuable name, behind each hypothesis that there is, would otherwise leave no room for other names.
    fn goes_on_like(&self, other: &Self, hypotheses: &[Hypothesis]) -> bool {
        match (self.track.node(), other.track.node()) {
            (None, None) => self.tail(hypotheses) == other.tail(hypotheses),
            (node, other) => node == other,
        }
    }

    /// The last tokens, the newest first.
    fn tail(&self, hypotheses: &[Hypothesis]) -> Vec<u32> {
        let before = hypotheses[self.source].tokens.iter().rev();
        let tokens = std::iter::once(&self.token).chain(before);
        tokens.take(SAME_TOKENS).copied().collect()
    }
}
