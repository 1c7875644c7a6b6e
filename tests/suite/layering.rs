//! What the architecture promises, read from the sources.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What a crate uses when it is built for users: neither for its tests nor for its build script.
fn dependencies(name: &str) -> Vec<String> {
    static WORKSPACE: LazyLock<Value> = LazyLock::new(metadata);
    let packages = WORKSPACE["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["name"] == name);
    let dependencies =
        package.unwrap_or_else(|| panic!("no crate {name}"))["dependencies"].as_array();
    let used = dependencies
        .unwrap()
        .iter()
        .filter(|one| one["kind"].is_null());
    used.map(|one| one["name"].as_str().unwrap().to_owned())
        .collect()
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(super) fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn crates_use_only_whom_they_may() {
    let ours = [
        "wyoming",
        "audio",
        "kernels",
        "whisper",
        "telemetry",
        "server",
        "operator",
    ];
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("wyoming", &[][..]),
        ("audio", &[]),
        ("kernels", &[]),
        ("whisper", &["audio", "kernels"]),
        ("telemetry", &[]),
        ("server", &["wyoming", "audio", "whisper", "telemetry"]),
        ("operator", &["telemetry"]),
    ]);
    for (name, allowed) in allowed {
        for used in dependencies(name) {
            let is_ours = ours.contains(&used.as_str());
            assert!(
                !is_ours || allowed.contains(&used.as_str()),
                "{name} uses {used}"
            );
        }
    }
}

#[test]
fn candle_is_named_in_whisper_only_and_cuda_in_its_device_and_kernels_only() {
    for name in [
        "wyoming",
        "audio",
        "kernels",
        "telemetry",
        "server",
        "operator",
    ] {
        let uses: Vec<String> = dependencies(name);
        assert!(
            !uses.iter().any(|used| used.starts_with("candle")),
            "{name}"
        );
    }
    for path in sources(&root().join("crates")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let names_cuda = text.contains("feature = \"cuda\"");
        assert!(
            !names_cuda
                || path.ends_with("whisper/build.rs")
                || path.ends_with("whisper/src/device.rs")
                || path.ends_with("whisper/src/model/fused.rs"),
            "{}",
            path.display()
        );
    }
}

#[test]
fn unsafe_stands_in_the_kernels_where_they_are_started_and_at_four_calls_into_the_system() {
    for path in sources(&root().join("crates")) {
        let allowed = path.ends_with("whisper/src/checkpoint/files.rs")
            || path.ends_with("whisper/src/device/cuda.rs")
            || path.ends_with("whisper/src/model/fused/cuda.rs")
            || path.ends_with("server/src/memory.rs")
            || path.components().any(|part| part.as_os_str() == "kernels");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(allowed || !text.contains("unsafe {"), "{}", path.display());
    }
}

#[test]
fn pure_files_have_no_clock_and_no_socket() {
    for path in [
        "crates/server/src/wyoming_server/session.rs",
        "crates/server/src/wyoming_server/pause_rule.rs",
        "crates/server/src/queue/policy.rs",
        "crates/server/src/queue/jobs.rs",
        "crates/server/src/queue/busy.rs",
        "crates/server/src/queue/allowance.rs",
        "crates/server/src/subtitles.rs",
        "crates/server/src/language.rs",
        "crates/server/src/blocklist.rs",
        "crates/audio/src/silence.rs",
        "crates/whisper/src/transcription.rs",
        "crates/whisper/src/batch/turns.rs",
        "crates/operator/src/scale/mod.rs",
        "crates/operator/src/scale/history.rs",
        "crates/operator/src/scale/limits.rs",
        "crates/operator/src/controller/validate.rs",
        "crates/operator/src/controller/build/mod.rs",
        "crates/operator/src/controller/build/container.rs",
        "crates/operator/src/controller/build/deployment.rs",
        "crates/operator/src/controller/pods.rs",
        "crates/operator/src/controller/status.rs",
    ] {
        let text = read(path);
        for word in ["Instant", "tokio", "std::net", "std::fs", "async fn"] {
            assert!(!text.contains(word), "{path} names {word}");
        }
    }
}

/// A file without its tests.
pub(super) fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let tests = ["mod ", "pub(crate) mod "].map(|module| format!("#[cfg(test)]\n{module}"));
    let begins = tests.iter().filter_map(|tests| text.find(tests));
    let end = begins.min().unwrap_or(text.len());
    text.get(..end).unwrap_or(&text).to_owned()
}

#[test]
fn libraries_start_no_task_read_no_environment_and_log_nothing_loud() {
    let words = [
        "tokio::spawn",
        "thread::spawn",
        "env::var",
        "info!(",
        "warn!(",
        "error!(",
        "println!(",
    ];
    for name in ["wyoming", "audio", "kernels", "whisper"] {
        for path in sources(&root().join("crates").join(name).join("src")) {
            let text = code(&path);
            for word in words {
                assert!(!text.contains(word), "{} has {word}", path.display());
            }
        }
    }
}

#[test]
fn every_channel_has_a_bound() {
    for path in sources(&root().join("crates")) {
        let text = code(&path);
        for word in ["unbounded_channel", "mpsc::channel()", "unbounded("] {
            assert!(!text.contains(word), "{} has {word}", path.display());
        }
    }
}

#[test]
fn the_readmes_commands_exist() {
    let readme = read("README.md");
    for command in ["tests/demo", "tests/all"] {
        assert!(readme.contains(command), "{command} is not in the README");
        assert!(
            root().join(command).is_file(),
            "{command} is not in the tree"
        );
    }
}

#[test]
fn the_readme_lists_every_setting() {
    let readme = read("README.md");
    let config = ["model", "serve", "http", "names"]
        .map(|part| read(format!("crates/server/src/config/{part}.rs")))
        .concat();
    let mut count = 0;
    for part in config.split("env = \"").skip(1) {
        let variable = part.split('"').next().unwrap();
        assert!(readme.contains(variable), "{variable} is not in the README");
        count += 1;
    }
    assert!(count > 20);
}
