//! Audio files of every kind, sound, damaged and hostile, through the public decoder.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

use std::io::Cursor;
use std::time::Duration;

use audio::Waveform;
use audio::file::{self, FileError};
use proptest::prelude::*;

const LIMIT: Duration = Duration::from_mins(1);

const TONES: [(&str, &[u8]); 4] = [
    ("mp3", include_bytes!("data/tone.mp3")),
    ("ogg", include_bytes!("data/tone.ogg")),
    ("m4a", include_bytes!("data/tone.m4a")),
    ("flac", include_bytes!("data/tone.flac")),
];

fn decoded(bytes: &[u8], extension: Option<&str>) -> Result<Option<Waveform>, FileError> {
    let recording = file::decode(Box::new(Cursor::new(bytes.to_vec())), extension, LIMIT);
    recording.map(|recording| recording.waveform)
}

/// A WAV file made by another library than the one that reads it.
fn wav<S: hound::Sample + Copy>(spec: hound::WavSpec, samples: &[S]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = hound::WavWriter::new(Cursor::new(&mut bytes), spec).unwrap();
    for &sample in samples {
        writer.write_sample(sample).unwrap();
    }
    writer.finalize().unwrap();
    bytes
}

fn spec(rate_hz: u32, channels: u16, bits: u16) -> hound::WavSpec {
    hound::WavSpec {
        channels,
        sample_rate: rate_hz,
        bits_per_sample: bits,
        sample_format: hound::SampleFormat::Int,
    }
}

fn floats(rate_hz: u32) -> hound::WavSpec {
    hound::WavSpec {
        sample_format: hound::SampleFormat::Float,
        ..spec(rate_hz, 1, 32)
    }
}

/// A WAV header whose numbers may be lies, and the bytes after it.
fn wav_header(channels: u16, rate_hz: u32, bits: u16, claimed: u32, data: &[u8]) -> Vec<u8> {
    let block = channels.wrapping_mul(bits / 8);
    [
        &b"RIFF"[..],
        &claimed.saturating_add(36).to_le_bytes(),
        b"WAVEfmt ",
        &16_u32.to_le_bytes(),
        &1_u16.to_le_bytes(),
        &channels.to_le_bytes(),
        &rate_hz.to_le_bytes(),
        &rate_hz.wrapping_mul(u32::from(block)).to_le_bytes(),
        &block.to_le_bytes(),
        &bits.to_le_bytes(),
        b"data",
        &claimed.to_le_bytes(),
        data,
    ]
    .concat()
}

fn level(samples: &[f32]) -> f64 {
    let sum: f64 = samples.iter().map(|&s| f64::from(s).powi(2)).sum();
    (sum / samples.len() as f64).sqrt()
}

#[test]
fn every_container_gives_the_same_tone() {
    for (extension, bytes) in TONES {
        for hint in [Some(extension), None, Some("wav"), Some("nonsense")] {
            let waveform = decoded(bytes, hint).unwrap().unwrap();
            let seconds = waveform.duration().as_secs_f64();
            // A lossy codec works in blocks, and not each container says how much of them counts.
            assert!((0.45..0.6).contains(&seconds), "{extension}: {seconds} s");
            let middle = &waveform.samples()[2_000..6_000];
            let decibels = 20.0 * (level(middle) / (0.5 / f64::sqrt(2.0))).log10();
            // The MP3 encoder itself takes half a decibel off; ffmpeg's decoder finds the same.
            assert!(decibels.abs() < 0.6, "{extension}: {decibels} dB");
            // 440 Hz crosses zero 880 times a second, a quarter of that in 4,000 samples.
            let crossings = middle
                .windows(2)
                .filter(|pair| (pair[0] < 0.0) != (pair[1] < 0.0))
                .count();
            assert!((219..=221).contains(&crossings), "{extension}: {crossings}");
        }
    }
}

#[test]
fn wav_of_each_width_keeps_its_samples() {
    let half = [0.5_f32; 1_000];
    for (bits, value) in [(8, 1 << 6), (16, 1 << 14), (24, 1 << 22), (32, 1 << 30)] {
        let bytes = wav(spec(16_000, 1, bits), &[value; 1_000]);
        assert_eq!(decoded(&bytes, None).unwrap().unwrap().samples(), half);
    }
    let bytes = wav(floats(16_000), &half);
    assert_eq!(decoded(&bytes, None).unwrap().unwrap().samples(), half);
}

#[test]
fn opposite_channels_cancel_and_equal_ones_do_not_clip() {
    let opposite = wav(spec(16_000, 2, 16), &[20_000_i16, -20_000].repeat(100));
    let equal = wav(spec(16_000, 2, 16), &[i16::MAX; 200]);
    let samples = |bytes: &[u8]| decoded(bytes, None).unwrap().unwrap().samples().to_vec();
    assert_eq!(samples(&opposite), [0.0; 100]);
    assert_eq!(samples(&equal), [f32::from(i16::MAX) / 32_768.0; 100]);
}

#[test]
fn what_is_not_a_number_is_silence_and_spreads_no_further() {
    let mut samples = vec![0.5_f32; 48_000];
    samples[24_000] = f32::NAN;
    samples[24_001] = f32::INFINITY;
    samples[24_002] = f32::NEG_INFINITY;
    samples[24_003] = f32::MAX;
    let waveform = decoded(&wav(floats(48_000), &samples), None)
        .unwrap()
        .unwrap();
    assert_eq!(waveform.samples().len(), 16_000);
    let far = waveform.samples()[2_000..7_000]
        .iter()
        .chain(&waveform.samples()[9_000..14_000]);
    for &sample in far {
        assert!((sample - 0.5).abs() < 0.01, "{sample}");
    }
}

