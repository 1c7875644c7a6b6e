//! The pages of `docs/reference`, made from what the program says of itself. `UPDATE_DOCS=1 cargo test -p server reference`
//! writes them; without it a page that is out of date fails.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory};
use wyoming::Code;

use crate::cli::Cli;
use crate::metrics;

#[path = "../../../tests/reference_page.rs"]
mod page;
use page::check;

/// Within a cell of a table.
fn cell(text: &str) -> String {
    text.trim()
        .replace('|', "\\|")
        .replace("\n\n", "<br>")
        .replace('\n', " ")
}

fn defaults(arg: &Arg) -> String {
    let values: Vec<String> = arg
        .get_default_values()
        .iter()
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .collect();
    values.join(", ")
}

fn help(arg: &Arg) -> String {
    let help = arg.get_long_help().or_else(|| arg.get_help());
    let mut text = cell(&help.map(ToString::to_string).unwrap_or_default());
    if !text.is_empty() && !text.ends_with('.') {
        text.push('.');
    }
    let values = arg.get_possible_values();
    for value in values.iter().filter(|value| !value.is_hide_set()) {
        let Some(meaning) = value.get_help() else {
            continue;
        };
        write!(text, "<br>`{}`: {}", value.get_name(), meaning).unwrap();
    }
    text
}

fn settings_of(page: &mut String, command: &Command, title: &str) {
    let about = command.get_long_about().or_else(|| command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    write!(
        page,
        "\n## {title}\n\n{}\n\n| flag | variable | default | meaning |\n|---|---|---|---|\n",
        about.trim_end_matches('.').to_owned() + "."
    )
    .unwrap();
    for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
        let Some(long) = arg
            .get_long()
            .filter(|long| !["help", "version"].contains(long))
        else {
            continue;
        };
        let variable = arg
            .get_env()
            .map(|env| format!("`{}`", env.to_string_lossy()));
        writeln!(
            page,
            "| `--{long}` | {} | {} | {} |",
            variable.unwrap_or_default(),
            defaults(arg),
            help(arg)
        )
        .unwrap();
    }
}

#[test]
fn the_page_of_settings_is_what_the_help_says() {
    let mut page = String::from(
        "# Settings\n\nEvery flag of `serve` is also an environment variable; one that is set to nothing counts as not \
         set. The flag wins over the variable. `--print-config` shows what would be used. Variables that wyoming-faster-whisper \
         reads (`WYO_WHISPER_…`) mean what they mean there.\n",
    );
    let mut cli = Cli::command();
    cli.build();
    for (path, title) in [
        (&["serve"][..], "wyoming-stt serve"),
        (&["transcribe"], "wyoming-stt transcribe"),
        (&["probe"], "wyoming-stt probe"),
        (&["model", "pull"], "wyoming-stt model pull"),
    ] {
        let command = path
            .iter()
            .fold(&cli, |command, name| command.find_subcommand(name).unwrap());
        settings_of(&mut page, command, title);
    }
    check("settings.md", &page);
}

#[test]
fn the_page_of_metrics_is_what_the_meters_say() {
    let text = metrics::tests::page();
    let mut page = String::from(
        "# Metrics of a server\n\nOn the admin port (10390) at `/metrics`, in Prometheus' text format; by OTLP without the \
         prefix `stt_` and the unit.\n\n| name | type | meaning |\n|---|---|---|\n",
    );
    let described = |kind: &str| {
        let lines = text.lines().filter_map(move |line| {
            line.strip_prefix("# ")?
                .strip_prefix(kind)?
                .trim()
                .split_once(' ')
        });
        lines.collect::<std::collections::BTreeMap<_, _>>()
    };
    let (kinds, helps) = (described("TYPE"), described("HELP"));
    for (name, kind) in kinds {
        writeln!(page, "| `{name}` | {kind} | {} |", cell(helps[name])).unwrap();
    }
    check("metrics.md", &page);
}

#[test]
fn the_page_of_errors_has_every_code() {
    let source = include_str!("../../wyoming/src/code.rs");
    let meaning = |code: Code| {
        let variant = format!("    {code:?},");
        let (before, _) = source.split_once(&format!("\n{variant}\n")).unwrap();
        let line = before.lines().last().unwrap();
        line.trim().trim_start_matches("/// ").to_owned()
    };
    let mut page = String::from(
        "# Errors\n\nA fault is an `error` event with one of these codes and a sentence that names what was wrong; then the \
         connection is closed. Over HTTP the same codes are in OpenAI's error object. `stt_faults_total` counts them.\n\n\
         | code | meaning | what to do |\n|---|---|---|\n",
    );
    for code in Code::ALL {
        writeln!(
            page,
            "| `{}` | {} | {} |",
            code.as_str(),
            meaning(code),
            code.advice()
        )
        .unwrap();
    }
    check("errors.md", &page);
}
