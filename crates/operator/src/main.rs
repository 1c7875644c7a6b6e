//! `wyoming-stt-operator`: keeps speech-to-text endpoints as they were declared.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use operator::causes::with_causes;
use operator::cli::{Cli, Command, RunArgs, SimulateArgs};
use operator::simulate::{Load, Scenario};
use operator::{api, simulate};

/// Threads on a node with many cores.
const MOST_THREADS: usize = 4;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(args) => run(*args),
        Command::Crd => print(&api::crd_yaml()),
        Command::Simulate(args) => simulate(&args),
    }
}

fn run(args: RunArgs) -> ExitCode {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        // It waits more than it works, and each thread keeps memory of its own.
        .worker_threads(cores.min(MOST_THREADS))
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start threads: {error}")),
    };
    runtime.block_on(async {
        let guard = match args.telemetry().and_then(|told| telemetry::init(&told)) {
            Ok(guard) => guard,
            Err(error) => return failed(&with_causes(&error)),
        };
        let code = match operator::run::run(args).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&with_causes(&error)),
        };
        // The exporters block while they send.
        tokio::task::spawn_blocking(|| guard.shutdown()).await.ok();
        code
    })
}

fn simulate(args: &SimulateArgs) -> ExitCode {
    let scenarios = match &args.load {
        None => simulate::scenarios(),
        Some(path) => match recorded(path, args) {
            Ok(scenario) => vec![scenario],
            Err(message) => return failed(&message),
        },
    };
    let rows = simulate::compare(&scenarios);
    if let Some(path) = &args.svg
        && let Err(error) = std::fs::write(path, simulate::svg(&rows))
    {
        return failed(&format!("cannot write {}: {error}", path.display()));
    }
    let mut text = simulate::table(&rows);
    if args.load.is_none() {
        text.push('\n');
        text.push_str(&simulate::case_table(&simulate::run_cases()));
    }
    print(&text)
}

/// The load of a file, on the fleet that the flags tell.
fn recorded(path: &Path, args: &SimulateArgs) -> Result<Scenario, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let load = Load::recorded(&text)
        .map_err(|error| format!("{}: {}", path.display(), with_causes(&error)))?;
    Ok(Scenario {
        service: Duration::from_secs_f64(args.service_seconds),
        service_per_second: args.service_per_second,
        slots: usize::from(args.slots),
        target_depth: u32::from(args.slots),
        max: args.max_replicas,
        gpus: args.max_replicas,
        wait: Duration::from_secs_f64(args.wait_seconds),
        ..Scenario::product("recorded", load, args.startup_seconds.into())
    })
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("cannot print: {error}")),
    }
}

fn failed(message: &str) -> ExitCode {
    // Without an output there is no reader.
    writeln!(std::io::stderr(), "wyoming-stt-operator: {message}").ok();
    ExitCode::FAILURE
}
