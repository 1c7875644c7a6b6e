//! TCP, and TLS where the address says so.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::address::Address;
use super::error::HomeAssistantError;
use super::tls;

/// A network that drops packets must not look like one that works.
const CONNECT: Duration = Duration::from_secs(10);

/// Bytes to and from a Home Assistant.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Connects. `authorities`: a file with those who may have signed the certificate; the system's without one.
pub(super) async fn open(
    address: &Address,
    authorities: Option<&Path>,
) -> Result<Box<dyn Stream>, HomeAssistantError> {
    let tcp = within(address, "a TCP connection", tcp(address)).await?;
    if !address.is_secure() {
        return Ok(Box::new(tcp));
    }
    within(
        address,
        "the handshake of TLS",
        secured(address, authorities, tcp),
    )
    .await
}

async fn within<T>(
    address: &Address,
    command: &'static str,
    step: impl Future<Output = Result<T, HomeAssistantError>>,
) -> Result<T, HomeAssistantError> {
    timeout(CONNECT, step).await.unwrap_or_else(|_elapsed| {
        Err(HomeAssistantError::Slow {
            address: address.clone(),
            command,
            within: CONNECT,
        })
    })
}

async fn tcp(address: &Address) -> Result<TcpStream, HomeAssistantError> {
    TcpStream::connect((address.host(), address.port()))
        .await
        .map_err(|source| HomeAssistantError::Unreachable {
            address: address.clone(),
            source,
        })
}

async fn secured(
    address: &Address,
    authorities: Option<&Path>,
    tcp: TcpStream,
) -> Result<Box<dyn Stream>, HomeAssistantError> {
    let host = address.host().to_owned();
    let name = ServerName::try_from(host.clone()).map_err(|_| HomeAssistantError::Host { host })?;
    let authorities = authorities.map(PathBuf::from);
    // It reads files.
    let client = tokio::task::spawn_blocking(move || tls::client(authorities.as_deref()));
    let client = client.await.map_err(|error| HomeAssistantError::Tls {
        source: rustls::Error::General(error.to_string()),
    })??;
    let stream = TlsConnector::from(client).connect(name, tcp).await;
    let stream = stream.map_err(|source| HomeAssistantError::Untrusted {
        address: address.clone(),
        source,
    })?;
    Ok(Box::new(stream))
}
