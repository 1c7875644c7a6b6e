//! From logits to tokens: the best one, a random one, or several hypotheses side by side.
//!
//! Source: `GreedyDecoder`, `BeamSearchDecoder` (patience 1) and `MaximumLikelihoodRanker` (no
//! length penalty) in openai-whisper's `decoding.py`. [Names](crate::Names) that are expected are not in the reference:
//! hypotheses that follow one are kept beside the others as [branches].

use rayon::prelude::*;

use super::branches::{self, Candidate};
use super::draw::{Random, best_token};
use super::favourites::{self, Known};
use super::hypothesis::{Hypothesis, stretched};
use super::naming::{Expected, Track};
use super::{Request, rules};
use crate::model::{Best, Logits, Prediction, log_sum_exp};
use crate::vocabulary::Vocabulary;

/// The part of what a name would be worth that is hoped for once enough hypotheses have ended. With all of it, the steps
/// of 200 orders were 1.8 times as many with 1,000 names that are not said, 3.2 times with 10,000; with this part they are
/// 1.1 times, and a name is found as often.
const HOPE_BEHIND_THE_END: f32 = 0.5;

/// One attempt on its way: hypotheses, and those that have ended.
#[derive(Debug)]
pub(crate) struct Search {
    timestamps: bool,
    max_new_tokens: usize,
    temperature: f32,
    beam_size: usize,
    /// Hypotheses kept beside these because they follow a name.
    branches: usize,
    random: Random,
    names: Expected,
    /// Live hypotheses, each the continuation of one row.
    hypotheses: Vec<Hypothesis>,
    /// Hypotheses that reached the end of text, in the order they did.
    ended: Vec<Hypothesis>,
}

/// What a search asks for next.
#[derive(Debug)]
pub(crate) enum Advance {
    /// Another step; hypothesis `i` continues the row of the former hypothesis `sources[i]`.
    Continue {
        /// Former indices.
        sources: Vec<usize>,
    },
    /// Nothing more.
    Done(Found),
    /// The network gave no usable number.
    NotFinite,
}

/// The best hypothesis.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Found {
    /// Without the end of text; names as they were given.
    pub tokens: Vec<u32>,
    /// Sum of log probabilities over number of tokens, the end of text counted.
    pub avg_log_prob: f32,
}

impl Search {
    pub(crate) fn new(request: &Request, vocabulary: &Vocabulary) -> Self {
        // Drawing at random and keeping hypotheses exclude each other, as in the reference.
        let beam_size = if request.temperature > 0.0 {
            1
        } else {
            request.beam_size.max(1)
        };
        let names = request.names.clone().filter(|names| !names.is_empty());
        Self {
            timestamps: request.timestamps,
            max_new_tokens: request.max_new_tokens,
            temperature: request.temperature,
            beam_size,
            branches: names.as_ref().map_or(0, |_| request.branches),
            random: Random(request.seed ^ u64::from(vocabulary.end_of_text())),
            names,
            hypotheses: vec![Hypothesis {
                tokens: request.begun.tokens.clone(),
                sum_log_prob: request.begun.sum_log_prob,
                track: Track::default(),
            }],
            ended: Vec::new(),
        }
    }

    /// The token that each live hypothesis chose last, in the order of its row.
    pub(crate) fn last_tokens(&self) -> impl Iterator<Item = u32> {
        self.hypotheses
            .iter()
            .map(|hypothesis| hypothesis.tokens.last().copied().unwrap_or_default())
    }

    /// Whether the best token of each row is all that is looked at, where words may follow.
    pub(crate) fn takes_the_best(&self) -> bool {
        self.takes_one() && self.temperature <= 0.0 && !self.timestamps
    }

    /// Whether there is one hypothesis, which goes on with one token.
    fn takes_one(&self) -> bool {
        self.beam_size == 1 && self.names.is_none()
    }

