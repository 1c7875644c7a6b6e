//! When transcription may begin before the audio has ended. Pure: times are since the utterance began.
//!
//! At a pause, but only of a client that [streams](super::streamed).

use std::time::Duration;

use audio::{PauseDetector, SAMPLE_RATE_HZ};

use super::streamed::Streamed;

/// A speaker who pauses at every breath is transcribed at the end.
const MOST_STARTS: u32 = 3;
/// One window of the model. Longer audio is no command, and costs too much to be tried.
const LONGEST_SAMPLES: usize = 30 * SAMPLE_RATE_HZ as usize;

/// Follows one utterance.
#[derive(Debug)]
pub(super) struct PauseRule {
    /// A pause as long as this counts.
    length: Duration,
    detector: PauseDetector,
    starts: u32,
    most_starts: u32,
    streamed: Streamed,
    due: Option<Duration>,
}

impl PauseRule {
    /// For pauses of at least this length; for `each` of them, or for the first three.
    pub(super) fn new(length: Duration, each: bool) -> Self {
        Self {
            length,
            detector: PauseDetector::default(),
            starts: 0,
            most_starts: if each { u32::MAX } else { MOST_STARTS },
            streamed: Streamed::default(),
            due: None,
        }
    }

    /// Number of samples so far.
    pub(super) fn samples(&self) -> usize {
        self.detector.samples()
    }

    /// Takes the next samples, which came at `now`. Whether the pause has ended that went on before.
    pub(super) fn hear(&mut self, samples: &[f32], now: Duration) -> bool {
        self.detector.push(samples);
        let pause = self.detector.pause();
        let has_ended = self.streamed.see(pause, now);
        let worth_a_try = pause.filter(|pause| pause.length >= self.length && self.may_start());
        self.due = worth_a_try.map(|pause| self.streamed.known_at(pause, now));
        has_ended
    }

    fn may_start(&self) -> bool {
        self.starts < self.most_starts && self.samples() <= LONGEST_SAMPLES
    }

    /// Whether half of a pause is over: by its end the device should have nothing to do.
    pub(super) fn is_near(&self) -> bool {
        let pause = self.detector.pause();
        pause.is_some_and(|pause| pause.length >= self.length / 2)
    }

    /// When to begin, if nothing is heard before.
    pub(super) fn due(&self) -> Option<Duration> {
        self.due
    }

    /// It was time; the next is not before more is heard.
    pub(super) fn tried(&mut self) {
        self.due = None;
    }

    /// Transcription has begun.
    pub(super) fn started(&mut self) {
        self.starts += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wyoming_server::streamed::LULL;

    const PAUSE: Duration = Duration::from_millis(300);

    fn milliseconds(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// A voice, or silence.
    fn sound(milliseconds: usize, level: f32) -> Vec<f32> {
        (0..16 * milliseconds)
            .map(|n| if n / 16 % 2 == 0 { level } else { -level })
            .collect()
    }

    fn voice(milliseconds: usize) -> Vec<f32> {
        sound(milliseconds, 0.1)
    }

    fn silence(milliseconds: usize) -> Vec<f32> {
        sound(milliseconds, 0.0)
    }

    /// After a second of voice, silence in chunks of 50 ms, one every so many milliseconds; tells after
    /// how many chunks it is due before the next comes.
    fn due_with_a_chunk_every(interval: u64) -> Option<u64> {
        let mut rule = PauseRule::new(PAUSE, false);
        rule.hear(&voice(1_000), Duration::ZERO);
        (1..=40).find(|&chunk| {
            let now = milliseconds(interval * chunk);
            rule.hear(&silence(50), now);
            rule.due()
                .is_some_and(|due| due < now + milliseconds(interval))
        })
    }

    #[test]
    fn a_stream_is_due_after_the_pause_and_an_upload_never() {
        let due = due_with_a_chunk_every(50).unwrap();
        assert!((6..=8).contains(&due), "{due}");
        // A client that is behind, and one that catches up.
        assert!(due_with_a_chunk_every(200).is_some());
        assert!(due_with_a_chunk_every(30).is_some());
        assert_eq!(due_with_a_chunk_every(10), None);
        assert_eq!(due_with_a_chunk_every(5), None);
        assert_eq!(due_with_a_chunk_every(0), None);
    }

    #[test]
    fn a_whole_pause_in_one_chunk_is_due_once_nothing_follows() {
        let mut rule = PauseRule::new(PAUSE, false);
        rule.hear(&voice(1_000), Duration::ZERO);
        let now = milliseconds(1_000);
        rule.hear(&silence(1_000), now);
        assert_eq!(rule.due(), Some(now + LULL));
        assert!(rule.hear(&voice(100), now));
        assert_eq!(rule.due(), None);
    }

    #[test]
    fn a_pause_is_near_before_it_is_due() {
        let mut rule = PauseRule::new(PAUSE, true);
        rule.hear(&voice(1_000), Duration::ZERO);
        assert!(!rule.is_near());
        rule.hear(&silence(250), milliseconds(250));
        assert!(rule.is_near());
        assert_eq!(rule.due(), None);
    }

    #[test]
    fn a_shorter_pause_is_not_due() {
        let mut rule = PauseRule::new(PAUSE, false);
        rule.hear(&voice(1_000), Duration::ZERO);
        rule.hear(&silence(200), milliseconds(200));
        assert_eq!(rule.due(), None);
    }

    #[test]
    fn a_pause_ends_once() {
        let mut rule = PauseRule::new(PAUSE, false);
        assert!(!rule.hear(&voice(1_000), Duration::ZERO));
        for chunk in 1..=8 {
            assert!(!rule.hear(&silence(50), milliseconds(50 * chunk)));
        }
        assert!(rule.hear(&voice(100), milliseconds(500)));
        assert!(!rule.hear(&voice(100), milliseconds(600)));
    }

    #[test]
    fn it_is_due_again_only_when_more_is_heard() {
        let mut rule = PauseRule::new(PAUSE, false);
        rule.hear(&voice(1_000), Duration::ZERO);
        rule.hear(&silence(400), milliseconds(400));
        assert!(rule.due().is_some());
        rule.tried();
        assert_eq!(rule.due(), None);
        rule.hear(&silence(50), milliseconds(450));
        assert!(rule.due().is_some());
    }

    fn starts_of_five(each: bool) -> Vec<bool> {
        let mut rule = PauseRule::new(PAUSE, each);
        let mut starts = Vec::new();
        for sentence in 0..5_u64 {
            let now = milliseconds(2_000 * sentence);
            rule.hear(&voice(1_000), now);
            rule.hear(&silence(1_000), now + milliseconds(1_000));
            starts.push(rule.due().is_some());
            rule.started();
        }
        starts
    }

    #[test]
    fn an_utterance_has_three_starts_or_one_for_each_pause() {
        assert_eq!(starts_of_five(false), [true, true, true, false, false]);
        assert_eq!(starts_of_five(true), [true; 5]);
    }

    #[test]
    fn audio_beyond_a_window_is_not_tried() {
        let mut rule = PauseRule::new(PAUSE, false);
        rule.hear(&voice(29_000), Duration::ZERO);
        rule.hear(&silence(900), milliseconds(900));
        assert!(rule.due().is_some());
        rule.hear(&silence(200), milliseconds(1_100));
        assert_eq!(rule.due(), None);
    }
}
