//! What `serve` is told, and what that means once it is checked.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use telemetry::{LogFormat, Otlp};
use whisper::Options;

use super::ranges::{
    LONGEST_PAUSE_S, MOST_AT_ONCE, MOST_CONNECTIONS, SHORTEST_PAUSE_S, count, seconds,
};
use super::{ConfigError, FasterWhisperArgs, HttpArgs, ModelArgs, NamesArgs};
use crate::announce;
use crate::blocklist::Blocklist;
use crate::http;
use crate::language::LanguageRule;
use crate::names;
use crate::queue::QueueLimits;
use crate::wyoming_server::{Limits, Uri};

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
    /// The HTTP API.
    #[command(flatten)]
    pub http: HttpArgs,
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
    /// Names to expect.
    #[command(flatten)]
    pub names: NamesArgs,
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
    /// Connections at once; those beyond get an `error` (describe and ping are still answered).
    #[arg(
        long,
        env = "STT_MAX_CONNECTIONS",
        default_value_t = 1024,
        value_parser = count(1..=MOST_CONNECTIONS), value_name = "N"
    )]
    pub max_connections: usize,
    /// Utterances that may wait; one more gets an `error` at once.
    #[arg(long, env = "STT_MAX_WAITING", default_value_t = 32, value_parser = count(1..=MOST_CONNECTIONS), value_name = "N")]
    pub max_waiting: usize,
    /// Seconds of audio that may wait, all utterances together.
    #[arg(
        long,
        env = "STT_MAX_WAITING_AUDIO",
        default_value_t = 600,
        value_parser = seconds::<u64>(1), value_name = "SECONDS"
    )]
    pub max_waiting_audio: u64,
    /// Seconds of audio that may be arriving, all connections together: about 100 KB of memory each.
    #[arg(
        long,
        env = "STT_MAX_OPEN_AUDIO",
        default_value_t = 7200,
        value_parser = seconds::<usize>(1), value_name = "SECONDS"
    )]
    pub max_open_audio: usize,
    /// Seconds of audio in one utterance.
    #[arg(
        long,
        env = "STT_MAX_UTTERANCE",
        default_value_t = 300,
        value_parser = seconds::<u64>(1), value_name = "SECONDS"
    )]
    pub max_utterance: u64,
    /// Utterances that are recognised together.
    #[arg(long, env = "STT_MAX_BATCH", default_value_t = 8, value_parser = count(1..=MOST_AT_ONCE), value_name = "N")]
    pub max_batch: usize,
    /// Seconds of silence after which transcription begins before the client has ended the audio. If only silence
    /// follows, the transcript is available at once; if speech goes on, it is discarded. Runs only while the server is
    /// idle, yields to any request, and wasted work is capped. 0 turns it off.
    #[arg(
        long,
        env = "STT_SPECULATE_AFTER",
        default_value_t = 0.3,
        value_name = "SECONDS"
    )]
    pub speculate_after: f64,
    /// Seconds of silence behind speech after which the server ends an utterance by itself and answers, without waiting
    /// for the client's audio-stop; 0.6 suits voice commands. The server then describes itself with
    /// `requires_external_vad: false`, and Home Assistant 2026.10 or newer does not wait for its own detector. An utterance
    /// without speech ends after 10 s, any after 30 s; uploaded recordings are transcribed whole. 0: the client ends the
    /// utterance.
    #[arg(
        long,
        env = "STT_ENDPOINTING",
        alias = "vad-endpointing",
        default_value_t = 0.0,
        value_name = "SECONDS"
    )]
    pub endpointing: f64,
    /// Send the words so far while speech goes on: at each pause, as transcript-chunk events in front of the transcript,
    /// which begins with the words that were sent. One or two transcripts of 200 have other words than without; pauses
    /// are those of --speculate-after, up to 30 s. Home Assistant reads the transcript only.
    #[arg(long, env = "STT_TRANSCRIPT_STREAMING", value_parser = BoolishValueParser::new())]
    pub transcript_streaming: bool,
    /// Seconds without an event after which a connection with nothing to do is closed.
    #[arg(
        long,
        env = "STT_IDLE_TIMEOUT",
        default_value_t = 300,
        value_parser = seconds::<u64>(1), value_name = "SECONDS"
    )]
    pub idle_timeout: u64,
    /// Seconds for a client to take an answer.
    #[arg(
        long,
        env = "STT_WRITE_TIMEOUT",
        default_value_t = 10,
        value_parser = seconds::<u64>(1), value_name = "SECONDS"
    )]
    pub write_timeout: u64,
    /// Seconds from the end of audio to the words.
    #[arg(
        long,
        env = "STT_REQUEST_DEADLINE",
        default_value_t = 120,
        value_parser = seconds::<u64>(1), value_name = "SECONDS"
    )]
    pub request_deadline: u64,
    /// Seconds after SIGTERM, and after the last connection since, until no more are accepted: a client that still
    /// connects was sent by a load balancer that has not noticed. Half of --drain-timeout is the most that this adds.
    #[arg(
        long,
        env = "STT_DRAIN_NOTICE",
        default_value_t = 0,
        value_parser = seconds::<u64>(0), value_name = "SECONDS"
    )]
    pub drain_notice: u64,
    /// Seconds for open utterances to finish after SIGTERM.
    #[arg(
        long,
        env = "STT_DRAIN_TIMEOUT",
        default_value_t = 30,
        value_parser = seconds::<u64>(0), value_name = "SECONDS"
    )]
    pub drain_timeout: u64,
    /// How log lines on standard error look.
    #[arg(long, env = "STT_LOG_FORMAT", default_value = "text", value_parser = log_format)]
    pub log_format: LogFormatArg,
    /// What to log, as tracing directives; `--debug` stands for `debug`.
    #[arg(long, env = "STT_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
    /// Log every event, and transcripts.
    #[arg(long, env = "STT_DEBUG", value_parser = BoolishValueParser::new())]
    pub debug: bool,
    /// Flags of another server.
    #[command(flatten)]
    pub faster_whisper: FasterWhisperArgs,
    /// OTLP collector for traces, logs and metrics (gRPC): http://HOST:PORT, or https://HOST:PORT. Headers, such as a key,
    /// come from the variable OTEL_EXPORTER_OTLP_HEADERS.
    #[arg(long, env = "STT_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// PEM file of the authorities that sign the collector's certificate; without it, the system's.
    #[arg(long, env = "STT_OTLP_CA", value_name = "FILE")]
    pub otlp_ca: Option<PathBuf>,
    /// Print the settings that would be used, and exit.
    #[arg(long)]
    pub print_config: bool,
}

