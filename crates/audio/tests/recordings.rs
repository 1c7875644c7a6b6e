//! Recordings as programs and devices leave them: each container and codec, heads with wrong sizes, files
//! that are cut off, damaged, padded, or put one behind the other.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

use std::f64::consts::TAU;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::Duration;

use audio::file::{self, DamageKind, FileError, Recording};

const LIMIT: Duration = Duration::from_mins(1);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/recordings")
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

fn read(bytes: &[u8]) -> Result<Recording, FileError> {
    file::decode(Box::new(Cursor::new(bytes.to_vec())), None, LIMIT)
}

fn samples(bytes: &[u8]) -> Vec<f32> {
    let recording = read(bytes).unwrap();
    assert_eq!(recording.damage, []);
    recording.waveform.unwrap().samples().to_vec()
}

/// A row of the table that `data/recordings/make` writes.
struct Expected {
    name: String,
    samples: usize,
    late: usize,
    decibels: f64,
}

fn table() -> Vec<Expected> {
    let table = std::fs::read_to_string(folder().join("expected.tsv")).unwrap();
    let row = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        Expected {
            name: columns[0].to_owned(),
            samples: columns[1].parse().unwrap(),
            late: columns[2].parse().unwrap(),
            decibels: columns[3].parse().unwrap(),
        }
    };
    table.lines().map(row).collect()
}

/// The sound that all of them hold.
fn sound(sample: usize) -> f64 {
    let t = sample as f64 / 16_000.0;
    let rising = 0.3 * (TAU * (180.0 + 260.0 * t) * t).sin();
    let beat = 0.6 + 0.4 * (TAU * 3.0 * t).sin();
    rising * beat + 0.1 * (TAU * (900.0 - 300.0 * t) * t).sin()
}

/// Decibels of the sound above its difference from `samples`.
fn quality(samples: &[f32]) -> f64 {
    let (mut level, mut error) = (1e-9, 1e-9);
    for (place, &sample) in samples.iter().enumerate() {
        level += sound(place).powi(2);
        error += (sound(place) - f64::from(sample)).powi(2);
    }
    10.0 * f64::log10(level / error)
}

