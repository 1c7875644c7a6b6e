//! What chooses and runs a model.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use whisper::{DeviceChoice, Language, LoadOptions, Options, Precision, Task, Window};

use super::ConfigError;
use super::ranges::{MOST_AT_ONCE, MOST_BEAMS, count, share};
use crate::blocklist::Blocklist;
use crate::model_store::HubArgs;

/// As faster-whisper has it. Of 200 spoken orders tiny.en understands 88.1 % of what was asked for so, 84.6 % with 1.
const BEAMS_ON_CPU: usize = 5;

/// Settings that choose and run a model; `serve` and `transcribe` share them.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct ModelArgs {
    /// Model: `demo` (built in: English smart-home commands by synthetic voices, to try things out),
    /// a folder or file with a Whisper checkpoint, a size such as tiny.en, base-int8, small, turbo or
    /// auto (faster-whisper's names and repositories), or a hub id such as openai/whisper-base.
    #[arg(
        long,
        env = "STT_MODEL",
        default_value = "demo",
        value_name = "demo|PATH|SIZE|HUB_ID"
    )]
    pub model: String,
    /// Where hub models come from.
    #[command(flatten)]
    pub hub: HubArgs,
    /// Where to compute. `auto` takes a GPU where this build and this machine have one.
    #[arg(long, env = "STT_DEVICE", default_value = "auto", value_name = "auto|cpu|cuda|cuda:N", value_parser = device)]
    pub device: DeviceChoice,
    /// Numbers that the network computes in: `f32` is the reference; `int8` (CPU only) rounds weights and
    /// inputs to one or two bytes, is faster, and may change a word; `f16` is for GPUs only; `auto` is int8
    /// on a CPU with AVX2 or better, f16 on a GPU, otherwise f32.
    #[arg(long, env = "STT_PRECISION", default_value = "auto", value_enum)]
    pub precision: PrecisionArg,
    /// CTranslate2's names for what --precision says: `default`, `auto`, `int8` and its kinds, `float32`, `float16`,
    /// `bfloat16`, `int16`.
    #[arg(long, hide = true, value_enum)]
    pub compute_type: Option<ComputeType>,
    /// On a GPU, in f16: compute attention, what surrounds the products, and the choice of the best
    /// token with this program's own kernels, where a check at the start finds that they give what
    /// Candle's give.
    #[arg(long, env = "STT_FUSED_KERNELS", default_value_t = true, action = clap::ArgAction::Set, value_name = "true|false", value_parser = BoolishValueParser::new())]
    pub fused_kernels: bool,
    /// Keep int8 weights, as they are computed with, in a file beside the model's (`model.int8.packed`)
    /// where its folder can be written to: later starts read it instead of the whole checkpoint.
    #[arg(long, env = "STT_KEEP_PACKED", default_value_t = true, action = clap::ArgAction::Set, value_name = "true|false", value_parser = BoolishValueParser::new())]
    pub keep_packed: bool,
    /// CPU threads for the model; 0 takes one per core.
    #[arg(long, env = "STT_CPU_THREADS", default_value_t = 0, value_parser = count(0..=MOST_AT_ONCE), value_name = "N")]
    pub cpu_threads: usize,
    /// Language when the client sends none: a code such as `de`, or `auto` to detect it.
    #[arg(
        long,
        env = "STT_LANGUAGE",
        default_value = "auto",
        value_name = "auto|CODE"
    )]
    pub language: String,
    /// Hypotheses that are kept. 1 is the fastest; 5 understands some two per cent more of a command and takes
    /// half as much time again. 0 is 5 on the CPU, and 1 where a GPU may be used and with `--window dynamic`.
    #[arg(long, env = "STT_BEAM_SIZE", default_value_t = 0, value_parser = count(0..=MOST_BEAMS), value_name = "N")]
    pub beam_size: usize,
    /// Write down what is said, or its English translation.
    #[arg(
        long,
        env = "STT_TASK",
        alias = "whisper-task",
        default_value = "transcribe",
        value_enum
    )]
    pub task: TaskArg,
    /// Text that the model takes for what came before: names and spellings to expect.
    #[arg(long, env = "STT_INITIAL_PROMPT", value_name = "TEXT")]
    pub initial_prompt: Option<String>,
    /// What the encoder reads of 30 s: `auto` reads the audio, a margin and samples of the padding behind it, which is
    /// several times faster for short commands; `exact` reads all of it, as the model was trained; `dynamic` reads the
    /// audio and a margin only, which costs accuracy.
    #[arg(long, env = "STT_WINDOW", default_value = "auto", value_enum)]
    pub window: WindowArg,
    /// Try again at higher temperatures when a result repeats itself or is improbable.
    #[arg(long, env = "STT_TEMPERATURE_FALLBACK", default_value_t = true, action = clap::ArgAction::Set, value_name = "true|false", value_parser = BoolishValueParser::new())]
    pub temperature_fallback: bool,
    /// Likelihood of speech below which audio has no words: a detector listens before the model does, and
    /// longer audio is transcribed where there is speech. 0 turns it off.
    #[arg(
        long,
        env = "STT_SPEECH_THRESHOLD",
        default_value_t = 0.8,
        value_parser = share,
        value_name = "0..1"
    )]
    pub speech_threshold: f32,
    /// Long audio: the words of one window are the prompt of the next. What was misheard then goes on.
    #[arg(long, env = "STT_CONDITION_ON_PREVIOUS_TEXT", default_value_t = false, action = clap::ArgAction::Set, value_name = "true|false", value_parser = BoolishValueParser::new())]
    pub condition_on_previous_text: bool,
    /// A result above this probability of silence is dropped; one that is less probable than usual
    /// already below it.
    #[arg(
        long,
        env = "STT_NO_SPEECH_THRESHOLD",
        default_value_t = 0.5,
        value_name = "0..1"
    )]
    pub no_speech_threshold: f32,
    /// A result whose mean log probability is below this is doubtful; below twice this it is dropped.
    #[arg(long, env = "STT_LOG_PROB_THRESHOLD", default_value_t = -1.0, value_name = "X", allow_hyphen_values = true)]
    pub log_prob_threshold: f32,
    /// A result that compresses better than this repeats itself.
    #[arg(
        long,
        env = "STT_COMPRESSION_RATIO_THRESHOLD",
        default_value_t = 2.4,
        value_name = "X"
    )]
    pub compression_ratio_threshold: f32,
    /// File with further phrases, one a line, that are taken for silence when they are the whole text of a segment.
    #[arg(long, env = "STT_BLOCKLIST_EXTRA", value_name = "FILE")]
    pub blocklist_extra: Option<PathBuf>,
    /// Keep phrases that Whisper is known to invent on silence ("Thanks for watching!").
    #[arg(long, env = "STT_NO_BLOCKLIST", value_parser = BoolishValueParser::new())]
    pub no_blocklist: bool,
}