    /// Takes what was predicted for each live hypothesis.
    pub(crate) fn advance(
        &mut self,
        vocabulary: &Vocabulary,
        predicted: Vec<Prediction>,
    ) -> Advance {
        if self.max_new_tokens == 0 {
            return Advance::Done(self.best(vocabulary));
        }
        let sources = if let Some(Prediction::Best(best)) = predicted.first() {
            self.take_best(vocabulary.ends(), *best)
        } else {
            let logits = predicted.into_iter().filter_map(Prediction::logits);
            self.take_logits(vocabulary, logits.collect())
        };
        let Some(sources) = sources else {
            return Advance::NotFinite;
        };
        let longest = self.longest();
        let done = self.hypotheses.is_empty()
            || (self.ended.len() >= self.beam_size && !self.may_improve())
            || longest >= self.max_new_tokens;
        if done {
            Advance::Done(self.best(vocabulary))
        } else {
            Advance::Continue { sources }
        }
    }

    /// The rows that hypotheses continue; `None` where there is no usable number.
    fn take_logits(
        &mut self,
        vocabulary: &Vocabulary,
        mut rows: Vec<Logits>,
    ) -> Option<Vec<usize>> {
        let ends = vocabulary.ends();
        let (timestamps, count) = (self.timestamps, self.looks_at(ends));
        let known = self.hypotheses.par_iter().zip(&mut rows);
        let known = known.map(|(hypothesis, logits)| {
            let tokens = &hypothesis.tokens;
            let favourites = rules::apply(vocabulary, timestamps, tokens, logits, count);
            let total = log_sum_exp(logits.values());
            total.is_finite().then_some(Known {
                sum_log_prob: hypothesis.sum_log_prob,
                has_names: hypothesis.track.is_inside() || hypothesis.track.has_names(),
                favourites,
                total,
            })
        });
        let known: Vec<Known> = known.collect::<Option<_>>()?;
        // As many that end may come before those that go on.
        let least = favourites::least(&known, self.beam_size + rows.len() * ends.len());
        rows.par_iter_mut()
            .zip(least)
            .for_each(|(logits, least)| logits.settle_above(least));
        let totals: Vec<f32> = known.iter().map(|known| known.total).collect();
        Some(match (&rows[..], &totals[..]) {
            ([logits], [total]) if self.takes_one() => self.take_one(ends, logits.values(), *total),
            _ => {
                let candidates = self.candidates(vocabulary, rows, &totals);
                self.keep_best(ends, candidates)
            }
        })
    }

    /// As [`Self::take_logits`] of the one hypothesis.
    fn take_best(&mut self, ends: &[u32], best: Best) -> Option<Vec<usize>> {
        let log_prob = best.logit - best.total;
        log_prob.is_finite().then(|| {
            self.append(ends, best.token, log_prob);
            vec![0]
        })
    }

    /// How many of the highest logits of a row matter.
    fn looks_at(&self, ends: &[u32]) -> usize {
        match self.beam_size {
            _ if self.temperature > 0.0 => usize::MAX,
            1 => 1,
            beam_size => beam_size + ends.len(),
        }
    }

    /// One hypothesis: the best token, or one drawn at the temperature.
    fn take_one(&mut self, ends: &[u32], logits: &[f32], total: f32) -> Vec<usize> {
        let token = self.draw_or_best(logits);
        self.append(ends, token, logits[token as usize] - total);
        vec![0]
    }

    fn draw_or_best(&mut self, logits: &[f32]) -> u32 {
        if self.temperature > 0.0 {
            self.random.draw(logits, self.temperature)
        } else {
            best_token(logits)
        }
    }

    /// The one hypothesis goes on, or ends.
    fn append(&mut self, ends: &[u32], token: u32, log_prob: f32) {
        let Some(mut hypothesis) = self.hypotheses.pop() else {
            return;
        };
        hypothesis.sum_log_prob += log_prob;
        if ends.contains(&token) {
            self.ended.push(hypothesis);
        } else {
            hypothesis.tokens.push(token);
            self.hypotheses.push(hypothesis);
        }
    }

