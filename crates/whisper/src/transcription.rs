//! One utterance on its way: which window is next, what its attempts gave, where it goes on.
//!
//! Source: the loop of openai-whisper's `transcribe.py`. Pure: it takes outcomes and hands out
//! windows and requests; [`crate::batch`] runs them together with those of others.

use std::time::Duration;

use crate::decode::fallback::{self, Verdict};
use crate::decode::language::Detected;
use crate::decode::{Outcome, Request, bias};
use crate::mel::HOP_LENGTH;
use crate::transcript::{Segment, Timings, Transcript};
use crate::vocabulary::Vocabulary;
use crate::{Cancel, Input, Language, LogMel, MelError, MelStream, Window};

/// Seconds of one mel frame.
const FRAME_S: f64 = 0.01;
/// Mel frames of one timestamp step (20 ms).
const FRAMES_PER_STEP: usize = 2;
/// Above this temperature a window's text is no prompt for the next one.
const MAX_PROMPT_TEMPERATURE: f32 = 0.5;

/// The state of one utterance between two passes.
#[derive(Debug)]
pub(crate) struct Transcription {
    input: Input,
    spectrogram: Spectrogram,
    window_frames: usize,
    positions: usize,
    language: Option<(String, Option<f32>)>,
    /// First mel frame of the current window.
    seek: usize,
    /// Which of the temperatures is tried.
    attempt: usize,
    /// What [`Window::Dynamic`] heard in the current window was doubted: it is encoded whole.
    widened: bool,
    /// The current window was not encoded yet.
    unheard: bool,
    /// Text tokens so far, and where those begin that may prompt the next window.
    said: Vec<u32>,
    prompt_from: usize,
    segments: Vec<Segment>,
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

impl Transcription {
    /// `language` is set when it need not be detected.
    pub(crate) fn new(
        input: Input,
        stream: MelStream,
        language: Option<String>,
        window_frames: usize,
        positions: usize,
    ) -> Self {
        let one_window = stream.samples() <= window_frames * HOP_LENGTH;
        let spectrogram = if one_window && !input.options.timestamps {
            Spectrogram::Short(stream)
        } else {
            Spectrogram::Long(stream.whole())
        };
        Self {
            input,
            spectrogram,
            window_frames,
            positions,
            language: language.map(|language| (language, None)),
            seek: 0,
            attempt: 0,
            widened: false,
            unheard: true,
            said: Vec::new(),
            prompt_from: 0,
            segments: Vec::new(),
            done: false,
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
        match &self.spectrogram {
            Spectrogram::Short(stream) => stream.window(frames),
            Spectrogram::Long(mel) => Ok(mel.slice(self.seek, frames)),
        }
    }

    /// How much of the current window the encoder reads, in mel frames.
    pub(crate) fn frames(&self) -> usize {
        let samples = match &self.spectrogram {
            Spectrogram::Short(stream) => stream.samples(),
            // Only the last window is short of speech; the others are full anyway.
            Spectrogram::Long(mel) => mel.frames().saturating_sub(self.seek) * HOP_LENGTH,
        };
        let window = if self.widened {
            Window::Exact
        } else {
            self.input.options.window
        };
        window.frames(samples, self.window_frames)
    }

    fn timestamps(&self) -> bool {
        matches!(self.spectrogram, Spectrogram::Long(_))
    }

    fn temperature(&self) -> f32 {
        let temperatures = &self.input.options.temperatures;
        temperatures.get(self.attempt).copied().unwrap_or_default()
    }

    /// The next attempt at the current window.
    pub(crate) fn request(&self, vocabulary: &Vocabulary) -> Request {
        let options = &self.input.options;
        let previous = self.said.get(self.prompt_from..).unwrap_or_default();
        let mut prompt = bias::prompt(vocabulary, options, previous, self.positions);
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
            timestamps,
            temperature: self.temperature(),
            beam_size: options.beam_size,
            max_new_tokens,
            seed: options.seed.wrapping_add((self.seek + self.attempt) as u64),
        }
    }

    /// Takes an attempt: it counts, or the window is tried again. The model was trained on whole windows, so one that
    /// was not whole is first made so; then come the other temperatures.
    pub(crate) fn accept(&mut self, vocabulary: &Vocabulary, outcome: &Outcome) {
        let options = &self.input.options;
        let text = vocabulary.decode(&outcome.tokens);
        let compression_ratio = fallback::compression_ratio(text.trim());
        let verdict = fallback::judge(options, outcome, compression_ratio);
        if verdict == Verdict::Doubted {
            if self.frames() < self.window_frames {
                self.widened = true;
                self.unheard = true;
                return;
            }
            if self.attempt + 1 < options.temperatures.len() {
                self.attempt += 1;
                return;
            }
        }
        let found = Found {
            temperature: self.temperature(),
            avg_log_prob: outcome.avg_log_prob,
            compression_ratio,
            no_speech_prob: outcome.no_speech_prob,
        };
        self.unheard = true;
        self.attempt = 0;
        self.widened = false;
        let tokens = if verdict == Verdict::Silence {
            &[]
        } else {
            &outcome.tokens[..]
        };
        match &self.spectrogram {
            Spectrogram::Short(stream) => {
                let end_s = (stream.samples() / HOP_LENGTH) as f64 * FRAME_S;
                self.add_segment(vocabulary, 0.0, end_s, tokens, &found);
                self.done = true;
            }
            Spectrogram::Long(mel) => {
                let frames = mel.frames();
                self.take_window(vocabulary, frames, tokens, &found);
            }
        }
    }