#[test]
fn a_file_over_the_limit_is_refused_by_name() {
    let bytes = wav(spec(16_000, 1, 16), &vec![0_i16; 16_001]);
    let limited = |limit| file::decode(Box::new(Cursor::new(bytes.clone())), None, limit);
    let refused = limited(Duration::from_secs(1)).unwrap_err();
    assert_eq!(refused.to_string(), "audio is longer than 1s");
    assert!(limited(Duration::from_millis(1_001)).is_ok());
}

#[test]
fn what_is_no_audio_is_refused() {
    for bytes in [
        &b""[..],
        b"R",
        &b"RIFF"[..],
        b"hello, world",
        &[0; 4_096],
        &[0xFF; 4_096],
    ] {
        for hint in [None, Some("wav"), Some("mp3"), Some("m4a")] {
            let answer = decoded(bytes, hint);
            assert!(answer.is_err(), "{bytes:?} as {hint:?}: {answer:?}");
        }
    }
    let missing = file::open("no such file.wav".as_ref(), LIMIT).unwrap_err();
    assert_eq!(missing.to_string(), "cannot read the file");
}

#[test]
fn a_header_that_claims_more_than_is_there_gives_what_is_there() {
    let data = [0, 0x40].repeat(8_000);
    for claimed in [u32::MAX, u32::MAX - 1, 0x7FFF_FFFF, 1_000_000] {
        let waveform = decoded(&wav_header(1, 16_000, 16, claimed, &data), None)
            .unwrap()
            .unwrap();
        assert_eq!(waveform.samples().len(), 8_000, "{claimed}");
    }
}

#[test]
fn a_wav_without_samples_is_no_waveform() {
    assert_eq!(
        decoded(&wav::<i16>(spec(16_000, 1, 16), &[]), None).unwrap(),
        None
    );
}

#[test]
fn impossible_numbers_in_a_header_are_refused() {
    let data = [1; 4_096];
    for (channels, rate_hz, bits) in [
        (1, 0, 16),
        (1, 1, 16),
        (1, 999, 16),
        (1, u32::MAX, 16),
        (0, 16_000, 16),
        (33, 16_000, 16),
        (u16::MAX, 16_000, 16),
        (1, 16_000, 0),
        (1, 16_000, u16::MAX),
    ] {
        let answer = decoded(&wav_header(channels, rate_hz, bits, 4_096, &data), None);
        assert!(
            !matches!(answer, Ok(Some(_))),
            "{channels} channels, {rate_hz} Hz, {bits} bits: {answer:?}"
        );
    }
}

#[test]
fn a_file_that_breaks_off_gives_what_was_there_or_an_error() {
    for (extension, bytes) in TONES {
        let cuts = (0..bytes.len()).step_by(97);
        let lengths: Vec<Duration> = cuts
            .map(|kept| match decoded(&bytes[..kept], Some(extension)) {
                Ok(Some(waveform)) => waveform.duration(),
                Ok(None) | Err(_) => Duration::ZERO,
            })
            .collect();
        let whole = decoded(bytes, Some(extension)).unwrap().unwrap().duration();
        // Never more than the whole, and never less of more bytes.
        assert!(lengths.iter().all(|length| *length <= whole));
        assert!(lengths.is_sorted(), "{extension}: {lengths:?}");
        let of_most = lengths[lengths.len() * 9 / 10];
        match extension {
            // The index of one comes last, and the other has a single page of audio.
            "m4a" | "ogg" => assert_eq!(of_most, Duration::ZERO),
            _ => assert!(of_most > whole / 2, "{extension}: {of_most:?} of {whole:?}"),
        }
    }
}

/// Files of every kind: the tones, a WAV, and the files in `data/recordings`.
fn files() -> Vec<Vec<u8>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/recordings");
    let table = std::fs::read_to_string(folder.join("expected.tsv")).unwrap();
    let names = table.lines().filter_map(|line| line.split('\t').next());
    let mut files: Vec<Vec<u8>> = names
        .map(|name| std::fs::read(folder.join(name)).unwrap())
        .collect();
    assert!(files.len() >= 60);
    files.extend(TONES.map(|(_, bytes)| bytes.to_vec()));
    files.push(wav(spec(44_100, 2, 16), &[500_i16; 2_000]));
    files
}

fn any_file() -> impl Strategy<Value = Vec<u8>> {
    proptest::sample::select(files())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn damaged_bytes_never_panic_and_never_leave_the_range(
        mut bytes in any_file(),
        // Headers are where the numbers are, so most of the damage goes there.
        damage in proptest::collection::vec(
            (prop_oneof![0_usize..100, 0_usize..1_000, 0_usize..13_000], any::<u8>()), 1..12),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
        extension in proptest::option::of(proptest::sample::select(vec!["wav", "mp3", "m4a", "webm"])),
    ) {
        for (at, value) in damage {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(Some(waveform)) = decoded(&bytes, extension) {
            prop_assert!(waveform.duration() <= LIMIT);
            prop_assert!(waveform.samples().iter().all(|sample| (-1.0..=1.0).contains(sample)));
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let answer = decoded(&bytes, None);
        if let Ok(Some(waveform)) = answer {
            prop_assert!(waveform.duration() <= LIMIT);
        }
    }
}
