//! What each fuzz target does with its bytes: plain functions that panic when a promise is broken.
//!
//! `fuzz/` runs them under libFuzzer on nightly; the suite replays `fuzz/corpus` on stable.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each target uses one body, and a body's panic is its finding"
)]

use std::io::Cursor;
use std::time::Duration;

use audio::{Ingest, PcmFormat, Waveform};
use bytes::BytesMut;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tokio_util::codec::{Decoder, Encoder};
use wyoming::{Event, Frame, FrameCodec, Limits};

/// Small, so that inputs of a few hundred bytes reach them.
const LIMITS: Limits = Limits {
    header_bytes: 256,
    data_bytes: 128,
    info_bytes: 192,
    payload_bytes: 128,
    piece_bytes: 32,
};

/// Audio that is taken by one input.
const AUDIO: Duration = Duration::from_secs(2);

/// Frames do not depend on how their bytes arrive, and hold no more than the limits.
pub(crate) fn frame(bytes: &[u8]) {
    let (whole, error) = frames(bytes, bytes.len());
    for size in [1, 7] {
        let (pieces, other_error) = frames(bytes, size);
        assert_eq!(whole, pieces, "pieces of {size} bytes");
        assert_eq!(error, other_error, "pieces of {size} bytes");
    }
    for frame in whole {
        assert!(frame.kind.len() <= LIMITS.header_bytes);
        assert!(frame.payload.len() <= LIMITS.piece_bytes);
    }
}

/// An event that was read can be written, and reads back as itself.
pub(crate) fn event(bytes: &[u8]) {
    for frame in frames(bytes, bytes.len()).0 {
        // Decimal fractions may lose their last bit on the way.
        let exact = !frame.data.values().any(has_fraction);
        let form = frame.form;
        let Ok(event) = Event::from_frame(frame) else {
            continue;
        };
        let mut written = BytesMut::new();
        FrameCodec::new(Limits::default())
            .encode((event.clone(), form), &mut written)
            .unwrap();
        let (frames, error) = frames_within(Limits::default(), &written, written.len());
        assert_eq!((frames.len(), error), (1, None), "{event:?}");
        let again = Event::from_frame(frames.into_iter().next().unwrap()).unwrap();
        assert_eq!(event.kind(), again.kind());
        assert!(!exact || event == again, "{event:?} became {again:?}");
    }
}

/// PCM of any format and chunking gives the same samples, finite and within range.
///
/// Input: rate (2 bytes, in 6 Hz above 1 kHz), width, channels, chunk size, samples.
pub(crate) fn pcm(bytes: &[u8]) {
    let Some((&[rate_high, rate_low, width, channels, size], samples)) = bytes.split_first_chunk()
    else {
        return;
    };
    let rate_hz = 1_000 + 6 * u32::from(u16::from_be_bytes([rate_high, rate_low]));
    let Ok(format) = PcmFormat::new(rate_hz, width, channels) else {
        return;
    };
    let whole = collect(format, samples, samples.len());
    let pieces = collect(format, samples, usize::from(size));
    assert_eq!(whole, pieces, "{rate_hz} Hz, chunks of {size} bytes");
}

/// Any file is refused, or gives samples that are finite and within range.
pub(crate) fn audio_file(bytes: &[u8]) {
    let source = Box::new(Cursor::new(bytes.to_vec()));
    let Ok(recording) = audio::file::decode(source, None, AUDIO) else {
        return;
    };
    let length = recording
        .waveform
        .as_ref()
        .map_or(Duration::ZERO, Waveform::duration);
    for damage in &recording.damage {
        assert!(damage.at <= length, "{damage} of {length:?}");
    }
    if let Some(waveform) = recording.waveform {
        check(&waveform);
    }
}

/// Any `model.bin` is refused, or its tensors lie within it and can be read or refused one by one.
pub(crate) fn ctranslate2(bytes: &[u8]) {
    whisper::testing::read_ctranslate2(bytes);
}

