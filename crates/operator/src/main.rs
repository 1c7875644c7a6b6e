//! `wyoming-stt-operator`: keeps speech-to-text endpoints as they were declared.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use operator::cli::{Cli, Command, SimulateArgs};
use operator::{api, simulate};

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Crd => print(&api::crd_yaml()),
        Command::Simulate(args) => simulate(&args),
    }
}

fn simulate(args: &SimulateArgs) -> ExitCode {
    let rows = simulate::compare();
    if let Some(path) = &args.svg
        && let Err(error) = std::fs::write(path, simulate::svg(&rows))
    {
        return failed(&format!("cannot write {}: {error}", path.display()));
    }
    print(&simulate::table(&rows))
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("cannot print: {error}")),
    }
}

fn failed(message: &str) -> ExitCode {
    // Without an output there is nobody to tell.
    writeln!(std::io::stderr(), "wyoming-stt-operator: {message}").ok();
    ExitCode::FAILURE
}
