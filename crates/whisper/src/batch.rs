//! Utterances that are transcribed together: one pass of the network after the other, and between any two of them
//! utterances join, and those that are done leave (continuous batching; Yu et al. 2022, "Orca").
//!
//! A pass either encodes one window, which fills all threads by itself, or reads tokens of all utterances that are
//! being decoded, since weights that are read from memory once serve all of them.

use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;

use crate::decode::attempt::{Attempt, Progress};
use crate::decode::language;
use crate::state::State;
use crate::transcription::Transcription;
use crate::whisper::model_error;
use crate::{Input, Prefill, Transcript, Whisper, WhisperError};

/// Decoder passes for each window that is encoded, while there is both to do. A token takes a small part of the time of
/// a window, so that those who wait for their last tokens hardly hold up those who wait to be heard.
const DECODES_PER_WINDOW: u32 = 4;

/// Where utterances come from, and where their words go.
pub trait Source: Send {
    /// Utterances that join, each with a number of the caller's; at most `room`. Asked before every pass with room.
    fn join(&mut self, room: usize) -> Vec<(u64, Input)>;

    /// The words of one, or why there are none. Told once for each that joined.
    fn done(&mut self, id: u64, result: Result<Transcript, WhisperError>);
}

/// Utterances on their way.
pub(crate) struct Batch<'a, S: ?Sized> {
    whisper: &'a Whisper,
    source: &'a mut S,
    /// Item `i` belongs to place `i`.
    state: State,
    places: Vec<Option<Place>>,
    turns: Turns,
    /// Windows that came to wait so far.
    windows: u64,
}

