//! The describe answer: who we are, which model, which languages.

use wyoming::info::{AsrModel, AsrProgram, Attribution, Info};

use crate::language::LanguageRule;

/// Name of the program in `info`, and for `select-program`. Home Assistant shows it as the entity.
pub const PROGRAM: &str = "wyoming-stt";

/// Whisper's languages. Advertised until the model is loaded and says which it knows.
const WHISPER_LANGUAGES: [&str; 99] = [
    "af", "am", "ar", "as", "az", "ba", "be", "bg", "bn", "bo", "br", "bs", "ca", "cs", "cy", "da",
    "de", "el", "en", "es", "et", "eu", "fa", "fi", "fo", "fr", "gl", "gu", "ha", "haw", "he",
    "hi", "hr", "ht", "hu", "hy", "id", "is", "it", "ja", "jw", "ka", "kk", "km", "kn", "ko", "la",
    "lb", "ln", "lo", "lt", "lv", "mg", "mi", "mk", "ml", "mn", "mr", "ms", "mt", "my", "ne", "nl",
    "nn", "no", "oc", "pa", "pl", "ps", "pt", "ro", "ru", "sa", "sd", "si", "sk", "sl", "sn", "so",
    "sq", "sr", "su", "sv", "sw", "ta", "te", "tg", "th", "tk", "tl", "tr", "tt", "uk", "ur", "uz",
    "vi", "yi", "yo", "zh",
];

/// What a model of this name may know before it is loaded: English alone where the name says so, and
/// Cantonese since large-v3. Home Assistant reads the languages once, when it is set up, so a good
/// guess is worth having.
pub fn presumed_languages(model: &str) -> Vec<String> {
    let mut parts = model.split(['.', '-', '/']).skip(1);
    let english_only = model == "demo" || parts.any(|part| part == "en");
    if english_only {
        return vec!["en".to_owned()];
    }
    let mut languages = WHISPER_LANGUAGES.map(str::to_owned).to_vec();
    if model.contains("large-v3") {
        languages.push("yue".to_owned());
    }
    languages
}

/// The answer. `known` are the model's languages; what is advertised is what can be answered. `ends_utterances`: the
/// server does, without a word of the client. `tells_words`: while speech goes on.
pub fn info(
    model: &str,
    known: &[String],
    rule: &LanguageRule,
    ends_utterances: bool,
    tells_words: bool,
) -> Info {
    let attribution = |name: &str, url: &str| Attribution {
        name: name.to_owned(),
        url: url.to_owned(),
    };
    let of_model = if model == "demo" {
        attribution(PROGRAM, "")
    } else {
        attribution("OpenAI", "https://github.com/openai/whisper")
    };
    let version = Some(telemetry::BUILD.0.to_owned());
    Info {
        asr: vec![AsrProgram {
            name: PROGRAM.to_owned(),
            attribution: attribution(PROGRAM, ""),
            installed: true,
            description: Some("Whisper speech-to-text on Candle".to_owned()),
            version: version.clone(),
            models: vec![AsrModel {
                name: model.to_owned(),
                attribution: of_model,
                installed: true,
                description: Some(format!("Whisper checkpoint {model}")),
                version,
                languages: rule.offered(known),
            }],
            supports_transcript_streaming: tells_words,
            requires_external_vad: !ends_utterances,
            // Whisper's log-mel is normalised per window, so gain changes nothing; it was trained
            // on noisy audio, and noise reduction smears what it knows.
            prefers_auto_gain_enabled: false,
            prefers_noise_reduction_enabled: false,
        }],
        ..Info::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_advertised_is_what_can_be_answered() {
        let rule = LanguageRule {
            allowed: vec!["de".to_owned(), "xx".to_owned()],
            ..LanguageRule::default()
        };
        let info = info(
            "openai/whisper-tiny",
            &presumed_languages("openai/whisper-tiny"),
            &rule,
            false,
            false,
        );
        assert_eq!(info.asr[0].models[0].languages, ["de"]);
        for english in [
            "openai/whisper-base.en",
            "distil-whisper/distil-small.en",
            "demo",
        ] {
            assert_eq!(presumed_languages(english), ["en"]);
        }
    }

    #[test]
    fn every_field_that_clients_require_is_written() {
        let info = info(
            "demo",
            &["en".to_owned()],
            &LanguageRule::default(),
            false,
            false,
        );
        let json = serde_json::to_value(info).unwrap();
        let program = &json["asr"][0];
        let model = &program["models"][0];
        for described in [program, model] {
            assert_eq!(described["installed"], true);
            for field in ["name", "description", "version"] {
                assert!(described[field].is_string(), "{field}: {described}");
            }
            for field in ["name", "url"] {
                assert!(described["attribution"][field].is_string(), "{described}");
            }
        }
        assert_eq!(model["languages"], serde_json::json!(["en"]));
        assert_eq!(program["requires_external_vad"], true);
        for field in [
            "supports_transcript_streaming",
            "prefers_auto_gain_enabled",
            "prefers_noise_reduction_enabled",
        ] {
            assert_eq!(program[field], false, "{field}");
        }
        for list in ["asr", "tts", "handle", "intent", "wake", "mic", "snd"] {
            assert!(json[list].is_array(), "{list}");
        }
        // Home Assistant takes a peer that has one for a satellite.
        assert!(json.get("satellite").is_none());
    }

    #[test]
    fn cantonese_is_presumed_of_models_that_know_it() {
        let yue = "yue".to_owned();
        assert!(presumed_languages("openai/whisper-large-v3-turbo").contains(&yue));
        assert!(!presumed_languages("openai/whisper-large-v2").contains(&yue));
    }
}
