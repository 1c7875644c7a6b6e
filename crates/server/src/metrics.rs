//! Every metric: name, unit, buckets.
//!
//! On the page each has the prefix `stt_`, its unit, and `_total` where it is a counter. What comes from
//! the load report is of one moment.

mod moment;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, UpDownCounter};
use telemetry::BuildInfo;
use telemetry::load::LoadReport;
use whisper::Withheld;
use wyoming::Code;

use crate::names::Names;
use moment::Moment;

/// From a warm GPU's few milliseconds to a slow CPU on long audio.
const SECONDS: [f64; 13] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0,
];
const AUDIO_SECONDS: [f64; 9] = [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 300.0];
const REAL_TIME_FACTORS: [f64; 9] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0];
/// Powers of two up to the largest batch that makes sense.
const BATCH_SIZES: [f64; 6] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];

/// Name, unit, help, and where it stands in the load report.
type FromReport = (
    &'static str,
    &'static str,
    &'static str,
    fn(&LoadReport) -> f64,
);

/// How it is now.
const GAUGES: [FromReport; 6] = [
    (
        "ready",
        "",
        "1 when utterances are transcribed.",
        |report| f64::from(u8::from(report.ready)),
    ),
    (
        "draining",
        "",
        "1 when the server is shutting down.",
        |report| f64::from(u8::from(report.draining)),
    ),
    ("queue_waiting", "", "Utterances that wait.", |report| {
        report.queued as f64
    }),
    (
        "queue_running",
        "",
        "Utterances being recognised.",
        |report| report.running as f64,
    ),
    (
        "queue_oldest_wait",
        "s",
        "How long the oldest has waited.",
        |report| report.oldest_wait_s,
    ),
    ("queue_waiting_audio", "s", "Audio that waits.", |report| {
        report.waiting_audio_s
    }),
];

/// Since the start.
const TOTALS: [FromReport; 5] = [
    (
        "accepted_utterances",
        "",
        "Utterances taken into the queue.",
        |report| report.accepted_total as f64,
    ),
    (
        "finished_utterances",
        "",
        "Utterances of the queue that were answered, with words or a fault.",
        |report| report.finished_total as f64,
    ),
    (
        "refused_utterances",
        "",
        "Utterances refused because the queue was full.",
        |report| report.refused_total as f64,
    ),
    (
        "cancelled_utterances",
        "",
        "Utterances whose client went away.",
        |report| report.cancelled_total as f64,
    ),
    ("busy", "s", "Time the device was at work.", |report| {
        report.busy_s_total
    }),
];

/// The instruments; clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    connections: Counter<u64>,
    open_connections: UpDownCounter<i64>,
    open_streams: UpDownCounter<i64>,
    describes: Counter<u64>,
    faults: Counter<u64>,
    http_requests: Counter<u64>,
    utterances: Counter<u64>,
    panics: Counter<u64>,
    withheld: Counter<u64>,
    endpoints: Counter<u64>,
    speculations_started: Counter<u64>,
    speculations_adopted: Counter<u64>,
    speculations_discarded: Counter<u64>,
    speculation_busy: Counter<f64>,
    answer: Counter<f64>,
    utterance_audio: Histogram<f64>,
    wait: Histogram<f64>,
    transcribe: Histogram<f64>,
    real_time_factor: Histogram<f64>,
    batch_size: Histogram<f64>,
    model_load: Histogram<f64>,
}

