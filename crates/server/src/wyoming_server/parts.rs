//! Where the time from the end of audio to the words goes. Pure: every millisecond is in one part.

use std::time::Duration;

use tokio::time::Instant;

use crate::queue::Answered;

/// When an answer came how far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// The end of audio came.
    pub(crate) ended: Instant,
    /// The queue had the utterance.
    pub(crate) queued: Instant,
    /// The words are to be written.
    pub(crate) now: Instant,
    /// Transcription began before the audio had ended.
    pub(crate) ahead: bool,
}

/// Parts of an answer. One whose transcription began before the audio had ended has `ahead` in the place of
/// the four of the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    /// The last of the samples, the spectrogram and the request's names.
    pub(crate) prepare: Duration,
    /// In the queue, and until the device had made room.
    pub(crate) wait: Duration,
    /// Spectrograms that had not been computed before, the detector of speech, and the prompt.
    pub(crate) mel: Duration,
    /// In the encoder.
    pub(crate) encode: Duration,
    /// In the decoder.
    pub(crate) decode: Duration,
    /// On the device, while it encoded and decoded others.
    pub(crate) others: Duration,
    /// The rest of what the device had begun before.
    pub(crate) ahead: Duration,
    /// Until the words of those before it were written, and the connection came to it.
    pub(crate) reply: Duration,
}

impl Parts {
    /// Those of one answer.
    pub(crate) fn of(times: &Times, answered: &Answered) -> Self {
        let mut left = times.now - times.ended;
        // A clock that is read at two places must not make more of the whole.
        let mut take = |part: Duration| {
            let part = part.min(left);
            left -= part;
            part
        };
        let prepare = take(times.queued - times.ended);
        let wait = take(answered.waited);
        let took = take(answered.took);
        let reply = left;
        let mut parts = Self {
            prepare,
            wait,
            reply,
            ..Self::default()
        };
        if times.ahead {
            parts.ahead = took;
            return parts;
        }
        let timings = answered.transcript.timings;
        let mut left = took;
        for (part, time) in [
            (&mut parts.mel, timings.mel),
            (&mut parts.encode, timings.encode),
            (&mut parts.decode, timings.decode),
        ] {
            *part = time.min(left);
            left -= *part;
        }
        parts.others = left;
        parts
    }

    /// From the end of audio to the words.
    pub(crate) fn sum(&self) -> Duration {
        let mut sum = Duration::ZERO;
        self.each(|_, time| sum += time);
        sum
    }

    /// Calls with the name and the length of each.
    pub(crate) fn each(&self, mut call: impl FnMut(&'static str, Duration)) {
        for (part, time) in [
            ("prepare", self.prepare),
            ("wait", self.wait),
            ("mel", self.mel),
            ("encode", self.encode),
            ("decode", self.decode),
            ("others", self.others),
            ("ahead", self.ahead),
            ("reply", self.reply),
        ] {
            call(part, time);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use whisper::{Timings, Transcript};

    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn answered([waited, took, mel, encode, decode]: [u64; 5]) -> Answered {
        Answered {
            transcript: Transcript {
                timings: Timings {
                    mel: ms(mel),
                    encode: ms(encode),
                    decode: ms(decode),
                },
                ..Transcript::default()
            },
            waited: ms(waited),
            took: ms(took),
            early: Duration::ZERO,
        }
    }

    fn times(queued: u64, now: u64, ahead: bool) -> Times {
        let ended = Instant::now();
        Times {
            ended,
            queued: ended + ms(queued),
            now: ended + ms(now),
            ahead,
        }
    }

    #[test]
    fn each_part_has_its_time() {
        let answered = answered([20, 100, 5, 60, 25]);
        let parts = Parts::of(&times(3, 130, false), &answered);
        let expected = Parts {
            prepare: ms(3),
            wait: ms(20),
            mel: ms(5),
            encode: ms(60),
            decode: ms(25),
            others: ms(10),
            ahead: ms(0),
            reply: ms(7),
        };
        assert_eq!(parts, expected);
    }

    #[test]
    fn of_what_began_ahead_only_the_rest_counts() {
        let answered = answered([0, 30, 5, 60, 25]);
        let parts = Parts::of(&times(1, 40, true), &answered);
        let expected = Parts {
            prepare: ms(1),
            ahead: ms(30),
            reply: ms(9),
            ..Parts::default()
        };
        assert_eq!(parts, expected);
    }

    proptest! {
        #[test]
        fn the_parts_are_the_whole(
            queued in 0_u64..100,
            more in 0_u64..1_000,
            spent in proptest::array::uniform5(0_u64..400),
            ahead in any::<bool>(),
        ) {
            let parts = Parts::of(&times(queued, queued + more, ahead), &answered(spent));
            prop_assert_eq!(parts.sum(), ms(queued + more));
        }
    }
}
