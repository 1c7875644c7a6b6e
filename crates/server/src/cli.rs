//! The command line: what to do, with which settings, and from which variables of the environment.

use std::ffi::{OsStr, OsString};

use clap::builder::Resettable;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::ServeArgs;
use crate::{model_store, probe, transcribe};

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
    /// What the command line, the environment and the defaults say for each flag that the help shows.
    #[arg(skip)]
    pub given: Vec<(String, String)>,
}

impl Cli {
    /// Reads the command line and the environment.
    ///
    /// # Errors
    /// What clap found wrong, or the help that was asked for.
    pub fn read() -> Result<Self, clap::Error> {
        let mut command = with_variables(Self::command());
        let mut matches = command.try_get_matches_from_mut(std::env::args_os())?;
        let given = matches
            .subcommand()
            .and_then(|(name, matches)| Some(given(command.find_subcommand(name)?, matches)));
        Ok(Self {
            given: given.unwrap_or_default(),
            ..Self::from_arg_matches_mut(&mut matches)?
        })
    }
}

/// Each flag that the help shows and that sets something, with its values as they were given.
fn given(command: &clap::Command, matches: &ArgMatches) -> Vec<(String, String)> {
    let is_setting = |arg: &&clap::Arg| {
        let does_something = ["help", "version", "print_config"].contains(&arg.get_id().as_str());
        !(does_something || arg.is_hide_set())
    };
    command
        .get_arguments()
        .filter(is_setting)
        .filter_map(|arg| {
            let values = matches.get_raw(arg.get_id().as_str());
            let values: Vec<String> = values
                .into_iter()
                .flatten()
                .map(|value| value.to_string_lossy().into_owned())
                .collect();
            Some((arg.get_long()?.to_owned(), values.join(",")))
        })
        .collect()
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
    /// Show what listens at an address; exit code 0 for a Wyoming speech-to-text server, 2 for
    /// another program, 3 for none.
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
    use super::*;

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
}
