//! A comparison as a table, and as a picture.

use std::fmt::Write;
use std::time::Duration;

use super::{Case, Row, Sample};

/// One line for each rule and load, as Markdown.
pub fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| load | startup s | rule | peak ordered | worst wait s | p90 wait s | mean backlog | lost % | in time % | GPU-hours | in time per GPU-hour | changes |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let outcome = &row.outcome;
        // Writing to a String cannot fail.
        writeln!(
            text,
            "| {} | {} | {} | {} | {:.0} | {:.0} | {:.1} | {:.2} | {:.1} | {:.1} | {:.0} | {} |",
            row.scenario,
            row.startup.as_secs(),
            row.rule,
            outcome.peak_ordered,
            outcome.worst_wait.as_secs_f64(),
            outcome.p90_wait.as_secs_f64(),
            outcome.mean_backlog,
            outcome.lost_percent(),
            outcome.in_time_percent(),
            outcome.gpu_hours(),
            outcome.in_time_per_gpu_hour(),
            outcome.changes,
        )
        .ok();
    }
    text
}

/// One line for each case, as Markdown: what was lost, and what it cost.
pub fn case_table(rows: &[(Case, Row)]) -> String {
    let mut text = String::from(
        "| case | rule | utterances | lost % | in time % | peak ordered | 20 ready at s | GPU-hours | in time per GPU-hour | about |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (case, row) in rows {
        let outcome = &row.outcome;
        let ready = outcome.ready_at(20);
        // Writing to a String cannot fail.
        writeln!(
            text,
            "| {} | {} | {} | {:.2} | {:.1} | {} | {} | {:.1} | {:.0} | {} |",
            row.scenario,
            row.rule,
            outcome.arrived,
            outcome.lost_percent(),
            outcome.in_time_percent(),
            outcome.peak_ordered,
            ready.map_or_else(|| "–".to_owned(), |at| at.as_secs().to_string()),
            outcome.gpu_hours(),
            outcome.in_time_per_gpu_hour(),
            case.about,
        )
        .ok();
    }
    text
}

const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 120.0;
const MARGIN: f64 = 30.0;

/// A field of small charts, one line for each load and one column for each rule: load, replicas and wait.
pub fn svg(rows: &[Row]) -> String {
    let columns = rows
        .iter()
        .map(|row| row.rule)
        .collect::<std::collections::BTreeSet<_>>()
        .len()
        .max(1);
    let lines = rows.len().div_ceil(columns);
    let (width, height) = (
        columns as f64 * (WIDTH + MARGIN),
        lines as f64 * (HEIGHT + MARGIN) + MARGIN,
    );
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" font-size=\"10\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"8\" y=\"14\">grey: utterances/s, blue: replicas ordered, green: ready, red: wait of the oldest. All charts of a line have the same scales.</text>\n"
    );
    for (line, of_one_load) in rows.chunks(columns).enumerate() {
        let most = |value: fn(&Sample) -> f64| {
            let samples = of_one_load.iter().flat_map(|row| &row.outcome.samples);
            samples.map(value).fold(1e-9, f64::max)
        };
        let (rate, replicas, wait) = (most(of_rate), most(of_ordered), most(of_wait));
        for (column, row) in of_one_load.iter().enumerate() {
            let x = column as f64 * (WIDTH + MARGIN) + 8.0;
            let y = line as f64 * (HEIGHT + MARGIN) + MARGIN;
            let title = format!(
                "{}, start {} s, {}: {} replicas at most, worst wait {:.0} s",
                row.scenario,
                row.startup.as_secs(),
                row.rule,
                row.outcome.peak_ordered,
                row.outcome.worst_wait.as_secs_f64()
            );
            writeln!(
                text,
                "<g transform=\"translate({x:.0} {y:.0})\"><text y=\"8\">{title}</text>"
            )
            .ok();
            for (color, value, top) in [
                ("#bbbbbb", of_rate as fn(&Sample) -> f64, rate),
                ("#1f77b4", of_ordered, replicas),
                ("#2ca02c", of_ready, replicas),
                ("#d62728", of_wait, wait),
            ] {
                curve(&mut text, &row.outcome.samples, color, value, top);
            }
            text.push_str("</g>\n");
        }
    }
    text.push_str("</svg>\n");
    text
}

fn of_rate(sample: &Sample) -> f64 {
    sample.rate
}

fn of_ordered(sample: &Sample) -> f64 {
    f64::from(sample.ordered)
}

fn of_ready(sample: &Sample) -> f64 {
    f64::from(sample.ready)
}

fn of_wait(sample: &Sample) -> f64 {
    sample.oldest_wait.as_secs_f64()
}

fn curve(text: &mut String, samples: &[Sample], color: &str, value: fn(&Sample) -> f64, top: f64) {
    let length = samples
        .last()
        .map_or(Duration::ZERO, |sample| sample.at)
        .as_secs_f64()
        .max(1.0);
    write!(text, "<polyline fill=\"none\" stroke=\"{color}\" points=\"").ok();
    for sample in samples {
        let x = sample.at.as_secs_f64() / length * WIDTH;
        let y = HEIGHT - value(sample) / top * (HEIGHT - 14.0);
        write!(text, "{x:.1},{y:.1} ").ok();
    }
    text.push_str("\"/>\n");
}
