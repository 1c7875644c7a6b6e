//! Hundreds of open streams hold their audio and little else. A process of its own, so that the
//! figure of the system is this test's alone.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::time::Duration;

use audio::{Ingest, PcmFormat};

const STREAMS: usize = 150;
const SECONDS: usize = 10;

/// Bytes of this process that are in memory, from `/proc/self/statm` in pages of 4 KiB.
fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

fn open_stream(rate_hz: usize, channels: u8) -> Ingest {
    let format = PcmFormat::new(u32::try_from(rate_hz).unwrap(), 2, channels).unwrap();
    let mut ingest = Ingest::new(Duration::from_mins(1));
    // 60 ms a chunk, as Home Assistant's satellites send.
    let chunk = vec![3; rate_hz * 6 / 100 * format.frame_bytes()];
    for _ in 0..SECONDS * 100 / 6 {
        ingest.push(format, &chunk).unwrap();
    }
    ingest
}

#[test]
fn open_streams_hold_their_audio_and_a_fifth_at_most() {
    // None is closed before the end: freed memory would be used again and hide what the next takes.
    let mut open = Vec::new();
    for (rate_hz, channels) in [(16_000, 1), (44_100, 2), (48_000, 2)] {
        let before = resident_bytes();
        let streams: Vec<Ingest> = (0..STREAMS)
            .map(|_| open_stream(rate_hz, channels))
            .collect();
        let held = resident_bytes().saturating_sub(before);
        let audio: usize = streams.iter().map(|s| size_of_val(s.samples())).sum();
        let ratio = held as f64 / audio as f64;
        println!("{rate_hz} Hz: {held} bytes for {audio} bytes of audio, ratio {ratio:.3}");
        assert!((0.9..1.2).contains(&ratio), "{rate_hz} Hz: ratio {ratio}");
        open.extend(streams);
    }
    assert_eq!(open.len(), 3 * STREAMS);
}
