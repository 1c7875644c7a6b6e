//! Where a Home Assistant is: `http://HOST:PORT` or `https://HOST:PORT`, as people see it in their browser.

use std::fmt;
use std::str::FromStr;

use tokio_tungstenite::tungstenite::http::Uri;

/// The websocket, below the address that people use.
const WEBSOCKET: &str = "/api/websocket";

/// The address of a Home Assistant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Whether it is `https`.
    is_secure: bool,
    /// A name or an IP address, without the brackets of IPv6.
    host: String,
    port: u16,
    /// Where a proxy has it below another site: begins with `/` or is empty.
    path: String,
}

/// Text that is no such address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not the address of a Home Assistant, such as http://homeassistant.local:8123; a user, a password or a query cannot be part of it"
)]
pub struct AddressError {
    text: String,
}

impl Address {
    /// Whether TLS is spoken there.
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// A name or an IP address.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// What the websocket's handshake asks for.
    pub(super) fn websocket(&self) -> String {
        let scheme = if self.is_secure { "wss" } else { "ws" };
        format!("{scheme}://{}{}{WEBSOCKET}", self.authority(), self.path)
    }

    fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        parse(text).ok_or_else(|| AddressError {
            text: without_password(text),
        })
    }
}

/// An error must not repeat what stands before an `@`.
fn without_password(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => text.to_owned(),
    }
}

fn parse(text: &str) -> Option<Address> {
    let uri: Uri = text.parse().ok()?;
    let (is_secure, usual_port) = match uri.scheme_str()? {
        "http" | "ws" => (false, 80),
        "https" | "wss" => (true, 443),
        _ => return None,
    };
    let authority = uri.authority()?;
    if authority.as_str().contains('@') || uri.query().is_some() || text.contains('#') {
        return None;
    }
    let host = uri.host().filter(|host| !host.is_empty())?;
    // A port that is no number is no port to this parser.
    let port = match authority.as_str().strip_prefix(host)? {
        "" => usual_port,
        port => port
            .strip_prefix(':')?
            .parse()
            .ok()
            .filter(|port| *port > 0)?,
    };
    let path = uri.path().trim_end_matches('/');
    // People copy the address of the API too.
    let path = path.strip_suffix(WEBSOCKET).unwrap_or(path);
    let path = path.strip_suffix("/api").unwrap_or(path);
    Some(Address {
        is_secure,
        host: host.trim_matches(['[', ']']).to_owned(),
        port,
        path: path.to_owned(),
    })
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "https" } else { "http" };
        write!(formatter, "{scheme}://{}{}", self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, websocket: &str) {
        let address: Address = text.parse().unwrap();
        assert_eq!(address.websocket(), websocket, "{text}");
        assert_eq!(address.to_string().parse(), Ok(address), "{text}");
    }

    #[test]
    fn the_websocket_is_below_the_address_that_people_use() {
        check(
            "http://homeassistant.local:8123",
            "ws://homeassistant.local:8123/api/websocket",
        );
        check(
            "https://home.example/",
            "wss://home.example:443/api/websocket",
        );
        check("http://192.0.2.7/", "ws://192.0.2.7:80/api/websocket");
        check(
            "http://[2001:db8::7]:8123",
            "ws://[2001:db8::7]:8123/api/websocket",
        );
        check(
            "http://supervisor/core",
            "ws://supervisor:80/core/api/websocket",
        );
        check("http://hass:8123/api", "ws://hass:8123/api/websocket");
        check("wss://hass/api/websocket", "wss://hass:443/api/websocket");
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_password() {
        for text in [
            "",
            "homeassistant.local:8123",
            "ftp://hass",
            "http://",
            "http://hass:0",
            "http://hass:none",
            "http://hass:99999",
            "http://hass/?token=abc",
            "http://hass/#abc",
            "http://user:hunter2@hass:8123",
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
