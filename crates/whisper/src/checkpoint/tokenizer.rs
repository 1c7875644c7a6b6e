//! Tokenizers of checkpoints that have no `tokenizer.json`: its text is made of the words.
//!
//! Whisper's tokenizers are byte-level: each byte has a printable stand-in, and words are texts of these. OpenAI numbers
//! the words in the order of the merges that make them, so the merges follow from the words (as tiktoken finds them).

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

use serde_json::{Value, json};

/// OpenAI's languages in the order of their tokens (`whisper/tokenizer.py`); the last came with large-v3.
const LANGUAGES: [&str; 100] = [
    "en", "zh", "de", "es", "ru", "ko", "fr", "ja", "pt", "tr", "pl", "ca", "nl", "ar", "sv", "it",
    "id", "hi", "fi", "vi", "he", "uk", "el", "ms", "cs", "ro", "da", "hu", "ta", "no", "th", "ur",
    "hr", "bg", "lt", "la", "mi", "ml", "cy", "sk", "te", "fa", "lv", "bn", "sr", "az", "sl", "kn",
    "et", "mk", "br", "eu", "is", "hy", "ne", "mn", "bs", "kk", "sq", "sw", "gl", "mr", "pa", "si",
    "km", "sn", "yo", "so", "af", "oc", "ka", "be", "tg", "sd", "gu", "am", "yi", "lo", "uz", "fo",
    "ht", "ps", "tk", "nn", "mt", "sa", "lb", "my", "bo", "tl", "mg", "as", "tt", "haw", "ln",
    "ha", "ba", "jw", "su", "yue",
];

/// A token that is not made of bytes by merging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Added {
    pub(super) id: u32,
    /// As it is written, without stand-ins.
    pub(super) text: String,
    /// Whether it steers decoding, and is no part of a text.
    pub(super) is_special: bool,
}

/// Text of a `tokenizer.json`. `words`: with their stand-ins of bytes, by token; those that no merge can make are only
/// decoded.
pub(super) fn from_words(words: &BTreeMap<u32, String>, added: &[Added]) -> Vec<u8> {
    let merges = merges(words);
    with_merges(words, &merges, added)
}

/// Text of a `tokenizer.json`, where the merges are known.
pub(super) fn with_merges(
    words: &BTreeMap<u32, String>,
    merges: &[(String, String)],
    added: &[Added],
) -> Vec<u8> {
    let vocab: serde_json::Map<String, Value> = words
        .iter()
        .map(|(token, word)| (word.clone(), json!(token)))
        .collect();
    let added: Vec<Value> = added
        .iter()
        .map(|added| {
            json!({
                "id": added.id,
                "content": added.text,
                "special": added.is_special,
                "single_word": false,
                "lstrip": false,
                "rstrip": false,
                "normalized": false,
            })
        })
        .collect();
    let byte_level = json!({
        "type": "ByteLevel",
        "add_prefix_space": false,
        "trim_offsets": true,
        "use_regex": true,
    });
    let tokenizer = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": byte_level,
        "post_processor": null,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": false,
            "byte_fallback": false,
            "vocab": vocab,
            "merges": merges,
        },
    });
    tokenizer.to_string().into_bytes()
}

/// OpenAI's special tokens for a vocabulary of this size, timestamps left out: they follow `<|notimestamps|>`. `None` for
/// a vocabulary that is not OpenAI's.
pub(super) fn special_tokens(vocabulary: usize) -> Option<Vec<Added>> {
    // The multilingual words have one more, and large-v3 has one language more.
    let words = match vocabulary {
        51_864 => 50_256,
        51_865 | 51_866 => 50_257,
        _ => return None,
    };
    special_tokens_behind(words, vocabulary)
}

