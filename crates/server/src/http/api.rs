//! What all requests share.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::guesses::Guesses;
use super::page::Facts;
use super::settings::Settings;
use crate::blocklist::Blocklist;
use crate::wyoming_server::Service;

/// Bodies in memory, all requests together: so many of the longest.
const LONGEST_BODIES: usize = 4;
/// What bodies are counted in.
pub(super) const BODY_UNIT: usize = 1 << 10;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Api {
    pub(super) settings: Settings,
    pub(super) service: Arc<Service>,
    pub(super) blocklist: Arc<Blocklist>,
    /// A permit for each [`BODY_UNIT`] of bodies in memory.
    pub(super) bodies: Arc<Semaphore>,
    /// A permit for each file that is decoded at a time.
    pub(super) decoders: Arc<Semaphore>,
    pub(super) guesses: Mutex<Guesses>,
    /// What the page shows beside what the service knows.
    pub(super) facts: Facts,
    pub(super) began: Instant,
}

/// The client; listeners add it to each request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

impl Api {
    pub(crate) fn new(
        settings: Settings,
        service: Arc<Service>,
        blocklist: Arc<Blocklist>,
        facts: Facts,
    ) -> Self {
        let units = settings.max_body.div_ceil(BODY_UNIT);
        let units = units.saturating_mul(LONGEST_BODIES);
        let decoders = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            bodies: Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))),
            decoders: Arc::new(Semaphore::new(decoders)),
            guesses: Mutex::default(),
            began: Instant::now(),
            settings,
            service,
            blocklist,
            facts,
        }
    }
}
