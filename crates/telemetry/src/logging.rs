//! Logs on standard error; logs' spans and metrics by OTLP where an endpoint is set.

use opentelemetry::trace::TracerProvider;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{LogExporter, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::{Filter, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::error::TelemetryError;
use crate::metrics::Meters;
use crate::otlp::Otlp;

/// What to log and where to send it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of the program in traces.
    pub service_name: &'static str,
    /// Lines for people or for machines.
    pub log_format: LogFormat,
    /// Directives as `tracing` reads them, such as `info` or `info,server=debug`.
    pub filter: String,
    /// A collector, if any.
    pub otlp: Option<Otlp>,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What the exporters themselves say is never exported: at `debug` each export would give rise to the
/// next one, without end.
const NOT_EXPORTED: &str = ",opentelemetry=off,opentelemetry_sdk=off,opentelemetry_otlp=off,tonic=off,h2=off,hyper=off,hyper_util=off,tower=off";

/// What the SDK tells about itself at `info` is no event in the life of the server.
const QUIET: &str = ",opentelemetry=warn,opentelemetry_sdk=warn";

/// These log what they send and receive: the token that opens a Home Assistant is among it.
const NEVER_LOGGED: [&str; 2] = ["tungstenite", "tokio_tungstenite"];

/// Holds the exporters; [`Guard::shutdown`] sends what is left.
#[derive(Debug, Default)]
pub struct Guard {
    traces: Option<SdkTracerProvider>,
    logs: Option<SdkLoggerProvider>,
    metrics: Option<SdkMeterProvider>,
}

impl Guard {
    /// Has these meters shut down with the rest.
    pub fn hold(&mut self, meters: &Meters) {
        self.metrics = Some(meters.provider().clone());
    }

    /// Sends what is left, the last readings of all meters too, and stops. It blocks, for about 5
    /// seconds at most: a collector that does not answer is given up then, for all three at the same
    /// time.
    pub fn shutdown(self) {
        let (traces, metrics, logs) = std::thread::scope(|scope| {
            let traces = scope.spawn(|| self.traces.map(|provider| provider.shutdown()));
            let metrics = scope.spawn(|| self.metrics.map(|provider| provider.shutdown()));
            let logs = self.logs.map(|provider| provider.shutdown());
            (
                traces.join().unwrap_or_default(),
                metrics.join().unwrap_or_default(),
                logs,
            )
        });
        for result in [traces, metrics, logs].into_iter().flatten() {
            if let Err(error) = result {
                tracing::warn!(%error, "telemetry not flushed");
            }
        }
    }
}

/// Starts logging for the whole process. Needs a tokio runtime when an endpoint is set.
///
/// # Errors
/// [`TelemetryError`]; nothing is silently left out.
pub fn init(settings: &Settings) -> Result<Guard, TelemetryError> {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    let lines = match settings.log_format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let guard = exporters(settings)?;
    if let Some(provider) = &guard.traces {
        // For spans that are told when they are over.
        opentelemetry::global::set_tracer_provider(provider.clone());
    }
    let spans = guard.traces.as_ref().map(|provider| {
        tracing_opentelemetry::layer().with_tracer(provider.tracer(settings.service_name))
    });
    let logs = guard.logs.as_ref().map(OpenTelemetryTracingBridge::new);
    tracing_subscriber::registry()
        .with(lines.with_filter(filter(&settings.filter, QUIET)?))
        .with(spans.with_filter(filter(&settings.filter, NOT_EXPORTED)?))
        .with(logs.with_filter(filter(&settings.filter, NOT_EXPORTED)?))
        .try_init()
        .map_err(|source| TelemetryError::Twice { source })?;
    Ok(guard)
}

fn filter<S: Subscriber>(
    directives: &str,
    more: &str,
) -> Result<impl Filter<S> + Send + Sync + 'static, TelemetryError> {
    let chosen = EnvFilter::try_new(format!("{directives}{more}")).map_err(|source| {
        TelemetryError::Filter {
            filter: directives.to_owned(),
            source,
        }
    })?;
    Ok(chosen.and(filter_fn(|event| may_be_logged(event.target()))))
}

/// Whatever the directives say.
fn may_be_logged(target: &str) -> bool {
    let origin = target.split("::").next().unwrap_or_default();
    !NEVER_LOGGED.contains(&origin)
}

fn exporters(settings: &Settings) -> Result<Guard, TelemetryError> {
    let Some(otlp) = &settings.otlp else {
        return Ok(Guard::default());
    };
    let failed = |source| otlp.failed(source);
    let resource = Resource::builder()
        .with_service_name(settings.service_name)
        .build();
    let spans = otlp.set_up(SpanExporter::builder().with_tonic());
    let logs = otlp.set_up(LogExporter::builder().with_tonic());
    let (spans, logs) = (
        spans.build().map_err(failed)?,
        logs.build().map_err(failed)?,
    );
    Ok(Guard {
        traces: Some(
            SdkTracerProvider::builder()
                .with_resource(resource.clone())
                .with_batch_exporter(spans)
                .build(),
        ),
        logs: Some(
            SdkLoggerProvider::builder()
                .with_resource(resource)
                .with_batch_exporter(logs)
                .build(),
        ),
        metrics: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(filter: &str, otlp: Option<Otlp>) -> Settings {
        Settings {
            service_name: "test",
            log_format: LogFormat::Text,
            filter: filter.to_owned(),
            otlp,
        }
    }

    #[test]
    fn filters_are_read_and_a_wrong_one_is_named() {
        for directives in ["info", "warn,server=debug", "debug", ""] {
            let read = |more| filter::<tracing_subscriber::Registry>(directives, more).is_ok();
            assert!(read("") && read(NOT_EXPORTED), "{directives}");
        }
        let wrong = init(&settings("server=loud", None)).unwrap_err();
        assert!(wrong.to_string().contains("\"server=loud\""), "{wrong}");
    }

    #[test]
    fn what_a_websocket_carries_is_never_logged() {
        for target in ["tungstenite::protocol", "tokio_tungstenite", "tungstenite"] {
            assert!(!may_be_logged(target), "{target}");
        }
        assert!(may_be_logged("server::names") && may_be_logged("log"));
    }

    #[tokio::test]
    async fn exporters_are_made_for_a_collector_with_tls_and_without() {
        for endpoint in ["http://127.0.0.1:4317", "https://127.0.0.1:4317"] {
            let otlp = Otlp::new(endpoint, None).unwrap();
            exporters(&settings("info", Some(otlp))).unwrap();
        }
    }
}