impl Metrics {
    /// Makes the instruments.
    pub fn new(meter: &Meter) -> Self {
        let histogram =
            |name: &'static str, unit: &'static str, help: &'static str, edges: &[f64]| {
                meter
                    .f64_histogram(name)
                    .with_unit(unit)
                    .with_description(help)
                    .with_boundaries(edges.to_vec())
                    .build()
            };
        let counter = |name: &'static str, help: &'static str| {
            meter.u64_counter(name).with_description(help).build()
        };
        let gauge = |name: &'static str, help: &'static str| {
            meter
                .i64_up_down_counter(name)
                .with_description(help)
                .build()
        };
        Self {
            connections: counter("connections", "Connections accepted."),
            open_connections: gauge("open_connections", "Connections that are open."),
            open_streams: gauge("open_streams", "Utterances whose audio is arriving."),
            describes: counter("describes", "Describe requests answered."),
            faults: counter("faults", "Errors sent to clients, by code."),
            http_requests: counter(
                "http_requests",
                "HTTP requests answered, by path and status.",
            ),
            utterances: counter("utterances", "Utterances transcribed, by language."),
            panics: counter("recognition_panics", "Batches lost to a panic."),
            endpoints: counter(
                "ended_utterances",
                "Utterances that the server ended by itself, by reason.",
            ),
            withheld: counter(
                "withheld_texts",
                "Windows and segments whose text is no part of an answer, by reason.",
            ),
            speculations_started: counter(
                "speculations_started",
                "Transcriptions begun at a pause, before the audio ended.",
            ),
            speculations_adopted: counter(
                "speculations_adopted",
                "Of these, those that became the transcript of their utterance.",
            ),
            speculations_discarded: counter(
                "speculations_discarded",
                "Of these, those discarded: speech went on, or another request needed the device.",
            ),
            speculation_busy: meter
                .f64_counter("speculation_busy")
                .with_unit("s")
                .with_description("Time the device spent on them, by outcome.")
                .build(),
            answer: meter
                .f64_counter("answer")
                .with_unit("s")
                .with_description(
                    "Time from the end of audio to the words of all utterances, by part.",
                )
                .build(),
            utterance_audio: histogram(
                "utterance_audio",
                "s",
                "Length of transcribed utterances.",
                &AUDIO_SECONDS,
            ),
            wait: histogram(
                "queue_wait_duration",
                "s",
                "From the end of audio to the start of recognition.",
                &SECONDS,
            ),
            transcribe: histogram(
                "transcribe_duration",
                "s",
                "From the start of recognition to the words.",
                &SECONDS,
            ),
            real_time_factor: histogram(
                "real_time_factor",
                "",
                "Recognition time over length of audio.",
                &REAL_TIME_FACTORS,
            ),
            batch_size: histogram(
                "batch_size",
                "",
                "Utterances recognised together.",
                &BATCH_SIZES,
            ),
            model_load: histogram(
                "model_load_duration",
                "s",
                "From the start to a warm model.",
                &SECONDS,
            ),
        }
    }

    /// Adds what is read from the load report, once for each page or export.
    pub fn observe(meter: &Meter, report: impl Fn() -> LoadReport + Send + Sync + 'static) {
        let moment = Moment::new(report);
        // The collector asks in this order, on one thread.
        let build = BuildInfo::current();
        let first = Arc::clone(&moment);
        meter
            .u64_observable_gauge("build_info")
            .with_description("Always 1; what was built and what is served stand in the labels.")
            .with_callback(move |observer| {
                first.begin();
                let labels = [
                    KeyValue::new("version", build.version.clone()),
                    KeyValue::new("revision", build.revision.clone()),
                    KeyValue::new("model", first.read(|report| report.model.name.clone())),
                ];
                observer.observe(1, &labels);
            })
            .build();
        for (name, unit, help, read) in GAUGES {
            let moment = Arc::clone(&moment);
            meter
                .f64_observable_gauge(name)
                .with_unit(unit)
                .with_description(help)
                .with_callback(move |observer| observer.observe(moment.read(read), &[]))
                .build();
        }
        for (name, unit, help, read) in TOTALS {
            let moment = Arc::clone(&moment);
            meter
                .f64_observable_counter(name)
                .with_unit(unit)
                .with_description(help)
                .with_callback(move |observer| observer.observe(moment.read(read), &[]))
                .build();
        }
    }

    /// Adds how many names there are to expect, by origin.
    pub fn observe_names(meter: &Meter, names: Names) {
        meter
            .u64_observable_gauge("names")
            .with_description("Names to expect in speech, by where they come from.")
            .with_callback(move |observer| {
                for (origin, number) in &names.borrow().counts {
                    let labels = [KeyValue::new("source", origin.as_str())];
                    observer.observe(*number as u64, &labels);
                }
            })
            .build();
    }

    /// A connection; it counts as open until the guard is dropped.
    pub fn connection(&self) -> OpenGuard {
        self.connections.add(1, &[]);
        OpenGuard::new(&self.open_connections)
    }

    /// An utterance whose audio is arriving, until the guard is dropped.
    pub fn stream(&self) -> OpenGuard {
        OpenGuard::new(&self.open_streams)
    }

    /// A describe was answered.
    pub fn described(&self) {
        self.describes.add(1, &[]);
    }

    /// An error was sent.
    pub fn fault(&self, code: Code) {
        self.faults.add(1, &[KeyValue::new("code", code.as_str())]);
    }

    /// An HTTP request was answered. `route`: one of those that are served, or `other`.
    pub fn http_request(&self, route: &'static str, status: u16) {
        let labels = [
            KeyValue::new("route", route),
            KeyValue::new("status", i64::from(status)),
        ];
        self.http_requests.add(1, &labels);
    }

    /// An utterance was answered. `language` is empty when there was no audio to tell it from.
    pub fn answered(&self, language: String) {
        let language = if language.is_empty() {
            "none".to_owned()
        } else {
            language
        };
        self.utterances
            .add(1, &[KeyValue::new("language", language)]);
    }

    /// So much of the time of an answer went into this part.
    pub fn answer_part(&self, part: &'static str, time: Duration) {
        if !time.is_zero() {
            self.answer
                .add(time.as_secs_f64(), &[KeyValue::new("part", part)]);
        }
    }

    /// A batch was lost to a panic.
    pub fn panicked(&self) {
        self.panics.add(1, &[]);
    }

    /// The server ended an utterance by itself.
    pub fn endpoint(&self, reason: &'static str) {
        self.endpoints.add(1, &[KeyValue::new("reason", reason)]);
    }

    /// Text of an utterance is not part of its answer. `phrases`: segments that the blocklist took out.
    pub fn withheld(&self, withheld: Withheld, phrases: usize) {
        for (reason, number) in [
            ("no_speech", u64::from(withheld.no_speech)),
            ("silence", u64::from(withheld.silence)),
            ("hopeless", u64::from(withheld.hopeless)),
            ("prompt", u64::from(withheld.prompt)),
            ("phrase", phrases as u64),
        ] {
            if number > 0 {
                self.withheld
                    .add(number, &[KeyValue::new("reason", reason)]);
            }
        }
    }

    /// A transcription may begin before the audio has ended.
    pub fn speculation_started(&self) {
        self.speculations_started.add(1, &[]);
    }

    /// Its words are those of the utterance.
    pub fn speculation_adopted(&self) {
        self.speculations_adopted.add(1, &[]);
    }

    /// Its words are of no use.
    pub fn speculation_discarded(&self) {
        self.speculations_discarded.add(1, &[]);
    }

    /// The device spent this on one that was adopted.
    pub fn speculation_was_useful(&self, took: Duration) {
        self.speculation_took(took, "adopted");
    }

    /// The device spent this on one that was discarded.
    pub fn speculation_was_vain(&self, took: Duration) {
        self.speculation_took(took, "discarded");
    }

    fn speculation_took(&self, took: Duration, outcome: &'static str) {
        let labels = [KeyValue::new("outcome", outcome)];
        self.speculation_busy.add(took.as_secs_f64(), &labels);
    }

    /// A batch begins.
    pub fn batch(&self, jobs: usize) {
        self.batch_size.record(jobs as f64, &[]);
    }

    /// An utterance has waited for the device until now.
    pub fn waited(&self, waited: Duration) {
        self.wait.record(waited.as_secs_f64(), &[]);
    }

    /// An utterance was recognised.
    pub fn transcribed(&self, audio: Duration, took: Duration) {
        self.utterance_audio.record(audio.as_secs_f64(), &[]);
        self.transcribe.record(took.as_secs_f64(), &[]);
        let factor = took.as_secs_f64() / audio.as_secs_f64().max(1e-3);
        self.real_time_factor.record(factor, &[]);
    }

    /// The model is loaded and warm.
    pub fn model_loaded(&self, took: Duration) {
        self.model_load.record(took.as_secs_f64(), &[]);
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self::new(&opentelemetry::global::meter("test"))
    }
}

