//! Which language an utterance is in: what the client says, within what the server allows. Pure.

use whisper::Language;

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

impl LanguageRule {
    /// What a client may ask for, of what the model knows.
    pub fn offered(&self, known: &[String]) -> Vec<String> {
        if let Some(forced) = &self.forced {
            return vec![forced.clone()];
        }
        let allowed = |code: &&String| self.allowed.is_empty() || self.allowed.contains(code);
        known.iter().filter(allowed).cloned().collect()
    }

    /// The language of one utterance. A client's unknown language is a fault unless one is forced:
    /// a guess would be silently wrong.
    ///
    /// # Errors
    /// [`Fault::UnsupportedLanguage`].
    pub fn choose(&self, asked: Option<&str>, known: &[String]) -> Result<Language, Fault> {
        if let Some(forced) = &self.forced {
            return Ok(Language::Fixed(forced.clone()));
        }
        let asked = asked
            .map(str::trim)
            .filter(|asked| !asked.is_empty() && *asked != "auto");
        let Some(asked) = asked else {
            return Ok(self.default.clone().map_or_else(
                || Language::Detect {
                    allowed: self.allowed.clone(),
                },
                Language::Fixed,
            ));
        };
        let offered = self.offered(known);
        resolve(asked, &offered)
            .map(Language::Fixed)
            .ok_or_else(|| Fault::UnsupportedLanguage {
                language: asked.to_owned(),
                available: offered,
            })
    }
}

/// The code among `known` that a tag or an English name stands for: `pt-BR` → `pt`, `nb` → `no`,
/// `iw` → `he`, `English` → `en`.
pub fn resolve(tag: &str, known: &[String]) -> Option<String> {
    let tag = tag.trim().to_lowercase().replace('_', "-");
    let base = tag.split('-').next().unwrap_or_default();
    let named = NAMES
        .iter()
        .find(|(name, _)| *name == tag)
        .map(|(_, code)| *code);
    let equal = EQUAL
        .iter()
        .find(|(other, _)| *other == base)
        .map(|(_, code)| *code);
    [Some(tag.as_str()), Some(base), equal, named]
        .into_iter()
        .flatten()
        .find(|code| known.iter().any(|known| known == code))
        .map(str::to_owned)
}

/// Codes that mean what Whisper calls otherwise.
const EQUAL: [(&str, &str); 6] = [
    ("nb", "no"),
    ("iw", "he"),
    ("in", "id"),
    ("fil", "tl"),
    ("jv", "jw"),
    ("cmn", "zh"),
];

/// English names that people type into settings.
const NAMES: [(&str, &str); 24] = [
    ("english", "en"),
    ("german", "de"),
    ("french", "fr"),
    ("spanish", "es"),
    ("castilian", "es"),
    ("italian", "it"),
    ("dutch", "nl"),
    ("portuguese", "pt"),
    ("polish", "pl"),
    ("russian", "ru"),
    ("ukrainian", "uk"),
    ("swedish", "sv"),
    ("norwegian", "no"),
    ("danish", "da"),
    ("finnish", "fi"),
    ("czech", "cs"),
    ("turkish", "tr"),
    ("greek", "el"),
    ("hungarian", "hu"),
    ("japanese", "ja"),
    ("korean", "ko"),
    ("chinese", "zh"),
    ("mandarin", "zh"),
    ("cantonese", "yue"),
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
            ("fr", None),
            ("", None),
        ] {
            assert_eq!(resolve(tag, &known()).as_deref(), code, "{tag}");
        }
    }

    fn check(rule: &LanguageRule, asked: Option<&str>, expected: Result<Language, &str>) {
        let chosen = rule.choose(asked, &known());
        match (chosen, expected) {
            (Ok(language), Ok(expected)) => assert_eq!(language, expected),
            (Err(Fault::UnsupportedLanguage { language, .. }), Err(expected)) => {
                assert_eq!(language, expected);
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
}
