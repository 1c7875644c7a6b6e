//! The parts of an answer as spans below its utterance's. Pure.

use telemetry::Stage;
use whisper::Timings;

use super::parts::Times;
use crate::queue::Answered;

/// The wait for the device, the spectrogram, the encoder and the decoder, one behind the other. Each has its own length;
/// while others had the device, or a second window was encoded, they lie a little before the time that they were at.
pub(super) fn stages(times: &Times, answered: &Answered) -> Vec<Stage> {
    let transcript = &answered.transcript;
    let Timings {
        mel,
        encode,
        decode,
    } = transcript.timings;
    let since_queued = times.now - times.queued;
    let computed = mel + encode + decode;
    // Where it began before it was claimed, it is known when it ended.
    let device = if times.ahead {
        let done = (since_queued + answered.early).saturating_sub(answered.took);
        done + computed
    } else {
        since_queued.saturating_sub(answered.waited)
    };
    let tokens = transcript
        .segments
        .iter()
        .map(|segment| segment.tokens.len() as u64);
    let queue = Stage {
        name: "queue",
        began: since_queued,
        took: answered.waited,
        figures: Vec::new(),
    };
    let windows = transcript.segments.len() as u64;
    let mut stages = vec![queue];
    let mut began = device;
    for (name, took, figures) in [
        ("mel", mel, Vec::new()),
        ("encode", encode, Vec::new()),
        (
            "decode",
            decode,
            vec![("tokens", tokens.sum()), ("segments", windows)],
        ),
    ] {
        stages.push(Stage {
            name,
            began,
            took,
            figures,
        });
        began = began.saturating_sub(took);
    }
    stages
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;
    use whisper::{Segment, Transcript};

    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn answered(waited: u64, took: u64, early: u64) -> Answered {
        let segment = Segment {
            tokens: vec![1, 2, 3],
            ..Segment::default()
        };
        Answered {
            transcript: Transcript {
                segments: vec![segment],
                timings: Timings {
                    mel: ms(5),
                    encode: ms(60),
                    decode: ms(25),
                },
                ..Transcript::default()
            },
            waited: ms(waited),
            took: ms(took),
            early: ms(early),
        }
    }

    /// Name, how long ago, how long, in milliseconds.
    fn check(ahead: bool, answered: &Answered, expected: [(&str, u64, u64); 4]) {
        let ended = Instant::now();
        let times = Times {
            ended,
            queued: ended + ms(3),
            now: ended + ms(133),
            ahead,
        };
        let stages = stages(&times, answered);
        let found: Vec<_> = stages
            .iter()
            .map(|stage| (stage.name, stage.began, stage.took))
            .collect();
        assert_eq!(
            found,
            expected.map(|(name, began, took)| (name, ms(began), ms(took)))
        );
        assert_eq!(stages[3].figures[0], ("tokens", 3));
    }

    #[test]
    fn stages_follow_each_other_from_the_queue_on() {
        let expected = [
            ("queue", 130, 20),
            ("mel", 110, 5),
            ("encode", 105, 60),
            ("decode", 45, 25),
        ];
        check(false, &answered(20, 100, 0), expected);
    }

    #[test]
    fn what_was_done_before_it_was_claimed_lies_before() {
        let expected = [
            ("queue", 130, 0),
            ("mel", 620, 5),
            ("encode", 615, 60),
            ("decode", 555, 25),
        ];
        check(true, &answered(0, 0, 400), expected);
        // The rest took 30 ms.
        let expected = [
            ("queue", 130, 0),
            ("mel", 190, 5),
            ("encode", 185, 60),
            ("decode", 125, 25),
        ];
        check(true, &answered(0, 30, 0), expected);
    }
}
