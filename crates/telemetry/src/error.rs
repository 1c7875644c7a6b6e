//! Why telemetry could not start, and errors as one line.

use std::path::PathBuf;

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
    /// The OTLP endpoint is no address that could be exported to.
    #[error(
        "OTLP endpoint {endpoint:?} is not understood; it looks like http://collector:4317 or https://collector:4317"
    )]
    Endpoint {
        /// What was given.
        endpoint: String,
    },
    /// The certificates that an OTLP collector is checked with cannot be read.
    #[error("cannot read the authorities of the OTLP collector from {}: {reason}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
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

/// An error and its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_with_its_causes() {
        let source = "server=loud"
            .parse::<tracing_subscriber::filter::Directive>()
            .unwrap_err();
        let cause = source.to_string();
        let alone = chain(&source);
        assert!(alone.starts_with(&cause), "{alone}");
        let error = TelemetryError::Filter {
            filter: "server=loud".to_owned(),
            source,
        };
        assert_eq!(chain(&error), format!("{error}: {alone}"));
    }
}
