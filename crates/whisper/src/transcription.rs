//! One utterance on its way: which window is next, what its attempts gave, where it goes on.
//!
//! Source: the loop of openai-whisper's `transcribe.py`. Pure: it takes outcomes and hands out
//! windows and requests; [`crate::batch`] runs them together with those of others.

mod cut;
mod timed;

use std::ops::Range;
use std::time::Duration;

use self::cut::{Cut, FRAMES_PER_STEP, cut_at_timestamps, stretches};
use self::timed::Unaligned;
use crate::beginning::Beginning;
use crate::decode::fallback::{Tried, Verdict, Way};
use crate::decode::language::Detected;
use crate::decode::{BRANCHES, Begun, Outcome, Request, bias};
use crate::mel::HOP_LENGTH;
use crate::passages::Passages;
use crate::transcript::{Segment, Timings, Transcript, Withheld};
use crate::vocabulary::Vocabulary;
use crate::{Cancel, Input, Language, LogMel, MelError, MelStream, Window};

/// Seconds of one mel frame.
const FRAME_S: f64 = 0.01;
/// Above this temperature a window's text is no prompt for the next one.
const MAX_PROMPT_TEMPERATURE: f32 = 0.5;
/// A segment of this length without speech was invented: 0.5 s in mel frames. Times are not exact.
const LEAST_SILENCE: usize = 50;
/// So much speech has words, 5 s in mel frames …
const WORDY_SPEECH: usize = 500;
/// So much speech between two segments, 1.8 s with the detector's margins, was passed over.
const PASSED_OVER: usize = 180;
/// … and at least one token for so much, 1 s. People say three or four.
const SPEECH_PER_TOKEN: usize = 100;

/// The state of one utterance between two passes.
#[derive(Debug)]
pub(crate) struct Transcription {
    input: Input,
    spectrogram: Spectrogram,
    /// Where there is speech.
    passages: Passages,
    window_frames: usize,
    positions: usize,
    /// Of the initial prompt, in tokens.
    initial_words: Vec<u32>,
    language: Option<(String, Option<f32>)>,
    /// First mel frame of the current window.
    seek: usize,
    /// Which of the temperatures is tried.
    attempt: usize,
    /// How the current window is heard.
    way: Way,
    /// The best of the attempts at the current window that were doubted.
    best: Option<Tried>,
    /// A text that may be nothing but the prompt; the window is heard again without one.
    suspect: Option<Tried>,
    /// What a window that is not whole gave for the current window was doubted: it is encoded whole.
    widened: bool,
    /// The current window was not encoded yet.
    unheard: bool,
    /// Text tokens so far, and where those begin that may prompt the next window.
    said: Vec<u32>,
    prompt_from: usize,
    segments: Vec<Segment>,
    /// How many of them were told of.
    told: usize,
    /// The window that was done last, whose words have no times yet.
    unaligned: Option<Unaligned>,
    /// Where the last of the words ends.
    last_word_s: f64,
    withheld: Withheld,
    done: bool,
    timings: Timings,
}

/// The mel of the audio.
#[derive(Debug)]
enum Spectrogram {
    /// At most one window, and no timestamps wanted: padded when it is encoded.
    Short(MelStream),
    /// Windows are cut from the whole.
    Long(LogMel),
}

/// What is known of an utterance before its first pass.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) stream: MelStream,
    pub(crate) passages: Passages,
    /// When it need not be detected.
    pub(crate) language: Option<String>,
    /// Of the initial prompt, in tokens.
    pub(crate) initial_words: Vec<u32>,
}

/// What the network takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Of one window, in mel frames.
    pub(crate) window_frames: usize,
    /// Of the decoder, in tokens.
    pub(crate) positions: usize,
    /// Whether the encoder may read less than a window with [`Window::Auto`].
    pub(crate) may_be_short: bool,
}