/// `--log-format`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormatArg {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Checked settings of `serve`, by room.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses.
    pub uris: Vec<Uri>,
    /// Admin address; `None` when off.
    pub admin: Option<String>,
    /// The HTTP API; `None` when off.
    pub http: Option<http::Settings>,
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
    /// Where names to expect come from.
    pub names: names::Settings,
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
    /// Silence behind speech that ends an utterance; `None` when the client ends it.
    pub endpoint_after: Option<Duration>,
    /// Words are told while speech goes on.
    pub tells_words: bool,
    /// Bounds of a connection.
    pub limits: Limits,
    /// Between SIGTERM and the end of accepting.
    pub drain_notice: Duration,
    /// For open utterances after that.
    pub drain_timeout: Duration,
    /// Flags that were accepted and do nothing, for the log.
    pub notes: Vec<&'static str>,
    /// Logs.
    pub telemetry: telemetry::Settings,
}

impl ServeArgs {
    /// Whether the client starts the server for itself, and talks to it through its standard input.
    fn is_a_child(&self) -> bool {
        self.uri.iter().all(|uri| *uri == Uri::Stdio)
    }

    /// Checks what was typed.
    ///
    /// # Errors
    /// [`ConfigError`], which names the flag.
    pub fn check(&self) -> Result<Config, ConfigError> {
        let seconds = Duration::from_secs;
        let mut notes = self.faster_whisper.check()?;
        notes.extend(self.model.note());
        Ok(Config {
            notes,
            uris: self.uri.clone(),
            admin: self.admin_address()?,
            http: self.http.check(self.is_a_child())?,
            zeroconf: self.zeroconf()?,
            model: self.model.clone(),
            languages: self.languages()?,
            options: self.model.options(),
            blocklist: Arc::new(self.model.blocklist()?),
            names: self.names.check()?,
            max_connections: self.max_connections,
            queue: QueueLimits {
                jobs: self.max_waiting,
                audio: seconds(self.max_waiting_audio),
            },
            max_open_audio_s: self.max_open_audio,
            max_batch: self.max_batch,
            speculate_after: pause("--speculate-after", self.speculate_after)?,
            endpoint_after: pause("--endpointing", self.endpointing)?,
            tells_words: self.transcript_streaming,
            limits: Limits {
                frame: wyoming::Limits::of_a_server(),
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
                otlp: self.otlp()?,
            },
        })
    }

