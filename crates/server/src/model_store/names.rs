//! Short names of models, as users of wyoming-faster-whisper write them, and the hub repositories behind them.
//!
//! Source: `_MODELS` in faster-whisper 1.2.1 (`utils.py`), and `main` and `guess_model` in wyoming-faster-whisper 3.8.1.
//! The repositories are those that it uses, so that a cache that it filled is used, and the other way round.

use super::HubId;

/// A model that wyoming-faster-whisper would choose by itself.
pub(super) const AUTO: &str = "auto";

const NAMES: [(&str, &str); 24] = [
    ("tiny", "Systran/faster-whisper-tiny"),
    ("tiny.en", "Systran/faster-whisper-tiny.en"),
    ("tiny-int8", "rhasspy/faster-whisper-tiny-int8"),
    ("base", "Systran/faster-whisper-base"),
    ("base.en", "Systran/faster-whisper-base.en"),
    ("base-int8", "rhasspy/faster-whisper-base-int8"),
    ("small", "Systran/faster-whisper-small"),
    ("small.en", "Systran/faster-whisper-small.en"),
    ("small-int8", "rhasspy/faster-whisper-small-int8"),
    ("medium", "Systran/faster-whisper-medium"),
    ("medium.en", "Systran/faster-whisper-medium.en"),
    ("medium-int8", "rhasspy/faster-whisper-medium-int8"),
    ("large", "Systran/faster-whisper-large-v3"),
    ("large-v1", "Systran/faster-whisper-large-v1"),
    ("large-v2", "Systran/faster-whisper-large-v2"),
    ("large-v3", "Systran/faster-whisper-large-v3"),
    (
        "large-v3-turbo",
        "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    ),
    ("turbo", "mobiuslabsgmbh/faster-whisper-large-v3-turbo"),
    ("distil-small.en", "Systran/faster-distil-whisper-small.en"),
    (
        "distil-medium.en",
        "Systran/faster-distil-whisper-medium.en",
    ),
    ("distil-large-v2", "Systran/faster-distil-whisper-large-v2"),
    ("distil-large-v3", "Systran/faster-distil-whisper-large-v3"),
    ("distil-large-v3.5", "distil-whisper/distil-large-v3.5-ct2"),
    // What `auto` stands for on a CPU that is not ARM.
    (AUTO, "rhasspy/faster-whisper-base-int8"),
];

/// What `auto` stands for on ARM.
const AUTO_ON_ARM: &str = "rhasspy/faster-whisper-tiny-int8";

/// The repository of a model, from its short name or its hub id; `None` for what is neither.
pub(super) fn repository(name: &str) -> Option<HubId> {
    if name == AUTO && cfg!(any(target_arch = "aarch64", target_arch = "arm")) {
        return HubId::parse(AUTO_ON_ARM);
    }
    // `tiny.int8` is another spelling of `tiny-int8`.
    let dashed = name
        .strip_suffix(".int8")
        .map(|size| format!("{size}-int8"));
    let name = dashed.as_deref().unwrap_or(name);
    let known = NAMES.iter().find(|(short, _)| *short == name);
    HubId::parse(known.map_or(name, |(_, id)| id))
}

/// The short names, for messages.
pub(super) fn known() -> String {
    let names: Vec<&str> = NAMES.iter().map(|(short, _)| *short).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: Option<&str>) {
        let found = repository(name).map(|id| id.to_string());
        assert_eq!(found.as_deref(), expected, "{name}");
    }

    #[test]
    fn short_names_are_those_of_the_usual_server() {
        check("base", Some("Systran/faster-whisper-base"));
        check("tiny-int8", Some("rhasspy/faster-whisper-tiny-int8"));
        check("medium.int8", Some("rhasspy/faster-whisper-medium-int8"));
        check(
            "turbo",
            Some("mobiuslabsgmbh/faster-whisper-large-v3-turbo"),
        );
        check("openai/whisper-base", Some("openai/whisper-base"));
        check("huge", None);
        assert!(repository(AUTO).is_some_and(|id| id.to_string().ends_with("-int8")));
    }

    #[test]
    fn every_name_has_a_repository() {
        for (name, id) in NAMES {
            assert!(HubId::parse(id).is_some(), "{name}");
        }
    }
}
