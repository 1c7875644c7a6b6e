//! Text of a peer, cut to what a person reads.

use std::fmt;

/// Characters of an excerpt, escapes counted as they are printed.
const LONGEST: usize = 160;

/// The beginning of a text that a peer wrote, without control characters: for logs and errors. It has
/// 160 characters at most, and a mark where it was cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excerpt(Box<str>);

impl Excerpt {
    /// Cuts a text.
    pub fn of(text: &str) -> Self {
        let mut excerpt = String::new();
        let mut printed = 0_usize;
        for character in text.chars() {
            let escaped = character.escape_debug();
            // Quotes and backslashes are for the one who prints it to escape.
            let is_plain = escaped.len() == 1 || matches!(character, '"' | '\'' | '\\');
            printed = printed.saturating_add(escaped.len());
            if printed > LONGEST {
                excerpt.push('…');
                break;
            }
            if is_plain {
                excerpt.push(character);
            } else {
                excerpt.extend(escaped);
            }
        }
        Self(excerpt.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_text_stays_and_long_text_is_cut() {
        for text in ["", "de", "Zoë's \"room\"", "日本語"] {
            assert_eq!(Excerpt::of(text).as_str(), text);
        }
        let cut = Excerpt::of(&"a".repeat(1 << 20));
        assert_eq!(cut.as_str().chars().count(), LONGEST + 1);
        assert!(cut.as_str().ends_with("a…"));
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        let cut = Excerpt::of("a\u{1b}[2Jb\nc");
        assert_eq!(cut.as_str(), "a\\u{1b}[2Jb\\nc");
    }

    proptest! {
        #[test]
        fn it_is_short_however_it_is_printed(text in "\\PC{0,400}|[\\x00-\\x7f]{0,400}") {
            let excerpt = Excerpt::of(&text);
            prop_assert!(excerpt.to_string().chars().count() <= LONGEST + 1);
            // Printed with quotes, and with the backslashes of its escapes doubled.
            let quoted = format!("{:?}", excerpt.as_str()).chars().count();
            prop_assert!(quoted <= 2 * LONGEST + 3, "{quoted}");
            prop_assert!(!excerpt.as_str().chars().any(char::is_control));
        }
    }
}
