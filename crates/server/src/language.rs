//! Which language an utterance is in: what the client says, within what the server allows. Pure.

use whisper::Language;
use wyoming::Excerpt;

use crate::fault::Fault;

/// The server's rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LanguageRule {
    /// Wins over everything.
    pub forced: Option<String>,
    /// When the client says nothing; detected when this is `None`.
    pub default: Option<String>,
    /// What may be answered and detected; everything when empty.
    pub allowed: Vec<String>,
}

/// A rule that a model cannot follow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LanguageError {
    /// Every utterance, or each that names no language, would fail.
    #[error("{flag} {language}: this model knows only {}", known.join(", "))]
    Unknown {
        /// The setting.
        flag: &'static str,
        /// What it says.
        language: String,
        /// What the model knows.
        known: Vec<String>,
    },
    /// Nothing could be answered.
    #[error("--allowed-languages {}: this model knows only {}", allowed.join(","), known.join(", "))]
    NoneAllowed {
        /// What the setting says.
        allowed: Vec<String>,
        /// What the model knows.
        known: Vec<String>,
    },
}

impl LanguageRule {
    /// Whether a model that knows these languages can follow the rule.
    ///
    /// # Errors
    /// [`LanguageError`].
    pub fn check(&self, known: &[String]) -> Result<(), LanguageError> {
        let settings = [
            ("--force-language", &self.forced),
            ("--language", &self.default),
        ];
        for (flag, language) in settings {
            let is_unknown = |code: &&String| resolve(code, known).is_none();
            if let Some(language) = language.as_ref().filter(is_unknown) {
                return Err(LanguageError::Unknown {
                    flag,
                    language: language.clone(),
                    known: known.to_vec(),
                });
            }
        }
        if self.offered(known).is_empty() && !self.allowed.is_empty() {
            return Err(LanguageError::NoneAllowed {
                allowed: self.allowed.clone(),
                known: known.to_vec(),
            });
        }
        Ok(())
    }

    /// What a client may ask for, of what the model knows.
    pub fn offered(&self, known: &[String]) -> Vec<String> {
        if let Some(forced) = &self.forced {
            return vec![of_model(forced, known)];
        }
        if self.allowed.is_empty() {
            return known.to_vec();
        }
        let allowed: Vec<String> = self
            .allowed
            .iter()
            .filter_map(|code| resolve(code, known))
            .collect();
        known
            .iter()
            .filter(|code| allowed.contains(code))
            .cloned()
            .collect()
    }

    /// What may be detected; everything when empty. A language of the setting that the model lacks is
    /// kept, so that a list of such does not allow everything.
    fn detected(&self, known: &[String]) -> Vec<String> {
        let own = |code: &String| of_model(code, known);
        self.allowed.iter().map(own).collect()
    }

    /// The language of one utterance. A client's unknown language is a fault unless one is forced:
    /// a guess would be silently wrong.
    ///
    /// # Errors
    /// [`Fault::UnsupportedLanguage`].
    pub fn choose(&self, asked: Option<&str>, known: &[String]) -> Result<Language, Fault> {
        if let Some(forced) = &self.forced {
            return Ok(Language::Fixed(of_model(forced, known)));
        }
        let asked = asked
            .map(str::trim)
            .filter(|asked| !asked.is_empty() && *asked != "auto");
        let Some(asked) = asked else {
            return Ok(match &self.default {
                Some(default) => Language::Fixed(of_model(default, known)),
                None => Language::Detect {
                    allowed: self.detected(known),
                },
            });
        };
        let offered = self.offered(known);
        resolve(asked, &offered)
            .map(Language::Fixed)
            .ok_or_else(|| Fault::UnsupportedLanguage {
                language: Excerpt::of(asked),
                available: offered,
            })
    }
}

/// A code of a setting, as the model writes it.
fn of_model(code: &str, known: &[String]) -> String {
    resolve(code, known).unwrap_or_else(|| code.to_owned())
}

/// The code among `known` that a tag or an English name stands for: `pt-BR` → `pt`, `nb` → `no`,
/// `iw` → `he`, `zh-HK` → `zh`, `English` → `en`. Codes of one language stand for each other, whichever
/// of them a model has.
pub fn resolve(tag: &str, known: &[String]) -> Option<String> {
    let name = tag.trim().to_lowercase();
    let tag = name.replace('_', "-");
    let base = tag.split('-').next().unwrap_or_default();
    let named = NAMES
        .iter()
        .find(|(other, _)| *other == name)
        .map(|(_, code)| *code);
    let exact = [tag.as_str(), base];
    let others = [base].into_iter().chain(named).flat_map(same_as);
    exact
        .into_iter()
        .chain(others)
        .find(|code| known.iter().any(|known| known == code))
        .map(str::to_owned)
}

