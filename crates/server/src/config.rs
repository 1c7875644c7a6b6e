//! Settings: as typed ([`ServeArgs`]), and checked ([`Config`]). Nothing else reads the environment.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::{BoolishValueParser, Resettable};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use telemetry::LogFormat;
use whisper::{DeviceChoice, Language, LoadOptions, Options, Precision, Task, Window};

use crate::announce;
use crate::blocklist::Blocklist;
use crate::language::LanguageRule;
use crate::model_store::HubArgs;
use crate::queue::QueueLimits;
use crate::wyoming_server::{Limits, Uri};
use crate::{model_store, probe, transcribe};

/// A shorter one is found between any two words.
const SHORTEST_PAUSE_S: f64 = 0.1;
/// By then every client has ended the audio.
const LONGEST_PAUSE_S: f64 = 10.0;

/// Speech-to-text for Wyoming clients such as Home Assistant: Whisper, on CPU or CUDA.
#[derive(Debug, Parser)]
#[command(name = "wyoming-stt", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Reads the command line and the environment.
    ///
    /// # Errors
    /// What clap found wrong, or the help that was asked for.
    pub fn read() -> Result<Self, clap::Error> {
        let mut matches = without_empty_variables(Self::command()).try_get_matches()?;
        Self::from_arg_matches_mut(&mut matches)
    }
}

/// A variable that is set to nothing says nothing: charts and compose files write `STT_X=""` for
/// "as it comes". clap would take it for a value, and most flags refuse an empty one.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    command
        .mut_args(|arg| match arg.get_env().map(is_empty) {
            Some(true) => arg.env(Resettable::Reset),
            _ => arg,
        })
        .mut_subcommands(without_empty_variables)
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve Wyoming clients until SIGTERM.
    Serve(Box<ServeArgs>),
    /// Transcribe audio files and exit.
    Transcribe(transcribe::Args),
    /// Tell what listens at an address; exit code 0 for a Wyoming speech-to-text server, 2 for
    /// something else, 3 for nothing.
    Probe(probe::Args),
    /// Fetch models ahead of time.
    Model(model_store::Args),
}

/// Settings that choose and run a model; `serve` and `transcribe` share them.
#[derive(Clone, Debug, Args)]
pub struct ModelArgs {
    /// Model: `demo` (built in: English smart-home commands by synthetic voices, to try things out),
    /// a folder with a Hugging Face Whisper checkpoint, or a hub id such as openai/whisper-base.
    #[arg(
        long,
        env = "STT_MODEL",
        default_value = "demo",
        value_name = "demo|DIR|HUB_ID"
    )]
    pub model: String,
    /// Where hub models come from.
    #[command(flatten)]
    pub hub: HubArgs,
    /// Where to compute. `auto` takes a GPU where this build and this machine have one.
    #[arg(long, env = "STT_DEVICE", default_value = "auto", value_name = "auto|cpu|cuda|cuda:N", value_parser = device)]
    pub device: DeviceChoice,
    /// Numbers that the network computes in: `f32` is the reference; `int8` (CPU only) keeps weights in
    /// bytes, is faster, and may change a word; `f16` is for GPUs only; `auto` is int8 on a CPU with AVX2
    /// or better, f16 on a GPU, else f32.
    #[arg(long, env = "STT_PRECISION", default_value = "auto", value_enum)]
    pub precision: PrecisionArg,
    /// CPU threads for the model; 0 takes one per core.
    #[arg(long, env = "STT_CPU_THREADS", default_value_t = 0, value_name = "N")]
    pub cpu_threads: usize,
    /// Language when the client sends none: a code such as `de`, or `auto` to detect it.
    #[arg(
        long,
        env = "STT_LANGUAGE",
        default_value = "auto",
        value_name = "auto|CODE"
    )]
    pub language: String,
    /// Hypotheses that are kept. More than 1 is slower and a little more accurate.
    #[arg(long, env = "STT_BEAM_SIZE", default_value_t = 1, value_name = "N")]
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
    /// What the encoder hears: `exact` pads to 30 s as the model was trained; `dynamic` takes the
    /// audio and a margin, which is several times faster for short commands and may cost accuracy.
    #[arg(long, env = "STT_WINDOW", default_value = "exact", value_enum)]
    pub window: WindowArg,
    /// Try again at higher temperatures when a result repeats itself or is improbable.
    #[arg(long, env = "STT_TEMPERATURE_FALLBACK", default_value_t = true, action = clap::ArgAction::Set, value_name = "true|false", value_parser = BoolishValueParser::new())]
    pub temperature_fallback: bool,
    /// A doubtful result above this probability of silence is dropped.
    #[arg(
        long,
        env = "STT_NO_SPEECH_THRESHOLD",
        default_value_t = 0.6,
        value_name = "0..1"
    )]
    pub no_speech_threshold: f32,
    /// A result whose mean log probability is below this is doubtful.
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
}

