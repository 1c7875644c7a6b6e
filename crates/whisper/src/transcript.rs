//! What comes out.

use std::time::Duration;

/// The words of one utterance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transcript {
    /// All words, without space at the ends. Empty when nothing was said.
    pub text: String,
    /// Whisper's code of the language that was given or detected.
    pub language: String,
    /// How sure the detection was; `None` when the language was given.
    pub language_probability: Option<f32>,
    /// The parts. One without timestamps for a single window.
    pub segments: Vec<Segment>,
    /// What was not taken for words.
    pub withheld: Withheld,
    /// Length of the audio.
    pub audio: Duration,
    /// Where the time went: passes that others took part in are counted whole.
    pub timings: Timings,
}

/// A part of a transcript.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segment {
    /// Where its window begins, in frames of 10 ms from the start of the audio.
    pub seek: usize,
    /// Seconds from the start of the audio.
    pub start_s: f64,
    /// Seconds from the start of the audio.
    pub end_s: f64,
    /// The words, with the space that Whisper puts in front.
    pub text: String,
    /// The tokens behind the words, timestamps included.
    pub tokens: Vec<u32>,
    /// When each word is said; empty unless [asked for](crate::Options::word_timestamps).
    pub words: Vec<Word>,
    /// Temperature of the attempt that gave it.
    pub temperature: f32,
    /// Mean log probability of its window's tokens.
    pub avg_log_prob: f32,
    /// How well its window's text compresses.
    pub compression_ratio: f32,
    /// Probability that its window holds no speech.
    pub no_speech_prob: f32,
}

/// A word of a segment, with its punctuation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Word {
    /// The word, with the space that Whisper puts in front.
    pub text: String,
    /// Seconds from the start of the audio, in hundredths.
    pub start_s: f64,
    /// Seconds from the start of the audio, in hundredths.
    pub end_s: f64,
}

/// Numbers of windows, or of segments, whose text is not part of the transcript.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Withheld {
    /// The detector found no speech: in the whole audio, or where the segment is.
    pub no_speech: u32,
    /// The model takes the window for silence.
    pub silence: u32,
    /// Each attempt at the window was improbable or repeated itself.
    pub hopeless: u32,
    /// The text was that of the prompt, and without a prompt there was none.
    pub prompt: u32,
}

/// Wall time by stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Spectrograms that had not been computed before, the detector of speech, and the prompt.
    pub mel: Duration,
    /// Encoder.
    pub encode: Duration,
    /// Decoder, with language detection and the choice of tokens.
    pub decode: Duration,
}