/// Whisper's English name of a language, in lower case.
pub fn english_name(code: &str) -> Option<&'static str> {
    let is_name = |(name, named): &&(&str, &str)| *named == code && !OTHER_NAMES.contains(name);
    NAMES.iter().find(is_name).map(|(name, _)| *name)
}

/// Names among [`NAMES`] that openai-whisper takes beside its own.
const OTHER_NAMES: [&str; 12] = [
    "burmese",
    "castilian",
    "flemish",
    "haitian",
    "letzeburgesch",
    "mandarin",
    "moldavian",
    "moldovan",
    "panjabi",
    "pushto",
    "sinhalese",
    "valencian",
];

/// The codes of this language, the usual one first; the code itself where it has no other.
fn same_as(code: &str) -> impl Iterator<Item = &str> {
    let known = SAME.iter().find(|codes| codes.contains(&code));
    let others = known.into_iter().flat_map(|codes| codes.iter().copied());
    std::iter::once(code).chain(others)
}

/// Codes of one language, or of two that people do not tell apart when they choose one: what ISO 639
/// renamed and Whisper or Home Assistant has not, and the parts of what they take for one.
const SAME: [&[&str]; 9] = [
    // Norwegian; Bokmål; Nynorsk, which Whisper has too.
    &["no", "nb", "nn"],
    &["he", "iw"],
    &["id", "in"],
    &["yi", "ji"],
    // Whisper kept the old code of Javanese.
    &["jw", "jv"],
    &["tl", "fil"],
    &["zh", "cmn"],
    &["ro", "mo"],
    &["fa", "pes", "prs"],
];

