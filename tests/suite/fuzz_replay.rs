//! The fuzz targets' corpora on stable: each file, and each file cut off anywhere.

use std::path::Path;

#[path = "../fuzz_bodies.rs"]
mod bodies;

/// Beyond so many bytes a file is cut at every so many places only.
const CUTS: usize = 60;

fn replay(target: &str, body: fn(&[u8])) {
    replay_folder(&format!("../fuzz/corpus/{target}"), body);
}

fn replay_folder(folder: &str, body: fn(&[u8])) {
    let mut files = 0;
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        body(&bytes);
        for cut in (0..bytes.len()).step_by(bytes.len() / CUTS + 1) {
            body(&bytes[..cut]);
        }
        files += 1;
    }
    assert!(files >= 4, "{folder} has {files} files");
}

#[test]
fn frames_do_not_depend_on_how_bytes_arrive() {
    replay("frame", bodies::frame);
}

#[test]
fn events_read_back_as_themselves() {
    replay("event", bodies::event);
}

#[test]
fn pcm_does_not_depend_on_its_chunks() {
    replay("pcm", bodies::pcm);
}

#[test]
fn any_file_gives_samples_in_range_or_a_refusal() {
    replay("audio_file", bodies::audio_file);
    // One of each container and codec: seeds for the fuzzer as well.
    replay_folder("../crates/audio/tests/data/recordings", bodies::audio_file);
}

#[test]
fn any_bytes_keep_a_session_in_order() {
    replay("session", bodies::session);
}

#[test]
fn forms_do_not_depend_on_how_bytes_arrive() {
    replay("form", bodies::form);
}

#[test]
fn any_file_of_ctranslate2_is_refused_or_has_its_tensors_within() {
    replay("ctranslate2", bodies::ctranslate2);
}

#[test]
fn any_file_of_pytorch_is_refused_or_has_its_tensors_within() {
    replay("pytorch", bodies::pytorch);
}

#[test]
fn any_file_of_whisper_cpp_is_refused_or_has_its_tensors_within() {
    replay("whisper_cpp", bodies::whisper_cpp);
}