    /// What may follow the hypotheses: the best tokens of each, and those that begin a name or go on with it.
    fn candidates(
        &mut self,
        vocabulary: &Vocabulary,
        rows: Vec<Logits>,
        totals: &[f32],
    ) -> Vec<Candidate> {
        let ends = vocabulary.ends();
        let (count, beam_size) = (self.looks_at(ends), self.beam_size);
        let mut candidates = Vec::new();
        for (source, (mut logits, total)) in rows.into_iter().zip(totals).enumerate() {
            let mut tokens: Vec<u32> = if self.temperature > 0.0 {
                vec![self.random.draw(logits.values(), self.temperature)]
            } else {
                let best = logits.best(count);
                best.into_iter().map(|(token, _)| token).collect()
            };
            let first = tokens.first().copied();
            let hypothesis = &self.hypotheses[source];
            let names = self.names.as_deref();
            if let Some(names) = names {
                branches::add_tokens(names, vocabulary, hypothesis, &mut logits, &mut tokens);
            }
            let logits = logits.values();
            candidates.extend(tokens.into_iter().map(|token| {
                let sum_log_prob = hypothesis.sum_log_prob + logits[token as usize] - total;
                let track = names.map_or_else(Track::default, |names| {
                    let tokens = &hypothesis.tokens;
                    hypothesis
                        .track
                        .followed_by(names, vocabulary, tokens, token)
                });
                let (credit, count) = (track.credit(), hypothesis.tokens.len());
                // The end of text is no token of the text.
                let rank = if ends.contains(&token) && beam_size > 1 {
                    stretched(sum_log_prob, count, count + 1)
                } else {
                    sum_log_prob
                };
                Candidate {
                    score: sum_log_prob + credit,
                    rank: rank + credit,
                    hope: names.map_or(0.0, |names| track.prospect(names)),
                    sum_log_prob,
                    source,
                    token,
                    track,
                    is_first: Some(token) == first,
                }
            }));
        }
        candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
        candidates
    }

