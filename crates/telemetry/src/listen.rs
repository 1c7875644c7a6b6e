//! Opening a TCP port.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket, lookup_host};

/// Clients that may have connected and not been accepted yet; the system may allow fewer (`net.core.somaxconn`). The
/// usual 128 is less than a fleet's clients that come back at once: those beyond wait a second for another try, and some
/// are reset.
const BACKLOG: u32 = 4096;

/// Listens on `HOST:PORT`; port 0 is any free one. The host `*` is all addresses of the machine: IPv6 and IPv4, or
/// IPv4 alone on a machine that has no IPv6.
///
/// # Errors
/// What the system says, of the last address that was tried.
pub async fn listen(address: &str) -> io::Result<TcpListener> {
    let addresses: Vec<SocketAddr> = match any_host(address) {
        // A socket of the first takes connections of both, as Linux is set up.
        Some(port) => every_address(port).into(),
        None => lookup_host(address).await?.collect(),
    };
    let mut failed = io::Error::new(io::ErrorKind::InvalidInput, "the host has no address");
    for address in addresses {
        match listen_at(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn listen_at(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A server that starts again does not wait for connections of the one before to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
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
    use std::time::Duration;

    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

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
    async fn a_burst_of_clients_waits_to_be_accepted() {
        let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn");
        let most: usize = most.map_or(128, |most| most.trim().parse().unwrap());
        let listener = listen("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut clients = Vec::new();
        for number in 0..most.min(600) {
            let connected = timeout(Duration::from_millis(900), TcpStream::connect(address)).await;
            // The system tries again after a second.
            clients.push(connected.unwrap_or_else(|_| panic!("client {number} waits")));
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