/// `wyoming-stt serve`.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// Address to listen on: tcp://HOST:PORT (port 0: any free one; host *: all addresses, IPv6 and
    /// IPv4), unix://PATH or stdio://. May be given several times.
    #[arg(
        long,
        env = "STT_URI",
        default_value = "tcp://0.0.0.0:10300",
        value_delimiter = ','
    )]
    pub uri: Vec<Uri>,
    /// Address of the admin pages (/health /ready /metrics /load /info), or `off`.
    #[arg(
        long,
        env = "STT_ADMIN",
        default_value = "0.0.0.0:10390",
        value_name = "HOST:PORT|off"
    )]
    pub admin: String,
    /// Announce the server on the local network (mDNS, DNS-SD), so that Home Assistant finds it. NAME
    /// is what it is called there; without one it is named after this machine.
    #[arg(
        long,
        env = "STT_ZEROCONF",
        value_name = "NAME",
        num_args = 0..=1,
        default_missing_value = ""
    )]
    pub zeroconf: Option<String>,
    /// Address to announce instead of the machine's own: that of a load balancer in the same network.
    #[arg(long, env = "STT_ZEROCONF_ADDRESS", value_name = "IP")]
    pub zeroconf_address: Option<IpAddr>,
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Every utterance is in this language, whatever the client says.
    #[arg(long, env = "STT_FORCE_LANGUAGE", value_name = "CODE")]
    pub force_language: Option<String>,
    /// Only these languages are answered and detected.
    #[arg(
        long,
        env = "STT_ALLOWED_LANGUAGES",
        value_delimiter = ',',
        value_name = "CODE,…"
    )]
    pub allowed_languages: Vec<String>,
    /// File with further phrases, one a line, that are taken for silence when they are the whole text.
    #[arg(long, env = "STT_BLOCKLIST_EXTRA", value_name = "FILE")]
    pub blocklist_extra: Option<PathBuf>,
    /// Keep phrases that Whisper is known to invent on silence ("Thanks for watching!").
    #[arg(long, env = "STT_NO_BLOCKLIST", value_parser = BoolishValueParser::new())]
    pub no_blocklist: bool,
    /// Connections at once; those beyond get an `error` (describe and ping are still answered).
    #[arg(
        long,
        env = "STT_MAX_CONNECTIONS",
        default_value_t = 1024,
        value_name = "N"
    )]
    pub max_connections: usize,
    /// Utterances that may wait; one more gets an `error` at once.
    #[arg(long, env = "STT_MAX_WAITING", default_value_t = 32, value_name = "N")]
    pub max_waiting: usize,
    /// Seconds of audio that may wait, all utterances together.
    #[arg(
        long,
        env = "STT_MAX_WAITING_AUDIO",
        default_value_t = 600,
        value_name = "SECONDS"
    )]
    pub max_waiting_audio: u64,
    /// Seconds of audio that may be arriving, all connections together: about 100 KB of memory each.
    #[arg(
        long,
        env = "STT_MAX_OPEN_AUDIO",
        default_value_t = 7200,
        value_name = "SECONDS"
    )]
    pub max_open_audio: usize,
    /// Seconds of audio in one utterance.
    #[arg(
        long,
        env = "STT_MAX_UTTERANCE",
        default_value_t = 300,
        value_name = "SECONDS"
    )]
    pub max_utterance: u64,
    /// Utterances that are recognised together.
    #[arg(long, env = "STT_MAX_BATCH", default_value_t = 8, value_name = "N")]
    pub max_batch: usize,
    /// Seconds of silence after which transcription begins before the client has ended the audio. If
    /// it was all, the words are there at once; if speech goes on, they are thrown away. It waits for
    /// nobody and nobody waits for it; what is done in vain is bounded. 0 turns it off.
    #[arg(
        long,
        env = "STT_SPECULATE_AFTER",
        default_value_t = 0.3,
        value_name = "SECONDS"
    )]
    pub speculate_after: f64,
    /// Seconds without an event after which a connection with nothing to do is closed.
    #[arg(
        long,
        env = "STT_IDLE_TIMEOUT",
        default_value_t = 300,
        value_name = "SECONDS"
    )]
    pub idle_timeout: u64,
    /// Seconds for a client to take an answer.
    #[arg(
        long,
        env = "STT_WRITE_TIMEOUT",
        default_value_t = 10,
        value_name = "SECONDS"
    )]
    pub write_timeout: u64,
    /// Seconds from the end of audio to the words.
    #[arg(
        long,
        env = "STT_REQUEST_DEADLINE",
        default_value_t = 120,
        value_name = "SECONDS"
    )]
    pub request_deadline: u64,
    /// Seconds between SIGTERM and the end of accepting, for load balancers to notice.
    #[arg(
        long,
        env = "STT_DRAIN_NOTICE",
        default_value_t = 0,
        value_name = "SECONDS"
    )]
    pub drain_notice: u64,
    /// Seconds for open utterances to finish after SIGTERM.
    #[arg(
        long,
        env = "STT_DRAIN_TIMEOUT",
        default_value_t = 30,
        value_name = "SECONDS"
    )]
    pub drain_timeout: u64,
    /// How log lines on standard error look.
    #[arg(long, env = "STT_LOG_FORMAT", default_value = "text", value_enum)]
    pub log_format: LogFormatArg,
    /// What to log, as tracing directives; `--debug` stands for `debug`.
    #[arg(long, env = "STT_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
    /// Log every event, and transcripts.
    #[arg(long, env = "STT_DEBUG", value_parser = BoolishValueParser::new())]
    pub debug: bool,
    /// OTLP collector for traces, logs and metrics (gRPC).
    #[arg(long, env = "STT_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Print the settings that would be used, and exit.
    #[arg(long)]
    pub print_config: bool,
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
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum WindowArg {
    /// 30 s.
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

/// `--log-format`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormatArg {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// A setting that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A number that must not be 0.
    #[error("{flag} must be at least 1")]
    Zero {
        /// The flag.
        flag: &'static str,
    },
    /// A pause that is no pause.
    #[error(
        "--speculate-after {seconds} is neither 0 nor a pause of {} to {} s",
        SHORTEST_PAUSE_S,
        LONGEST_PAUSE_S
    )]
    Pause {
        /// What was given.
        seconds: f64,
    },
    /// A language code that Whisper does not know.
    #[error("{flag}: {language:?} is no language of Whisper; use a code such as en or de")]
    Language {
        /// The flag.
        flag: &'static str,
        /// What was given.
        language: String,
    },
    /// A default or forced language that is not allowed.
    #[error("{flag}: {language:?} is not among --allowed-languages")]
    NotAllowed {
        /// The flag.
        flag: &'static str,
        /// What was given.
        language: String,
    },
    /// No audio address.
    #[error("--admin {admin:?} is neither HOST:PORT nor off")]
    Admin {
        /// What was given.
        admin: String,
    },
    /// Zeroconf announces a port.
    #[error("--zeroconf needs a tcp:// address among --uri")]
    NothingToAnnounce,
    /// A name that DNS cannot carry.
    #[error(
        "--zeroconf: the name has {bytes} bytes, DNS takes {} at most",
        announce::MAX_NAME_BYTES
    )]
    LongName {
        /// Its length.
        bytes: usize,
    },
    /// A file that cannot be read.
    #[error("--blocklist-extra {}: {source}", path.display())]
    Blocklist {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Checked settings of `serve`, by room.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses.
    pub uris: Vec<Uri>,
    /// Admin address; `None` when off.
    pub admin: Option<String>,
    /// How the server is announced on the local network, if it is.
    pub zeroconf: Option<announce::Settings>,
    /// The model.
    pub model: ModelArgs,
    /// Which languages are answered.
    pub languages: LanguageRule,
    /// Options of every utterance.
    pub options: Options,
    /// Phrases taken for silence.
    pub blocklist: Arc<Blocklist>,
    /// Connections at once.
    pub max_connections: usize,
    /// Bounds of the queue.
    pub queue: QueueLimits,
    /// Seconds of audio that may be arriving.
    pub max_open_audio_s: usize,
    /// Most utterances of a batch.
    pub max_batch: usize,
    /// Silence after which transcription begins before the audio has ended; `None` when never.
    pub speculate_after: Option<Duration>,
    /// Bounds of a connection.
    pub limits: Limits,
    /// Between SIGTERM and the end of accepting.
    pub drain_notice: Duration,
    /// For open utterances after that.
    pub drain_timeout: Duration,
    /// Logs.
    pub telemetry: telemetry::Settings,
}