#[test]
fn each_container_and_codec_gives_what_ffmpeg_gives() {
    let table = table();
    assert!(table.len() >= 60, "{} rows", table.len());
    for Expected {
        name,
        samples: count,
        late,
        decibels,
    } in table
    {
        let recording = read(&bytes(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(recording.damage, [], "{name}");
        let waveform = recording.waveform.unwrap();
        let samples = waveform.samples();
        // Its Vorbis decoder leaves out the last block.
        assert!(
            samples.len().abs_diff(count) <= 256,
            "{name}: {} samples, not {count}",
            samples.len()
        );
        // Resamplers differ, where one is needed, at the sound's two ends.
        let found = quality(&samples[late..count.min(samples.len())]);
        let expected = decibels.min(40.0) - 2.0;
        assert!(found > expected, "{name}: {found:.1} dB, not {decibels}");
    }
}

#[test]
fn the_name_does_not_matter_and_neither_does_a_pipe() {
    for name in [
        "opus-16k.opus",
        "webm-opus.webm",
        "mp4-aac-fast.m4a",
        "aiff-s16be.aiff",
        "flac.flac",
    ] {
        let bytes = bytes(name);
        let plain = read(&bytes).unwrap();
        for extension in ["wav", "mp3", "ogg", "nonsense"] {
            let source = Box::new(Cursor::new(bytes.clone()));
            assert_eq!(
                file::decode(source, Some(extension), LIMIT).unwrap(),
                plain,
                "{name}"
            );
        }
        assert_eq!(file::stream(&bytes[..], LIMIT).unwrap(), plain, "{name}");
        assert_eq!(
            file::open(&folder().join(name), LIMIT).unwrap(),
            plain,
            "{name}"
        );
    }
}

/// WAV files whose heads do not fit their samples. All have the samples of `pcm()`.
mod wav {
    use super::*;

    pub(super) const FORMAT: [u8; 16] = [1, 0, 1, 0, 0x80, 0x3E, 0, 0, 0, 0x7D, 0, 0, 2, 0, 16, 0];
    pub(super) const LIST: &[u8] = b"INFOISFT\x0E\0\0\0Lavf59.27.100\0";

    pub(super) fn pcm() -> Vec<u8> {
        let sample = |place| {
            #[expect(clippy::cast_possible_truncation, reason = "within ±1")]
            let sample = (sound(place) * 32_768.0) as i16;
            sample.to_le_bytes()
        };
        (0..4_000).flat_map(sample).collect()
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "a literal of bytes is a reference"
    )]
    pub(super) fn sized(name: &[u8; 4], size: usize, body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(size).unwrap();
        [&name[..], &size.to_le_bytes(), body].concat()
    }

    /// With a pad byte where one is due.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "a literal of bytes is a reference"
    )]
    pub(super) fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let mut chunk = sized(name, body.len(), body);
        chunk.resize(chunk.len().next_multiple_of(2), 0);
        chunk
    }

    pub(super) fn riff(chunks: &[&[u8]]) -> Vec<u8> {
        let body = chunks.concat();
        sized_riff(body.len() + 4, &body)
    }

    pub(super) fn sized_riff(size: usize, body: &[u8]) -> Vec<u8> {
        sized(b"RIFF", size, &[b"WAVE", body].concat())
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of heads")]
fn whatever_a_wav_head_says_the_samples_that_are_there_are_read() {
    use wav::{FORMAT, LIST, chunk, riff, sized, sized_riff};
    let pcm = wav::pcm();
    let format = chunk(b"fmt ", &FORMAT);
    let all = pcm.len();
    let data = |size| sized(b"data", size, &pcm);
    let list = chunk(b"LIST", LIST);
    let odd = [LIST, b"x"].concat();
    let long = [&b"INFO"[..], &vec![b'y'; 70_001]].concat();
    let words = b"INFOICMT\x20\0\0\0metadata of data in a dataset...\0";
    let plain = [&format[..], &data(all)].concat();
    let with_data = |size| [&format[..], &data(size)].concat();
    let ds64 = |bytes: u64| {
        let sizes = [bytes + 100, bytes, bytes / 2]
            .map(u64::to_le_bytes)
            .concat();
        chunk(b"ds64", &[&sizes[..], &[0; 4]].concat())
    };
    let long_file = |name: &[u8; 4], bytes| {
        let head = sized(name, 0xFFFF_FFFF, b"WAVE");
        [&head[..], &ds64(bytes), &format, &data(0xFFFF_FFFF)].concat()
    };
    let mut extensible = FORMAT.to_vec();
    extensible[..2].copy_from_slice(&[0xFE, 0xFF]);
    extensible.extend([
        22, 0, 16, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 16, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71,
    ]);
    let mut no_block = FORMAT;
    no_block[8..14].fill(0);
    let two = [
        &sized(b"data", all / 2, &pcm[..all / 2])[..],
        &list,
        &sized(b"data", all / 2, &pcm[all / 2..]),
    ]
    .concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("right", riff(&[&plain])),
        ("both sizes 0", sized_riff(0, &with_data(0))),
        ("data size 0", riff(&[&with_data(0)])),
        ("all ones", sized_riff(0xFFFF_FFFF, &with_data(0xFFFF_FFFF))),
        ("all ones, file right", riff(&[&with_data(0xFFFF_FFFF)])),
        (
            "2 GiB less a head",
            sized_riff(0x7FFF_F024, &with_data(0x7FFF_F000)),
        ),
        ("2 GiB", sized_riff(0x8000_0024, &with_data(0x8000_0000))),
        (
            "4 GiB less a head",
            sized_riff(0xFFFF_FFFF, &with_data(0xFFFF_FFD3)),
        ),
        ("file size 0", sized_riff(0, &plain)),
        ("file size short", sized_riff(plain.len() - 4, &plain)),
        ("data beyond the file", riff(&[&with_data(all + 100_000)])),
        ("data too small", riff(&[&with_data(all / 3)])),
        (
            "both too small",
            sized_riff(4 + all / 3, &with_data(all / 3)),
        ),
        ("extra list", riff(&[&format, &list, &data(all)])),
        ("list first", riff(&[&list, &plain])),
        (
            "odd list, padded",
            riff(&[&format, &chunk(b"LIST", &odd), &data(all)]),
        ),
        (
            "odd list, no pad",
            riff(&[&format, &sized(b"LIST", odd.len(), &odd), &data(all)]),
        ),
        (
            "even list, padded",
            riff(&[&format, &list, b"\0", &data(all)]),
        ),
        (
            "list too big",
            riff(&[&format, &sized(b"LIST", 5_000, LIST), &data(all)]),
        ),
        (
            "list too small",
            riff(&[&format, &sized(b"LIST", 4, LIST), &data(all)]),
        ),
        (
            "list all ones",
            riff(&[&format, &sized(b"LIST", 0xFFFF_FFFF, LIST), &data(all)]),
        ),
        (
            "list 0",
            riff(&[&format, &sized(b"LIST", 0, LIST), &data(all)]),
        ),
        (
            "list of words",
            riff(&[&format, &sized(b"LIST", 900_000, words), &data(all)]),
        ),
        (
            "long list",
            riff(&[&format, &chunk(b"LIST", &long), &data(all)]),
        ),
        (
            "other chunks",
            riff(&[
                &chunk(b"JUNK", &[0; 28]),
                &chunk(b"bext", &[65; 603]),
                &format,
                &chunk(b"fact", &[0; 4]),
                &data(all),
            ]),
        ),
        ("list behind", riff(&[&plain, &list])),
        (
            "odd data, padded",
            riff(&[
                &format,
                &sized(b"data", all + 1, &[&pcm[..], b"z\0"].concat()),
                &list,
            ]),
        ),
        (
            "odd data, no pad",
            riff(&[
                &format,
                &sized(b"data", all + 1, &[&pcm[..], b"z"].concat()),
                &list,
            ]),
        ),
        (
            "a tag behind",
            [&riff(&[&plain])[..], b"ID3\x03\0\0\0\0\0\x20", &[b'q'; 32]].concat(),
        ),
        (
            "extensible",
            riff(&[&chunk(b"fmt ", &extensible), &data(all)]),
        ),
        (
            "format of 14 bytes",
            riff(&[&chunk(b"fmt ", &FORMAT[..14]), &data(all)]),
        ),
        (
            "format of 18 bytes",
            riff(&[
                &chunk(b"fmt ", &[&FORMAT[..], &[0; 2]].concat()),
                &data(all),
            ]),
        ),
        (
            "format all ones",
            riff(&[&sized(b"fmt ", 0xFFFF_FFFF, &FORMAT), &data(all)]),
        ),
        (
            "no block size",
            riff(&[&chunk(b"fmt ", &no_block), &data(all)]),
        ),
        ("RF64", long_file(b"RF64", all as u64)),
        ("BW64", long_file(b"BW64", all as u64)),
        ("RF64, not filled in", long_file(b"RF64", 0)),
        ("two parts", riff(&[&format, &two])),
    ];
    let expected = samples(&riff(&[&plain]));
    assert_eq!(expected.len(), all / 2);
    assert!(quality(&expected) > 60.0);
    for (name, bytes) in cases {
        let recording = read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(recording.damage, [], "{name}");
        let waveform = recording.waveform.unwrap();
        assert!(
            waveform.samples() == expected,
            "{name}: {} samples",
            waveform.samples().len()
        );
        let piped = file::stream(&bytes[..], LIMIT).unwrap().waveform;
        assert!(piped == Some(waveform), "{name}, through a pipe");
    }
}