    /// Several hypotheses: the best continuations of all, those that end set aside, and branches beside them.
    /// `candidates`: in falling order.
    fn keep_best(&mut self, ends: &[u32], candidates: Vec<Candidate>) -> Vec<usize> {
        let room = self.beam_size - self.ended.len().min(self.beam_size);
        let length = self.longest() + 1;
        let (mut kept, mut ended, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for candidate in candidates {
            if kept.len() == self.beam_size {
                others.push(candidate);
            } else if ends.contains(&candidate.token) {
                ended.push(candidate);
            } else {
                kept.push(candidate);
            }
        }
        let best = branches::best_rank(&ended, self.best_ended(length));
        let extra = branches::choose(&kept, others, best, self.branches, &self.hypotheses);
        let (ending, branches): (Vec<Candidate>, Vec<Candidate>) = extra
            .into_iter()
            .partition(|candidate| ends.contains(&candidate.token));
        let late = ended.split_off(room.min(ended.len()));
        if self.names.is_some() {
            // Hypotheses that follow names have taken places, and go on when all are taken.
            let best = branches::best_rank(&ended, self.best_ended(length));
            ended.extend(late.into_iter().filter(|late| late.rank > best));
        }
        if ended.len() >= room {
            // Only what may still come before them goes on.
            let best = branches::best_rank(&ended, self.best_ended(length));
            kept.retain(|candidate| candidate.may_pass(best));
        }
        ended.extend(ending);
        kept.extend(branches);
        let sources = kept.iter().map(|candidate| candidate.source).collect();
        let former = std::mem::take(&mut self.hypotheses);
        let follow = |candidate: Candidate, is_end: bool| {
            let mut tokens = former[candidate.source].tokens.clone();
            if !is_end {
                tokens.push(candidate.token);
            }
            Hypothesis {
                tokens,
                sum_log_prob: candidate.sum_log_prob,
                track: candidate.track,
            }
        };
        self.ended
            .extend(ended.into_iter().map(|candidate| follow(candidate, true)));
        self.hypotheses = kept
            .into_iter()
            .map(|candidate| follow(candidate, false))
            .collect();
        sources
    }

    /// Tokens that the live hypotheses have.
    fn longest(&self) -> usize {
        self.hypotheses.first().map_or(0, |live| live.tokens.len())
    }

    /// The score of `hypothesis` beside others of other lengths, as if it had `length` tokens.
    fn rank(&self, hypothesis: &Hypothesis, length: usize) -> f32 {
        match self.beam_size {
            1 => hypothesis.score(),
            _ => hypothesis.score_at(length),
        }
    }

    fn best_ended(&self, length: usize) -> f32 {
        let ranks = self.ended.iter().map(|ended| self.rank(ended, length));
        ranks.fold(f32::NEG_INFINITY, f32::max)
    }

    /// Whether a hypothesis that follows a name may still come before those that have ended.
    fn may_improve(&self) -> bool {
        let Some(names) = self.names.as_deref() else {
            return false;
        };
        let best = self.best_ended(self.longest());
        let hoped =
            |live: &Hypothesis| live.score() + HOPE_BEHIND_THE_END * live.track.prospect(names);
        self.hypotheses.iter().any(|live| hoped(live) > best)
    }

    /// The best hypothesis, by its mean log probability where there are beams; live ones stand in when too few ended.
    fn best(&mut self, vocabulary: &Vocabulary) -> Found {
        let mut finished = std::mem::take(&mut self.ended);
        self.hypotheses
            .sort_by(|a, b| b.score().total_cmp(&a.score()));
        let missing = self.beam_size.saturating_sub(finished.len());
        finished.extend(self.hypotheses.drain(..).take(missing));
        // The one that would be the best without names.
        let likeliest = finished
            .iter()
            .max_by(|a, b| a.mean_log_prob().total_cmp(&b.mean_log_prob()));
        let length = likeliest.map_or(0, |likeliest| likeliest.tokens.len());
        let rank = |hypothesis: &Hypothesis| self.rank(hypothesis, length);
        // Of equal ones the first, and `max_by` takes the last.
        let best = finished
            .into_iter()
            .rev()
            .max_by(|a, b| rank(a).total_cmp(&rank(b)));
        best.map_or_else(
            Found::default,
            |Hypothesis {
                 tokens,
                 sum_log_prob,
                 track,
             }| Found {
                avg_log_prob: sum_log_prob / (tokens.len() + 1) as f32,
                tokens: match self.names.as_deref() {
                    Some(names) => track.write(names, vocabulary, tokens),
                    None => tokens,
                },
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use kernels::{Estimates, Input, Level, SplitMatrix};

    use super::*;
    use crate::decode::Begun;
    use crate::testing::{TinyCheckpoint, small_integers, vocabulary_of_bytes};
    use crate::{Checkpoint, Names};

    fn asked(names: &[&str], vocabulary: &Vocabulary) -> Request {
        Request {
            prompt: Vec::new(),
            start_index: 0,
            begun: Begun::default(),
            timestamps: false,
            temperature: 0.0,
            beam_size: 1,
            max_new_tokens: 100,
            seed: 5,
            names: Some(Names::new(vocabulary, names.iter().copied()).into()),
            branches: 3,
        }
    }

    /// What is found where the audio is one of `texts`, with these probabilities, and after how many steps.
    fn found(
        request: &Request,
        vocabulary: &Vocabulary,
        texts: &[(&str, f32)],
    ) -> (String, f32, usize) {
        let texts: Vec<(Vec<u32>, f32)> = texts
            .iter()
            .map(|(text, probability)| {
                let mut tokens = vocabulary.encode(text);
                tokens.push(vocabulary.end_of_text());
                (tokens, *probability)
            })
            .collect();
        let predict = |chosen: &[u32]| {
            let mut probabilities = vec![1e-9_f32; vocabulary.end_of_text() as usize + 1];
            for (tokens, probability) in &texts {
                if let Some([next, ..]) = tokens.strip_prefix(chosen) {
                    probabilities[*next as usize] += probability;
                }
            }
            let total: f32 = probabilities.iter().sum();
            let logits = probabilities.iter().map(|one| (one / total).ln()).collect();
            Prediction::Logits(Logits::Exact(logits))
        };
        let mut search = Search::new(request, vocabulary);
        for step in 1.. {
            let live = search.hypotheses.iter();
            let predicted: Vec<Prediction> = live.map(|one| predict(&one.tokens)).collect();
            assert!(predicted.len() <= request.beam_size + request.branches);
            match search.advance(vocabulary, predicted) {
                Advance::Continue { .. } => {}
                Advance::Done(found) => {
                    let text = vocabulary.decode(&found.tokens);
                    return (text, found.avg_log_prob, step);
                }
                Advance::NotFinite => panic!("not finite"),
            }
        }
        unreachable!("steps are bounded");
    }

    /// The text of two, of which the second is less probable, that is found with these names.
    fn check_names(names: &[&str], texts: [&str; 2], second: f32, expected: &str) {
        let vocabulary = vocabulary_of_bytes();
        let texts = [(texts[0], 1.0 - second), (texts[1], second)];
        for beam_size in [1, 3] {
            let request = Request {
                beam_size,
                ..asked(names, &vocabulary)
            };
            let (text, ..) = found(&request, &vocabulary, &texts);
            assert_eq!(text, expected, "{names:?}, {beam_size} beams");
        }
    }

    #[test]
    fn a_name_comes_before_what_is_a_little_more_probable() {
        let texts = ["on so we now", "on Zoe now"];
        check_names(&["Zoe"], texts, 0.2, "on Zoe now");
        check_names(&["Bob", "Zoe", "Zora"], texts, 0.2, "on Zoe now");
        check_names(&["Bob"], texts, 0.2, "on so we now");
        check_names(&["Zoe"], texts, 1e-5, "on so we now");
    }

    #[test]
    fn a_name_at_the_end_counts() {
        check_names(&["Zoe"], ["on so we", "on Zoe"], 0.2, "on Zoe");
    }

    #[test]
    fn what_begins_like_a_name_is_no_name() {
        let texts = ["on so we now", "on Zoology"];
        check_names(&["Zoe", "Zo"], texts, 0.2, "on so we now");
        check_names(&["Zoological Garden"], texts, 0.2, "on so we now");
    }

    #[test]
    fn the_name_within_a_longer_one_counts() {
        let texts = ["on so we Lamb", "on Zoe Lamb"];
        check_names(&["Zoe", "Zoe Lamp"], texts, 0.2, "on Zoe Lamb");
    }

    #[test]
    fn names_are_written_as_they_are_given() {
        let texts = ["turn so we", "turn wled, on"];
        check_names(&["WLED"], texts, 0.2, "turn WLED, on");
        // In no form that texts have.
        let texts = ["turn so we", "turn WlEd, on"];
        check_names(&["wled"], texts, 0.2, "turn so we");
    }

    /// Each further name would be worth more than it costs.
    #[test]
    fn a_name_counts_once() {
        let texts = ["on Zoe", "on Zoe Zoe Zoe Zoe"];
        check_names(&["Zoe"], texts, 0.1, "on Zoe");
    }

    /// Once enough hypotheses have ended, a name that is hardly begun and not said is not followed to its end.
    #[test]
    fn a_name_that_is_not_said_makes_no_steps() {
        let vocabulary = vocabulary_of_bytes();
        let texts = [("on so", 0.6), ("on sa", 0.4), ("on Zoologix", 1e-7)];
        let steps = |name: &str| {
            let request = Request {
                beam_size: 2,
                ..asked(&[name], &vocabulary)
            };
            let (text, _, steps) = found(&request, &vocabulary, &texts);
            assert_eq!(text, "on so", "{name}");
            steps
        };
        assert_eq!(steps("Zoologic"), steps("Bob"));
    }

    #[test]
    fn log_probabilities_are_those_of_the_model() {
        let vocabulary = vocabulary_of_bytes();
        let request = asked(&["Zoe"], &vocabulary);
        let texts = [("so we", 0.7), ("Zoe", 0.3)];
        let (text, avg_log_prob, _) = found(&request, &vocabulary, &texts);
        assert_eq!(text, "Zoe");
        assert!(
            (avg_log_prob - 0.3_f32.ln() / 4.0).abs() < 1e-3,
            "{avg_log_prob}"
        );
    }

    /// The same search with estimates, settled where a choice needs them, and with exact logits.
    #[test]
    fn estimates_lead_to_the_tokens_of_exact_logits() {
        let directory = tempfile::tempdir().unwrap();
        let checkpoint = TinyCheckpoint {
            extra_tokens: 3_000,
            ..TinyCheckpoint::multilingual()
        };
        checkpoint.write(directory.path()).unwrap();
        let vocabulary = Vocabulary::read(&Checkpoint::open(directory.path()).unwrap()).unwrap();
        let width = 64;
        let values = |name: &str, count: usize| -> Vec<f32> {
            let integers = small_integers(1, name).take(count);
            integers.map(|value| f32::from(value) / 127.0).collect()
        };
        let weight = values("weight", checkpoint.vocab_size() * width);
        let matrix = SplitMatrix::pack(weight, width).into();
        let names: Vec<String> = ('a'..='z').map(|name| format!("{name}")).collect();
        let names = Names::new(&vocabulary, names.iter().map(String::as_str)).into();
        for (temperature, beam_size, names) in [
            (0.0, 1, None),
            (0.0, 5, None),
            (0.0, 5, Some(names)),
            (0.7, 1, None),
        ] {
            for timestamps in [false, true] {
                let request = Request {
                    prompt: Vec::new(),
                    start_index: 0,
                    begun: Begun::default(),
                    timestamps,
                    temperature,
                    beam_size,
                    max_new_tokens: 12,
                    seed: 5,
                    names: names.clone(),
                    branches: 3,
                };
                let mut searches = [(); 2].map(|()| Search::new(&request, &vocabulary));
                let [estimated, exact] = &mut searches;
                for step in 0..12 {
                    let rows = estimated.hypotheses.len();
                    let x = values(&format!("step {step}"), rows * width);
                    let logits = SplitMatrix::estimates(&matrix, Level::best(), Input::plain(&x));
                    let as_exact = |row: &Estimates| Logits::Exact(row.clone().exact());
                    let exact_logits = logits.iter().map(as_exact);
                    let exact_logits = exact_logits.map(Prediction::Logits).collect();
                    let logits = logits.into_iter().map(Logits::Estimates);
                    let logits = logits.map(Prediction::Logits).collect();
                    let advances = [
                        estimated.advance(&vocabulary, logits),
                        exact.advance(&vocabulary, exact_logits),
                    ];
                    match advances {
                        [Advance::Done(found), Advance::Done(expected)] => {
                            assert_eq!(found.tokens, expected.tokens);
                            let difference = found.avg_log_prob - expected.avg_log_prob;
                            // The sum over all tokens has the estimates of those that were not settled.
                            assert!(difference.abs() < 0.02, "{difference}");
                            break;
                        }
                        [
                            Advance::Continue { sources },
                            Advance::Continue { sources: expected },
                        ] => {
                            assert_eq!(sources, expected);
                            assert!(estimated.last_tokens().eq(exact.last_tokens()));
                        }
                        other => panic!("{other:?}"),
                    }
                    assert!(step < 11, "the search goes on");
                }
            }
        }
    }
}