/// As [`special_tokens`], for so many words; `None` where what is left is no number of languages.
pub(super) fn special_tokens_behind(words: usize, vocabulary: usize) -> Option<Vec<Added>> {
    /// `<|endoftext|>` to `<|notimestamps|>` without languages, and timestamps from 0 s to 30 s.
    const OTHERS: usize = 8 + 1501;
    let languages = vocabulary.checked_sub(words)?.checked_sub(OTHERS)?;
    if languages > LANGUAGES.len() {
        return None;
    }
    let first = u32::try_from(words).ok()?;
    let names = ["endoftext", "startoftranscript"]
        .into_iter()
        .chain(LANGUAGES.into_iter().take(languages))
        .chain([
            "translate",
            "transcribe",
            "startoflm",
            "startofprev",
            "nospeech",
            "notimestamps",
        ]);
    let added = (first..).zip(names).map(|(id, name)| Added {
        id,
        text: format!("<|{name}|>"),
        is_special: true,
    });
    Some(added.collect())
}

/// Splits a vocabulary in which all tokens are listed: words are those before the first special token; what follows is
/// special if it looks so, or a word that was added. Timestamps at the end are left out: they are known by number. Before
/// words that were added they stay, since the tokenizer numbers its added tokens without gaps.
pub(super) fn from_list(tokens: impl IntoIterator<Item = String>) -> Vec<u8> {
    let mut words = BTreeMap::new();
    let mut added = Vec::new();
    for (id, text) in (0..).zip(tokens) {
        let is_special = looks_special(&text);
        if added.is_empty() && !is_special {
            words.insert(id, text);
        } else {
            added.push(Added {
                id,
                text,
                is_special,
            });
        }
    }
    while added
        .pop_if(|last: &mut Added| is_timestamp(&last.text))
        .is_some()
    {}
    from_words(&words, &added)
}

/// Whether a token is written like those that steer decoding: `<|en|>`.
pub(crate) fn looks_special(text: &str) -> bool {
    inner(text).is_some()
}

/// Whether a token is written like a timestamp: `<|1.04|>`.
pub(crate) fn is_timestamp(text: &str) -> bool {
    let is_time =
        |inner: &str| inner.contains('.') && inner.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    inner(text).is_some_and(is_time)
}

fn inner(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("<|")?.strip_suffix("|>")?;
    (!inner.is_empty()).then_some(inner)
}

/// The printable stand-ins of bytes: themselves, or the next free character from U+0100 on.
pub(super) fn stand_ins() -> [char; 256] {
    let mut free = '\u{100}'..;
    std::array::from_fn(|byte| {
        let byte = u8::try_from(byte).unwrap_or_default();
        let is_printable = matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let stand_in = is_printable.then(|| char::from(byte));
        stand_in.or_else(|| free.next()).unwrap_or_default()
    })
}

/// Bytes as the text of their stand-ins.
pub(super) fn with_stand_ins(bytes: &[u8]) -> String {
    static STAND_INS: LazyLock<[char; 256]> = LazyLock::new(stand_ins);
    let stand_in = |byte: &u8| STAND_INS[usize::from(*byte)];
    bytes.iter().map(stand_in).collect()
}

/// Of each word that merging of earlier words makes, the last merge, in the order of the words.
fn merges(words: &BTreeMap<u32, String>) -> Vec<(String, String)> {
    let ranks: HashMap<&str, u32> = words
        .iter()
        .map(|(token, word)| (word.as_str(), *token))
        .collect();
    let merge = |(token, word): (&u32, &String)| last_merge(&ranks, *token, word);
    words.iter().filter_map(merge).collect()
}

/// Merges the stand-ins of `word` as encoding does, with words before `token`; `None` unless two parts are left.
fn last_merge(ranks: &HashMap<&str, u32>, token: u32, word: &str) -> Option<(String, String)> {
    /// OpenAI's longest word has 128 stand-ins (spaces and dots); longer ones would take a time of its square.
    const LONGEST: usize = 256;
    let mut cuts: Vec<usize> = word.char_indices().map(|(at, _)| at).collect();
    cuts.push(word.len());
    if !(3..=LONGEST).contains(&cuts.len()) {
        return None;
    }
    while cuts.len() > 3 {
        let rank = |cuts: &[usize]| {
            let merged = word.get(cuts[0]..cuts[2])?;
            ranks.get(merged).copied().filter(|rank| *rank < token)
        };
        let pairs = cuts.windows(3).enumerate();
        let (_, left) = pairs
            .filter_map(|(left, cuts)| Some((rank(cuts)?, left)))
            .min()?;
        cuts.remove(left + 1);
    }
    let (left, right) = word.split_at_checked(cuts[1])?;
    let is_known = |part: &str| ranks.get(part).is_some_and(|rank| *rank < token);
    (is_known(left) && is_known(right)).then(|| (left.to_owned(), right.to_owned()))
}

