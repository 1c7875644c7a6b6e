//! Names of a Home Assistant, over its websocket: read once, and again whenever its registries change.
//!
//! What is asked for is named in [`fetch`]; nothing is changed there. While a Home Assistant cannot be asked, the last
//! names stay, and it is asked again with growing pauses.

mod address;
mod client;
mod connect;
mod error;
mod fetch;
mod home;
mod message;
mod pauses;
mod tls;
mod token;

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use telemetry::chain;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, info, warn};

pub use address::{Address, AddressError};
pub use error::HomeAssistantError;

use self::client::Client;
use self::pauses::Pauses;
use super::{Origin, Registry};

/// Events come in bursts: names are read when there was none for so long.
const QUIET: Duration = Duration::from_secs(1);
/// But not later than this after the first.
const LONGEST_BURST: Duration = Duration::from_secs(10);
/// What no event tells, names of entities that are in no registry, is found out so often.
const REFRESH: Duration = Duration::from_mins(10);
/// A connection that was of use for so long begins with short pauses again.
const LASTING: Duration = Duration::from_mins(1);
/// How often the token's file is looked at, while its token is refused.
const LOOK: Duration = Duration::from_secs(5);

/// Where a Home Assistant is, and how to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    address: Address,
    token_file: PathBuf,
    authorities: Option<PathBuf>,
}

impl Settings {
    /// Checks that the files can be used. They are read again at each connection.
    ///
    /// # Errors
    /// [`HomeAssistantError`], about a file.
    pub fn check(
        address: Address,
        token_file: PathBuf,
        authorities: Option<PathBuf>,
    ) -> Result<Self, HomeAssistantError> {
        token::read(&token_file)?;
        if let Some(path) = &authorities {
            tls::client(Some(path))?;
        }
        Ok(Self {
            address,
            token_file,
            authorities,
        })
    }
}

/// Reads names for ever, and puts them into the registry when they change.
pub(super) async fn follow(settings: Settings, registry: &Registry) {
    let mut pauses = Pauses::new();
    let mut complaints = Complaints::default();
    loop {
        let begun = Instant::now();
        let mut has_read = false;
        let read = || {
            complaints.end();
            has_read = true;
        };
        let Err(error) = session(&settings, registry, read).await;
        if has_read && begun.elapsed() > LASTING {
            pauses.reset();
        }
        let is_refused = matches!(error, HomeAssistantError::Refused { .. });
        let pause = if is_refused {
            pauses.after_refusal()
        } else {
            pauses.next()
        };
        complaints.about(&error, has_read, pause);
        if is_refused {
            token::changed(&settings.token_file, LOOK, sleep(pause)).await;
        } else {
            sleep(pause).await;
        }
    }
}

/// What is wrong goes into the log once for each reason, not at each try.
#[derive(Debug, Default)]
struct Complaints {
    last: Option<String>,
}

impl Complaints {
    fn about(&mut self, error: &HomeAssistantError, has_read: bool, pause: Duration) {
        let pause_s = pause.as_secs_f64();
        let is_loss = matches!(
            error,
            HomeAssistantError::Ended { .. } | HomeAssistantError::Slow { .. }
        );
        let reason = chain(error);
        let error = reason.as_str();
        // A connection that ends after it worked is often back at once.
        if has_read && is_loss {
            info!(
                error,
                pause_s, "the connection to Home Assistant ended, and is made again"
            );
        } else if self.last.as_deref() == Some(error) {
            debug!(error, pause_s, "no names of Home Assistant, again");
        } else {
            warn!(
                error,
                pause_s,
                "no names of Home Assistant; the names that were read last stay in use, and it is asked again"
            );
            self.last = Some(reason);
        }
    }

    fn end(&mut self) {
        if self.last.take().is_some() {
            info!("Home Assistant gives names again");
        }
    }
}

/// One connection, from its beginning to its end. `read` is called each time that names were read.
async fn session(
    settings: &Settings,
    registry: &Registry,
    mut read: impl FnMut(),
) -> Result<Infallible, HomeAssistantError> {
    let token = token::read_in_background(&settings.token_file).await?;
    let stream = connect::open(&settings.address, settings.authorities.as_deref()).await?;
    let mut client = Client::open(&settings.address, stream).await?;
    client.authenticate(&token).await?;
    // Before the names are read, so that no change is missed.
    fetch::subscribe(&mut client).await?;
    loop {
        let home = fetch::home(&mut client).await?;
        registry.put(Origin::HomeAssistant, &home.names());
        read();
        until_changed(&mut client).await?;
    }
}

/// Waits for the end of a burst of events, or for the time to read without any.
async fn until_changed<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
) -> Result<(), HomeAssistantError> {
    match timeout(REFRESH, client.event()).await {
        Err(_elapsed) => return Ok(()),
        Ok(event) => event?,
    }
    let latest = Instant::now() + LONGEST_BURST;
    loop {
        let quiet = (Instant::now() + QUIET).min(latest);
        match timeout_at(quiet, client.event()).await {
            Err(_elapsed) => return Ok(()),
            Ok(event) => event?,
        }
        if Instant::now() >= latest {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