struct Place {
    id: u64,
    transcription: Transcription,
    stage: Stage,
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
    /// Nobody is there yet. `state` has an item for each place.
    pub(crate) fn new(whisper: &'a Whisper, state: State, source: &'a mut S) -> Self {
        let places = state.rows() / state.rows_per_item();
        Self {
            whisper,
            source,
            state,
            places: (0..places).map(|_| None).collect(),
            turns: Turns::default(),
            windows: 0,
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
                // Whoever came may have left at once.
                None if somebody_came => {}
                None => return,
            }
        }
    }

    /// Fills free places; returns whether anybody came.
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
            let begun = index.and_then(|index| Ok((index, self.whisper.begin(input)?)));
            match begun {
                Err(error) => self.source.done(id, Err(error)),
                Ok((index, transcription)) => {
                    let stage = self.new_window();
                    self.places[index] = Some(Place {
                        id,
                        transcription,
                        stage,
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
            self.state.fill(index, Vec::new());
            self.source.done(place.id, result);
        }
    }

    /// Encodes the window that has waited longest.
    fn encode(&mut self) {
        let waiting = self.places.iter().enumerate().filter_map(|(index, place)| {
            match place.as_ref()?.stage {
                Stage::Window(number) => Some((number, index)),
                _ => None,
            }
        });
        let Some((_, index)) = waiting.min() else {
            return;
        };
        let began = Instant::now();
        if let Err(error) = self.hear(index) {
            return self.dismiss(index, Err(error));
        }
        if let Some(place) = self.places[index].as_mut() {
            place.transcription.heard(began.elapsed());
        }
        self.choose_words(index);
    }

    fn hear(&mut self, index: usize) -> Result<(), WhisperError> {
        let Some(place) = &self.places[index] else {
            return Ok(());
        };
        let transcription = &place.transcription;
        let window = transcription.window().map_err(|source| WhisperError::Mel {
            source: Arc::new(source),
        })?;
        let model = self.whisper.model();
        let encoded = model
            .encode_unless(transcription.cancel(), &window)
            .map_err(model_error)?
            .ok_or(WhisperError::Cancelled)?;
        model
            .hear(&mut self.state, index, &encoded)
            .map_err(model_error)
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
                place.attempt(self.whisper, most_hypotheses)
            };
        }
    }

    /// One pass over all that choose tokens.
    fn decode(&mut self) {
        let Self {
            whisper,
            state,
            places,
            ..
        } = self;
        let begin = [whisper.vocabulary().start_of_transcript()];
        // Place and number of its rows, and what they read.
        let (mut readers, mut reads) = (Vec::new(), Vec::new());
        for (index, place) in places.iter().enumerate() {
            let of_place = place.as_ref().map_or_else(Vec::new, |place| {
                place.reads(state.rows_of(index).start, &begin)
            });
            if !of_place.is_empty() {
                readers.push((index, of_place.len()));
                reads.extend(of_place);
            }
        }
        let began = Instant::now();
        let logits = whisper.model().prefill_rows(state, &reads);
        match logits.map_err(model_error) {
            Err(error) => {
                for (index, _) in readers {
                    self.dismiss(index, Err(error.clone()));
                }
            }
            Ok(logits) => {
                let took = began.elapsed();
                let mut logits = logits.into_iter();
                let mut of_places: Vec<Vec<Vec<Vec<f32>>>> = vec![Vec::new(); places.len()];
                for (index, rows) in readers {
                    of_places[index] = logits.by_ref().take(rows).collect();
                }
                // Rules, the sum of exponentials and the search go over the vocabulary several times: half a
                // millisecond for eight rows.
                let choices: Vec<Option<Choice>> = places
                    .par_iter_mut()
                    .zip(of_places)
                    .map(|(place, logits)| {
                        let place = place.as_mut().filter(|_| !logits.is_empty())?;
                        place.transcription.decoded(took);
                        place.choose(whisper, logits)
                    })
                    .collect();
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
                place.stage = place.attempt(self.whisper, most_hypotheses);
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
                    .accept(self.whisper.vocabulary(), &outcome);
                self.go_on(index);
            }
        }
    }

    /// An attempt has ended: it was the last, or another one follows, at this window or at the next.
    fn go_on(&mut self, index: usize) {
        let Some(place) = self.places[index].as_ref() else {
            return;
        };
        if place.transcription.is_done() {
            if let Some(place) = self.places[index].take() {
                self.state.fill(index, Vec::new());
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
    fn attempt(&self, whisper: &Whisper, most_hypotheses: usize) -> Stage {
        let mut request = self.transcription.request(whisper.vocabulary());
        request.beam_size = request.beam_size.min(most_hypotheses);
        Stage::Attempt(Attempt::new(request, whisper.vocabulary()))
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

    /// Logits for each row that the place read.
    fn choose(&mut self, whisper: &Whisper, logits: Vec<Vec<Vec<f32>>>) -> Option<Choice> {
        match &mut self.stage {
            Stage::Window(_) => None,
            Stage::Language => {
                self.detect_language(whisper, logits.first().and_then(|row| row.first()));
                Some(Choice::Language)
            }
            Stage::Attempt(attempt) => {
                let progress = attempt.take(whisper.vocabulary(), logits.into_iter());
                Some(Choice::Tokens(progress))
            }
        }
    }

    fn detect_language(&mut self, whisper: &Whisper, logits: Option<&Vec<f32>>) {
        let allowed = self.transcription.languages_to_detect().unwrap_or_default();
        let detected =
            logits.and_then(|logits| language::choose(whisper.vocabulary(), allowed, logits));
        if let Some(detected) = detected {
            self.transcription.set_language(detected);
        }
    }
}

/// What a pass does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    Encode,
    Decode,
}

/// Whose turn it is. Pure.
#[derive(Debug, Default)]
struct Turns {
    /// Decoder passes since the last window.
    decodes: u32,
}

impl Turns {
    /// The next pass; `None` with nothing to do. `windows`, `tokens`: whether any are waiting.
    fn next(&mut self, windows: bool, tokens: bool) -> Option<Pass> {
        let is_due = !tokens || self.decodes >= DECODES_PER_WINDOW;
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
}
