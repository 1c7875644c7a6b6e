//! `wyoming-stt model pull NAME`: a model fetched ahead of time, for a server without a network.

use std::io::Write;
use std::process::ExitCode;

use clap::Subcommand;
use telemetry::chain;

use super::{Freshness, HubArgs, Report, StoreError, find, repository};

/// As in `sysexits.h`: a name that cannot be one, and something that is not there.
const USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;

/// `wyoming-stt model`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Fetch a hub model, or bring it up to date, and print its folder.
    Pull {
        /// A size, such as base, or a hub id, such as openai/whisper-base.
        name: String,
        #[command(flatten)]
        hub: HubArgs,
    },
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let Action::Pull { name, hub } = &args.action;
    let (code, line) = match pull(name, hub) {
        Ok(line) => {
            // The files are there, whether or not this is read.
            writeln!(std::io::stdout(), "{line}").ok();
            return ExitCode::SUCCESS;
        }
        Err(error @ StoreError::Unknown { .. }) => (USAGE, chain(&error)),
        Err(error) => (UNAVAILABLE, chain(&error)),
    };
    // The exit code says it too.
    writeln!(std::io::stderr(), "wyoming-stt: {line}").ok();
    ExitCode::from(code)
}

fn pull(name: &str, hub: &HubArgs) -> Result<String, StoreError> {
    if name == "demo" {
        return Ok("demo is built in".to_owned());
    }
    let id = repository(name)?;
    let files = find(&id, hub, Freshness::Newest, Report::to_person())?;
    Ok(files.display().to_string())
}
