//! What the HTTP door is told.

use std::sync::Arc;

use super::keys::Keys;

/// Port of the API where no other is given.
const PORT: u16 = 8080;

/// Checked settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens.
    pub address: Address,
    /// Keys that clients must have; `None` where they need none.
    pub keys: Option<Arc<Keys>>,
    /// Most bytes of a request's body.
    pub max_body: usize,
    /// Origins whose pages may call the API: `*`, or `https://HOST`.
    pub origins: Vec<String>,
    /// Whether there is a page at `/`.
    pub has_page: bool,
}

/// Where the API listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// As the settings say; a server that cannot listen there does not start.
    Given(String),
    /// Nothing was said. A server that cannot listen there starts without the API, and logs that.
    Usual(String),
}

impl Address {
    /// Where nothing was said: the loopback address, or all addresses where clients need a key.
    pub fn usual(has_keys: bool) -> Self {
        let host = if has_keys { "0.0.0.0" } else { "127.0.0.1" };
        Self::Usual(format!("{host}:{PORT}"))
    }

    /// `HOST:PORT`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Given(address) | Self::Usual(address) => address,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_keys_only_this_machine_is_served() {
        assert_eq!(Address::usual(false).as_str(), "127.0.0.1:8080");
        assert_eq!(Address::usual(true).as_str(), "0.0.0.0:8080");
    }
}
