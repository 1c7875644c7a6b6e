//! Every metric: name, unit, buckets.
//!
//! On the page each has the prefix `stt_`, its unit, and `_total` where it is a counter.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, UpDownCounter};
use telemetry::BuildInfo;
use telemetry::load::LoadReport;
use wyoming::Code;

/// From a warm GPU's few milliseconds to a slow CPU on long audio.
const SECONDS: [f64; 13] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0,
];
const AUDIO_SECONDS: [f64; 9] = [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 300.0];
const REAL_TIME_FACTORS: [f64; 9] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0];
const BATCH_SIZES: [f64; 6] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];

/// The instruments; clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    connections: Counter<u64>,
    open_connections: UpDownCounter<i64>,
    open_streams: UpDownCounter<i64>,
    describes: Counter<u64>,
    faults: Counter<u64>,
    utterances: Counter<u64>,
    cancelled: Counter<u64>,
    panics: Counter<u64>,
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
            faults: counter("faults", "Error events sent, by code."),
            utterances: counter("utterances", "Utterances answered with words, by language."),
            cancelled: counter("cancelled_utterances", "Utterances whose client went away."),
            panics: counter("recognition_panics", "Batches lost to a panic."),
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

    /// Adds the gauges that are read from the load report when the page is.
    pub fn observe(
        meter: &Meter,
        report: impl Fn() -> LoadReport + Clone + Send + Sync + 'static,
        waiting_audio: impl Fn() -> Duration + Send + Sync + 'static,
    ) {
        type Read = fn(&LoadReport) -> f64;
        let gauges: [(&'static str, &'static str, &'static str, Read); 5] = [
            ("ready", "", "1 when utterances are transcribed.", |r| {
                f64::from(u8::from(r.ready))
            }),
            ("draining", "", "1 when the server is shutting down.", |r| {
                f64::from(u8::from(r.draining))
            }),
            ("queue_waiting", "", "Utterances that wait.", |r| {
                r.queued as f64
            }),
            ("queue_running", "", "Utterances being recognised.", |r| {
                r.running as f64
            }),
            (
                "queue_oldest_wait",
                "s",
                "How long the oldest has waited.",
                |r| r.oldest_wait_s,
            ),
        ];
        for (name, unit, help, read) in gauges {
            let report = report.clone();
            meter
                .f64_observable_gauge(name)
                .with_unit(unit)
                .with_description(help)
                .with_callback(move |observer| observer.observe(read(&report()), &[]))
                .build();
        }
        meter
            .f64_observable_gauge("queue_waiting_audio")
            .with_unit("s")
            .with_description("Audio that waits.")
            .with_callback(move |observer| observer.observe(waiting_audio().as_secs_f64(), &[]))
            .build();
        let refused = report.clone();
        meter
            .u64_observable_counter("refused_utterances")
            .with_description("Utterances refused because the queue was full.")
            .with_callback(move |observer| observer.observe(refused().refused_total, &[]))
            .build();
        let build = BuildInfo::current();
        meter
            .u64_observable_gauge("build_info")
            .with_description("Always 1; what was built and what is served stand in the labels.")
            .with_callback(move |observer| {
                let labels = [
                    KeyValue::new("version", build.version.clone()),
                    KeyValue::new("revision", build.revision.clone()),
                    KeyValue::new("model", report().model.name),
                ];
                observer.observe(1, &labels);
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

    /// An error event was sent.
    pub fn fault(&self, code: Code) {
        self.faults.add(1, &[KeyValue::new("code", code.as_str())]);
    }

    /// An utterance was answered with words.
    pub fn answered(&self, language: String) {
        self.utterances
            .add(1, &[KeyValue::new("language", language)]);
    }

    /// A client went away before its words came.
    pub fn cancelled(&self) {
        self.cancelled.add(1, &[]);
    }

    /// A batch was lost to a panic.
    pub fn panicked(&self) {
        self.panics.add(1, &[]);
    }

    /// A batch begins.
    pub fn batch(&self, jobs: usize) {
        self.batch_size.record(jobs as f64, &[]);
    }

    /// An utterance was recognised.
    pub fn transcribed(&self, audio: Duration, waited: Duration, took: Duration) {
        self.utterance_audio.record(audio.as_secs_f64(), &[]);
        self.wait.record(waited.as_secs_f64(), &[]);
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
