//! Where the time of an answer went, as clients see it.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;
use whisper::Transcript;

use crate::queue::Answered;
use crate::wyoming_server::{Parts, Times};

/// <https://www.w3.org/TR/server-timing/>; browsers show it beside the request.
pub(super) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Seconds from the end of the upload to the transcript, by part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
pub(super) struct Timings {
    /// Between decoding the file and the queue.
    prepare: f64,
    /// In the queue.
    wait: f64,
    /// Spectrogram, detector of speech and prompt.
    mel: f64,
    /// In the encoder.
    encode: f64,
    /// In the decoder.
    decode: f64,
    /// On the device, while it encoded and decoded others.
    others: f64,
    /// Between the device and this answer.
    reply: f64,
}

/// A transcript, and where its time went.
#[derive(Debug)]
pub(super) struct TimedTranscript {
    pub(super) transcript: Transcript,
    pub(super) timings: Timings,
}

impl Timings {
    pub(super) fn of(times: &Times, answered: &Answered) -> Self {
        let parts = Parts::of(times, answered);
        let seconds = |part: Duration| (part.as_secs_f64() * 1e6).round() / 1e6;
        Self {
            prepare: seconds(parts.prepare),
            wait: seconds(parts.wait),
            mel: seconds(parts.mel),
            encode: seconds(parts.encode),
            decode: seconds(parts.decode),
            others: seconds(parts.others),
            reply: seconds(parts.reply),
        }
    }

    /// `prepare;dur=0.1, wait;dur=20, …`: milliseconds.
    pub(super) fn header(&self) -> (HeaderName, HeaderValue) {
        let parts = [
            ("prepare", self.prepare),
            ("wait", self.wait),
            ("mel", self.mel),
            ("encode", self.encode),
            ("decode", self.decode),
            ("others", self.others),
            ("reply", self.reply),
        ];
        let parts = parts.map(|(part, seconds)| format!("{part};dur={:.3}", seconds * 1e3));
        let value = HeaderValue::try_from(parts.join(", "));
        let value = value.expect("names and numbers are ASCII");
        (SERVER_TIMING, value)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;
    use whisper::Timings as Device;

    use super::*;

    #[test]
    fn each_part_is_shown_in_seconds_and_in_milliseconds() {
        let ms = Duration::from_millis;
        let ended = Instant::now();
        let times = Times {
            ended,
            queued: ended + ms(1),
            now: ended + ms(200),
            ahead: false,
        };
        let answered = Answered {
            transcript: Transcript {
                timings: Device {
                    mel: ms(5),
                    encode: ms(60),
                    decode: ms(25),
                },
                ..Transcript::default()
            },
            waited: ms(20),
            took: ms(100),
            early: Duration::ZERO,
        };
        let timings = Timings::of(&times, &answered);
        let expected = serde_json::json!({
            "prepare": 0.001, "wait": 0.02, "mel": 0.005, "encode": 0.06, "decode": 0.025, "others": 0.01, "reply": 0.079
        });
        assert_eq!(serde_json::to_value(timings).unwrap(), expected);
        let (_, header) = timings.header();
        assert_eq!(
            header,
            "prepare;dur=1.000, wait;dur=20.000, mel;dur=5.000, encode;dur=60.000, decode;dur=25.000, others;dur=10.000, reply;dur=79.000"
        );
    }
}