    /// Cuts a window's tokens into segments at pairs of timestamps and moves on to where they end.
    fn take_window(
        &mut self,
        vocabulary: &Vocabulary,
        frames: usize,
        tokens: &[u32],
        found: &Found,
    ) {
        let window = (frames - self.seek).min(self.window_frames);
        let from = self.seek as f64 * FRAME_S;
        let cut = cut_at_timestamps(tokens, vocabulary.timestamps(), window);
        for part in &cut.parts {
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
        self.done = self.seek >= frames;
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
            start_s,
            end_s,
            text,
            tokens: tokens.to_vec(),
            temperature: found.temperature,
            avg_log_prob: found.avg_log_prob,
            compression_ratio: found.compression_ratio,
            no_speech_prob: found.no_speech_prob,
        });
    }

    pub(crate) fn into_transcript(self) -> Transcript {
        let text: String = self.segments.iter().map(|segment| &*segment.text).collect();
        let (language, language_probability) = self.language.unwrap_or_default();
        Transcript {
            text: text.trim().to_owned(),
            language,
            language_probability,
            segments: self.segments,
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

/// A window's tokens by segment, times in timestamp steps from the window's start.
#[derive(Debug, PartialEq, Eq)]
struct Cut {
    parts: Vec<Part>,
    /// Mel frames to the next window.
    advance: usize,
}

#[derive(Debug, PartialEq, Eq)]
struct Part {
    start: usize,
    end: usize,
    tokens: std::ops::Range<usize>,
}

/// Segments end where two timestamps stand side by side. When the window ends in one timestamp,
/// nothing is said after it and the whole window is taken; else what is behind the last pair is
/// heard again in the next window. `window` is in mel frames.
fn cut_at_timestamps(tokens: &[u32], timestamps: std::ops::Range<u32>, window: usize) -> Cut {
    let step = |index: usize| {
        let token = tokens
            .get(index)
            .filter(|token| timestamps.contains(token))?;
        Some((token - timestamps.start) as usize)
    };
    let is_stamp = |index: usize| step(index).is_some();
    let last = tokens.len().saturating_sub(1);
    let single_ending = tokens.len() >= 2 && is_stamp(last) && !is_stamp(last - 1);
    let mut cuts: Vec<usize> = (1..tokens.len())
        .filter(|&index| is_stamp(index - 1) && is_stamp(index))
        .collect();
    if cuts.is_empty() {
        // No pair: one segment, to its last timestamp or to the end of the window.
        let end = (0..tokens.len())
            .rev()
            .find_map(step)
            .filter(|&step| step > 0)
            .unwrap_or(window / FRAMES_PER_STEP);
        let parts = if tokens.is_empty() {
            Vec::new()
        } else {
            vec![Part {
                start: 0,
                end,
                tokens: 0..tokens.len(),
            }]
        };
        return Cut {
            parts,
            advance: window,
        };
    }
    if single_ending {
        cuts.push(tokens.len());
    }
    let mut parts = Vec::new();
    let mut from = 0;
    for cut in cuts {
        parts.push(Part {
            start: step(from).unwrap_or_default(),
            end: step(cut - 1).unwrap_or_default(),
            tokens: from..cut,
        });
        from = cut;
    }
    let advance = if single_ending {
        window
    } else {
        step(from - 1).unwrap_or_default() * FRAMES_PER_STEP
    };
    Cut { parts, advance }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Timestamps begin at token 100; the window has 3000 frames.
    fn check(tokens: &[u32], parts: &[(usize, usize, std::ops::Range<usize>)], advance: usize) {
        let parts = parts
            .iter()
            .map(|(start, end, tokens)| Part {
                start: *start,
                end: *end,
                tokens: tokens.clone(),
            })
            .collect();
        assert_eq!(
            cut_at_timestamps(tokens, 100..1_601, 3_000),
            Cut { parts, advance }
        );
    }

    #[test]
    fn a_single_segment_takes_the_whole_window() {
        check(&[100, 1, 2, 150], &[(0, 50, 0..4)], 3_000);
        check(&[100, 1, 2], &[(0, 1_500, 0..3)], 3_000);
        check(&[], &[], 3_000);
    }

    #[test]
    fn segments_end_at_pairs_of_timestamps() {
        check(
            &[100, 1, 150, 150, 2, 200],
            &[(0, 50, 0..3), (50, 100, 3..6)],
            3_000,
        );
    }

    #[test]
    fn what_is_cut_off_is_heard_again() {
        check(&[100, 1, 150, 160, 2], &[(0, 50, 0..3)], 100);
        check(&[100, 1, 150, 150], &[(0, 50, 0..3)], 100);
    }
}