/// `--task`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum TaskArg {
    /// What is said.
    Transcribe,
    /// The same in English.
    Translate,
}

/// `--window`.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum WindowArg {
    /// The audio, a margin, and samples of the padding behind it; 30 s on a GPU.
    Auto,
    /// 30 s, padded with silence.
    Exact,
    /// The audio and a margin.
    Dynamic,
}

/// `--precision`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PrecisionArg {
    /// The fastest that is known to give the reference's words.
    Auto,
    /// The reference.
    F32,
    /// Half of it, on a GPU.
    F16,
    /// Bytes, on the CPU.
    Int8,
}

/// `--compute-type`, by CTranslate2's names.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ComputeType {
    /// What suits the device.
    Default,
    /// The same.
    Auto,
    /// Bytes.
    Int8,
    /// Bytes, and halves where they are not used.
    #[value(name = "int8_float16")]
    Int8Float16,
    /// Bytes, and bf16 where they are not used.
    #[value(name = "int8_bfloat16")]
    Int8Bfloat16,
    /// Bytes, and f32 where they are not used.
    #[value(name = "int8_float32")]
    Int8Float32,
    /// Two bytes.
    Int16,
    /// Halves.
    Float16,
    /// bf16.
    Bfloat16,
    /// The reference.
    Float32,
}