/// Counts one while it lives.
#[derive(Debug)]
pub struct OpenGuard(UpDownCounter<i64>);

impl OpenGuard {
    fn new(counter: &UpDownCounter<i64>) -> Self {
        counter.add(1, &[]);
        Self(counter.clone())
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.0.add(-1, &[]);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use telemetry::Meters;

    use super::*;
    use crate::names::{Origin, Registry};

    /// A page with every instrument.
    pub(crate) fn page() -> String {
        let meters = Meters::new("test", "stt", None).unwrap();
        let meter = meters.meter("test");
        let metrics = Metrics::new(&meter);
        let report = || LoadReport {
            ready: true,
            queued: 3,
            waiting_audio_s: 7.0,
            refused_total: 2,
            busy_s_total: 1.5,
            ..LoadReport::default()
        };
        Metrics::observe(&meter, report);
        let names = Registry::new();
        Metrics::observe_names(&meter, names.names());
        names.put(Origin::File, &["Küche".to_owned(), "Bad".to_owned()]);
        names.put(Origin::HomeAssistant, &[]);
        let open = metrics.connection();
        drop(metrics.connection());
        let stream = metrics.stream();
        metrics.described();
        metrics.fault(Code::Overloaded);
        metrics.fault(Code::Deadline);
        metrics.http_request("transcriptions", 200);
        metrics.answered("en".to_owned());
        metrics.answered(String::new());
        metrics.answer_part("encode", Duration::from_millis(250));
        metrics.answer_part("encode", Duration::from_millis(500));
        metrics.answer_part("reply", Duration::ZERO);
        metrics.panicked();
        metrics.endpoint("silence");
        let withheld = Withheld {
            hopeless: 2,
            ..Withheld::default()
        };
        metrics.withheld(withheld, 1);
        for _ in 0..3 {
            metrics.speculation_started();
        }
        metrics.speculation_adopted();
        metrics.speculation_discarded();
        metrics.speculation_was_useful(Duration::from_millis(500));
        metrics.speculation_was_vain(Duration::from_millis(250));
        metrics.batch(3);
        metrics.waited(Duration::from_millis(30));
        metrics.transcribed(Duration::from_secs(2), Duration::from_millis(100));
        metrics.model_loaded(Duration::from_millis(500));
        let page = meters.page().unwrap();
        drop((open, stream));
        page
    }

    #[test]
    fn the_page_has_every_name_with_its_unit() {
        let page = page();
        for line in [
            "stt_connections_total 2",
            "stt_open_connections 1",
            "stt_open_streams 1",
            "stt_describes_total 1",
            "stt_faults_total{code=\"overloaded\"} 1",
            "stt_utterances_total{language=\"en\"} 1",
            "stt_utterances_total{language=\"none\"} 1",
            "stt_answer_seconds_total{part=\"encode\"} 0.75",
            "stt_recognition_panics_total 1",
            "stt_ended_utterances_total{reason=\"silence\"} 1",
            "stt_withheld_texts_total{reason=\"hopeless\"} 2",
            "stt_withheld_texts_total{reason=\"phrase\"} 1",
            "stt_speculations_started_total 3",
            "stt_speculations_adopted_total 1",
            "stt_speculations_discarded_total 1",
            "stt_speculation_busy_seconds_total{outcome=\"adopted\"} 0.5",
            "stt_speculation_busy_seconds_total{outcome=\"discarded\"} 0.25",
            "stt_batch_size_sum 3",
            "stt_names{source=\"file\"} 2",
            "stt_names{source=\"home_assistant\"} 0",
            "stt_queue_wait_duration_seconds_bucket{le=\"0.05\"} 1",
            "stt_utterance_audio_seconds_sum 2",
            "stt_transcribe_duration_seconds_bucket{le=\"0.05\"} 0",
            "stt_transcribe_duration_seconds_bucket{le=\"0.1\"} 1",
            "stt_real_time_factor_sum 0.05",
            "stt_model_load_duration_seconds_sum 0.5",
            "stt_ready 1",
            "stt_draining 0",
            "stt_queue_waiting 3",
            "stt_queue_running 0",
            "stt_queue_oldest_wait_seconds 0",
            "stt_queue_waiting_audio_seconds 7",
            "stt_accepted_utterances_total 0",
            "stt_finished_utterances_total 0",
            "stt_refused_utterances_total 2",
            "stt_cancelled_utterances_total 0",
            "stt_busy_seconds_total 1.5",
        ] {
            assert!(page.lines().any(|found| found == line), "no {line}\n{page}");
        }
        assert!(page.contains("stt_build_info{"), "{page}");
    }

    /// The names and labels of a page, which alerts and dashboards are held to (`tests/chart/test_alerts.py`). A file
    /// that is missing is written, for a person to read.
    #[test]
    fn names_and_labels_are_as_written_down() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/chart/pages/server.txt"
        );
        let shown = |line: &str| match line.rsplit_once(' ') {
            _ if line.starts_with('#') => line.to_owned(),
            // What was built differs from commit to commit.
            Some((series, _)) if series.starts_with("stt_build_info") => {
                "stt_build_info{model=\"\",revision=\"\",version=\"\"}".to_owned()
            }
            Some((series, _)) => series.to_owned(),
            None => line.to_owned(),
        };
        let now: String = page()
            .lines()
            .filter(|line| !line.contains("le=\"") || line.contains("le=\"+Inf\""))
            .map(|line| shown(line) + "\n")
            .collect();
        let Ok(then) = std::fs::read_to_string(path) else {
            std::fs::write(path, now).unwrap();
            panic!("{path} was missing and is written: read it");
        };
        assert!(
            now == then,
            "the metrics changed; remove the file to write it anew:\n{now}"
        );
    }

    #[test]
    fn every_metric_says_what_it_is() {
        let page = page();
        let of = |prefix: &str| -> Vec<String> {
            let names = page.lines().filter_map(|line| line.strip_prefix(prefix));
            names
                .filter_map(|rest| rest.split(' ').next().map(str::to_owned))
                .collect()
        };
        assert_eq!(of("# HELP "), of("# TYPE "));
        assert!(of("# TYPE ").iter().all(|name| name.starts_with("stt_")));
    }

    /// Each reading of the report differs from the last: all figures of a page are of one, also when
    /// another client asks at that time.
    #[test]
    fn a_page_is_one_moment() {
        let meters = Meters::new("test", "stt", None).unwrap();
        let readings = AtomicU64::new(0);
        let report = move || {
            let reading = readings.fetch_add(1, Ordering::Relaxed);
            LoadReport {
                queued: usize::try_from(reading).unwrap(),
                running: usize::try_from(reading).unwrap(),
                oldest_wait_s: reading as f64,
                waiting_audio_s: reading as f64,
                accepted_total: reading,
                finished_total: reading,
                refused_total: reading,
                cancelled_total: reading,
                busy_s_total: reading as f64,
                ..LoadReport::default()
            }
        };
        Metrics::observe(&meters.meter("test"), report);
        let shown = |reading: u64| {
            let page = meters.page().unwrap();
            let line = format!("stt_accepted_utterances_total {reading}");
            assert!(page.lines().any(|found| found == line), "{page}");
        };
        shown(0);
        shown(1);
        let ask = || {
            for _ in 0..100 {
                let page = meters.page().unwrap();
                let of_report = |line: &&str| {
                    line.starts_with("stt_")
                        && (line.starts_with("stt_queue_") || line.contains("_total "))
                };
                let mut figures: Vec<&str> = page
                    .lines()
                    .filter(of_report)
                    .filter_map(|line| line.split(' ').nth(1))
                    .collect();
                assert_eq!(figures.len(), 9, "{page}");
                figures.dedup();
                assert_eq!(figures.len(), 1, "{page}");
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(ask);
            }
        });
    }
}
