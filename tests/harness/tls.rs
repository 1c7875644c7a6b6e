//! A door with TLS before a server on a loopback port, and the authority that vouches for it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// The door of HTTP/2, and the file of its authority.
#[derive(Debug)]
pub struct TlsDoor {
    address: SocketAddr,
    authority: PathBuf,
}

impl TlsDoor {
    /// Passes on every connection to `behind`; writes the authority's certificate into `folder`.
    pub async fn before(behind: SocketAddr, folder: &Path) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let own = own.signed_by(&key, &issuer).unwrap();
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], private)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let path = folder.join("authority.pem");
        std::fs::write(&path, issuer.pem()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _peer)) = listener.accept().await {
                tokio::spawn(pass_on(stream, acceptor.clone(), behind));
            }
        });
        Self {
            address,
            authority: path,
        }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The PEM file of the authority.
    pub fn authority(&self) -> &Path {
        &self.authority
    }
}

/// A client that does not trust the certificate goes away.
async fn pass_on(stream: TcpStream, acceptor: TlsAcceptor, behind: SocketAddr) {
    let Ok(mut stream) = acceptor.accept(stream).await else {
        return;
    };
    let mut behind = TcpStream::connect(behind).await.unwrap();
    copy_bidirectional(&mut stream, &mut behind).await.ok();
}
