//! Zeroconf: the server is made known on the local network, as the reference library does it.
//!
//! Home Assistant looks for `_wyoming._tcp.local.` (DNS-SD, RFC 6763) and offers what it finds.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mdns_sd::{DaemonEvent, IfKind, ServiceDaemon, ServiceInfo};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::wyoming_server::Uri;

/// What the reference library announces.
const SERVICE_TYPE: &str = "_wyoming._tcp.local.";
/// Bytes of a DNS label (RFC 1035, 2.3.4). One that is longer would be read as something else.
pub const MAX_NAME_BYTES: usize = 63;
/// For an announcement to go out: probing for the name takes most of a second.
const ANNOUNCE_TIME: Duration = Duration::from_secs(5);
/// For the goodbye, so that no program offers a server that is gone.
const GOODBYE_TIME: Duration = Duration::from_secs(1);

/// How the server is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The instance's name; what people see.
    pub name: String,
    /// The address to announce, when it is not the one that the server listens on: a load balancer's.
    pub address: Option<IpAddr>,
}

/// The addresses of an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Addresses {
    One(IpAddr),
    /// Every IPv4 address of this machine, also later ones.
    AllV4,
    All,
}

/// Where clients are sent: the first TCP address of `uris`, which are bound. The reference announces
/// an unspecified address as it stands; no client can connect to that.
fn target(settings: &Settings, uris: &[Uri]) -> Option<(Addresses, u16)> {
    let bound: SocketAddr = uris.iter().find_map(|uri| match uri {
        Uri::Tcp(address) => address.parse().ok(),
        Uri::Unix(_) | Uri::Stdio => None,
    })?;
    let addresses = match settings.address {
        Some(address) => Addresses::One(address),
        None if !bound.ip().is_unspecified() => Addresses::One(bound.ip()),
        None if bound.is_ipv4() => Addresses::AllV4,
        None => Addresses::All,
    };
    Some((addresses, bound.port()))
}

/// Announces until `stop` is cancelled, then says goodbye. Failing is told in the log and no more:
/// clients that know the address need no announcement.
pub async fn run(settings: Settings, uris: Vec<Uri>, stop: CancellationToken) {
    let Some((addresses, port)) = target(&settings, &uris) else {
        return;
    };
    if let Err(error) = announce(&settings.name, addresses, port, stop).await {
        warn!(%error, "zeroconf: the server is not announced");
    }
}

async fn announce(
    name: &str,
    addresses: Addresses,
    port: u16,
    stop: CancellationToken,
) -> mdns_sd::Result<()> {
    let daemon = ServiceDaemon::new()?;
    let host = format!("{}.local.", host_label());
    let service = |ip: &[IpAddr]| ServiceInfo::new(SERVICE_TYPE, name, &host, ip, port, None);
    let service = match addresses {
        Addresses::One(address) => service(&[address])?,
        Addresses::AllV4 | Addresses::All => {
            // A client elsewhere would be sent to itself.
            daemon.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])?;
            service(&[])?.enable_addr_auto()
        }
    };
    if addresses == Addresses::AllV4 {
        daemon.disable_interface(IfKind::IPv6)?;
    }
    let events = daemon.monitor()?;
    let fullname = service.get_fullname().to_owned();
    daemon.register(service)?;
    let announced = async {
        loop {
            match events.recv_async().await {
                // With the name that it got: one that is taken is numbered.
                Ok(DaemonEvent::Announce(instance, addresses)) => {
                    return Some((instance, addresses));
                }
                Ok(DaemonEvent::Error(error)) => warn!(%error, "zeroconf"),
                Ok(_) => {}
                Err(_daemon_gone) => return None,
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        announced = tokio::time::timeout(ANNOUNCE_TIME, announced) => tell(announced.ok().flatten(), port),
    }
    stop.cancelled().await;
    goodbye(&daemon, &fullname).await
}

/// What became of it; nothing, where no network of this machine holds the address.
fn tell(announced: Option<(String, String)>, port: u16) {
    if let Some((instance, addresses)) = announced {
        info!(%instance, %addresses, port, "zeroconf: announced");
    } else {
        warn!("zeroconf: nothing is announced; no network of this machine holds the address");
    }
}

async fn goodbye(daemon: &ServiceDaemon, fullname: &str) -> mdns_sd::Result<()> {
    let said = daemon.unregister(fullname)?;
    // Without an answer the announcement dies with its time to live.
    tokio::time::timeout(GOODBYE_TIME, said.recv_async())
        .await
        .ok();
    daemon.shutdown()?;
    Ok(())
}

/// The name that an instance has when the user gives none: two machines differ by it.
pub fn default_name() -> String {
    let mut name = format!("wyoming-stt-{}", host_label());
    name.truncate(name.floor_char_boundary(MAX_NAME_BYTES));
    name
}

/// This machine's name, as one label of a domain name.
fn host_label() -> String {
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy();
    let label = name.split('.').next().unwrap_or_default();
    if label.is_empty() {
        "localhost".to_owned()
    } else {
        label.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target_of(address: Option<&str>, uris: &[&str]) -> Option<(Addresses, u16)> {
        let settings = Settings {
            name: "kitchen".to_owned(),
            address: address.map(|address| address.parse().unwrap()),
        };
        let uris: Vec<Uri> = uris.iter().map(|uri| uri.parse().unwrap()).collect();
        target(&settings, &uris)
    }

    #[test]
    fn what_is_announced_can_be_connected_to() {
        let one = |address: &str| Addresses::One(address.parse().unwrap());
        for (address, uris, expected) in [
            (
                None,
                &["tcp://0.0.0.0:10300"][..],
                Some((Addresses::AllV4, 10300)),
            ),
            (None, &["tcp://[::]:10300"], Some((Addresses::All, 10300))),
            (
                None,
                &["unix:///run/stt.sock", "tcp://192.0.2.7:1"],
                Some((one("192.0.2.7"), 1)),
            ),
            (
                Some("192.0.2.9"),
                &["tcp://0.0.0.0:10300"],
                Some((one("192.0.2.9"), 10300)),
            ),
            (Some("192.0.2.9"), &["stdio://"], None),
        ] {
            assert_eq!(target_of(address, uris), expected, "{uris:?}");
        }
    }

    #[test]
    fn a_name_of_this_machine_is_one_label() {
        let label = host_label();
        assert!(!label.is_empty() && !label.contains('.'), "{label}");
        assert!(default_name().starts_with("wyoming-stt-"));
        assert!(default_name().len() <= MAX_NAME_BYTES);
    }
}