#[test]
fn a_wav_without_samples_is_no_waveform_and_no_damage() {
    let format = wav::chunk(b"fmt ", &wav::FORMAT);
    let list = wav::chunk(b"LIST", wav::LIST);
    for bytes in [
        wav::riff(&[&format, &wav::chunk(b"data", b"")]),
        wav::riff(&[&format, &wav::chunk(b"data", b""), &list]),
    ] {
        let recording = read(&bytes).unwrap();
        assert_eq!((recording.waveform, recording.damage), (None, vec![]));
    }
}

#[test]
fn a_wav_of_which_both_sizes_say_more_is_cut_off() {
    let format = wav::chunk(b"fmt ", &wav::FORMAT);
    let whole = wav::riff(&[&format, &wav::chunk(b"data", &wav::pcm())]);
    let recording = read(&whole[..whole.len() / 2]).unwrap();
    let waveform = recording.waveform.unwrap();
    assert_eq!(recording.damage.len(), 1);
    assert_eq!(recording.damage[0].kind, DamageKind::CutOff);
    assert_eq!(recording.damage[0].at, waveform.duration());
    assert!((1_900..=2_000).contains(&waveform.samples().len()));
}

/// Files that are read from their beginning, so that a part of them has words.
fn streams() -> Vec<String> {
    table()
        .into_iter()
        .map(|row| row.name)
        // The index of these comes last.
        .filter(|name| {
            ![
                "caf-opus.caf",
                "caf-alac.caf",
                "mp4-alac.m4a",
                "wav-rf64.wav",
                "wav-w64.w64",
            ]
            .contains(&&**name)
        })
        .collect()
}

