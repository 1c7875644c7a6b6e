//! How many wrong keys an address may send. Pure.
//!
//! A key that comes again is no further guess: a client whose key was taken away goes on with it, and many clients may have
//! one address, behind a gateway.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Wrong keys at once.
const BURST: u32 = 10;
/// After this time one more is allowed.
const EACH: Duration = Duration::from_secs(6);
/// Addresses that are kept; each has sent a wrong key within the last minute.
const MOST_ADDRESSES: usize = 4_096;
/// Wrong keys that are known again, of all addresses together.
const MOST_KNOWN: usize = 256;

/// Wrong keys of the last minute, by address. Times are since any beginning.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    /// When the last of its wrong keys will be forgotten.
    free_at: HashMap<IpAddr, Duration>,
    /// The last wrong keys, as hashes for which no client can find another key, with their addresses.
    known: VecDeque<(IpAddr, u64)>,
    hasher: RandomState,
}

impl Guesses {
    /// Whether an address may try a key now.
    ///
    /// # Errors
    /// How long it has to wait.
    pub(super) fn may_try(&self, address: IpAddr, now: Duration) -> Result<(), Duration> {
        let allowed = now + EACH * (BURST - 1);
        let free_at = self.free_at.get(&network(address)).copied();
        match free_at.unwrap_or_default().saturating_sub(allowed) {
            Duration::ZERO => Ok(()),
            wait => Err(wait),
        }
    }

    /// An address has sent a wrong key.
    pub(super) fn was_wrong(&mut self, address: IpAddr, key: &[u8], now: Duration) {
        let sent = (network(address), self.hasher.hash_one(key));
        if self.known.contains(&sent) {
            return;
        }
        self.known.truncate(MOST_KNOWN - 1);
        self.known.push_front(sent);
        if self.free_at.len() >= MOST_ADDRESSES {
            self.free_at.retain(|_, free_at| *free_at > now);
        }
        if self.free_at.len() >= MOST_ADDRESSES {
            let oldest = self.free_at.iter().min_by_key(|(_, free_at)| **free_at);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.free_at.remove(&oldest);
            }
        }
        let free_at = self.free_at.entry(network(address)).or_insert(now);
        *free_at = (*free_at).max(now) + EACH;
    }
}

/// One machine may have every address of an IPv6 network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        IpAddr::V4(address) => address.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn ten_wrong_keys_are_allowed_and_then_one_in_six_seconds() {
        let mut guesses = Guesses::default();
        let (one, other) = ([1, 2, 3, 4].into(), [1, 2, 3, 5].into());
        let mut tried = 0_u8;
        for second in 0..60 {
            while guesses.may_try(one, s(second)).is_ok() {
                guesses.was_wrong(one, &[tried], s(second));
                tried += 1;
            }
        }
        assert_eq!(tried, 10 + 9);
        assert!(guesses.may_try(one, s(59)).unwrap_err() <= EACH);
        assert_eq!(guesses.may_try(other, s(59)), Ok(()));
        assert_eq!(guesses.may_try(one, s(200)), Ok(()));
    }

    /// Of many clients behind a gateway, one has a key that was taken away, and tries it again and again.
    #[test]
    fn a_key_that_comes_again_is_no_further_guess() {
        let mut guesses = Guesses::default();
        let gateway = [10, 0, 0, 1].into();
        for second in 0..100 {
            guesses.was_wrong(gateway, b"of last year", s(second));
            assert_eq!(guesses.may_try(gateway, s(second)), Ok(()));
        }
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_machine() {
        let mut guesses = Guesses::default();
        for last in 0..10 {
            let address = Ipv6Addr::new(1, 2, 3, 4, 0, 0, 0, last);
            guesses.was_wrong(address.into(), &last.to_le_bytes(), s(0));
        }
        assert!(
            guesses
                .may_try(Ipv6Addr::new(1, 2, 3, 4, 9, 9, 9, 9).into(), s(0))
                .is_err()
        );
        assert!(
            guesses
                .may_try(Ipv6Addr::new(1, 2, 3, 5, 9, 9, 9, 9).into(), s(0))
                .is_ok()
        );
    }

    #[test]
    fn addresses_are_bounded() {
        let mut guesses = Guesses::default();
        for address in 0..10_000_u32 {
            let key = address.to_le_bytes();
            guesses.was_wrong(std::net::Ipv4Addr::from_bits(address).into(), &key, s(0));
        }
        assert!(guesses.free_at.len() <= MOST_ADDRESSES);
        let newest = std::net::Ipv4Addr::from_bits(9_999).into();
        assert!(guesses.free_at.contains_key(&newest));
        assert_eq!(guesses.known.len(), MOST_KNOWN);
    }
}
