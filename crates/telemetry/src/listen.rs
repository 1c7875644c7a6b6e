//! Opening a TCP port.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpListener;

/// Listens on `HOST:PORT`; port 0 is any free one. The host `*` is all addresses of the machine, IPv6 and IPv4, or
/// those of IPv4 on a machine without the other: where nobody knows beforehand what kind of network it will be.
///
/// # Errors
/// What the system says, of the last address that was tried.
pub async fn listen(address: &str) -> io::Result<TcpListener> {
    match any_host(address) {
        // A socket of the first takes connections of both, as Linux is set up.
        Some(port) => TcpListener::bind(&every_address(port)[..]).await,
        None => TcpListener::bind(address).await,
    }
}

/// The port, where the host is `*`.
fn any_host(address: &str) -> Option<u16> {
    address.strip_prefix("*:")?.parse().ok()
}

/// In the order in which they are tried.
fn every_address(port: u16) -> [SocketAddr; 2] {
    [
        (Ipv6Addr::UNSPECIFIED, port).into(),
        (Ipv4Addr::UNSPECIFIED, port).into(),
    ]
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use tokio::net::{TcpListener, TcpStream};

    use super::listen;

    #[tokio::test]
    async fn a_star_takes_clients_of_both_kinds() {
        let listener = listen("*:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.is_ok() {
            TcpStream::connect(("::1", port)).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_named_host_is_the_only_one() {
        let listener = listen("127.0.0.1:0").await.unwrap();
        assert!(listener.local_addr().unwrap().ip().is_loopback());
    }

    #[tokio::test]
    async fn what_is_no_address_or_taken_is_an_error() {
        let taken = listen("*:0").await.unwrap().local_addr().unwrap().port();
        let held = listen(&format!("*:{taken}")).await.unwrap();
        for address in ["*", "*:", "*:http", "", &format!("*:{taken}")] {
            assert!(listen(address).await.is_err(), "{address:?}");
        }
        drop(held);
    }
}
