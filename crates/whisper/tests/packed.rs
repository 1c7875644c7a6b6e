//! Packed weights that are kept for later starts.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use whisper::testing::{TinyCheckpoint, audio};
use whisper::{
    Checkpoint, DeviceChoice, Input, LoadOptions, Options, PackedWeights, Precision, Whisper,
};

const WEIGHTS: &str = "model.safetensors";
const PACKED: &str = "model.int8.packed";

fn checkpoint() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    TinyCheckpoint::multilingual()
        .write(directory.path())
        .unwrap();
    directory
}

fn load(directory: &Path, precision: Precision) -> Whisper {
    let options = LoadOptions {
        precision,
        keep_packed: true,
        ..LoadOptions::default()
    };
    let checkpoint = Checkpoint::open(directory).unwrap();
    Whisper::load(&checkpoint, DeviceChoice::Cpu, options).unwrap()
}

/// What it says of some audio: text, and a number that any other weight would change.
fn says(whisper: &Whisper) -> (String, f32) {
    let waveform = ::audio::Waveform::new(audio(3, 40_000)).unwrap();
    let mut input = Input::new(waveform);
    input.options = Options {
        temperatures: vec![0.0],
        max_new_tokens: Some(8),
        no_speech_threshold: None,
        log_prob_threshold: None,
        ..Options::default()
    };
    let transcript = whisper.transcribe(&[input]).remove(0).unwrap();
    let first = &transcript.segments[0];
    (transcript.text.clone(), first.avg_log_prob)
}

/// Writes to a file without changing its size or time.
fn change_unseen(path: &Path, change: impl Fn(&mut Vec<u8>)) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(modified).unwrap();
}

/// Other weights, in a file of the same size.
fn other(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0);
}

#[test]
fn the_second_start_says_the_same_from_the_packed_weights() {
    let directory = checkpoint();
    let first = load(directory.path(), Precision::Int8);
    let packed = directory.path().join(PACKED);
    assert!(
        matches!(first.packed(), PackedWeights::Kept { path, unusable: None } if *path == packed)
    );
    let bytes = fs::read(&packed).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert!(tensors.names().contains(&"decoder.embed_tokens.weight"));
    let second = load(directory.path(), Precision::Int8);
    assert!(matches!(second.packed(), PackedWeights::Read));
    assert_eq!(says(&second), says(&first));
    assert_eq!(second.info(), first.info());
    let files = fs::read_dir(directory.path()).unwrap();
    let packed = files.filter(|file| {
        let name = file.as_ref().unwrap().file_name();
        name.to_string_lossy().contains("packed")
    });
    assert_eq!(packed.count(), 1, "no other file is left");
}

#[test]
fn weights_that_changed_are_packed_again() {
    let directory = checkpoint();
    let before = says(&load(directory.path(), Precision::Int8));
    let weights = directory.path().join(WEIGHTS);
    let packed = directory.path().join(PACKED);
    let old = fs::read(&packed).unwrap();
    let mut bytes = fs::read(&weights).unwrap();
    other(&mut bytes);
    fs::write(&weights, bytes).unwrap();
    let after = load(directory.path(), Precision::Int8);
    assert_ne!(says(&after), before);
    assert_ne!(fs::read(&packed).unwrap(), old);
    let again = load(directory.path(), Precision::Int8);
    assert!(matches!(again.packed(), PackedWeights::Read));
    assert_eq!(says(&again), says(&after));
}

/// A fine-tune that was copied with its times has the size and the time of the model that it was made of.
#[test]
fn other_weights_of_the_same_size_and_time_are_packed_again() {
    let directory = checkpoint();
    let before = says(&load(directory.path(), Precision::Int8));
    change_unseen(&directory.path().join(WEIGHTS), |bytes| other(bytes));
    let after = load(directory.path(), Precision::Int8);
    let PackedWeights::Kept { unusable, .. } = after.packed() else {
        panic!("{:?}", after.packed());
    };
    let unusable = unusable.as_ref().unwrap().to_string();
    assert!(unusable.contains("changed"), "{unusable}");
    assert_ne!(says(&after), before);
}