impl Transcription {
    /// An utterance before its first pass.
    pub(crate) fn new(mut input: Input, known: Known, bounds: Bounds) -> Self {
        let Known {
            stream,
            passages,
            language,
            initial_words,
        } = known;
        let Bounds {
            window_frames,
            positions,
            may_be_short,
        } = bounds;
        input.options.timestamps |= input.options.word_timestamps;
        let one_window = stream.samples() <= window_frames * HOP_LENGTH;
        let is_long = !one_window || input.options.timestamps;
        // Of long audio most windows are full, and a word that is lost at the end of one is lost for good.
        if input.options.window == Window::Auto && (is_long || !may_be_short) {
            input.options.window = Window::Exact;
        }
        let spectrogram = if is_long {
            Spectrogram::Long(stream.whole())
        } else {
            Spectrogram::Short(stream)
        };
        let begun = input.options.beginning.as_ref();
        let begun = begun.map(|beginning| beginning.samples.div_ceil(HOP_LENGTH));
        let passages = if begun.is_some_and(|frames| passages.first() >= frames) {
            // Speech was heard there before.
            Passages::whole(passages.frames())
        } else {
            passages
        };
        let is_speech = passages.has_speech();
        // A short command is heard from its beginning.
        let seek = match &spectrogram {
            Spectrogram::Short(_) => 0,
            Spectrogram::Long(_) => passages.first(),
        };
        Self {
            input,
            spectrogram,
            passages,
            window_frames,
            positions,
            initial_words,
            language: language.map(|language| (language, None)),
            seek,
            attempt: 0,
            way: Way::Usual,
            best: None,
            suspect: None,
            widened: false,
            unheard: true,
            said: Vec::new(),
            prompt_from: 0,
            segments: Vec::new(),
            told: 0,
            unaligned: None,
            last_word_s: 0.0,
            withheld: Withheld {
                no_speech: u32::from(!is_speech),
                ..Withheld::default()
            },
            done: !is_speech,
            timings: Timings::default(),
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel().is_cancelled()
    }

    pub(crate) fn cancel(&self) -> &Cancel {
        &self.input.cancel
    }

    /// Its spectrogram was computed.
    pub(crate) fn seen(&mut self, took: Duration) {
        self.timings.mel += took;
    }

    /// Whether the current window has to be encoded before it is decoded.
    pub(crate) fn is_unheard(&self) -> bool {
        self.unheard
    }

    /// The current window was encoded.
    pub(crate) fn heard(&mut self, took: Duration) {
        self.unheard = false;
        self.timings.encode += took;
    }

    /// The decoder worked on it, alone or together with others.
    pub(crate) fn decoded(&mut self, took: Duration) {
        self.timings.decode += took;
    }

    /// Languages to choose from while the language is not known.
    pub(crate) fn languages_to_detect(&self) -> Option<&[String]> {
        match (&self.language, &self.input.options.language) {
            (None, Language::Detect { allowed }) => Some(allowed),
            _ => None,
        }
    }

    pub(crate) fn set_language(&mut self, detected: Detected) {
        self.language = Some((detected.language, Some(detected.probability)));
    }

    /// The current window's spectrogram.
    pub(crate) fn window(&self) -> Result<LogMel, MelError> {
        let frames = self.frames();
        let is_auto = self.reads() == Window::Auto;
        let window = match &self.spectrogram {
            Spectrogram::Short(stream) => stream.window(frames)?,
            Spectrogram::Long(mel) => {
                let taken = self.window_end(self.way) - self.seek;
                mel.slice(self.seek, taken).slice(0, frames)
            }
        };
        Ok(if is_auto { window.padded_on() } else { window })
    }

    /// How much of the current window the encoder reads, in mel frames.
    pub(crate) fn frames(&self) -> usize {
        let samples = match &self.spectrogram {
            Spectrogram::Short(stream) => stream.samples(),
            // The last window of a passage is short of speech; the others are full anyway.
            Spectrogram::Long(_) => (self.window_end(self.way) - self.seek) * HOP_LENGTH,
        };
        self.reads().frames(samples, self.window_frames)
    }

    fn reads(&self) -> Window {
        if self.widened {
            Window::Exact
        } else {
            self.input.options.window
        }
    }

    /// Where the current window ends when it is heard in this way: with the audio, before a long pause, or full.
    fn window_end(&self, way: Way) -> usize {
        let begun = self.beginning().map_or(0, |beginning| beginning.samples);
        let begun = begun.div_ceil(HOP_LENGTH).min(self.passages.frames());
        let full = self.passages.end(self.seek).max(begun);
        let full = full.min(self.seek + self.window_frames);
        match way {
            Way::Plain { end } => end.max(begun).min(full),
            Way::Usual | Way::Unprompted => full,
        }
    }

    fn timestamps(&self) -> bool {
        matches!(self.spectrogram, Spectrogram::Long(_)) && !matches!(self.way, Way::Plain { .. })
    }

    fn temperature(&self) -> f32 {
        let temperatures = &self.input.options.temperatures;
        temperatures.get(self.attempt).copied().unwrap_or_default()
    }

    /// The next attempt at the current window.
    pub(crate) fn request(&self, vocabulary: &Vocabulary) -> Request {
        let options = &self.input.options;
        let previous = self.said.get(self.prompt_from..).unwrap_or_default();
        let mut prompt = match self.way {
            Way::Usual => bias::prompt(vocabulary, &self.initial_words, previous, self.positions),
            Way::Unprompted | Way::Plain { .. } => Vec::new(),
        };
        let start_index = prompt.len();
        let language = self.language.as_ref().map_or("", |(language, _)| language);
        prompt.extend(vocabulary.start_sequence(language, options.task));
        let timestamps = self.timestamps();
        if !timestamps {
            prompt.push(vocabulary.no_timestamps());
        }
        let room = self.positions.saturating_sub(prompt.len());
        let max_new_tokens = options
            .max_new_tokens
            .unwrap_or(usize::MAX)
            .min(self.positions / 2)
            .min(room);
        Request {
            prompt,
            start_index,
            begun: self.begun(vocabulary),
            timestamps,
            temperature: self.temperature(),
            beam_size: options.beam_size,
            max_new_tokens,
            seed: options.seed.wrapping_add((self.seek + self.attempt) as u64),
            names: options.expected.clone(),
            branches: BRANCHES,
        }
    }

    /// What the text of the current window begins with.
    fn begun(&self, vocabulary: &Vocabulary) -> Begun {
        let Some(beginning) = self.beginning() else {
            return Begun::default();
        };
        let stamp = self.timestamps().then(|| vocabulary.timestamps().start);
        let tokens = stamp.into_iter().chain(beginning.tokens.iter().copied());
        Begun {
            tokens: tokens.collect(),
            sum_log_prob: beginning.avg_log_prob * beginning.tokens.len() as f32,
        }
    }

    /// What the transcript is to begin with; only its first window does.
    fn beginning(&self) -> Option<&Beginning> {
        self.input.options.beginning.as_deref()
    }

    /// Takes an attempt: it counts, or the window is heard again. The model was trained on whole windows, so one that
    /// was not whole is first made so; then come other ways, then the other temperatures.
    pub(crate) fn accept(&mut self, vocabulary: &Vocabulary, outcome: &Outcome) {
        let tried = self.tried(vocabulary, outcome);
        let options = &self.input.options;
        let verdict = tried.verdict(options);
        if let Some(suspect) = self.suspect.take() {
            let is_silence = match verdict {
                Verdict::Silence => true,
                Verdict::Doubted => tried.may_be_silence(),
                Verdict::Speech => tried.outcome.tokens.is_empty(),
            };
            self.withheld.prompt += u32::from(is_silence);
            self.settle(vocabulary, Some(suspect).filter(|_| !is_silence));
            return;
        }
        // The first attempt tells silence, and the best: others are improbable because they were drawn at random.
        if verdict == Verdict::Silence && self.attempt == 0 {
            self.withheld.silence += 1;
            self.settle(vocabulary, None);
            return;
        }
        if verdict == Verdict::Speech {
            self.check_and_settle(vocabulary, tried);
            return;
        }
        if self.frames() < self.window_frames && !self.widened {
            self.widened = true;
            self.unheard = true;
            return;
        }
        let is_last = !self.hear_again(&tried);
        let best = match self.best.take() {
            Some(best) => best.better(tried),
            None => tried,
        };
        if !is_last {
            self.best = Some(best);
        } else if best.verdict(&self.input.options) == Verdict::Silence {
            self.withheld.silence += 1;
            self.settle(vocabulary, None);
        } else if best.is_hopeless(&self.input.options) {
            self.withheld.hopeless += 1;
            self.settle(vocabulary, None);
        } else {
            self.check_and_settle(vocabulary, best);
        }
    }

    fn tried(&self, vocabulary: &Vocabulary, outcome: &Outcome) -> Tried {
        let text = vocabulary.decode(&outcome.tokens);
        Tried {
            temperature: self.temperature(),
            way: self.way,
            is_sparse: self.is_sparse(vocabulary, &outcome.tokens),
            ..Tried::new(&self.input.options, outcome.clone(), &text)
        }
    }

    /// Whether seconds of speech have hardly a word.
    fn is_sparse(&self, vocabulary: &Vocabulary, tokens: &[u32]) -> bool {
        let window = self.window_end(self.way) - self.seek;
        let timestamps = vocabulary.timestamps();
        let cut = match self.spectrogram {
            Spectrogram::Short(_) => Cut::whole(tokens, window),
            Spectrogram::Long(_) => cut_at_timestamps(tokens, timestamps.clone(), window),
        };
        stretches(&cut).into_iter().any(|(frames, part)| {
            if part.is_empty() && frames.start > 0 {
                // The next window begins there.
                return false;
            }
            let least = if part.is_empty() {
                PASSED_OVER
            } else {
                WORDY_SPEECH
            };
            let tokens = tokens.get(part).unwrap_or_default();
            let words = tokens.iter().filter(|&token| !timestamps.contains(token));
            let frames = self.seek + frames.start..self.seek + frames.end;
            let speech = self.passages.speech_in(&frames).unwrap_or_default();
            speech >= least && words.count() * SPEECH_PER_TOKEN < speech
        })
    }

    /// Chooses how the window is heard after a doubted attempt; `false` when that was the last.
    fn hear_again(&mut self, tried: &Tried) -> bool {
        let options = &self.input.options;
        let is_prompted = bias::has_words(options) || self.prompt_from < self.said.len();
        if tried.is_sparse && self.way == Way::Usual && is_prompted {
            self.way = Way::Unprompted;
            return true;
        }
        let may_be_plain = matches!(self.spectrogram, Spectrogram::Long(_)) && self.timestamps();
        if tried.is_sparse && may_be_plain {
            let window = self.seek..self.window_end(self.way);
            let end = self.passages.pause_in(&window);
            self.way = Way::Plain { end };
            self.unheard = true;
            return true;
        }
        let is_doubted = tried.is_improbable(options) || tried.is_repetitive;
        if is_doubted && self.attempt + 1 < options.temperatures.len() {
            self.attempt += 1;
            return true;
        }
        false
    }

    /// A text that may be nothing but the prompt is checked before it counts.
    fn check_and_settle(&mut self, vocabulary: &Vocabulary, tried: Tried) {
        let options = &self.input.options;
        let is_prompted = tried.way == Way::Usual && bias::has_words(options);
        if is_prompted && options.no_speech_threshold.is_some() && !tried.outcome.tokens.is_empty()
        {
            let text = vocabulary.decode(&tried.outcome.tokens);
            let is_unclear = tried.may_be_silence() || tried.is_improbable(options);
            if is_unclear || bias::is_echo(options, &text) {
                // The window that is encoded is the one that was heard in the usual way, unless it was cut since.
                self.unheard = matches!(self.way, Way::Plain { .. });
                self.way = Way::Unprompted;
                self.attempt = 0;
                self.suspect = Some(tried);
                return;
            }
        }
        self.settle(vocabulary, Some(tried));
    }

    /// The window is done: its text, if there is one, is part of the transcript.
    fn settle(&mut self, vocabulary: &Vocabulary, tried: Option<Tried>) {
        let silence = || Tried {
            outcome: Outcome {
                // What was told is not taken back.
                tokens: self.begun(vocabulary).tokens,
                ..Outcome::default()
            },
            temperature: self.temperature(),
            way: self.way,
            ..Tried::default()
        };
        let tried = tried.unwrap_or_else(silence);
        let found = Found {
            temperature: tried.temperature,
            avg_log_prob: tried.outcome.avg_log_prob,
            compression_ratio: tried.compression_ratio,
            no_speech_prob: tried.outcome.no_speech_prob,
        };
        let tokens = &tried.outcome.tokens[..];
        match &self.spectrogram {
            Spectrogram::Short(stream) => {
                let end_s = (stream.samples() / HOP_LENGTH) as f64 * FRAME_S;
                self.add_segment(vocabulary, 0.0, end_s, tokens, &found);
                self.done = true;
            }
            Spectrogram::Long(mel) => {
                let frames = mel.frames();
                let end = self.window_end(tried.way);
                let window = end - self.seek;
                self.unaligned = Some(Unaligned {
                    seek: self.seek,
                    length: window,
                    segments_from: self.segments.len(),
                    is_encoded: end == self.window_end(self.way),
                });
                self.take_window(vocabulary, window, tokens, &found);
                self.seek = self.passages.next(self.seek);
                self.done = self.seek >= frames;
            }
        }
        self.input.options.beginning = None;
        self.unheard = true;
        self.attempt = 0;
        self.way = Way::Usual;
        self.best = None;
        self.widened = false;
    }

    /// Cuts a window's tokens into segments at pairs of timestamps and moves on to where they end. `window`: in mel
    /// frames.
    fn take_window(
        &mut self,
        vocabulary: &Vocabulary,
        window: usize,
        tokens: &[u32],
        found: &Found,
    ) {
        let from = self.seek as f64 * FRAME_S;
        let cut = cut_at_timestamps(tokens, vocabulary.timestamps(), window);
        let cut = self.before_what_is_passed_over(cut);
        for part in &cut.parts {
            let frame = |step: usize| self.seek + step * FRAMES_PER_STEP;
            let frames = frame(part.start)..frame(part.end);
            let is_told = part.tokens.start == 0 && self.beginning().is_some();
            let is_silent = self.passages.speech_in(&frames) == Some(0);
            if frames.len() >= LEAST_SILENCE && is_silent && !is_told {
                self.withheld.no_speech += 1;
                continue;
            }
            let seconds = |step: usize| from + (step * FRAMES_PER_STEP) as f64 * FRAME_S;
            let tokens = &tokens[part.tokens.clone()];
            self.add_segment(
                vocabulary,
                seconds(part.start),
                seconds(part.end),
                tokens,
                found,
            );
        }
        if !self.input.options.condition_on_previous_text
            || found.temperature > MAX_PROMPT_TEMPERATURE
        {
            self.prompt_from = self.said.len();
        }
        self.seek += cut.advance.clamp(1, window.max(1));
    }

    /// The segments up to the first speech that they leave out; the next window begins there.
    fn before_what_is_passed_over(&self, mut cut: Cut) -> Cut {
        let is_passed_over = |(frames, tokens): &(Range<usize>, Range<usize>)| {
            let frames = self.seek + frames.start..self.seek + frames.end;
            let speech = self.passages.speech_in(&frames);
            tokens.is_empty() && speech.is_some_and(|speech| speech >= PASSED_OVER)
        };
        // What is passed over at the beginning would be so again.
        let passed_over = stretches(&cut)
            .into_iter()
            .find(|stretch| stretch.0.start > 0 && is_passed_over(stretch));
        if let Some((frames, _)) = passed_over {
            cut.parts
                .retain(|part| part.start * FRAMES_PER_STEP < frames.start);
            cut.advance = frames.start;
        }
        cut
    }

    fn add_segment(
        &mut self,
        vocabulary: &Vocabulary,
        start_s: f64,
        end_s: f64,
        tokens: &[u32],
        found: &Found,
    ) {
        let text = vocabulary.decode(tokens);
        if text.trim().is_empty() {
            return;
        }
        self.said.extend_from_slice(tokens);
        self.segments.push(Segment {
            seek: self.seek,
            start_s,
            end_s,
            text,
            tokens: tokens.to_vec(),
            words: Vec::new(),
            temperature: found.temperature,
            avg_log_prob: found.avg_log_prob,
            compression_ratio: found.compression_ratio,
            no_speech_prob: found.no_speech_prob,
        });
    }

    /// Whether the times of words are wanted.
    pub(crate) fn wants_words(&self) -> bool {
        self.input.options.word_timestamps
    }

    /// Tells of the segments that are new.
    pub(crate) fn tell(&mut self) {
        let fresh = self.segments.get(self.told..).unwrap_or_default();
        if let (Some(progress), false) = (&self.input.progress, fresh.is_empty()) {
            let language = self.language.as_ref().map_or("", |(language, _)| language);
            progress.tell(language, fresh);
        }
        self.told = self.segments.len();
    }

    pub(crate) fn into_transcript(self) -> Transcript {
        let text: String = self.segments.iter().map(|segment| &*segment.text).collect();
        let (language, language_probability) = self.language.unwrap_or_default();
        Transcript {
            text: text.trim().to_owned(),
            language,
            language_probability,
            segments: self.segments,
            withheld: self.withheld,
            audio: self.input.waveform.duration(),
            timings: self.timings,
        }
    }
}

/// What is said of every segment of a window.
#[derive(Clone, Copy, Debug)]
struct Found {
    temperature: f32,
    avg_log_prob: f32,
    compression_ratio: f32,
    no_speech_prob: f32,
}