impl ServeArgs {
    /// Checks what was typed.
    ///
    /// # Errors
    /// [`ConfigError`], which names the flag.
    pub fn check(&self) -> Result<Config, ConfigError> {
        for (flag, number) in [
            ("--max-connections", self.max_connections as u64),
            ("--max-waiting", self.max_waiting as u64),
            ("--max-waiting-audio", self.max_waiting_audio),
            ("--max-open-audio", self.max_open_audio as u64),
            ("--max-utterance", self.max_utterance),
            ("--max-batch", self.max_batch as u64),
            ("--idle-timeout", self.idle_timeout),
            ("--write-timeout", self.write_timeout),
            ("--request-deadline", self.request_deadline),
            ("--beam-size", self.model.beam_size as u64),
        ] {
            if number == 0 {
                return Err(ConfigError::Zero { flag });
            }
        }
        let seconds = Duration::from_secs;
        Ok(Config {
            uris: self.uri.clone(),
            admin: self.admin_address()?,
            zeroconf: self.zeroconf()?,
            model: self.model.clone(),
            languages: self.languages()?,
            options: self.model.options(),
            blocklist: Arc::new(self.blocklist()?),
            max_connections: self.max_connections,
            queue: QueueLimits {
                jobs: self.max_waiting,
                audio: seconds(self.max_waiting_audio),
            },
            max_open_audio_s: self.max_open_audio,
            max_batch: self.max_batch,
            speculate_after: self.pause()?,
            limits: Limits {
                frame: wyoming::Limits::default(),
                utterance: seconds(self.max_utterance),
                idle: seconds(self.idle_timeout),
                write: seconds(self.write_timeout),
                answer: seconds(self.request_deadline),
                drain: seconds(30),
            },
            drain_notice: seconds(self.drain_notice),
            drain_timeout: seconds(self.drain_timeout),
            telemetry: telemetry::Settings {
                service_name: "wyoming-stt",
                log_format: match self.log_format {
                    LogFormatArg::Text => LogFormat::Text,
                    LogFormatArg::Json => LogFormat::Json,
                },
                filter: if self.debug { "debug" } else { &self.log }.to_owned(),
                otlp_endpoint: self.otlp_endpoint.clone(),
            },
        })
    }