#[test]
fn what_is_cut_off_gives_what_is_there_and_says_so() {
    for name in streams() {
        let whole = bytes(&name);
        let expected = samples(&whole);
        let kept = &whole[..whole.len() * 7 / 10];
        let recording = read(kept).unwrap_or_else(|error| panic!("{name}: {error}"));
        let waveform = recording.waveform.unwrap();
        let [damage] = recording.damage[..] else {
            panic!("{name}: {:?}", recording.damage)
        };
        assert_eq!(damage.kind, DamageKind::CutOff, "{name}");
        assert_eq!(damage.at, waveform.duration(), "{name}");
        let there = waveform.samples().len();
        // Ogg loses a whole page.
        let least = if [".ogg", ".oga", ".opus"]
            .iter()
            .any(|end| name.ends_with(end))
        {
            0.0
        } else {
            0.25
        };
        let share = there as f64 / expected.len() as f64;
        assert!((least..0.8).contains(&share), "{name}: {share}");
        // A resampler rings at the end.
        let same = there.saturating_sub(300);
        let differs = |(a, b): (&f32, &f32)| (a - b).abs() > 1e-4;
        assert!(
            !waveform.samples()[..same]
                .iter()
                .zip(&expected)
                .any(differs),
            "{name}"
        );
    }
}

#[test]
fn an_mp4_file_without_its_index_says_what_happened() {
    let whole = bytes("mp4-alac.m4a");
    let fault = read(&whole[..whole.len() / 2]).unwrap_err();
    assert!(matches!(fault, FileError::NoIndex), "{fault}");
    assert!(fault.to_string().contains("cut off"), "{fault}");
}

/// Bytes without a pattern.
fn noise(count: usize) -> impl Iterator<Item = u8> {
    let mut state = 1_u32;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(count)
}

#[test]
fn a_damaged_part_is_told_and_the_rest_is_read() {
    for name in [
        "flac.flac",
        "mpeg-lame.mp3",
        "mpeg-plain.mp3",
        "aac-adts.aac",
        "webm-opus-live.webm",
        "webm-vorbis.webm",
        "mp4-aac-fast.m4a",
    ] {
        let mut bytes = bytes(name);
        let whole = samples(&bytes);
        let middle = bytes.len() * 7 / 10;
        for (byte, noise) in bytes[middle..].iter_mut().zip(noise(300)) {
            *byte = noise;
        }
        let recording = read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let waveform = recording.waveform.unwrap();
        let first = recording
            .damage
            .first()
            .unwrap_or_else(|| panic!("{name}: not told"));
        let share = first.at.as_secs_f64() / (whole.len() as f64 / 16_000.0);
        assert!((0.3..0.8).contains(&share), "{name}: {first}");
        assert_eq!(first.kind, DamageKind::Lost, "{name}");
        let there = waveform.samples().len();
        assert!(
            there * 10 > whole.len() * 7,
            "{name}: {there} of {}",
            whole.len()
        );
        // The end is as it was, somewhat earlier, or behind it if its padding is not known any more.
        let end = &whole[whole.len() - 1_400..whole.len() - 400];
        let nearest = waveform.samples().windows(end.len()).map(|window| {
            let differences = window.iter().zip(end).map(|(a, b)| (a - b).abs());
            differences.fold(0.0, f32::max)
        });
        assert!(nearest.fold(1.0, f32::min) < 0.02, "{name}");
    }
}

