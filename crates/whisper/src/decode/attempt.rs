//! One attempt at a window on its way: what it gives the network to read, and what it makes of the logits.

use super::search::{Advance, Search};
use super::{Outcome, Request, rules};
use crate::Prefill;
use crate::error::WhisperError;
use crate::model::Prediction;
use crate::vocabulary::Vocabulary;

/// An attempt. Its rows of the decoder's state are neighbours: one for each hypothesis.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// The prompt, and the tokens that are chosen already.
    prompt: Vec<u32>,
    search: Search,
    no_speech_prob: f32,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The prompt is to be read, in the first row; logits are wanted at these of its tokens: the start of the
    /// transcript and the last.
    Prompt([usize; 2]),
    /// The tokens that the hypotheses chose last are to be read, each in its row.
    Tokens(Vec<u32>),
}

/// What an attempt needs after a pass.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Another pass, in which row `i` continues what row `sources[i]` was.
    GoesOn {
        /// Former rows, counted from the attempt's first.
        sources: Vec<usize>,
    },
    /// Nothing more.
    Ended(Result<Outcome, WhisperError>),
}

impl Attempt {
    /// Nothing was read yet.
    pub(crate) fn new(request: Request, vocabulary: &Vocabulary) -> Self {
        let search = Search::new(&request, vocabulary);
        let mut prompt = request.prompt;
        prompt.extend(request.begun.tokens);
        let last = prompt.len().saturating_sub(1);
        Self {
            prompt,
            search,
            no_speech_prob: 0.0,
            stage: Stage::Prompt([request.start_index, last]),
        }
    }

    /// What is to be read in the next pass. `first_row`: of the attempt.
    pub(crate) fn reads(&self, first_row: usize) -> Vec<Prefill<'_>> {
        match &self.stage {
            Stage::Prompt(asked) => vec![Prefill {
                row: first_row,
                tokens: &self.prompt,
                asked,
            }],
            Stage::Tokens(tokens) => tokens
                .iter()
                .enumerate()
                .map(|(row, token)| Prefill {
                    row: first_row + row,
                    tokens: std::slice::from_ref(token),
                    asked: &[0],
                })
                .collect(),
        }
    }

    /// Whether the best token is enough for each of the next pass's reads: of those that follow a word, nothing but the
    /// tokens that are never said is forbidden.
    pub(crate) fn is_greedy(&self) -> bool {
        matches!(self.stage, Stage::Tokens(_)) && self.search.takes_the_best()
    }

    /// Takes what a pass predicted: for each of the [`reads`](Self::reads) what it asked for.
    pub(crate) fn take(
        &mut self,
        vocabulary: &Vocabulary,
        predicted: impl Iterator<Item = Vec<Prediction>>,
    ) -> Progress {
        let mut rows: Vec<Prediction> = predicted.flatten().collect();
        if matches!(self.stage, Stage::Prompt(_)) && rows.len() > 1 {
            let start = rows.swap_remove(0).logits();
            self.no_speech_prob = start
                .zip(vocabulary.no_speech())
                .map_or(0.0, |(mut start, token)| {
                    rules::probability(&mut start, token)
                });
        }
        match self.search.advance(vocabulary, rows) {
            Advance::Continue { sources } => {
                self.stage = Stage::Tokens(self.search.last_tokens().collect());
                Progress::GoesOn { sources }
            }
            Advance::Done(found) => Progress::Ended(Ok(Outcome {
                tokens: found.tokens,
                avg_log_prob: found.avg_log_prob,
                no_speech_prob: self.no_speech_prob,
            })),
            Advance::NotFinite => Progress::Ended(Err(WhisperError::NotFinite)),
        }
    }
}
