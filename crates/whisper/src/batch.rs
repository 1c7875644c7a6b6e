//! Utterances that are transcribed together: one pass of the network after the other, and between any two of them
//! utterances join, and those that are done leave (continuous batching; Yu et al. 2022, "Orca").
//!
//! A pass either encodes windows or reads tokens of all utterances that are being decoded, since weights that are read
//! from memory once serve all of them. On the host CPU it encodes one window, which fills all threads by itself; on
//! another device it takes some that have the same number of frames.

mod turns;

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use candle_core::Tensor;
use rayon::prelude::*;
use tracing::debug;

use self::turns::{Pass, Turns, Waiting, together};
use crate::decode::attempt::{Attempt, Progress};
use crate::decode::{BRANCHES, language};
use crate::engine::Engine;
use crate::error::{WhisperError, model_error};
use crate::model::{Logits, Prediction, State, computing};
use crate::transcription::Transcription;
use crate::{Cancel, Input, LogMel, Prefill, Transcript};

/// Where utterances come from, and where their words go.
pub trait Source: Send {
    /// Utterances that join, each with a number of the caller's; at most `room`. Asked before every pass with room.
    fn join(&mut self, room: usize) -> Vec<(u64, Input)>;

    /// The words of one, or why there are none. Told once for each that joined.
    fn done(&mut self, id: u64, result: Result<Transcript, WhisperError>);
}

/// Utterances on their way.
pub(crate) struct Batch<'a, S: ?Sized> {
    engine: &'a Engine,
    source: &'a mut S,
    /// Item `i` belongs to place `i`.
    state: State,
    places: Vec<Option<Place>>,
    turns: Turns,
    /// Windows that came to wait so far.
    windows: u64,
    /// Several windows together were too much for the device; from then on each goes alone.
    one_by_one: bool,
}

struct Place {
    id: u64,
    transcription: Transcription,
    stage: Stage,
    /// The window that was encoded last, `(1, positions, d_model)`, where the times of its words will be wanted.
    encoded: Option<Tensor>,
}

enum Stage {
    /// The current window is to be encoded; lower numbers first.
    Window(u64),
    /// The language is to be detected.
    Language,
    /// Tokens are being chosen.
    Attempt(Attempt),
}

/// What a place makes of its logits, by itself.
enum Choice {
    /// The language is known.
    Language,
    /// Tokens of an attempt.
    Tokens(Progress),
}

impl<'a, S: Source + ?Sized> Batch<'a, S> {
    /// No input has come yet. `state` has an item for each place.
    pub(crate) fn new(engine: &'a Engine, state: State, source: &'a mut S) -> Self {
        let places = state.rows() / state.rows_per_item();
        Self {
            engine,
            source,
            state,
            places: (0..places).map(|_| None).collect(),
            turns: Turns::default(),
            windows: 0,
            one_by_one: false,
        }
    }

    /// Until the source brings nothing and all are done.
    pub(crate) fn run(mut self) {
        loop {
            let somebody_came = self.let_in();
            self.dismiss_cancelled();
            let stages = || self.places.iter().flatten().map(|place| &place.stage);
            let windows = stages().any(|stage| matches!(stage, Stage::Window(_)));
            let tokens = stages().any(|stage| !matches!(stage, Stage::Window(_)));
            match self.turns.next(windows, tokens) {
                Some(Pass::Encode) => self.encode(),
                Some(Pass::Decode) => self.decode(),
                // An input that came may have left at once.
                None if somebody_came => {}
                None => return,
            }
        }
    }

    /// Fills free places; returns whether an input came.
    fn let_in(&mut self) -> bool {
        let free: Vec<usize> = (0..self.places.len())
            .filter(|&index| self.places[index].is_none())
            .collect();
        if free.is_empty() {
            return false;
        }
        let joined = self.source.join(free.len());
        let somebody_came = !joined.is_empty();
        let mut free = free.into_iter();
        for (id, input) in joined {
            // More than there is room for were not asked for.
            let index = free.next().ok_or(WhisperError::Cancelled);
            let begun = index.and_then(|index| Ok((index, self.engine.begin(input)?)));
            match begun {
                Err(error) => self.source.done(id, Err(error)),
                // It has no speech.
                Ok((_, transcription)) if transcription.is_done() => {
                    let transcript = transcription.into_transcript();
                    self.source.done(id, Ok(transcript));
                }
                Ok((index, transcription)) => {
                    let stage = self.new_window();
                    self.places[index] = Some(Place {
                        id,
                        transcription,
                        stage,
                        encoded: None,
                    });
                }
            }
        }
        somebody_came
    }