    fn otlp(&self) -> Result<Option<Otlp>, ConfigError> {
        let ca = self.otlp_ca.as_deref();
        let endpoint = self.otlp_endpoint.as_deref();
        let otlp = endpoint.map(|endpoint| Otlp::new(endpoint, ca));
        Ok(otlp.transpose()?)
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

    /// The settings as text, one a line: what `--print-config` shows. `given`: what the command line, the
    /// environment and the defaults say for each flag.
    pub fn shown(&self, given: &[(String, String)]) -> String {
        let worked_out = self.worked_out();
        let line = |(flag, given): &(String, String)| {
            let worked_out = worked_out.iter().find(|(name, _)| name == flag);
            let value = worked_out.map_or(given, |(_, value)| value);
            format!("{flag} = {value}\n")
        };
        given.iter().map(line).collect()
    }

    /// Settings of which more is known than what was given.
    fn worked_out(&self) -> [(&'static str, String); 4] {
        let hub = &self.model.hub;
        let kept_in = hub.cache_dir();
        let kept_in = kept_in.map(|folder| folder.display().to_string());
        let announced = self.zeroconf().ok().flatten();
        [
            ("download-dir", kept_in.unwrap_or_default()),
            ("offline", hub.is_offline().to_string()),
            ("http", self.http.shown_address(self.is_a_child())),
            (
                "zeroconf",
                announced.map_or_else(String::new, |announced| announced.name),
            ),
        ]
    }
}

/// `text` or `json`; a format of Python's logging, which wyoming-faster-whisper takes, is text too.
fn log_format(text: &str) -> Result<LogFormatArg, String> {
    if text.contains("%(") {
        return Ok(LogFormatArg::Text);
    }
    LogFormatArg::from_str(text, true).map_err(|_| "neither text nor json".to_owned())
}

fn known_language(flag: &'static str, language: &str) -> Result<String, ConfigError> {
    let mut known = crate::describe::presumed_languages("");
    known.push("yue".to_owned());
    crate::language::resolve(language, &known).ok_or_else(|| ConfigError::Language {
        flag,
        language: language.to_owned(),
    })
}

/// A length of silence; `None` for 0, which turns off what it is for.
fn pause(flag: &'static str, seconds: f64) -> Result<Option<Duration>, ConfigError> {
    if seconds == 0.0 {
        return Ok(None);
    }
    if !(SHORTEST_PAUSE_S..=LONGEST_PAUSE_S).contains(&seconds) {
        return Err(ConfigError::Pause { flag, seconds });
    }
    Ok(Some(Duration::from_secs_f64(seconds)))
}