#[cfg(test)]
mod tests {
    use tokenizers::Tokenizer;

    use super::*;

    #[cfg(feature = "demo-model")]
    #[test]
    fn merges_follow_from_the_words() {
        use tokenizers::Model as _;

        let demo = crate::Checkpoint::demo().unwrap();
        let json: Value = serde_json::from_slice(demo.tokenizer_json()).unwrap();
        let known = Tokenizer::from_bytes(demo.tokenizer_json()).unwrap();
        let vocabulary = known.get_model().get_vocab().into_iter();
        let words: BTreeMap<u32, String> = vocabulary.map(|(word, token)| (token, word)).collect();
        let expected: Vec<(String, String)> = json["model"]["merges"]
            .as_array()
            .unwrap()
            .iter()
            .map(|merge| match merge {
                Value::String(pair) => {
                    let (left, right) = pair.split_once(' ').unwrap();
                    (left.to_owned(), right.to_owned())
                }
                pair => serde_json::from_value(pair.clone()).unwrap(),
            })
            .collect();
        assert!(expected.len() > 100);
        assert_eq!(merges(&words), expected);
    }

    #[test]
    fn a_list_of_tokens_becomes_a_tokenizer() {
        let bytes = stand_ins().map(String::from).into_iter();
        let rest = [
            "ab",
            "Ġab",
            "<|endoftext|>",
            "<|en|>",
            "<|notimestamps|>",
            "<|0.00|>",
            "<|0.02|>",
            "Straße",
        ];
        let json = from_list(bytes.chain(rest.map(str::to_owned)));
        let tokenizer = Tokenizer::from_bytes(&json).unwrap();
        let ids = |text: &str| tokenizer.encode(text, false).unwrap().get_ids().to_vec();
        assert_eq!(ids("ab ab"), [256, 257]);
        assert_eq!(ids("Straße"), [263]);
        assert_eq!(tokenizer.decode(&[256, 257], false).unwrap(), "ab ab");
        assert_eq!(tokenizer.token_to_id("<|notimestamps|>"), Some(260));
        assert_eq!(tokenizer.token_to_id("<|0.02|>"), Some(262));
        let bytes = stand_ins().map(String::from).into_iter();
        let json = from_list(bytes.chain(rest[..7].iter().map(|&text| text.to_owned())));
        let tokenizer = Tokenizer::from_bytes(&json).unwrap();
        assert_eq!(tokenizer.token_to_id("<|notimestamps|>"), Some(260));
        assert_eq!(tokenizer.token_to_id("<|0.00|>"), None);
    }

    #[test]
    fn openais_special_tokens_end_where_timestamps_begin() {
        for (vocabulary, end) in [(51_864, 50_256), (51_865, 50_257), (51_866, 50_257)] {
            let added = special_tokens(vocabulary).unwrap();
            assert_eq!(added[0].id, end);
            let last = added.last().unwrap();
            assert_eq!(last.text, "<|notimestamps|>");
            assert_eq!(usize::try_from(last.id).unwrap() + 1502, vocabulary);
        }
        assert_eq!(special_tokens(51_867), None);
    }

    #[test]
    fn timestamps_are_told_from_other_tokens() {
        assert!(is_timestamp("<|0.00|>") && is_timestamp("<|29.98|>"));
        for other in ["<|en|>", "<|1|>", "1.00", "<||>", "<|"] {
            assert!(!is_timestamp(other), "{other}");
        }
        assert!(!looks_special("<||>") && !looks_special("<|>"));
    }
}
