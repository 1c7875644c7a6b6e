//! Where telemetry goes by OTLP.

use std::path::{Path, PathBuf};

use axum::http::Uri;
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use opentelemetry_otlp::{ExporterBuildError, WithExportConfig, WithTonicConfig};

use crate::error::TelemetryError;

/// A collector, which is spoken to by gRPC. Headers, such as a key, are those of `OTEL_EXPORTER_OTLP_HEADERS`.
#[derive(Clone, Debug)]
pub struct Otlp {
    endpoint: String,
    /// For an `https` endpoint.
    tls: Option<ClientTlsConfig>,
}

impl Otlp {
    /// Of `http://HOST:PORT`, or `https://HOST:PORT` whose certificate the authorities of the system vouch for, or those of
    /// the PEM file `ca`.
    ///
    /// # Errors
    /// [`TelemetryError::Endpoint`] and [`TelemetryError::Authority`].
    pub fn new(endpoint: &str, ca: Option<&Path>) -> Result<Self, TelemetryError> {
        let uri = endpoint.parse::<Uri>().unwrap_or_default();
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        let tls = match (uri.scheme_str(), ca) {
            (Some("http"), _) if has_host => None,
            (Some("https"), ca) if has_host => Some(tls(ca)?),
            _ => {
                return Err(TelemetryError::Endpoint {
                    endpoint: endpoint.to_owned(),
                });
            }
        };
        Ok(Self {
            endpoint: endpoint.to_owned(),
            tls,
        })
    }

    /// An exporter's builder that sends there.
    pub(crate) fn set_up<B: WithExportConfig + WithTonicConfig>(&self, builder: B) -> B {
        let builder = builder.with_endpoint(&self.endpoint);
        match &self.tls {
            Some(tls) => builder.with_tls_config(tls.clone()),
            None => builder,
        }
    }

    pub(crate) fn failed(&self, source: ExporterBuildError) -> TelemetryError {
        TelemetryError::Exporter {
            endpoint: self.endpoint.clone(),
            source,
        }
    }
}

fn tls(ca: Option<&Path>) -> Result<ClientTlsConfig, TelemetryError> {
    let Some(path) = ca else {
        return Ok(ClientTlsConfig::new().with_enabled_roots());
    };
    let failed = |reason: String| TelemetryError::Authority {
        path: PathBuf::from(path),
        reason,
    };
    let pem = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    // The exporter would find out when it connects, and go on without a word.
    if !pem.contains("-----BEGIN CERTIFICATE-----") {
        return Err(failed("it has no certificate in PEM".to_owned()));
    }
    Ok(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_that_cannot_be_is_named() {
        for endpoint in [
            "",
            "not a url",
            "http://",
            "collector:4317",
            "ftp://collector",
        ] {
            let refused = Otlp::new(endpoint, None).unwrap_err().to_string();
            let start = format!("OTLP endpoint {endpoint:?} is not understood");
            assert!(refused.starts_with(&start), "{refused}");
        }
        for endpoint in ["http://127.0.0.1:4317", "https://collector:4317"] {
            Otlp::new(endpoint, None).unwrap();
        }
    }

    #[test]
    fn a_file_without_a_certificate_is_named() {
        for path in ["/nowhere/ca.pem", file!()] {
            let refused = Otlp::new("https://collector:4317", Some(Path::new(path)));
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains(path), "{refused}");
        }
        Otlp::new("http://collector:4317", Some(Path::new("/nowhere/ca.pem"))).unwrap();
    }
}
