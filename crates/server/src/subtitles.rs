//! Transcripts as subtitles. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use whisper::Transcript;

/// SubRip: numbered, with a comma before the milliseconds.
pub fn srt(transcript: &Transcript) -> String {
    let mut text = String::new();
    for (number, segment) in (1..).zip(&transcript.segments) {
        let (start, end) = (time(segment.start_s, ','), time(segment.end_s, ','));
        // Writing to a String cannot fail.
        writeln!(
            text,
            "{number}\n{start} --> {end}\n{}\n",
            segment.text.trim()
        )
        .ok();
    }
    text
}

/// WebVTT, for browsers.
pub fn vtt(transcript: &Transcript) -> String {
    let mut text = "WEBVTT\n\n".to_owned();
    for segment in &transcript.segments {
        let (start, end) = (time(segment.start_s, '.'), time(segment.end_s, '.'));
        // Writing to a String cannot fail.
        writeln!(text, "{start} --> {end}\n{}\n", segment.text.trim()).ok();
    }
    text
}

/// `01:02:03,450`; the mark before the milliseconds is the only difference between the formats.
fn time(seconds: f64, mark: char) -> String {
    let time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let whole = time.as_secs();
    format!(
        "{:02}:{:02}:{:02}{mark}{:03}",
        whole / 3_600,
        whole / 60 % 60,
        whole % 60,
        time.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use whisper::Segment;

    use super::*;

    fn transcript() -> Transcript {
        let segment = |start_s, end_s, text: &str| Segment {
            start_s,
            end_s,
            text: text.to_owned(),
            ..Segment::default()
        };
        Transcript {
            segments: vec![
                segment(0.0, 1.5, " One."),
                segment(3_661.25, 3_662.0, " Two."),
            ],
            ..Transcript::default()
        }
    }

    #[test]
    fn subtitles_have_their_formats_times() {
        assert_eq!(
            srt(&transcript()),
            "1\n00:00:00,000 --> 00:00:01,500\nOne.\n\n2\n01:01:01,250 --> 01:01:02,000\nTwo.\n\n"
        );
        assert_eq!(
            vtt(&transcript()),
            "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nOne.\n\n01:01:01.250 --> 01:01:02.000\nTwo.\n\n"
        );
    }
}
