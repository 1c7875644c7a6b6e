//! Choosing tokens: pure decisions on slices of logits, and the driver that steps a batch.
//!
//! A window of audio is decoded in attempts ([`fallback`]); one attempt is a [`Request`], and a
//! [`search::Search`] takes its rows' logits step by step until it is done. The driver only moves
//! numbers between searches and the network, so that rows may join and leave at any step.

pub(crate) mod bias;
pub(crate) mod fallback;
pub(crate) mod language;
pub(crate) mod rules;
pub(crate) mod search;

use std::sync::Arc;

use crate::state::State;
use crate::vocabulary::Vocabulary;
use crate::{Cancel, Model, ModelError, Prefill, WhisperError};

use search::{Found, Search};

/// One attempt at one window.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Prompt up to the first token to be chosen.
    pub prompt: Vec<u32>,
    /// Where in `prompt` the start of transcript stands: its logits tell whether anybody speaks.
    pub start_index: usize,
    /// Whether timestamps are chosen too.
    pub timestamps: bool,
    /// 0 takes the best, more draws at random.
    pub temperature: f32,
    /// Hypotheses kept; only used at temperature 0.
    pub beam_size: usize,
    /// Most tokens to choose.
    pub max_new_tokens: usize,
    /// Of the random numbers.
    pub seed: u64,
    /// Checked at every step.
    pub cancel: Cancel,
}

/// What an attempt found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    /// The tokens, without the prompt and the end of text.
    pub tokens: Vec<u32>,
    /// Sum of log probabilities over number of tokens, the end of text counted.
    pub avg_log_prob: f32,
    /// Probability of no speech at the start of transcript.
    pub no_speech_prob: f32,
}

/// Decodes one attempt for each item of `state`, whose rows are `rows_per_item` for each.
pub(crate) fn run(
    model: &Model,
    vocabulary: &Vocabulary,
    state: &mut State,
    requests: &[Request],
) -> Vec<Result<Outcome, WhisperError>> {
    let mut items: Vec<Item<'_>> = requests
        .iter()
        .map(|request| Item::new(request, vocabulary))
        .collect();
    if let Err(error) = drive(model, vocabulary, state, &mut items) {
        let error = Arc::new(error);
        for item in &mut items {
            item.fail(WhisperError::Model {
                source: Arc::clone(&error),
            });
        }
    }
    items.into_iter().map(Item::into_result).collect()
}

/// One request on its way.
struct Item<'a> {
    request: &'a Request,
    no_speech_prob: f32,
    progress: Progress,
    search: Search,
}

enum Progress {
    Searching,
    Found(Found),
    Failed(WhisperError),
}

impl<'a> Item<'a> {
    fn new(request: &'a Request, vocabulary: &Vocabulary) -> Self {
        Self {
            request,
            no_speech_prob: 0.0,
            progress: Progress::Searching,
            search: Search::new(request, vocabulary),
        }
    }

    fn is_live(&mut self) -> bool {
        if self.request.cancel.is_cancelled() {
            self.fail(WhisperError::Cancelled);
        }
        matches!(self.progress, Progress::Searching)
    }

    fn fail(&mut self, error: WhisperError) {
        if matches!(self.progress, Progress::Searching) {
            self.progress = Progress::Failed(error);
        }
    }

    /// Takes the logits of the live rows and says which rows to continue from.
    fn advance(&mut self, vocabulary: &Vocabulary, logits: Vec<Vec<f32>>) -> Option<Vec<usize>> {
        match self.search.advance(vocabulary, logits) {
            search::Advance::Continue { sources } => Some(sources),
            search::Advance::Done(found) => {
                self.progress = Progress::Found(found);
                None
            }
            search::Advance::NotFinite => {
                self.progress = Progress::Failed(WhisperError::NotFinite);
                None
            }
        }
    }

    fn into_result(self) -> Result<Outcome, WhisperError> {
        match self.progress {
            Progress::Failed(error) => Err(error),
            Progress::Found(found) => Ok(Outcome {
                tokens: found.tokens,
                avg_log_prob: found.avg_log_prob,
                no_speech_prob: self.no_speech_prob,
            }),
            // The driver ends only when no item is searching.
            Progress::Searching => Err(WhisperError::Cancelled),
        }
    }
}

fn drive(
    model: &Model,
    vocabulary: &Vocabulary,
    state: &mut State,
    items: &mut [Item<'_>],
) -> Result<(), ModelError> {
    let rows_per_item = state.rows_per_item();
    let mut pending = prefill(model, vocabulary, state, items)?;
    while !pending.is_empty() {
        let mut step = Vec::new();
        for (index, sources) in pending.drain(..) {
            let first = index * rows_per_item;
            let sources: Vec<usize> = sources.iter().map(|source| first + source).collect();
            state.reorder(first, &sources)?;
            let Some(item) = items.get_mut(index) else {
                continue;
            };
            if item.is_live() {
                let tokens = item.search.last_tokens();
                step.extend(tokens.enumerate().map(|(row, token)| (first + row, token)));
            }
        }
        let logits = if step.is_empty() {
            Vec::new()
        } else {
            model.step(state, &step)?
        };
        let mut rows = step.iter().zip(logits).peekable();
        while let Some(&((row, _), _)) = rows.peek() {
            let index = row / rows_per_item;
            let mut of_item = Vec::new();
            while let Some((_, logits)) = rows.next_if(|((row, _), _)| row / rows_per_item == index)
            {
                of_item.push(logits);
            }
            if let Some(sources) = items
                .get_mut(index)
                .and_then(|item| item.advance(vocabulary, of_item))
            {
                pending.push((index, sources));
            }
        }
    }
    Ok(())
}

/// Feeds the prompts, all in one pass; returns the items that go on and the rows they go on from.
fn prefill(
    model: &Model,
    vocabulary: &Vocabulary,
    state: &mut State,
    items: &mut [Item<'_>],
) -> Result<Vec<(usize, Vec<usize>)>, ModelError> {
    let rows_per_item = state.rows_per_item();
    let live: Vec<usize> = (0..items.len())
        .filter(|&index| items.get_mut(index).is_some_and(Item::is_live))
        .collect();
    let asked: Vec<[usize; 2]> = live
        .iter()
        .filter_map(|&index| items.get(index))
        .map(|item| {
            let last = item.request.prompt.len().saturating_sub(1);
            [item.request.start_index, last]
        })
        .collect();
    let prompts: Vec<Prefill<'_>> = live
        .iter()
        .zip(&asked)
        .filter_map(|(&index, asked)| {
            Some(Prefill {
                row: index * rows_per_item,
                tokens: &items.get(index)?.request.prompt,
                asked,
            })
        })
        .collect();
    if prompts.is_empty() {
        return Ok(Vec::new());
    }
    let logits = model.prefill_rows(state, &prompts)?;
    let mut pending = Vec::new();
    for (index, mut logits) in live.into_iter().zip(logits) {
        let Some(item) = items.get_mut(index) else {
            continue;
        };
        let last = logits.pop().unwrap_or_default();
        let start = logits.pop().unwrap_or_default();
        item.no_speech_prob = vocabulary
            .no_speech()
            .map_or(0.0, |token| rules::probability(&start, token));
        if let Some(sources) = item.advance(vocabulary, vec![last]) {
            pending.push((index, sources));
        }
    }
    Ok(pending)
}
