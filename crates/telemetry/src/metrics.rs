//! Meters whose readings stand on a page for Prometheus, and go out by OTLP where asked.

use std::fmt;

use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use prometheus::{Registry, TextEncoder};

use crate::error::TelemetryError;
use crate::otlp::Otlp;

/// The process's meters; clones share them. [`Guard::hold`](crate::Guard::hold) sends the last readings at
/// the end; without that call, dropping the last clone sends them and blocks meanwhile.
#[derive(Clone)]
pub struct Meters {
    provider: SdkMeterProvider,
    registry: Registry,
}

impl fmt::Debug for Meters {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Meters").finish_non_exhaustive()
    }
}

impl Meters {
    /// Meters whose names begin with `namespace` on the page. Instruments carry bare names and a
    /// unit; the exporter appends the unit, and `_total` to counters.
    ///
    /// # Errors
    /// When an exporter cannot be made.
    pub fn new(
        service_name: &'static str,
        namespace: &str,
        otlp: Option<&Otlp>,
    ) -> Result<Self, TelemetryError> {
        let registry = Registry::new();
        let page = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .with_namespace(namespace)
            .scope_info_enabled(false)
            .without_target_info()
            .build()
            .map_err(|source| TelemetryError::Metrics { source })?;
        let mut provider = SdkMeterProvider::builder()
            .with_resource(Resource::builder().with_service_name(service_name).build())
            .with_reader(page);
        if let Some(otlp) = otlp {
            let exporter = otlp.set_up(MetricExporter::builder().with_tonic());
            let exporter = exporter.build().map_err(|source| otlp.failed(source))?;
            provider = provider.with_reader(PeriodicReader::builder(exporter).build());
        }
        Ok(Self {
            provider: provider.build(),
            registry,
        })
    }

    pub(crate) fn provider(&self) -> &SdkMeterProvider {
        &self.provider
    }

    /// Makes instruments.
    pub fn meter(&self, name: &'static str) -> Meter {
        self.provider.meter(name)
    }

    /// All readings in Prometheus' text format.
    ///
    /// # Errors
    /// When a reading cannot be written.
    pub fn page(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}