    fn new_window(&mut self) -> Stage {
        self.windows += 1;
        Stage::Window(self.windows)
    }

    fn dismiss_cancelled(&mut self) {
        for index in 0..self.places.len() {
            let place = self.places[index].as_ref();
            if place.is_some_and(|place| place.transcription.is_cancelled()) {
                self.dismiss(index, Err(WhisperError::Cancelled));
            }
        }
    }

    /// Empties a place and hands its result over.
    fn dismiss(&mut self, index: usize, result: Result<Transcript, WhisperError>) {
        if let Some(place) = self.places[index].take() {
            // The audio's keys and values are large.
            self.state.forget(index);
            self.source.done(place.id, result);
        }
    }

    /// Encodes the window that has waited longest, and what [goes together](together) with it.
    fn encode(&mut self) {
        let waiting: Vec<Waiting> = self
            .places
            .iter()
            .enumerate()
            .filter_map(|(index, place)| place.as_ref()?.waiting(index))
            .collect();
        let model = self.engine.model();
        let most = |frames| {
            if self.one_by_one {
                1
            } else {
                model.windows_together(frames)
            }
        };
        let chosen = together(waiting, most);
        let windows: Vec<(usize, LogMel)> = chosen
            .into_iter()
            .filter_map(|index| Some((index, self.window(index)?)))
            .collect();
        if self.try_to_hear(&windows) {
            return;
        }
        // Memory for all of them may have been missing; an input that fails alone gets the error.
        self.one_by_one = true;
        for window in windows {
            self.try_to_hear(&[window]);
        }
    }

    /// The window of a place, which is dismissed if there is none.
    fn window(&mut self, index: usize) -> Option<LogMel> {
        let window = self.places[index].as_ref()?.transcription.window();
        let wrong = |source| WhisperError::Mel {
            source: Arc::new(source),
        };
        window
            .map_err(|source| self.dismiss(index, Err(wrong(source))))
            .ok()
    }

    /// Encodes windows of one length in one pass. A failure dismisses the only one; `false` when several should be tried
    /// one by one.
    fn try_to_hear(&mut self, windows: &[(usize, LogMel)]) -> bool {
        let began = Instant::now();
        let heard = self.hear(windows);
        let took = began.elapsed();
        match heard {
            Ok(()) => {
                for (index, _) in windows {
                    if let Some(place) = self.places[*index].as_mut() {
                        place.transcription.heard(took);
                    }
                    self.choose_words(*index);
                }
            }
            Err(error @ WhisperError::Model { .. }) if windows.len() > 1 => {
                let windows = windows.len();
                debug!(
                    windows,
                    error = &error as &dyn Error,
                    "windows are encoded one by one"
                );
                return false;
            }
            Err(error) => {
                for (index, _) in windows {
                    self.dismiss(*index, Err(error.clone()));
                }
            }
        }
        true
    }

    fn hear(&mut self, windows: &[(usize, LogMel)]) -> Result<(), WhisperError> {
        if windows.is_empty() {
            return Ok(());
        }
        let places = windows
            .iter()
            .filter_map(|(index, _)| self.places[*index].as_ref());
        let cancels: Vec<&Cancel> = places.map(|place| place.transcription.cancel()).collect();
        let indices: Vec<usize> = windows.iter().map(|(index, _)| *index).collect();
        let windows: Vec<&LogMel> = windows.iter().map(|(_, window)| window).collect();
        let model = self.engine.model();
        // Where there is one, each window is encoded alone.
        let rest = windows.first().and_then(|window| model.rest_of(window));
        let encoded = model
            .encode_unless(&cancels, &windows, rest)
            .map_err(model_error)?
            .ok_or(WhisperError::Cancelled)?;
        model
            .hear(&mut self.state, &indices, &encoded, rest)
            .map_err(model_error)?;
        for (window, index) in indices.into_iter().enumerate() {
            if let Some(place) = self.places[index].as_mut()
                && place.transcription.wants_words()
            {
                let own = encoded.narrow(0, window, 1);
                place.encoded = Some(
                    own.map_err(computing("keeping a window"))
                        .map_err(model_error)?,
                );
            }
        }
        Ok(())
    }

