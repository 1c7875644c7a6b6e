//! From logits to tokens: the best one, a random one, or several hypotheses side by side.
//!
//! Source: `GreedyDecoder`, `BeamSearchDecoder` (patience 1) and `MaximumLikelihoodRanker` (no
//! length penalty) in openai-whisper's `decoding.py`.

use super::Request;
use super::rules;
use crate::model::{Best, Logits, Prediction, log_sum_exp};
use crate::vocabulary::Vocabulary;

/// One attempt on its way: hypotheses, and those that have ended.
#[derive(Debug)]
pub(crate) struct Search {
    timestamps: bool,
    max_new_tokens: usize,
    temperature: f32,
    beam_size: usize,
    random: Random,
    /// Live hypotheses, each the continuation of one row.
    hypotheses: Vec<Hypothesis>,
    /// Hypotheses that reached the end of text, in the order they did.
    ended: Vec<Hypothesis>,
}

#[derive(Clone, Debug, Default)]
struct Hypothesis {
    tokens: Vec<u32>,
    sum_log_prob: f32,
}

/// What may follow one hypothesis.
struct Row<'a> {
    logits: &'a [f32],
    /// Logarithm of the sum of their exponentials.
    total: f32,
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
    /// Without the end of text.
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
        Self {
            timestamps: request.timestamps,
            max_new_tokens: request.max_new_tokens,
            temperature: request.temperature,
            beam_size,
            random: Random(request.seed ^ u64::from(vocabulary.end_of_text())),
            hypotheses: vec![Hypothesis::default()],
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
        self.beam_size == 1 && self.temperature <= 0.0 && !self.timestamps
    }

    /// Takes what was predicted for each live hypothesis.
    pub(crate) fn advance(
        &mut self,
        vocabulary: &Vocabulary,
        predicted: Vec<Prediction>,
    ) -> Advance {
        if self.max_new_tokens == 0 {
            return Advance::Done(self.best());
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
        let longest = self.hypotheses.first().map_or(0, |h| h.tokens.len());
        let done = self.hypotheses.is_empty()
            || self.ended.len() >= self.beam_size
            || longest >= self.max_new_tokens;
        if done {
            Advance::Done(self.best())
        } else {
            Advance::Continue { sources }
        }
    }

    /// The rows that hypotheses continue; `None` where there is no usable number.
    fn take_logits(
        &mut self,
        vocabulary: &Vocabulary,
        mut logits: Vec<Logits>,
    ) -> Option<Vec<usize>> {
        let mut rows = Vec::with_capacity(logits.len());
        for (hypothesis, logits) in self.hypotheses.iter().zip(&mut logits) {
            let chosen = &hypothesis.tokens;
            let count = self.looks_at(vocabulary.ends());
            rules::apply(vocabulary, self.timestamps, chosen, logits, count);
            let logits = logits.values();
            let total = log_sum_exp(logits);
            if !total.is_finite() {
                return None;
            }
            rows.push(Row { logits, total });
        }
        Some(if self.beam_size > 1 {
            self.keep_best(vocabulary.ends(), &rows)
        } else {
            self.take_one(vocabulary.ends(), &rows)
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
    fn take_one(&mut self, ends: &[u32], rows: &[Row<'_>]) -> Vec<usize> {
        let Some(row) = rows.first() else {
            return Vec::new();
        };
        let token = if self.temperature > 0.0 {
            self.random.draw(row.logits, self.temperature)
        } else {
            best_token(row.logits)
        };
        self.append(ends, token, row.logits[token as usize] - row.total);
        vec![0]
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

    /// Several hypotheses: the best continuations of all, those that end set aside.
    fn keep_best(&mut self, ends: &[u32], rows: &[Row<'_>]) -> Vec<usize> {
        let mut candidates: Vec<(f32, usize, u32)> = Vec::new();
        for (source, (hypothesis, row)) in self.hypotheses.iter().zip(rows).enumerate() {
            for (token, logit) in best_tokens(row.logits, self.looks_at(ends)) {
                candidates.push((hypothesis.sum_log_prob + logit - row.total, source, token));
            }
        }
        candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (mut kept, mut sources, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        for (sum_log_prob, source, token) in candidates {
            let mut tokens = self.hypotheses[source].tokens.clone();
            if ends.contains(&token) {
                ended.push(Hypothesis {
                    tokens,
                    sum_log_prob,
                });
                continue;
            }
            tokens.push(token);
            kept.push(Hypothesis {
                tokens,
                sum_log_prob,
            });
            sources.push(source);
            if kept.len() == self.beam_size {
                break;
            }
        }
        let room = self.beam_size - self.ended.len().min(self.beam_size);
        self.ended.extend(ended.into_iter().take(room));
        self.hypotheses = kept;
        sources
    }

    /// The hypothesis with the highest mean log probability; live ones stand in when too few ended.
    fn best(&mut self) -> Found {
        let mut finished: Vec<(Hypothesis, bool)> = self
            .ended
            .drain(..)
            .map(|hypothesis| (hypothesis, true))
            .collect();
        self.hypotheses
            .sort_by(|a, b| b.sum_log_prob.total_cmp(&a.sum_log_prob));
        let missing = self.beam_size.saturating_sub(finished.len());
        let live = self.hypotheses.drain(..).take(missing);
        finished.extend(live.map(|hypothesis| (hypothesis, false)));
        let rank = |hypothesis: &Hypothesis| {
            hypothesis.sum_log_prob / hypothesis.tokens.len().max(1) as f32
        };
        // Of equal ones the first, and `max_by` takes the last.
        finished
            .into_iter()
            .rev()
            .max_by(|(a, _), (b, _)| rank(a).total_cmp(&rank(b)))
            .map_or_else(Found::default, |(hypothesis, _ended)| Found {
                avg_log_prob: hypothesis.sum_log_prob / (hypothesis.tokens.len() + 1) as f32,
                tokens: hypothesis.tokens,
            })
    }
}

/// The first of the highest.
fn best_token(logits: &[f32]) -> u32 {
    // Two simple passes: the first compares many at a time, and the second mostly ends early.
    let highest = kernels::math::maximum(f32::NEG_INFINITY, logits);
    let found = (0_u32..).zip(logits).find(|&(_, &logit)| logit >= highest);
    found.map_or(0, |(token, _)| token)
}

/// The `count` highest, in falling order; of equal ones the first.
fn best_tokens(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    let mut best: Vec<(u32, f32)> = Vec::with_capacity(count + 1);
    for (token, &logit) in (0_u32..).zip(logits) {
        if logit == f32::NEG_INFINITY
            || (best.len() == count && best.last().is_some_and(|&(_, least)| logit <= least))
        {
            continue;
        }
        let place = best.partition_point(|&(_, other)| other >= logit);
        best.insert(place, (token, logit));
        best.truncate(count);
    }
    best
}

/// Random numbers that a seed fixes: SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Within 0.0..1.0.
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / 16_777_216.0
    }

    /// A token with the probability that softmax at this temperature gives it.
    fn draw(&mut self, logits: &[f32], temperature: f32) -> u32 {
        let scaled: Vec<f32> = logits.iter().map(|logit| logit / temperature).collect();
        let total = log_sum_exp(&scaled);
        let mut left = self.unit();
        for (token, &logit) in (0_u32..).zip(&scaled) {
            left -= (logit - total).exp();
            if left < 0.0 {
                return token;
            }
        }
        best_token(logits)
    }
}

#[cfg(test)]
mod tests {
    use kernels::{Estimates, Input, Level, SplitMatrix};

    use super::*;
    use crate::Checkpoint;
    use crate::testing::{TinyCheckpoint, small_integers};

    #[test]
    fn the_first_of_equal_tokens_is_taken() {
        assert_eq!(best_token(&[1.0, 3.0, 3.0, 2.0]), 1);
        assert_eq!(best_token(&[f32::NAN, f32::NEG_INFINITY, -2.0]), 2);
        assert_eq!(best_token(&[f32::NEG_INFINITY; 40]), 0);
        assert_eq!(
            best_tokens(&[1.0, 3.0, 3.0, 2.0], 3),
            [(1, 3.0), (2, 3.0), (3, 2.0)]
        );
        assert_eq!(best_tokens(&[f32::NEG_INFINITY, 0.0], 2), [(1, 0.0)]);
    }

    #[test]
    fn drawing_follows_the_probabilities_and_the_seed() {
        let logits = [0.0, 2.0_f32.ln(), f32::NEG_INFINITY, 5.0_f32.ln()];
        let mut random = Random(7);
        let mut counts = [0_u32; 4];
        for _ in 0..8_000 {
            counts[random.draw(&logits, 1.0) as usize] += 1;
        }
        assert_eq!(counts[2], 0);
        for (count, expected) in counts.iter().zip([1_000_u32, 2_000, 0, 5_000]) {
            assert!(count.abs_diff(expected) < 200, "{counts:?}");
        }
        let again: Vec<u32> = (0..20).map(|_| Random(9).draw(&logits, 1.0)).collect();
        assert!(again.iter().all(|token| *token == again[0]));
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
        let matrix = SplitMatrix::new(&kernels::Int8Matrix::pack(&weight, width)).into();
        for (temperature, beam_size) in [(0.0, 1), (0.0, 5), (0.7, 1)] {
            for timestamps in [false, true] {
                let request = Request {
                    prompt: Vec::new(),
                    start_index: 0,
                    timestamps,
                    temperature,
                    beam_size,
                    max_new_tokens: 12,
                    seed: 5,
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
                            assert!(difference.abs() < 0.01, "{difference}");
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