#[test]
fn a_page_of_ogg_that_is_missing_is_told() {
    let one = bytes("opus-64k.opus");
    let chain = [&one[..], &one, &one].concat();
    // The last page of the second part: its words are lost, those of the third are there.
    let page = one
        .windows(4)
        .rposition(|window| window == b"OggS")
        .unwrap();
    let mut damaged = chain;
    damaged[one.len() + page + 60] ^= 1;
    let recording = read(&damaged).unwrap();
    let length = samples(&one).len();
    let waveform = recording.waveform.unwrap();
    assert!(waveform.samples().len() >= 2 * length && waveform.samples().len() < 3 * length);
    assert_eq!(recording.damage.len(), 1);
    assert_eq!(recording.damage[0].kind, DamageKind::Lost);
    let at = recording.damage[0].at.as_secs_f64() * 16_000.0 / length as f64;
    assert!((1.0..2.0).contains(&at), "{at}");
}

#[test]
fn files_one_behind_the_other_give_all_of_their_parts() {
    let chains: [&[&str]; 3] = [
        &[
            "opus-16k.opus",
            "ogg-vorbis.ogg",
            "opus-64k-stereo.opus",
            "ogg-flac.oga",
        ],
        &["mpeg-lame.mp3", "mpeg-lame.mp3"],
        &["wav-s24le.wav", "wav-s24le.wav"],
    ];
    for chain in chains {
        let parts: Vec<Vec<u8>> = chain.iter().map(|name| bytes(name)).collect();
        let lengths: usize = parts.iter().map(|part| samples(part).len()).sum();
        let joined = samples(&parts.concat());
        assert!(
            joined.len().abs_diff(lengths) <= 2,
            "{chain:?}: {} of {lengths}",
            joined.len()
        );
        let first = samples(&parts[0]).len();
        let last = samples(&parts[parts.len() - 1]).len();
        assert!(
            quality(&joined[..first]) > 5.0 && quality(&joined[joined.len() - last..]) > 5.0,
            "{chain:?}"
        );
    }
}

#[test]
fn zeros_behind_the_end_are_no_damage() {
    for name in streams() {
        let mut bytes = bytes(&name);
        let whole = samples(&bytes);
        bytes.resize(bytes.len() + 700, 0);
        let padded = samples(&bytes);
        // Samples may be zeros as well.
        assert!(
            padded.len() >= whole.len() && padded.len() <= whole.len() + 1_500,
            "{name}"
        );
    }
}

#[test]
fn a_codec_that_cannot_be_decoded_is_named() {
    let mut gsm = wav::FORMAT;
    gsm[0] = 0x31;
    let wav = wav::riff(&[&wav::chunk(b"fmt ", &gsm), &wav::chunk(b"data", &[0; 650])]);
    for (bytes, name) in [
        (&wav[..], "GSM"),
        (b"#!AMR\n\x3C\0\0\0\0\0\0\0\0\0\0", "AMR"),
    ] {
        let fault = read(bytes).unwrap_err().to_string();
        assert!(fault.contains(name) && fault.contains("convert"), "{fault}");
    }
}

/// HE-AAC's lower half is AAC-LC: here such a stream with HE-AAC's configuration, as its files have it.
#[test]
fn he_aac_is_decoded_without_its_upper_half() {
    let mut bytes = bytes("mp4-aac-fast.m4a");
    let whole = samples(&bytes);
    // The decoder's configuration (tag 5) of two bytes and ffmpeg's three of backward compatible signalling:
    // object 2 at 16 kHz in mono, then "not HE-AAC".
    let at = bytes
        .windows(6)
        .position(|window| window[..3] == [0x05, 0x80, 0x80] && window[3] == 0x80)
        .unwrap()
        + 5;
    assert_eq!(
        bytes[at..at + 2],
        [0x14, 0x08],
        "{:02x?}",
        &bytes[at..at + 5]
    );
    // Object 5 on a core at 16 kHz in mono, 32 kHz with the upper half, object 2 within.
    let config = (5_u32 << 27) | (8 << 23) | (1 << 19) | (5 << 15) | (2 << 10);
    bytes[at..at + 4].copy_from_slice(&config.to_be_bytes());
    assert_eq!(samples(&bytes), whole);
}
