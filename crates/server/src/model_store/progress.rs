//! How far a download is, for a terminal, a pipe or the log.

use std::io::Write;
use std::time::{Duration, Instant};

use super::{HubId, Report};

/// A terminal shows movement; a log is read later.
const REDRAW: Duration = Duration::from_millis(200);
const LINE: Duration = Duration::from_secs(5);

/// Bytes of all files of a model.
pub(super) struct Progress {
    report: Option<Report>,
    name: String,
    total: u64,
    /// In files that are whole.
    done: u64,
    /// In the file that is being fetched.
    current: u64,
    shown: Instant,
}

impl Progress {
    pub(super) fn new(report: Report, id: &HubId, total: u64) -> Self {
        Self {
            report: Some(report),
            name: id.to_string(),
            total,
            done: 0,
            current: 0,
            shown: Instant::now(),
        }
    }

    pub(super) fn silent() -> Self {
        Self {
            report: None,
            name: String::new(),
            total: 0,
            done: 0,
            current: 0,
            shown: Instant::now(),
        }
    }

    /// The current file has this many bytes now.
    pub(super) fn file_at(&mut self, bytes: u64) {
        self.current = bytes;
        let pause = match self.report {
            Some(Report::Terminal) => REDRAW,
            _ => LINE,
        };
        if self.shown.elapsed() >= pause {
            self.show();
        }
    }

    /// The current file is whole, with this many bytes.
    pub(super) fn file_done(&mut self, bytes: u64) {
        self.done += bytes;
        self.file_at(0);
    }

    /// Everything is there.
    pub(super) fn finish(&mut self) {
        self.show();
        if matches!(self.report, Some(Report::Terminal)) {
            // Without a terminal there is no reader.
            writeln!(std::io::stderr()).ok();
        }
    }

    fn show(&mut self) {
        self.shown = Instant::now();
        let line = line(&self.name, self.done + self.current, self.total);
        // Without an output there is no reader.
        match self.report {
            Some(Report::Terminal) => write!(std::io::stderr(), "\r\x1b[K{line}").ok(),
            Some(Report::Lines) => writeln!(std::io::stderr(), "{line}").ok(),
            Some(Report::Log) => {
                let (bytes, total_bytes) = (self.done + self.current, self.total);
                tracing::info!(model = self.name, bytes, total_bytes, "model download");
                None
            }
            None => None,
        };
    }
}

fn line(name: &str, bytes: u64, total: u64) -> String {
    let percent = (bytes * 100).checked_div(total).unwrap_or(100).min(100);
    format!("{name}: {percent} % of {} MB", total.div_ceil(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn a_line_tells_how_far_it_is() {
        assert_eq!(line("o/n", 0, 1_500_000), "o/n: 0 % of 2 MB");
        assert_eq!(line("o/n", 750_000, 1_500_000), "o/n: 50 % of 2 MB");
        assert_eq!(line("o/n", 0, 0), "o/n: 100 % of 0 MB");
    }
}