/// Whisper's English names of its languages and their other names, as openai-whisper's command line
/// takes them (`tokenizer.py`).
const NAMES: [(&str, &str); 112] = [
    ("afrikaans", "af"),
    ("albanian", "sq"),
    ("amharic", "am"),
    ("arabic", "ar"),
    ("armenian", "hy"),
    ("assamese", "as"),
    ("azerbaijani", "az"),
    ("bashkir", "ba"),
    ("basque", "eu"),
    ("belarusian", "be"),
    ("bengali", "bn"),
    ("bosnian", "bs"),
    ("breton", "br"),
    ("bulgarian", "bg"),
    ("burmese", "my"),
    ("cantonese", "yue"),
    ("castilian", "es"),
    ("catalan", "ca"),
    ("chinese", "zh"),
    ("croatian", "hr"),
    ("czech", "cs"),
    ("danish", "da"),
    ("dutch", "nl"),
    ("english", "en"),
    ("estonian", "et"),
    ("faroese", "fo"),
    ("finnish", "fi"),
    ("flemish", "nl"),
    ("french", "fr"),
    ("galician", "gl"),
    ("georgian", "ka"),
    ("german", "de"),
    ("greek", "el"),
    ("gujarati", "gu"),
    ("haitian", "ht"),
    ("haitian creole", "ht"),
    ("hausa", "ha"),
    ("hawaiian", "haw"),
    ("hebrew", "he"),
    ("hindi", "hi"),
    ("hungarian", "hu"),
    ("icelandic", "is"),
    ("indonesian", "id"),
    ("italian", "it"),
    ("japanese", "ja"),
    ("javanese", "jw"),
    ("kannada", "kn"),
    ("kazakh", "kk"),
    ("khmer", "km"),
    ("korean", "ko"),
    ("lao", "lo"),
    ("latin", "la"),
    ("latvian", "lv"),
    ("letzeburgesch", "lb"),
    ("lingala", "ln"),
    ("lithuanian", "lt"),
    ("luxembourgish", "lb"),
    ("macedonian", "mk"),
    ("malagasy", "mg"),
    ("malay", "ms"),
    ("malayalam", "ml"),
    ("maltese", "mt"),
    ("mandarin", "zh"),
    ("maori", "mi"),
    ("marathi", "mr"),
    ("moldavian", "ro"),
    ("moldovan", "ro"),
    ("mongolian", "mn"),
    ("myanmar", "my"),
    ("nepali", "ne"),
    ("norwegian", "no"),
    ("nynorsk", "nn"),
    ("occitan", "oc"),
    ("panjabi", "pa"),
    ("pashto", "ps"),
    ("persian", "fa"),
    ("polish", "pl"),
    ("portuguese", "pt"),
    ("punjabi", "pa"),
    ("pushto", "ps"),
    ("romanian", "ro"),
    ("russian", "ru"),
    ("sanskrit", "sa"),
    ("serbian", "sr"),
    ("shona", "sn"),
    ("sindhi", "sd"),
    ("sinhala", "si"),
    ("sinhalese", "si"),
    ("slovak", "sk"),
    ("slovenian", "sl"),
    ("somali", "so"),
    ("spanish", "es"),
    ("sundanese", "su"),
    ("swahili", "sw"),
    ("swedish", "sv"),
    ("tagalog", "tl"),
    ("tajik", "tg"),
    ("tamil", "ta"),
    ("tatar", "tt"),
    ("telugu", "te"),
    ("thai", "th"),
    ("tibetan", "bo"),
    ("turkish", "tr"),
    ("turkmen", "tk"),
    ("ukrainian", "uk"),
    ("urdu", "ur"),
    ("uzbek", "uz"),
    ("valencian", "ca"),
    ("vietnamese", "vi"),
    ("welsh", "cy"),
    ("yiddish", "yi"),
    ("yoruba", "yo"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<String> {
        ["de", "en", "he", "no", "pt"].map(str::to_owned).to_vec()
    }

    #[test]
    fn tags_and_names_are_resolved() {
        for (tag, code) in [
            ("pt-BR", Some("pt")),
            ("EN_us", Some("en")),
            ("nb", Some("no")),
            ("iw", Some("he")),
            ("German", Some("de")),
            (" Portuguese ", Some("pt")),
            ("no-NO", Some("no")),
            ("nb_NO", Some("no")),
            ("-", None),
            ("fr", None),
            ("", None),
        ] {
            assert_eq!(resolve(tag, &known()).as_deref(), code, "{tag}");
        }
    }

    #[test]
    fn each_language_has_one_english_name() {
        let codes: std::collections::BTreeSet<&str> = NAMES.iter().map(|(_, code)| *code).collect();
        assert_eq!(NAMES.len() - OTHER_NAMES.len(), codes.len());
        for (code, name) in [
            ("es", "spanish"),
            ("ro", "romanian"),
            ("my", "myanmar"),
            ("yue", "cantonese"),
        ] {
            assert_eq!(english_name(code), Some(name));
        }
        assert_eq!(english_name("xx"), None);
    }

    #[test]
    fn codes_of_one_language_are_one() {
        let of = |codes: &[&str]| {
            codes
                .iter()
                .map(|&code| code.to_owned())
                .collect::<Vec<_>>()
        };
        for codes in SAME {
            for asked in codes {
                // Whichever the model has, each of the others asks for it.
                for has in codes {
                    let found = resolve(&asked.to_uppercase(), &of(&["en", has]));
                    assert_eq!(
                        found.as_deref(),
                        Some(*has),
                        "{asked} of a model with {has}"
                    );
                }
                // A model that has several gives the one that was asked for.
                assert_eq!(resolve(asked, &of(codes)).as_deref(), Some(*asked));
            }
        }
        for asked in ["nn-NO", "nb", "no", "Norwegian"] {
            assert_eq!(
                resolve(asked, &of(&["no"])).as_deref(),
                Some("no"),
                "{asked}"
            );
        }
        assert_eq!(resolve("Hebrew", &of(&["iw"])).as_deref(), Some("iw"));
    }

    #[test]
    fn a_setting_means_the_language_whatever_the_model_calls_it() {
        let known = ["en", "iw", "no"].map(str::to_owned);
        let forced = LanguageRule {
            forced: Some("he".to_owned()),
            ..LanguageRule::default()
        };
        let default = LanguageRule {
            default: Some("he".to_owned()),
            ..LanguageRule::default()
        };
        for rule in [&forced, &default] {
            assert_eq!(rule.check(&known), Ok(()));
            let chosen = rule.choose(None, &known).unwrap();
            assert_eq!(chosen, Language::Fixed("iw".to_owned()));
        }
        assert_eq!(forced.offered(&known), ["iw"]);
        let allowed = LanguageRule {
            allowed: ["he", "nn"].map(str::to_owned).to_vec(),
            ..LanguageRule::default()
        };
        assert_eq!(allowed.check(&known), Ok(()));
        assert_eq!(allowed.offered(&known), ["iw", "no"]);
        let chosen = allowed.choose(Some("nb-NO"), &known).unwrap();
        assert_eq!(chosen, Language::Fixed("no".to_owned()));
        let detected = Language::Detect {
            allowed: ["iw", "no"].map(str::to_owned).to_vec(),
        };
        assert_eq!(allowed.choose(None, &known).unwrap(), detected);
    }

    fn check(rule: &LanguageRule, asked: Option<&str>, expected: Result<Language, &str>) {
        let chosen = rule.choose(asked, &known());
        match (chosen, expected) {
            (Ok(language), Ok(expected)) => assert_eq!(language, expected),
            (Err(Fault::UnsupportedLanguage { language, .. }), Err(expected)) => {
                assert_eq!(language.as_str(), expected);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_forced_language_wins_over_the_client() {
        let rule = LanguageRule {
            forced: Some("de".to_owned()),
            ..LanguageRule::default()
        };
        for asked in [None, Some("en"), Some("xx")] {
            check(&rule, asked, Ok(Language::Fixed("de".to_owned())));
        }
        assert_eq!(rule.offered(&known()), ["de"]);
    }

    #[test]
    fn only_allowed_languages_are_answered_and_detected() {
        let allowed = vec!["de".to_owned(), "en".to_owned()];
        let rule = LanguageRule {
            allowed: allowed.clone(),
            ..LanguageRule::default()
        };
        check(&rule, None, Ok(Language::Detect { allowed }));
        check(
            &rule,
            Some("auto"),
            Ok(Language::Detect {
                allowed: rule.allowed.clone(),
            }),
        );
        check(&rule, Some("de-AT"), Ok(Language::Fixed("de".to_owned())));
        check(&rule, Some("pt"), Err("pt"));
    }

    #[test]
    fn the_default_counts_when_the_client_says_nothing() {
        let rule = LanguageRule {
            default: Some("pt".to_owned()),
            ..LanguageRule::default()
        };
        check(&rule, None, Ok(Language::Fixed("pt".to_owned())));
        check(&rule, Some("en"), Ok(Language::Fixed("en".to_owned())));
    }

    #[test]
    fn every_name_stands_for_a_language_of_whisper_once() {
        let codes: Vec<String> = NAMES.map(|(_, code)| code.to_owned()).to_vec();
        for (name, code) in NAMES {
            assert_eq!(resolve(name, &codes).as_deref(), Some(code), "{name}");
        }
        let mut whisper = crate::describe::presumed_languages("large-v3");
        let mut named = codes;
        whisper.sort();
        named.sort();
        named.dedup();
        assert_eq!(named, whisper);
    }

    #[test]
    fn a_rule_that_the_model_cannot_follow_is_told() {
        let known = ["en".to_owned()];
        let rule = |forced: Option<&str>, default: Option<&str>, allowed: &[&str]| LanguageRule {
            forced: forced.map(str::to_owned),
            default: default.map(str::to_owned),
            allowed: allowed.iter().map(|&code| code.to_owned()).collect(),
        };
        for good in [
            rule(None, None, &[]),
            rule(Some("en"), Some("en"), &["en", "de"]),
        ] {
            assert_eq!(good.check(&known), Ok(()));
        }
        for (bad, text) in [
            (
                rule(Some("de"), None, &[]),
                "--force-language de: this model knows only en",
            ),
            (
                rule(None, Some("de"), &[]),
                "--language de: this model knows only en",
            ),
            (
                rule(None, None, &["de", "fr"]),
                "--allowed-languages de,fr: this model knows only en",
            ),
        ] {
            assert_eq!(bad.check(&known).unwrap_err().to_string(), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_chosen_is_offered(
            asked in proptest::option::of("[a-zA-Z_-]{0,8}"),
            allowed in proptest::collection::vec("de|en|fr|xx", 0..3),
        ) {
            let rule = LanguageRule { allowed, ..LanguageRule::default() };
            if let Ok(Language::Fixed(code)) = rule.choose(asked.as_deref(), &known()) {
                proptest::prop_assert!(rule.offered(&known()).contains(&code));
            }
        }
    }
}
