//! The command line, and nothing else that reads the environment.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Keeps speech-to-text endpoints as they were declared.
#[derive(Debug, Parser)]
#[command(name = "wyoming-stt-operator", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the definition of WyomingStt as YAML.
    Crd,
    /// Compare the scaling rule with others on made-up loads, and print a table.
    Simulate(SimulateArgs),
}

/// `simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// Also draw load, replicas and wait.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}