    fn pause(&self) -> Result<Option<Duration>, ConfigError> {
        let seconds = self.speculate_after;
        if seconds == 0.0 {
            return Ok(None);
        }
        if !(SHORTEST_PAUSE_S..=LONGEST_PAUSE_S).contains(&seconds) {
            return Err(ConfigError::Pause { seconds });
        }
        Ok(Some(Duration::from_secs_f64(seconds)))
    }

    fn admin_address(&self) -> Result<Option<String>, ConfigError> {
        if self.admin == "off" {
            return Ok(None);
        }
        let port = self
            .admin
            .rsplit_once(':')
            .map(|(_, port)| port.parse::<u16>());
        match port {
            Some(Ok(_)) => Ok(Some(self.admin.clone())),
            _ => Err(ConfigError::Admin {
                admin: self.admin.clone(),
            }),
        }
    }

    fn languages(&self) -> Result<LanguageRule, ConfigError> {
        let allowed: Vec<String> = self
            .allowed_languages
            .iter()
            .map(|language| known_language("--allowed-languages", language))
            .collect::<Result<_, _>>()?;
        let within = |flag: &'static str, language: &str| {
            let language = known_language(flag, language)?;
            if allowed.is_empty() || allowed.contains(&language) {
                Ok(language)
            } else {
                Err(ConfigError::NotAllowed { flag, language })
            }
        };
        let given = Some(self.model.language.as_str()).filter(|language| *language != "auto");
        Ok(LanguageRule {
            forced: self
                .force_language
                .as_deref()
                .map(|language| within("--force-language", language))
                .transpose()?,
            default: given
                .map(|language| within("--language", language))
                .transpose()?,
            allowed,
        })
    }

    fn zeroconf(&self) -> Result<Option<announce::Settings>, ConfigError> {
        let Some(name) = &self.zeroconf else {
            return Ok(None);
        };
        if !self.uri.iter().any(|uri| matches!(uri, Uri::Tcp(_))) {
            return Err(ConfigError::NothingToAnnounce);
        }
        if name.len() > announce::MAX_NAME_BYTES {
            return Err(ConfigError::LongName { bytes: name.len() });
        }
        let name = Some(name.clone()).filter(|name| !name.is_empty());
        Ok(Some(announce::Settings {
            name: name.unwrap_or_else(announce::default_name),
            address: self.zeroconf_address,
        }))
    }

    fn blocklist(&self) -> Result<Blocklist, ConfigError> {
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

    /// The settings as text, one a line: what `--print-config` shows.
    pub fn shown(&self) -> String {
        let mut text = String::new();
        let uris: Vec<String> = self.uri.iter().map(Uri::to_string).collect();
        let model = &self.model;
        let rows: Vec<(&str, String)> = vec![
            ("uri", uris.join(",")),
            ("admin", self.admin.clone()),
            (
                "zeroconf",
                self.zeroconf()
                    .ok()
                    .flatten()
                    .map(|announced| announced.name)
                    .unwrap_or_default(),
            ),
            (
                "zeroconf-address",
                self.zeroconf_address
                    .map(|address| address.to_string())
                    .unwrap_or_default(),
            ),
            ("model", model.model.clone()),
            ("revision", model.hub.revision.to_string()),
            ("download-dir", shown_path(model.hub.cache_dir().as_ref())),
            ("offline", model.hub.is_offline().to_string()),
            ("device", format!("{:?}", model.device).to_lowercase()),
            ("precision", format!("{:?}", model.precision).to_lowercase()),
            ("cpu-threads", model.cpu_threads.to_string()),
            ("language", model.language.clone()),
            (
                "force-language",
                self.force_language.clone().unwrap_or_default(),
            ),
            ("allowed-languages", self.allowed_languages.join(",")),
            ("beam-size", model.beam_size.to_string()),
            ("task", format!("{:?}", model.task).to_lowercase()),
            (
                "initial-prompt",
                model.initial_prompt.clone().unwrap_or_default(),
            ),
            ("window", format!("{:?}", model.window).to_lowercase()),
            (
                "temperature-fallback",
                model.temperature_fallback.to_string(),
            ),
            ("no-speech-threshold", model.no_speech_threshold.to_string()),
            ("log-prob-threshold", model.log_prob_threshold.to_string()),
            (
                "compression-ratio-threshold",
                model.compression_ratio_threshold.to_string(),
            ),
            ("blocklist-extra", shown_path(self.blocklist_extra.as_ref())),
            ("no-blocklist", self.no_blocklist.to_string()),
            ("max-connections", self.max_connections.to_string()),
            ("max-waiting", self.max_waiting.to_string()),
            ("max-waiting-audio", self.max_waiting_audio.to_string()),
            ("max-open-audio", self.max_open_audio.to_string()),
            ("max-utterance", self.max_utterance.to_string()),
            ("max-batch", self.max_batch.to_string()),
            ("speculate-after", self.speculate_after.to_string()),
            ("idle-timeout", self.idle_timeout.to_string()),
            ("write-timeout", self.write_timeout.to_string()),
            ("request-deadline", self.request_deadline.to_string()),
            ("drain-notice", self.drain_notice.to_string()),
            ("drain-timeout", self.drain_timeout.to_string()),
            (
                "log-format",
                format!("{:?}", self.log_format).to_lowercase(),
            ),
            ("log", self.log.clone()),
            ("debug", self.debug.to_string()),
            (
                "otlp-endpoint",
                self.otlp_endpoint.clone().unwrap_or_default(),
            ),
        ];
        for (name, value) in rows {
            // Writing to a String cannot fail.
            writeln!(text, "{name} = {value}").ok();
        }
        text
    }
}