    /// The window is encoded: its language is detected, or an attempt at its words begins.
    fn choose_words(&mut self, index: usize) {
        for row in self.state.rows_of(index) {
            self.state.clear(row);
        }
        let most_hypotheses = self.state.rows_per_item();
        if let Some(place) = self.places[index].as_mut() {
            place.stage = if place.transcription.languages_to_detect().is_some() {
                Stage::Language
            } else {
                place.attempt(self.engine, most_hypotheses)
            };
        }
    }

    /// One pass over all that choose tokens.
    fn decode(&mut self) {
        let Self {
            engine,
            state,
            places,
            ..
        } = self;
        let begin = [engine.vocabulary().start_of_transcript()];
        // Place and number of its rows, and what they read.
        let (mut readers, mut reads, mut greedy) = (Vec::new(), Vec::new(), Vec::new());
        for (index, place) in places.iter().enumerate() {
            let of_place = place.as_ref().map_or_else(Vec::new, |place| {
                place.reads(state.rows_of(index).start, &begin)
            });
            if !of_place.is_empty() {
                readers.push((index, of_place.len()));
                let is_greedy = place.as_ref().is_some_and(Place::is_greedy);
                greedy.extend(of_place.iter().map(|_| is_greedy));
                reads.extend(of_place);
            }
        }
        let began = Instant::now();
        let predicted = engine.model().predict_rows(state, &reads, &greedy);
        match predicted.map_err(model_error) {
            Err(error) => {
                for (index, _) in readers {
                    self.dismiss(index, Err(error.clone()));
                }
            }
            Ok(predicted) => {
                let mut predicted = predicted.into_iter();
                let mut of_places: Vec<Vec<Vec<Prediction>>> = vec![Vec::new(); places.len()];
                for (index, rows) in &readers {
                    of_places[*index] = predicted.by_ref().take(*rows).collect();
                }
                // Rules, the sum of exponentials and the search go over the vocabulary several times: half a
                // millisecond for eight rows.
                let choices: Vec<Option<Choice>> = places
                    .par_iter_mut()
                    .zip(of_places)
                    .map(|(place, predicted)| {
                        let place = place.as_mut().filter(|_| !predicted.is_empty())?;
                        place.choose(engine, predicted)
                    })
                    .collect();
                let took = began.elapsed();
                for (index, _) in readers {
                    if let Some(place) = &mut places[index] {
                        place.transcription.decoded(took);
                    }
                }
                for (index, choice) in choices.into_iter().enumerate() {
                    if let Some(choice) = choice {
                        self.take(index, choice);
                    }
                }
            }
        }
    }

    /// What the place made of its logits.
    fn take(&mut self, index: usize, choice: Choice) {
        let first_row = self.state.rows_of(index).start;
        let most_hypotheses = self.state.rows_per_item();
        let Some(place) = self.places[index].as_mut() else {
            return;
        };
        match choice {
            Choice::Language => {
                place.stage = place.attempt(self.engine, most_hypotheses);
                self.state.clear(first_row);
            }
            Choice::Tokens(Progress::GoesOn { sources }) => {
                let sources: Vec<usize> = sources.iter().map(|source| first_row + source).collect();
                if let Err(error) = self.state.reorder(first_row, &sources) {
                    self.dismiss(index, Err(model_error(error)));
                }
            }
            Choice::Tokens(Progress::Ended(Err(error))) => self.dismiss(index, Err(error)),
            Choice::Tokens(Progress::Ended(Ok(outcome))) => {
                place
                    .transcription
                    .accept(self.engine.vocabulary(), &outcome);
                match self.align(index) {
                    Ok(()) => self.go_on(index),
                    Err(error) => self.dismiss(index, Err(error)),
                }
            }
        }
    }

