//! `wyoming-stt`: speech-to-text for Wyoming clients.

use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use server::app::{App, Ended, StartError};
use server::cli::{Cli, Command, one_line};
use server::config::{Config, ServeArgs};
use server::wyoming_server::Uri;
use server::{model_store, probe, transcribe};
use telemetry::{Meters, chain};

/// Settings that cannot work (`EX_USAGE`).
const BAD_SETTINGS: u8 = 64;
/// No port, no model (`EX_UNAVAILABLE`).
const UNAVAILABLE: u8 = 69;

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed(UNAVAILABLE, &format!("cannot start threads: {error}")),
    };
    let code = runtime.block_on(async {
        match cli.command {
            Command::Serve(args) => serve(*args, &cli.given).await,
            Command::Transcribe(args) => transcribe::run(&args),
            Command::Probe(args) => probe::run(&args).await,
            Command::Model(args) => model_store::run(&args),
        }
    });
    // Reads of standard input cannot be interrupted; they must not keep the process.
    runtime.shutdown_background();
    code
}

/// Help and version are no failure; a mistake is told in one line.
fn usage(error: &clap::Error) -> ExitCode {
    let is_help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if error.use_stderr() && !is_help {
        return failed(BAD_SETTINGS, &one_line(error));
    }
    // Without an output there is no reader.
    error.print().ok();
    if is_help {
        ExitCode::from(BAD_SETTINGS)
    } else {
        ExitCode::SUCCESS
    }
}

fn failed(code: u8, message: &str) -> ExitCode {
    // Without an output there is no reader.
    writeln!(std::io::stderr(), "wyoming-stt: {message}").ok();
    ExitCode::from(code)
}

async fn serve(args: ServeArgs, given: &[(String, String)]) -> ExitCode {
    let config = match args.check() {
        Ok(config) => config,
        Err(error) => return failed(BAD_SETTINGS, &chain(&error)),
    };
    if args.print_config {
        say(&config)(args.shown(given).trim_end());
        return ExitCode::SUCCESS;
    }
    let mut guard = match telemetry::init(&config.telemetry) {
        Ok(guard) => guard,
        Err(error) => return failed(BAD_SETTINGS, &chain(&error)),
    };
    let otlp = config.telemetry.otlp.as_ref();
    let meters = match Meters::new("wyoming-stt", "stt", otlp) {
        Ok(meters) => meters,
        Err(error) => return failed(UNAVAILABLE, &chain(&error)),
    };
    guard.hold(&meters);
    for note in &config.notes {
        tracing::warn!("{note}");
    }
    let say = say(&config);
    let code = match App::build(config, meters).await {
        Err(error) => {
            let holder = match &error {
                StartError::Bind(error) => probe::holder(error).await,
                _ => None,
            };
            let holder = holder.unwrap_or_default();
            failed(UNAVAILABLE, &format!("{}{holder}", chain(&error)))
        }
        Ok(app) => match app.run(say).await {
            Ended::Drained => ExitCode::SUCCESS,
            Ended::Cut => ExitCode::FAILURE,
            Ended::NoModel(reason) => failed(UNAVAILABLE, &reason),
        },
    };
    // The exporters block while they send.
    tokio::task::spawn_blocking(|| guard.shutdown()).await.ok();
    code
}

/// The lines that tell the bound addresses go to standard output, unless that belongs to a client.
fn say(config: &Config) -> impl Fn(&str) + use<> {
    let stdio = config.uris.contains(&Uri::Stdio);
    move |line| {
        // A closed output is no reason to stop serving.
        if stdio {
            writeln!(std::io::stderr(), "{line}").ok();
        } else {
            writeln!(std::io::stdout(), "{line}").ok();
        }
    }
}
