//! Settings: as typed ([`ServeArgs`]), and checked ([`Config`]). Nothing else reads the environment.

mod error;
mod faster_whisper;
mod model;
mod names;
mod ranges;
mod serve;

use std::ffi::{OsStr, OsString};

use clap::builder::Resettable;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::{model_store, probe, transcribe};
pub use error::ConfigError;
pub use faster_whisper::FasterWhisperArgs;
pub use model::{ModelArgs, PrecisionArg, TaskArg, WindowArg};
pub use names::NamesArgs;
pub use serve::{Config, LogFormatArg, ServeArgs};

/// Speech-to-text for Wyoming clients such as Home Assistant: Whisper, on CPU or CUDA.
#[derive(Debug, Parser)]
#[command(
    name = "wyoming-stt",
    version,
    propagate_version = true,
    max_term_width = 100
)]
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
        let mut matches = with_variables(Self::command()).try_get_matches()?;
        Self::from_arg_matches_mut(&mut matches)
    }
}

/// Which variable of the environment each flag reads: its own, otherwise the one that wyoming-faster-whisper reads for it.
///
/// A variable that is set to nothing says nothing: charts and compose files write `STT_X=""` for "as it comes". clap would
/// take it for a value, and most flags refuse an empty one.
fn with_variables(command: clap::Command) -> clap::Command {
    let is_set = |name: &OsStr| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    command
        .mut_args(|arg| {
            let own = arg.get_env().and_then(std::env::var_os);
            if own.as_ref().is_some_and(|value| !value.is_empty()) {
                return arg;
            }
            match faster_whisper_variables(&arg).find(|name| is_set(name.as_ref())) {
                Some(theirs) => arg.env(OsString::from(theirs)),
                None if own.is_some() => arg.env(Resettable::Reset),
                None => arg,
            }
        })
        .mut_subcommands(with_variables)
}

/// wyoming-faster-whisper reads `WYO_WHISPER_SOME_OPTION` for `--some-option`.
fn faster_whisper_variables(arg: &clap::Arg) -> impl Iterator<Item = String> + use<> {
    let long = arg.get_long().map(str::to_owned);
    let aliases = arg.get_all_aliases().unwrap_or_default();
    let names: Vec<String> = long
        .into_iter()
        .chain(aliases.into_iter().map(str::to_owned))
        .collect();
    names.into_iter().map(|name| {
        let name = name.to_uppercase().replace('-', "_");
        format!("WYO_WHISPER_{name}")
    })
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve Wyoming clients until SIGTERM.
    Serve(Box<ServeArgs>),
    /// Transcribe audio files and exit.
    ///
    /// Exit codes: 0, all of the audio was transcribed; 65, parts of a recording are damaged or missing
    /// (standard error says where), and the words of the rest were printed; 1, a file gave no transcript;
    /// 64, invalid settings; 69, no model.
    Transcribe(transcribe::Args),
    /// Tell what listens at an address; exit code 0 for a Wyoming speech-to-text server, 2 for
    /// something else, 3 for nothing.
    Probe(probe::Args),
    /// Fetch models ahead of time.
    Model(model_store::Args),
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use whisper::Task;

    use super::*;
    use crate::announce;
    use crate::language::LanguageRule;
    use crate::wyoming_server::Uri;

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
            (&["--speech-threshold", "1.5"], "--speech-threshold"),
            (&["--speech-threshold", "nan"], "--speech-threshold"),
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
    fn speech_is_detected_unless_that_is_turned_off() {
        let threshold = |arguments: &[&str]| checked(arguments).unwrap().options.speech_threshold;
        assert_eq!(threshold(&[]), Some(0.8));
        assert_eq!(threshold(&["--speech-threshold", "0"]), None);
        assert_eq!(threshold(&["--speech-threshold", "0.5"]), Some(0.5));
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
            "--data-dir",
            "/data",
            "--data-dir",
            "/more",
            "--compute-type",
            "int8_float16",
            "--vad-filter",
            "--vad-threshold",
            "0.5",
            "--vad-min-speech-ms",
            "250",
            "--vad-min-silence-ms",
            "2000",
            "--vad-clip-threshold",
            "0.5",
            "--vad-clip-pad-ms",
            "400",
            "--stt-library",
            "faster-whisper",
            "--hass-api",
            "http://homeassistant.local/api",
            "--log-format",
            "%(levelname)s:%(message)s",
            "--vad-clip",
        ])
        .unwrap();
        assert_eq!(config.languages.default.as_deref(), Some("de"));
        assert_eq!(
            (config.options.beam_size, config.options.task),
            (5, Task::Translate)
        );
        assert!(config.model.hub.is_offline());
        assert_eq!(config.model.hub.data_dir.len(), 2);
        assert_eq!(config.notes.len(), 3, "{:?}", config.notes);
    }

    #[test]
    fn flags_of_the_usual_server_that_would_be_missed_say_what_to_use_instead() {
        for flags in [
            &["--hass-token", "x"][..],
            &["--stt-library", "sherpa"],
            &["--sherpa-streaming"],
            &["--vad-endpointing", "1.5"],
        ] {
            let error = checked(flags).unwrap_err();
            assert!(error.starts_with(flags[0]), "{error}");
            assert!(error.contains("leave the flag out"), "{error}");
        }
        let zero = checked(&["--beam-size", "0"]).unwrap();
        assert_eq!(zero.options.beam_size, 1);
    }
}