/// Any file of PyTorch's is refused, or its tensors lie within it.
pub(crate) fn pytorch(bytes: &[u8]) {
    whisper::testing::fuzz::pytorch(bytes);
}

/// Any file of whisper.cpp's is refused, or its tensors lie within it and can be decoded.
pub(crate) fn whisper_cpp(bytes: &[u8]) {
    whisper::testing::fuzz::whisper_cpp(bytes);
}

/// A client's bytes, from the socket to the samples, as a connection takes them.
pub(crate) fn session(bytes: &[u8]) {
    use server::wyoming_server::{Session, Step};

    let mut session = Session::new("demo".to_owned());
    let mut ingest = Ingest::new(AUDIO);
    for frame in frames(bytes, bytes.len()).0 {
        let Ok(event) = Event::from_frame(frame) else {
            return;
        };
        match session.take(event) {
            Step::Abandon => ingest = Ingest::new(AUDIO),
            Step::Append { format, pcm, anew } => {
                assert!(session.is_receiving());
                if anew {
                    ingest = Ingest::new(AUDIO);
                }
                let (rate, width, channels) =
                    (format.rate_hz(), format.width_bytes(), format.channels());
                let Ok(format) = PcmFormat::new(rate, width, channels) else {
                    return;
                };
                if ingest.push(format, &pcm).is_err() {
                    return;
                }
            }
            Step::Transcribe(_) => {
                assert!(!session.is_receiving());
                let ended = std::mem::replace(&mut ingest, Ingest::new(AUDIO));
                if let Ok(Some(waveform)) = ended.finish() {
                    check(&waveform);
                }
            }
            Step::Fail(fault) => {
                assert_eq!(fault.to_event().kind(), "error");
                return;
            }
            Step::Want(_) => assert!(session.is_receiving()),
            Step::Nothing | Step::Describe | Step::Reply(_) => {}
        }
    }
}

/// A form of the HTTP API does not depend on how its bytes arrive, and holds no more than its bounds.
///
/// Input: the header `content-type` up to a line feed, and the body.
pub(crate) fn form(bytes: &[u8]) {
    thread_local! {
        static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().unwrap();
    }
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return;
    };
    let (content_type, body) = (&bytes[..end], &bytes[end + 1..]);
    RUNTIME.with(|runtime| {
        let read = |size| runtime.block_on(server::http::fuzz::read(content_type, body, size));
        let whole = read(body.len().max(1));
        for size in [1, 7] {
            assert_eq!(whole, read(size), "pieces of {size} bytes");
        }
    });
}

/// All frames of a stream that arrives in pieces of this size, and what ended it.
fn frames(bytes: &[u8], size: usize) -> (Vec<Frame>, Option<String>) {
    frames_within(LIMITS, bytes, size)
}

fn frames_within(limits: Limits, bytes: &[u8], size: usize) -> (Vec<Frame>, Option<String>) {
    let mut codec = FrameCodec::new(limits);
    let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(size.max(1)) {
        buffer.extend_from_slice(piece);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error.to_string())),
            }
        }
    }
    loop {
        match codec.decode_eof(&mut buffer) {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, None),
            Err(error) => return (frames, Some(error.to_string())),
        }
    }
}

fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(values) => values.iter().any(has_fraction),
        Value::Object(fields) => fields.values().any(has_fraction),
        _ => false,
    }
}

/// The samples, or `None` when there are too many.
fn collect(format: PcmFormat, bytes: &[u8], size: usize) -> Option<Vec<f32>> {
    let mut ingest = Ingest::new(AUDIO);
    for piece in bytes.chunks(size.max(1)) {
        ingest.push(format, piece).ok()?;
    }
    let waveform = ingest.finish().ok()?;
    Some(waveform.map_or_else(Vec::new, |waveform| {
        check(&waveform);
        waveform.samples().to_vec()
    }))
}

fn check(waveform: &Waveform) {
    assert!(waveform.duration() <= AUDIO);
    let in_range = |sample: &f32| (-1.0..=1.0).contains(sample);
    assert!(waveform.samples().iter().all(in_range));
}
