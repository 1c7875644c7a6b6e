//! When the server ends an utterance by itself. Pure: times are since the utterance began.
//!
//! Only of a client that [streams](super::streamed): a recording that is uploaded is heard to its end, whatever pauses it
//! has.

use std::time::Duration;

use audio::{EndOfSpeech, Pause};

use super::streamed::{LULL, Streamed};

/// There was no speech by then, and none is expected any more.
const WAIT_FOR_SPEECH: Duration = Duration::from_secs(10);
/// One window of the model. Longer audio is no command: it may be a television, which never pauses.
const LONGEST: Duration = Duration::from_secs(30);

/// Follows one utterance.
#[derive(Debug)]
pub(super) struct EndpointRule {
    /// Silence behind speech as long as this ends it.
    after: Duration,
    detector: EndOfSpeech,
    streamed: Streamed,
    due: Option<(Duration, Endpoint)>,
}

/// Why an utterance has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// There was speech, and then silence.
    Silence,
    /// There was no speech.
    NoSpeech,
    /// It has the greatest length.
    Length,
}

impl Endpoint {
    /// As the log and the metric call it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Silence => "silence",
            Self::NoSpeech => "no_speech",
            Self::Length => "length",
        }
    }
}

impl EndpointRule {
    /// Silence of length `after` ends an utterance; what reaches `threshold` is speech.
    pub(super) fn new(after: Duration, threshold: f32) -> Self {
        Self {
            after,
            detector: EndOfSpeech::new(threshold),
            streamed: Streamed::default(),
            due: None,
        }
    }

    /// Number of samples so far.
    pub(super) fn samples(&self) -> usize {
        self.detector.samples()
    }

    /// Takes the next samples, which came at `now`.
    pub(super) fn hear(&mut self, samples: &[f32], now: Duration) {
        self.detector.push(samples);
        let silence = self.detector.silence();
        self.streamed.see(silence, now);
        self.due = self.endpoint(silence).map(|endpoint| {
            let known_at = |silence| self.streamed.known_at(silence, now);
            (silence.map_or(now + LULL, known_at), endpoint)
        });
    }

    fn endpoint(&self, silence: Option<Pause>) -> Option<Endpoint> {
        let audio = audio::duration_of(self.samples());
        if silence.is_some_and(|silence| silence.length >= self.after) {
            Some(Endpoint::Silence)
        } else if !self.detector.has_begun() && audio >= WAIT_FOR_SPEECH {
            Some(Endpoint::NoSpeech)
        } else {
            (audio >= LONGEST).then_some(Endpoint::Length)
        }
    }

    /// When to end the utterance and why, if nothing is heard before.
    pub(super) fn due(&self) -> Option<(Duration, Endpoint)> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_millis(600);
    const CHUNK: Duration = Duration::from_millis(50);

    fn sound(length: Duration, level: f32) -> Vec<f32> {
        let samples = 16 * length.as_millis() as usize;
        (0..samples)
            .map(|n| if n / 16 % 2 == 0 { level } else { -level })
            .collect()
    }

    /// With a threshold of 0 every sound is speech, and its end is told by its level.
    fn rule(threshold: f32) -> EndpointRule {
        EndpointRule::new(AFTER, threshold)
    }

    /// After a second of voice, silence in chunks that come every `interval`: after how much of it an end is due before
    /// the next chunk comes.
    fn ended_after(interval: Duration) -> Option<Duration> {
        let mut rule = rule(0.0);
        rule.hear(&sound(Duration::from_secs(1), 0.1), Duration::ZERO);
        assert_eq!(rule.due(), None);
        (1..=60).map(|chunk| CHUNK * chunk).find(|&silence| {
            let now = interval.mul_f64(silence.as_secs_f64() / CHUNK.as_secs_f64());
            rule.hear(&sound(CHUNK, 0.0), now);
            let due = rule.due().filter(|(due, _)| *due < now + interval);
            due.inspect(|(_, endpoint)| assert_eq!(*endpoint, Endpoint::Silence))
                .is_some()
        })
    }

    #[test]
    fn silence_behind_speech_ends_what_is_streamed_and_not_what_is_uploaded() {
        let after = ended_after(CHUNK).unwrap();
        assert!((AFTER..AFTER + 3 * CHUNK).contains(&after), "{after:?}");
        assert!(ended_after(CHUNK * 4).is_some());
        assert_eq!(ended_after(CHUNK / 10), None);
        assert_eq!(ended_after(Duration::ZERO), None);
    }

    #[test]
    fn speech_that_goes_on_is_no_end() {
        let mut rule = rule(0.0);
        for second in 0..20 {
            let now = Duration::from_secs(second);
            rule.hear(&sound(Duration::from_millis(700), 0.1), now);
            rule.hear(&sound(Duration::from_millis(300), 0.0), now);
            assert_eq!(rule.due(), None);
        }
    }

    #[test]
    fn nobody_is_waited_for_longer_than_ten_seconds() {
        let mut rule = rule(0.8);
        for second in 1..=10 {
            let now = Duration::from_secs(second);
            rule.hear(&sound(Duration::from_secs(1), 0.0), now);
            let due = (second == 10).then_some((now + LULL, Endpoint::NoSpeech));
            assert_eq!(rule.due(), due);
        }
    }

    #[test]
    fn a_voice_that_never_pauses_ends_with_the_window() {
        let mut rule = rule(0.0);
        for second in 1..=30 {
            let now = Duration::from_secs(second);
            rule.hear(&sound(Duration::from_secs(1), 0.1), now);
            let due = (second == 30).then_some((now + LULL, Endpoint::Length));
            assert_eq!(rule.due(), due);
        }
    }
}
