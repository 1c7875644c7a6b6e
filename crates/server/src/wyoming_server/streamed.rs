//! Whether a silence was listened to, or came in a file. Pure: times are since the utterance began.
//!
//! A client that uploads sends its last words and the end of audio at once, and silence in its middle faster than it was
//! spoken. Of one that streams, a silence comes in about its own time, and then nothing comes for a moment.

use std::time::Duration;

use audio::Pause;

/// Nothing comes for so long: a client that has more at hand would have sent it.
pub(super) const LULL: Duration = Duration::from_millis(5);
/// A silence comes in at least this part of its length; clients send in bursts.
const STREAMED: f64 = 0.5;

/// Follows the silence that goes on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Streamed {
    /// As it was when it was first seen.
    first: Option<Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    pause: Pause,
    at: Duration,
}

impl Streamed {
    /// Takes the silence as it is `now`. Whether the one before has ended: one that began elsewhere is another.
    pub(super) fn see(&mut self, pause: Option<Pause>, now: Duration) -> bool {
        let start = |seen: Seen| seen.pause.start;
        let seen = pause.map(|pause| Seen { pause, at: now });
        let has_ended = self.first.is_some() && self.first.map(start) != seen.map(start);
        if has_ended || self.first.is_none() {
            self.first = seen;
        }
        has_ended
    }

    /// When the silence that goes on, which is `pause` at `now`, is known to have been streamed, if nothing comes before.
    pub(super) fn known_at(&self, pause: Pause, now: Duration) -> Duration {
        let first = self.first.unwrap_or(Seen { pause, at: now });
        let grown = pause.length.saturating_sub(first.pause.length);
        (first.at + grown.mul_f64(STREAMED)).max(now + LULL)
    }
}
