//! Which names are used. Pure.

use std::collections::BTreeSet;
use std::fmt;

/// Names that are used, all origins together. A large home has some hundreds.
pub const MOST_NAMES: usize = 10_000;
/// Bytes of all names together: names of 26 bytes on average, when there are so many.
pub const MOST_BYTES: usize = 256 * 1024;
/// Characters of a name. A longer text is a sentence and is not spoken as a name.
pub const LONGEST: usize = 100;

/// The names of one origin that can be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usable {
    /// Each once, in the order in which they came, white space folded.
    pub names: Vec<String>,
    /// What was left out.
    pub left_out: LeftOut,
}

/// How many names were left out, by reason. Names that occur twice do not count, nor empty ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Of more than [`LONGEST`] characters.
    pub too_long: usize,
    /// With neither a letter nor a digit.
    pub unspeakable: usize,
    /// With control characters.
    pub control: usize,
    /// Beyond [`MOST_NAMES`] or [`MOST_BYTES`].
    pub beyond_limit: usize,
}

impl LeftOut {
    /// Whether nothing was left out.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// For the log: `2 of more than 100 characters, 1 with control characters`.
impl fmt::Display for LeftOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons = [
            (self.too_long, format!("of more than {LONGEST} characters")),
            (self.unspeakable, "without a letter or digit".to_owned()),
            (self.control, "with control characters".to_owned()),
            (
                self.beyond_limit,
                format!("beyond {MOST_NAMES} names or {MOST_BYTES} bytes"),
            ),
        ];
        let parts: Vec<String> = reasons
            .into_iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, reason)| format!("{number} {reason}"))
            .collect();
        formatter.write_str(&parts.join(", "))
    }
}

/// Keeps what can be used of the names of one origin.
pub fn usable<'n>(names: impl IntoIterator<Item = &'n str>) -> Usable {
    let mut usable = Usable::default();
    let mut list = List::default();
    for name in names {
        let left_out = &mut usable.left_out;
        // As bytes: a text of megabytes need not be split and counted.
        if name.len() > 4 * LONGEST && name.trim().len() > 4 * LONGEST {
            left_out.too_long += 1;
            continue;
        }
        let folded = name.split_whitespace().collect::<Vec<_>>().join(" ");
        if folded.is_empty() {
            continue;
        }
        if folded.chars().count() > LONGEST {
            left_out.too_long += 1;
        } else if folded.chars().any(is_control) {
            left_out.control += 1;
        } else if !folded.chars().any(char::is_alphanumeric) {
            left_out.unspeakable += 1;
        } else if !list.push(folded) {
            left_out.beyond_limit += 1;
        }
    }
    usable.names = list.names;
    usable
}

/// The names of several origins as one list, those of the first origin first; and how many had no room.
pub fn merged<'n>(lists: impl IntoIterator<Item = &'n [String]>) -> (Vec<String>, usize) {
    let mut list = List::default();
    let names = lists.into_iter().flatten();
    let beyond = names.filter(|name| !list.push((*name).clone())).count();
    (list.names, beyond)
}

/// Control characters, and those that only change the direction of a text.
fn is_control(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

/// Names, each once, within the limits.
#[derive(Debug, Default)]
struct List {
    names: Vec<String>,
    /// In lower case: of two spellings that differ by that only, the first is used.
    known: BTreeSet<String>,
    bytes: usize,
}

impl List {
    /// False when there is no room. A name that is in the list already needs none.
    fn push(&mut self, name: String) -> bool {
        let key = name.to_lowercase();
        if self.known.contains(&key) {
            return true;
        }
        if self.names.len() == MOST_NAMES || self.bytes + name.len() > MOST_BYTES {
            return false;
        }
        self.bytes += name.len();
        self.known.insert(key);
        self.names.push(name);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &[&str], expected: &[&str], left_out: LeftOut) {
        let usable = usable(names.iter().copied());
        assert_eq!(usable.names, expected, "{names:?}");
        assert_eq!(usable.left_out, left_out, "{names:?}");
    }

    #[test]
    fn names_are_used_as_they_are_written() {
        let names = ["Küche", "WLED", "Zigbee2MQTT", "灯", "X", "Кухня", "2"];
        check(&names, &names, LeftOut::default());
    }

    #[test]
    fn white_space_is_folded_and_each_name_is_used_once() {
        check(
            &[
                "  Küche\t links ",
                "",
                " ",
                "küche links",
                "Küche links",
                "Bad",
            ],
            &["Küche links", "Bad"],
            LeftOut::default(),
        );
    }

    #[test]
    fn what_is_no_name_is_counted_by_its_reason() {
        let long = "a".repeat(LONGEST + 1);
        let longer = "ü".repeat(5_000);
        let longest = "ü".repeat(LONGEST);
        check(
            &[
                &long,
                &longer,
                &longest,
                "…",
                "---",
                "a\u{0}b",
                "\u{202e}abc",
            ],
            &[&longest],
            LeftOut {
                too_long: 2,
                unspeakable: 2,
                control: 2,
                beyond_limit: 0,
            },
        );
    }

    #[test]
    fn the_first_names_are_used_when_there_are_too_many() {
        let many: Vec<String> = (0..MOST_NAMES + 7).map(|n| format!("lamp {n}")).collect();
        let of_many = usable(many.iter().map(String::as_str).chain(["Lamp 3"]));
        assert_eq!(of_many.names, many[..MOST_NAMES]);
        assert_eq!(of_many.left_out.beyond_limit, 7);

        let long: Vec<String> = (0..9_000).map(|n| format!("{n:0>50}")).collect();
        let of_long = usable(long.iter().map(String::as_str));
        assert_eq!(of_long.names.len(), MOST_BYTES / 50);
        assert_eq!(of_long.left_out.beyond_limit, 9_000 - MOST_BYTES / 50);
    }

    #[test]
    fn the_names_of_the_first_origin_come_first() {
        let file = ["Küche".to_owned(), "Bad".to_owned()];
        let home: Vec<String> = (0..MOST_NAMES - 1)
            .map(|n| format!("lamp {n}"))
            .chain(["BAD".to_owned()])
            .collect();
        let (names, beyond) = merged([&file[..], &home]);
        assert_eq!(names[..3], ["Küche", "Bad", "lamp 0"]);
        assert_eq!((names.len(), beyond), (MOST_NAMES, 1));
    }

    #[test]
    fn a_reason_is_logged_with_its_number() {
        let left_out = LeftOut {
            too_long: 2,
            control: 1,
            ..LeftOut::default()
        };
        assert_eq!(
            left_out.to_string(),
            "2 of more than 100 characters, 1 with control characters"
        );
        assert!(!left_out.is_empty() && LeftOut::default().is_empty());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_name_or_left_out(names in proptest::collection::vec(".{0,120}", 0..20)) {
            let usable = usable(names.iter().map(String::as_str));
            for name in &usable.names {
                proptest::prop_assert!(name.chars().count() <= LONGEST);
                proptest::prop_assert!(!name.chars().any(is_control));
                proptest::prop_assert!(names.iter().any(|given| given.split_whitespace().eq(name.split(' '))));
            }
        }
    }
}