impl ModelArgs {
    /// How the model is loaded.
    pub fn load_options(&self) -> LoadOptions {
        LoadOptions {
            threads: self.cpu_threads,
            precision: match self.precision {
                PrecisionArg::Auto => Precision::Auto,
                PrecisionArg::F32 => Precision::F32,
                PrecisionArg::F16 => Precision::F16,
                PrecisionArg::Int8 => Precision::Int8,
            },
            ..LoadOptions::default()
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
            beam_size: self.beam_size,
            temperatures: if self.temperature_fallback {
                defaults.temperatures
            } else {
                vec![0.0]
            },
            compression_ratio_threshold: Some(self.compression_ratio_threshold),
            log_prob_threshold: Some(self.log_prob_threshold),
            no_speech_threshold: Some(self.no_speech_threshold),
            initial_prompt: self.initial_prompt.clone(),
            window: match self.window {
                WindowArg::Exact => Window::Exact,
                WindowArg::Dynamic => Window::Dynamic,
            },
            ..defaults
        }
    }
}

/// A mistake on the command line in one line: what is wrong, and what would be right.
pub fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let said: Vec<&str> = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty())
        .collect();
    let said = said.join(" ");
    said.strip_prefix("error: ").unwrap_or(&said).to_owned()
}

fn known_language(flag: &'static str, language: &str) -> Result<String, ConfigError> {
    let mut known = crate::describe::presumed_languages("");
    known.push("yue".to_owned());
    crate::language::resolve(language, &known).ok_or_else(|| ConfigError::Language {
        flag,
        language: language.to_owned(),
    })
}

