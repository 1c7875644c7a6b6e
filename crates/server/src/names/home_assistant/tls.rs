//! TLS towards a Home Assistant: the roots that the system trusts, or the authority that was given.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::error::HomeAssistantError;

/// How certificates are judged.
///
/// # Errors
/// A file of authorities that cannot be used, or a system without any.
pub(super) fn client(authorities: Option<&Path>) -> Result<Arc<ClientConfig>, HomeAssistantError> {
    let tls = |source| HomeAssistantError::Tls { source };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(tls)?;
    let config = match authorities {
        None => builder.with_root_certificates(roots_of_system()?),
        Some(path) => {
            let given = read(path)?;
            let verifier = Given::new(given, provider)?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    Ok(Arc::new(config.with_no_client_auth()))
}

fn roots_of_system() -> Result<RootCertStore, HomeAssistantError> {
    let mut roots = RootCertStore::empty();
    // Some files of a system are often unusable; what matters is whether anything is left.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(HomeAssistantError::NoRoots);
    }
    Ok(roots)
}

/// The certificates of a file.
pub(super) fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, HomeAssistantError> {
    let failed = |source| HomeAssistantError::AuthorityFile {
        path: PathBuf::from(path),
        source,
    };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(failed)?
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    if certificates.is_empty() {
        return Err(HomeAssistantError::NoAuthority {
            path: PathBuf::from(path),
        });
    }
    Ok(certificates)
}

/// Trusts what the given certificates have signed, and these certificates themselves: people often make one
/// self-signed certificate for their Home Assistant, which as an authority could not be a server's certificate too. One
/// that is given as it stands needs no fitting name: no other server has its key.
#[derive(Debug)]
struct Given {
    certificates: Vec<CertificateDer<'static>>,
    authorities: Arc<WebPkiServerVerifier>,
}

impl Given {
    fn new(
        certificates: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, HomeAssistantError> {
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots
                .add(certificate.clone())
                .map_err(|source| HomeAssistantError::Authority { source })?;
        }
        let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| HomeAssistantError::Tls {
                source: rustls::Error::General(error.to_string()),
            })?;
        Ok(Self {
            certificates,
            authorities,
        })
    }
}

impl ServerCertVerifier for Given {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.certificates.iter().any(|given| given == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        self.authorities.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}
