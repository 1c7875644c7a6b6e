//! What a caller may ask of one transcription.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use audio::Waveform;

use crate::beginning::Beginning;
use crate::transcript::Segment;
use crate::vocabulary::Task;
use crate::{MelStream, Window};

/// One utterance to transcribe.
#[derive(Clone, Debug)]
pub struct Input {
    /// The sound.
    pub waveform: Arc<Waveform>,
    /// The spectrogram of exactly this waveform when it was computed while audio arrived.
    pub mel: Option<MelStream>,
    /// How it is wanted.
    pub options: Options,
    /// Stops the work between two layers of the encoder, or two decoder steps.
    pub cancel: Cancel,
    /// Is told of the text so far.
    pub progress: Option<Progress>,
}

impl Input {
    /// A waveform with default options.
    pub fn new(waveform: Waveform) -> Self {
        Self {
            waveform: Arc::new(waveform),
            mel: None,
            options: Options::default(),
            cancel: Cancel::default(),
            progress: None,
        }
    }
}

/// Is called with the language, by its code, and the segments of each window as soon as that window is done, on the thread that transcribes, which waits
/// meanwhile. Segments are told once and stay as they are.
#[derive(Clone)]
pub struct Progress(Arc<Callback>);

type Callback = dyn Fn(&str, &[Segment]) + Send + Sync;

impl Progress {
    /// Calls this.
    pub fn new(tell: impl Fn(&str, &[Segment]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(crate) fn tell(&self, language: &str, segments: &[Segment]) {
        (self.0)(language, segments);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Progress")
    }
}

/// A flag that many may hold and one may raise.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the work under this flag to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Which language the audio is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Language {
    /// This one, by Whisper's code (`en`, `yue`).
    Fixed(String),
    /// The most probable of these; of all when the list is empty.
    Detect {
        /// Codes to choose from.
        allowed: Vec<String>,
    },
}

/// How to transcribe. The names of the thresholds, and the defaults of most settings, are those of openai-whisper's
/// `transcribe.py`; there, the text before is a prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Given or to be detected.
    pub language: Language,
    /// Transcribe or translate.
    pub task: Task,
    /// 1 decodes greedily; more keeps that many hypotheses.
    pub beam_size: usize,
    /// Tried in turn until the result passes the thresholds. Above 0 tokens are drawn at random.
    pub temperatures: Vec<f32>,
    /// Text that compresses better than this repeats itself. `None`: not checked.
    pub compression_ratio_threshold: Option<f32>,
    /// Mean log probability of the tokens under which a result is doubted. `None`: not checked.
    pub log_prob_threshold: Option<f32>,
    /// Probability of silence over which a result of the usual log probability is taken for silence; a less probable
    /// one already is below it. `None`: not checked.
    pub no_speech_threshold: Option<f32>,
    /// Likelihood of speech, by a detector that listens before the model does, below which audio has no words. Longer
    /// audio is transcribed where there is speech. `None`: the detector is off.
    pub speech_threshold: Option<f32>,
    /// Text that is taken to come before the audio.
    pub initial_prompt: Option<String>,
    /// Words that the transcript begins with, whatever else is heard.
    pub beginning: Option<Arc<Beginning>>,
    /// Names that are preferred while tokens are chosen.
    pub expected: Option<Arc<crate::Names>>,
    /// Split into segments with times. Audio over one window always is.
    pub timestamps: bool,
    /// Find out when each word is said, by another pass of the decoder over the text of each window. Brings timestamps
    /// along.
    pub word_timestamps: bool,
    /// Long audio: whether the text so far is the prompt of the next window.
    pub condition_on_previous_text: bool,
    /// How much of the window the encoder sees.
    pub window: Window,
    /// Most tokens of a window; never more than half of the decoder's positions.
    pub max_new_tokens: Option<usize>,
    /// Start of the random numbers that temperatures above 0 use.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            language: Language::Detect {
                allowed: Vec::new(),
            },
            task: Task::Transcribe,
            beam_size: 1,
            temperatures: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
            compression_ratio_threshold: Some(2.4),
            log_prob_threshold: Some(-1.0),
            no_speech_threshold: Some(0.5),
            speech_threshold: None,
            initial_prompt: None,
            beginning: None,
            expected: None,
            timestamps: false,
            word_timestamps: false,
            condition_on_previous_text: false,
            window: Window::Exact,
            max_new_tokens: None,
            seed: 0,
        }
    }
}
