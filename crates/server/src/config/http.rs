//! Settings of the HTTP API.

use std::path::PathBuf;
use std::sync::Arc;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};

use super::ConfigError;
use super::ranges::{MOST_MEBIBYTES, count};
use crate::http::{Address, Keys, Settings};

const MEBIBYTE: usize = 1 << 20;

/// The HTTP API's flags.
#[derive(Clone, Debug, Args)]
pub struct HttpArgs {
    /// Address of the HTTP API, which OpenAI's clients understand, or `off`. Without this setting it is
    /// 127.0.0.1:8080, with --http-keys 0.0.0.0:8080, and a server whose port 8080 is not free, or that serves its standard input only, starts without it.
    #[arg(long, env = "STT_HTTP", value_name = "HOST:PORT|off")]
    pub http: Option<String>,
    /// File with the API keys of the HTTP API: one a line, lines that begin with # are comments. It is read again when
    /// it changes. Without it, each client that reaches the address is served.
    #[arg(long, env = "STT_HTTP_KEYS", value_name = "FILE")]
    pub http_keys: Option<PathBuf>,
    /// Mebibytes of one HTTP request. Four times as much may be in memory for all requests together.
    #[arg(
        long,
        env = "STT_HTTP_MAX_BODY",
        default_value_t = 64,
        value_parser = count(1..=MOST_MEBIBYTES), value_name = "MIB"
    )]
    pub http_max_body: usize,
    /// Origin whose web pages may use the HTTP API, such as https://example.org, or * for all. May be given several
    /// times.
    #[arg(
        long,
        env = "STT_HTTP_CORS",
        value_delimiter = ',',
        value_name = "ORIGIN"
    )]
    pub http_cors: Vec<String>,
    /// Web page at / of the HTTP API: speak or choose a file, and see the words and what the server does. `off` serves
    /// the API alone.
    #[arg(
        long,
        env = "STT_HTTP_PAGE",
        default_value = "on",
        action = ArgAction::Set,
        value_parser = BoolishValueParser::new(),
        value_name = "on|off"
    )]
    pub http_page: bool,
}

impl HttpArgs {
    /// Checks what was typed; `None` when off. `is_a_child`: the server has one client, on its standard input.
    pub(super) fn check(&self, is_a_child: bool) -> Result<Option<Settings>, ConfigError> {
        let Some(address) = self.address(is_a_child)? else {
            return Ok(None);
        };
        let keys = self.http_keys.as_deref().map(Keys::of_file).transpose();
        Ok(Some(Settings {
            address,
            keys: keys
                .map_err(|source| ConfigError::HttpKeys { source })?
                .map(Arc::new),
            max_body: self.http_max_body * MEBIBYTE,
            origins: self.origins()?,
            has_page: self.http_page,
        }))
    }

    /// Where the API listens, for people.
    pub(super) fn shown_address(&self, is_a_child: bool) -> String {
        match self.address(is_a_child) {
            Ok(Some(address)) => address.as_str().to_owned(),
            Ok(None) | Err(_) => "off".to_owned(),
        }
    }

    fn address(&self, is_a_child: bool) -> Result<Option<Address>, ConfigError> {
        let has_keys = self.http_keys.is_some();
        let Some(http) = &self.http else {
            return Ok((has_keys || !is_a_child).then(|| Address::usual(has_keys)));
        };
        if http == "off" {
            return Ok(None);
        }
        let port = http.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        match port {
            Some(Ok(_)) => Ok(Some(Address::Given(http.clone()))),
            _ => Err(ConfigError::Http { http: http.clone() }),
        }
    }

    fn origins(&self) -> Result<Vec<String>, ConfigError> {
        let is_origin = |origin: &str| {
            let host = origin
                .strip_prefix("https://")
                .or_else(|| origin.strip_prefix("http://"));
            let is_host = |host: &str| {
                !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && b != b'/')
            };
            origin == "*" || host.is_some_and(is_host)
        };
        match self.http_cors.iter().find(|origin| !is_origin(origin)) {
            Some(origin) => Err(ConfigError::Origin {
                origin: origin.clone(),
            }),
            None => Ok(self.http_cors.clone()),
        }
    }
}