impl ModelArgs {
    /// How the model is loaded.
    pub fn load_options(&self) -> LoadOptions {
        LoadOptions {
            threads: self.cpu_threads,
            precision: self.precision(),
            keep_packed: self.keep_packed,
            fused: self.fused_kernels,
            ..LoadOptions::default()
        }
    }

    fn precision(&self) -> Precision {
        match (self.precision, self.compute_type) {
            (PrecisionArg::Auto, Some(ComputeType::Float32)) | (PrecisionArg::F32, _) => {
                Precision::F32
            }
            (PrecisionArg::Auto, _) => Precision::Auto,
            (PrecisionArg::F16, _) => Precision::F16,
            (PrecisionArg::Int8, _) => Precision::Int8,
        }
    }

    /// What the log should say about a compute type that this program does not have.
    pub(super) fn note(&self) -> Option<&'static str> {
        let is_exact = matches!(
            self.compute_type,
            None | Some(ComputeType::Default | ComputeType::Auto | ComputeType::Float32)
        );
        (!is_exact).then_some(
            "--compute-type means --precision auto here, which is int8 on a CPU and f16 on a GPU, unless it is float32",
        )
    }

    /// Phrases that are taken for silence.
    ///
    /// # Errors
    /// [`ConfigError::Blocklist`] when the file with further ones cannot be read.
    pub fn blocklist(&self) -> Result<Blocklist, ConfigError> {
        let mut blocklist = if self.no_blocklist {
            Blocklist::empty()
        } else {
            Blocklist::known()
        };
        if let Some(path) = &self.blocklist_extra {
            let lines = std::fs::read_to_string(path).map_err(|source| ConfigError::Blocklist {
                path: path.clone(),
                source,
            })?;
            blocklist.extend(&lines);
        }
        Ok(blocklist)
    }

    /// How many hypotheses are kept.
    fn beams(&self) -> usize {
        match self.beam_size {
            0 if self.device.may_be_gpu() || self.window == WindowArg::Dynamic => 1,
            0 => BEAMS_ON_CPU,
            given => given,
        }
    }

    /// What every utterance is transcribed with.
    pub fn options(&self) -> Options {
        let defaults = Options::default();
        Options {
            language: Language::Detect {
                allowed: Vec::new(),
            },
            task: match self.task {
                TaskArg::Transcribe => Task::Transcribe,
                TaskArg::Translate => Task::Translate,
            },
            beam_size: self.beams(),
            temperatures: if self.temperature_fallback {
                defaults.temperatures
            } else {
                vec![0.0]
            },
            compression_ratio_threshold: Some(self.compression_ratio_threshold),
            log_prob_threshold: Some(self.log_prob_threshold),
            no_speech_threshold: Some(self.no_speech_threshold),
            speech_threshold: Some(self.speech_threshold).filter(|&threshold| threshold > 0.0),
            condition_on_previous_text: self.condition_on_previous_text,
            initial_prompt: self.initial_prompt.clone(),
            window: match self.window {
                WindowArg::Auto => Window::Auto,
                WindowArg::Exact => Window::Exact,
                WindowArg::Dynamic => Window::Dynamic,
            },
            ..defaults
        }
    }
}

fn device(text: &str) -> Result<DeviceChoice, String> {
    match text {
        "auto" => Ok(DeviceChoice::Auto),
        "cpu" => Ok(DeviceChoice::Cpu),
        "cuda" => Ok(DeviceChoice::Cuda(0)),
        _ => text
            .strip_prefix("cuda:")
            .and_then(|index| index.parse().ok())
            .map(DeviceChoice::Cuda)
            .ok_or_else(|| "not one of auto, cpu, cuda, cuda:N".to_owned()),
    }
}