/// An update that renames a new file over the old one while a server starts.
#[test]
fn weights_that_are_replaced_after_they_were_opened_do_not_pin_the_old_ones() {
    let directory = checkpoint();
    let weights = directory.path().join(WEIGHTS);
    let opened = Checkpoint::open(directory.path()).unwrap();
    let mut bytes = fs::read(&weights).unwrap();
    other(&mut bytes);
    let new = directory.path().join("new");
    fs::write(&new, bytes).unwrap();
    fs::rename(&new, &weights).unwrap();
    let options = LoadOptions {
        precision: Precision::Int8,
        keep_packed: true,
        ..LoadOptions::default()
    };
    let old = says(&Whisper::load(&opened, DeviceChoice::Cpu, options).unwrap());
    let fresh = load(directory.path(), Precision::Int8);
    assert!(!matches!(fresh.packed(), PackedWeights::Read));
    assert_ne!(says(&fresh), old);
    assert!(matches!(
        load(directory.path(), Precision::Int8).packed(),
        PackedWeights::Read
    ));
}

#[test]
fn a_damaged_file_is_not_used_and_is_written_again() {
    let directory = checkpoint();
    let expected = says(&load(directory.path(), Precision::Int8));
    let packed = directory.path().join(PACKED);
    let whole = fs::read(&packed).unwrap();
    let length = whole.len();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        bytes
    };
    let name = whole
        .windows(9)
        .position(|part| part == b"tensors\\\"")
        .unwrap();
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("cut off", whole[..length / 2].to_vec()),
        ("without its start", whole[length / 2..].to_vec()),
        ("another file", b"{}".repeat(100)),
        ("a value changed", changed(&|bytes| bytes[length / 3] ^= 1)),
        ("the index changed", changed(&|bytes| bytes[name + 1] ^= 1)),
        ("a huge header", changed(&|bytes| bytes[2..8].fill(0xff))),
        ("more bytes", changed(&|bytes| bytes.extend([0; 100]))),
    ] {
        fs::write(&packed, bytes).unwrap();
        let whisper = load(directory.path(), Precision::Int8);
        let PackedWeights::Kept { unusable, .. } = whisper.packed() else {
            panic!("{what}: {:?}", whisper.packed());
        };
        let unusable = unusable.as_ref().unwrap().to_string();
        assert!(unusable.contains(PACKED), "{what}: {unusable}");
        assert_eq!(says(&whisper), expected, "{what}");
        assert!(fs::read(&packed).unwrap() == whole, "{what}");
    }
}

#[test]
fn where_nothing_can_be_kept_the_model_loads_all_the_same() {
    let directory = checkpoint();
    // Stands in for a folder that cannot be written to, which there is not for root.
    fs::create_dir(directory.path().join(PACKED)).unwrap();
    let whisper = load(directory.path(), Precision::Int8);
    assert!(matches!(whisper.packed(), PackedWeights::NotKept { .. }));
    let names: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    let expected = checkpoint();
    let expected: Vec<_> = fs::read_dir(expected.path()).unwrap().collect();
    assert_eq!(names.len(), expected.len() + 1, "{names:?}");
}

#[test]
fn other_precisions_keep_nothing() {
    let directory = checkpoint();
    let whisper = load(directory.path(), Precision::F32);
    assert!(matches!(whisper.packed(), PackedWeights::None));
    assert!(!directory.path().join(PACKED).exists());
}

#[cfg(unix)]
#[test]
fn who_may_read_the_weights_may_read_them_packed_and_nobody_else() {
    use std::os::unix::fs::PermissionsExt;

    let mode = |name: &Path| fs::metadata(name).unwrap().permissions().mode() & 0o777;
    for private in [0o600, 0o440, 0o644] {
        let directory = checkpoint();
        let weights = directory.path().join(WEIGHTS);
        fs::set_permissions(&weights, fs::Permissions::from_mode(private)).unwrap();
        load(directory.path(), Precision::Int8);
        assert_eq!(mode(&directory.path().join(PACKED)), private);
    }
}

#[test]
fn what_a_killed_process_left_is_removed_and_what_is_being_written_stays() {
    let directory = checkpoint();
    let [left, written, other] = ["packed.a1", "packed.b2", "other"]
        .map(|end| directory.path().join(format!("model.int8.{end}")));
    for path in [&left, &written, &other] {
        fs::write(path, b"part").unwrap();
    }
    for path in [&left, &other] {
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(hour_ago).unwrap();
    }
    load(directory.path(), Precision::Int8);
    assert!(!left.exists() && written.exists() && other.exists());
}
