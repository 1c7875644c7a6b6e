//! Pauses of spoken clips, in quiet and in noisy rooms.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

use std::path::PathBuf;
use std::time::Duration;

use audio::PauseDetector;
use audio::file;

const SECOND: usize = 16_000;
const BLOCK: usize = SECOND / 50;
/// What a listener waits for.
const PAUSE: Duration = Duration::from_millis(300);

/// Root mean square.
fn level(samples: &[f32]) -> f32 {
    let energy: f32 = samples.iter().map(|sample| sample * sample).sum();
    (energy / samples.len() as f32).sqrt()
}

/// A spoken clip, and the sample where its voice falls 25 dB below its loudest for good.
fn clips() -> Vec<(String, Vec<f32>, usize)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/audio");
    let mut clips = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "wav") {
            continue;
        }
        let waveform = file::open(&path, Duration::from_secs(60))
            .unwrap()
            .waveform
            .unwrap();
        let levels: Vec<f32> = waveform.samples().chunks_exact(BLOCK).map(level).collect();
        let loudest = levels.iter().copied().fold(0.0, f32::max);
        let last = levels.iter().rposition(|&level| level > loudest * 0.056);
        let name = path.display().to_string();
        clips.push((
            name,
            waveform.samples().to_vec(),
            (last.unwrap() + 1) * BLOCK,
        ));
    }
    assert!(clips.len() >= 6);
    clips
}

/// White for 0; the nearer to 1, the duller.
fn noise(samples: usize, dullness: f32, at_level: f32) -> Vec<f32> {
    let mut state = 7_u64;
    let mut value = 0.0;
    let mut noise: Vec<f32> = (0..samples)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            value = value * dullness + (state >> 40) as f32 / 8_388_608.0 - 1.0;
            value
        })
        .collect();
    let gain = at_level / level(&noise);
    for value in &mut noise {
        *value *= gain;
    }
    noise
}

/// Silence, the clip and 0.7 s of silence, with noise so many dB below the clip over all of it.
fn in_a_room(clip: &[f32], lead: usize, dullness: f32, below_db: f32) -> Vec<f32> {
    let mut samples = vec![0.0; lead];
    samples.extend_from_slice(clip);
    samples.resize(samples.len() + 7 * SECOND / 10, 0.0);
    let noise = noise(
        samples.len(),
        dullness,
        level(clip) * 10.0_f32.powf(-below_db / 20.0),
    );
    samples
        .iter()
        .zip(noise)
        .map(|(clip, noise)| clip + noise)
        .collect()
}

/// After how many samples each pause was as long as [`PAUSE`]; and the length of the last.
fn pauses(samples: &[f32]) -> (Vec<usize>, Duration) {
    let mut detector = PauseDetector::default();
    let (mut seen, mut last) = (Vec::new(), None);
    for chunk in samples.chunks(SECOND / 100) {
        detector.push(chunk);
        let long = detector.pause().filter(|pause| pause.length >= PAUSE);
        if let Some(pause) = long.filter(|pause| last != Some(pause.start)) {
            last = Some(pause.start);
            seen.push(detector.samples());
        }
    }
    let length = detector
        .pause()
        .map_or(Duration::ZERO, |pause| pause.length);
    (seen, length)
}

#[test]
fn no_pause_is_seen_before_the_last_word_and_one_is_soon_after_it() {
    for (name, clip, voice_end) in clips() {
        for lead in [0, SECOND / 2] {
            for (dullness, below_db) in [
                (0.0, 60.0),
                (0.0, 30.0),
                (0.0, 20.0),
                (0.0, 15.0),
                (0.0, 10.0),
                (0.9, 30.0),
                (0.9, 20.0),
                (0.9, 15.0),
                (0.9, 10.0),
            ] {
                let room = format!("{name}, {lead}, noise {dullness} at -{below_db} dB");
                let (seen, length) = pauses(&in_a_room(&clip, lead, dullness, below_db));
                let first = *seen.first().unwrap_or_else(|| panic!("no pause: {room}"));
                let end = lead + voice_end;
                assert!(first >= end, "{first}, voice until {end}: {room}");
                assert!(
                    first <= end + SECOND / 2,
                    "{first}, voice until {end}: {room}"
                );
                assert!(length >= PAUSE, "{length:?}: {room}");
            }
        }
    }
}

#[test]
fn digital_silence_is_a_pause_too() {
    for (name, mut clip, voice_end) in clips() {
        clip.resize(clip.len() + SECOND / 2, 0.0);
        let (seen, length) = pauses(&clip);
        assert_eq!(seen.len(), 1, "{name}");
        assert!(seen[0] >= voice_end, "{name}");
        assert!(length >= Duration::from_millis(500), "{name}: {length:?}");
    }
}

#[test]
fn in_a_room_too_noisy_to_tell_no_word_is_taken_for_a_pause() {
    for (name, clip, voice_end) in clips() {
        for dullness in [0.0, 0.9] {
            let (seen, _) = pauses(&in_a_room(&clip, SECOND / 2, dullness, 3.0));
            let end = SECOND / 2 + voice_end;
            assert!(seen.iter().all(|&at| at >= end), "{name}: {seen:?}, {end}");
        }
    }
}

#[test]
fn a_voice_ends_the_pause() {
    for (name, clip, _) in clips() {
        for below_db in [60.0, 15.0] {
            let mut detector = PauseDetector::default();
            detector.push(&in_a_room(&clip, 0, 0.0, below_db));
            assert!(detector.pause().is_some(), "{name}");
            let loudest = (0..clip.len() / BLOCK)
                .max_by(|&one, &other| {
                    let block = |index: usize| level(&clip[index * BLOCK..][..BLOCK]);
                    block(one).total_cmp(&block(other))
                })
                .unwrap();
            // The loudest tenth of a second of the next sentence.
            let around = (loudest * BLOCK).saturating_sub(2 * BLOCK);
            detector.push(&clip[around..][..5 * BLOCK]);
            assert_eq!(detector.pause(), None, "{name}");
        }
    }
}