    /// Finds out when the words of a window that is done are said, if that is wanted, and tells of its segments.
    fn align(&mut self, index: usize) -> Result<(), WhisperError> {
        let Some(place) = self.places[index].as_mut() else {
            return Ok(());
        };
        let vocabulary = self.engine.vocabulary();
        if let Some((reading, again)) = place.transcription.to_align(vocabulary) {
            let began = Instant::now();
            if let Some(window) = again {
                self.hear(&[(index, window)])?;
            }
            let row = self.state.rows_of(index).start;
            let Some(place) = self.places[index].as_mut() else {
                return Ok(());
            };
            if let Some(encoded) = &place.encoded {
                let (tokens, positions) = (&reading.tokens, reading.positions);
                let model = self.engine.model();
                let scores =
                    model.alignment_scores(&mut self.state, row, encoded, tokens, positions);
                let scores = scores.map_err(model_error)?;
                place.transcription.align(vocabulary, &reading, scores);
            }
            place.transcription.decoded(began.elapsed());
        }
        if let Some(place) = self.places[index].as_mut() {
            place.transcription.tell();
        }
        Ok(())
    }

    /// An attempt has ended: it was the last, or another one follows, at this window or at the next.
    fn go_on(&mut self, index: usize) {
        let Some(place) = self.places[index].as_ref() else {
            return;
        };
        if place.transcription.is_done() {
            if let Some(place) = self.places[index].take() {
                self.state.forget(index);
                let transcript = place.transcription.into_transcript();
                self.source.done(place.id, Ok(transcript));
            }
        } else if place.transcription.is_unheard() {
            let stage = self.new_window();
            if let Some(place) = self.places[index].as_mut() {
                place.stage = stage;
            }
        } else {
            self.choose_words(index);
        }
    }
}

impl Place {
    /// `index`: its own.
    fn waiting(&self, index: usize) -> Option<Waiting> {
        let Stage::Window(number) = self.stage else {
            return None;
        };
        Some(Waiting {
            number,
            index,
            frames: self.transcription.frames(),
        })
    }

    fn attempt(&self, engine: &Engine, most_hypotheses: usize) -> Stage {
        let mut request = self.transcription.request(engine.vocabulary());
        let beams = most_hypotheses.saturating_sub(BRANCHES).max(1);
        request.beam_size = request.beam_size.min(beams);
        request.branches = request.branches.min(most_hypotheses - request.beam_size);
        Stage::Attempt(Attempt::new(request, engine.vocabulary()))
    }

    /// `begin`: the start of a transcript, after which languages are told apart.
    fn reads<'p>(&'p self, first_row: usize, begin: &'p [u32]) -> Vec<Prefill<'p>> {
        match &self.stage {
            Stage::Window(_) => Vec::new(),
            Stage::Language => vec![Prefill {
                row: first_row,
                tokens: begin,
                asked: &[0],
            }],
            Stage::Attempt(attempt) => attempt.reads(first_row),
        }
    }

    /// Whether the best token of each row that the place reads is enough for it.
    fn is_greedy(&self) -> bool {
        matches!(&self.stage, Stage::Attempt(attempt) if attempt.is_greedy())
    }

    /// What was predicted for each row that the place read.
    fn choose(&mut self, engine: &Engine, predicted: Vec<Vec<Prediction>>) -> Option<Choice> {
        match &mut self.stage {
            Stage::Window(_) => None,
            Stage::Language => {
                let first = predicted.into_iter().flatten().next();
                self.detect_language(engine, first.and_then(Prediction::logits));
                Some(Choice::Language)
            }
            Stage::Attempt(attempt) => {
                let progress = attempt.take(engine.vocabulary(), predicted.into_iter());
                Some(Choice::Tokens(progress))
            }
        }
    }

    fn detect_language(&mut self, engine: &Engine, logits: Option<Logits>) {
        let allowed = self.transcription.languages_to_detect().unwrap_or_default();
        let detected =
            logits.and_then(|logits| language::choose(engine.vocabulary(), allowed, logits));
        if let Some(detected) = detected {
            self.transcription.set_language(detected);
        }
    }
}

#[cfg(test)]
mod tests;