fn shown_path(path: Option<&PathBuf>) -> String {
    path.map(|path| path.display().to_string())
        .unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// 64 bytes.
    const TOO_LONG: &str = "kitchen-kitchen-kitchen-kitchen-kitchen-kitchen-kitchen-kitchen-";

    fn checked(arguments: &[&str]) -> Result<Config, String> {
        let typed = ["wyoming-stt", "serve"].iter().chain(arguments);
        let cli = Cli::try_parse_from(typed).map_err(|error| error.to_string())?;
        match cli.command {
            Command::Serve(args) => args.check().map_err(|error| error.to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn defaults_can_work() {
        let config = checked(&[]).unwrap();
        assert_eq!(config.uris, [Uri::Tcp("0.0.0.0:10300".to_owned())]);
        assert_eq!(config.languages, LanguageRule::default());
    }

    #[test]
    fn what_cannot_work_names_its_flag() {
        for (arguments, named) in [
            (&["--max-batch", "0"][..], "--max-batch"),
            (&["--language", "klingon"], "--language"),
            (
                &["--allowed-languages", "de,en", "--language", "fr"],
                "--language",
            ),
            (&["--admin", "here"], "--admin"),
            (&["--uri", "10300"], "--uri"),
            (&["--device", "gpu"], "--device"),
            (&["--speculate-after", "0.05"], "--speculate-after"),
            (&["--speculate-after", "11"], "--speculate-after"),
            (&["--speculate-after", "nan"], "--speculate-after"),
            (&["--speculate-after=-1"], "--speculate-after"),
            (&["--blocklist-extra", "/no/such/file"], "--blocklist-extra"),
            (&["--zeroconf", "--uri", "stdio://"], "--zeroconf"),
            (&["--zeroconf", TOO_LONG], "--zeroconf"),
            (&["--zeroconf-address", "here"], "--zeroconf-address"),
        ] {
            let error = checked(arguments).unwrap_err();
            assert!(error.contains(named), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn a_pause_is_speculated_on_unless_it_is_turned_off() {
        let after = |arguments: &[&str]| checked(arguments).unwrap().speculate_after;
        assert_eq!(after(&[]), Some(Duration::from_millis(300)));
        assert_eq!(after(&["--speculate-after", "0"]), None);
        let longer = after(&["--speculate-after", "0.5"]);
        assert_eq!(longer, Some(Duration::from_millis(500)));
    }

    #[test]
    fn zeroconf_takes_a_name_or_none() {
        let name = |arguments: &[&str]| checked(arguments).unwrap().zeroconf.map(|it| it.name);
        assert_eq!(name(&[]), None);
        assert_eq!(name(&["--zeroconf"]), Some(announce::default_name()));
        assert_eq!(name(&["--zeroconf", "kitchen"]), Some("kitchen".to_owned()));
    }

    #[test]
    fn a_mistake_is_one_line_with_what_would_be_right() {
        for (arguments, expected) in [
            (
                ["--task", "sing"],
                "invalid value 'sing' for '--task <TASK>' [possible values: transcribe, translate]",
            ),
            (
                ["--modle", "demo"],
                "unexpected argument '--modle' found tip: a similar argument exists: '--model'",
            ),
        ] {
            let typed = ["wyoming-stt", "serve"].iter().chain(&arguments);
            let error = Cli::try_parse_from(typed).unwrap_err();
            assert_eq!(one_line(&error), expected);
        }
    }

    #[test]
    fn names_of_the_usual_server_mean_the_same() {
        let config = checked(&[
            "--uri",
            "tcp://127.0.0.1:0",
            "--language",
            "German",
            "--beam-size",
            "5",
            "--initial-prompt",
            "Küche",
            "--cpu-threads",
            "2",
            "--device",
            "cpu",
            "--download-dir",
            "/models",
            "--local-files-only",
            "--debug",
            "--whisper-task",
            "translate",
        ])
        .unwrap();
        assert_eq!(config.languages.default.as_deref(), Some("de"));
        assert_eq!(
            (config.options.beam_size, config.options.task),
            (5, Task::Translate)
        );
        assert!(config.model.hub.is_offline());
    }
}
