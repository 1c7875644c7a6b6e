//! Which languages a checkpoint knows, by its small files.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Checkpoint, LoadError};

/// Codes of the languages that a checkpoint can transcribe, as [`Vocabulary::languages`](crate::Vocabulary::languages): without the tokenizer's words,
/// which take a while to read.
pub(super) fn languages_of(checkpoint: &Checkpoint) -> Result<Vec<String>, LoadError> {
    #[derive(Deserialize)]
    struct Tokens {
        #[serde(default)]
        added_tokens: Vec<Token>,
    }
    #[derive(Deserialize)]
    struct Token {
        id: u32,
        content: String,
    }
    let tokens: Tokens = serde_json::from_slice(checkpoint.tokenizer_json()).map_err(|source| {
        LoadError::Tokenizer {
            origin: checkpoint.origin().to_owned(),
            source: source.into(),
        }
    })?;
    let added = tokens.added_tokens.iter();
    let added = added.map(|token| (token.content.as_str(), token.id));
    Ok(codes(&languages(checkpoint, added)))
}

/// Their codes; `en` alone where there is none.
pub(crate) fn codes(languages: &BTreeMap<String, u32>) -> Vec<String> {
    if languages.is_empty() {
        vec!["en".to_owned()]
    } else {
        languages.keys().cloned().collect()
    }
}

/// Code → token, of the tokens that were added to the words. Empty for English-only checkpoints, though their tokenizer
/// may name languages.
pub(crate) fn languages<'a>(
    checkpoint: &Checkpoint,
    added: impl Iterator<Item = (&'a str, u32)>,
) -> BTreeMap<String, u32> {
    /// Number of words of OpenAI's English-only checkpoints: those of GPT-2. The others have one more.
    const ENGLISH_WORDS: u32 = 50_256;
    let added: BTreeMap<&str, u32> = added.collect();
    let generation = checkpoint.generation();
    let english_only = match generation.is_multilingual {
        Some(is_multilingual) => !is_multilingual,
        None => {
            generation.lang_to_id.is_none() && added.get("<|endoftext|>") == Some(&ENGLISH_WORDS)
        }
    };
    if english_only {
        return BTreeMap::new();
    }
    if let Some(configured) = &generation.lang_to_id {
        return configured
            .iter()
            .filter_map(|(name, &token)| Some((code_of(name)?.to_owned(), token)))
            .collect();
    }
    // A language code has two or three letters; the other special tokens have more.
    added
        .into_iter()
        .filter_map(|(name, token)| Some((code_of(name)?.to_owned(), token)))
        .filter(|(code, _)| {
            matches!(code.len(), 2 | 3) && code.bytes().all(|b| b.is_ascii_lowercase())
        })
        .collect()
}

/// `<|en|>` → `en`.
fn code_of(token: &str) -> Option<&str> {
    token.strip_prefix("<|")?.strip_suffix("|>")
}
