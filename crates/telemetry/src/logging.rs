//! Logs on standard error; logs' spans and metrics by OTLP where an endpoint is set.

use opentelemetry::trace::TracerProvider;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{LogExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// What to log and where to send it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of the program in traces.
    pub service_name: &'static str,
    /// Lines for people or for machines.
    pub log_format: LogFormat,
    /// Directives as `tracing` reads them, such as `info` or `info,server=debug`.
    pub filter: String,
    /// `http://HOST:PORT` of an OTLP collector (gRPC), if any.
    pub otlp_endpoint: Option<String>,
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

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The filter is not understood.
    #[error("log filter {filter:?} is not understood; try info, debug or info,server=debug")]
    Filter {
        /// What was given.
        filter: String,
        /// What the parser said.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The OTLP exporter cannot be made.
    #[error("cannot export to {endpoint}; an OTLP endpoint looks like http://collector:4317")]
    Exporter {
        /// What was given.
        endpoint: String,
        /// What the exporter said.
        source: opentelemetry_otlp::ExporterBuildError,
    },
    /// A subscriber was there already.
    #[error("logging was started twice")]
    Twice {
        /// What the registry said.
        source: tracing_subscriber::util::TryInitError,
    },
    /// The metrics page cannot be made.
    #[error("metrics cannot be collected")]
    Metrics {
        /// What the exporter said.
        source: opentelemetry_sdk::error::OTelSdkError,
    },
}

/// Holds the exporters; [`Guard::shutdown`] sends what is left.
#[derive(Debug, Default)]
pub struct Guard {
    traces: Option<SdkTracerProvider>,
    logs: Option<SdkLoggerProvider>,
}

impl Guard {
    /// Sends what is left and stops. It blocks for a few seconds at most.
    pub fn shutdown(self) {
        let traces = self.traces.map(|provider| provider.shutdown());
        let logs = self.logs.map(|provider| provider.shutdown());
        for result in [traces, logs].into_iter().flatten() {
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
    let filter = || {
        EnvFilter::try_new(&settings.filter).map_err(|source| TelemetryError::Filter {
            filter: settings.filter.clone(),
            source,
        })
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    let lines = match settings.log_format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let guard = exporters(settings)?;
    let spans = guard.traces.as_ref().map(|provider| {
        tracing_opentelemetry::layer().with_tracer(provider.tracer(settings.service_name))
    });
    let logs = guard.logs.as_ref().map(OpenTelemetryTracingBridge::new);
    tracing_subscriber::registry()
        .with(lines.with_filter(filter()?))
        .with(spans.with_filter(filter()?))
        .with(logs.with_filter(filter()?))
        .try_init()
        .map_err(|source| TelemetryError::Twice { source })?;
    Ok(guard)
}

fn exporters(settings: &Settings) -> Result<Guard, TelemetryError> {
    let Some(endpoint) = &settings.otlp_endpoint else {
        return Ok(Guard::default());
    };
    let failed = |source| TelemetryError::Exporter {
        endpoint: endpoint.clone(),
        source,
    };
    let resource = Resource::builder()
        .with_service_name(settings.service_name)
        .build();
    let spans = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(failed)?;
    let logs = LogExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(failed)?;
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
    })
}
